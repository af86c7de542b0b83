"""A kernel's inverse mass matrix from the scores at its points, and its step size from its acceptance.

    C^-1 = E[s s'] = -E[grad^2 log pi],    s = grad log pi

The identity holds at every density, in whatever proportion rows and modes are mixed: C is the width of what is locally
there, and does not mistake the distance of modes, or of rows, for it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from samplers.kernels import Kernel, PreconditionedKernel

if TYPE_CHECKING:
    from samplers.annealing.cloud import Cloud
    from targets import Target

POINTS_PER_DIM = 10  # before a dense matrix is trusted
MOST_DENSE_DIM = 500
FAR = 4.0  # times the median squared score
GAIN = 1.0  # of log step size for acceptance


class ByScores:
    """Fills in a kernel whose step size was left open; also a tuner for annealed runs."""

    def __init__(self, kernel: PreconditionedKernel, dim: int, acceptance: float | None = None) -> None:
        aim = kernel.target_acceptance if acceptance is None else acceptance
        if aim is None:
            raise ValueError(
                f"kernel: {type(kernel).__name__} needs its step_size, it has no acceptance to be tuned to"
            )
        self._given, self._aim = kernel, aim
        self._log_step = -0.25 * math.log(dim)
        self._mass = kernel.inverse_mass_matrix

    def kernel(self, cloud: Cloud, target: Target, generator: Generator) -> Kernel:
        """The kernel for a cloud's present temperature."""
        del target, generator
        self.look(cloud.state.score, cloud.log_weights.exp().reshape(-1) / len(cloud.log_weights))
        return self.tuned()

    def look(self, score: Tensor | None, weights: Tensor | None = None) -> None:
        """Take the mass matrix from points with scores (n, dim) and weights (n,) of sum one; None: equal, and robust.

        Robust: points that are still far out, with the largest scores, have no say.
        """
        mass = self._given.inverse_mass_matrix
        if isinstance(mass, str) and mass != "identity" and score is not None:
            found = self._inverse_curvature(score, weights, mass)
            self._mass = "identity" if found is None else found

    def tuned(self, factor: float = 1.0) -> Kernel:
        """The kernel as far as it is known, with its step size times a factor."""
        return replace(self._given, step_size=factor * math.exp(self._log_step), inverse_mass_matrix=self._mass)

    def learn(self, acceptance: float, share: float = 1.0) -> None:
        """Take in the mean acceptance of some moves, as a share of what is otherwise learned from it."""
        self._log_step += share * GAIN * (acceptance - self._aim)

    @staticmethod
    def _inverse_curvature(score: Tensor, weights: Tensor | None, form: str) -> Tensor | None:
        """(E[s s'])^-1, dense or diagonal; None where the scores determine neither."""
        n, dim = score.shape
        if weights is None:
            far = score.square().sum(1)
            weights = (far <= FAR * far.median()).to(score)
            weights = weights / weights.sum()
        weighed = weights.to(score)[:, None] * score
        if form == "dense" or (form == "auto" and dim <= MOST_DENSE_DIM and n >= POINTS_PER_DIM * dim):
            factor, failed = torch.linalg.cholesky_ex(score.mT @ weighed)
            if int(failed) == 0:
                matrix = torch.cholesky_inverse(factor)
                if int(torch.linalg.cholesky_ex(matrix)[1]) == 0:
                    return matrix
        variances = 1 / (score * weighed).sum(0)
        return variances if bool((variances.isfinite() & (variances > 0)).all()) else None
