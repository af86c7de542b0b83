"""Independent targets side by side."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from targets.base import Target
from targets.noise import CorrelatedNoise, Noise


class Product(Target):
    """The joint law of independent targets: log p(x) = sum_j log p_j(x_j), x the concatenation of the x_j.

    Known is what every factor knows: log_z adds up, draws and moments are joined, smoothing acts on each.

    factors: Targets of one dtype and device. name: as of `Target`. ValueError for factors of which dtypes or devices
    differ.

        >>> both = targets.Product(targets.Gaussian([0.0]), targets.LogExponential(2))
        >>> both.dim, both.log_z
        (3, 0.0)
    """

    def __init__(self, *factors: Target, name: str | None = None) -> None:
        if not factors:
            raise ValueError("factors: got none, expected at least one target")
        places = {(factor.dtype, factor.device) for factor in factors}
        if len(places) > 1:
            raise ValueError(f"factors: got dtypes and devices {sorted(map(str, places))}, expected them to agree")
        super().__init__(sum(f.dim for f in factors), dtype=factors[0].dtype, device=factors[0].device, name=name)
        self.factors = list(factors)
        self._dims = [factor.dim for factor in factors]

    def _split(self, x: Tensor) -> list[tuple[Target, Tensor]]:
        self._check(x)
        return list(zip(self.factors, x.split(self._dims, -1), strict=True))

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.stack([factor.log_prob(part) for factor, part in self._split(x)]).sum(0)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, scores = zip(*(factor.log_prob_and_score(part) for factor, part in self._split(x)), strict=True)
        return torch.stack(values).sum(0), torch.cat(scores, -1)

    @property
    def _unknown(self) -> frozenset[str]:
        shared = frozenset.intersection(*(factor.known for factor in self.factors))
        return type(self)._stated - shared

    _stated = frozenset({"log_z", "sample", "smoothed", "sample_given", "mean", "covariance", "moments"})

    @property
    def log_z(self) -> float:
        return sum(factor.log_z for factor in self.factors)

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        return torch.cat([factor.sample(n, generator=generator) for factor in self.factors], -1)

    def smoothed(self, sigma: float | Noise) -> Product:
        parts = self._noises(sigma)
        return Product(
            *(factor.smoothed(part) for factor, part in zip(self.factors, parts, strict=True)), name=self.name
        )

    def sample_given(self, y: Tensor, noise: float | Noise, *, generator: Generator) -> Tensor:
        split = zip(self._split(y), self._noises(noise), strict=True)
        return torch.cat([factor.sample_given(part, own, generator=generator) for (factor, part), own in split], -1)

    def _noises(self, sigma: float | Noise) -> list[float | Noise]:
        """The noise of every factor; ValueError where it couples them."""
        if not isinstance(sigma, Noise):
            return [sigma] * len(self.factors)
        variances = sigma.variances(self.dim)
        if variances is None:
            raise ValueError(f"sigma: got correlated noise, which couples the independent factors of {self.name}")
        return [CorrelatedNoise(part) for part in variances.split(self._dims)]

    @property
    def mean(self) -> Tensor:
        return torch.cat([factor.mean for factor in self.factors])

    @property
    def covariance(self) -> Tensor:
        return torch.block_diag(*(factor.covariance for factor in self.factors))
