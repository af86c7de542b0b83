"""Networks that steer a learned sampler, and the specifications that they are made from."""

from samplers.networks.base import ControlNetwork, NetworkSpec
from samplers.networks.cliques import CliqueNetwork
from samplers.networks.equivariant import EquivariantNetwork
from samplers.networks.features import FourierFeatures
from samplers.networks.mlp import ResidualMLP
from samplers.networks.patches import Lattice, PatchNetwork

__all__ = [
    "CliqueNetwork",
    "ControlNetwork",
    "EquivariantNetwork",
    "FourierFeatures",
    "Lattice",
    "NetworkSpec",
    "PatchNetwork",
    "ResidualMLP",
]
