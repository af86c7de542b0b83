"""Markov kernels, one a file."""

from samplers.kernels.base import Info, Kernel, PreconditionedKernel, State, evaluate, noise_like
from samplers.kernels.hmc import HMC
from samplers.kernels.mala import MALA
from samplers.kernels.metropolis import metropolis
from samplers.kernels.random_walk import RandomWalkMetropolis
from samplers.kernels.riemannian import RiemannianLangevin
from samplers.kernels.ula import ULA
from samplers.kernels.underdamped import UnderdampedLangevin

__all__ = [
    "HMC",
    "MALA",
    "ULA",
    "Info",
    "Kernel",
    "PreconditionedKernel",
    "RandomWalkMetropolis",
    "RiemannianLangevin",
    "State",
    "UnderdampedLangevin",
    "evaluate",
    "metropolis",
    "noise_like",
]
