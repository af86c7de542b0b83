"""Are these draws right, and do two samplers agree: distances with their floors, the closest Gaussian,
mixing between modes, and mixing in time."""

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
from samplers.diagnostics.fourier_distance import FourierBounds, fourier_bounds
from samplers.diagnostics.gaussian_transport import Transported, transported_gaussian
from samplers.diagnostics.modes import ModeMixing, mode_mixing
from samplers.diagnostics.stein import ksd_squared
from samplers.draws.closest_gaussian import closest_gaussian, quantile_gaussian

__all__ = [
    "Agreement",
    "Floored",
    "FourierBounds",
    "MeetingTimes",
    "ModeMixing",
    "Transported",
    "agreement",
    "closest_gaussian",
    "couplings",
    "floored",
    "fourier_bounds",
    "ksd_squared",
    "meeting_times",
    "mmd_squared",
    "mode_mixing",
    "quantile_gaussian",
    "sinkhorn_divergence",
    "sliced_kolmogorov",
    "sliced_wasserstein",
    "transported_gaussian",
    "wasserstein",
]
