"""A run of the optimiser: how long it goes on, in one process or several, and its log."""

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path
from typing import Any

from torch import Generator

from samplers.draws.places import file_place
from samplers.learning import distributed
from samplers.runs.job import Job
from samplers.runs.loop import carry_out
from targets import Target

EVERY = 10  # iterations from one entry of the history to the next


class Learning(Job):
    """Iterations until `total`, or until the first after `minutes`; what is learned so far is of use at any time.

    The first of several processes writes the log, TensorBoard's, where a folder is given; each has a checkpoint of its
    own. notes: what is told of the result.
    """

    unit = "iterations"
    useful, whole, foretold = True, False, True
    total: int

    def __init__(
        self,
        name: str,
        target: Target,
        generator: Generator,
        total: int,
        minutes: float | None,
        log_dir: str | Path | None,
    ) -> None:
        super().__init__(name, target, generator, total)
        self.until = None if minutes is None else 60 * minutes
        self.log = Log(None if distributed.rank() else log_dir)
        self.notes: list[str] = []

    @property
    def finished(self) -> bool:
        """Whether no iteration or no time is left, in any process."""
        return self.done == self.total or distributed.anywhere(self.seconds_left < 0)

    @property
    def seconds_left(self) -> float:
        """Of the minutes that it was given."""
        return math.inf if self.until is None else self.until - (self.seconds - self.earlier)

    def stepped(self, pressed: bool) -> bool:
        """What is told of an iteration, and whether it was the last; not in `step`, where an error undoes it."""
        if self.done % EVERY == 0 or self.done == self.total:
            self.log.write(self.done, self.noted())
        self.check()
        stopped = distributed.anywhere(pressed)
        if stopped:
            self.notes.append(f"interrupted {self.so_far()}")
        return stopped

    @abstractmethod
    def noted(self) -> dict[str, float]:
        """An entry of the history, after it was put there."""

    def check(self) -> None:
        """An error, after an iteration, where no more of them will help."""

    def carry_out(self, checkpoint: str | Path | None, progress: bool | None) -> None:
        """All iterations, or those that a checkpoint has not seen."""
        path, rank = None if checkpoint is None else file_place(checkpoint, "checkpoint"), distributed.rank()
        if path is not None and rank:
            path = path.with_name(f"{path.name}.{rank}")
        try:
            carry_out(self, path, False if rank else progress)
        finally:
            self.log.close()
        self.notes += [text for text in self.said if text not in self.notes]


class Log:
    """Scalars for TensorBoard; nothing without a folder. ModuleNotFoundError where it is not installed."""

    def __init__(self, folder: str | Path | None) -> None:
        self._writer: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ModuleNotFoundError("log_dir: needs the package tensorboard: pip install tensorboard") from error
        self._writer = SummaryWriter(str(folder))

    def write(self, iteration: int, entry: dict[str, float]) -> None:
        """One point of every curve."""
        if self._writer is not None:
            for name, value in entry.items():
                if name != "iteration" and math.isfinite(value):
                    self._writer.add_scalar(name, value, iteration)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
