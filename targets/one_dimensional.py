"""One-dimensional densities: quadrature and exact sampling, the bricks of wells, rings and scales."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor


class Density1D:
    """p(x) proportional to exp(f(x)) on an interval outside of which its mass is negligible (below 1e-12).

    `log_z` and `expectation` come from composite Gauss-Legendre quadrature. `sample` is exact rejection from a
    piecewise constant envelope over `cells` intervals: each cell's bound is its largest value of f at the two ends
    and the middle, raised by the largest rise of f between such points seen on a grid four times finer.
    """

    def __init__(self, f: Callable[[np.ndarray], np.ndarray], low: float, high: float, cells: int = 8192) -> None:
        self._f = f
        self._edges = np.linspace(low, high, cells + 1)
        fine = f(np.linspace(low, high, 8 * cells + 1))
        at = fine[:-1].reshape(cells, 8)
        at = np.concatenate([at, np.append(at[1:, :1], fine[-1:])[:, None]], axis=1)  # nine points a cell
        bound = at[:, [0, 4, 8]].max(1)
        finite = np.isfinite(bound) & (bound > fine.max() - 60)
        slack = float((at.max(1) - bound)[finite].max()) + 1e-9
        if slack > 0.1:
            raise ValueError(f"cells: {cells} are too few for this density, its log rises by {slack:.2g} inside one")
        self._bound = bound + 2 * slack
        self._top = float(fine.max())
        mass = np.exp(self._bound - self._top)
        self._cumulative = np.concatenate([[0.0], np.cumsum(mass)]) / mass.sum()
        nodes, weights = np.polynomial.legendre.leggauss(8)
        half = 0.5 * np.diff(self._edges)
        self._nodes = (self._edges[:-1, None] + half[:, None] * (nodes + 1)).ravel()
        self._mass = (half[:, None] * weights).ravel() * np.exp(f(self._nodes) - self._top)
        self.log_z = self._top + float(np.log(self._mass.sum()))

    def expectation(self, g: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """E[g(x)]; g maps (n,) to (..., n)."""
        return g(self._nodes) @ self._mass / self._mass.sum()

    def probability(self, low: float, high: float) -> float:
        """P(low < x < high), by adaptive quadrature."""
        from scipy import integrate  # scipy is loaded where it is used: it would double the time of an import

        low, high = max(low, self._edges[0]), min(high, self._edges[-1])
        inside = integrate.quad(lambda x: float(np.exp(self._f(np.array([x]))[0] - self._top)), low, high, limit=400)[0]
        return float(inside / self._mass.sum())

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        """Exact draws, (n,) in float64 on the generator's device."""
        draws: list[np.ndarray] = []
        missing = n
        while missing > 0:
            u = torch.rand(
                3, 64 + missing + missing // 8, generator=generator, dtype=torch.float64, device=generator.device
            )
            where, within, accept = u.cpu().numpy()
            cell = np.searchsorted(self._cumulative, where, side="right") - 1
            x = self._edges[cell] + within * (self._edges[1] - self._edges[0])
            kept = x[np.log(accept) < self._f(x) - self._bound[cell]][:missing]
            draws.append(kept)
            missing -= len(kept)
        return torch.from_numpy(np.concatenate([np.empty(0), *draws])).to(generator.device)
