"""What a run of chains, particles, temperatures, levels or training is: whole steps, and what the next one needs."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Generator, Tensor

from samplers.draws import Cost
from samplers.runs.header import of_target
from targets import Target
from targets.counting import Counted, Tally


class Job(ABC):
    """A run of whole steps; `samplers.runs.loop.carry_out` goes through them.

    name: of the sampler. target: plain, on its device; counted: the same with what its evaluations are counted in.
    generator: what steps draw from. total, done: steps in all, None where that is found on the way, and whole steps so
    far. unit: what a step is called. useful: whether what is there before the last step can be given. whole: a step
    that is broken off leaves the run as it was. said: what the run has warned of so far, also before a checkpoint.
    foretold: whether it is said beforehand how long it will take; seconds_left: in which it ends in any case.
    """

    unit: ClassVar[str]
    useful: bool = False
    whole: ClassVar[bool] = True
    foretold: ClassVar[bool] = False

    def __init__(
        self, name: str, target: Target, generator: Generator, total: int | None, tally: Tally | None = None
    ) -> None:
        self.name, self.target, self.generator, self.total = name, target, generator, total
        self.tally = Tally() if tally is None else tally
        self.counted = Counted(target, self.tally)
        self.done = 0
        self.said: list[str] = []
        self.earlier, self._began = 0.0, time.perf_counter()

    # Steps

    @abstractmethod
    def begin(self) -> Tensor:
        """All before the first step; returns points (n, dim) at which the densities are known again."""

    @abstractmethod
    def step(self) -> None:
        """Step number `done`, from 0."""

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.done == self.total

    def stepped(self, pressed: bool) -> bool:
        """After a whole step, whether the run ends here; `pressed` is Ctrl-C."""
        return pressed

    @property
    def settled(self) -> bool:
        """Whether steps are by now what the later ones will be, so that their pace tells how long these take."""
        return True

    @property
    def seconds_left(self) -> float:
        """Seconds after which it ends, wherever it is."""
        return math.inf

    # What is said of it

    @abstractmethod
    def figures(self) -> str:
        """What stands beside the progress bar."""

    def so_far(self) -> str:
        """How far it is."""
        return f"after {self.done} of {self.total} {self.unit}"

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
        """All that the next step depends on, besides generator and counts."""

    @abstractmethod
    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from there, in place of `begin`."""

    def before_step(self) -> dict[str, Any]:
        """The part of `state_dict` that a step changes before its end, which a crash halfway must leave as it was.

        Nothing in it may be changed in place by the step.
        """
        return self.state_dict()
