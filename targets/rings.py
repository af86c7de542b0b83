"""Densities on the plane that depend on the radius alone: the ring benchmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from targets.arguments import positive
from targets.base import Target
from targets.one_dimensional import Density1D


class _Radial(Target):
    """log p(x) = g(|x|) on the plane. Z = 2 pi INT r exp(g(r)) dr by quadrature; draws: exact radius, uniform angle.

    A subclass gives `_profile(r)`: g and its derivative. The score is g'(r) x / r, and 0 at the origin, where it is
    not defined.
    """

    _reach: float

    def _profile(self, r: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def log_prob(self, x: Tensor) -> Tensor:
        self._check(x)
        return self._profile(x.norm(dim=-1))[0]

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        r = x.norm(dim=-1)
        value, slope = self._profile(r)
        return value, torch.where(r > 0, slope / r, 0.0)[..., None] * x

    def _log_radius_density(self, r: np.ndarray) -> np.ndarray:
        r = np.maximum(r, np.finfo(np.float64).tiny)
        return np.log(r) + self._profile(torch.from_numpy(r))[0].numpy()

    @cached_property
    def _radius(self) -> Density1D:
        return Density1D(self._log_radius_density, 0.0, self._reach, cells=16384)

    @property
    def log_z(self) -> float:
        return math.log(2 * math.pi) + self._radius.log_z

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        r = self._radius.sample(n, generator=generator)
        angle = 2 * math.pi * torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device)
        return torch.stack([r * angle.cos(), r * angle.sin()], -1).to(dtype=self.dtype, device=self.device)

    @property
    def mean(self) -> Tensor:
        return torch.zeros(2, dtype=self.dtype, device=self.device)

    @property
    def covariance(self) -> Tensor:
        half = 0.5 * float(self._radius.expectation(lambda r: r**2))
        return half * torch.eye(2, dtype=self.dtype, device=self.device)


class Rings(_Radial):
    """Rings whose radius follows a Gaussian mixture: r ~ mean over k of N(radii_k, scale^2), the angle uniform.

        log p(x) = log sum_k exp(-(r - radii_k)^2 / (2 scale^2)) - log r + const,     r = |x|

    Normalised (`log_z` is 0 up to the mixture's mass at negative radius). With `jacobian=False` the term -log r and
    the constant are left out: the unnormalised toy rings of the DDS code, log_z by quadrature.
    Known: log_z, exact draws, moments. Grenioux et al. 2024, https://arxiv.org/abs/2402.10758 (radii 1..4, scale 0.15).

    radii: (rings,), positive. scale: standard deviation of the radius in a ring. dtype, name: as of `Target`.

        >>> rings = targets.Rings()
        >>> rings.sample(3, generator=torch.Generator().manual_seed(0)).shape, abs(rings.log_z) < 1e-9
        (torch.Size([3, 2]), True)
    """

    def __init__(
        self,
        radii: Sequence[float] = (1.0, 2.0, 3.0, 4.0),
        scale: float = 0.15,
        *,
        jacobian: bool = True,
        dtype: torch.dtype | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(2, dtype=dtype, name=name)
        self.radii = tuple(positive(radius, "radii") for radius in radii)
        self.scale, self.jacobian = positive(scale, "scale"), jacobian
        self._reach = max(self.radii) + 12 * self.scale

    def _profile(self, r: Tensor) -> tuple[Tensor, Tensor]:
        difference = r[..., None] - torch.tensor(self.radii, dtype=r.dtype, device=r.device)
        logits = -0.5 * (difference / self.scale).square()
        value = logits.logsumexp(-1)
        slope = -(logits.softmax(-1) * difference).sum(-1) / self.scale**2
        if not self.jacobian:
            return value, slope
        constant = math.log(len(self.radii) * self.scale * (2 * math.pi) ** 1.5)
        return value - r.log() - constant, slope - 1 / r


class NearestRing(_Radial):
    """Sharp rings: log p(x) = -sharpness min_k (|x| - radii_k)^2, not normalised.

    Known: log_z by quadrature (2.3048815 for radii 1, 3, 5 and sharpness 100), exact draws, moments.
    Zhang and Chen 2022, https://arxiv.org/abs/2111.15141.

    radii: (rings,), positive. sharpness: 1 / (2 width^2). dtype, name: as of `Target`.

        >>> rings = targets.NearestRing([1.0, 3.0])
        >>> rings.log_prob(torch.tensor([[0.0, 1.1], [0.0, 2.9]])).round(decimals=3)
        tensor([-1., -1.])
    """

    def __init__(
        self,
        radii: Sequence[float] = (1.0, 3.0, 5.0),
        sharpness: float = 100.0,
        *,
        dtype: torch.dtype | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(2, dtype=dtype, name=name)
        self.radii = tuple(positive(radius, "radii") for radius in radii)
        self.sharpness = positive(sharpness, "sharpness")
        self._reach = max(self.radii) + math.sqrt(60 / self.sharpness)

    def _profile(self, r: Tensor) -> tuple[Tensor, Tensor]:
        difference = r[..., None] - torch.tensor(self.radii, dtype=r.dtype, device=r.device)
        nearest = difference.abs().argmin(-1, keepdim=True)
        offset = difference.gather(-1, nearest)[..., 0]
        return -self.sharpness * offset.square(), -2 * self.sharpness * offset


class CosineRings(_Radial):
    """Concentric rings of "Beyond ELBOs" in two dimensions, not normalised.

        log p(x) = log(cos r + 1.001) for r <= 4.5 pi, and 4.5 pi - r beyond,     r = |x|

    The published sampler draws r without the factor r and so disagrees with this density; the one here is exact.
    Known: log_z by quadrature, exact draws, moments. Blessing et al. 2024, https://arxiv.org/abs/2406.07423.

    dtype, name: as of `Target`.

        >>> round(targets.CosineRings().log_z, 4)
        6.6923
    """

    def __init__(self, *, dtype: torch.dtype | None = None, name: str | None = None) -> None:
        super().__init__(2, dtype=dtype, name=name)
        self._reach = 4 * 4.5 * math.pi  # the jump of the density lies on the edge of a cell, the tail ends at exp(-42)

    def _profile(self, r: Tensor) -> tuple[Any, Any]:
        inside = r <= 4.5 * math.pi
        wave = torch.cos(r) + 1.001
        value = torch.where(inside, wave.log(), 4.5 * math.pi - r)
        return value, torch.where(inside, -torch.sin(r) / wave, -1.0)
