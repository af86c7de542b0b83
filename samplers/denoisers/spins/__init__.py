"""Denoisers of spins: what is known of s when y = s + noise has been measured."""

from samplers.denoisers.base import Denoiser
from samplers.denoisers.spins.belief_propagation import BeliefPropagation
from samplers.denoisers.spins.enumeration import Enumeration
from samplers.denoisers.spins.fixed_points import TAP, MeanField
from samplers.denoisers.spins.gibbs_means import GibbsMeans
from samplers.denoisers.spins.mrf_shaped import MRFShaped, serves
from samplers.denoisers.spins.posterior import SpinPosterior
from samplers.denoisers.spins.transfer import TransferMatrix, work
from targets import Noise, PairwiseMRF, Target

__all__ = [
    "BeliefPropagation",
    "Enumeration",
    "GibbsMeans",
    "MRFShaped",
    "MeanField",
    "TAP",
    "TransferMatrix",
    "default_spin_denoiser",
]

FEW_SPINS = 12
LITTLE_WORK = 2**18


def default_spin_denoiser(target: Target, noise: Noise) -> Denoiser:
    """The closed form where there is one, sums over all configurations where they are cheap, else short Gibbs runs."""
    if not isinstance(target, PairwiseMRF):
        raise TypeError(f"target: got {target.name}, expected spins, a PairwiseMRF or an Ising model")
    if serves(target, noise):
        return MRFShaped()
    if target.dim <= FEW_SPINS:
        return Enumeration()
    strip = SpinPosterior.of(target, noise).model._strip
    if strip is not None and work(strip) <= LITTLE_WORK:
        return TransferMatrix()
    return GibbsMeans()
