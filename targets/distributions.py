"""Copies of torch distributions: in another dtype and place, and without the checks that end a run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Beta, Distribution, LKJCholesky, transforms


def moved_distribution(prior: Distribution, dtype: torch.dtype, device: torch.device) -> Distribution:
    """A copy with its tensors in another dtype and place, those of what it is made of included."""

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device=device, dtype=dtype if value.is_floating_point() else None)
        return moved_distribution(value, dtype, device) if isinstance(value, Distribution) else value

    moved: Any = _rebuilt(prior, move)
    if isinstance(moved, LKJCholesky):
        # torch (2.13 and before) draws LKJ from the wrong beta law for n > 2: row k has |w|^2 ~ Beta(k/2, ...)
        k = torch.arange(moved.dim, dtype=dtype, device=device).clamp_min(1)
        moved._beta = Beta(0.5 * k, moved.concentration[..., None] + 0.5 * (moved.dim - 1 - k))
    return moved


def holds_other(law: Distribution, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a law has numbers in another dtype or place."""
    found = []

    def look(value: Any) -> Any:
        if isinstance(value, Distribution):
            _rebuilt(value, look)
        elif isinstance(value, Tensor) and value.is_floating_point():
            found.append((value.dtype, value.device.type) != (dtype, device.type))
        return value

    look(law)
    return any(found)


def without_validation(prior: Distribution) -> Distribution:
    """A copy whose log_prob returns NaN or -infinity instead of raising: chains count such points, they do not stop."""
    quiet: Any = _rebuilt(prior, lambda value: without_validation(value) if isinstance(value, Distribution) else value)
    quiet._validate_args = False
    return quiet


@contextmanager
def drawing_from(generator: Generator, device: torch.device | None = None) -> Iterator[None]:
    """Draws of torch.distributions, which know the global generator only: seeded from `generator`, and put back.

    device: the one that is drawn on, beside the CPU; by default that of `generator`.
    """
    seed = torch.randint(2**62, (), generator=generator, device=generator.device).item()
    device = generator.device if device is None else device
    with torch.random.fork_rng([] if device.type == "cpu" else [device]):
        torch.manual_seed(int(seed))
        yield


def integer_argument(prior: Distribution) -> str | None:
    """The first tensor of integers that is given where a law takes real numbers, in words; None without one."""
    taken = getattr(type(prior), "arg_constraints", None)  # of an instance it may raise
    for name, constraint in taken.items() if isinstance(taken, dict) else ():
        value = vars(prior).get(name)
        if isinstance(value, Tensor) and not value.is_floating_point() and not constraint.is_discrete:
            return f"{type(prior).__name__} has {name} in {value.dtype}"
    within = getattr(prior, "base_dist", None)
    return integer_argument(within) if isinstance(within, Distribution) else None


def _rebuilt(item: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of a distribution or transform with `change` made to all it holds, transforms gone through."""
    if isinstance(item, transforms._InverseTransform):
        return _rebuilt(item.inv, change).inv  # an inverse is a view of its transform and cannot be copied by itself
    made = copy.copy(item)
    for name, value in item.__dict__.items():
        if name != "_inv":  # a cache
            made.__dict__[name] = _changed(value, change)
    return made


def _changed(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, transforms.Transform):
        return _rebuilt(value, change)
    if isinstance(value, (list, tuple)) and any(isinstance(part, (transforms.Transform, Tensor)) for part in value):
        return type(value)([_changed(part, change) for part in value])
    return change(value)
