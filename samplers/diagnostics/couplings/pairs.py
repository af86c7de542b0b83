"""Pairs of chains on their way: X_t beside Y_{t-L}, until they meet, and X alone from there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from samplers.diagnostics.couplings.base import Coupling
from samplers.diagnostics.couplings.states import halves, rows, with_rows
from samplers.runs.starts import Init, check_starts, first_state, positions
from samplers.runs.state import State
from targets import Target
from targets.arguments import shown


class Pairs:
    """Many pairs, each independent of the others.

        X_1 .. X_L by the kernel;  then (X_{t+1}, Y_{t+1-L}) by the coupling from (X_t, Y_{t-L})

    t: steps that X has made. times: the first t >= L with X_t = Y_{t-L}, infinite until then, (pairs,).
    x, y: the states, of which those of a pair that has met are both in x. divergences: steps not taken so far.
    """

    def __init__(
        self, coupling: Coupling[Any], target: Target, lag: int, pairs: int, init: Init, generator: Generator
    ) -> None:
        self.coupling, self.target, self.lag, self.generator = coupling, target, lag, generator
        self.t = self.divergences = 0
        self.times = torch.full((pairs,), torch.inf, dtype=torch.float64, device=target.device)
        start: State = first_state(
            lambda init: self._points(init, 2 * pairs), lambda x: coupling.kernel.init(target, x, generator), init
        )
        check_starts(start, "chain", target, init)
        self.x, self.y = halves(start)

    def _points(self, init: Init, n: int) -> Tensor:
        """Draws from the law that both chains start from: one point is the law of that point."""
        if init is not None and not callable(init):
            try:
                point = torch.as_tensor(init)
            except (TypeError, ValueError, RuntimeError):
                raise TypeError(
                    f"init: got {shown(init)}, expected one point ({self.target.dim},) or a function"
                ) from None
            if point.shape != (self.target.dim,):
                raise ValueError(
                    f"init: got shape {tuple(point.shape)}, expected ({self.target.dim},), one point where all chains "
                    "start, or a function (n, generator) -> (n, dim): both chains of a pair start from one law"
                )
            init = point.expand(n, -1)
        return positions(init, n, self.target, self.generator)

    @property
    def apart(self) -> Tensor:
        """The pairs that have not met, as indices."""
        return self.times.isinf().nonzero()[:, 0]

    def step(self, *, everyone: bool) -> None:
        """X one step on, and Y after it; pairs that have met only where `everyone` is to go on."""
        self.t += 1
        if self.t <= self.lag:
            self.x, info = self.coupling.alone(self.target, self.x, self.generator)
            self.divergences += int(info.diverging.sum())
        else:
            met = (~self.times.isinf()).nonzero()[:, 0]
            self._together(self.apart)
            if everyone and len(met):
                moved, info = self.coupling.alone(self.target, rows(self.x, met), self.generator)
                self.x = with_rows(self.x, met, moved)
                self.divergences += int(info.diverging.sum())
        if self.t >= self.lag:
            self._note()

    def _together(self, apart: Tensor) -> None:
        if not len(apart):
            return
        x, y, info = self.coupling.step(self.target, rows(self.x, apart), rows(self.y, apart), self.generator)
        self.x, self.y = with_rows(self.x, apart, x), with_rows(self.y, apart, y)
        self.divergences += int(info.diverging.sum())

    def _note(self) -> None:
        """Who has met at this t."""
        now = self.times.isinf() & self.coupling.met(self.x, self.y)
        self.times = torch.where(now, float(self.t), self.times)


def unmet_in_words(unmet: int, pairs: int, max_steps: int) -> str:
    """What pairs that have not met say."""
    return (
        f"{unmet} of {pairs} pairs of chains have not met within {max_steps} steps: nothing below 1 bounds the total "
        "variation to the invariant law. The kernel mixes more slowly than that, or chains are stuck apart from one "
        "another, such as in different modes"
    )
