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

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.denoisers import Denoiser, Estimate, default_denoiser
from samplers.denoisers.base import UntrustedEstimate
from samplers.smoothing.noise import of_mean
from targets import Noise, Target
from targets.arguments import check_integer
from targets.noise import as_noise


@dataclass
class Asked:
    """What a denoiser has been asked so far; laws of one run may share it.

    memory: what a persistent denoiser remembers of the last rows evaluated; rows must keep their order from one
    evaluation to the next. points: denoised measurements. fallback_rows: (n,), how many of them a second denoiser
    answered; None where there is no second.
    """

    memory: Tensor | None = None
    points: int = 0
    fallback_rows: Tensor | None = None

    @property
    def fallbacks(self) -> int:
        """How many measurements a second denoiser answered."""
        return 0 if self.fallback_rows is None else int(self.fallback_rows.sum())

    def add(self, found: Estimate, remember: bool) -> None:
        """Count an estimate, and remember what it leaves."""
        self.points += len(found.mean)
        if remember and found.memory is not None:
            self.memory = found.memory
        if found.fallback is not None:
            before = 0 if self.fallback_rows is None else self.fallback_rows
            self.fallback_rows = before + found.fallback.long()


class Measured(Target):
    """What laws of measurements share: a target, noise, and a denoiser with its generator and what it was asked.

    A denoiser that is not exact makes `log_prob` and `score` random estimates; its draws come from `generator`, one
    seeded with 0 if none is given. An estimate that its denoiser does not trust raises UntrustedEstimate.
    noise_of_mean: that of what is denoised, the mean of all m measurements; None is C / m.
    """

    m: int = 1

    def __init__(
        self,
        target: Target,
        noise: float | Tensor | Noise,
        *,
        denoiser: Denoiser | None = None,
        generator: Generator | None = None,
        asked: Asked | None = None,
        noise_of_mean: Noise | None = None,
    ) -> None:
        super().__init__(target.dim, dtype=target.dtype, device=target.device, name=f"{target.name} measured")
        self.target = target
        self.noise = as_noise(noise, target.dim)
        self.noise_of_mean = of_mean(self.noise, self.m) if noise_of_mean is None else noise_of_mean
        if denoiser is None:
            denoiser = default_denoiser(target, self.noise_of_mean)
        self.denoiser = denoiser.bind(target, self.noise_of_mean)
        self.generator = Generator(target.device).manual_seed(0) if generator is None else generator
        self.asked = Asked() if asked is None else asked

    def denoise(self, mean: Tensor, remember: bool = True) -> Estimate:
        """What is known of X given the mean of the measurements, (n, dim), with the memory of the last rows or not."""
        memory = self.asked.memory if remember else None
        if memory is not None and len(memory) != len(mean):
            memory = None
        found = self.denoiser.estimate(self.target, mean, self.noise_of_mean, self.generator, memory)
        self.asked.add(found, remember)
        if found.trusted is not None and not bool(found.trusted.all()):
            share = 1 - float(found.trusted.double().mean())
            raise UntrustedEstimate(
                f"denoiser: {self.denoiser.describe()} does not believe {share:.0%} of its estimates of E[X | y] for "
                f"{self.target.name} at {self.noise_of_mean} ({_doubt(found)}, or use one that can, such as "
                "denoiser='auto'"
            )
        return found

    def draw(self, mean: Tensor) -> Tensor:
        """A draw of X given the mean of all measurements, (n, dim)."""
        return self.denoiser.draw(self.target, mean, self.noise_of_mean, self.generator, self.asked.memory)

    def _place(self) -> None:
        self.denoiser = self.denoiser.bind(self.target, self.noise_of_mean)

    @property
    def has_density(self) -> bool:
        """Whether `log_prob` is known or estimated, as Metropolis tests need it; else it is zero everywhere."""
        return self.denoiser.density

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset({"log_z", "sample"}) - self.target.known

    @property
    def log_z(self) -> float:
        return self.target.log_z

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


def record(noise: Noise, m: int, denoiser: Denoiser, points: int, fallbacks: int) -> dict[str, Any]:
    """What the attributes of draws say of their measurements."""
    described = {"noise": repr(noise), "measurements": m, "denoiser": denoiser.describe()}
    smoothing = described | {"points": points, "fallbacks": fallbacks}
    return {"smoothing": smoothing} | ({"pilot": denoiser.pilot} if denoiser.pilot else {})


def density_of(found: Estimate) -> Tensor:
    """phi, or zeros from a denoiser that gives none (kernels that test by it are refused beforehand)."""
    if found.log_density is None:
        return torch.zeros_like(found.mean[:, 0])
    return found.log_density


class Noisy(Measured):
    """The law of Y = X + N(0, C). Log Z is the target's; exact draws where the target has them.

    target: of X. noise: C, a sigma, a covariance (dim, dim), variances (dim,) or a targets.Noise. denoiser: a
    samplers.denoisers.Denoiser; None is the one that fits. generator: of a denoiser that is not exact; None is one
    seeded with 0. asked: what the denoiser was asked before, an `Asked`; None is nothing. noise_of_mean: C again.

        >>> from samplers.smoothing import Noisy
        >>> Noisy(targets.Gaussian([0.0]), noise=1.0).score(torch.tensor([1.0]))
        tensor([-0.5000])
    """

    def at(self, noise: Noise) -> Noisy:
        """The law with other noise, of one run with this one."""
        return Noisy(self.target, noise, denoiser=self.denoiser, generator=self.generator, asked=self.asked)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self._flat(x)
        found = self.denoise(y)
        score = self.noise.solve(found.mean - y)
        return density_of(found).reshape(x.shape[:-1]), score.reshape(x.shape)

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        x = self.target.sample(n, generator=generator)
        return x + self.noise.sample_like(x, generator)


class JointMeasurements(Measured):
    """The law of m measurements at once; a point is (y_1, .., y_m) flattened, (*batch, m * dim).

    target: of X. noise: C of one measurement, as of `Noisy`; noise_of_mean: None is C / m. denoiser, generator, asked:
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
        asked: Asked | None = None,
        noise_of_mean: Noise | None = None,
    ) -> None:
        self.m = check_integer(m, "m")
        super().__init__(
            target, noise, denoiser=denoiser, generator=generator, asked=asked, noise_of_mean=noise_of_mean
        )
        self.dim, self.name = m * target.dim, f"{m} measurements of {target.name}"

    def split(self, x: Tensor) -> Tensor:
        """(*batch, m * dim) -> (*batch, m, dim)."""
        return x.reshape(*x.shape[:-1], self.m, self.target.dim)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.split(self._flat(x))
        mean = y.mean(1)
        found = self.denoise(mean)
        value = density_of(found)
        if self.m > 1:
            apart = y - mean[:, None]  # sum_t y_t'P y_t - m ybar'P ybar, without cancellation
            # prod_t N(y_t; x, C) / N(ybar; x, C / m)
            dim = self.target.dim
            constant = -self.m * self.noise.log_normaliser(dim) + self.noise_of_mean.log_normaliser(dim)
            value = value - 0.5 * self.noise.square(apart).sum(-1) + constant
        score = self.noise.solve(found.mean[:, None] - y)
        return value.reshape(x.shape[:-1]), score.reshape(x.shape)

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        x = self.target.sample(n, generator=generator)
        return (x[:, None] + self.noise.sample_like(x[:, None].expand(-1, self.m, -1), generator)).flatten(1)


class NextMeasurement(Measured):
    """The law of Y_m given the mean of the `count` = m - 1 measurements before it: (dim,), or (n, dim) row by row.

    score = P (E[X | ybar_m; C / m] - y_m),    ybar_m = ((m - 1) past + y_m) / m

    target: of X. noise: C of one measurement, as of `Noisy`; noise_of_mean: None is C / m. denoiser, generator, asked:
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
        asked: Asked | None = None,
        noise_of_mean: Noise | None = None,
    ) -> None:
        self.m = check_integer(count, "count", 0) + 1
        super().__init__(
            target, noise, denoiser=denoiser, generator=generator, asked=asked, noise_of_mean=noise_of_mean
        )
        self.name = f"measurement of {target.name}"
        if past.shape[-1:] != (target.dim,) or past.ndim > 2:
            raise ValueError(f"past: got shape {tuple(past.shape)}, expected ({target.dim},) or (n, {target.dim})")
        self.past, self.count = past, count

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset({"log_z"})

    def mean_with(self, y: Tensor) -> Tensor:
        """ybar_m, (n, dim)."""
        return torch.lerp(self.past.expand_as(y), y, 1 / self.m)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self._flat(x)
        found = self.denoise(self.mean_with(y))
        # y'Py - m ybar'P ybar + (m - 1) past'P past = (1 - 1/m) (y - past)'P (y - past)
        value = density_of(found)
        if self.count:
            value = value - (0.5 * self.count / self.m) * self.noise.square(y - self.past)
        score = self.noise.solve(found.mean - y)
        return value.reshape(x.shape[:-1]), score.reshape(x.shape)
