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
            return float((learned.log_c(x) - learned.log_v(y)).mean())


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

    def terms_c(self, x: Tensor) -> Tensor:
        """Logarithms of the terms of c(x), (n, K)."""
        gap = x[:, None] - self.here
        along = gap * self.factors if self.diagonal else torch.einsum("kij,nki->nkj", self.factors, gap)
        return self.heights + (0.5 * along.square() + self.ends * gap).sum(-1) / self.noise

    def terms_v(self, y: Tensor) -> Tensor:
        """Logarithms of the terms of v(y), (n, K)."""
        factors, ends = self.factors, self.ends
        gap = y[:, None] - ends
        if self.diagonal:
            at_here, white, diagonals = factors * self.here, gap / factors, factors
        else:
            at_here = torch.einsum("kij,ki->kj", factors, self.here)
            unit = torch.eye(y.shape[1]).to(factors)
            white = torch.einsum("kij,nkj->nki", torch.linalg.solve_triangular(factors, unit, upper=False), gap)
            diagonals = factors.diagonal(dim1=1, dim2=2)
        # y - r = y - n + S m, by the inverse of the root; and log a
        squares = (white + at_here).square().sum(-1)
        weights = 0.5 * at_here.square().sum(1) - (ends * self.here).sum(1)
        log_det = diagonals.log().sum(1) + 0.5 * y.shape[1] * (math.log(self.noise) + LOG_2_PI)
        return self.heights - log_det + (weights - 0.5 * squares) / self.noise

    def log_c(self, x: Tensor) -> Tensor:
        """(n,)."""
        return self.terms_c(x).logsumexp(1)

    def log_v(self, y: Tensor) -> Tensor:
        """(n,)."""
        return self.terms_v(y).logsumexp(1)

    def potential(self, origin: Tensor, end_origin: Tensor) -> MixturePotential:
        """What they are, in the coordinates that the origins are points of."""
        with torch.no_grad():
            factors, ends = self.factors, self.ends
            slopes = factors.square() if self.diagonal else factors @ factors.mT
            pulled = slopes * self.here if self.diagonal else torch.einsum("kij,kj->ki", slopes, self.here)
            log_weights = self.heights + ((0.5 * pulled - ends) * self.here).sum(1) / self.noise
            return MixturePotential.of_matrices(self.noise, log_weights, ends - pulled, slopes, origin, end_origin)
