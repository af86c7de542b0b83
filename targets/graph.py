"""Discrete laws with one number for each edge of a graph and fields at its sites."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Self

import torch
from torch import Generator, Tensor

from targets._lattice import colouring, degrees, incidence
from targets.arguments import positive
from targets.base import Moments
from targets.discrete import DiscreteTarget
from targets.transfer_matrix import Strip, feasible, lattice_strip


class GraphTarget(DiscreteTarget):
    """`edges` (m, 2), each pair of sites once, `edge_couplings` (m,) and `fields` (n, ...), all linear in 1 / T."""

    edges: Tensor
    edge_couplings: Tensor
    fields: Tensor
    temperature: float

    def _build(self, edges: Tensor, couplings: Tensor, fields: Tensor, temperature: float) -> None:
        self.temperature = positive(temperature, "temperature")
        self._exact = {
            "edges": edges,
            "couplings": couplings / self.temperature,
            "fields": fields / self.temperature,
        }
        self._beta = 1.0
        self._fieldless = not bool(fields.any())
        self._degree = int(degrees(self.dim, edges).max()) if len(edges) else 0
        self._place()

    def _place(self) -> None:
        super()._place()
        self._drop("neighbour_couplings", "_matrix")
        self.edges = self._exact["edges"].to(self.device)
        self.edge_couplings = (self._beta * self._exact["couplings"]).to(device=self.device, dtype=self.dtype)
        self.fields = (self._beta * self._exact["fields"]).to(device=self.device, dtype=self.dtype)

    def _drop(self, *cached: str) -> None:
        for item in cached:
            self.__dict__.pop(item, None)

    def annealed(self, beta: float) -> Self:
        """The law p(s)^beta: couplings and fields times beta. It shares the tables of this one."""
        new = copy.copy(self)
        new._drop("_enumerated_log_prob", "_strip", "neighbour_couplings", "_matrix")
        new._beta = self._beta * float(beta)
        new.edge_couplings, new.fields = beta * self.edge_couplings, beta * self.fields
        return new

    @cached_property
    def colours(self) -> tuple[Tensor, ...]:
        return tuple(sites.to(self.device) for sites in colouring(self.dim, self._exact["edges"]))

    @cached_property
    def _table(self) -> tuple[Tensor, Tensor]:
        neighbours, numbers = incidence(self.dim, self._exact["edges"], self._degree)
        return neighbours.to(self.device), numbers.to(self.device)

    @property
    def neighbours(self) -> Tensor:
        """The sites next to each, (n, largest degree), padded with the site itself."""
        return self._table[0]

    @cached_property
    def neighbour_couplings(self) -> Tensor:
        """The coupling to each of `neighbours`, zero where padded."""
        padded = torch.cat([self.edge_couplings, self.edge_couplings.new_zeros(1)])
        return padded[self._table[1]]

    # What is exactly known

    @cached_property
    def _strip(self) -> Strip | None:
        """This law as a strip that the transfer matrix can handle, where it is one."""
        return None

    @property
    def _unknown(self) -> frozenset[str]:
        if self.enumerable:
            return frozenset()
        return frozenset(["covariance"] if self._strip else ["covariance", "log_z", "sample", "mean", "moments"])

    @property
    def log_z(self) -> float:
        return self._strip.log_z if self._strip else super().log_z

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        if not self._strip:
            return super().sample(n, generator=generator)
        return self.values[self._strip.sample(n, generator).to(self.device)]

    def _probabilities(self) -> Tensor:
        """P(s_i = value), (n, q), in float64."""
        if self._strip:
            return self._strip.site_probabilities.to(self.device)
        self._need("mean")
        states, weights = self.enumerate(), self._enumerated_log_prob.softmax(0)
        return torch.stack([weights @ (states == value).double() for value in self.values], -1)

    @property
    def site_probabilities(self) -> Tensor:
        """P(s_i = value), (n, q); known where the mean is."""
        return self._probabilities().to(self.dtype)

    @property
    def mean(self) -> Tensor:
        return (self._probabilities() @ self.values.double()).to(self.dtype)

    @property
    def moments(self) -> dict[str, Moments]:
        probabilities, values = self._probabilities(), self.values.double()
        mean = probabilities @ values
        spread = ((values - mean[:, None]).square() * probabilities).sum(-1).sqrt()
        return {"x": Moments(mean.to(self.dtype), spread.to(self.dtype))}

    @property
    def mean_log_prob(self) -> float:
        """E[log_prob], minus the mean energy; known where draws are."""
        if self._strip:
            return self._strip.mean_log_prob
        self._need("sample")
        values = self._enumerated_log_prob
        return float(values.softmax(0) @ values)

    @property
    def _site_potentials(self) -> Tensor:
        """Field times value, (n, q), in float64 on the CPU."""
        raise NotImplementedError

    def _lattice_strip(self, shape: tuple[int, ...], periodic: bool, pair: Tensor) -> Strip | None:
        if not feasible(shape, len(self.values), periodic):
            return None
        couplings = self._beta * self._exact["couplings"]
        strip = lattice_strip(shape, periodic, self._exact["edges"], couplings, self._site_potentials, pair)
        return strip if strip.representable else None
