"""Why chains have not moved, as far as the density around them and their proposals tell."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from targets import Target
from targets.linear_algebra import value_or_nan

CHAINS, DIRECTIONS = 8, 16  # that are looked at
RADII = (1e-1, 1e-2, 1e-3, 1e-4)  # beside 1 + |x|
RARE = 1e-3  # probability of so many rejections, above which they are no wonder


def why_stuck(target: Target, x: Tensor, rate: float | None, steps: int, step_size: object) -> str:
    """In words, the cause that was measured at chains x (n, dim) that stand still.

    rate: the mean acceptance probability of their proposals, None where it is not known. The density is evaluated at
    random points around some of the chains, which no cost counts.
    """
    if target.discrete or not target.has_density:
        return "no step has changed them"
    if rate is not None and (1 - rate) ** steps > RARE:
        if rate > 0:
            return (
                f"their proposals had a mean acceptance probability of {rate:.2g}, of which so few steps may all fail"
            )
    elif rate is not None:
        size = float(x.abs().max())
        return (
            f"their proposals were accepted (mean probability {rate:.2g}), and the steps are too short to change "
            f"coordinates of size {size:.3g} in {x.dtype}"
        )
    finite, change = around(target, x)
    radius = RADII[-1]
    if finite[-1] < 0.5:
        return (
            f"the density is finite where they stand, and at {1 - finite[-1]:.0%} of the points at a distance of "
            f"{radius:g} (1 + |x|) from there it is not"
        )
    given = f", {step_size:.3g}," if isinstance(step_size, (int, float)) else ""
    return (
        f"every proposal was rejected, and at a distance of {radius:g} (1 + |x|) the density is finite and log_prob "
        f"changes by {change[-1]:.2g}: the step size{given} is too large there"
    )


def around(target: Target, x: Tensor) -> tuple[list[float], list[float]]:
    """At each of RADII the share of points with a finite log-density, and the median change of those."""
    generator = Generator(x.device).manual_seed(0)
    x = x[:CHAINS]
    away = torch.randn(DIRECTIONS, *x.shape, generator=generator, dtype=x.dtype, device=x.device)
    away = away / away.norm(dim=-1, keepdim=True) * (1 + x.norm(dim=-1, keepdim=True))
    here = value_or_nan(target.log_prob, x)
    finite, change = [], []
    for radius in RADII:
        there = value_or_nan(target.log_prob, (x + radius * away).reshape(-1, x.shape[-1])).reshape(DIRECTIONS, -1)
        good = there.isfinite()
        finite.append(float(good.double().mean()))
        change.append(float((there - here).abs()[good].median()) if bool(good.any()) else float("nan"))
    return finite, change
