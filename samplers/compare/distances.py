"""Distances of a run's draws from exact ones, each beside what it is for exact draws.

As many draws are taken as the run has effective ones, at most POINTS, at random or in proportion to their weights: more
of them would be compared with a floor that is too low.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.diagnostics import (
    floored,
    ksd_squared,
    mmd_squared,
    sinkhorn_divergence,
    sliced_kolmogorov,
    sliced_wasserstein,
    wasserstein,
)
from samplers.draws import Draws
from targets import Target

POINTS, FEW, SETS = 500, 20, 4
FOR_SINKHORN = 200  # whose cost grows with their square, and with iterations where scales differ much
REGULARISATION = 0.05  # of the Sinkhorn divergence, in units of the mean squared distance of exact draws
REASONS = (ValueError, RuntimeError)  # points that are all the same, scores that are not finite, no convergence
NAMES = ("sliced_w2", "w2", "sinkhorn", "mmd", "sliced_ks", "ksd")


def distances(draws: Draws, ess: float) -> dict[str, Any]:
    """{name}, {name}_floor (mean of exact draws) and {name}_highest (their largest) for each of NAMES; how many draws
    were taken (`distance_points`), and why those are missing that were tried (`unmeasured`).

    NaN where the target has no exact draws (of ksd only the floor is then unknown), for discrete targets, and for fewer
    than FEW effective draws. mmd, ksd: squared, without the diagonal, so that exact draws have mean zero.
    """
    keys = [key for name in NAMES for key in (name, f"{name}_floor", f"{name}_highest")]
    found: dict[str, Any] = dict.fromkeys(keys, math.nan) | {"distance_points": 0, "unmeasured": {}}
    target = draws.target
    if target is None or target.discrete or not ess >= FEW:
        return found
    x = _spread(draws, min(POINTS, int(ess)))
    found["distance_points"] = len(x)
    if "sample" not in target.known:
        try:
            return found | {"ksd": _ksd(target)(x, x)}
        except REASONS as error:
            return found | {"unmeasured": {"ksd": str(error)}}
    exact = target.sample(POINTS, generator=Generator(target.device).manual_seed(1)).double()
    scale = REGULARISATION * 2 * float((exact - exact.mean(0)).square().sum(1).mean())
    measures: dict[str, Callable[[Tensor, Tensor], float]] = {
        "sliced_w2": sliced_wasserstein,
        "w2": wasserstein,
        "sinkhorn": lambda a, b: sinkhorn_divergence(a, b, regularisation=scale),
        "mmd": lambda a, b: mmd_squared(a, b)[1],
        "sliced_ks": sliced_kolmogorov,
        "ksd": _ksd(target),
    }
    for name, measure in measures.items():
        try:
            one = floored(measure, x[:FOR_SINKHORN] if name == "sinkhorn" else x, target, sets=SETS)
        except REASONS as error:
            found["unmeasured"][name] = str(error)
            continue
        found |= {name: one.value, f"{name}_floor": one.floor, f"{name}_highest": one.highest}
    return found


def _ksd(target: Target) -> Callable[[Tensor, Tensor], float]:
    return lambda a, b: ksd_squared(a, target)[1]


def _spread(draws: Draws, n: int) -> Tensor:
    """n of the draws, (n, dim)."""
    generator = Generator(draws.x.device).manual_seed(0)
    if draws.log_weights is not None:
        return draws.resample(n, generator=generator)
    flat = draws.x.reshape(-1, draws.x.shape[-1])
    return flat[torch.randperm(len(flat), generator=generator, device=flat.device)[:n]]
