"""The state of parallel tempering, and what it tells at the end of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from samplers.annealing.evidence import MANY_DIVERGENCES
from samplers.annealing.rungs import Ends
from samplers.draws import LogZ
from samplers.kernels import State
from samplers.runs.state import Findings

FEW_CHAINS, MOST_OF_ONE = 4, 0.5  # from so many chains on, no one makes half of a sum where all is well
HIGH_REJECTION = 0.95
ROUNDED = 6


@dataclass(frozen=True, eq=False)
class TemperingState(State):
    """All replicas of each chain; x, log_prob are those of the last level, the target's.

    positions (chains, levels, dim), and what both ends of the path say there where it is remembered. walker: which
    replica lies at each level; phase: of each replica, 0 until it has been at the base, 1 since, 2 since it then
    reached the target. Sums over steps: trips (chains,) from base to target and back; rejected, up, down (chains,
    levels - 1) of the probability to reject a swap, log sum exp(w/2) at the lower and log sum exp(-w/2) at the upper
    level; diverged, accepted (chains, levels).
    """

    positions: Tensor
    base_log_prob: Tensor | None
    target_log_prob: Tensor | None
    base_score: Tensor | None
    target_score: Tensor | None
    walker: Tensor
    phase: Tensor
    steps: Tensor
    trips: Tensor
    rejected: Tensor
    up: Tensor
    down: Tensor
    diverged: Tensor
    accepted: Tensor

    @classmethod
    def start(cls, positions: Tensor, log_prob: Tensor, ends: Ends) -> Self:
        """Replicas at these points, nothing recorded."""
        chains, levels, _ = positions.shape
        count = torch.zeros(chains, levels, dtype=torch.int64, device=positions.device)
        sums = torch.zeros(chains, levels - 1, dtype=torch.float64, device=positions.device)
        return cls(
            positions[:, -1],
            log_prob,
            None,
            positions,
            **ends.__dict__,
            walker=torch.arange(levels, device=positions.device).repeat(chains, 1),
            phase=count,
            steps=count[:, 0],
            trips=count[:, 0],
            rejected=sums,
            up=sums - torch.inf,
            down=sums - torch.inf,
            diverged=count,
            accepted=torch.zeros(chains, levels, dtype=torch.float64, device=positions.device),
        )

    @property
    def ends(self) -> Ends:
        """What is remembered of both ends of the path."""
        return Ends(self.base_log_prob, self.target_log_prob, self.base_score, self.target_score)

    def emptied(self) -> Self:
        """The same replicas, nothing recorded."""
        fresh = self.start(self.positions, self.log_prob, self.ends)
        return replace(fresh, steps=self.steps % 2)

    def swapped(self, swap: Tensor, positions: Tensor, ends: Ends) -> Self:
        """These positions and ends with levels k and k + 1 exchanged where swap (chains, levels - 1) holds."""
        level = torch.arange(positions.shape[1], device=swap.device)
        source = level + torch.nn.functional.pad(swap.long(), (0, 1)) - torch.nn.functional.pad(swap.long(), (1, 0))

        def carry(values: Tensor) -> Tensor:
            index = source if values.ndim == 2 else source[..., None].expand_as(values)
            return values.gather(1, index)

        moved = {name: None if value is None else carry(value) for name, value in vars(ends).items()}
        places, walker = carry(positions), carry(self.walker)
        first, last = walker[:, :1], walker[:, -1:]
        back = self.phase.gather(1, first) == 2
        phase = self.phase.scatter(1, first, 1)
        phase = phase.scatter(1, last, torch.where(phase.gather(1, last) == 1, 2, phase.gather(1, last)))
        trips = self.trips + back[:, 0]
        changes: dict[str, Any] = {"positions": places, "walker": walker, "phase": phase, "trips": trips, **moved}
        return replace(self, x=places[:, -1], **changes)

    def recorded(self, here: Tensor, there: Tensor, rejection: Tensor, diverging: Tensor, rates: Tensor) -> Self:
        """With a step added to the sums: w at the points of level k and of level k + 1, before the swap."""
        return replace(
            self,
            steps=self.steps + 1,
            rejected=self.rejected + rejection,
            up=torch.logaddexp(self.up, 0.5 * here),
            down=torch.logaddexp(self.down, -0.5 * there),
            diverged=self.diverged + diverging,
            accepted=self.accepted + rates,
        )


def findings(state: TemperingState, betas: Sequence[float], base_log_z: float) -> Findings:
    """Rejections, barrier, round trips and log Z of the steps that a state has recorded."""
    steps, chains = int(state.steps[0]), len(state.x)
    if steps == 0:
        return Findings()
    rejection = (state.rejected.mean(0) / steps).tolist()
    trips = int(state.trips.sum())
    tempering = {
        "betas": list(betas),
        "rejection": [round(r, ROUNDED) for r in rejection],
        "barrier": round(math.fsum(rejection), ROUNDED),
        "round_trips": trips,
        "round_trips_per_1000_steps": round(1000 * trips / (steps * chains), ROUNDED),
        "acceptance": [round(a, ROUNDED) for a in (state.accepted.mean(0) / steps).tolist()],
        "divergences": state.diverged.sum(0).tolist(),
    }
    warnings = tuple(_complaints(state, betas, rejection, trips, steps))
    return Findings({"tempering": tempering}, bridge_log_z(state, base_log_z), warnings)


def bridge_log_z(state: TemperingState, base_log_z: float) -> LogZ:
    """log Z = log Z_0 + sum_k log E_k[exp(w_k / 2)] - log E_{k+1}[exp(-w_k / 2)], jackknife error over the chains.

    Both expectations have finite variance wherever Z is finite: E_k[exp(w_k)] and E_{k+1}[exp(-w_k)] are ratios of Z.
    """
    up, down = state.up.logsumexp(0), state.down.logsumexp(0)
    value = float((up - down).sum()) + base_log_z
    n = len(state.x)
    if n < 2:
        return LogZ(value, math.nan)
    without = torch.log1p(-(state.up - up).exp()) - torch.log1p(-(state.down - down).exp())
    parts = without.sum(1)
    return LogZ(value, float(((n - 1) / n * (parts - parts.mean()).square().sum()).sqrt()))


def _complaints(
    state: TemperingState, betas: Sequence[float], rejection: Sequence[float], trips: int, steps: int
) -> Iterator[str]:
    worst = max(range(len(rejection)), key=lambda k: rejection[k])
    if trips == 0:
        yield (
            f"no replica went from base to target and back in {steps} steps of {len(state.x)} chains: the draws may "
            "tell of their starts alone. Take more steps or more temperatures (most swaps are rejected between "
            f"b = {betas[worst]:.3g} and {betas[worst + 1]:.3g}: {rejection[worst]:.0%})"
        )
    elif rejection[worst] > HIGH_REJECTION:
        yield (
            f"{rejection[worst]:.0%} of the swaps between b = {betas[worst]:.3g} and {betas[worst + 1]:.3g} are "
            "rejected. Take more temperatures"
        )
    share = max(float((sums - sums.logsumexp(0)).exp().max()) for sums in (state.up, state.down))
    if trips and len(state.x) >= FEW_CHAINS and share > MOST_OF_ONE:
        yield (
            f"log Z rests on one chain of {len(state.x)}, which makes {share:.0%} of a sum over all: it sits where its "
            "neighbours are never. Do not use log Z; take a longer warmup, more temperatures or a wider base"
        )
    below = state.diverged[:, :-1]
    count = int(below.sum())
    if count > MANY_DIVERGENCES * below.numel() * steps:
        yield (
            f"{count} of {below.numel() * steps} moves at temperatures below the target's diverged: proposals had a "
            "non-finite density or a large energy error and were rejected"
        )
