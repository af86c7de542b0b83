"""What every diffusion sampler learned from the energy is: hyper-parameters, `fit`, and `sample` that fits first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Generator

from samplers.diffusion.objectives import KL, LogVariance, Objective
from samplers.diffusion.space import PriorChoice, Space
from samplers.diffusion.training import Training
from samplers.draws import Draws
from samplers.networks import NetworkSpec, ResidualMLP
from samplers.path_measures.base import PathMeasure
from targets import Target
from targets.arguments import check_integer

if TYPE_CHECKING:
    from samplers.diffusion.fitted import Fitted


FEW_DIMENSIONS = 5
WILD = 3.0  # standard deviations


@dataclass(frozen=True, eq=False)
class LearnedSampler(ABC):
    """A pair of path measures to be learned; see DDS, PIS, DIS, MCD, CMCD and SCLD.

    steps: K, of a path. network: a `NetworkSpec`, by default `ResidualMLP()`. prior: where paths start, or how it is
    found (`samplers.diffusion.space`): None is a pilot run. objective: one of `samplers.diffusion.objectives`; None is
    `LogVariance(huber=3)` where paths start from a mixture and in few dimensions, where its noise is small, else
    `KL()`. training: the optimiser's settings.

    A subclass writes `build`. TypeError and ValueError name the setting that is wrong.

        >>> sampler = samplers.PIS(steps=8, prior="gaussian")
        >>> fitted = sampler.fit(targets.Gaussian([0.0, 0.0]), iterations=0)
        >>> fitted.method is sampler, fitted.iterations
        (True, 0)
    """

    steps: int = 64
    network: NetworkSpec = field(default_factory=ResidualMLP)
    prior: PriorChoice = None
    objective: Objective | None = None
    training: Training = field(default_factory=Training)

    takes_mixture: ClassVar[bool] = False
    pieces: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        check_integer(self.steps, "steps", 2)
        if not isinstance(self.network, NetworkSpec):
            raise TypeError(f"network: got {self.network!r}, expected a NetworkSpec such as ResidualMLP(width=64)")
        if self.objective is not None and not isinstance(self.objective, Objective):
            raise TypeError(f"objective: got {self.objective!r}, expected an Objective such as LogVariance()")
        if isinstance(self.objective, KL) and (self.training.replay or self.training.exploration):
            raise ValueError("objective: KL needs paths of the model itself; expected no replay and no exploration")

    @abstractmethod
    def build(self, space: Space, target: Target, generator: Generator) -> PathMeasure:
        """The untrained pair of path measures for a target in the coordinates of `space`."""

    def objective_for(self, space: Space) -> Objective:
        """The objective, or what takes its place for a target in these coordinates."""
        if self.objective is not None:
            return self.objective
        off_policy = self.training.replay is not None or self.training.exploration > 0
        few = space.mixture is not None or len(space.shift) <= FEW_DIMENSIONS
        return LogVariance(huber=WILD) if few or off_policy or self.pieces is not None else KL()

    def tune(self, measure: PathMeasure, target: Target, generator: Generator) -> None:
        """Set what a short trial can tell before training, in place; target in the sampler's coordinates."""
        del measure, target, generator

    def fit(
        self,
        target: Target,
        *,
        seed: int = 0,
        iterations: int = 2000,
        max_minutes: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
        log_dir: str | Path | None = None,
    ) -> Fitted:
        """Train on the energy alone: a pilot for the scale, then `iterations` steps of the optimiser.

        iterations=0 gives the untrained sampler, which is a known one. max_minutes: of wall time, pilot included; the
        learning rate follows `iterations` all the same. Same seed, sizes, device and versions give the same bits.
        progress: a bar on stderr with ELBO, log Z and ESS; None shows one on a terminal. checkpoint: a file; a run that
        stopped is continued by the same call and equals the whole run. log_dir: a folder for TensorBoard.
        In a process group of torch.distributed every process simulates its own paths, and gradients are averaged.

        Warns (SamplingWarning) where weights are not to be trusted or modes are missed. Raises RuntimeError with advice
        where more than half of the paths end at energies that are not finite.
        """
        from samplers.diffusion.fit import fit

        return fit(
            self,
            target,
            seed=seed,
            iterations=iterations,
            max_minutes=max_minutes,
            device=device,
            dtype=dtype,
            progress=progress,
            checkpoint=checkpoint,
            log_dir=log_dir,
        )

    def sample(
        self,
        target: Target,
        *,
        draws: int = 4096,
        seed: int = 0,
        iterations: int = 2000,
        max_minutes: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
    ) -> Draws:
        """`fit`, then `Fitted.sample`: weighted draws and log Z, whose cost counts the training."""
        fitted = self.fit(
            target,
            seed=seed,
            iterations=iterations,
            max_minutes=max_minutes,
            device=device,
            dtype=dtype,
            progress=progress,
            checkpoint=checkpoint,
        )
        drawn = fitted.sample(draws=draws, seed=seed + 1)
        drawn.cost += fitted.cost
        return drawn

    def describe(self) -> dict[str, Any]:
        """The hyper-parameters as plain values, for records and checkpoints."""
        found: dict[str, Any] = {"sampler": type(self).__name__}
        for item in fields(self):
            value = getattr(self, item.name)
            plain = value is None or isinstance(value, (bool, int, float, str))
            found[item.name] = value if plain else value.name if isinstance(value, Target) else repr(value)
        return found
