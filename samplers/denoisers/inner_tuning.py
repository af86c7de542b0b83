"""A kernel's inverse mass matrix from the scores at its points, and its step size from its acceptance.

    C^-1 = E[s s'] = -E[grad^2 log pi],    s = grad log pi

The identity holds at every density, in whatever proportion rows and modes are mixed: C is the width of what is locally
there, and does not mistake the distance of modes, or of rows, for it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Generator, Tensor

from samplers.adaptation.mass_matrix import inverse_curvature
from samplers.adaptation.step_size import RobbinsMonro
from samplers.kernels import Kernel, PreconditionedKernel

if TYPE_CHECKING:
    from samplers.annealing.cloud import Cloud
    from targets import Target

POINTS_PER_DIM = 10  # before a dense matrix is trusted


class FisherTuner:
    """Fills in a kernel whose step size was left open; also a tuner for annealed runs."""

    def __init__(self, kernel: PreconditionedKernel, dim: int, acceptance: float | None = None) -> None:
        aim = kernel.target_acceptance if acceptance is None else acceptance
        if aim is None:
            raise ValueError(
                f"kernel: {type(kernel).__name__} needs its step_size, it has no acceptance to be tuned to"
            )
        if kernel.metric is not None:
            raise ValueError(
                f"kernel: got metric={kernel.metric!r}, which takes draws of one density; the inner chains "
                "of a denoiser have many, expected inverse_mass_matrix='auto', 'diagonal' or 'dense'"
            )
        self._given, self._step = kernel, RobbinsMonro(-0.25 * math.log(dim), aim)
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
            found = inverse_curvature(score, weights, mass, POINTS_PER_DIM)
            self._mass = "identity" if found is None else found

    def tuned(self, factor: float = 1.0) -> Kernel:
        """The kernel as far as it is known, with its step size times a factor."""
        return replace(self._given, step_size=factor * self._step.value, inverse_mass_matrix=self._mass)

    def learn(self, acceptance: float, share: float = 1.0) -> None:
        """Take in the mean acceptance of some moves, as a share of what is otherwise learned from it."""
        self._step.update(acceptance, share)
