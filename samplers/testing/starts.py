"""Where the chains of checks start that need more than exact draws."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from targets import Target
from targets.discrete import as_discrete

CANDIDATES = 100


def far_out(target: Target, exact: Tensor, distance: float, generator: Generator) -> Tensor:
    """Starts (n, dim) away from exact draws (n, dim), where the density is positive.

    In R^dim each draw is moved by `distance` spreads in a direction of its own. Configurations have no such places
    between them: all chains start at one, the least probable of 100 that are drawn uniformly and 100 exact draws.
    ValueError where a moved draw has no density.
    """
    if target.discrete:
        sites = as_discrete(target).prior.sample(CANDIDATES, generator=generator)
        candidates = torch.cat([sites, exact[:CANDIDATES]])
        log_prob = target.log_prob(candidates)
        worst = torch.where(log_prob.isfinite(), log_prob, torch.inf).argmin()
        return candidates[worst].expand(len(exact), -1).clone()
    away = torch.randn(exact.shape, generator=generator, dtype=exact.dtype, device=exact.device)
    start = exact + distance * exact.std(0) * away / away.norm(dim=-1, keepdim=True)
    lost = int((~target.log_prob(start).isfinite()).sum())
    if lost:
        raise ValueError(
            f"distance: {lost} of {len(start)} chains would start where {target.name} has no density, {distance:g} "
            "spreads away from an exact draw; expected a smaller distance"
        )
    return start


def typical(target: Target, n: int, generator: Generator) -> Tensor:
    """n exact draws where the target has them; else uniform configurations, or standard normal points."""
    if "sample" in target.known:
        return target.sample(n, generator=generator)
    if target.discrete:
        return as_discrete(target).prior.sample(n, generator=generator)
    return torch.randn((n, target.dim), generator=generator, dtype=target.dtype, device=target.device)
