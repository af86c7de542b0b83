"""Are these draws right, and do two samplers agree: distances with their floors, mixing between modes,
and mixing in time."""

from samplers.diagnostics import couplings
from samplers.diagnostics.agreement import Agreement, agreement
from samplers.diagnostics.couplings import MeetingTimes, meeting_times
from samplers.diagnostics.distances import (
    mmd_squared,
    sinkhorn_divergence,
    sliced_kolmogorov,
    sliced_wasserstein,
    wasserstein,
)
from samplers.diagnostics.floor import Floored, floored
from samplers.diagnostics.modes import ModeMixing, mode_mixing
from samplers.diagnostics.stein import ksd_squared

__all__ = [
    "Agreement",
    "Floored",
    "MeetingTimes",
    "ModeMixing",
    "agreement",
    "couplings",
    "floored",
    "ksd_squared",
    "meeting_times",
    "mmd_squared",
    "mode_mixing",
    "sinkhorn_divergence",
    "sliced_kolmogorov",
    "sliced_wasserstein",
    "wasserstein",
]
