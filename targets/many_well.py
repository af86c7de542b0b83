"""The two families of many-well densities that share one name in the literature."""

from __future__ import annotations

import itertools
import math
from functools import cached_property, partial

import numpy as np
import torch
from torch import Generator, Tensor

from targets.arguments import positive
from targets.base import Target
from targets.one_dimensional import Density1D

MOST_MODES = 4096


class _Wells(Target):
    """Independent coordinates: `wells` of them with log-density f(x) and two modes, the others with -x^2/2.

    A polynomial f is given by its coefficients, highest power first.
    """

    def __init__(
        self,
        polynomial: tuple[float, ...],
        wells: list[int],
        dim: int,
        dtype: torch.dtype | None,
        name: str | None,
    ) -> None:
        super().__init__(dim, dtype=dtype, name=name)
        self._polynomial = polynomial
        self._derivative = tuple(np.polyder(polynomial).tolist())
        self._wells = torch.tensor(wells)
        self._others = torch.tensor([i for i in range(dim) if i not in set(wells)], dtype=torch.long)

    def log_prob(self, x: Tensor) -> Tensor:
        self._check(x)
        wells = _horner(self._polynomial, x[..., self._wells]).sum(-1)
        return wells - 0.5 * x[..., self._others].square().sum(-1)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        score = -x
        score[..., self._wells] = _horner(self._derivative, x[..., self._wells])
        return self.log_prob(x), score

    @cached_property
    def _well(self) -> Density1D:
        reach = 1.0 + max(abs(root) for root in np.roots(self._derivative).real)
        while np.polyval(self._polynomial, np.array([-reach, reach])).max() > -60:
            reach += 0.25
        return Density1D(partial(np.polyval, self._polynomial), -reach, reach)

    @cached_property
    def right_well_mass(self) -> float:
        """Probability that one well coordinate is positive (quadrature)."""
        return self._well.probability(0.0, math.inf)

    @property
    def log_z(self) -> float:
        return len(self._wells) * self._well.log_z + len(self._others) * 0.5 * math.log(2 * math.pi)

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        x = torch.randn(n, self.dim, generator=generator, dtype=self.dtype, device=self.device)
        wells = self._well.sample(n * len(self._wells), generator=generator)
        x[:, self._wells] = wells.reshape(n, -1).to(x)
        return x

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset(["modes", "mode_weights"] if 2 ** len(self._wells) > MOST_MODES else [])

    @cached_property
    def modes(self) -> Tensor:
        """All 2^wells of them, ordered like binary numbers with 0 for the left well; unknown beyond 4096."""
        from scipy import optimize

        signs = self._signs("modes")
        places = np.sort(np.roots(self._derivative).real)[[0, -1]]
        ends = [optimize.newton(partial(np.polyval, self._derivative), place) for place in places]
        left, right = torch.tensor(ends, dtype=torch.float64)
        modes = torch.zeros(len(signs), self.dim, dtype=self.dtype, device=self.device)
        modes[:, self._wells] = torch.where(signs, right, left).to(modes)
        return modes

    @cached_property
    def mode_weights(self) -> Tensor:
        right = torch.tensor(self.right_well_mass, dtype=torch.float64)
        weights = torch.where(self._signs("mode_weights"), right, 1 - right).prod(-1)
        return weights.to(dtype=self.dtype, device=self.device)

    def mode_probabilities(self, x: Tensor) -> Tensor:
        powers = 2 ** torch.arange(len(self._wells) - 1, -1, -1, device=x.device)
        which = ((x[..., self._wells] > 0) * powers).sum(-1)
        return torch.nn.functional.one_hot(which, len(self.modes)).to(x.dtype)

    def _signs(self, name: str) -> Tensor:
        if name in self._unknown:
            self._raise_unknown(name)
        return torch.tensor(list(itertools.product([False, True], repeat=len(self._wells))))

    @cached_property
    def mean(self) -> Tensor:
        mean = torch.zeros(self.dim, dtype=self.dtype, device=self.device)
        mean[self._wells] = float(self._well.expectation(lambda x: x))
        return mean

    @cached_property
    def covariance(self) -> Tensor:
        first, second = self._well.expectation(lambda x: np.stack([x, x**2]))
        variance = torch.ones(self.dim, dtype=self.dtype, device=self.device)
        variance[self._wells] = float(second - first**2)
        return torch.diag(variance)


class ManyWell(_Wells):
    """The asymmetric many-well density of FAB: `blocks` independent blocks of two coordinates (a, b),

        log p = sum over blocks of -a^4 + 6 a^2 + a/2 - b^2/2,     dim = 2 blocks, coordinates a, b, a, b, ...

    Each block has two wells; the right one (a > 0) holds 0.8443 of the mass. Not normalised: log_z by quadrature,
    164.6957 for 16 blocks. Known: log_z, exact draws, moments, `right_well_mass`, and to 12 blocks all modes.
    Midgley et al. 2023, https://arxiv.org/abs/2208.01893; Noe et al. 2019, https://doi.org/10.1126/science.aaw1147.

    dtype, name: as of `Target`.

        >>> wells = targets.ManyWell(blocks=2)
        >>> round(wells.log_z, 4), wells.modes.shape, round(wells.right_well_mass, 4)
        (20.587, torch.Size([4, 4]), 0.8443)
    """

    def __init__(self, blocks: int = 16, *, dtype: torch.dtype | None = None, name: str | None = None) -> None:
        if blocks < 1:
            raise ValueError(f"blocks: got {blocks}, expected at least 1")
        wells = list(range(0, 2 * blocks, 2))
        super().__init__((-1.0, 0.0, 6.0, 0.5, 0.0), wells, 2 * blocks, dtype, name)
        self.blocks = blocks


class SquareWell(_Wells):
    """The symmetric many-well density: `wells` coordinates with two wells at +-sqrt(delta), the rest Gaussian,

        log p = -sum_{i < wells} (x_i^2 - delta)^2 - sum_{i >= wells} x_i^2 / 2

    Not normalised: log_z by quadrature. Known: log_z, exact draws, moments, and to 12 wells all modes, equal in
    weight. "MW 5-d" of the literature is wells=5, delta=4; "MW 50-d" is wells=5, dim=50, delta=2. Wu et al. 2020,
    https://arxiv.org/abs/2002.06707.

    dim: of x, None is `wells`. delta: squared distance of a well from the origin. dtype, name: as of `Target`.

        >>> wells = targets.SquareWell(wells=2, delta=4.0)
        >>> wells.modes.shape, round(wells.log_z, 4)
        (torch.Size([4, 2]), -0.2164)
    """

    def __init__(
        self,
        wells: int = 5,
        dim: int | None = None,
        delta: float = 4.0,
        *,
        dtype: torch.dtype | None = None,
        name: str | None = None,
    ) -> None:
        dim = wells if dim is None else dim
        if not 1 <= wells <= dim:
            raise ValueError(f"wells: got {wells}, expected between 1 and dim = {dim}")
        self.delta = positive(delta, "delta")
        super().__init__((-1.0, 0.0, 2 * delta, 0.0, -(delta**2)), list(range(wells)), dim, dtype, name)


def _horner(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    value = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value
