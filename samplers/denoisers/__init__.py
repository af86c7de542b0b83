"""Denoisers: what is known of X when Y = X + noise has been measured."""

from samplers.denoisers.automatic import Auto
from samplers.denoisers.base import Denoiser, Estimate
from samplers.denoisers.closed_form import ClosedForm
from samplers.denoisers.importance import Importance
from samplers.denoisers.inner_chains import InnerChains
from samplers.denoisers.inner_smc import InnerSMC
from samplers.denoisers.learned import Learned
from samplers.denoisers.names import as_denoiser, default_denoiser
from samplers.denoisers.quadrature import Quadrature
from samplers.denoisers.unrolled import Unrolled

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
    "Unrolled",
    "as_denoiser",
    "default_denoiser",
]
