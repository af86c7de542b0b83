"""A potential that is a mixture of Gaussians in closed form (LightSB).

    psi(y) exp(-|y|^2 / (2 eps)) = v(y) = sum_k a_k N(y; r_k, eps S_k)
    pi(y | x) = exp(<x, y> / eps) v(y) / c(x) = sum_k w_k(x) N(y; r_k + S_k x, eps S_k)
    c(x) = sum_k a_k exp((x' S_k x + 2 r_k' x) / (2 eps)),   w_k its shares
    log h(x, t) = log sum_k a_k exp( e_k ) + const,   P_k = (1 - t) I + t S_k
    e_k = (x' P_k^-1 (S_k - I) x + 2 x' P_k^-1 r_k - t r_k' P_k^-1 r_k) / (2 eps) - log det P_k / 2
    drift(x, t) = sum_k softmax(log a + e)_k P_k^-1 ((S_k - I) x + r_k)

All of it holds in coordinates from an origin at either end: a bridge between shifted laws is the shifted bridge, and
small numbers are not taken from large ones. In the axes of S_k all of it is a product over dimensions. Korotin,
Gushchin and Burnaev 2024, https://arxiv.org/abs/2310.01174.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.generative.bridges.potential import Potential, by_rows, times
from samplers.processes.base import Time

LOG_2_PI = math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class MixturePotential(Potential):
    """See the module; all tensors in float64.

    noise: eps. log_weights: log a, (K,). shifts: r from the origins, (K, dim). spreads: the eigenvalues of S, positive,
    (K, dim). origin, end_origin: (dim,), the points that x and y are counted from. axes: the eigenvectors of S as
    columns, (K, dim, dim), or None where it is diagonal. ValueError for shapes that do not agree and spreads that are
    not positive.

        >>> from samplers.generative.bridges import MixturePotential
        >>> zero, one = torch.zeros(1).double(), torch.ones(1, 1).double()
        >>> still = MixturePotential(0.1, zero, 0 * one, one, zero, zero)  # Brownian motion, from N(0, 1) on
        >>> still.drift(torch.tensor([[3.0]]), 0.5), still.mean(torch.tensor([[3.0]]))
        (tensor([[0.]]), tensor([[3.]]))
    """

    noise: float
    log_weights: Tensor
    shifts: Tensor
    spreads: Tensor
    origin: Tensor
    end_origin: Tensor
    axes: Tensor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in self.tensors().items():
            object.__setattr__(self, name, value.detach().double())
        components, dim = self.shifts.shape
        shapes = {
            "log_weights": (components,),
            "spreads": (components, dim),
            "axes": (components, dim, dim),
            "origin": (dim,),
            "end_origin": (dim,),
        }
        for name, expected in shapes.items():
            value = getattr(self, name)
            if value is not None and value.shape != expected:
                raise ValueError(f"{name}: got shape {tuple(value.shape)}, expected {expected}")
        if not bool((self.spreads > 0).all()):
            raise ValueError("spreads: got values that are not positive, expected eigenvalues of covariances")

    @classmethod
    def of_matrices(
        cls, noise: float, log_weights: Tensor, shifts: Tensor, matrices: Tensor, origin: Tensor, end_origin: Tensor
    ) -> MixturePotential:
        """From S as matrices (K, dim, dim), or as diagonals (K, dim)."""
        if matrices.ndim == 2:
            return cls(noise, log_weights, shifts, matrices, origin, end_origin)
        spreads, axes = torch.linalg.eigh(matrices.double())
        return cls(noise, log_weights, shifts, spreads, origin, end_origin, axes)

    @property
    def dim(self) -> int:
        return self.shifts.shape[1]

    @property
    def matrices(self) -> Tensor:
        """S, (K, dim, dim)."""
        if self.axes is None:
            return torch.diag_embed(self.spreads)
        return (self.axes * self.spreads[:, None]) @ self.axes.mT

    def tensors(self) -> dict[str, Tensor]:
        names = ("log_weights", "shifts", "spreads", "axes", "origin", "end_origin")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    # In the axes of each component, (n, K, dim)

    def _along(self, x: Tensor) -> Tensor:
        if self.axes is None:
            return x[:, None].expand(-1, len(self.spreads), -1)
        return torch.einsum("kij,ni->nkj", self.axes, x)

    def _back(self, shares: Tensor, along: Tensor) -> Tensor:
        """sum_k shares_k of vectors along the axes, (n, dim)."""
        if self.axes is None:
            return torch.einsum("nk,nki->ni", shares, along)
        return torch.einsum("nk,kij,nkj->ni", shares, self.axes, along)

    @property
    def _shifts_along(self) -> Tensor:
        return self.shifts if self.axes is None else torch.einsum("kij,ki->kj", self.axes, self.shifts)

    def _exponents(self, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """log a + e (n, K) of points z along the axes at times t (n,), and P (n, K, dim)."""
        r, s = self._shifts_along, t[:, None, None]
        wide = (1 - s) + s * self.spreads
        squares = ((self.spreads - 1) * z.square() + 2 * z * r - s * r.square()) / wide
        return self.log_weights + (squares / (2 * self.noise) - 0.5 * wide.log()).sum(-1), wide

    def _moving(self, x: Tensor, t: Tensor) -> Tensor:
        """x less the origin, which moves from one end to the other."""
        return x.double() - torch.lerp(self.origin, self.end_origin, t[:, None])

    # What follows

    def log_h(self, x: Tensor, t: Time) -> Tensor:
        """log h(x, t) but for a constant, of points from the moving origin, (n,) in float64: it solves the backward
        heat equation, d_t h + eps Laplace h / 2 = 0."""
        return by_rows(
            lambda x, t: self._exponents(self._along(self._moving(x, t)), t)[0].logsumexp(1),
            self._width,
            x,
            times(t, x),
        )

    def drift(self, x: Tensor, t: Time) -> Tensor:
        return by_rows(self._drift, self._width, x, times(t, x)).to(x.dtype)

    def _drift(self, x: Tensor, t: Tensor) -> Tensor:
        z = self._along(self._moving(x, t))
        exponents, wide = self._exponents(z, t)
        pull = ((self.spreads - 1) * z + self._shifts_along) / wide
        return self._back(exponents.softmax(1), pull) + (self.end_origin - self.origin)

    def shares(self, x: Tensor) -> Tensor:
        """w (n, K) in float64."""
        return by_rows(lambda x: self._log_shares(x).exp(), self._width, x)

    def _log_shares(self, x: Tensor) -> Tensor:
        zero = x.new_zeros(len(x), dtype=torch.float64)
        return self._exponents(self._along(self._moving(x, zero)), zero)[0].log_softmax(1)

    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        which = torch.multinomial(self.shares(x), 1, generator=generator)[:, 0]
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64, device=x.device)
        return self._drawn(x.double() - self.origin, which, noise).to(x.dtype)

    def _drawn(self, x: Tensor, which: Tensor, noise: Tensor) -> Tensor:
        """r + S x + sqrt(eps S) noise of chosen components, x from the origin."""
        moved = torch.empty_like(x)
        for k in which.unique().tolist():
            rows, spreads = which == k, self.spreads[k]
            axes = None if self.axes is None else self.axes[k]
            along = spreads * (x[rows] if axes is None else x[rows] @ axes)
            along = along + (self.noise * spreads).sqrt() * noise[rows]
            moved[rows] = self.shifts[k] + (along if axes is None else along @ axes.mT)
        return self.end_origin + moved

    def log_v(self, y: Tensor) -> Tensor:
        """log v(y), (n,) in float64."""
        return by_rows(self._log_v, self._width, y)

    def _log_v(self, y: Tensor) -> Tensor:
        gap = self._along(y.double() - self.end_origin) - self._shifts_along
        variances = self.noise * self.spreads
        normal = -0.5 * (gap.square() / variances + variances.log() + LOG_2_PI).sum(-1)
        return (self.log_weights + normal).logsumexp(1)

    def log_c(self, x: Tensor) -> Tensor:
        """log c(x), (n,) in float64."""
        return by_rows(self._log_c, self._width, x)

    def _log_c(self, x: Tensor) -> Tensor:
        z = self._along(x.double() - self.origin)
        squares = (self.spreads * z.square() + 2 * z * self._shifts_along).sum(-1)
        return (self.log_weights + squares / (2 * self.noise)).logsumexp(1)

    def log_prob(self, y: Tensor, x: Tensor) -> Tensor:
        product = ((y.double() - self.end_origin) * (x.double() - self.origin)).sum(-1)
        return product / self.noise + self.log_v(y) - self.log_c(x)

    def log_marginal(self, y: Tensor, x: Tensor) -> Tensor:
        begun = (x.double() - self.origin) / self.noise
        log_c = self.log_c(x)
        found = by_rows(lambda y: ((y.double() - self.end_origin) @ begun.mT - log_c).logsumexp(1), len(x), y)
        return self.log_v(y) + found - math.log(len(x))

    @property
    def _width(self) -> int:
        return self.shifts.numel()
