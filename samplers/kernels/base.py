"""What a Markov kernel is: hyper-parameters, `init` and `step` on a batch of chains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Generator, Tensor

from samplers.adaptation.warmup import Warmup
from samplers.draws import Cost, Draws, LogZ
from samplers.runs import chains as driver
from samplers.runs.checks import check_continuous, check_target
from samplers.runs.starts import positions
from targets import Target


@dataclass(frozen=True, eq=False)
class State:
    """A batch of chains: x (chains, dim), with log_prob (chains,) and score (chains, dim) cached at x.

    score is None for kernels that use none. Fields are replaced with `dataclasses.replace`.
    """

    x: Tensor
    log_prob: Tensor
    score: Tensor | None


@dataclass(frozen=True, eq=False)
class Info:
    """What happened in one step, each of shape (chains,).

    acceptance_rate: probability with which the proposal was accepted, 1 for kernels that always accept;
    diverging: the proposal was not finite (or its energy error was beyond the kernel's limit) and was rejected.
    by_energy: the acceptance rate by the energy error alone, where there is more that rejects.
    """

    acceptance_rate: Tensor
    diverging: Tensor
    energy: Tensor | None = None
    n_steps: Tensor | None = None
    by_energy: Tensor | None = None

    @property
    def by_step_size(self) -> Tensor:
        """The acceptance rate as far as a smaller step size would raise it."""
        return self.acceptance_rate if self.by_energy is None else self.by_energy


@dataclass(frozen=True)
class Findings:
    """What a kernel has learned beside its draws: attributes of the run, log Z, and what a reader must be warned of."""

    attrs: dict[str, Any] = field(default_factory=dict)
    log_z: LogZ | None = None
    warnings: tuple[str, ...] = ()


class Kernel(ABC):
    """A Markov kernel on (chains, dim): a frozen dataclass of hyper-parameters and two pure functions.

    `exact`: the target is the invariant law. `order`: where it is not, the power of the step size in the bias.
    `reversible`: detailed balance holds with respect to that law. The tests read these declarations.
    `discrete`: it moves among the configurations of a DiscreteTarget, others move in R^dim. `usual_divergences`: share
    of steps that may diverge without a warning, where other moves reach what these do not.
    """

    reversible: ClassVar[bool]
    exact: ClassVar[bool]
    order: ClassVar[int | None] = None
    needs_score: ClassVar[bool] = True
    discrete: ClassVar[bool] = False
    target_acceptance: ClassVar[float | None] = None
    usual_divergences: ClassVar[float] = 0.0

    @abstractmethod
    def init(self, target: Target, x: Tensor, generator: Generator) -> State:
        """The state of chains that stand at x, (chains, dim)."""

    @abstractmethod
    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        """One step of every chain."""

    def frozen(self, generator: Generator) -> Kernel:
        """This kernel with the randomness that all chains of a batch share in a step drawn once and fixed.

        A kernel whose chains share nothing is its own. The kernel is a mixture of its frozen forms; each has the
        declared properties, and each moves chains independently of one another.
        """
        del generator
        return self

    def log_ratio(self, old: State, new: State) -> Tensor:
        """log p(y) q(x|y) / (p(x) q(y|x)) of a move from x to y, (chains,) in float64: its weight, not its test."""
        raise NotImplementedError(f"{type(self).__name__} does not tell the density of its moves")

    def check_target(self, target: Target) -> None:
        """TypeError for a target that this kernel cannot move on."""
        check_target(target)
        if self.discrete and not target.discrete:
            raise TypeError(
                f"target: {target.name} lives in R^{target.dim} and {type(self).__name__} moves among configurations "
                "of a DiscreteTarget; expected a kernel such as HMC or MALA"
            )
        if not self.discrete:
            check_continuous(target, self)

    def placed(self, target: Target) -> Self:
        """This kernel with its tensors in the target's dtype and on its device; ValueError where they do not fit."""
        del target
        return self

    def prepare(self, target: Target, seed: int) -> tuple[Kernel, Cost]:
        """The kernel that a run is made with, found for the target where this one leaves it open, and what that took.

        Called once by `sample`, before `placed` and warmup, with the target as the run sees it.
        """
        del target, seed
        return self, Cost()

    def warmup_form(self) -> Kernel:
        """The kernel that runs during warmup in place of this one; its findings are handed to `tuned`."""
        return self

    def tuned(self, warm: Kernel) -> Self:
        """This kernel with what warmup found for `warm`, in the fields that were left to it."""
        del warm
        return self

    def make_warmup(self, steps: int, target: Target) -> Warmup:
        """What tunes this kernel while it runs; see `samplers.adaptation.warmup.Warmup`."""
        return Warmup(self.warmup_form(), steps, target.dim, target.device, target.dtype)

    def starts(self, init: driver.Init, n: int, target: Target, generator: Generator) -> Tensor:
        """Where chains start, (n, dim)."""
        return positions(init, n, target, generator)

    def begin_sampling(self, state: State) -> State:
        """The state at the end of warmup, its records of what happened until then emptied."""
        return state

    def findings(self, target: Target, state: State) -> Findings:
        """What the last state of a run tells beside the draws."""
        del target, state
        return Findings()

    def sample(
        self,
        target: Target,
        *,
        chains: int = 64,
        draws: int = 1000,
        warmup: int = 500,
        thin: int = 1,
        init: driver.Init = None,
        seed: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
        stream: str | Path | None = None,
        keep: Literal["draws", "moments"] = "draws",
    ) -> Draws:
        """Run `chains` chains and keep `draws` draws of each, one in `thin` steps, after `warmup` steps of tuning.

        init: (chains, dim), a function (n, generator) -> (n, dim), or None: prior draws where the target has a
            prior, else uniform on [-2, 2] in unconstrained coordinates; where there is a warmup and a score, each chain
            then goes uphill from there to a draw from the best local Gaussian on its way
            (`samplers.adaptation.pathfinder`).
        seed: same seed, shapes, device and versions give the same bits.
        progress: a progress bar on stderr; None shows one on a terminal.
        checkpoint: a file; a run that stopped is continued by the same call and equals the whole run bit for bit.
        stream: a folder that draws go to in blocks (Zarr), for runs larger than memory; `Draws.x` then reads them.
        keep: "moments" keeps running moments and each chain's last point instead of draws.

        Ctrl-C ends the run and returns the draws so far. Raises ValueError naming the argument for bad ones, and the
        chain for a start where the log-density or score is not finite. Warns (SamplingWarning) about chains that
        never moved and runs that diverged.
        """
        plan = driver.Plan(chains=chains, draws=draws, warmup=warmup, thin=thin, seed=seed, keep=keep)
        return driver.run(
            self,
            target,
            plan,
            init=init,
            device=device,
            dtype=dtype,
            progress=progress,
            checkpoint=checkpoint,
            stream=stream,
        )

    def hyperparameters(self) -> dict[str, Any]:
        """The fields as plain numbers, lists and strings, for records."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {name: value.tolist() if isinstance(value, Tensor) else value for name, value in values.items()}


def evaluate(target: Target, x: Tensor, score: bool = True) -> State:
    """The state at x: log-density and, unless not wanted, score from one evaluation.

    A target that has more to remember at a point (annealing: what both ends of the path say) makes its own state by
    `evaluate_state`; the further fields move with the others.
    """
    own = getattr(target, "evaluate_state", None)
    if own is not None:
        return own(x, score)
    if not score:
        return State(x, target.log_prob(x), None)
    return State(x, *target.log_prob_and_score(x))


def noise_like(x: Tensor, generator: Generator) -> Tensor:
    """Standard normal noise of the shape, dtype and device of x."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def check_kernel(kernel: object, argument: str = "kernel") -> None:
    """TypeError for what is not a kernel, such as a kernel's class."""
    if not isinstance(kernel, Kernel):
        came = f"the class {kernel.__name__}" if isinstance(kernel, type) else type(kernel).__name__
        raise TypeError(f"{argument}: got {came}, expected a kernel such as samplers.HMC()")
