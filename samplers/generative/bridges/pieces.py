"""A mixture potential by pieces: from near m_k to near n_k, with slope S_k, which is what it is learned as.

    x near m_k  ->  n_k + S_k (x - m_k) + sqrt(eps S_k) e,     r_k = n_k - S_k m_k
    log a_k exp((x' S_k x + 2 r_k' x) / (2 eps)) = height_k + ((x - m_k)' S_k (x - m_k) + 2 n_k' (x - m_k)) / (2 eps)

So a slope that changes turns a piece about its own middle, and neither moves it nor changes what it weighs there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from samplers.generative.bridges.mixture_potential import LOG_2_PI, MixturePotential
from samplers.generative.bridges.potential import by_rows

SETTLING, DAMPING, MOST = 30, 0.5, 20.0  # sweeps over the heights of pieces, and nats of a step


@dataclass(frozen=True, eq=False)
class Pieces:
    """here: m (K, dim). there: n (K, dim). slopes: S (K, dim, dim), or diagonals (K, dim). heights: (K,). All in
    float64, counted from the origins of both ends."""

    here: Tensor
    there: Tensor
    slopes: Tensor
    heights: Tensor

    def flatter(self, share: float, spread: Tensor, noise: float) -> Pieces:
        """With slopes of this share, that weigh the same on points of covariance `spread` (K, dim, dim) about m."""
        if self.slopes.ndim == 2:
            rise = (self.slopes * spread.diagonal(dim1=1, dim2=2)).sum(1)
        else:
            rise = (self.slopes * spread).sum((1, 2))
        return replace(self, slopes=share * self.slopes, heights=self.heights + (1 - share) * rise / (2 * noise))

    def settled(self, noise: float, x: Tensor, y: Tensor) -> Pieces:
        """With heights for which both ends of rows x and y (n, dim) say alike what each piece weighs, as far as some
        sweeps bring it, and only where the loss falls."""
        with torch.no_grad():
            learned = PieceParameters(self, noise)
            ahead, behind = learned.terms_c(x), learned.terms_v(y)
        more, best, kept = torch.zeros_like(self.heights), math.inf, self.heights
        for _ in range(SETTLING):
            values = [(terms + more).logsumexp(1, keepdim=True) for terms in (ahead, behind)]
            loss = float(values[0].mean() - values[1].mean())
            if loss < best:
                best, kept = loss, self.heights + more
            claimed, given = (
                (terms + more - value).logsumexp(0) - math.log(len(terms))
                for terms, value in zip((ahead, behind), values, strict=True)
            )
            more = more + DAMPING * (given - claimed).clamp(-MOST, MOST)
        return replace(self, heights=kept)

    def loss(self, noise: float, x: Tensor, y: Tensor) -> float:
        """E[log c(x)] - E[log v(y)]."""
        with torch.no_grad():
            learned = PieceParameters(self, noise)
            return float(learned.log_c(x).mean() - learned.log_v(y).mean())


class PieceParameters(nn.Module):
    """`Pieces` as parameters, in units of what they start from: n_k + b_k u_k, S_k = L_k E_k E_k' L_k', and heights.

    u = 0 and E = I at the start; L_k is a root of the first S_k and b_k the root of the diagonal of S_k A S_k + eps
    S_k, for A = diag(variance) of the start, a scale of the piece's image. m_k stay.
    """

    here: Tensor
    there: Tensor
    roots: Tensor
    size: Tensor

    def __init__(self, pieces: Pieces, noise: float, variance: Tensor | None = None) -> None:
        super().__init__()
        self.noise, self.diagonal = noise, pieces.slopes.ndim == 2
        variance = torch.ones_like(pieces.here[0]) if variance is None else variance
        if self.diagonal:
            roots, image = pieces.slopes.sqrt(), pieces.slopes.square() * variance + noise * pieces.slopes
        else:
            roots = torch.linalg.cholesky(pieces.slopes)
            image = (pieces.slopes.square() * variance).sum(-1) + noise * pieces.slopes.diagonal(dim1=1, dim2=2)
        for name, value in {"here": pieces.here, "there": pieces.there, "roots": roots, "size": image.sqrt()}.items():
            self.register_buffer(name, value)
        self.heights = nn.Parameter(pieces.heights.clone())
        self.moved = nn.Parameter(torch.zeros_like(pieces.there))
        self.stretched = nn.Parameter(torch.zeros_like(roots))

    @property
    def ends(self) -> Tensor:
        """n, (K, dim)."""
        return self.there + self.size * self.moved

    @property
    def factors(self) -> Tensor:
        """L E: square roots of S, (K, dim) or lower triangular."""
        if self.diagonal:
            return self.roots * self.stretched.exp()
        diagonal = torch.diag_embed(self.stretched.diagonal(dim1=1, dim2=2).exp())
        return self.roots @ (self.stretched.tril(-1) + diagonal)

    @property
    def slopes(self) -> Tensor:
        """S, (K, dim) or (K, dim, dim)."""
        factors = self.factors
        return factors.square() if self.diagonal else factors @ factors.mT

    def terms_c(self, x: Tensor) -> Tensor:
        """Logarithms of the terms of c(x), (n, K)."""
        slopes, ends, here = self.slopes, self.ends, self.here
        pulled = _times(slopes, here)
        constant = self.heights + ((0.5 * pulled - ends) * here).sum(1) / self.noise
        return _quadratics(x, constant, (ends - pulled) / self.noise, slopes / self.noise)

    def terms_v(self, y: Tensor) -> Tensor:
        """Logarithms of the terms of v(y), (n, K): height_k - (y - n)' S^-1 (y - n) / (2 eps) - m' y / eps - log det
        (2 pi eps S) / 2, as what is said of x = m is left out."""
        factors, ends = self.factors, self.ends
        if self.diagonal:
            inverse, diagonals = factors.pow(-2), factors
        else:
            inverse = torch.cholesky_inverse(factors)
            diagonals = factors.diagonal(dim1=1, dim2=2)
        pulled = _times(inverse, ends)
        log_det = diagonals.log().sum(1) + 0.5 * y.shape[1] * (math.log(self.noise) + LOG_2_PI)
        constant = self.heights - log_det - 0.5 * (pulled * ends).sum(1) / self.noise
        return _quadratics(y, constant, (pulled - self.here) / self.noise, -inverse / self.noise)

    def log_c(self, x: Tensor) -> Tensor:
        """(n,)."""
        return by_rows(lambda x: self.terms_c(x).logsumexp(1), self.roots[0].numel(), x)

    def log_v(self, y: Tensor) -> Tensor:
        """(n,)."""
        return by_rows(lambda y: self.terms_v(y).logsumexp(1), self.roots[0].numel(), y)

    def potential(self, origin: Tensor, end_origin: Tensor) -> MixturePotential:
        """What they are, in the coordinates that the origins are points of."""
        with torch.no_grad():
            slopes, ends = self.slopes, self.ends
            pulled = _times(slopes, self.here)
            log_weights = self.heights + ((0.5 * pulled - ends) * self.here).sum(1) / self.noise
            return MixturePotential.of_matrices(self.noise, log_weights, ends - pulled, slopes, origin, end_origin)


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Products (K, dim) of vectors (K, dim) with matrices (K, dim, dim), or with diagonals (K, dim)."""
    return matrices * vectors if matrices.ndim == 2 else torch.einsum("kij,kj->ki", matrices, vectors)


def _quadratics(x: Tensor, constant: Tensor, linear: Tensor, matrices: Tensor) -> Tensor:
    """constant_k + linear_k x + x' A_k x / 2 of rows x, (n, K), in one product: points are counted from origins in the
    middle of either end, so that float64 has digits to spare."""
    squares = x.square() if matrices.ndim == 2 else (x[:, :, None] * x[:, None]).flatten(1)
    weights = torch.cat([linear, 0.5 * matrices.flatten(1)], 1)
    return torch.addmm(constant, torch.cat([x, squares], 1), weights.mT)
