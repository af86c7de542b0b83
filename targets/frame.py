"""The whole line or plane as a square, x = c + A g(t) with g(t) = t / (1 - t^2), and a look at its density.

The rational map keeps algebraic tails algebraic, so that moments of a Student t are as easy as those of a Gaussian.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

Values = Callable[[np.ndarray], np.ndarray]

POINTS = 1 << 17  # numbers held at once


@dataclass(frozen=True)
class Frame:
    """x = centre + matrix @ g(t), the matrix lower triangular."""

    centre: np.ndarray
    matrix: np.ndarray

    def x(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, dim), and log |dx / dt| (n,)."""
        rest = (1 - t) * (1 + t)
        log_det = (np.log1p(t * t) - 2 * np.log(rest)).sum(-1) + np.log(np.diag(self.matrix)).sum()
        return self.centre + (t / rest) @ self.matrix.T, log_det

    def t(self, x: np.ndarray) -> np.ndarray:
        """The inverse, (n, dim)."""
        g = np.linalg.solve(self.matrix, (x - self.centre).T).T
        return np.asarray(2 * g / (1 + np.sqrt(1 + 4 * g * g)))


@dataclass(frozen=True)
class Scan:
    """Log-densities (n, ...) at the centres of n equal cells of t an axis, and their points x (n^dim, dim).

    log_mass: log of p |dx / dt| times the volume of a cell, (n, ...).
    """

    frame: Frame
    x: np.ndarray
    value: np.ndarray
    log_mass: np.ndarray

    @classmethod
    def of(cls, f: Values, frame: Frame, n: int) -> Self:
        """Look at n points an axis."""
        dim = len(frame.centre)
        t = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) * 2 / n - 1] * dim, indexing="ij"), -1).reshape(-1, dim)
        x, log_det = frame.x(t)
        value = np.concatenate([f(part) for part in np.array_split(x, max(1, len(x) // POINTS))])
        shape = (n,) * dim
        return cls(frame, x, value.reshape(shape), (value + log_det + dim * np.log(2 / n)).reshape(shape))

    def spacing(self, x: np.ndarray) -> np.ndarray:
        """Distances (k, dim) of the nodes around points (k, dim), along each axis."""
        t = self.frame.t(x)
        stretch = (1 + t * t) / ((1 - t) * (1 + t)) ** 2
        return np.asarray(stretch * np.diag(self.frame.matrix) * 2 / len(self.value))
