"""Densities that a user passes as a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from targets.base import Target, differentiate


class LogDensity(Target):
    """Any log-density given as a function: log_prob(x) = fn(x), up to a constant.

    `fn` maps (n, dim) to (n,); with `batched=False` it maps (dim,) to () and is vectorised by `torch.func.vmap`.
    The score comes from `score=`, a function (n, dim) -> (n, dim), or else from automatic differentiation.
    `compile=True` compiles value and gradient together with `torch.compile` (20 to 90 s once; worth it for long runs).

    While `fn` runs, torch.distributions does not validate its arguments: a chain that strays to a non-finite point
    gets a NaN, which samplers count, where an exception would end all chains.
    Raises TypeError or ValueError, naming what came and what was expected, when `fn` returns something that is not
    a tensor of shape (n,) with the dtype and device of its input, or that cannot be differentiated.
    """

    def __init__(
        self,
        fn: Callable[[Tensor], Tensor],
        dim: int,
        *,
        batched: bool = True,
        score: Callable[[Tensor], Tensor] | None = None,
        compile: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        if not callable(fn):
            raise TypeError(f"fn: got {type(fn).__name__}, expected a function (n, dim) -> (n,)")
        super().__init__(dim, dtype=dtype, device=device, name=name or getattr(fn, "__name__", None))
        self._fn = fn if batched else over_points(fn)
        self._score = score
        self.score_is_given = score is not None
        self._compiled = torch.compile(torch.func.grad(self._summed, has_aux=True)) if compile else None

    def _summed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value = self._fn(x)
        return value.sum(), value

    def log_prob(self, x: Tensor) -> Tensor:
        self._check(x)
        flat = x.reshape(-1, self.dim)
        with no_validation():
            return check_values(self._fn(flat), flat, "fn").reshape(x.shape[:-1])

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        flat = x.reshape(-1, self.dim)
        # outside of the compiled function, which could not be one graph with it inside
        with no_validation():
            value, gradient = self._value_and_gradient(flat)
        return check_values(value, flat, "fn").reshape(x.shape[:-1]), gradient.reshape(x.shape)

    def _value_and_gradient(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        if self._score is not None:
            gradient = self._score(flat)
            if not isinstance(gradient, Tensor) or gradient.shape != flat.shape:
                came = tuple(gradient.shape) if isinstance(gradient, Tensor) else type(gradient).__name__
                raise ValueError(f"score: returned {came} for x of shape {tuple(flat.shape)}, expected the shape of x")
            return self._fn(flat), gradient
        if self._compiled is not None:
            gradient, value = self._compiled(flat)
            return value, gradient
        return differentiate(lambda point: check_values(self._fn(point), point, "fn"), flat, self.name)


def from_numpy(
    log_prob: Callable[[np.ndarray], np.ndarray],
    grad: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    dim: int,
    batched: bool = True,
    name: str | None = None,
) -> Target:
    """A log-density written in NumPy, in double precision on the CPU.

    `log_prob` maps an array (n, dim) to (n,) and `grad` maps it to (n, dim); with `batched=False` both take one point.
    Without `grad` only samplers that need no score can be used, and the others say so.
    """

    def lifted(function: Callable[[np.ndarray], Any], empty: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
        def call(x: Tensor) -> Tensor:
            points = x.detach().numpy()
            if batched:
                return torch.as_tensor(np.asarray(function(points), dtype=np.float64))
            values = [np.asarray(function(point), dtype=np.float64) for point in points]
            return torch.from_numpy(np.stack(values)) if values else torch.empty(empty, dtype=torch.float64)

        return call

    return LogDensity(
        lifted(log_prob, (0,)),
        dim,
        score=None if grad is None else lifted(grad, (0, dim)),
        dtype=torch.float64,
        name=name or getattr(log_prob, "__name__", None),
    )


def over_points(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one point, vectorised; vmap has no empty batches."""
    vectorised = torch.func.vmap(fn)
    return lambda x: vectorised(x) if len(x) else x.sum(-1)


@contextmanager
def no_validation() -> Iterator[None]:
    """Distributions made within check their arguments only where they are told to."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)


def check_values(value: Any, x: Tensor, argument: str) -> Tensor:
    """The log-density's result, or one clear error when it is not (n,) in the dtype and on the device of x."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{argument}: returned {type(value).__name__}, expected a tensor of shape ({len(x)},)")
    if value.shape != x.shape[:-1]:
        raise ValueError(
            f"{argument}: returned shape {tuple(value.shape)} for x of shape {tuple(x.shape)}, "
            f"expected {tuple(x.shape[:-1])}, one log-density per point"
        )
    if value.dtype != x.dtype:
        raise TypeError(
            f"{argument}: returned {value.dtype} for x in {x.dtype}, expected the dtype of x; "
            "convert the data it closes over, or pass dtype= to the target"
        )
    if value.device != x.device:
        raise ValueError(
            f"{argument}: returned a tensor on {value.device} for x on {x.device}, expected the device of x; "
            "move the data it closes over, or pass device= to the target"
        )
    return value
