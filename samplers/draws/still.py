"""What never changes in a run: constant by construction, or a coordinate that is stuck."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from samplers.draws.names import label
from samplers.draws.points import PointSet
from samplers.draws.ties import ULPS, precision, tied
from targets import DiscreteTarget
from targets.discrete import as_discrete

FALSE_ALARM = 1e-4  # of calling a coordinate stuck that only happened not to change
LONG = 100  # draws of a chain that all agree, before it is said never to move
LOOKED_AT = 1000  # draws of which the conditional probability of a change is computed


@dataclass(frozen=True)
class Still:
    """Scalars that all draws agree on: stuck, of coordinates that should have moved; constant, the others.

    A scalar that is a function of coordinates that move is constant by construction (the zeros of a Cholesky factor, a
    derived quantity), not stuck. A coordinate of a continuous target that never changes is stuck. That of a discrete
    target is stuck where its law, given the others, would have changed it in so many draws.
    """

    constant: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)


def still(draws: PointSet) -> Still:
    """Of equally weighted draws; nothing is said of fewer than two."""
    if draws.x[..., 0].numel() < 2:
        return Still()
    x = draws.x.reshape(-1, draws.x.shape[-1])
    unmoved = _alike(draws.x)
    stuck = unmoved.clone()
    if draws.target is not None and draws.target.discrete:
        stuck[unmoved] = ~_pinned(as_discrete(draws.target), x, unmoved.nonzero()[:, 0])
    held = {(name, index) for name, value in draws.constrained.items() for index in _places(_alike(value))}
    if not bool(stuck.any()):
        return Still([label(*one) for one in sorted(held)])
    moved = sorted(held & _depending(draws, x[0], stuck))
    names = [label(*one) for one in moved] or [f"x[{int(i)}]" for i in stuck.nonzero()[:, 0]]
    return Still([label(*one) for one in sorted(held - set(moved))], names)


def frozen(draws: PointSet) -> int:
    """How many chains of a continuous target never change in any coordinate, where others do; zero of short chains."""
    if draws.x.shape[1] < LONG or (draws.target is not None and draws.target.discrete):
        return 0
    never = (draws.x == draws.x[:, :1]).all(-1).all(-1)
    return 0 if bool(never.all()) else int(never.sum())


def _places(mask: Tensor) -> list[tuple[int, ...]]:
    return [tuple(index) for index in np.argwhere(mask.cpu().numpy()).tolist()]


def _alike(value: Tensor) -> Tensor:
    """Which scalars of (chains, draws, *shape) all draws agree on but for rounding, of its shape."""
    first = value[:1, :1].double()  # truth values too
    return tied(value.double(), first, ULPS * precision(value) * first.abs()).all(1).all(0)


def _depending(draws: PointSet, point: Tensor, stuck: Tensor) -> set[tuple[str, tuple[int, ...]]]:
    """The scalars that change with the coordinates that are stuck: all of them where there is no target to ask."""
    if draws.target is None:
        return {(name, index) for name, value in draws.constrained.items() for index in np.ndindex(value.shape[2:])}
    other = point + torch.where(stuck, 0.5 + 0.25 * point.abs(), torch.zeros_like(point))
    if draws.target.discrete:
        values = as_discrete(draws.target).values.to(point)
        other = torch.where(stuck, torch.where(point == values[0], values[1], values[0]), point)
    with torch.no_grad():
        pair = draws.target.constrain(torch.stack([point, other]))
    return {(name, index) for name, value in pair.items() for index in _places(value[0] != value[1])}


def _pinned(target: DiscreteTarget, x: Tensor, sites: Tensor) -> Tensor:
    """Which of the sites, that never change, the target holds there: (sites,) of true and false.

    The expected number of changes in as many independent draws is at most -log FALSE_ALARM: none is then no surprise.
    Changes of one site given the others; of all these sites together, by swapping two values; and, where the target
    states its mean and covariance, of the site by itself.
    """
    n, most = len(x), -math.log(FALSE_ALARM)
    some = x[torch.linspace(0, n - 1, min(n, LOOKED_AT), device=x.device).long()]
    values = target.values.to(x)
    with torch.no_grad():
        logits = target.conditional_logits(some, sites).double()
        here = some[:, sites, None] == values
        away = 1 - (logits.softmax(-1) * here).sum(-1).mean(0)
        pinned = n * away <= most
        log_prob = target.log_prob(some).double()
        for i, a in enumerate(values):
            for b in values[i + 1 :]:
                column = some[:, sites]
                swapped = some.clone()
                swapped[:, sites] = torch.where(column == a, b, torch.where(column == b, a, column))
                touched = ((column == a) | (column == b)).any(0)
                share = (target.log_prob(swapped).double() - log_prob).sigmoid().mean()
                pinned &= ~(touched & (n * share > most))
    if {"mean", "covariance"} <= target.known:
        mean, variance = target.mean.double()[sites], target.covariance.double().diagonal()[sites]
        at = x[0, sites].double()
        away = (variance + (mean - at).square()) / float(values.max() - values.min()) ** 2  # at least
        pinned &= n * away.to(pinned.device) <= most
    return pinned
