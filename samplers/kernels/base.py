"""What a Markov kernel is: a transition of a batch of chains, with what it declares, and the verb `sample`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor

from samplers.adaptation.warmup import Warmup
from samplers.draws import Draws
from samplers.draws.places import file_place, folder_place
from samplers.runs.chains import Chains
from samplers.runs.checkpoint import check_begun
from samplers.runs.checks import DISCRETE_KERNEL, check_continuous, check_target
from samplers.runs.plan import Plan
from samplers.runs.starts import Init
from samplers.runs.state import State, evaluate
from samplers.runs.threads import Threads
from samplers.runs.transition import Adaptation, Transition
from samplers.runs.until import Until, as_until
from targets import Target
from targets.compiled import asked


@dataclass(frozen=True, eq=False)
class Kernel(Transition):
    """A Markov kernel on (chains, dim): a frozen dataclass of hyper-parameters and two pure functions.

    `exact`, `reversible`, `order` and `target_acceptance` are declared by every kernel, as class variables or, where
    they follow from its hyper-parameters, as properties. The tests and warmup read them.
    `discrete`: it moves among the configurations of a DiscreteTarget, others move in R^dim.

    A subclass writes `step`, and `init` where its state holds more than density and score. It has the verb `sample`.

        >>> kernel = samplers.MALA(step_size=0.1)
        >>> kernel.exact, kernel.reversible, samplers.ULA().order
        (True, True, 1)
        >>> target, generator = targets.Gaussian([0.0, 0.0]), torch.Generator().manual_seed(0)
        >>> state = kernel.init(target, torch.zeros(5, 2), generator)
        >>> state, info = kernel.step(target, state, generator)
        >>> state.x.shape, info.acceptance_rate.shape
        (torch.Size([5, 2]), torch.Size([5]))
    """

    discrete: ClassVar[bool] = False

    @property
    def needs_score(self) -> bool:
        """Whether it moves by the score."""
        return not self.discrete

    @property
    def exact(self) -> bool:
        """Whether the target is the invariant law."""
        raise NotImplementedError(f"{type(self).__name__} does not declare `exact`")

    @property
    def reversible(self) -> bool:
        """Whether detailed balance holds with respect to the invariant law."""
        raise NotImplementedError(f"{type(self).__name__} does not declare `reversible`")

    @property
    def order(self) -> int | None:
        """The power of the step size in the bias, where the target is not the invariant law."""
        return None

    @property
    def target_acceptance(self) -> float | None:
        """The acceptance that warmup tunes the step size to; None leaves it alone."""
        return None

    @property
    def evaluations(self) -> int:
        """Of the score of all chains in a step, as counted before a run."""
        return 1

    def init(self, target: Target, x: Tensor, generator: Generator) -> State:
        """The state of chains that stand at x, (chains, dim)."""
        if self.discrete:
            self.check_target(target)
        return evaluate(target, x, self.needs_score)

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
            own = type(self).__module__.partition(".")[0] != "samplers"
            way_out = ", or a kernel of your own that declares discrete: ClassVar[bool] = True" if own else ""
            check_continuous(target, self, expected=DISCRETE_KERNEL + way_out)

    def warmup_form(self) -> Kernel:
        """The kernel that runs during warmup in place of this one; its findings are handed to `tuned`."""
        return self

    def make_warmup(self, steps: int, target: Target) -> Adaptation:
        """What tunes this kernel while it runs; see `samplers.adaptation.warmup.Warmup`."""
        return Warmup(self.warmup_form(), steps, target)

    def sample(
        self,
        target: Target,
        *,
        chains: int = 64,
        draws: int = 1000,
        warmup: int = 500,
        thin: int = 1,
        init: Init = None,
        seed: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
        stream: str | Path | None = None,
        keep: Literal["draws", "moments"] = "draws",
        until: Until | Mapping[str, Any] | None = None,
        threads: int | Literal["measured"] | None = None,
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
        until: the precision at which the run ends by itself, a `samplers.Until` or its fields by name, such as
            {"ess": 1000}; `draws` is then the largest number, and a warning says where that was not enough.
        threads: of torch while it runs, put back afterwards. None: one for small tensors, for large ones what is faster
            where that changes no bit, else all; a number; or "measured", what is faster whatever the bits
            (`samplers.runs.threads`).

        Ctrl-C ends the run and returns the draws so far. Raises ValueError naming the argument for bad ones, and the
        chain for a start where the log-density or score is not finite. Warns (SamplingWarning) about chains that
        never moved and runs that diverged.
        """
        plan = Plan(chains=chains, draws=draws, warmup=warmup, thin=thin, seed=seed, keep=keep)
        end = as_until(until)
        self.check_target(target)
        path = None if checkpoint is None else file_place(checkpoint, "checkpoint")
        folder = None if stream is None else folder_place(stream, "stream")
        target = target.to(device, dtype)
        check_begun(path, type(self).__name__, plan.lengths(open_ended=end is not None), target)
        with Threads(threads) as count, asked(plan.chains, plan.steps * self.evaluations):
            kernel, spent = self.prepare(target, plan.seed)
            return Chains(kernel, target, plan, init, folder, spent, end, count).draws(path, progress)


def check_kernel(kernel: object, argument: str = "kernel") -> None:
    """TypeError for what is not a kernel, such as a kernel's class."""
    if not isinstance(kernel, Kernel):
        came = f"the class {kernel.__name__}" if isinstance(kernel, type) else type(kernel).__name__
        raise TypeError(f"{argument}: got {came}, expected a kernel such as samplers.HMC()")
