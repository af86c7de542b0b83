"""The ladder of temperatures, which warmup moves to equal rejection.

L(b) = sum over swaps below b of their rejection,    b_k such that L(b_k) = k L(1) / K
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Generator

from samplers.adaptation.mass_matrix import weighted_covariance
from samplers.adaptation.warmup import Warmup
from samplers.annealing.given import as_tuple
from samplers.annealing.tempering import Tempering
from samplers.kernels import State
from targets import Target

ROUNDS = (1 / 16, 1 / 8, 1 / 4, 1 / 2)  # shares of the warmup after which the temperatures move


def equal_increments(betas: Sequence[float], barrier: Sequence[float], number: int) -> tuple[float, ...]:
    """`number` temperatures between which the barrier, known at `betas`, grows by equal amounts.

    b as a function of the barrier is interpolated monotonically (PCHIP).
    """
    from scipy.interpolate import PchipInterpolator

    total = barrier[-1]
    if not total > 0:
        return tuple(k / (number - 1) for k in range(number))
    # swaps that never fail take up no room: a trace of it keeps the function single-valued
    rising = [value + 1e-9 * total * k for k, value in enumerate(barrier)]
    inverse = PchipInterpolator(rising, list(betas))
    inner = [float(inverse(rising[-1] * k / (number - 1))) for k in range(1, number - 1)]
    return (0.0, *inner, 1.0)


class LadderWarmup:
    """Tunes the kernel of each temperature by `Warmup`, and the temperatures in rounds that double in length.

    After each round they move to where the rejections it has seen, interpolated, would be equal: Syed et al. 2022,
    algorithm 2. The number of temperatures stays. The last half of the steps leaves them where they are.
    """

    def __init__(self, sampler: Tempering, steps: int, target: Target) -> None:
        self._levels = [Warmup(kernel.warmup_form(), steps, target) for kernel in as_tuple(sampler.kernel)]
        if sampler.clouds is not None and not target.discrete:
            for level, beta in zip(self._levels, sampler.betas[1:], strict=True):
                points = sampler.clouds.at(beta)
                equal = points.new_full((len(points),), 1 / len(points), dtype=torch.float64)
                level.begin(weighted_covariance(points, equal, dense=True).to(target.dtype))
        self.kernel: Tempering = replace(sampler, temperatures=sampler.betas)
        self._ends = frozenset(round(share * steps) for share in ROUNDS if sampler.adapts)
        self._rejection = torch.zeros(sampler.levels - 1, dtype=torch.float64, device=target.device)
        self._seen = 0
        self._renew()

    @property
    def jumps(self) -> bool:
        """Whether the target was found to jump; the densities of other temperatures are not looked at."""
        return self._levels[-1].jumps

    def uphill(self, target: Target, state: State, generator: Generator) -> None:
        """Replicas stay where the pilot or the base has put them."""

    def update(self, t: int, state: State, before: State, info: Any, target: Target) -> None:
        densities = self.kernel.rungs(target).densities[1:]
        for level, density, (after, from_there, how) in zip(self._levels, densities, info.moves, strict=True):
            level.update(t, after, from_there, how, density)
        if self._ends:
            self._rejection = self._rejection + info.rejection.mean(0)
            self._seen += 1
        if t + 1 in self._ends:
            self._respace()
        self._renew()

    def _respace(self) -> None:
        barrier = [0.0]
        for rejection in (self._rejection / self._seen).tolist():
            barrier.append(barrier[-1] + rejection)
        spaced = equal_increments(self.kernel.betas, barrier, len(barrier))
        self.kernel = replace(self.kernel, temperatures=spaced)
        self._rejection, self._seen = torch.zeros_like(self._rejection), 0

    def _renew(self) -> None:
        kernels = tuple(level.kernel for level in self._levels)
        if any(a is not b for a, b in zip(kernels, as_tuple(self.kernel.kernel), strict=True)):
            self.kernel = replace(self.kernel, kernel=kernels)

    def state_dict(self) -> dict[str, Any]:
        return {
            "levels": [level.state_dict() for level in self._levels],
            "betas": list(self.kernel.betas),
            "rejection": self._rejection,
            "seen": self._seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for level, saved in zip(self._levels, state["levels"], strict=True):
            level.load_state_dict(saved)
        self.kernel = replace(self.kernel, temperatures=tuple(state["betas"]))
        self._rejection, self._seen = state["rejection"].to(self._rejection.device), state["seen"]
        self._renew()
