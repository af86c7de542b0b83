"""Does a kernel move, and does it come in from afar?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from samplers.draws.ties import kolmogorov
from samplers.kernels import Kernel
from samplers.testing.functions import Backend, name_of, rounded
from samplers.testing.invariance import _generator, prepared, run
from targets import Target


@dataclass(frozen=True, repr=False)
class MovesReport:
    """The outcome of `check_moves`: how many chains moved, and how far their end is from the target.

    check: its name. moved: share of the chains that moved, which must be 1. gap: Kolmogorov distance of the law of the
    log-density under chains from that under exact draws; most_gap: what it may be. chains, steps: how many.

        >>> from samplers.testing import check_moves
        >>> report = check_moves(samplers.MALA(0.5), targets.Gaussian([0.0]), steps=50)
        >>> report.moved, report.gap < report.most_gap, report.passed
        (1.0, True, True)
    """

    check: str
    moved: float
    gap: float
    most_gap: float
    chains: int
    steps: int

    @property
    def passed(self) -> bool:
        """Whether every chain moved and together they came near."""
        return self.moved == 1 and self.gap <= self.most_gap

    def __repr__(self) -> str:
        return (
            f"{self.check} {'passed' if self.passed else 'FAILED'}: {self.moved:.0%} of {self.chains:,} chains "
            "moved in "
            f"{self.steps:,} steps, and the log-density's law is {self.gap:.2f} off (Kolmogorov distance, at most "
            f"{self.most_gap:g})"
        )


@torch.no_grad()
def check_moves(
    kernel: Kernel | Callable[..., Any],
    target: Target,
    *,
    seed: int = 0,
    chains: int = 1_000,
    steps: int = 1_000,
    distance: float = 2.0,
    most_gap: float = 0.2,
    backend: Backend | None = None,
) -> MovesReport:
    """Start chains far out, and see that each moves and that together they come to where the target is.

    Chains start at exact draws, moved away from their mean by `distance` times the spread of exact draws in a random
    direction each. After `steps` steps every chain must have moved, and the distribution functions of the
    log-density under chains and under exact draws may differ by at most `most_gap`. A coarse check of ergodicity that
    stands beside `check_invariance`, which a kernel that never moves passes. kernel, backend: as there. Returns the
    report; raises AssertionError, with the share of chains that moved or the gap.
    """
    kernel = prepared(kernel, target, chains, seed, backend)
    generator = _generator(target, seed)
    exact = target.sample(chains, generator=generator)
    spread = exact.std(0)
    away = torch.randn(exact.shape, generator=generator, dtype=exact.dtype, device=exact.device)
    start = rounded(kernel, exact + distance * spread * away / away.norm(dim=-1, keepdim=True))
    end = run(kernel, target, start, steps, generator)
    still = int((end == start).all(-1).sum())
    who = f"{name_of(kernel)} on {target.name}"
    if still:
        raise AssertionError(f"{who}: {still} of {chains} chains have not moved in {steps} steps, expected none")
    fresh = target.sample(chains, generator=generator)
    gap = float(kolmogorov(target.log_prob(end), target.log_prob(fresh)))
    if gap > most_gap:
        raise AssertionError(
            f"{who}: after {steps} steps from {distance} spreads away the log-density's law is still {gap:.2f} off "
            f"(Kolmogorov distance, at most {most_gap})"
        )
    return MovesReport(f"moves of {who}", 1.0, gap, most_gap, chains, steps)
