"""Kernel parameters from the cloud: what was left open is found anew at every temperature."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.annealing.cloud import Cloud, take
from samplers.kernels import HMC, Kernel, RegionalHMC
from samplers.kernels.noncentring import NonCentring
from targets import GaussianMixture, Target

MOST_DENSE_DIM = 500
POINTS_PER_DIM = 10  # effective particles a dimension before a dense matrix is trusted
TRAJECTORY = 2.0  # in units of the cloud's spread; the jitter takes a uniform share of it
MOST_LEAPFROGS = 32
GAIN = 1.5  # of log step size for acceptance
TRIALS, TRIAL_POINTS = 12, 256


class Tuner:
    """Fills in the fields of a kernel that are None or "auto", for one temperature after the other.

    inverse_mass_matrix: the cloud's weighted covariance, dense where the particles determine it, else diagonal.
    step_size: log h += 1.5 (acceptance - target acceptance) after each temperature; before the first moves a few
    trial steps of some of the particles, which are then forgotten. trajectory_length: two spreads of the cloud.
    """

    def __init__(
        self,
        kernel: Kernel,
        dim: int,
        regions: GaussianMixture | None = None,
        coordinates: NonCentring | None = None,
    ) -> None:
        self.regions = regions
        if regions is not None and type(kernel) is HMC and kernel.inverse_mass_matrix == "auto":
            kernel = _by_region(kernel, regions, coordinates)
        self._given = kernel
        names = {field.name for field in fields(kernel)}  # type: ignore[arg-type]
        self._steps = "step_size" in names and kernel.step_size is None and kernel.target_acceptance is not None  # type: ignore[attr-defined]
        mass = getattr(kernel, "inverse_mass_matrix", "identity")
        if mass == "auto" and not self._steps:
            mass = "identity"  # a step size that was given is in the units of x
        if isinstance(kernel, RegionalHMC):
            mass = "identity"
        self._mass = mass if isinstance(mass, str) and mass != "identity" else None
        self._lengths = "trajectory_length" in names and kernel.trajectory_length is None and kernel.steps is None  # type: ignore[attr-defined]
        self.log_step = -0.25 * math.log(dim)
        self.tried = not self._steps

    @staticmethod
    def needed(kernel: Kernel) -> bool:
        """Whether the kernel leaves anything open."""
        step, mass = getattr(kernel, "step_size", 0.0), getattr(kernel, "inverse_mass_matrix", "identity")
        return (step is None and kernel.target_acceptance is not None) or mass in ("dense", "diagonal")

    def kernel(self, cloud: Cloud, target: Target, generator: Generator) -> Kernel:
        """The kernel for the cloud's present temperature."""
        changes: dict[str, Any] = {}
        if self._mass is not None:
            matrix = self._covariance(cloud)
            if matrix is not None:
                changes["inverse_mass_matrix"] = matrix
        if self._lengths:
            changes["trajectory_length"] = TRAJECTORY
            changes["max_steps"] = min(MOST_LEAPFROGS, self._given.max_steps)  # type: ignore[attr-defined]
        if self._steps:
            changes["step_size"] = math.exp(self.log_step)
        kernel = replace(self._given, **changes)  # type: ignore[type-var]
        if not self.tried:
            self.tried = True
            self._try(kernel, cloud, target, generator)
            kernel = replace(kernel, step_size=math.exp(self.log_step))  # type: ignore[type-var]
        return kernel

    def learn(self, acceptance: float) -> None:
        """Take in the mean acceptance of the moves at one temperature."""
        if self._steps:
            assert self._given.target_acceptance is not None
            self.log_step += GAIN * (acceptance - self._given.target_acceptance)

    def _try(self, kernel: Any, cloud: Cloud, target: Target, generator: Generator) -> None:
        points = cloud.log_weights.numel()
        some = take(cloud.state, torch.arange(0, points, max(1, points // TRIAL_POINTS), device=cloud.eves.device))
        for _ in range(TRIALS):
            _, info = kernel.step(target, some, generator)
            self.learn(float(info.acceptance_rate.mean()))
            kernel = replace(kernel, step_size=math.exp(self.log_step))

    def _covariance(self, cloud: Cloud) -> Tensor | None:
        x = cloud.state.x
        weights = cloud.log_weights.exp().reshape(-1) / len(cloud.log_weights)
        dim, effective = x.shape[1], float(cloud.ess.sum())
        dense = self._mass == "dense" or (
            self._mass == "auto" and dim <= MOST_DENSE_DIM and effective >= POINTS_PER_DIM * dim
        )
        matrix = weighted_covariance(x, weights, dense).to(x.dtype)
        if dense and int(torch.linalg.cholesky_ex(matrix)[1]) == 0:
            return matrix
        variance = matrix.diagonal() if dense else matrix
        return variance if bool((variance > 0).all() & variance.isfinite().all()) else None


def _by_region(kernel: HMC, regions: GaussianMixture, coordinates: NonCentring | None) -> HMC:
    """HMC with the mass matrices of a mixture that the pilot has fitted to the target, in its coordinates."""
    if kernel.step_size is not None:
        return kernel
    return RegionalHMC(
        trajectory_length=kernel.trajectory_length,
        steps=kernel.steps,
        max_steps=kernel.max_steps,
        regions=regions,
        coordinates=coordinates,
    )


def weighted_covariance(x: Tensor, weights: Tensor, dense: bool) -> Tensor:
    """Covariance (dim, dim), or variances (dim,), of points (n, dim) under weights (n,) of sum one."""
    points = x.double()
    centred = points - weights @ points
    return centred.mT @ (weights[:, None] * centred) if dense else weights @ centred.square()
