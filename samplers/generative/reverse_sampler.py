"""What draws from a model that has been learned: its reverse process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.draws import INDEPENDENT, Cost, Draws
from samplers.draws.keywords import naming_ours
from samplers.generative.path import ReverseProcess
from samplers.generative.score import noise_of
from samplers.generative.solvers import DPMSolver2M, Solver
from samplers.generative.trained import Trained
from samplers.path_measures.prior import fixed_prior
from samplers.processes import grids
from samplers.processes.base import Time
from samplers.version import versions
from targets import Affine, Gaussian, GaussianMixture, Target
from targets.arguments import check_integer

SOLVER = DPMSolver2M(steps=50)
CHUNK = 1 << 17  # numbers in the states that are solved at a time
DECODED = 15_000_017  # offset of the seed
LEAST_STEP = 1e-3  # of the horizon, the first time of the grid of `reverse` above 0


@dataclass(eq=False, repr=False)
class ReverseSampler(Trained):
    """Fields and draws of `FittedDiffusion`, as it says."""

    condition: Tensor | None = None

    def score(self, u: Tensor, t: Time) -> Tensor:
        """grad log p_t(u), (*batch, dim), for 0 < t <= horizon, in the coordinates of the model."""
        return self.model.score(u, t)

    @naming_ours
    def sample(
        self, *, draws: int = 4096, solver: Solver | None = None, seed: int = 1, target: Target | None = None
    ) -> Draws:
        """Independent draws of the model, (1, draws, dim), by a reverse solver: None takes `SOLVER`.

        target: a density on the same space, such as the posterior whose draws were learned from: the draws then have
        its names, constrained values and certificate. ValueError for one of another dimension.
        Same seed, size, device and versions give the same bits.
        """
        check_integer(draws, "draws")
        check_integer(seed, "seed", 0)
        solver = SOLVER if solver is None else solver
        if target is not None:
            check_dim(target, self.dim)
        began = time.perf_counter()
        with torch.no_grad():
            u = self.states(draws, solver, seed)
            x = self.transformation.draw(u, Generator(u.device).manual_seed(seed + DECODED))
        attrs = self.attrs(draws, seed) | {"solver": repr(solver)}
        return Draws(x[None], cost=Cost(seconds=time.perf_counter() - began), target=target, kernel=self, attrs=attrs)

    def states(self, draws: int, solver: Solver, seed: int) -> Tensor:
        """Draws (draws, dim) in the coordinates u of the model."""
        generator = Generator(self.start.device).manual_seed(seed)
        u = self.prior.sample(draws, generator=generator)
        parts = u.split(max(256, CHUNK // self.dim))
        return torch.cat([solver.solve(self.score, self.process, part, generator) for part in parts])

    def attrs(self, draws: int, seed: int) -> dict[str, Any]:
        """What draws of this model say of themselves."""
        return {
            **self.settings,
            "sampler": "ScoreDiffusion",
            "kind": INDEPENDENT,
            "draws": draws,
            "seed": seed,
            "fit_seed": self.seed,
            "iterations": self.iterations,
            "dtype": str(self.start.dtype),
            "notes": list(self.notes),
            "versions": versions(),
        } | ({} if self.condition is None else {"given": self.condition.tolist()})

    def affine(self, purpose: str) -> tuple[Tensor, Tensor]:
        """Shift and factor of x = shift + factor u; ValueError, with the purpose, for columns that are not real."""
        affine = self.transformation.affine
        if affine is None:
            raise ValueError(f"columns: expected real numbers alone for {purpose}")
        return affine

    def reverse(self, steps: int = 100, data: GaussianMixture | None = None) -> ReverseProcess:
        """The reverse process of u in steps of equal log-SNR, as a pair of path measures.

        data: the law of the data in u, as far as a mixture tells it, for resampling on the way.
        """
        grid = grids.log_snr(self.process, check_integer(steps, "steps", 2), LEAST_STEP * self.process.horizon)
        assert isinstance(self.prior, Gaussian)
        white = Affine(self.prior, factor=torch.linalg.cholesky(noise_of(self.process).covariance(self.dim)))
        prior = fixed_prior(white.mixture(self.prior))
        seen = None if data is None else white.mixture(data)
        return ReverseProcess(self.score, self.process, grid, self.dim, prior=prior, data=seen, dtype=self.start.dtype)


def check_dim(target: Target, dim: int, argument: str = "target") -> None:
    """ValueError unless the target has this dimension."""
    if target.dim != dim:
        raise ValueError(f"{argument}: got dimension {target.dim}, expected {dim}, that of the samples")
