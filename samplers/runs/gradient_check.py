"""Whether the score that comes with a density is its gradient: central differences near the chains.

    log p(x + h v / 2) - log p(x - h v / 2)   against   h v . s(x),     at h, h/2 and h/4

What a smooth density leaves between the two falls as h^3, a jump does not fall at all; a wrong score leaves a part that
falls as h. Only that is called wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from targets import Target

POINTS = 8
DIRECTIONS = 2
APART = 0.1  # the points lie this far from the chains, in units of their spread: no one point is special
TOLERANCE = 0.01  # of |s| in units of the spread
MOST_COORDINATES = 1000  # that are looked at one by one once something is wrong
SHARE = 0.25  # of the differences must disagree: a kink at one point is no mistake


@dataclass(frozen=True)
class Gradient:
    """What the check found: `right` where score and differences agree, None where differences tell nothing."""

    right: bool | None
    where: str = ""


def check_gradient(kernel: Any, target: Target, x: Tensor) -> Gradient:
    """Score against differences at 8 points near the chains x (chains, dim); at most 104 evaluations if they agree."""
    generator = Generator(x.device).manual_seed(0)
    points = x[torch.arange(POINTS, device=x.device) * max(len(x), POINTS) // POINTS % len(x)]
    # by the mass matrix, else by the chains' deviations
    spread = _deviations(x).mul if getattr(kernel, "factor", None) is None else kernel.to_x
    points = points + APART * spread(_noise((POINTS,), x, generator))
    directions = spread(_noise((POINTS, DIRECTIONS), x, generator))
    value, score = target.log_prob_and_score(points)
    ahead, told, wrong, known = _compared(target, points, value, score, directions)
    if not bool(known.any()):
        return Gradient(None)
    if float(wrong[known].double().mean()) < SHARE:
        return Gradient(True)
    at = int((wrong * (told - ahead).abs()).sum(-1).argmax())
    return Gradient(False, _described(target, points[at], value[at], score[at], x, told[wrong], ahead[wrong]))


def _compared(
    target: Target, points: Tensor, value: Tensor, score: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Slopes by differences and by the score, where they disagree, and where that can be told, (points, directions)."""
    eps = torch.finfo(points.dtype).eps
    left, slopes = [], []
    size = (score[:, None] * directions).double().norm(dim=-1)
    for h in (eps ** (1 / 3) / k for k in (1, 2, 4)):
        up, down = points[:, None] + 0.5 * h * directions, points[:, None] - 0.5 * h * directions
        difference = target.log_prob(up).double() - target.log_prob(down).double()
        foretold = ((up.double() - down.double()) * score[:, None].double()).sum(-1)
        left.append((foretold - difference) / h)
        slopes.append((difference / h, foretold / h))
    rounding = 8 * eps * value.double().abs()[:, None] / h
    largest = left[-1].abs()
    known = torch.stack(left).isfinite().all(0) & (rounding <= 0.1 * size.maximum(slopes[-1][0].abs()))
    same = ((left[0] - left[2]).abs() < 0.25 * largest) & ((left[1] - left[2]).abs() < 0.25 * largest)
    wrong = known & same & (largest > TOLERANCE * size.maximum(slopes[-1][0].abs()) + rounding)
    return *slopes[-1], wrong, known


def _described(
    target: Target, point: Tensor, value: Tensor, score: Tensor, x: Tensor, told: Tensor, ahead: Tensor
) -> str:
    """Where, and by how much: the coordinate that is worst at a point, and the factor where there is one."""
    k = min(target.dim, MOST_COORDINATES)
    spread = _deviations(x)[:k]
    directions = torch.diag_embed(_padded(spread, target.dim))[:k]
    slope, foretold, *_ = _compared(target, point[None], value[None], score[None], directions[None])
    off = (foretold - slope)[0].abs()
    i = int(torch.where(off.isfinite(), off, 0.0).argmax())
    shown = ", ".join(f"{number:.4g}" for number in point[:8].tolist()) + (", ..." if target.dim > 8 else "")
    given, right = (float(side[0, i]) / float(spread[i]) for side in (foretold, slope))
    text = f"at x = [{shown}] its coordinate {i} is {given:.4g}, and differences of log_prob say {right:.4g}"
    factor = float((told * ahead).sum() / ahead.square().sum())
    if math.isfinite(factor) and float((told - factor * ahead).norm()) < 0.02 * float(ahead.norm()):
        text += f"; everywhere it is {factor:.3g} times the differences"
    return text


def _deviations(x: Tensor) -> Tensor:
    """Standard deviations of the chains, (dim,), one where there is none."""
    deviation = x.double().std(0).to(x.dtype) if len(x) > 1 else torch.ones_like(x[0])
    return torch.where(deviation > 0, deviation, 1.0)


def _noise(shape: tuple[int, ...], x: Tensor, generator: Generator) -> Tensor:
    return torch.randn(*shape, x.shape[-1], generator=generator, dtype=x.dtype, device=x.device)


def _padded(values: Tensor, n: int) -> Tensor:
    return torch.cat([values, values.new_zeros(n - len(values))])
