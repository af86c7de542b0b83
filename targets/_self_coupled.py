"""The positive definite matrix A = J + D of a Markov random field: products, solves, square roots, eigenvalues."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from targets.arguments import as_double, shown
from targets.graph import GraphTarget

Shift = float | Tensor | Literal["smallest", "dominance"]
MARGIN = 0.1
MOST_DENSE = 20_000


class CoupledSpins(GraphTarget):
    """Spins in {-1, +1}^n with couplings J, of which A is made."""

    def coupled(self, x: Tensor) -> Tensor:
        """J x, (*batch, n) -> (*batch, n)."""
        raise NotImplementedError

    def couplings_matrix(self) -> Tensor:
        """J, (n, n)."""
        raise NotImplementedError

    @property
    def _spectrum(self) -> Tensor | None:
        """The eigenvalues of J by wave number on a torus, in its shape and float64; None where there is none."""
        return None


class Spectral:
    """A on a torus with one shift for all sites: diagonal among plane waves, never formed."""

    def __init__(self, mrf: CoupledSpins, spectrum: Tensor, shift: Shift) -> None:
        self.shape = tuple(spectrum.shape)
        least, most = float(spectrum.min()), float(spectrum.max())
        chosen = _smallest(least, most) if isinstance(shift, str) else _checked(float(shift), least)
        self.shift = torch.full((mrf.dim,), chosen, dtype=torch.float64)
        self.eigenvalues = spectrum + chosen
        self.place(mrf)

    def place(self, mrf: CoupledSpins) -> None:
        """Work in the dtype and on the device of `mrf`."""
        half = self.eigenvalues[..., : self.shape[-1] // 2 + 1]
        self._waves = half.to(device=mrf.device, dtype=mrf.dtype)

    def _apply(self, multiplier: Tensor, x: Tensor) -> Tensor:
        axes = tuple(range(-len(self.shape), 0))
        waves = torch.fft.rfftn(x.reshape(*x.shape[:-1], *self.shape), dim=axes)
        return torch.fft.irfftn(waves * multiplier, s=self.shape, dim=axes).reshape(x.shape)

    def solve(self, x: Tensor) -> Tensor:
        """A^-1 x."""
        return self._apply(1 / self._waves, x)

    def colour(self, noise: Tensor) -> Tensor:
        """White noise with covariance A."""
        return self._apply(self._waves.sqrt(), noise)

    def whiten(self, noise: Tensor) -> Tensor:
        """White noise with covariance A^-1."""
        return self._apply(self._waves.rsqrt(), noise)


class Dense:
    """A as a matrix, by its Cholesky factor."""

    def __init__(self, mrf: CoupledSpins, shift: Shift) -> None:
        if mrf.dim > MOST_DENSE:
            raise ValueError(
                f"relaxed: {mrf.name} has {mrf.dim} sites, and a dense matrix at most {MOST_DENSE}; expected a "
                "smaller model, or a torus with one shift for all sites, which needs no matrix"
            )
        double = mrf.to(dtype=torch.float64)
        matrix = double.couplings_matrix()
        if isinstance(shift, str) and shift == "dominance":
            reach = matrix.abs().sum(1)
            self.shift = reach + (MARGIN * reach.max() if bool(reach.any()) else MARGIN)
        elif isinstance(shift, str):
            spectrum = torch.linalg.eigvalsh(matrix)
            self.shift = torch.full_like(matrix[0], _smallest(float(spectrum[0]), float(spectrum[-1])))
        else:
            self.shift = torch.as_tensor(shift, dtype=torch.float64, device=matrix.device).expand(mrf.dim)
        self._exact = matrix + torch.diag(self.shift)
        self.eigenvalues = torch.linalg.eigvalsh(self._exact)
        if not float(self.eigenvalues[0]) > 0:
            if self.shift.unique().numel() == 1:
                _checked(float(self.shift[0]), float(self.eigenvalues[0] - self.shift[0]))
            raise ValueError(
                f"shift: got a diagonal D for which J + D is not positive definite (its smallest eigenvalue is "
                f"{float(self.eigenvalues[0]):.6g}), expected a larger one"
            )
        self.place(mrf)

    def place(self, mrf: CoupledSpins) -> None:
        """Work in the dtype and on the device of `mrf`."""
        factor = torch.linalg.cholesky(self._exact)
        self._factor = factor.to(device=mrf.device, dtype=mrf.dtype)
        self._precision = torch.cholesky_inverse(factor).to(device=mrf.device, dtype=mrf.dtype)

    def solve(self, x: Tensor) -> Tensor:
        """A^-1 x."""
        return x @ self._precision

    def colour(self, noise: Tensor) -> Tensor:
        """White noise with covariance A."""
        return noise @ self._factor.mT

    def whiten(self, noise: Tensor) -> Tensor:
        """White noise with covariance A^-1."""
        return torch.linalg.solve_triangular(self._factor, noise, upper=False, left=False)


def self_coupled(mrf: CoupledSpins, shift: Shift) -> Spectral | Dense:
    """A = J + D for a shift that is one number, a diagonal (n,), or found by a rule."""
    if isinstance(shift, str):
        if shift not in ("smallest", "dominance"):
            raise ValueError(f"shift: got {shown(shift)}, expected a number, a diagonal, 'smallest' or 'dominance'")
    else:
        shift = as_double(shift, "shift")
        if shift.shape not in ((), (mrf.dim,)):
            raise ValueError(f"shift: got shape {tuple(shift.shape)}, expected a number or a diagonal ({mrf.dim},)")
    uniform = shift == "smallest" if isinstance(shift, str) else shift.ndim == 0
    spectrum = mrf._spectrum if uniform else None
    return Dense(mrf, shift) if spectrum is None else Spectral(mrf, spectrum, shift)


def _smallest(least: float, most: float) -> float:
    """The shift that lifts the smallest eigenvalue of J to a tenth of the width of its spectrum."""
    return MARGIN * (most - least if most > least else 1.0) - least


def _checked(shift: float, least: float) -> float:
    if not shift + least > 0:
        raise ValueError(
            f"shift: got {shift:.6g}, for which J + shift I is not positive definite; the smallest eigenvalue of J is "
            f"{least:.6g}, expected a shift above {-least:.6g}"
        )
    return shift
