"""What the adapters share: the checks, the starts, the record of a run."""

from __future__ import annotations

import importlib.util
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from samplers.draws import Cost, Draws
from samplers.draws.brief import Brief
from samplers.draws.kept import remembering
from samplers.runs.checks import check_continuous
from samplers.runs.header import of_target, plain
from samplers.runs.plan import Plan
from samplers.runs.starts import Init, check_starts, first_state, positions
from samplers.runs.state import evaluate
from samplers.version import versions
from targets import Target
from targets.arguments import brief
from targets.counting import Counted
from targets.sampling_warning import warn


@dataclass(frozen=True)
class Peer(Brief, ABC):
    """A sampler of another package: a frozen dataclass of its hyper-parameters. `packages`: what it needs.

    A run raises ModuleNotFoundError that names a package which is not there.

        >>> from samplers.peers import Emcee
        >>> Emcee().packages, Emcee(stretch=3.0).hyperparameters()
        (('emcee',), {'stretch': 3.0})
    """

    packages: ClassVar[tuple[str, ...]]

    def check(self, target: Target, checkpoint: str | Path | None) -> None:
        """TypeError for a target that it cannot move on, ModuleNotFoundError where its package is missing."""
        check_continuous(target, self)
        if checkpoint is not None:
            raise ValueError(f"checkpoint: got {str(checkpoint)!r}, expected None: {type(self).__name__} keeps none")
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                raise ModuleNotFoundError(
                    f"{type(self).__name__} needs the package {package}: pip install 'unnorm[peers]'"
                )

    def hyperparameters(self) -> dict[str, Any]:
        """The fields, for records."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def record(self, target: Target) -> dict[str, Any]:
        """Attributes of a run: who, on what, in which versions."""
        return {
            "sampler": type(self).__name__,
            "hyperparameters": plain(self.hyperparameters()),
            **of_target(target),
            "versions": versions() | {package: version(package) for package in self.packages},
        }


@dataclass(frozen=True)
class ChainRun:
    """What a peer's run gives: x (chains, steps, dim) and stats (chains, steps) of all steps after warmup.

    divergences: how many of them were, (chains,), or (1,) for all chains together. found: what else to record.
    """

    x: Tensor
    stats: dict[str, Tensor]
    divergences: Tensor
    found: dict[str, Any]


@dataclass(frozen=True)
class ChainPeer(Peer):
    """A peer that runs chains.

    A subclass writes `run`, from starts (chains, dim) to positions and statistics of all steps.

        >>> from samplers.peers import ChainPeer, NumpyroNUTS
        >>> issubclass(NumpyroNUTS, ChainPeer)
        True
    """

    needs_score: ClassVar[bool] = True

    def default_chains(self, target: Target) -> int:
        """As many as its users run."""
        del target
        return 4

    def check_chains(self, chains: int, target: Target) -> None:
        """ValueError for a number of chains that it cannot run."""

    @abstractmethod
    def run(self, target: Counted, x: Tensor, plan: Plan) -> ChainRun:
        """Chains from x, (chains, dim): warmup, then draws * thin steps."""

    @remembering
    def sample(
        self,
        target: Target,
        *,
        chains: int | None = None,
        draws: int = 1000,
        warmup: int = 1000,
        thin: int = 1,
        init: Init = None,
        seed: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
    ) -> Draws:
        """Run `chains` chains and keep `draws` draws of each, one in `thin` steps, after `warmup` steps.

        chains: None takes what the package's users do, `default_chains`.
        init: as for kernels, (chains, dim), a function (n, generator) -> (n, dim), or None: prior draws where the
            target has a prior, else uniform on [-2, 2]; chains begin there, nothing goes uphill first.
        seed: same seed, shapes and versions give the same draws. device: where the target is evaluated.
        progress, checkpoint: for the sake of the verb; there is no bar, and a checkpoint is an error.

        `cost` counts every evaluated point; its seconds hold compilation. Memory grows as draws * thin. Raises
        TypeError for a discrete target, ValueError naming the argument for bad ones and the chain for a start where
        the density is not finite, ModuleNotFoundError where the package is missing. Warns (SamplingWarning) about
        chains that never moved and steps that diverged.
        """
        del progress
        self.check(target, checkpoint)
        chains = self.default_chains(target) if chains is None else chains
        plan = Plan(chains=chains, draws=draws, warmup=warmup, thin=thin, seed=seed, keep="draws")
        self.check_chains(chains, target)
        began = time.perf_counter()
        counted = Counted(target.to(device, dtype))
        with torch.no_grad():
            run = self.run(counted, self._starts(counted, init, plan), plan)
        seconds = time.perf_counter() - began
        result = self._draws(run, counted, plan, seconds)
        say(_complaints(run, plan))
        return result

    def _starts(self, target: Counted, init: Init, plan: Plan) -> Tensor:
        generator = Generator(target.device).manual_seed(plan.seed)
        state = first_state(
            lambda init: positions(init, plan.chains, target.inner, generator),
            lambda x: evaluate(target, x, self.needs_score),
            init,
        )
        check_starts(state, "chain", target, init)
        return state.x

    def _draws(self, run: ChainRun, target: Counted, plan: Plan, seconds: float) -> Draws:
        kept = slice(plan.thin - 1, None, plan.thin)
        return Draws(
            run.x[:, kept],
            stats={name: value[:, kept] for name, value in run.stats.items()},
            cost=Cost(target.log_probs, target.scores, seconds),
            target=target.inner,
            kernel=self,
            attrs=self.record(target.inner) | asdict(plan) | run.found,
            divergences=run.divergences,
        )


def say(messages: list[str]) -> None:
    """Each as a SamplingWarning, at the line that called `sample`."""
    for message in messages:
        warn(message)


def _complaints(run: ChainRun, plan: Plan) -> list[str]:
    found = []
    steps = plan.draws * plan.thin
    where = (run.x == run.x[:, :1]).all(-1).all(-1).nonzero()[:, 0].tolist() if steps > 1 else []
    if where:
        found.append(f"{len(where)} of {plan.chains} chains never moved in {steps} steps (chains {brief(where)})")
    count = int(run.divergences.sum())
    if count:
        found.append(f"{count} of {steps * plan.chains} steps diverged: a non-finite density or a large energy error")
    return found
