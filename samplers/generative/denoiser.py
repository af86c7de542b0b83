"""A diffusion model as a denoiser: E[X | y] at the noise levels that its process passes through."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.denoisers.base import Denoiser, Estimate
from samplers.generative.score import noise_of
from samplers.generative.score_model import ScoreModel
from samplers.generative.standardisation import Standardisation
from samplers.identity.contents import digest
from targets import Noise, Target


@dataclass(frozen=True, eq=False, repr=False)
class DiffusionDenoiser(Denoiser):
    """E[X | y] = shift + L D(a u, t), u = L^-1 (y - shift), for noise N(0, sigma^2 L C L') with sigma^2 = v_t / a_t^2.

    D is the model's E[u | u_t], C the covariance of its process's noise. It is biased by what was not learned, and
    gives neither the density of y nor draws of X. model: the `ScoreModel`. coordinates: its own,
    x = shift + L u. ValueError for noise of another shape, or beyond that at the process's horizon.

        >>> from samplers.generative import ScoreMLP
        >>> samples = targets.Gaussian([0.0]).sample(2000, generator=torch.Generator().manual_seed(0))
        >>> model = samplers.ScoreDiffusion(network=ScoreMLP(width=8, blocks=1))
        >>> denoiser = model.fit(samples, iterations=0, progress=False).denoiser()
        >>> found = denoiser.estimate(targets.Gaussian([0.0]), torch.ones(1, 1), targets.IsotropicNoise(1.0))
        >>> 0.4 < float(found.mean) < 0.6
        True
    """

    model: ScoreModel
    coordinates: Standardisation

    def describe(self) -> str:
        """With the first digits of a digest of what was learned, by which a checkpoint knows it again."""
        model, coordinates = self.model, self.coordinates
        learned = digest([model.state_dict(), model.process, repr(model.parametrisation), vars(coordinates)])
        return f"{type(self).__name__}({learned[:8]})"

    __repr__ = describe

    def _level(self, noise: Noise) -> float:
        """sigma."""
        dim, factor = len(self.coordinates.shift), self.coordinates.factor
        matrix = torch.diag(factor) if factor.ndim == 1 else factor
        shape = matrix @ noise_of(self.model.process).covariance(dim).to(matrix) @ matrix.mT
        covariance = noise.covariance(dim).to(matrix)
        ratio = float(covariance.trace() / shape.trace())
        if not torch.allclose(covariance, ratio * shape, rtol=1e-6, atol=1e-9 * ratio * float(shape.trace())):
            raise ValueError(
                f"noise: got {noise}, expected a multiple of the covariance that the model's noise has in x; isotropic "
                'noise fits ScoreDiffusion(standardise="none"), noise of a shape that and "common"'
            )
        return math.sqrt(ratio)

    def check(self, target: Target, noise: Noise) -> None:
        dim = len(self.coordinates.shift)
        noise.check(dim)
        if target.dim != dim:
            raise ValueError(f"target: got dimension {target.dim}, expected the model's {dim}")
        self._level(noise)

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None = None, memory: Tensor | None = None
    ) -> Estimate:
        process, sigma = self.model.process, self._level(noise)
        most = math.exp(-0.5 * float(process.log_snr(process.horizon)))
        if sigma > most:
            raise ValueError(f"noise: got a level of {sigma:.6g}, expected at most {most:.6g}, that at the horizon")
        t = process.time_of(-2 * math.log(sigma))
        with torch.no_grad():
            u = float(process.scale(t)) * self.coordinates.forward(y)[0]
            return Estimate(self.coordinates.inverse(self.model.clean(u, t)))

    def draw(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Tensor | None = None
    ) -> Tensor:
        raise NotImplementedError(
            "denoiser: a diffusion model knows the mean of X given y and cannot draw X; use jump='mean', or another "
            "denoiser for the draws"
        )
