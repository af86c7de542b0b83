"""The scale of a target around the origin."""

from __future__ import annotations

import math

import torch
from torch import Generator

from targets import Target

DIRECTIONS = 256
RADII = torch.logspace(-3, 4, 57, dtype=torch.float64)


def reach(target: Target, generator: Generator) -> float:
    """The radius within which the mass lies, over sqrt(dim): the scale of the target around the origin.

    The marginal log-density of the radius, log mean p(r u) + dim log r over random directions u, is followed from
    1e-3 to 1e4; what is returned is the largest r at which it is within 3 of its highest value.
    """
    u = torch.randn(DIRECTIONS, target.dim, generator=generator, dtype=target.dtype, device=target.device)
    u = u / u.norm(dim=-1, keepdim=True)
    radii = RADII.to(target.device)
    values = torch.stack([target.log_prob(float(r) * u).double() for r in radii])
    values = torch.where(values < torch.inf, values, -torch.inf)  # NaN and plus infinity tell of no mass
    marginal = values.logsumexp(1) - math.log(DIRECTIONS) + target.dim * radii.log()
    if not bool((marginal > -torch.inf).any()):
        raise ValueError(
            f"base: the log-density of {target.name} is nowhere finite on spheres around the origin; give a base="
        )
    near = (marginal >= marginal.max() - 3).nonzero()[-1]
    return float(radii[near]) / math.sqrt(target.dim)
