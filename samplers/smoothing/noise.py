"""The noise of a sampler's measurements, as its fields `noise` and `sigma` give it."""

from __future__ import annotations

from torch import Tensor

from targets import Noise, PairwiseMRF, Target
from targets.arguments import shown
from targets.counting import plain
from targets.mrf_noise import MRFNoise
from targets.noise import as_noise


def check_noise(noise: str | Tensor | Noise, sigma: float | None, *, shaped: bool = False) -> None:
    """ValueError for what is neither "isotropic", "mrf" (where it may be `shaped`), a covariance nor noise."""
    if isinstance(noise, str) and noise != "isotropic" and not (shaped and noise == "mrf"):
        hint = "; noise='mrf' is for WalkJump, whose single measurement makes spins independent"
        kinds = "'isotropic', 'mrf'" if shaped else "'isotropic'"
        raise ValueError(
            f"noise: got {shown(noise)}, expected {kinds}, a covariance or a "
            f"targets.Noise{hint if noise == 'mrf' else ''}"
        )
    if sigma is not None and not (isinstance(noise, str) and noise == "isotropic"):
        raise ValueError("sigma, noise: got both; sigma is the standard deviation of isotropic noise")


def noise_of(noise: str | Tensor | Noise, sigma: float | None, target: Target) -> Noise:
    """That of one measurement; ValueError where sigma is still open."""
    if not isinstance(noise, str):
        return as_noise(noise, target.dim)
    if noise == "mrf":
        return MRFNoise(random_field(target))
    if sigma is None:
        raise ValueError("sigma: left to `sample`, which finds it; give it to use init and step alone")
    return as_noise(sigma, target.dim, "sigma")


def of_mean(noise: Noise, m: int) -> Noise:
    """That of the mean of m measurements; the noise itself for one, which denoisers know again."""
    return noise if m == 1 else noise.scaled(1 / m)


def random_field(target: Target) -> PairwiseMRF:
    """The target, which noise of its shape needs to be a PairwiseMRF; TypeError for others."""
    bare = plain(target)
    if not isinstance(bare, PairwiseMRF):
        raise TypeError(f"noise: 'mrf' is for a PairwiseMRF such as targets.Ising, got {target.name}")
    return bare
