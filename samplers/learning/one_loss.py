"""A run of one optimiser on one loss: its step, what is noted of it, and what of it a checkpoint holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from samplers.learning import distributed
from samplers.learning.descent import Descent, Stepped
from samplers.learning.job import EVERY, Learning


class OneLoss(Learning):
    """Iterations that each make a number less. descent: the optimiser, which a subclass makes. history: curves by name.

    recent: the losses since the last entry. skipped: iterations whose loss or gradient was not finite. last: what the
    last step was.
    """

    descent: Descent
    last: Stepped

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.history: dict[str, list[float]] = {}
        self.recent: list[float] = []
        self.skipped = 0

    def descend(self, loss: Tensor) -> None:
        """One iteration down the gradient of a loss, averaged over processes; where one has failed none moves."""
        loss.backward()
        value = float(loss.detach())
        distributed.average_gradients(self.descent.every)
        failed = distributed.anywhere(not math.isfinite(value))
        self.last = self.descent.step(math.nan if failed else value)
        self.skipped += self.last.skipped
        self.recent = [*self.recent[1 - EVERY :], value]

    @property
    def mean_loss(self) -> float:
        """That of the last EVERY iterations."""
        return math.fsum(self.recent) / len(self.recent)

    def more(self) -> dict[str, float]:
        """What an entry of the history holds besides."""
        return {}

    def noted(self) -> dict[str, float]:
        """An entry of the history, with `more`."""
        entry = {
            "iteration": float(self.done),
            "loss": self.mean_loss,
            **self.more(),
            "gradient": self.last.gradient,
            "learning_rate": self.descent.rate,
            "skipped": float(self.skipped),
            "seconds": self.seconds,
        }
        for name, value in entry.items():
            self.history.setdefault(name, []).append(value)
        return entry

    def complaints(self) -> Iterator[str]:
        """What must be said of the result, at the end."""
        if self.skipped:
            yield f"{self.skipped} of {self.done} iterations were skipped: their loss or its gradient was not finite"

    def before_step(self) -> dict[str, Any]:
        """Nothing: a step that fails halfway is not made up for."""
        return {}

    def curves(self) -> dict[str, Any]:
        """The part of `state_dict` that is of the curves."""
        return {"history": self.history, "recent": self.recent, "skipped": self.skipped}

    def load_curves(self, saved: dict[str, Any]) -> None:
        """Continue from there."""
        self.history, self.recent, self.skipped = saved["history"], saved["recent"], saved["skipped"]
