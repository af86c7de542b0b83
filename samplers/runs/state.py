"""A batch of chains, what happened to it in a step, and what a kernel has learned in a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Generator, Tensor

from samplers.draws import LogZ
from targets import Target
from targets.counting import charge


@dataclass(frozen=True, eq=False)
class State:
    """A batch of chains: x (chains, dim), with log_prob (chains,) and score (chains, dim) cached at x.

    score is None for kernels that use none. Fields are replaced with `dataclasses.replace`. A state whose log_prob and
    score belong to another point, such as the middle of the step that led to x, says so by `at_x = False`.

        >>> from samplers.kernels import evaluate
        >>> state = evaluate(targets.Gaussian([0.0, 0.0]), torch.ones(3, 2))
        >>> state.log_prob.shape, state.score[0]
        (torch.Size([3]), tensor([-1., -1.]))
    """

    at_x: ClassVar[bool] = True

    x: Tensor
    log_prob: Tensor
    score: Tensor | None


@dataclass(frozen=True, eq=False)
class Info:
    """What happened in one step, each of shape (chains,) but two.

    acceptance_rate: probability with which the proposal was accepted, 1 for kernels that always accept;
    diverging: the proposal was not finite (or its energy error was beyond the kernel's limit) and was rejected.
    by_energy: the acceptance rate by the energy error alone, where there is more that rejects.

    energy: of HMC, kinetic and potential, at the start of the step; n_steps: leapfrogs made. by_energy too is None of
    other kernels.

    What `Draws.divergent_steps` keeps of a divergent step, None where a kernel does not tell it: proposal
    (chains, dim), where the step would have led; start_momentum (chains, dim), with which its trajectory began, as the
    kernel has it (of HMC p ~ N(0, I) in z = L^-1 x, of MAMS and MCLMC the direction u); energy_error, H at the proposal
    less H at the start, in float64.

        >>> from samplers.kernels import Info
        >>> info = Info(acceptance_rate=torch.ones(4), diverging=torch.zeros(4, dtype=torch.bool))
        >>> info.by_step_size
        tensor([1., 1., 1., 1.])
    """

    acceptance_rate: Tensor
    diverging: Tensor
    energy: Tensor | None = None
    n_steps: Tensor | None = None
    by_energy: Tensor | None = None
    proposal: Tensor | None = None
    start_momentum: Tensor | None = None
    energy_error: Tensor | None = None

    @property
    def by_step_size(self) -> Tensor:
        """The acceptance rate as far as a smaller step size would raise it."""
        return self.acceptance_rate if self.by_energy is None else self.by_energy


S = TypeVar("S", bound=State)


@dataclass(frozen=True)
class Findings:
    """What a kernel has learned beside its draws: attributes of the run, log Z, and what a reader must be warned of."""

    attrs: dict[str, Any] = field(default_factory=dict)
    log_z: LogZ | None = None
    warnings: tuple[str, ...] = ()


class StatefulTarget(Target):
    """A density with more to remember at a point than its value and score, in a State of its own.

    Annealing: what both ends of the path say there. The further fields move with the others.
    """

    def evaluate_state(self, x: Tensor, score: bool = True) -> State:
        """The state at x, (chains, dim), with a score unless it is not wanted."""
        raise NotImplementedError(f"{type(self).__name__} does not define evaluate_state")

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both from one state."""
        state = self.evaluate_state(x)
        assert state.score is not None
        return state.log_prob, state.score


def values(state: State) -> dict[str, Tensor | None]:
    """The fields by name."""
    return {field.name: getattr(state, field.name) for field in fields(state)}


def each(state: S, change: Callable[[Tensor], Tensor]) -> S:
    """The state with every field changed alike, those that are None left out."""
    changed: dict[str, Any] = {name: None if v is None else change(v) for name, v in values(state).items()}
    return replace(state, **changed)


def put_back(state: S, saved: dict[str, Tensor | None]) -> S:
    """A state like this one with the `values` that were saved, on its device; ValueError for fields that it lacks."""
    if unknown := saved.keys() - values(state).keys():
        raise ValueError(
            f"checkpoint: its state has {', '.join(sorted(unknown))}, which a {type(state).__name__} lacks: it was "
            "written by another version of this package. Remove it to start the run from the beginning"
        )
    fresh: dict[str, Any] = saved
    return each(replace(state, **fresh), lambda value: value.to(state.x.device))


def evaluate(target: Target, x: Tensor, score: bool = True) -> State:
    """The state at x: log-density and, unless not wanted, score from one evaluation."""
    if isinstance(target, StatefulTarget):
        charge(target, log_probs=len(x), scores=len(x) if score else 0)
        return target.evaluate_state(x, score)
    if not score:
        return State(x, target.log_prob(x), None)
    return State(x, *target.log_prob_and_score(x))


def noise_like(x: Tensor, generator: Generator) -> Tensor:
    """Standard normal noise of the shape, dtype and device of x."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
