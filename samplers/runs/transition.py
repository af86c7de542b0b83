"""A transition kernel as a run sees it, and what adapts one while it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, ClassVar, Protocol, Self

from torch import Generator, Tensor

from samplers.draws import Cost
from samplers.draws.brief import Brief
from samplers.runs.starts import Init, positions
from samplers.runs.state import Findings, Info, State
from targets import Target


class Adaptation(Protocol):
    """What tunes a kernel while it runs.

    kernel: as tuned so far.
    """

    kernel: Any

    @property
    def jumps(self) -> bool:
        """Whether the density, or its gradient, seems to jump."""

    def uphill(self, target: Target, state: State, generator: Generator) -> Tensor | None:
        """Better starts (chains, dim) than those of a state, of which it may learn; None where it looks for none."""

    def update(self, t: int, state: State, before: State, info: Info, target: Target) -> None:
        """Learn from step number t (from 0) that led from `before` to `state`; `target` is what the kernel moves on."""

    def state_dict(self) -> dict[str, Any]:
        """All that a continued run needs."""

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from there."""


class Transition(Brief, ABC):
    """A Markov transition of (chains, dim): two pure functions, and how a run begins and ends with it.

    usual_divergences: share of steps that may diverge without a warning, where other moves reach what these do not.
    """

    usual_divergences: ClassVar[float] = 0.0

    @property
    @abstractmethod
    def needs_score(self) -> bool:
        """Whether it moves by the score."""

    @abstractmethod
    def init(self, target: Target, x: Tensor, generator: Generator) -> State:
        """The state of chains that stand at x, (chains, dim)."""

    @abstractmethod
    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        """One step of every chain."""

    def placed(self, target: Target) -> Self:
        """This kernel with its tensors in the target's dtype and on its device; ValueError where they do not fit."""
        del target
        return self

    def prepare(self, target: Target, seed: int) -> tuple[Transition, Cost]:
        """The kernel that a run is made with, found for the target where this one leaves it open, and what that took.

        Called once by `sample`, before `placed` and warmup, with the target as the run sees it.
        """
        del target, seed
        return self, Cost()

    def tuned(self, warm: Any) -> Self:
        """This kernel with what warmup found for `warm`, in the fields that were left to it."""
        del warm
        return self

    def starts(self, init: Init, n: int, target: Target, generator: Generator) -> Tensor:
        """Where chains start, (n, dim)."""
        return positions(init, n, target, generator)

    def begin_sampling(self, state: State) -> State:
        """The state at the end of warmup, its records of what happened until then emptied."""
        return state

    def findings(self, target: Target, state: State) -> Findings:
        """What the last state of a run tells beside the draws."""
        del target, state
        return Findings()

    def hyperparameters(self) -> dict[str, Any]:
        """The fields as plain numbers, lists and strings, for records."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in values.items()}

    @abstractmethod
    def check_target(self, target: Target) -> None:
        """TypeError for a target that it cannot move on."""

    @abstractmethod
    def make_warmup(self, steps: int, target: Target) -> Adaptation:
        """What tunes it while it runs."""


def one_step(kernel: Transition, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
    """kernel.step, or a TypeError for a step of a user's kernel that does not return a state and an info."""
    found: Any = kernel.step(target, state, generator)
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], State) and isinstance(found[1], Info):
        return found
    came = f"({', '.join(type(one).__name__ for one in found)})" if isinstance(found, tuple) else type(found).__name__
    raise TypeError(
        f"{type(kernel).__name__}.step: returned {came}, expected (State, Info): the new state, and an Info with the "
        "acceptance_rate and diverging of each chain"
    )
