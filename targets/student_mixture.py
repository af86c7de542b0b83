"""Mixtures of Student-t densities: heavy tails."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from targets.arguments import as_double, floating_dtype, normalised_weights, positive
from targets.base import Target


class StudentMixture(Target):
    """A mixture of products of one-dimensional Student-t densities, normalised.

        log p(x) = log sum_k w_k prod_i t(x_i; means_ki, scale, dof),   r = posterior shares of the components
        score_i = -sum_k r_k (dof + 1) (x_i - means_ki) / (dof scale^2 + (x_i - means_ki)^2)

    means: (components, dim); weights: (components,), equal by default.
    Known: log_z = 0, exact draws (inverse distribution function), centres and weights, the mean for dof > 1 and the
    covariance for dof > 2. At dof <= 2 no second moment exists, and transport distances to exact draws are infinite
    in the population.

    dof: degrees of freedom, positive. scale: of every coordinate, a positive number. name: as of `Target`.

        >>> heavy = targets.StudentMixture([[-5.0], [5.0]], dof=2.0)
        >>> heavy.mean, "covariance" in heavy.known
        (tensor([0.]), False)
    """

    def __init__(
        self, means: Any, *, dof: float, scale: float = 1.0, weights: Any = None, name: str | None = None
    ) -> None:
        dtype, centres = floating_dtype(means), as_double(means, "means")
        if centres.ndim != 2:
            raise ValueError(f"means: got shape {tuple(centres.shape)}, expected (components, dim)")
        super().__init__(centres.shape[1], dtype=dtype, device=centres.device, name=name)
        self.dof, self.scale = positive(dof, "dof"), positive(scale, "scale")
        self._exact = {"means": centres, "weights": normalised_weights(weights, len(centres))}
        self._place()
        self._log_normaliser = (
            math.lgamma((self.dof + 1) / 2)
            - math.lgamma(self.dof / 2)
            - 0.5 * math.log(math.pi * self.dof)
            - math.log(self.scale)
        )

    def _place(self) -> None:
        self._means = self._exact["means"].to(device=self.device, dtype=self.dtype)
        self._weights = self._exact["weights"].to(device=self.device, dtype=self.dtype)

    def _terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        difference = x[..., None, :] - self._means  # (*batch, components, dim)
        powers = torch.log1p(difference.square() / (self.dof * self.scale**2))
        logits = self._weights.log() + self.dim * self._log_normaliser - 0.5 * (self.dof + 1) * powers.sum(-1)
        return logits, difference

    def log_prob(self, x: Tensor) -> Tensor:
        return self._terms(x)[0].logsumexp(-1)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, difference = self._terms(x)
        pull = -(self.dof + 1) * difference / (self.dof * self.scale**2 + difference.square())
        return logits.logsumexp(-1), (logits.softmax(-1)[..., None] * pull).sum(-2)

    @property
    def log_z(self) -> float:
        return 0.0

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        from scipy import special

        which = torch.multinomial(self._weights, n, replacement=True, generator=generator)
        uniform = torch.rand(n, self.dim, generator=generator, dtype=torch.float64, device=self.device)
        # rand() is 0 with probability 2^-53; its quantile would be -infinity
        standard = special.stdtrit(self.dof, uniform.clamp_min(2.0**-54).cpu().numpy())
        return self._means[which] + self.scale * torch.from_numpy(standard).to(self._means)

    @property
    def modes(self) -> Tensor:
        return self._means

    @property
    def mode_weights(self) -> Tensor:
        return self._weights

    def mode_probabilities(self, x: Tensor) -> Tensor:
        return self._terms(x)[0].softmax(-1)

    @property
    def mean(self) -> Tensor:
        if self.dof <= 1:
            self._raise_unknown("mean")
        return self._weights @ self._means

    @property
    def covariance(self) -> Tensor:
        if self.dof <= 2:
            self._raise_unknown("covariance")
        centred = self._means - self.mean
        between = torch.einsum("k,ki,kj->ij", self._weights, centred, centred)
        within = self.scale**2 * self.dof / (self.dof - 2)
        return between + within * torch.eye(self.dim, dtype=self.dtype, device=self.device)

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset(
            (["mean", "moments"] if self.dof <= 1 else []) + (["covariance", "moments"] if self.dof <= 2 else [])
        )
