"""The Potts model on lattices and on any graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from targets._lattice import check_edges, check_shape, grid_colours, grid_edges
from targets.arguments import as_double, check_integer, positive
from targets.graph import GraphTarget
from targets.transfer_matrix import Strip


class Potts(GraphTarget):
    """p(s) ~ exp((sum over edges of K_ij 1[s_i = s_j] + sum_i h_i[s_i]) / T),  s in {0, .., q-1}^n; each edge once.

    shape: the sides of a lattice, or with `edges` (m, 2) the number of sites of a graph. coupling: K, one number, one
    for each axis of a lattice or one for each edge of a graph; positive favours equal neighbours. fields: h, (q,) for
    the same at every site or (n, q). periodic: a torus, with sides of at least 3. temperature: T. On the square
    lattice the critical coupling is ln(1 + sqrt q). Two states are the Ising model with its coupling doubled.

        log p(s_i = v | the rest) = sum over neighbours of K_ij 1[s_j = v] + h_i[v] + constant

    log_prob is returned in float64. Configurations hold whole numbers as floats; there is no score, and
    `local_differences` is exact. Known: log_z, exact draws and site probabilities by transfer matrix on narrow lattices
    (q^w to 2^12 for rows of w sites across the longest side, to 2^10 on a torus), these and the covariance of the
    labels by enumeration to 2^20 configurations. Potts 1952, https://doi.org/10.1017/S0305004100027419; Wu 1982,
    https://doi.org/10.1103/RevModPhys.54.235.

    states: q, at least 2. fields: None is zero. edges: None is the lattice. dtype, device, name: as of `Target`.

        >>> potts = targets.Potts((3, 3), states=3, coupling=0.5)
        >>> potts.values, round(potts.log_z, 4)
        (tensor([0., 1., 2.]), 13.5171)
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        states: int = 3,
        coupling: Any = 0.8,
        fields: Any = None,
        *,
        edges: Any = None,
        periodic: bool = True,
        temperature: float = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        temperature = positive(temperature, "temperature")
        self.states = check_integer(states, "states", 2)
        self.shape = check_shape(shape, periodic and edges is None)
        self.periodic = bool(periodic)
        self._is_grid = edges is None
        self._along: tuple[float, ...] = ()
        n = math.prod(self.shape)
        super().__init__(n, range(states), dtype=dtype, device=device, name=name)
        along = as_double(coupling, "coupling").cpu()
        if edges is None:
            edges, axes = grid_edges(self.shape, self.periodic)
            if along.shape not in ((), (len(self.shape),)):
                raise ValueError(
                    f"coupling: got shape {tuple(along.shape)}, expected a number or {len(self.shape)}, one for an axis"
                )
            couplings = along.expand(len(self.shape))[axes]
            self._along = tuple((along.expand(len(self.shape)) / temperature).tolist())
        else:
            edges = check_edges(torch.as_tensor(edges).cpu(), n)
            if along.shape not in ((), (len(edges),)):
                raise ValueError(
                    f"coupling: got shape {tuple(along.shape)}, expected a number or {len(edges)}, one for an edge"
                )
            couplings = along.expand(len(edges))
        field = torch.zeros(n, states, dtype=torch.float64) if fields is None else as_double(fields, "fields").cpu()
        if field.shape not in ((states,), (n, states)):
            raise ValueError(f"fields: got shape {tuple(field.shape)}, expected ({states},) or ({n}, {states})")
        self._build(edges, couplings.clone(), field.expand(n, states).clone(), temperature)

    @cached_property
    def colours(self) -> tuple[Tensor, ...]:
        if not self._is_grid:
            return super().colours
        return tuple(sites.to(self.device) for sites in grid_colours(self.shape, self.periodic))

    def log_prob(self, x: Tensor) -> Tensor:
        self._check_values(x)
        value = self._coupled_sum(x)
        if self._fieldless:
            return value
        sites = torch.arange(self.dim, device=x.device)
        return value + self.fields[sites, x.long()].sum(-1, dtype=torch.float64)

    def _coupled_sum(self, x: Tensor) -> Tensor:
        """The sum of K over edges between equal values, in float64."""
        if not self._is_grid:
            i, j = self.edges.unbind(-1)
            return ((x[..., i] == x[..., j]) * self.edge_couplings).sum(-1, dtype=torch.float64)
        grid = x.reshape(*x.shape[:-1], *self.shape)
        value = x.new_zeros(x.shape[:-1], dtype=torch.float64)
        for axis, (side, along) in enumerate(zip(self.shape, self._along, strict=True), start=-len(self.shape)):
            if side == 1:
                continue
            pairs = [(grid.narrow(axis, 0, side - 1), grid.narrow(axis, 1, side - 1))]
            if self.periodic:
                pairs.append((grid.narrow(axis, 0, 1), grid.narrow(axis, side - 1, 1)))
            for here, there in pairs:
                equal = (here == there).flatten(-len(self.shape)).sum(-1, dtype=torch.float64)
                value = value + self._beta * along * equal
        return value

    def local_fields(self, x: Tensor) -> Tensor:
        """The sum of couplings to neighbours of each value, plus h, (*batch, n) -> (*batch, n, q)."""
        return self.conditional_logits(x, torch.arange(self.dim, device=x.device))

    def conditional_logits(self, x: Tensor, sites: Tensor) -> Tensor:
        self._check(x)
        label = x.long()
        total = self.fields[sites].expand(*x.shape[:-1], -1, -1).clone()
        for others, couplings in zip(self.neighbours[sites].mT, self.neighbour_couplings[sites].mT, strict=True):
            at = label[..., others, None]
            total.scatter_add_(-1, at, couplings[:, None].expand(at.shape))
        return total

    def local_differences(self, x: Tensor) -> Tensor:
        logits = self.local_fields(x)
        return logits - logits.gather(-1, x.long()[..., None])

    @property
    def _site_potentials(self) -> Tensor:
        return self._beta * self._exact["fields"]

    @cached_property
    def _strip(self) -> Strip | None:
        pair = torch.eye(self.states, dtype=torch.float64)
        return self._lattice_strip(self.shape, self.periodic, pair) if self._is_grid else None

    def state_fractions(self, x: Tensor) -> Tensor:
        """The fraction of sites in each state, (*batch, n) -> (*batch, q)."""
        return torch.stack([(x == value).to(self.dtype).mean(-1) for value in range(self.states)], -1)

    def magnetisation(self, x: Tensor) -> Tensor:
        """(q max_v fraction_v - 1) / (q - 1), (*batch, n) -> (*batch,): 0 for equal shares, 1 for one state alone."""
        return (self.states * self.state_fractions(x).amax(-1) - 1) / (self.states - 1)

    def energy_per_site(self, x: Tensor) -> Tensor:
        """-log_prob / n, (*batch, n) -> (*batch,): the energy in units of the temperature, fields included."""
        return -self.log_prob(x) / self.dim
