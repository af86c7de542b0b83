"""What a run of chains, particles, temperatures, levels or training is: whole steps, and what the next one needs."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Generator

from samplers.draws import Cost
from samplers.runs.header import of_target
from targets import Target
from targets.counting import Tally


class Job(ABC):
    """A run of whole steps; `samplers.runs.loop.go` goes through them.

    name: of the sampler. target: plain, on its device. generator, tally: what steps draw from, and count in. seconds:
    what was spent before. whole: a step that is broken off leaves the run as it was.
    """

    whole: ClassVar[bool] = True

    def __init__(self, name: str, target: Target, generator: Generator, tally: Tally, seconds: float = 0.0) -> None:
        self.name, self.target, self.generator, self.tally = name, target, generator, tally
        self.earlier, self._began = seconds, time.perf_counter()

    # Steps

    @property
    @abstractmethod
    def done(self) -> int:
        """Whole steps so far."""

    @property
    @abstractmethod
    def total(self) -> int | None:
        """Steps in all; None where that is found on the way."""

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.done == self.total

    @abstractmethod
    def step(self) -> None:
        """One whole step."""

    # What is said of it

    @abstractmethod
    def figures(self) -> str:
        """What stands beside the progress bar."""

    @abstractmethod
    def so_far(self) -> str:
        """Where it is, after the word "interrupted"."""

    @property
    def useful(self) -> bool:
        """Whether what is there so far can be given to the user."""
        return False

    def interrupted(self, pressed: bool) -> bool:
        """Whether it ends after this step; `pressed` is Ctrl-C."""
        return pressed

    # What it took

    @property
    def seconds(self) -> float:
        """Wall time of this call and of those before it."""
        return self.earlier + time.perf_counter() - self._began

    @property
    def cost(self) -> Cost:
        """Evaluations and seconds."""
        return Cost(self.tally.log_probs, self.tally.scores, self.seconds)

    # To be continued

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be continued, besides the sampler's name and the target."""

    def header(self) -> dict[str, Any]:
        """All that must agree."""
        return {"sampler": self.name, **self.settings(), **of_target(self.target)}

    def densities(self) -> dict[str, Target]:
        """What must be the same density for a checkpoint to be continued, by role."""
        return {"target": self.target}

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, besides generator and tally, and nothing that a step changes in place."""

    @abstractmethod
    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from there."""

    def before_step(self) -> dict[str, Any]:
        """The part of `state_dict` that a step changes before its end: what a crash halfway leaves as it was."""
        return self.state_dict()
