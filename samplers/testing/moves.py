"""Does a kernel move, in every coordinate, and does it come in from afar?

    gap = sup |F_chains - F_exact| of the log-density,   too far:  gap > most_gap + noise
    noise = e(chains) + e(10 chains),   e(n) = sqrt(log(4 / a) / (2 n)),   a = 1e-5

By Dvoretzky, Kiefer and Wolfowitz with Massart's constant, n draws show a distribution function to within e(n) with
probability 1 - a/2, whatever n and the law: chains whose law is at most `most_gap` off are called too far with
probability at most a. Massart 1990.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.draws.ties import kolmogorov
from samplers.kernels import Kernel
from samplers.runs.checked import checked_init, checked_step
from samplers.testing.functions import Backend, name_of, rounded
from samplers.testing.invariance import _generator, prepared
from samplers.testing.sequential_rule import LEVEL
from samplers.testing.starts import far_out
from targets import Target
from targets.arguments import brief, check_integer

FRESH = 10  # exact draws a chain: their noise is then small beside that of the chains


@dataclass(frozen=True, repr=False)
class MovesReport:
    """The outcome of `check_moves`: how many chains moved, and how far their end is from the target.

    check: its name. moved: share of the chains that moved, which must be 1. gap: Kolmogorov distance of the law of the
    log-density under chains from that under exact draws; most_gap: what it may be in truth; noise: what chance may add
    with so few chains, once in 100,000. chains, steps: how many.

        >>> from samplers.testing import check_moves
        >>> report = check_moves(samplers.MALA(0.5), targets.Gaussian([0.0]), steps=50)
        >>> report.moved, report.gap < report.most_gap + report.noise, report.passed
        (1.0, True, True)
    """

    check: str
    moved: float
    gap: float
    most_gap: float
    noise: float
    chains: int
    steps: int

    @property
    def passed(self) -> bool:
        """Whether every chain moved and together they came near."""
        return self.moved == 1 and self.gap <= self.most_gap + self.noise

    def __repr__(self) -> str:
        return (
            f"{self.check} {'passed' if self.passed else 'FAILED'}: {self.moved:.0%} of {self.chains:,} chains "
            "moved in "
            f"{self.steps:,} steps, and the log-density's law is {self.gap:.2f} off (Kolmogorov distance, at most "
            f"{self.most_gap:g} and {self.noise:.2f} by chance)"
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
    most_gap: float = 0.1,
    backend: Backend | None = None,
) -> MovesReport:
    """Start chains far out, and see that each moves and that together they come to where the target is.

    In R^dim chains start at exact draws, each moved by `distance` times their spread in a random direction.
    On a DiscreteTarget all start at one configuration, an improbable one, and `distance` has no meaning. Within `steps`
    steps every chain must have moved, every coordinate must have changed in some chain (a site only if exact draws
    show that it has other values), and then the distribution functions of the log-density under chains and under
    exact draws may differ by at most `most_gap` (Kolmogorov distance, in [0, 1]), beside what chance adds with so many
    chains: 0.11 for 1,000, 0.33 for 100. Chains whose law is within `most_gap` are rejected with probability at most
    1e-5; those that are `most_gap` and twice that noise off, or more, pass with no more.

    A coarse check of ergodicity that stands beside `check_invariance`, which a kernel that never moves passes. kernel,
    backend: as there. Returns the report; raises AssertionError, with the number of chains that have not moved, the
    coordinates that no chain has changed, or the gap; ValueError for starts without density.
    """
    kernel = prepared(kernel, target, chains, seed, backend)
    check_integer(steps, "steps")
    generator = _generator(target, seed)
    start = far_out(target, target.sample(chains, generator=generator), distance, generator)
    start, end, changed = _walked(kernel, target, rounded(kernel, start), steps, generator)
    who = f"{name_of(kernel)} on {target.name}"
    still = int((~changed.any(1)).sum())
    if still:
        raise AssertionError(f"{who}: {still} of {chains} chains have not moved in {steps} steps, expected none")
    fresh = target.sample(FRESH * chains, generator=generator)
    never = (~changed.any(0) & _elsewhere(fresh, start[0], target)).nonzero()[:, 0]
    if len(never):
        raise AssertionError(
            f"{who}: {len(never)} of {target.dim} coordinates have not changed in any of {chains} chains in {steps} "
            f"steps (coordinates {brief(never)}), expected all to change"
        )
    gap = float(kolmogorov(target.log_prob(end), target.log_prob(fresh)))
    noise = _noise(chains) + _noise(FRESH * chains)
    if not gap <= most_gap + noise:
        where = "one configuration" if target.discrete else f"{distance} spreads away"
        raise AssertionError(
            f"{who}: after {steps} steps from {where} the log-density's law is still {gap:.2f} off "
            f"(Kolmogorov distance, at most {most_gap:g} and {noise:.2f} by chance)"
        )
    return MovesReport(f"moves of {who}", 1.0, gap, most_gap, noise, chains, steps)


def _walked(
    kernel: Kernel, target: Target, x: Tensor, steps: int, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Where chains start and end, and which of their coordinates (chains, dim) have been elsewhere on the way."""
    state = checked_init(kernel, target, x, generator)
    start, changed = state.x.clone(), torch.zeros_like(state.x, dtype=torch.bool)
    for _ in range(steps):
        state, _ = checked_step(kernel, target, state, generator)
        changed |= state.x != start
    return start, state.x, changed


def _elsewhere(fresh: Tensor, start: Tensor, target: Target) -> Tensor:
    """Coordinates (dim,) of which chains surely leave the start: in R^dim all, else by how many exact draws do.

    Where as many chains as exact draws had one law, none of them would be elsewhere and k of the draws with
    probability 2^-k at most; there are more draws than chains, so that k is counted for as many as these.
    """
    if not target.discrete:
        return torch.ones_like(start, dtype=torch.bool)
    away = (fresh[: len(fresh) // FRESH] != start).sum(0)
    return away > math.log2(target.dim / LEVEL)


def _noise(n: int) -> float:
    """How far the distribution function of n draws is from that of their law, but for a probability of LEVEL / 2."""
    return math.sqrt(math.log(4 / LEVEL) / (2 * n))
