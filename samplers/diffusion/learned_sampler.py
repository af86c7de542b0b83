"""The verbs of a learned sampler: `fit`, and `sample` that fits first."""

from __future__ import annotations

from pathlib import Path

import torch

from samplers.diffusion.fit import Fitting
from samplers.diffusion.fitted import Fitted
from samplers.diffusion.method import LearnedMethod
from samplers.draws import Draws
from samplers.draws.kept import remembering
from samplers.runs.checks import check_continuous
from targets import Target
from targets.arguments import check_integer, positive


class LearnedSampler(LearnedMethod):
    """A pair of path measures to be learned; see DDS, PIS, DIS, MCD, CMCD and SCLD.

    steps: K, of a path. network: a `NetworkSpec`, by default `ResidualMLP()`. prior: where paths start, or how it is
    found (`samplers.diffusion.space`): None is a pilot run, "moments" the Gaussian of the target's mean and covariance
    where it states them, else of the pilot's particles. objective: one of `samplers.diffusion.objectives`; None is
    `LogVariance(huber=3)` where paths start from a mixture and in few dimensions, where its noise is small, else
    `KL()`. training: the optimiser's settings.

    A subclass writes `build`. TypeError and ValueError name the setting that is wrong.

        >>> sampler = samplers.PIS(steps=8, prior="gaussian")
        >>> fitted = sampler.fit(targets.Gaussian([0.0, 0.0]), iterations=0)
        >>> fitted.method is sampler, fitted.iterations
        (True, 0)
    """

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
        check_integer(seed, "seed", 0)
        check_integer(iterations, "iterations", 0)
        if max_minutes is not None:
            positive(max_minutes, "max_minutes")
        check_continuous(target, self, expected="a density, such as its relaxed()")
        fitting = Fitting(self, target.to(device, dtype), seed, iterations, max_minutes, log_dir)
        fitting.carry_out(checkpoint, progress)
        return fitting.examined()

    @remembering
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
