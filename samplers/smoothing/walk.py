"""The kernel that walks on measurements, in units of their noise.

The curvature of -log p(y) is P - P Cov(X | y) P, at most P = C^-1: with C as inverse mass matrix no direction of the
law is narrower than one, whatever the target. Step sizes need no tuning; they are set by the dimension alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Generator, Tensor

from samplers.kernels import HMC, MALA, MCLMC, ULA, Kernel, PreconditionedKernel, State, UnderdampedLangevin, isokinetic
from samplers.kernels.mclmc import DirectedState
from samplers.kernels.trajectories import TrajectoryKernel
from samplers.kernels.underdamped import UnderdampedState
from samplers.runs.state import noise_like
from samplers.smoothing.measurements import Measured
from targets import Noise, Target

TRAJECTORY = 2.0
LONGEST = 16  # leapfrogs


def walker(kernel: Kernel | None, law: Measured) -> Kernel:
    """The kernel that walks on a law of measurements, with what it leaves open filled in.

    ValueError for a kernel that tests by a density which the law's denoiser does not give.
    """
    if kernel is None:
        kernel = HMC() if law.denoiser.exact else UnderdampedLangevin()
    if kernel.exact and not law.has_density:
        raise ValueError(
            f"kernel: {type(kernel).__name__} tests by the density of the measurements, which "
            f"{law.denoiser.describe()} does not give; expected a kernel without a test, such as UnderdampedLangevin"
        )
    if not isinstance(kernel, PreconditionedKernel) or not isinstance(kernel.inverse_mass_matrix, str):
        return kernel.placed(law)
    changes: dict[str, Any] = {}
    if kernel.metric is not None:
        raise ValueError(
            f"kernel: got metric={kernel.metric!r}, which is found in a warmup, and here C is the noise's covariance; "
            "expected a kernel without it, or one with inverse_mass_matrix="
        )
    if kernel.inverse_mass_matrix != "identity":
        changes["inverse_mass_matrix"] = covariance_of(law.noise, law.target.dim, law.dim // law.target.dim)
    if kernel.step_size is None:
        changes["step_size"] = default_step(kernel, law.dim)
    if isinstance(kernel, TrajectoryKernel) and kernel.steps is None and kernel.trajectory_length is None:
        changes["trajectory_length"] = TRAJECTORY
        changes["max_steps"] = min(kernel.max_steps, LONGEST)
    return replace(kernel, **changes).placed(law)


def default_step(kernel: PreconditionedKernel, dim: int) -> float:
    """In units of the noise; Metropolised kernels shorten it as their acceptance in high dimension asks."""
    if isinstance(kernel, TrajectoryKernel):
        return float(1.2 * dim**-0.25)
    if isinstance(kernel, MALA):
        return float(0.8 * dim ** (-1 / 3))
    if isinstance(kernel, ULA):
        return 0.1
    return 0.5


def covariance_of(noise: Noise, dim: int, m: int) -> Tensor:
    """That of m independent noises: (m * dim,) where diagonal, else (m * dim, m * dim)."""
    variances = noise.variances(dim)
    if variances is not None:
        return variances.repeat(m)
    matrix = noise.covariance(dim)
    return matrix if m == 1 else matrix.new_ones(m).diag().kron(matrix)


def continued(kernel: Kernel, law: Target, y: Tensor, log_prob: Tensor, score: Tensor | None, g: Generator) -> State:
    """The walk at y, whose density and score are known already; velocities and directions are drawn anew."""
    if isinstance(kernel, UnderdampedLangevin):
        return UnderdampedState(y, log_prob, score, noise_like(y, g))
    if isinstance(kernel, MCLMC):
        return DirectedState(y, log_prob, score, isokinetic.directions(y, g))
    if isinstance(kernel, PreconditionedKernel) and score is not None:
        return State(y, log_prob, score)
    return kernel.init(law, y, g)
