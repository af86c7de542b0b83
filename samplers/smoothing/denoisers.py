"""The denoisers of `samplers.denoisers`, by the path where they stood before."""

from samplers.denoisers import (
    Auto,
    ClosedForm,
    Denoiser,
    Estimate,
    Importance,
    InnerChains,
    InnerSMC,
    Learned,
    Quadrature,
)

__all__ = [
    "Auto",
    "ClosedForm",
    "Denoiser",
    "Estimate",
    "Importance",
    "InnerChains",
    "InnerSMC",
    "Learned",
    "Quadrature",
]
