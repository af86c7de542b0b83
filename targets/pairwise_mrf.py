"""Pairwise Markov random fields of spins (Boltzmann machines, Ising models on any graph)."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from targets._self_coupled import CoupledSpins, Shift
from targets.arguments import as_double, floating_dtype
from targets.relaxed import RelaxedMRF


class PairwiseMRF(CoupledSpins):
    """p(s) ~ exp((s'Js / 2 + b's) / T),  s in {-1, +1}^n, J symmetric with zero diagonal: every edge counts once.

        score = Js + b   (the gradient of the same polynomial at real s; log_prob is linear in each coordinate),
        P(s_i = 1 | the rest) = sigmoid(2 (Js + b)_i)

    couplings: J (n, n), a tensor, an array, or sparse (torch or scipy). fields: b (n,). temperature: T, absorbed:
    `edge_couplings` and `fields` are those of T = 1. `edges` (m, 2) lists each pair with a coupling once.
    log_prob is summed and returned in float64 whatever the dtype of s, because differences of it are what matters.

    Known: log_z, exact draws and moments by enumeration to 20 spins; the mean, zero, of any model without fields.
    Raises ValueError for couplings that are not square, not symmetric, not finite or have a diagonal, and for fields
    of another length. Besag 1974; Ackley, Hinton and Sejnowski 1985, https://doi.org/10.1207/s15516709cog0901_7.

    fields: None is zero. dtype, device, name: as of `Target`.

        >>> pair = targets.PairwiseMRF([[0.0, 1.0], [1.0, 0.0]])
        >>> pair.log_prob(torch.tensor([1.0, 1.0])), round(pair.log_z, 4)
        (tensor(1., dtype=torch.float64), 1.8201)
    """

    def __init__(
        self,
        couplings: Any,
        fields: Any = None,
        *,
        temperature: float = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        n, edges, values = _read_couplings(couplings)
        if dtype is None:
            dtype = floating_dtype(couplings)
        if device is None and isinstance(couplings, Tensor):
            device = couplings.device
        super().__init__(n, (-1.0, 1.0), dtype=dtype, device=device, name=name)
        field = torch.zeros(n, dtype=torch.float64) if fields is None else as_double(fields, "fields").cpu()
        if field.shape != (n,):
            raise ValueError(f"fields: got shape {tuple(field.shape)}, expected ({n},), one for each row of couplings")
        self._build(edges, values, field, temperature)

    # The density

    @property
    def _dense(self) -> bool:
        """Whether a matrix product beats the table of neighbours."""
        return 4 * self._degree >= self.dim

    def couplings_matrix(self) -> Tensor:
        """J, (n, n)."""
        return self._matrix

    @cached_property
    def _matrix(self) -> Tensor:
        matrix = torch.zeros(self.dim, self.dim, dtype=self.dtype, device=self.device)
        i, j = self.edges.unbind(-1)
        matrix[i, j] = self.edge_couplings
        matrix[j, i] = self.edge_couplings
        return matrix

    def coupled(self, x: Tensor) -> Tensor:
        """J x, (*batch, n) -> (*batch, n)."""
        if self._dense:
            return x @ self._matrix
        total = torch.zeros_like(x)
        for sites, couplings in zip(self.neighbours.mT, self.neighbour_couplings.mT, strict=True):
            total.addcmul_(x[..., sites], couplings)
        return total

    def local_fields(self, x: Tensor) -> Tensor:
        """J x + b, (*batch, n) -> (*batch, n): half the log-odds of each spin given the others."""
        self._check(x)
        return self.coupled(x) + self.fields

    def log_prob(self, x: Tensor) -> Tensor:
        self._check_values(x)
        return (x * (0.5 * self.coupled(x) + self.fields)).sum(-1, dtype=torch.float64)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        pull = self.coupled(x)
        return (x * (0.5 * pull + self.fields)).sum(-1, dtype=torch.float64), pull + self.fields

    def score(self, x: Tensor) -> Tensor:
        return self.local_fields(x)

    def conditional_logits(self, x: Tensor, sites: Tensor) -> Tensor:
        self._check(x)
        return self._fields_at(x, sites)[..., None] * self.values

    def _fields_at(self, x: Tensor, sites: Tensor) -> Tensor:
        if self._dense:
            return x @ self._matrix[:, sites] + self.fields[sites]
        total = self.fields[sites].expand(*x.shape[:-1], -1).clone()
        for others, couplings in zip(self.neighbours[sites].mT, self.neighbour_couplings[sites].mT, strict=True):
            total.addcmul_(x[..., others], couplings)
        return total

    # What is exactly known

    @property
    def _site_potentials(self) -> Tensor:
        spins = torch.tensor([-1.0, 1.0], dtype=torch.float64)
        return self._beta * self._exact["fields"][:, None] * spins

    @property
    def _unknown(self) -> frozenset[str]:
        return super()._unknown - {"mean", "moments"} if self._fieldless else super()._unknown

    def _probabilities(self) -> Tensor:
        if self._fieldless:  # s and -s are equally probable
            return torch.full((self.dim, 2), 0.5, dtype=torch.float64, device=self.device)
        return super()._probabilities()

    # A continuous density with the same normaliser

    def relaxed(self, shift: Shift | None = None, *, coordinates: Literal["x", "w"] = "x") -> RelaxedMRF:
        """The continuous density whose draws give spins back (`RelaxedMRF`)."""
        return RelaxedMRF(self, shift, coordinates=coordinates)


def _read_couplings(couplings: Any) -> tuple[int, Tensor, Tensor]:
    """n, edges (m, 2) in lexicographic order and their couplings (m,) in float64, of a dense or sparse matrix."""
    shape = tuple(couplings.shape) if hasattr(couplings, "shape") else None
    if shape is None:
        couplings = torch.as_tensor(couplings, dtype=torch.float64)
        shape = tuple(couplings.shape)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(f"couplings: got shape {shape}, expected a square matrix (n, n)")
    if hasattr(couplings, "tocoo"):
        entries = couplings.tocoo()
        index = torch.stack([torch.as_tensor(entries.row).long(), torch.as_tensor(entries.col).long()])
        sparse = torch.sparse_coo_tensor(
            index, torch.as_tensor(entries.data, dtype=torch.float64), shape, check_invariants=True
        )
    else:
        sparse = torch.as_tensor(couplings).to(device="cpu", dtype=torch.float64).to_sparse_coo()
    matrix = sparse.coalesce()
    values = as_double(matrix.values(), "couplings")
    rows, columns = matrix.indices()
    diagonal = (rows == columns) & (values != 0)
    if bool(diagonal.any()):
        raise ValueError(
            f"couplings: got {float(values[diagonal][0])} on the diagonal at {int(rows[diagonal][0])}, expected zeros: "
            "s_i^2 = 1 makes a diagonal a constant factor of the density"
        )
    difference = (matrix - matrix.t()).coalesce()
    gap = difference.values().abs()
    if len(gap) and float(gap.max()) > 1e-6 * float(values.abs().max()):
        i, j = difference.indices()[:, int(gap.argmax())].tolist()
        raise ValueError(
            f"couplings: got a matrix that is not symmetric, by {float(gap.max()):.3g} between [{i}, {j}] and "
            f"[{j}, {i}]; expected J = J' (each edge is stated in both triangles and counts once)"
        )
    even = (0.5 * (matrix + matrix.t())).coalesce()  # rounding apart, the matrix itself
    above = (even.indices()[0] < even.indices()[1]) & (even.values() != 0)
    return shape[0], even.indices()[:, above].mT.contiguous(), even.values()[above]
