"""The denoiser by importance sampling: candidates around the measurement, weighted by the density."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import torch
from torch import Generator, Tensor

from samplers.annealing.resampling import multinomial
from samplers.denoisers.base import Denoiser, Estimate, Memory, blend
from targets import Noise, Target
from targets.arguments import check_choice, check_integer, not_negative

Form = Literal["blend", "stein", "gradient"]
ROWS = 1 << 23  # coordinates held at once: 64 MB in float64


@dataclass(frozen=True, eq=False)
class Importance(Denoiser):
    """Self-normalised importance sampling of X given y, for n = `draws` candidates:

        x_i = y + e_i,  e_i ~ N(0, C),    W_i = gamma(x_i) / sum_j gamma(x_j),    phi(y) = log mean_i gamma(x_i)

        stein       E[X | y] = sum_i W_i x_i                          n log-densities
        gradient    E[X | y] = y + C sum_i W_i grad log gamma(x_i)    n scores as well
        blend       sum_i W_i (x_i + a z_i),  z_i = grad log gamma(x_i) - P e_i,  which has mean zero given y;
                    a for each coordinate such that the variance is least: a = 0 is stein, a = C gradient

    The mean is biased by O(1 / n); exp(phi) is unbiased. antithetic: candidates come in pairs y +- e. richardson:
    2 S_n - S_{n/2}, S_{n/2} the mean of the answers of both halves: the bias of the mean is then O(1 / n^2).

    error: by the delta method, from pairs where candidates come in pairs. ess: 1 / sum W^2. trusted where ess >= floor.
    About exp(KL(law of X given y, N(y, C))) candidates are needed: unless the noise is small, a few dimensions are
    the limit. `draw`: one of the candidates by weight, whose law is off by O(1 / n); the mean it has is that of stein.
    Candidates where gamma is not a number leave an estimate that is not trusted.

    Stein's form: Saremi, Park and Bach 2024, https://arxiv.org/abs/2305.19473; the gradient's: Akhound-Sadegh et al.
    2024, https://arxiv.org/abs/2402.06121; blended as in Mira, Solgi and Imparato 2013,
    https://arxiv.org/abs/1012.2983.

        >>> from samplers.denoisers import Importance
        >>> y, noise = torch.tensor([[2.0]]), targets.IsotropicNoise(1.0)
        >>> found = Importance(draws=1024).estimate(targets.Gaussian([0.0]), y, noise, torch.Generator().manual_seed(0))
        >>> abs(found.mean.item() - 1.0) < 4 * found.error.item() + 1e-6, found.trusted
        (True, tensor([True]))
    """

    draws: int = 1024
    antithetic: bool = True
    form: Form = "blend"
    richardson: bool = False
    floor: float = 30.0

    density: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_integer(self.draws, "draws", 2)
        groups = (2 if self.antithetic else 1) * (2 if self.richardson else 1)
        if self.draws % groups:
            raise ValueError(f"draws: got {self.draws}, expected a multiple of {groups} for pairs and halves")
        check_choice(self.form, "form", get_args(Form))
        not_negative(self.floor, "floor")

    def check(self, target: Target, noise: Noise) -> None:
        noise.check(target.dim)
        if target.discrete:
            raise TypeError(f"target: {target.name} is discrete; expected a density on R^{target.dim}")

    def describe(self) -> str:
        return f"Importance({self.draws})"

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None, memory: Memory = None
    ) -> Estimate:
        assert generator is not None
        return self.estimate_and_draw(target, y, noise, generator, drawn=False)[0]

    def draw(self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Memory = None) -> Tensor:
        return replace(self, form="stein").estimate_and_draw(target, y, noise, generator)[1]

    def estimate_and_draw(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator, drawn: bool = True
    ) -> tuple[Estimate, Tensor]:
        """Both from the same candidates; without draws these are empty."""
        self.check(target, noise)
        rows = max(1, ROWS // (self.draws * target.dim))
        parts = [self._part(target, some, noise, generator, drawn) for some in y.split(rows)]
        mean, log_density, error, ess, x = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
        # a mean that is not finite goes with a measurement that is not, or is not believed
        trusted = (ess >= self.floor) & mean.isfinite().all(-1) | ~y.isfinite().all(-1)
        return Estimate(mean, log_density, error, ess, trusted=trusted), x

    def _part(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator, drawn: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        count = self.draws // 2 if self.antithetic else self.draws
        away = noise.sample_like(y[:, None].expand(-1, count, -1), generator)
        if self.antithetic:
            away = torch.stack([away, -away], 2).flatten(1, 2)  # partners are neighbours
        x = y[:, None] + away
        if self.form == "stein":
            log_gamma, scores = target.log_prob(x), None
        else:
            log_gamma, scores = target.log_prob_and_score(x)
            scores = torch.where(log_gamma[..., None] > -math.inf, scores, 0.0)  # their weight is zero
        log_weights = log_gamma.to(torch.float64)
        mean, error = self._mean(y, away, scores, log_weights, noise)
        if self.richardson:
            some_scores = (None, None) if scores is None else scores.chunk(2, 1)
            halves = zip(away.chunk(2, 1), some_scores, log_weights.chunk(2, 1), strict=True)
            first, second = (self._mean(y, *half, noise)[0] for half in halves)
            mean = 2 * mean - 0.5 * (first + second)
        shares = log_weights.softmax(-1)
        log_density = (log_weights.logsumexp(-1) - math.log(self.draws)).to(y)
        ess = 1 / shares.square().sum(-1)
        chosen = y[:0]
        if drawn:
            which = multinomial(shares, 1, generator)
            chosen = x.gather(1, which[..., None].expand(-1, 1, target.dim))[:, 0]
        return mean, log_density, error, ess, chosen

    def _mean(
        self, y: Tensor, away: Tensor, scores: Tensor | None, log_weights: Tensor, noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """E[X | y] and its standard error, (n, dim) each."""
        weights = log_weights.softmax(-1).to(y)[..., None]
        values = away if scores is None or self.form == "blend" else noise.times(scores)
        mean = (weights * values).sum(1)
        terms = self._pairs(weights * (values - mean[:, None]))
        if scores is None or self.form == "gradient":
            return y + mean, terms.square().sum(1).sqrt()
        z = scores - noise.solve(away)
        mean_z = (weights * z).sum(1)
        terms_z = self._pairs(weights * (z - mean_z[:, None]))
        variance = terms_z.square().sum(1)
        slope = blend(-(terms * terms_z).sum(1), variance, noise)
        return y + mean + slope * mean_z, (terms + slope[:, None] * terms_z).square().sum(1).sqrt()

    def _pairs(self, terms: Tensor) -> Tensor:
        """Sums over what is independent: pairs, or single candidates."""
        return terms.unflatten(1, (-1, 2)).sum(2) if self.antithetic else terms
