"""Kernel parameters from the cloud: what was left open is found anew at every temperature."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.adaptation import fisher
from samplers.adaptation.left_open import LeftOpen
from samplers.adaptation.mass_matrix import is_dense, usable, weighted_covariance
from samplers.adaptation.metrics import LowRank
from samplers.adaptation.step_size import RobbinsMonro
from samplers.annealing.cloud import Cloud, take
from samplers.kernels import HMC, Kernel, RegionalHMC
from samplers.kernels.noncentring import NonCentring
from samplers.runs.transition import one_step
from targets import GaussianMixture, Target

POINTS_PER_DIM = 10  # effective particles a dimension before a dense matrix is trusted
TRAJECTORY = 2.0  # in units of the cloud's spread; the jitter takes a uniform share of it
MOST_LEAPFROGS = 32
GAIN = 1.5  # of log step size for acceptance
TRIALS, TRIAL_POINTS = 12, 256


class Tuner:
    """Fills in the fields of a kernel that are None or "auto", for one temperature after the other.

    inverse_mass_matrix: the cloud's weighted covariance, dense where the particles determine it, else diagonal; with a
    `metric`, what the weighted particles and their scores say together.
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
        kernel = by_region(kernel, regions, coordinates)
        left = LeftOpen.of(kernel)
        self._given: Any = kernel
        # a step that is given, or a default one without an acceptance to aim at, is in the units of x here: the clouds
        # at the temperatures differ in their units
        kept = left.mass == "auto" and not left.step_size
        self._mass = None if kept or isinstance(kernel, RegionalHMC) else left.mass
        self._metric = None if isinstance(kernel, RegionalHMC) else left.metric
        self._lengths = left.trajectory_length
        self.step = None
        if left.step_size:
            assert kernel.target_acceptance is not None
            self.step = RobbinsMonro(-0.25 * math.log(dim), kernel.target_acceptance, GAIN)
        self.tried = self.step is None

    @staticmethod
    def needed(kernel: Kernel) -> bool:
        """Whether the kernel leaves anything open."""
        left = LeftOpen.of(kernel)
        return left.step_size or left.mass in ("dense", "diagonal") or left.metric is not None

    def kernel(self, cloud: Cloud, target: Target, generator: Generator) -> Kernel:
        """The kernel for the cloud's present temperature."""
        changes: dict[str, Any] = {}
        if self._mass is not None or self._metric is not None:
            matrix = self._covariance(cloud)
            if matrix is not None:
                changes["inverse_mass_matrix"] = matrix
                if self._metric is not None:
                    changes["metric"] = None  # it is found
        if self._lengths:
            changes["trajectory_length"] = TRAJECTORY
            changes["max_steps"] = min(MOST_LEAPFROGS, self._given.max_steps)
        if self.step is not None:
            changes["step_size"] = self.step.value
        kernel: Any = replace(self._given, **changes)
        if self.step is None or self.tried:
            return kernel
        self.tried = True
        self._try(kernel, cloud, target, generator)
        return replace(kernel, step_size=self.step.value)

    def learn(self, acceptance: float) -> None:
        """Take in the mean acceptance of the moves at one temperature."""
        if self.step is not None:
            self.step.update(acceptance)

    def _try(self, kernel: Any, cloud: Cloud, target: Target, generator: Generator) -> None:
        assert self.step is not None
        points = cloud.log_weights.numel()
        some = take(cloud.state, torch.arange(0, points, max(1, points // TRIAL_POINTS), device=cloud.eves.device))
        for _ in range(TRIALS):
            _, info = one_step(kernel, target, some, generator)
            self.step.update(float(info.acceptance_rate.mean()))
            kernel = replace(kernel, step_size=self.step.value)

    def _covariance(self, cloud: Cloud) -> Tensor | LowRank | None:
        x = cloud.state.x
        weights = cloud.log_weights.exp().reshape(-1) / len(cloud.log_weights)
        if self._metric is not None:
            assert cloud.state.score is not None
            found = fisher.estimate(self._metric, x, cloud.state.score, weights.double())
            found = found.to(x.device, x.dtype) if found is not None else None
            return usable(found) if isinstance(found, Tensor) else found
        dense = is_dense(self._mass, x.shape[1], float(cloud.ess.sum()), POINTS_PER_DIM)
        return usable(weighted_covariance(x, weights, dense).to(x.dtype))

    def state_dict(self) -> dict[str, Any]:
        """All there is to continue."""
        return {"log_step": None if self.step is None else self.step.log_value, "tried": self.tried}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""
        self.tried = saved["tried"]
        if self.step is not None:
            self.step.log_value = saved["log_step"]


def by_region(kernel: Kernel, regions: GaussianMixture | None, coordinates: NonCentring | None) -> Kernel:
    """HMC that leaves all open with the mass matrices of a mixture that a pilot has fitted, in its coordinates."""
    left = LeftOpen.of(kernel)
    if regions is None or type(kernel) is not HMC or left.mass != "auto" or not left.step_size:
        return kernel
    given = kernel.target_acceptance != HMC.target_acceptance
    return RegionalHMC(
        trajectory_length=kernel.trajectory_length,
        steps=kernel.steps,
        max_steps=kernel.max_steps,
        target_acceptance=kernel.target_acceptance if given else RegionalHMC.target_acceptance,
        regions=regions,
        coordinates=coordinates,
    )
