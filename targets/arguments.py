"""Conversion and checks of arguments, shared by targets and samplers."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Mapping, Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor

MOST_NAMES = 8  # or numbers
LONGEST = 120  # characters of a value in a message


def floating_dtype(value: Any) -> torch.dtype:
    """The dtype of a floating-point tensor or array; torch's default for numbers, lists and integers."""
    if isinstance(value, (Tensor, np.ndarray)):
        dtype = torch.as_tensor(value).dtype
        return dtype if dtype.is_floating_point else torch.get_default_dtype()
    return torch.get_default_dtype()


def check_dtype(dtype: object) -> torch.dtype:
    """A floating-point dtype, or TypeError."""
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"dtype: got {shown(dtype)}, expected a floating-point dtype such as torch.float32")
    return dtype


def as_double(value: Any, argument: str) -> Tensor:
    """A finite float64 tensor; Python numbers are not rounded on the way."""
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], Tensor):
        value = torch.stack(list(value))
    tensor = torch.as_tensor(value, dtype=torch.float64)
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{argument}: holds non-finite values, expected finite numbers")
    return tensor


def normalised_weights(weights: Any, components: int) -> Tensor:
    """Mixture weights in float64 that are positive and sum to one; equal ones for None."""
    if weights is None:
        return torch.full((components,), 1.0 / components, dtype=torch.float64)
    weights = as_double(weights, "weights")
    if weights.shape != (components,):
        raise ValueError(f"weights: got shape {tuple(weights.shape)}, expected ({components},), one per component")
    if bool((weights <= 0).any()):
        raise ValueError(f"weights: got {brief(weights)}, expected positive numbers")
    return weights / weights.sum()


def check_integer(value: object, argument: str, least: int = 1) -> int:
    """A plain integer of at least `least`, NumPy's integers too, or an error that names the argument.

    True and 3.0 are none.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{argument}: got {shown(value)}, expected an integer of at least {least}")
    return int(value)


def positive(value: object, argument: str) -> float:
    """A finite positive number, or an error that names the argument; True and "1" are none."""
    number = _number(value)
    if not 0 < number < math.inf:
        raise ValueError(f"{argument}: got {shown(value)}, expected a positive finite number")
    return number


def not_negative(value: object, argument: str) -> float:
    """A finite number of at least zero, or an error that names the argument; True and "1" are none."""
    number = _number(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{argument}: got {shown(value)}, expected a finite number of at least 0")
    return number


def probability(value: object, argument: str) -> float:
    """A number between zero and one, neither of them, or an error that names the argument."""
    number = _number(value)
    if not 0 < number < 1:
        raise ValueError(f"{argument}: got {shown(value)}, expected a number between 0 and 1")
    return number


def check_choice(value: object, argument: str, choices: Iterable[object]) -> None:
    """ValueError where the value is none of the choices, which it lists."""
    words = list(choices)
    if value not in words:
        *others, last = map(repr, words)
        raise ValueError(f"{argument}: got {shown(value)}, expected {', '.join(others)} or {last}")


def _number(value: Any) -> float:
    """The value of a number, which a tensor without axes is too; NaN for anything else, bools and strings included."""
    is_scalar = isinstance(value, (Tensor, np.ndarray)) and value.ndim == 0
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return float(value) if is_scalar or is_real else math.nan


def cholesky(covariance: Tensor, argument: str) -> Tensor:
    """Lower Cholesky factor of (..., dim, dim), or an error that names the argument."""
    if covariance.ndim < 2 or covariance.shape[-1] != covariance.shape[-2]:
        raise ValueError(f"{argument}: got shape {tuple(covariance.shape)}, expected square matrices (..., dim, dim)")
    size = 1e-6 * float(covariance.diagonal(dim1=-2, dim2=-1).abs().max())
    if not torch.allclose(covariance, covariance.mT, rtol=1e-4, atol=size):
        raise ValueError(f"{argument}: got a matrix that is not symmetric, expected a covariance")
    factor, info = torch.linalg.cholesky_ex(covariance)
    if bool((info != 0).any()):
        raise ValueError(f"{argument}: got a matrix that is not positive definite, expected a covariance")
    return factor


def did_you_mean(name: str, known: Iterable[str], *, weak: bool = True) -> str:
    """What follows an unknown name in a message: the nearest ones of those that are known, if any is near.

    weak: whether one that shares less than half of its letters may be named where there is no nearer one.
    """
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if weak and not near:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean {', '.join(near)}?" if near else "."


def brief(values: Any) -> str:
    """The first eight numbers, of a tensor of any shape, for messages."""
    listed = values.reshape(-1).tolist() if isinstance(values, Tensor) else list(values)
    said = ", ".join(f"{value:.6g}" for value in listed[:MOST_NAMES])
    return f"[{said}{', ...' if len(listed) > MOST_NAMES else ''}]"


def shown(value: Any) -> str:
    """What a user passed, in one line for messages: its `repr`, or the beginning of one that is long."""
    if isinstance(value, (Tensor, np.ndarray)) and (value.ndim > 1 or math.prod(value.shape) > MOST_NAMES):
        return f"{'a tensor' if isinstance(value, Tensor) else 'an array'} of shape {tuple(value.shape)}"
    said = " ".join(repr(value).split())
    if len(said) <= LONGEST:
        return said
    many = f" ({len(value)} values)" if isinstance(value, Sized) and not isinstance(value, str) else ""
    return f"{said[:LONGEST]}...{many}"


def with_shapes(variables: Mapping[str, Any]) -> str:
    """a, theta[8] and so on: names with the shapes of what they stand for, the first few of many."""
    every = [f"{name}[{', '.join(map(str, one.shape))}]" if one.shape else name for name, one in variables.items()]
    more = len(every) - MOST_NAMES
    return ", ".join(every[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
