"""Are these draws right, and do two samplers agree: distances with their floors, and mixing between modes."""

from samplers.diagnostics.agreement import Agreement, agreement
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
    "ModeMixing",
    "agreement",
    "floored",
    "ksd_squared",
    "mmd_squared",
    "mode_mixing",
    "sinkhorn_divergence",
    "sliced_kolmogorov",
    "sliced_wasserstein",
    "wasserstein",
]
