"""Checks of the target that a sampler is given."""

from __future__ import annotations

from typing import Any

from targets.base import Target

DISCRETE_KERNEL = "a kernel such as Gibbs or SwendsenWang, or a continuous relaxation of the target"


def check_target(target: Any) -> None:
    """TypeError for what is no target."""
    if not isinstance(target, Target):
        raise TypeError(
            f"target: got {type(target).__name__}, expected a targets.Target; wrap a function in LogDensity"
        )


def check_continuous(target: Any, sampler: object, *, expected: str = DISCRETE_KERNEL) -> None:
    """TypeError for what is no target, or one of configurations instead of points in R^n."""
    check_target(target)
    if target.discrete:
        raise TypeError(
            f"target: {target.name} is discrete and {type(sampler).__name__} moves in R^n; expected {expected}"
        )
