"""Functions that a user passes: how they are called, and what is said when they do not fit.

The caller's memory is never the chain's: a function gets a copy of its arguments, and what it returns is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from targets import linear_algebra
from targets.user_errors import COUNTS, OF_ONE_POINT, explained, is_number


def over_points(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one point, vectorised; vmap has no empty batches."""
    vectorised = torch.func.vmap(fn)
    return lambda x: vectorised(x) if len(x) else x.sum(-1)


def over_values(function: Callable[..., Any], random: bool = False) -> Callable[..., Any]:
    """A function of named values at one point, over a leading batch axis of every one; it may be random if said so."""
    over_dict = torch.func.vmap(lambda values: function(**values), randomness="different" if random else "error")

    def call(**values: Tensor) -> Any:
        empty = len(next(iter(values.values()))) == 0
        if empty:
            values = {key: value.new_zeros(1, *value.shape[1:]) for key, value in values.items()}
        found = over_dict(values)
        if not empty:
            return found
        return found[:0] if isinstance(found, Tensor) else {key: value[:0] for key, value in found.items()}

    return call


def copies(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Named values that a function may write into."""
    return {key: value.clone() for key, value in values.items()}


def evaluated(
    call: Callable[[], Any],
    one_point: Callable[[], Any],
    argument: str,
    x: Tensor,
    *,
    batched: bool,
    numpy: bool = False,
) -> Tensor:
    """call(), the log-densities (n,) at x (n, dim), or one error that says what to pass.

    one_point: the function at the first point alone, as one that is written for a point would be called.
    batched, numpy: what the target was told of the function.
    """
    try:
        value = call()
    except Exception as error:
        better = (
            None
            if linear_algebra.is_failure(error)
            else explained(error, argument, x, one_point if batched else None, numpy=numpy)
        )
        if better is None:
            raise
        raise better from error
    try:
        return check_values(value, x, argument)
    except ValueError as error:
        if value.shape == x.shape[:-1] or not (batched and is_number(one_point)):
            raise
        raise ValueError(f"{error}{OF_ONE_POINT}") from None


def check_values(value: Any, x: Tensor, argument: str) -> Tensor:
    """The log-density's result, or one clear error when it is not (n,) in the dtype and on the device of x."""
    if not isinstance(value, Tensor):
        hint = "; a NumPy function is for targets.from_numpy" if isinstance(value, (np.ndarray, np.generic)) else ""
        raise TypeError(f"{argument}: returned {type(value).__name__}, expected a tensor of shape ({len(x)},){hint}")
    if value.shape != x.shape[:-1]:
        raise ValueError(
            f"{argument}: returned shape {tuple(value.shape)} for x of shape {tuple(x.shape)}, "
            f"expected {tuple(x.shape[:-1])}, one log-density per point"
        )
    _check_place(value, x, argument)
    return value


def check_gradient(gradient: Any, x: Tensor, argument: str) -> Tensor:
    """A gradient that was given, or one clear error when it is not of the shape, dtype and device of x."""
    if not isinstance(gradient, Tensor) or gradient.shape != x.shape:
        came = tuple(gradient.shape) if isinstance(gradient, Tensor) else type(gradient).__name__
        raise ValueError(f"{argument}: returned {came} for x of shape {tuple(x.shape)}, expected the shape of x")
    _check_place(gradient, x, argument)
    return gradient


def _check_place(value: Tensor, x: Tensor, argument: str) -> None:
    if value.dtype != x.dtype:
        other = f", or pass dtype={value.dtype} to the target" if value.is_floating_point() else ""
        raise TypeError(
            f"{argument}: returned {value.dtype} for x in {x.dtype}, expected the dtype of x; "
            f"convert the data it closes over{other}"
        )
    if value.device != x.device:
        raise ValueError(
            f"{argument}: returned a tensor on {value.device} for x on {x.device}, expected the device of x; "
            "move the data it closes over, or pass device= to the target"
        )


def check_batch_axis(argument: str, density: Callable[[Tensor], Tensor], x: Tensor, *, batched: bool) -> None:
    """ValueError where a density (n, dim) -> (n,) of a user's function takes another axis for the batch, or is random.

    With the checks of torch.distributions on, which tell a user of data outside their support.
    """
    try:
        with linear_algebra.failures_raised():
            together = density(x)
    except Exception as error:
        if not linear_algebra.is_failure(error):
            raise
        together = linear_algebra.value_or_nan(density, x)
        if bool(together.isnan().all()):  # at every point
            raise
    again = linear_algebra.value_or_nan(density, x)
    apart = torch.cat([linear_algebra.value_or_nan(density, point[None]) for point in x])
    advice = "Index scalars as mu[:, None], or use batched=False" if batched else "It is given one point"
    check_evaluations(argument, together, again, apart, advice)


def check_evaluations(argument: str, together: Tensor, again: Tensor, apart: Tensor, advice: str) -> None:
    """ValueError where a function gives other values at the same points a second time, or one by one."""
    exact = 1e-6 if together.dtype == torch.float64 else 1e-3  # rounding in another order apart
    if not _close(together, again, exact):
        raise ValueError(
            f"{argument}: is random: two evaluations at the same points give {together.tolist()} and {again.tolist()}. "
            "Samplers need one density: seed the noise anew in every call, average over it, switch dropout off by "
            "eval(), or take all data in place of a minibatch"
        )
    if not _close(together, apart, 1e-3):
        raise ValueError(
            f"{argument}: {COUNTS.get(len(together), len(together))} points together give {together.tolist()}, "
            f"one by one {apart.tolist()}; the function mixes its batch axis with another. {advice}"
        )


def _close(one: Tensor, other: Tensor, tolerance: float) -> bool:
    return torch.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


@contextmanager
def no_validation() -> Iterator[None]:
    """Distributions made within check their arguments only where they are told to."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)
