"""Samplers for densities known only up to a constant.

Names are imported from their modules when they are first used, so that `import samplers` costs little more than torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samplers.annealing import AIS, SMC, AnnealedLangevin, ParallelTempering
    from samplers.compare import Comparison, compare
    from samplers.diffusion import CMCD, DDS, DIS, MCD, PIS, SCLD, load
    from samplers.draws import Cost, Draws, LogZ, SamplingWarning
    from samplers.draws.certificate import Certificate
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

_PLACES = {
    "samplers.annealing": (
        "AIS",
        "SMC",
        "AnnealedLangevin",
        "ParallelTempering",
    ),
    "samplers.draws.certificate": ("Certificate",),
    "samplers.compare": (
        "Comparison",
        "compare",
    ),
    "samplers.diffusion": (
        "CMCD",
        "DDS",
        "DIS",
        "MCD",
        "PIS",
        "SCLD",
        "load",
    ),
    "samplers.draws": (
        "Cost",
        "Draws",
        "LogZ",
        "SamplingWarning",
    ),
    "samplers.kernels": (
        "HMC",
        "MALA",
        "ULA",
        "DiscreteLangevin",
        "Gibbs",
        "GibbsWithGradients",
        "Kernel",
        "RandomWalkMetropolis",
        "RiemannianLangevin",
        "State",
        "SwendsenWang",
        "UnderdampedLangevin",
        "Wolff",
    ),
    "samplers.particles": (
        "GFSD",
        "GFSF",
        "SVGD",
        "Blob",
    ),
    "samplers.smoothing": (
        "SLIPS",
        "DiffusiveGibbs",
        "JointMultimeasurement",
        "SequentialMultimeasurement",
        "WalkJump",
    ),
    "samplers.version": ("__version__",),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "AIS",
    "CMCD",
    "DDS",
    "DIS",
    "GFSD",
    "GFSF",
    "HMC",
    "MALA",
    "MCD",
    "PIS",
    "SCLD",
    "SLIPS",
    "SMC",
    "SVGD",
    "ULA",
    "AnnealedLangevin",
    "Blob",
    "Certificate",
    "Comparison",
    "Cost",
    "DiffusiveGibbs",
    "DiscreteLangevin",
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
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'samplers' has no attribute {name!r}")
    module = importlib.import_module(_MODULES[name])
    value = module if name == "compare" else getattr(module, name)  # the module is callable, and stays where it is
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
