"""Sampling by smoothing: noisy measurements, denoisers, walk-jump and multimeasurement chains."""

from samplers.smoothing.measurements import GivenMeasurements, JointMeasurements, NextMeasurement, Noisy

__all__ = ["GivenMeasurements", "JointMeasurements", "NextMeasurement", "Noisy"]
