"""The denoiser of spins measured with noise of their model's own shape.

P = J + D on the couplings J of the model:    E[s | y] = tanh(b + P y),    spins given y independent
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from samplers.denoisers.base import Estimate
from samplers.denoisers.spins.posterior import ExactSpinDenoiser, SpinPosterior, independent_spins, log_two_cosh
from targets import MRFNoise, Noise, PairwiseMRF, Target
from targets.counting import plain


@dataclass(frozen=True, eq=False)
class MRFShaped(ExactSpinDenoiser):
    """E[s | y] = tanh(b + P y),  phi(y) = sum log 2 cosh(b + P y) - (y'P y + tr P) / 2 + const, and exact draws.

    For any pairwise model and `MRFNoise` of its couplings; ValueError for other noise. An estimate counts as one score
    and one log-density, a draw as one log-density: products with J all of them.

        >>> from samplers.denoisers.spins import MRFShaped
        >>> ising = targets.Ising((4, 4), coupling=0.3)
        >>> found = MRFShaped().estimate(ising, torch.zeros(1, 16), targets.MRFNoise(ising))
        >>> bool((found.mean == 0).all())
        True
    """

    def check(self, target: Target, noise: Noise) -> None:
        super().check(target, noise)
        if not serves(target, noise):
            raise ValueError(
                f"denoiser: got {noise}, expected MRFNoise with the couplings of {target.name}, which cancel in the "
                "posterior; other noise needs another denoiser, such as GibbsMeans"
            )

    def told(self, posterior: SpinPosterior, y: Tensor) -> Estimate:
        tilt = posterior.tilt(y)
        fields = tilt + posterior.model.fields
        return Estimate(fields.tanh(), posterior.log_density(y, tilt, log_two_cosh(fields).double().sum(-1)))

    def drawn(self, posterior: SpinPosterior, y: Tensor, generator: Generator) -> Tensor:
        return independent_spins(posterior.tilt(y) + posterior.model.fields, generator)


def serves(target: Target, noise: Noise) -> bool:
    """Whether couplings cancel: noise of the model's shape, or of any diagonal where there are no couplings."""
    spins = plain(target)
    if not isinstance(spins, PairwiseMRF):
        return False
    if isinstance(noise, MRFNoise):
        return noise.scale == 1 and noise.dim == spins.dim and noise.matches(spins)
    return not len(spins.edges) and noise.variances(spins.dim) is not None
