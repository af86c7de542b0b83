"""Diffusion samplers learned from the energy: pairs of path measures, what trains them, what they become."""

from samplers.diffusion.cmcd import CMCD
from samplers.diffusion.dds import DDS
from samplers.diffusion.dis import DIS
from samplers.diffusion.fitted import Fitted
from samplers.diffusion.gbs import GBS
from samplers.diffusion.gradient import Objective
from samplers.diffusion.learned_sampler import LearnedSampler
from samplers.diffusion.load import load
from samplers.diffusion.mcd import MCD
from samplers.diffusion.objectives import (
    KL,
    ForwardKL,
    LogVariance,
    SubTrajectoryBalance,
    TrajectoryBalance,
    VarGrad,
)
from samplers.diffusion.pis import PIS
from samplers.diffusion.replay import Replay
from samplers.diffusion.scld import SCLD
from samplers.diffusion.settings import Training
from samplers.learning import distributed
from samplers.networks import CliqueNetwork, EquivariantNetwork, NetworkSpec, ResidualMLP
from samplers.path_measures.evaluation import Evaluation

__all__ = [
    "CMCD",
    "DDS",
    "DIS",
    "GBS",
    "KL",
    "MCD",
    "PIS",
    "SCLD",
    "CliqueNetwork",
    "EquivariantNetwork",
    "Evaluation",
    "Fitted",
    "ForwardKL",
    "LearnedSampler",
    "LogVariance",
    "NetworkSpec",
    "Objective",
    "Replay",
    "ResidualMLP",
    "SubTrajectoryBalance",
    "Training",
    "TrajectoryBalance",
    "VarGrad",
    "distributed",
    "load",
]
