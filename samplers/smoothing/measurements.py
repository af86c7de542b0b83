"""Laws of noisy measurements Y_t = X + N(0, C), t = 1 .. m, of a target X, each again a target.

    phi(y; C) = log of the integral of gamma(x) N(y; x, C) dx,     P = C^-1,     ybar the mean of the measurements

    Noisy                   log p(y) = phi(y; C),                     score P (E[X | y] - y)
    JointMeasurements       log p(y_1 .. y_m) = phi(ybar; C / m) - (sum_t y_t'P y_t - m ybar'P ybar) / 2 + const,
                            score of y_t: P (E[X | ybar; C / m] - y_t)
    NextMeasurement         log p(y_m | y_1 .. y_{m-1}): the same function of y_m, the others held fixed

The constant of the joint density is that of m - 1 independent normalised Gaussians and is included: the Z of
`Noisy` and `JointMeasurements` is that of the target. The law of X given a measurement is in
`samplers.smoothing.given`. Saremi and Hyvarinen 2019; Saremi, Park and Bach 2024.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from samplers.denoisers.base import Denoiser, Estimate, UntrustedEstimate
from targets import Noise, Target
from targets.arguments import check_integer
from targets.noise import as_noise


class Measured(Target):
    """What laws of measurements share: a target, noise, and a denoiser with its generator and memory.

    A denoiser that is not exact makes `log_prob` and `score` random estimates; its draws come from `generator`, one
    seeded with 0 if none is given. `memory` holds what a persistent denoiser remembers of the last rows evaluated;
    rows must keep their order from one evaluation to the next. `points` counts denoised measurements, `fallbacks`
    those of them that a second denoiser answered. An estimate that its denoiser does not trust raises
    UntrustedEstimate.
    """

    def __init__(
        self,
        target: Target,
        noise: float | Tensor | Noise,
        dim: int,
        denoiser: Denoiser | None,
        generator: Generator | None,
        memory: Tensor | None,
        name: str,
    ) -> None:
        super().__init__(dim, dtype=target.dtype, device=target.device, name=name)
        self.target = target
        self.noise = as_noise(noise, target.dim)
        if denoiser is None:
            from samplers.denoisers import default_denoiser

            denoiser = default_denoiser(target, self.noise)
        denoiser.check(target, self.noise)
        self.denoiser = denoiser
        if generator is None and not denoiser.exact:
            generator = Generator(target.device).manual_seed(0)
        self.generator, self.memory = generator, memory
        self.points = 0
        self.fallback_rows: Tensor | None = None

    def denoise(self, y: Tensor, noise: Noise) -> Estimate:
        """The denoiser's answer at measurements (n, dim); its memory is kept."""
        memory = self.memory if self.memory is not None and len(self.memory) == len(y) else None
        found = self.denoiser.estimate(self.target, y, noise, self.generator, memory)
        self.points += len(y)
        if found.memory is not None:
            self.memory = found.memory
        if found.fallback is not None:
            before = 0 if self.fallback_rows is None else self.fallback_rows
            self.fallback_rows = before + found.fallback.long()
        if found.trusted is not None and not bool(found.trusted.all()):
            share = 1 - float(found.trusted.double().mean())
            raise UntrustedEstimate(
                f"denoiser: {self.denoiser.describe()} does not believe {share:.0%} of its estimates of E[X | y] for "
                f"{self.target.name} at {noise} ({_doubt(found)}, or use one that can, such as denoiser='auto'"
            )
        return found

    @property
    def fallbacks(self) -> int:
        """How many measurements a second denoiser answered."""
        return 0 if self.fallback_rows is None else int(self.fallback_rows.sum())

    @property
    def has_density(self) -> bool:
        """Whether `log_prob` is known or estimated, as Metropolis tests need it; else it is zero everywhere."""
        return self.denoiser.density

    def _flat(self, y: Tensor) -> Tensor:
        self._check(y)
        return y.reshape(-1, self.dim)

    def log_prob(self, x: Tensor) -> Tensor:
        if not self.has_density:
            raise NotImplementedError(
                f"{self.name}: {self.denoiser.describe()} estimates the score alone, no log_prob; use a kernel without "
                "a Metropolis test, such as UnderdampedLangevin, or another denoiser"
            )
        return self.log_prob_and_score(x)[0]


def _doubt(found: Estimate) -> str:
    if found.ess is None:
        return "it has not converged, or left its range); give it more iterations"
    return f"worst effective number of draws {float(found.ess.min()):.3g}); give it more draws"


def density_of(found: Estimate) -> Tensor:
    """phi, or zeros from a denoiser that gives none (kernels that test by it are refused beforehand)."""
    if found.log_density is None:
        return torch.zeros_like(found.mean[:, 0])
    return found.log_density


class Noisy(Measured):
    """The law of Y = X + N(0, C). Log Z is the target's; exact draws where the target has them.

    target: of X. noise: C, a sigma, a covariance (dim, dim), variances (dim,) or a targets.Noise. denoiser: a
    samplers.denoisers.Denoiser; None is the one that fits. generator, memory: of a denoiser that is not exact; None is
    one seeded with 0, and none.

        >>> from samplers.smoothing import Noisy
        >>> Noisy(targets.Gaussian([0.0]), noise=1.0).score(torch.tensor([1.0]))
        tensor([-0.5000])
    """

    def __init__(
        self,
        target: Target,
        noise: float | Tensor | Noise,
        *,
        denoiser: Denoiser | None = None,
        generator: Generator | None = None,
        memory: Tensor | None = None,
    ) -> None:
        super().__init__(target, noise, target.dim, denoiser, generator, memory, f"{target.name} measured")

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self._flat(x)
        found = self.denoise(y, self.noise)
        score = self.noise.solve(found.mean - y)
        return density_of(found).reshape(x.shape[:-1]), score.reshape(x.shape)

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset({"log_z", "sample"}) - self.target.known

    @property
    def log_z(self) -> float:
        return self.target.log_z

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        x = self.target.sample(n, generator=generator)
        return x + self.noise.sample_like(x, generator)


class JointMeasurements(Measured):
    """The law of m measurements at once; a point is (y_1, .., y_m) flattened, (*batch, m * dim).

    target: of X. noise: C of one measurement, as of `Noisy`; noise_of_mean: None is C / m. denoiser, generator, memory:
    as of `Noisy`.

        >>> from samplers.smoothing import JointMeasurements
        >>> JointMeasurements(targets.Gaussian([0.0, 0.0]), noise=1.0, m=3).dim
        6
    """

    def __init__(
        self,
        target: Target,
        noise: float | Tensor | Noise,
        m: int,
        *,
        denoiser: Denoiser | None = None,
        generator: Generator | None = None,
        memory: Tensor | None = None,
        noise_of_mean: Noise | None = None,
    ) -> None:
        check_integer(m, "m")
        name = f"{m} measurements of {target.name}"
        super().__init__(target, noise, m * target.dim, denoiser, generator, memory, name)
        self.m = m
        self.noise_of_mean = self.noise.scaled(1 / m) if noise_of_mean is None else noise_of_mean

    def split(self, x: Tensor) -> Tensor:
        """(*batch, m * dim) -> (*batch, m, dim)."""
        return x.reshape(*x.shape[:-1], self.m, self.target.dim)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.split(self._flat(x))
        mean = y.mean(1)
        found = self.denoise(mean, self.noise_of_mean)
        value = density_of(found)
        if self.m > 1:
            apart = y - mean[:, None]  # sum_t y_t'P y_t - m ybar'P ybar, without cancellation
            value = value - 0.5 * self.noise.square(apart).sum(-1) + self._constant
        score = self.noise.solve(found.mean[:, None] - y)
        return value.reshape(x.shape[:-1]), score.reshape(x.shape)

    @property
    def _constant(self) -> float:
        """That of prod_t N(y_t; x, C) / N(ybar; x, C / m)."""
        dim = self.target.dim
        return -self.m * self.noise.log_normaliser(dim) + self.noise_of_mean.log_normaliser(dim)

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset({"log_z", "sample"}) - self.target.known

    @property
    def log_z(self) -> float:
        return self.target.log_z

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        x = self.target.sample(n, generator=generator)
        return (x[:, None] + self.noise.sample_like(x[:, None].expand(-1, self.m, -1), generator)).flatten(1)


class NextMeasurement(Measured):
    """The law of Y_m given the mean of the `count` = m - 1 measurements before it: (dim,), or (n, dim) row by row.

    score = P (E[X | ybar_m; C / m] - y_m),    ybar_m = ((m - 1) past + y_m) / m

    target: of X. noise: C of one measurement, as of `Noisy`; noise_of_mean: None is C / m. denoiser, generator, memory:
    as of `Noisy`. ValueError for a past of another shape.

        >>> from samplers.smoothing import NextMeasurement
        >>> law = NextMeasurement(targets.Gaussian([0.0]), 1.0, past=torch.tensor([2.0]), count=1)
        >>> law.score(torch.tensor([1.0]))
        tensor([0.])
    """

    def __init__(
        self,
        target: Target,
        noise: float | Tensor | Noise,
        past: Tensor,
        count: int,
        *,
        denoiser: Denoiser | None = None,
        generator: Generator | None = None,
        memory: Tensor | None = None,
        noise_of_mean: Noise | None = None,
    ) -> None:
        super().__init__(target, noise, target.dim, denoiser, generator, memory, f"measurement of {target.name}")
        check_integer(count, "count", 0)
        if past.shape[-1:] != (target.dim,) or past.ndim > 2:
            raise ValueError(f"past: got shape {tuple(past.shape)}, expected ({target.dim},) or (n, {target.dim})")
        self.past, self.count = past, count
        self.noise_of_mean = self.noise.scaled(1 / (count + 1)) if noise_of_mean is None else noise_of_mean

    def mean_with(self, y: Tensor) -> Tensor:
        """ybar_m, (n, dim)."""
        return torch.lerp(self.past.expand_as(y), y, 1 / (self.count + 1))

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self._flat(x)
        found = self.denoise(self.mean_with(y), self.noise_of_mean)
        # y'Py - m ybar'P ybar + (m - 1) past'P past = (1 - 1/m) (y - past)'P (y - past)
        value = density_of(found)
        if self.count:
            value = value - (0.5 * self.count / (self.count + 1)) * self.noise.square(y - self.past)
        score = self.noise.solve(found.mean - y)
        return value.reshape(x.shape[:-1]), score.reshape(x.shape)
