"""Noise that has the shape of a Markov random field, under which the posterior of its spins factorises."""

from __future__ import annotations

import copy
import math
from typing import Any, Self

import torch
from torch import Tensor

from targets._self_coupled import Shift, Spectral, self_coupled
from targets.arguments import as_double, positive, shown
from targets.ising import Ising
from targets.noise import Noise
from targets.pairwise_mrf import PairwiseMRF


class MRFNoise(Noise):
    """N(0, A^-1), A = J + D + E: the precision has the couplings J of a model of spins, on any positive diagonal.

    For spins p(s) ~ exp(s'Js/2 + b's) and y = s + noise the couplings of the posterior cancel,

        p(s | y) ~ exp(s'(b + A y)),     E[s | y] = tanh(b + A y),
        phi(y) = -y'Ay / 2 + sum_i log 2 cosh(b + Ay)_i - tr(D + E) / 2 + log det A / 2 - n/2 log 2 pi

    The law of y is that of `RelaxedMRF` in coordinates w. J is the one in force, 1 / T and all.

    shift: D, as in `RelaxedMRF`, by default the smallest. extra: E, a number or a diagonal (n,), not negative: the
    precision that further measurements with independent noise at each site add; A is then that of the mean of all,
    each weighted by its precision. `scaled(c)` has precision A / c, in which the couplings no longer cancel:
    `scale` is the product of such factors. On a torus with one number for D + E, A acts by fast Fourier transforms.
    ValueError for a diagonal that leaves A not positive definite.

    mrf: of the couplings J.

        >>> ising = targets.Ising((4, 4), coupling=0.3)
        >>> noise = targets.MRFNoise(ising)
        >>> noise.matches(ising), noise.covariance(16).shape
        (True, torch.Size([16, 16]))
    """

    def __init__(self, mrf: PairwiseMRF, shift: Shift | None = None, extra: Any = 0.0) -> None:
        if not isinstance(mrf, PairwiseMRF):
            raise TypeError(f"mrf: got {type(mrf).__name__}, expected a targets.PairwiseMRF, whose couplings are J")
        added = as_double(extra, "extra").cpu()
        if added.shape not in ((), (mrf.dim,)) or bool((added < 0).any()):
            raise ValueError(
                f"extra: got {shown(extra)}, expected a number of at least 0, or a diagonal ({mrf.dim},) of "
                "such numbers"
            )
        a = self_coupled(mrf, "smallest" if shift is None else shift)
        if bool((added > 0).any()):
            total = a.shift + added.to(a.shift.device)
            a = self_coupled(mrf, total[0] if bool((total == total[0]).all()) else total)
        self.mrf, self.dim, self.scale = mrf, mrf.dim, 1.0
        self._a = a
        self._log_det = -float(a.eigenvalues.log().sum())
        self._here: dict[Any, tuple[PairwiseMRF, Any, Tensor]] = {}

    @property
    def shift(self) -> Tensor:
        """The diagonal D + E of A, (n,) in float64."""
        return self._a.shift

    def _placed(self, v: Tensor) -> tuple[PairwiseMRF, Any, Tensor]:
        key = (v.dtype, v.device)
        if key not in self._here:
            mrf, a = self.mrf.to(v.device, v.dtype), copy.copy(self._a)
            a.place(mrf)
            self._here[key] = (mrf, a, a.shift.to(v))
        return self._here[key]

    def times(self, v: Tensor) -> Tensor:
        solved = self._placed(v)[1].solve(v)
        return solved if self.scale == 1 else self.scale * solved

    def solve(self, v: Tensor) -> Tensor:
        mrf, _, shift = self._placed(v)
        product = mrf.coupled(v) + shift * v
        return product if self.scale == 1 else product / self.scale

    def colour(self, white: Tensor) -> Tensor:
        coloured = self._placed(white)[1].whiten(white)
        return coloured if self.scale == 1 else self.scale**0.5 * coloured

    def scaled(self, factor: float) -> Self:
        new = copy.copy(self)
        new.scale = self.scale * positive(factor, "factor")
        return new

    def log_det(self, dim: int) -> float:
        return self._log_det + dim * math.log(self.scale)

    def covariance(self, dim: int) -> Tensor:
        return self.times(torch.eye(dim, dtype=torch.float64, device=self._a.shift.device)).cpu()

    def variances(self, dim: int) -> Tensor | None:
        return None if len(self.mrf.edges) else self.scale / self.shift

    def matches(self, mrf: PairwiseMRF) -> bool:
        """Whether the couplings of a model are J, so that they cancel in the posterior of its spins at scale 1."""
        if mrf is self.mrf:
            return True
        if mrf.dim != self.dim:
            return False
        (pairs, ours), (others, theirs) = (_ordered(model) for model in (self.mrf, mrf))
        return torch.equal(pairs, others) and torch.equal(ours, theirs)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values from which `of_state` makes the same noise, whose draws have the same bits."""
        shift = self.shift.cpu()
        state: dict[str, Any] = {"shift": float(shift[0]) if isinstance(self._a, Spectral) else shift}
        if isinstance(self.mrf, Ising):
            lattice = {name: getattr(self.mrf, name) for name in ("shape", "coupling", "periodic")}
            return state | {"lattice": lattice, "scale": self.scale}
        pairs, couplings = _ordered(self.mrf)
        return state | {"dim": self.dim, "pairs": pairs.cpu(), "couplings": couplings.cpu(), "scale": self.scale}

    @classmethod
    def of_state(
        cls,
        shift: Any,
        scale: float,
        lattice: dict[str, Any] | None = None,
        dim: int = 0,
        pairs: Tensor | None = None,
        couplings: Tensor | None = None,
    ) -> Self:
        """The noise of which that was the state; the fields of its model, of which it knows nothing, are zero."""
        if lattice is not None:
            mrf: PairwiseMRF = Ising(**lattice)
        else:
            assert pairs is not None
            assert couplings is not None
            matrix = torch.zeros(dim * dim, dtype=torch.float64)
            matrix[pairs] = couplings
            above = matrix.reshape(dim, dim)
            mrf = PairwiseMRF(above + above.mT)
        found = cls(mrf, shift)
        return found if scale == 1 else found.scaled(scale)

    def __repr__(self) -> str:
        scale = "" if self.scale == 1 else f", scale={self.scale:.6g}"
        return f"MRFNoise({self.mrf.name}, dim={self.dim}{scale})"


def _ordered(mrf: PairwiseMRF) -> tuple[Tensor, Tensor]:
    """Numbers of the coupled pairs in increasing order, and their couplings in force, in float64."""
    i, j = mrf._exact["edges"].sort(-1).values.unbind(-1)
    pairs, order = (i * mrf.dim + j).sort()
    return pairs, (mrf._beta * mrf._exact["couplings"])[order]
