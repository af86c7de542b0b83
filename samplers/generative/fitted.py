"""A diffusion model that has been learned: what it draws, and what it says of points."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from samplers.draws import INDEPENDENT, Cost, Draws
from samplers.generative.score_model import ScoreModel
from samplers.generative.solvers import EDM, Solver
from samplers.generative.transformations import Transformation
from samplers.processes.base import Process, Time
from samplers.version import versions
from targets import Gaussian
from targets.arguments import check_integer

if TYPE_CHECKING:
    from samplers.generative.score_diffusion import ScoreDiffusion

CHUNK = 1 << 17  # numbers in the states that are solved at a time


@dataclass(eq=False)
class FittedDiffusion:
    """What `ScoreDiffusion.fit` gives.

    method: with which settings. model: the `ScoreModel`, in the coordinates u of `transformation`. start: the Gaussian
    of the samples' moments there. seed, iterations: of the fit. history: every ten iterations loss, validation and
    more, as lists. validation: the held-out loss of the model, NaN where nothing was held out; untrained: that of
    `start`. notes: what was said. cost: of the fit.
    """

    method: ScoreDiffusion
    model: ScoreModel
    transformation: Transformation
    start: Gaussian
    seed: int
    iterations: int
    history: dict[str, list[float]] = field(default_factory=dict)
    validation: float = float("nan")
    untrained: float = float("nan")
    notes: list[str] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)

    @property
    def process(self) -> Process:
        """The noising process."""
        return self.method.process

    @property
    def dim(self) -> int:
        """That of the coordinates u."""
        return self.start.dim

    @cached_property
    def prior(self) -> Gaussian:
        """The law from which the reverse process starts: that of u at the horizon, were the data Gaussian."""
        return at_time(self.start, self.process, self.process.horizon)

    def score(self, u: Tensor, t: Time) -> Tensor:
        """grad log p_t(u), (*batch, dim), for 0 < t <= horizon, in the coordinates of the model."""
        return self.model.score(u, t)

    def sample(self, *, draws: int = 4096, solver: Solver | None = None, seed: int = 1) -> Draws:
        """Independent draws of the model, (1, draws, dim), by a reverse solver: None takes EDM's with 18 steps.

        Same seed, size, device and versions give the same bits.
        """
        check_integer(draws, "draws")
        check_integer(seed, "seed", 0)
        solver = EDM(steps=18) if solver is None else solver
        began, generator = time.perf_counter(), Generator(self.start.device).manual_seed(seed)
        with torch.no_grad():
            u = self.prior.sample(draws, generator=generator)
            parts = u.split(max(256, CHUNK // self.dim))
            ends = torch.cat([solver.solve(self.score, self.process, part, generator) for part in parts])
            x = self.transformation.inverse(ends)
        attrs: dict[str, Any] = {
            **self.method.describe(),
            "sampler": "ScoreDiffusion",
            "kind": INDEPENDENT,
            "draws": draws,
            "seed": seed,
            "fit_seed": self.seed,
            "iterations": self.iterations,
            "solver": repr(solver),
            "dtype": str(self.start.dtype),
            "notes": list(self.notes),
            "versions": versions(),
        }
        return Draws(x[None], cost=Cost(seconds=time.perf_counter() - began), kernel=self, attrs=attrs)


def at_time(start: Gaussian, process: Process, t: float) -> Gaussian:
    """The law of x_t for x_0 of a Gaussian law."""
    scale, variance = (float(value) for value in process.transition(0.0, t))
    unit = torch.eye(start.dim, dtype=torch.float64) if process.noise is None else process.noise.covariance(start.dim)
    covariance = scale**2 * start.covariance.double() + variance * unit.to(start.device)
    return Gaussian((scale * start.mean.double()).to(start.dtype), covariance=covariance.to(start.dtype))
