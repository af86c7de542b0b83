"""Samplers for densities known only up to a constant."""

from samplers.annealing import AIS, SMC, AnnealedLangevin, ParallelTempering
from samplers.compare import Comparison, compare
from samplers.draws import Cost, Draws, LogZ, SamplingWarning
from samplers.kernels import (
    HMC,
    MALA,
    ULA,
    DiscreteLangevin,
    Gibbs,
    GibbsWithGradients,
    Kernel,
    RandomWalkMetropolis,
    RiemannianLangevin,
    State,
    SwendsenWang,
    UnderdampedLangevin,
    Wolff,
)
from samplers.particles import GFSD, GFSF, SVGD, Blob
from samplers.smoothing import SLIPS, DiffusiveGibbs, JointMultimeasurement, SequentialMultimeasurement, WalkJump
from samplers.version import __version__

__all__ = [
    "AIS",
    "GFSD",
    "GFSF",
    "HMC",
    "MALA",
    "SLIPS",
    "SMC",
    "SVGD",
    "ULA",
    "AnnealedLangevin",
    "Blob",
    "Comparison",
    "Cost",
    "DiscreteLangevin",
    "DiffusiveGibbs",
    "Draws",
    "Gibbs",
    "GibbsWithGradients",
    "JointMultimeasurement",
    "Kernel",
    "LogZ",
    "ParallelTempering",
    "RandomWalkMetropolis",
    "RiemannianLangevin",
    "SamplingWarning",
    "SequentialMultimeasurement",
    "State",
    "SwendsenWang",
    "UnderdampedLangevin",
    "WalkJump",
    "Wolff",
    "__version__",
    "compare",
]
