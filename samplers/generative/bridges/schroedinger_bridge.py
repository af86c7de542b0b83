"""Schroedinger bridges: the most likely process between two laws."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.draws import Draws
from samplers.draws.brief import Brief, in_full
from samplers.draws.kept import remembering
from samplers.draws.signature import Choice
from samplers.generative.bridges.fitted import FittedBridge
from samplers.generative.bridges.method import BridgeMethod, End, Run
from samplers.generative.bridges.mixture_potentials import MixturePotentials
from samplers.generative.bridges.weighing import CONTINUOUS
from samplers.generative.data import Samples
from samplers.generative.score_model import check_kinds
from samplers.generative.teacher import SAMPLES, check_teacher, teach
from samplers.runs.checks import check_continuous
from targets import Gaussian, Target
from targets.arguments import check_integer, positive, shown
from targets.sampling_warning import warn

STARTS, ENDS = 16_000_057, 17_000_023  # offsets of the seeds of exact draws


@dataclass(frozen=True)
class SchroedingerBridge(Brief):
    """The Schroedinger bridge: of all processes from one law to another the closest to Brownian motion.

        min KL(P | R) over P with X_0 ~ start, X_1 ~ end;   R: dX = sqrt(noise) dB from the start
        min KL(pi | R_01) over plans of (X_0, X_1): entropic transport, cost |x - y|^2 / 2, regularisation `noise`

    Given its ends the process is a Brownian bridge, so that the plan is all there is to find. A method finds it, and
    is biased by the ends being known by finitely many rows, and by what it has not learned.

    noise: eps, the variance of the reference per unit of time, in the square of the units of x: plans are near
    optimal transport where it is small, near independence where it is large. method: a
    `samplers.generative.bridges.BridgeMethod`, by default `MixturePotentials()`, closed forms that suit low dimensions.
    teacher: of `sample`, as of `ScoreDiffusion`. ValueError for a noise that is not positive, TypeError for another
    method or teacher. Leonard 2014,
    https://arxiv.org/abs/1308.0215.

        >>> start, end = targets.Gaussian([0.0]), targets.GaussianMixture([[-2.0], [2.0]], scales=0.3)
        >>> fitted = samplers.SchroedingerBridge(noise=0.5).fit(start, end, iterations=20, progress=False)
        >>> fitted.sample(draws=100, seed=1).x.shape
        torch.Size([1, 100, 1])
    """

    noise: float = 1.0
    method: BridgeMethod = field(default_factory=MixturePotentials)
    teacher: Choice | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", positive(self.noise, "noise"))
        check_kinds(self, method=(BridgeMethod,))
        check_teacher(self.teacher)

    def fit(
        self,
        start: Tensor | Draws | Target,
        end: Tensor | Draws | Target,
        *,
        seed: int = 0,
        iterations: int | None = None,
        max_minutes: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
        log_dir: str | Path | None = None,
    ) -> FittedBridge:
        """The bridge between two laws, each a tensor (n, dim), draws, by their weights where they have some, or a
        target, of which 50,000 exact draws are taken.

        iterations: of the method, None for its own number; 0 gives what it starts with. max_minutes: of wall time.
        device, dtype: of the rows; by default those of start. progress, checkpoint, log_dir: as of the other learned
        samplers. Same seed, sizes, device and versions give the same bits.

        Raises what `samplers.generative.Samples.of` does, of start or of end; ValueError for ends of different
        dimensions and a target without exact draws, unless the method learns from energies. Warns (SamplingWarning)
        of what the method notes.
        """
        _check_run(seed, iterations, max_minutes)
        ends = []
        for name, law, offset in (("start", start, STARTS), ("end", end, ENDS)):
            home = law.x if isinstance(law, Draws) else law
            generator = Generator(getattr(home, "device", "cpu")).manual_seed(seed + offset)
            ends.append(End.of(law, name, generator, self.method.energies, self.method.spread))
        first, last = ends
        if first.dim != last.dim:
            raise ValueError(f"end: got dimension {last.dim}, expected {first.dim}, that of start")
        if first.samples is None and last.samples is None:
            raise ValueError("start, end: got two energies without exact draws, expected samples of one of them")
        like = first.like
        device, dtype = like.device if device is None else device, like.dtype if dtype is None else dtype
        first, last = (law.to(device, dtype) for law in ends)
        run = Run(seed, iterations, max_minutes, progress, checkpoint, log_dir)
        found = self.method.learn(first, last, self.noise, run)
        for text in found.notes:
            warn(text)
        return FittedBridge(
            self.describe(),
            found.bridge,
            first,
            last,
            seed,
            found.iterations,
            found.history,
            found.figures,
            found.notes,
            found.cost,
        )

    @remembering
    def sample(
        self,
        target: Target,
        *,
        draws: int = 4096,
        seed: int = 0,
        samples: int = SAMPLES,
        iterations: int | None = None,
        max_minutes: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
    ) -> Draws:
        """Weighted draws and log Z of an energy, by the bridge from a Gaussian to `samples` draws of the teacher.

        The Gaussian has the moments of these draws, and the noise counts in units of their mean variance there, so that
        1 suits any scale. Weights are those of `FittedBridge.weigh`, by ends: they correct what was not learned and
        what the teacher has weighted wrongly, not a mode that it has missed. Exact draws of the target are not used.
        The cost counts teacher, fit and weights. checkpoint: a file; the teacher's stands beside it. ValueError for a
        method without exact weights, as `Sinkhorn`, and for numbers out of range, before the teacher begins.
        """
        check_continuous(target, self, expected=CONTINUOUS)
        check_integer(draws, "draws")
        _check_run(seed, iterations, max_minutes)
        if not self.method.weighable:
            raise ValueError(
                f"method: got {shown(self.method)}, whose plan has atoms and no weights; expected one that has, "
                "such as "
                "MixturePotentials()"
            )
        learned = teach(
            self.teacher, target.to(device, dtype), samples=samples, seed=seed, progress=progress, checkpoint=checkpoint
        )
        mean, covariance = Samples.of(learned).moments
        start = Gaussian(mean.to(learned.x), covariance=covariance.to(learned.x), name="moments of the teacher's draws")
        scaled = replace(self, noise=self.noise * float(covariance.trace()) / len(mean))
        fitted = scaled.fit(
            start,
            learned,
            seed=seed,
            iterations=iterations,
            max_minutes=max_minutes,
            progress=progress,
            checkpoint=checkpoint,
        )
        drawn = fitted.weigh(target, draws=draws, seed=seed + 1)
        drawn.cost += fitted.cost + learned.cost
        return drawn

    def describe(self) -> dict[str, Any]:
        """The settings, as words and numbers."""
        return {name: in_full(getattr(self, name)) for name in self.__dataclass_fields__}


def _check_run(seed: int, iterations: int | None, max_minutes: float | None) -> None:
    """ValueError for numbers out of range."""
    check_integer(seed, "seed", 0)
    if iterations is not None:
        check_integer(iterations, "iterations", 0)
    if max_minutes is not None:
        positive(max_minutes, "max_minutes")
