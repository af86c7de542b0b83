"""Denoisers: what is known of X when Y = X + noise has been measured."""

from samplers.smoothing.denoisers.automatic import Auto
from samplers.smoothing.denoisers.base import Denoiser, Estimate
from samplers.smoothing.denoisers.closed_form import ClosedForm
from samplers.smoothing.denoisers.importance import Importance
from samplers.smoothing.denoisers.inner_chains import InnerChains
from samplers.smoothing.denoisers.inner_smc import InnerSMC
from samplers.smoothing.denoisers.learned import Learned
from samplers.smoothing.denoisers.names import as_denoiser, default_denoiser
from samplers.smoothing.denoisers.quadrature import Quadrature

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
    "as_denoiser",
    "default_denoiser",
]
