"""Samplers for densities known only up to a constant.

Names are imported from their modules when they are first used, so that `import samplers` costs little more than torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what mypy and editors read: the names of PLACES, each exported by its `as`
    from samplers.annealing import (
        AIS as AIS,
        SMC as SMC,
        AnnealedLangevin as AnnealedLangevin,
        ParallelTempering as ParallelTempering,
    )
    from samplers.compare import (
        Comparison as Comparison,
        compare as compare,
    )
    from samplers.diffusion import (
        CMCD as CMCD,
        DDS as DDS,
        DIS as DIS,
        GBS as GBS,
        MCD as MCD,
        PIS as PIS,
        SCLD as SCLD,
        load as load,
    )
    from samplers.draws import (
        Cost as Cost,
        Draws as Draws,
        LogZ as LogZ,
        SamplingWarning as SamplingWarning,
    )
    from samplers.draws.certificate import Certificate as Certificate
    from samplers.draws.data_groups import prior_predictive as prior_predictive
    from samplers.generative import (
        SchroedingerBridge as SchroedingerBridge,
        ScoreDiffusion as ScoreDiffusion,
    )
    from samplers.kernels import (
        HMC as HMC,
        MALA as MALA,
        MAMS as MAMS,
        MCLMC as MCLMC,
        ULA as ULA,
        Barker as Barker,
        DiscreteLangevin as DiscreteLangevin,
        Gibbs as Gibbs,
        GibbsWithGradients as GibbsWithGradients,
        Kernel as Kernel,
        RandomWalkMetropolis as RandomWalkMetropolis,
        RiemannianLangevin as RiemannianLangevin,
        State as State,
        SwendsenWang as SwendsenWang,
        UnderdampedLangevin as UnderdampedLangevin,
        Wolff as Wolff,
    )
    from samplers.particles import (
        GFSD as GFSD,
        GFSF as GFSF,
        SVGD as SVGD,
        Blob as Blob,
    )
    from samplers.runs.until import Until as Until
    from samplers.smoothing import (
        SLIPS as SLIPS,
        DiffusiveGibbs as DiffusiveGibbs,
        JointMultimeasurement as JointMultimeasurement,
        SequentialMultimeasurement as SequentialMultimeasurement,
        WalkJump as WalkJump,
    )
    from samplers.version import __version__ as __version__

# The one list of public names, by the module that each is imported from when it is first used. `__all__`, the lazy
# attributes and the command's names of samplers follow from it; a test holds the block above equal to it
PLACES = {
    "samplers.annealing": "AIS AnnealedLangevin ParallelTempering SMC",
    "samplers.compare": "Comparison compare",
    "samplers.diffusion": "CMCD DDS DIS GBS MCD PIS SCLD load",
    "samplers.draws": "Cost Draws LogZ SamplingWarning",
    "samplers.draws.certificate": "Certificate",
    "samplers.draws.data_groups": "prior_predictive",
    "samplers.generative": "SchroedingerBridge ScoreDiffusion",
    "samplers.kernels": "Barker DiscreteLangevin Gibbs GibbsWithGradients HMC Kernel MALA MAMS MCLMC "
    "RandomWalkMetropolis RiemannianLangevin State SwendsenWang ULA UnderdampedLangevin Wolff",
    "samplers.particles": "Blob GFSD GFSF SVGD",
    "samplers.runs.until": "Until",
    "samplers.smoothing": "DiffusiveGibbs JointMultimeasurement SLIPS SequentialMultimeasurement WalkJump",
    "samplers.version": "__version__",
}
# Folders with public names of their own, which are attributes without an import statement too
FOLDERS = (
    *("denoisers", "diagnostics", "diffusion", "draws", "generative", "kernels", "networks", "peers", "processes"),
    *("smoothing", "testing"),
)
_MODULES = {name: module for module, names in PLACES.items() for name in names.split()}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name in FOLDERS:
        return importlib.import_module(f"samplers.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module 'samplers' has no attribute {name!r}")
    module = importlib.import_module(_MODULES[name])
    value = module if name == "compare" else getattr(module, name)  # the module is callable, and stays where it is
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *FOLDERS})
