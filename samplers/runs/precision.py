"""Digits lost in a log-density: its differences, which are all that samplers use, are rounded to its spacing.

A float of size v is a multiple of about eps |v|: in float32 8 nats at 1e8, in float64 2 at 1e16.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

COARSE = 0.05  # nats between neighbouring values, from which on a law is said to be another
ROUNDINGS = 64  # that a sum over data may make of one
POINTS = 16


def lost_digits(target: Any, x: Tensor, log_prob: Tensor) -> str | None:
    """What is lost of log_prob (n,) at points x (n, dim), in words; None where differences are right to 0.05 nats.

    Judged by the spacing of floats at log_prob. Where that is not far below 0.05, or all values are multiples of a
    number above it, and float64 is to be had, differences between points are also compared with those in float64: a sum
    may have lost more on its way. That alone costs evaluations, 16 in each precision.
    """
    finite = log_prob.isfinite()
    value, x = log_prob[finite], x[finite]
    if target.discrete or len(value) == 0:
        return None
    eps = torch.finfo(value.dtype).eps
    size = float(value.double().abs().median())
    spacing = 2.0 ** (torch.tensor(size, dtype=torch.float64).clamp_min(1e-300).log2().floor().item()) * eps
    advice = (
        "A constant taken off inside, before terms are added up, keeps them"
        if value.dtype == torch.float64
        else "Run with dtype=torch.float64, or take a constant off inside, before terms are added up"
    )
    if spacing > COARSE:
        return (
            f"digits of the log-density are lost: log_prob is about {size:.3g} in {str(value.dtype)[6:]}, where "
            f"numbers are {spacing:.2g} apart, so that differences of log_prob are rounded to as much and the draws "
            f"follow another law. {advice}"
        )
    if value.dtype == torch.float64 or not (spacing * ROUNDINGS > COARSE or _grain(value) > COARSE):
        return None
    error = _error(target, x[torch.arange(min(POINTS, len(x)), device=x.device) * len(x) // min(POINTS, len(x))])
    if error is None or error < COARSE:
        return None
    return (
        f"digits of the log-density are lost: differences of log_prob between draws are off by {error:.2g} in "
        f"{str(value.dtype)[6:]}, compared with float64, and the draws follow another law. {advice}"
    )


def _grain(value: Tensor) -> float:
    """The largest power of two that all values are multiples of; infinite where they are equal."""
    value = value.double()
    if bool((value == value[0]).all()):
        return math.inf
    for power in range(10, -5, -1):
        if bool((value % 2.0**power == 0).all()):
            return 2.0**power
    return 0.0


def _error(target: Any, x: Tensor) -> float | None:
    """The typical error of a difference, in nats; None where the density cannot be had in float64."""
    try:
        exact = target.to(dtype=torch.float64).log_prob(x.double())
    except (RuntimeError, TypeError, ValueError):
        return None  # it holds numbers of its own in another dtype
    error = target.log_prob(x).double() - exact
    return float((error - error.median()).abs().median()) if bool(error.isfinite().all()) else None
