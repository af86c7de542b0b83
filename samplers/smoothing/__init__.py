"""Sampling by smoothing: noisy measurements, denoisers, walk-jump and multimeasurement chains."""

from samplers.smoothing.diffusive_gibbs import DiffusiveGibbs
from samplers.smoothing.given import GivenMeasurements
from samplers.smoothing.joint import JointMultimeasurement
from samplers.smoothing.measurements import JointMeasurements, NextMeasurement, Noisy
from samplers.smoothing.plan import Plan, plan
from samplers.smoothing.resampled import ResampledProposals
from samplers.smoothing.sequential import SequentialMultimeasurement
from samplers.smoothing.slips import SLIPS
from samplers.smoothing.walk_jump import WalkJump

__all__ = [
    "SLIPS",
    "DiffusiveGibbs",
    "GivenMeasurements",
    "JointMeasurements",
    "JointMultimeasurement",
    "NextMeasurement",
    "Noisy",
    "Plan",
    "ResampledProposals",
    "SequentialMultimeasurement",
    "WalkJump",
    "plan",
]
