"""Conversion and checks of tensor arguments, shared by the targets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def as_floating(value: Any, argument: str, dtype: torch.dtype | None = None) -> Tensor:
    """A floating-point tensor; numbers and lists take torch's default dtype, tensors and arrays keep theirs."""
    tensor = torch.as_tensor(value)
    if dtype is not None or not tensor.is_floating_point():
        tensor = tensor.to(dtype or torch.get_default_dtype())
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{argument}: holds non-finite values, expected finite numbers")
    return tensor


def normalised_weights(weights: Any, components: int, like: Tensor) -> Tensor:
    """Mixture weights that are positive and sum to one; equal ones for None."""
    if weights is None:
        return torch.full((components,), 1.0 / components, dtype=like.dtype, device=like.device)
    weights = as_floating(weights, "weights").to(like)
    if weights.shape != (components,):
        raise ValueError(f"weights: got shape {tuple(weights.shape)}, expected ({components},), one per component")
    if bool((weights <= 0).any()):
        raise ValueError(f"weights: got {weights.tolist()}, expected positive numbers")
    return weights / weights.sum()


def positive(value: float, argument: str) -> float:
    """A finite positive number, or an error that names the argument."""
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError(f"{argument}: got {value!r}, expected a positive finite number")
    return number


def cholesky(covariance: Tensor, argument: str) -> Tensor:
    """Lower Cholesky factor of (..., dim, dim), or an error that names the argument."""
    if covariance.ndim < 2 or covariance.shape[-1] != covariance.shape[-2]:
        raise ValueError(f"{argument}: got shape {tuple(covariance.shape)}, expected square matrices (..., dim, dim)")
    if not torch.allclose(covariance, covariance.mT, rtol=1e-4, atol=0):
        raise ValueError(f"{argument}: got a matrix that is not symmetric, expected a covariance")
    factor, info = torch.linalg.cholesky_ex(covariance)
    if bool((info != 0).any()):
        raise ValueError(f"{argument}: got a matrix that is not positive definite, expected a covariance")
    return factor
