"""Where a run's draws go: memory, disk, or running moments."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samplers.draws import Cost, Draws
from samplers.draws.moments import RunningMoments
from samplers.draws.stream import Stream, StreamedDraws
from samplers.runs.plan import Plan
from samplers.runs.state import Info, State
from targets import Target

STATISTICS = ("acceptance_rate", "diverging", "energy", "n_steps")


class Recorder:
    """Room for a block of draws, allocated once: the whole run, or 64 MB of it when streaming; none for moments.

    room: draws that there is room for at first, where it is not known how many there will be; `reserve` makes more.
    """

    def __init__(self, plan: Plan, target: Target, stream: Path | None, room: int | None = None) -> None:
        self._plan, self._target = plan, target
        if stream is not None and plan.keep == "moments":
            raise ValueError("stream, keep: a run that keeps moments only has no draws to stream")
        itemsize = torch.finfo(target.dtype).bits // 8
        self._stream = None
        self._block = plan.draws if room is None else min(room, plan.draws)
        if stream is not None:
            self._block = Stream.block(plan.chains, target.dim, itemsize, plan.draws)
            self._stream = Stream(stream, plan.draws)
        running = plan.keep == "moments" or stream is not None
        self.moments = RunningMoments(target.dim, target.device) if running else None
        self._x: Tensor | None = None
        self._stats: dict[str, Tensor] = {}
        self._filled = 0  # draws in the present block
        self.moved: Tensor | None = None

    def begin(self) -> None:
        """A new run: FileExistsError where the folder of its stream holds another one."""
        if self._stream is not None:
            self._stream.begin()

    def write(self, state: State, info: Info) -> None:
        """Take in one draw of every chain."""
        if self._plan.keep == "draws":
            self._store(state, info)
        if self.moments is not None:
            self.moments.update(state.x)

    def _store(self, state: State, info: Info) -> None:
        found = {"lp": state.log_prob} if state.at_x and self._target.has_density else {}
        found |= {name: value for name in STATISTICS if (value := getattr(info, name)) is not None}
        if self._x is None:
            rows, chains = self._block, self._plan.chains
            self._x = state.x.new_empty(rows, chains, self._target.dim)
            self._stats = {name: value.new_empty(rows, chains) for name, value in found.items()}
        if self._filled == self._block:
            self._flush()  # first, so that a full disk leaves everything as it was before this draw
            if self._stream is None:
                self.reserve(2 * self._block)
        self._x[self._filled] = state.x
        for name, room in self._stats.items():
            room[self._filled] = found[name]
        self._filled += 1

    def reserve(self, draws: int) -> None:
        """Make room for so many draws in memory, as far as the run may have them; those that are there are copied."""
        draws = min(draws, self._plan.draws)
        if self._stream is not None or self._x is None or draws <= self._block:
            return
        self._block, n = draws, self._filled
        self._x = _room(self._x[:n], draws, self._x.device)
        self._stats = {name: _room(value[:n], draws, value.device) for name, value in self._stats.items()}

    def every(self, thin: int) -> Tensor:
        """Every thin-th draw so far, from the first on, (chains, some, dim)."""
        assert self._x is not None
        if self._stream is None or not self._stream.complete:
            return self._x[: self._filled : thin].transpose(0, 1)
        written = self._stream.every(thin).to(self._x.device)
        return torch.cat([written, self._x[-self._stream.complete % thin : self._filled : thin]]).transpose(0, 1)

    def _flush(self) -> None:
        """Send what the block holds to the disk, where draws are streamed."""
        if self._stream is not None and self._filled and self._x is not None:
            n = self._filled
            self._stream.write(self._x[:n], {name: room[:n] for name, room in self._stats.items()}, self._block)
            self._filled = 0

    def keep_quietly(self) -> None:
        """Send what the block holds to the disk on the way out of an error, which must stay the one that is seen.

        A checkpoint holds the block too, and continues after the blocks that were whole when it was written.
        """
        with contextlib.suppress(OSError, RuntimeError):
            self._flush()

    def result(self, last: Tensor, attrs: dict[str, Any], cost: Cost) -> Draws:
        """The draws so far; with moments only, each chain's last point."""
        if self._plan.keep == "moments":
            return Draws(last[:, None], cost=cost, target=self._target, attrs=attrs, moments=self.moments)
        if self._stream is not None:
            self._flush()
            return StreamedDraws(self._stream.path, self._target, cost=cost, attrs=attrs, moments=self.moments)
        assert self._x is not None
        n = self._filled
        x = self._x[:n].transpose(0, 1)
        if n > 1:
            self.moved = (x != x[:, :1]).any(-1).any(-1)
        stats = {name: room[:n].transpose(0, 1) for name, room in self._stats.items()}
        return Draws(x, stats=stats, cost=cost, target=self._target, attrs=attrs)

    def state_dict(self) -> dict[str, Any]:
        """All there is to continue: the present block, and how many draws are on disk."""
        n = self._filled
        return {
            "complete": None if self._stream is None else self._stream.complete,
            "moments": None if self.moments is None else self.moments.state_dict(),
            "x": None if self._x is None else self._x[:n].clone(),
            "stats": {name: room[:n].clone() for name, room in self._stats.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""
        if self.moments is not None:
            self.moments.load_state_dict(state["moments"])
        if self._stream is not None:
            self._stream.go_back(state["complete"])
        if state["x"] is None:
            return
        self._filled = len(state["x"])
        if self._stream is None:
            self._block = max(self._block, self._filled)
        rows, device = self._block, self._target.device
        self._x = _room(state["x"], rows, device)
        self._stats = {name: _room(value, rows, device) for name, value in state["stats"].items()}


def _room(filled: Tensor, rows: int, device: torch.device) -> Tensor:
    room = filled.new_empty(rows, *filled.shape[1:], device=device)
    room[: len(filled)] = filled.to(device)
    return room
