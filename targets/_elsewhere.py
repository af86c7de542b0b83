"""Densities that another package evaluates: what the adapters share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from targets.base import Target
from targets.user_function import check_values


class Elsewhere(Target):
    """A density whose value and score come from code that torch does not see.

    A subclass writes `_values`, (n, dim) -> (n,), and `_values_and_scores`, each for at least one point, and returns
    tensors that nobody else holds. `log_prob` is differentiable by torch once, for samplers that learn.
    `_dtypes` and `_devices`: what the other package computes in and on; anything else is refused by `to`.
    """

    _dtypes: tuple[torch.dtype, ...] = (torch.float64,)
    _devices: tuple[str, ...] = ("cpu",)

    @abstractmethod
    def _values(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _values_and_scores(self, x: Tensor) -> tuple[Tensor, Tensor]: ...

    def log_prob(self, x: Tensor) -> Tensor:
        flat = self._flat(x)
        if torch.is_grad_enabled() and flat.requires_grad:
            value = _Differentiable.apply(flat, self)
        else:
            value = self._values(flat.detach()) if len(flat) else flat.sum(-1)
        return check_values(value, flat, self.name).reshape(x.shape[:-1])

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        flat = self._flat(x).detach()
        value, score = self._values_and_scores(flat) if len(flat) else (flat.sum(-1), flat.clone())
        return check_values(value, flat, self.name).reshape(x.shape[:-1]), score.reshape(x.shape)

    def _flat(self, x: Tensor) -> Tensor:
        self._check(x)
        if x.dtype != self.dtype:
            raise TypeError(f"x: got {x.dtype}, expected {self.dtype} for {self.name}")
        return x.reshape(-1, self.dim)

    def _place(self) -> None:
        if self.dtype not in self._dtypes:
            raise TypeError(f"dtype: got {self.dtype}, expected {_either(self._dtypes)}, in which {self.name} computes")
        if self.device.type not in self._devices:
            raise ValueError(
                f"device: got {self.device}, expected {_either(self._devices)}, where {self.name} computes"
            )


class _Differentiable(torch.autograd.Function):
    """The value, with the score as its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, target: Elsewhere) -> Tensor:
        value, score = target._values_and_scores(x.detach()) if len(x) else (x.sum(-1), x.clone())
        ctx.save_for_backward(score)
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (score,) = ctx.saved_tensors
        return gradient[:, None] * score, None


def point_by_point(
    function: Callable[[np.ndarray], tuple[Any, ...]], x: Tensor, shapes: tuple[tuple[int, ...], ...]
) -> tuple[Tensor, ...]:
    """The results, of these shapes, at each point of x (n, dim), stacked; `function` raises FloatingPointError where
    the density is not defined, and the results there are NaN."""
    found = [np.full((len(x), *shape), np.nan) for shape in shapes]
    for i, point in enumerate(x.numpy()):
        try:
            results = function(point.copy())
        except FloatingPointError:
            continue
        for array, result in zip(found, results, strict=True):
            array[i] = result
    return tuple(torch.from_numpy(array) for array in found)


def _either(options: tuple[Any, ...]) -> str:
    return " or ".join(str(option) for option in options)


def missing(function: str, package: str, extra: str) -> ModuleNotFoundError:
    """The error where a package is not installed."""
    return ModuleNotFoundError(f"{function} needs {package}; install it with: pip install 'unnorm[{extra}]'")
