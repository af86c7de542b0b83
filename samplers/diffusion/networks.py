"""The networks of `samplers.networks`, by the path where they stood before."""

from samplers.networks import (
    CliqueNetwork,
    ControlNetwork,
    EquivariantNetwork,
    FourierFeatures,
    NetworkSpec,
    ResidualMLP,
)

__all__ = [
    "CliqueNetwork",
    "ControlNetwork",
    "EquivariantNetwork",
    "FourierFeatures",
    "NetworkSpec",
    "ResidualMLP",
]
