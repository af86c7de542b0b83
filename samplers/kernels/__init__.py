"""Markov kernels, one a file."""

from samplers.kernels.barker import Barker
from samplers.kernels.base import Kernel
from samplers.kernels.discrete_langevin import DiscreteLangevin
from samplers.kernels.gibbs import Gibbs
from samplers.kernels.gibbs_with_gradients import GibbsWithGradients
from samplers.kernels.hmc import HMC
from samplers.kernels.mala import MALA
from samplers.kernels.mams import MAMS
from samplers.kernels.mclmc import MCLMC
from samplers.kernels.metropolis import metropolis
from samplers.kernels.preconditioned import PreconditionedKernel
from samplers.kernels.random_walk import RandomWalkMetropolis
from samplers.kernels.regional_hmc import RegionalHMC
from samplers.kernels.riemannian import RiemannianLangevin
from samplers.kernels.swendsen_wang import SwendsenWang, Wolff
from samplers.kernels.ula import ULA
from samplers.kernels.underdamped import UnderdampedLangevin
from samplers.runs.state import Info, State, evaluate, noise_like

__all__ = [
    "HMC",
    "MALA",
    "MAMS",
    "MCLMC",
    "ULA",
    "Barker",
    "DiscreteLangevin",
    "Gibbs",
    "GibbsWithGradients",
    "Info",
    "Kernel",
    "PreconditionedKernel",
    "RandomWalkMetropolis",
    "RegionalHMC",
    "RiemannianLangevin",
    "State",
    "SwendsenWang",
    "UnderdampedLangevin",
    "Wolff",
    "evaluate",
    "metropolis",
    "noise_like",
]
