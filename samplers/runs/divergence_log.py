"""What is kept of divergent steps while a run goes on.

Whether a step diverged is read from the device, for which a GPU has to be waited for: there the steps of a block are
held as they are, and looked at together. On the CPU each step is looked at by itself. Once as many as a run keeps are
there, nothing is looked at any more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from samplers.draws.divergent_steps import DivergentSteps, most_kept
from samplers.runs.plan import Plan
from samplers.runs.state import Info
from targets import Target

MOST_HELD, HELD_BYTES = 64, 64 * 2**20  # steps of a block, and what their positions and momenta may take


class Tried(NamedTuple):
    """Where steps began and would have led, of all chains or of some, as of `DivergentSteps`."""

    start: Tensor
    end: Tensor | None
    momentum: Tensor | None
    energy_error: Tensor | None
    n_steps: Tensor | None


class Held(NamedTuple):
    """A step of all chains that has not been looked at yet; step: its number after warmup, from 0."""

    step: int
    diverging: Tensor
    tried: Tried


class Kept(NamedTuple):
    """Divergent steps: number of the step, chain, and what was tried, each with k rows."""

    step: Tensor
    chain: Tensor
    tried: Tried


class DivergenceLog:
    """The first divergent steps of a run, as many as `most_kept` says.

    block: steps that are held before they are looked at; None takes what suits the device.
    """

    def __init__(self, plan: Plan, target: Target, block: int | None = None) -> None:
        itemsize = torch.finfo(target.dtype).bits // 8
        self._warmup, self._thin, self._device = plan.warmup, plan.thin, target.device
        self._room = most_kept(target.dim, itemsize)
        of_a_step = 3 * plan.chains * target.dim * itemsize
        alone = target.device.type == "cpu"
        self._block = block or (1 if alone else max(1, min(MOST_HELD, HELD_BYTES // of_a_step)))
        self._held: list[Held] = []
        self._kept: list[Kept] = []

    def add(self, t: int, start: Tensor, info: Info) -> None:
        """Take in step number t of the run, made after warmup from `start`, (chains, dim)."""
        if self._room and (self._block > 1 or bool(info.diverging.any())):
            tried = Tried(start, info.proposal, info.start_momentum, info.energy_error, info.n_steps)
            self._held.append(Held(t - self._warmup, info.diverging, tried))
            if len(self._held) >= self._block:
                self._look()

    def _look(self) -> None:
        """Keep what has diverged of the steps that are held."""
        if not self._held:
            return
        every = [step.diverging for step in self._held]
        found, room = [], self._room
        if bool((every[0] if len(every) == 1 else torch.stack(every)).any()):
            for step in self._held:
                which = step.diverging.nonzero()[:room, 0]
                if len(which):
                    found.append(Kept(torch.full_like(which, step.step), which, _rows(step.tried, which)))
                    room -= len(which)
        self._kept, self._held, self._room = self._kept + found, [], room

    def _together(self) -> Kept | None:
        """All that is kept; None where no step has diverged."""
        self._look()
        if not self._kept:
            return None
        steps, chains, tried = zip(*self._kept, strict=True)
        columns = [_joined(parts) for parts in zip(*tried, strict=True)]
        self._kept = [Kept(torch.cat(steps), torch.cat(chains), Tried(*columns))]
        return self._kept[0]

    def result(self, divergences: Tensor) -> DivergentSteps | None:
        """All so far, None where no step has diverged; divergences: how many have, of each chain."""
        found = self._together()
        if found is None:
            return None
        more = int(divergences.sum()) - len(found.step)
        return DivergentSteps(found.chain, found.step // self._thin, **found.tried._asdict(), more=more)

    def state_dict(self) -> dict[str, Tensor | None] | None:
        """All there is to continue; None where no step has diverged."""
        found = self._together()
        return None if found is None else {"step": found.step, "chain": found.chain, **found.tried._asdict()}

    def load_state_dict(self, saved: dict[str, Any] | None, done: int) -> None:
        """Continue from `state_dict()` after `done` steps of the run, without what a step that was broken off left."""
        if saved is None:
            return
        here: dict[str, Any] = {name: None if one is None else one.to(self._device) for name, one in saved.items()}
        which = (here["step"] < done - self._warmup).nonzero()[:, 0]
        if len(which):
            tried = _rows(Tried(**{name: here[name] for name in Tried._fields}), which)
            self._kept = [Kept(here["step"][which], here["chain"][which], tried)]
            self._room -= len(which)


def _rows(tried: Tried, which: Tensor) -> Tried:
    return Tried(*(None if value is None else value[which] for value in tried))  # type: ignore[arg-type]


def _joined(parts: tuple[Tensor | None, ...]) -> Any:
    """The rows of all parts; None where one has none."""
    there = [part for part in parts if part is not None]
    return torch.cat(there) if len(there) == len(parts) else None
