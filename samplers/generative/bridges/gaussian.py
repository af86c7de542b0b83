"""The Schroedinger bridge between two Gaussians, in closed form.

    X_0 ~ N(m, A), X_1 ~ N(n, B), reference dX = sqrt(eps) dW
    X_1 | X_0 = x ~ N(n + S (x - m), eps S),   S A S + eps S = B
    S = A^{-1/2} ((A^{1/2} B A^{1/2} + eps^2 I / 4)^{1/2} - eps I / 2) A^{-1/2}
    cov(X_0, X_1) = A S = C,   cov(X_t) = (1-t)^2 A + t^2 B + t (1-t) (C + C' + eps I)

The precision of the pair has -I / eps beside its diagonal, which is what makes the plan the optimal one. The way back
has the same form with both ends exchanged. Mallasto, Gerolin and Minh 2021, https://arxiv.org/abs/2006.03416; Bunne,
Hsieh, Cuturi and Krause 2023, https://arxiv.org/abs/2202.05722.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from samplers.generative.bridges.mixture_potential import MixturePotential
from samplers.generative.bridges.potential import times
from targets import Gaussian
from targets.arguments import as_double, cholesky, positive


def slope(start: Tensor, end: Tensor, noise: float) -> Tensor:
    """S (..., dim, dim) of covariances A and B (..., dim, dim), positive definite; or of variances (..., 1, 1)."""
    values, axes = torch.linalg.eigh(start)
    root, inverse = ((axes * values.pow(power)[..., None, :]) @ axes.mT for power in (0.5, -0.5))
    values, axes = torch.linalg.eigh(root @ end @ root)
    # sqrt(c + eps^2 / 4) - eps / 2 without the difference, which is small for large eps
    middle = values / ((values + noise**2 / 4).sqrt() + noise / 2)
    found = inverse @ (axes * middle[..., None, :]) @ axes.mT @ inverse
    return 0.5 * (found + found.mT)


@dataclass(frozen=True, eq=False)
class GaussianBridge:
    """The bridge from N(start_mean, start_covariance) to N(end_mean, end_covariance), see the module; in float64.

    noise: eps, the variance of the reference per unit of time. means (dim,), covariances (dim, dim). ValueError for a
    covariance that is not positive definite, and ends of different dimensions.

        >>> from samplers.generative.bridges import GaussianBridge
        >>> bridge = GaussianBridge.between(targets.Gaussian([0.0]), targets.Gaussian([1.0]), noise=1.5)
        >>> bridge.slope, bridge.marginal(0.5).covariance  # of 1 + x / 2 with variance .75
        (tensor([[0.5000]], dtype=torch.float64), tensor([[1.1250]], dtype=torch.float64))
    """

    start_mean: Tensor
    start_covariance: Tensor
    end_mean: Tensor
    end_covariance: Tensor
    noise: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", positive(self.noise, "noise"))
        for end in ("start", "end"):
            mean = as_double(getattr(self, f"{end}_mean"), f"{end}_mean")
            if mean.ndim != 1:
                raise ValueError(f"{end}_mean: got shape {tuple(mean.shape)}, expected (dim,)")
            covariance = as_double(getattr(self, f"{end}_covariance"), f"{end}_covariance").to(mean)
            if covariance.shape != (len(mean), len(mean)):
                raise ValueError(
                    f"{end}_covariance: got shape {tuple(covariance.shape)}, expected ({len(mean)}, {len(mean)}) like "
                    f"{end}_mean"
                )
            cholesky(covariance, f"{end}_covariance")
            object.__setattr__(self, f"{end}_mean", mean)
            object.__setattr__(self, f"{end}_covariance", covariance)
        if self.start_mean.shape != self.end_mean.shape:
            raise ValueError(
                f"end_mean: got dimension {len(self.end_mean)}, expected {len(self.start_mean)}, that of start_mean"
            )

    @classmethod
    def between(cls, start: Gaussian, end: Gaussian, noise: float) -> GaussianBridge:
        """Of two targets; TypeError for others, which `targets.Gaussian` of their moments stands for."""
        for name, law in (("start", start), ("end", end)):
            if not isinstance(law, Gaussian):
                raise TypeError(f"{name}: got {type(law).__name__}, expected a targets.Gaussian")
        moments = (law.to(dtype=torch.float64) for law in (start, end))
        (m, a), (n, b) = ((law.mean, law.covariance) for law in moments)
        return cls(m, a, n, b, noise)

    @cached_property
    def slope(self) -> Tensor:
        """S, (dim, dim): the mean of the end rises by S x."""
        return slope(self.start_covariance, self.end_covariance, self.noise)

    @cached_property
    def cross_covariance(self) -> Tensor:
        """cov(X_0, X_1) = A S, (dim, dim)."""
        return self.start_covariance @ self.slope

    @property
    def plan_covariance(self) -> Tensor:
        """Of (X_0, X_1), (2 dim, 2 dim)."""
        above = torch.cat([self.start_covariance, self.cross_covariance], 1)
        return torch.cat([above, torch.cat([self.cross_covariance.mT, self.end_covariance], 1)])

    def marginal(self, t: float) -> Gaussian:
        """The law of X_t, 0 <= t <= 1."""
        t = float(times(t, self.start_mean[None])[0])
        cross = self.cross_covariance + self.cross_covariance.mT
        unit = torch.eye(len(cross)).to(cross)
        covariance = (1 - t) ** 2 * self.start_covariance + t**2 * self.end_covariance
        covariance = covariance + t * (1 - t) * (cross + self.noise * unit)
        return Gaussian(torch.lerp(self.start_mean, self.end_mean, t), covariance=covariance)

    @property
    def forward(self) -> MixturePotential:
        """The potential at the end: conditional laws and drift from start to end."""
        return self._potential(self.start_mean, self.end_mean, self.slope)

    @property
    def backward(self) -> MixturePotential:
        """That at the start, of the process from end to start."""
        matrix = slope(self.end_covariance, self.start_covariance, self.noise)
        return self._potential(self.end_mean, self.start_mean, matrix)

    def _potential(self, origin: Tensor, end: Tensor, matrix: Tensor) -> MixturePotential:
        zero = torch.zeros_like(origin)
        return MixturePotential.of_matrices(self.noise, zero[:1], zero[None], matrix[None], origin, end)
