"""Networks that steer a learned sampler, and the specifications that they are made from."""

from samplers.diffusion.networks.base import ControlNetwork, NetworkSpec
from samplers.diffusion.networks.cliques import CliqueNetwork
from samplers.diffusion.networks.equivariant import EquivariantNetwork
from samplers.diffusion.networks.features import FourierFeatures
from samplers.diffusion.networks.mlp import ResidualMLP

__all__ = [
    "CliqueNetwork",
    "ControlNetwork",
    "EquivariantNetwork",
    "FourierFeatures",
    "NetworkSpec",
    "ResidualMLP",
]
