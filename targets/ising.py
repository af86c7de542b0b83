"""The Ising model on lattices of any dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from targets import kaufman
from targets._lattice import check_shape, grid_colours, grid_edges
from targets.arguments import as_double
from targets.discrete import DiscreteTarget
from targets.pairwise_mrf import PairwiseMRF
from targets.transfer_matrix import Strip


class Ising(PairwiseMRF):
    """p(s) ~ exp((K sum over neighbours i, j of s_i s_j + sum_i h_i s_i) / T),  s in {-1, +1}^n; each edge once.

    shape: the sides; sites are numbered row by row, as in `x.reshape(*batch, *shape)`. coupling: K, one number or one
    for each axis; positive favours aligned neighbours. field: h, a number or a tensor of `shape`. periodic: a torus,
    with sides of at least 3. temperature: T. On the square lattice the critical coupling is
    ln(1 + sqrt 2) / 2 = 0.44068679. Programs that write x'Jx with J = sigma times the adjacency count every edge
    twice: their sigma is K / 2.

    Known: log_z and `energy` of two-dimensional tori without fields, of any size (Kaufman); these, exact draws,
    the mean and `mean_square_magnetisation`, with or without fields, where rows across the longest side have at most
    12 sites, 10 on a torus (transfer matrix); the covariance to 20 spins (enumeration). Ising 1925,
    https://doi.org/10.1007/BF02980577; Kaufman 1949, https://doi.org/10.1103/PhysRev.76.1232.

    dtype, device, name: as of `Target`. ValueError for a periodic side below 3.

        >>> ising = targets.Ising((16, 16), coupling=0.4)
        >>> round(ising.log_z / ising.dim, 6), round(ising.energy, 6)
        (0.8798, -0.452527)
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        coupling: float | Sequence[float] = 0.4,
        field: Any = 0.0,
        *,
        periodic: bool = True,
        temperature: float = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        self.shape = check_shape(shape, periodic)
        self.periodic = bool(periodic)
        n = math.prod(self.shape)
        DiscreteTarget.__init__(self, n, (-1.0, 1.0), dtype=dtype, device=device, name=name)
        along = as_double(coupling, "coupling")
        if along.shape not in ((), (len(self.shape),)):
            raise ValueError(
                f"coupling: got shape {tuple(along.shape)}, expected a number or {len(self.shape)}, one for each axis"
            )
        fields = as_double(field, "field").cpu()
        if fields.shape not in ((), self.shape):
            raise ValueError(f"field: got shape {tuple(fields.shape)}, expected a number or shape {self.shape}")
        edges, axes = grid_edges(self.shape, self.periodic)
        along = along.expand(len(self.shape)).clone()
        self._build(edges, along[axes], fields.expand(self.shape).reshape(-1).clone(), temperature)
        self._along = tuple((along / self.temperature).tolist())

    @property
    def coupling(self) -> tuple[float, ...]:
        """K / T along each axis, times the power of an annealed law."""
        return tuple(self._beta * along for along in self._along)

    @cached_property
    def colours(self) -> tuple[Tensor, ...]:
        return tuple(sites.to(self.device) for sites in grid_colours(self.shape, self.periodic))

    def coupled(self, x: Tensor) -> Tensor:
        grid = x.reshape(*x.shape[:-1], *self.shape)
        total = torch.zeros_like(grid)
        for axis, (side, coupling) in enumerate(zip(self.shape, self.coupling, strict=True), start=-len(self.shape)):
            if side == 1:
                continue
            total.narrow(axis, 1, side - 1).add_(grid.narrow(axis, 0, side - 1), alpha=coupling)
            total.narrow(axis, 0, side - 1).add_(grid.narrow(axis, 1, side - 1), alpha=coupling)
            if self.periodic:
                total.narrow(axis, 0, 1).add_(grid.narrow(axis, side - 1, 1), alpha=coupling)
                total.narrow(axis, side - 1, 1).add_(grid.narrow(axis, 0, 1), alpha=coupling)
        return total.reshape(x.shape)

    def _fields_at(self, x: Tensor, sites: Tensor) -> Tensor:
        if 8 * len(sites) < self.dim:
            return super()._fields_at(x, sites)
        return self.coupled(x).index_select(-1, sites) + self.fields[sites]  # for many sites slices beat the table

    @property
    def _spectrum(self) -> Tensor | None:
        if not self.periodic:
            return None
        spectrum = torch.zeros(self.shape, dtype=torch.float64)
        for axis, (side, coupling) in enumerate(zip(self.shape, self.coupling, strict=True)):
            if side > 1:
                wave = (2 * math.pi / side * torch.arange(side, dtype=torch.float64)).cos()
                spectrum = spectrum + 2 * coupling * wave.reshape(-1, *(1,) * (len(self.shape) - axis - 1))
        return spectrum

    # What is exactly known

    @property
    def _solved(self) -> bool:
        """Whether this is one of Kaufman's tori."""
        return self.periodic and self._fieldless and kaufman.solvable(self.shape, self.coupling)

    @cached_property
    def _strip(self) -> Strip | None:
        pair = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
        return self._lattice_strip(self.shape, self.periodic, pair)

    @property
    def _unknown(self) -> frozenset[str]:
        return super()._unknown - {"log_z"} if self._solved else super()._unknown

    @property
    def log_z(self) -> float:
        if not self._solved:
            return super().log_z
        return float(kaufman.torus_log_z(self.shape, torch.tensor(self.coupling, dtype=torch.float64)))

    @property
    def mean_log_prob(self) -> float:
        """E[log_prob], minus the mean energy; known where log_z is."""
        return kaufman.torus_energy(self.shape, self.coupling)[0] if self._solved else super().mean_log_prob

    @property
    def energy(self) -> float:
        """The mean of `energy_per_site`; known where log_z is."""
        return -self.mean_log_prob / self.dim

    @property
    def mean_square_magnetisation(self) -> float:
        """E[(mean spin)^2]; known by transfer matrix, where draws are."""
        if not self._strip:
            self._raise_unknown("mean_square_magnetisation")
        return self._strip.moments_of_sum(torch.tensor([-1.0, 1.0], dtype=torch.float64))[1] / self.dim**2

    # Functions of a configuration

    def energy_per_site(self, x: Tensor) -> Tensor:
        """-log_prob / n, (*batch, n) -> (*batch,): the energy in units of the temperature, fields included."""
        return -self.log_prob(x) / self.dim

    def magnetisation(self, x: Tensor) -> Tensor:
        """The mean spin, (*batch, n) -> (*batch,)."""
        return x.mean(-1)
