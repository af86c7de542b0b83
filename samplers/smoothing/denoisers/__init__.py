"""Denoisers: what is known of X when Y = X + noise has been measured."""

from samplers.smoothing.denoisers.base import Denoiser, Estimate
from samplers.smoothing.denoisers.closed_form import ClosedForm
from targets import Noise, Target

__all__ = ["ClosedForm", "Denoiser", "Estimate", "default_denoiser"]


def default_denoiser(target: Target, noise: Noise) -> Denoiser:
    """The closed form."""
    del target, noise
    return ClosedForm()
