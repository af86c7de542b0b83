"""Polynomials through the 16 nodes of Gauss and Legendre on [-1, 1], by their Legendre coefficients."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import legendre

ORDER = 16
NODES, WEIGHTS = legendre.leggauss(ORDER)
TO_COEFFICIENTS = (np.arange(ORDER) + 0.5)[:, None] * WEIGHTS * legendre.legvander(NODES, ORDER - 1).T


def coefficients(h: np.ndarray, dim: int) -> np.ndarray:
    """Of Legendre polynomials, along the last `dim` axes."""
    along = h @ TO_COEFFICIENTS.T
    return along if dim == 1 else np.asarray(TO_COEFFICIENTS @ along)


def antiderivative(c: np.ndarray) -> np.ndarray:
    """Coefficients (16 + 1, n) of the integral from -1."""
    return np.asarray(legendre.legint(c, lbnd=-1))


def inverse(c: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Where the integral of polynomials (16, n) from -1 is that share of the whole, by bisection, (n,)."""
    integral = antiderivative(c)
    wanted = uniform * legendre.legval(1.0, integral, tensor=False)
    low, high = -np.ones(len(uniform)), np.ones(len(uniform))
    for _ in range(45):
        middle = 0.5 * (low + high)
        above = legendre.legval(middle, integral, tensor=False) > wanted
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return 0.5 * (low + high)
