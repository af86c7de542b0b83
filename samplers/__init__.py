"""Samplers for densities known only up to a constant."""

from samplers.compare import Comparison, compare
from samplers.draws import Cost, Draws, LogZ, SamplingWarning
from samplers.kernels import (
    HMC,
    MALA,
    ULA,
    Kernel,
    RandomWalkMetropolis,
    RiemannianLangevin,
    State,
    UnderdampedLangevin,
)
from samplers.version import __version__

__all__ = [
    "HMC",
    "MALA",
    "ULA",
    "Comparison",
    "Cost",
    "Draws",
    "Kernel",
    "LogZ",
    "RandomWalkMetropolis",
    "RiemannianLangevin",
    "SamplingWarning",
    "State",
    "UnderdampedLangevin",
    "__version__",
    "compare",
]
