"""A density in other linear coordinates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from targets.arguments import as_double, shown
from targets.base import Target, Variable
from targets.gaussian import Gaussian
from targets.gaussian_mixture import GaussianMixture


class Affine(Target):
    """The law of u where x = shift + L u follows the target; its Z is that of x.

        log p(u) = log gamma(shift + L u) + log |det L|,     score = L' s(shift + L u)

    shift: (dim,) or a number. factor L: a positive number, positive ones (dim,), or lower triangular (dim, dim) with
    a positive diagonal, such as a Cholesky factor. log_z, exact draws, modes and their weights are those of the target
    where it knows them.

    target: of x, a Target. name: as of `Target`, by default the target's. ValueError for shapes that do not agree, and
    for another factor.

        >>> half = targets.Affine(targets.Gaussian(torch.tensor([3.0])), shift=3.0, factor=2.0)
        >>> half.score(torch.ones(1)), half.log_z
        (tensor([-4.]), 0.0)
    """

    def __init__(self, target: Target, shift: Any = 0.0, factor: Any = 1.0, *, name: str | None = None) -> None:
        if target.discrete:
            raise TypeError(f"target: got {shown(target)}, a law on configurations; expected a density")
        super().__init__(target.dim, dtype=target.dtype, device=target.device, name=name or target.name)
        self.target = target
        shift, factor = (
            as_double(value, argument).to(target.device) for value, argument in ((shift, "shift"), (factor, "factor"))
        )
        if shift.shape not in ((), (self.dim,)):
            raise ValueError(f"shift: got shape {tuple(shift.shape)}, expected () or ({self.dim},)")
        if factor.shape not in ((), (self.dim,), (self.dim, self.dim)):
            raise ValueError(
                f"factor: got shape {tuple(factor.shape)}, expected (), ({self.dim},) or ({self.dim}, {self.dim})"
            )
        diagonal = factor.diagonal() if factor.ndim == 2 else factor
        if not bool((diagonal > 0).all()) or (factor.ndim == 2 and not torch.equal(factor, factor.tril())):
            raise ValueError("factor: expected positive numbers, or a lower triangular matrix with a positive diagonal")
        self._exact = {"shift": shift, "factor": factor}
        self.log_det = float(diagonal.log().sum()) * (self.dim if factor.ndim == 0 else 1)
        self._place()

    def _place(self) -> None:
        self._shift = self._exact["shift"].to(device=self.device, dtype=self.dtype)
        self._factor = self._exact["factor"].to(device=self.device, dtype=self.dtype)
        # a product with L is cheaper than a triangular solve for every batch; L^-1 is as good as L is conditioned
        exact = self._exact["factor"]
        if exact.ndim == 2:
            inverse = torch.linalg.solve_triangular(exact, torch.eye(self.dim).to(exact), upper=False)
        else:
            inverse = 1 / exact
        self._inverse = inverse.to(device=self.device, dtype=self.dtype)

    def to_x(self, u: Tensor) -> Tensor:
        """x = shift + L u, (*batch, dim)."""
        return self._shift + (u @ self._factor.mT if self._factor.ndim == 2 else u * self._factor)

    def to_u(self, x: Tensor) -> Tensor:
        """u = L^-1 (x - shift), (*batch, dim)."""
        centred = x - self._shift
        return centred @ self._inverse.mT if self._inverse.ndim == 2 else centred * self._inverse

    def score_to_u(self, score: Tensor) -> Tensor:
        """L' s for a score s with respect to x, (*batch, dim)."""
        return score @ self._factor if self._factor.ndim == 2 else score * self._factor

    def mixture(self, density: Gaussian | GaussianMixture) -> GaussianMixture:
        """A Gaussian (mixture) of x, as the mixture that u = L^-1 (x - shift) follows; its Z stays."""
        exact = self._exact
        if isinstance(density, Gaussian):
            means, weights = density._exact["mean"][None], torch.ones(1, dtype=torch.float64, device=self.device)
            covariances = density._exact_covariance[None]
        else:
            means, weights = density._exact["means"], density._exact["weights"]
            covariances = density._exact_covariances
        shift, factor = exact["shift"].to(means), exact["factor"].to(means)
        if factor.ndim == 2:
            means = torch.linalg.solve_triangular(factor, (means - shift).mT, upper=False).mT
            half = torch.linalg.solve_triangular(factor, covariances, upper=False)
            covariances = torch.linalg.solve_triangular(factor, half.mT, upper=False).mT
        else:
            inverse = (1 / factor).expand(self.dim)
            means = (means - shift) * inverse
            covariances = covariances * inverse * inverse[:, None]
        covariances = 0.5 * (covariances + covariances.mT)
        diagonal = covariances.diagonal(dim1=-2, dim2=-1)
        means = means.to(self.dtype)
        if torch.equal(covariances, torch.diag_embed(diagonal)):
            return GaussianMixture(means, scales=diagonal.sqrt(), weights=weights, name=density.name)
        return GaussianMixture(means, covariances=covariances, weights=weights, name=density.name)

    def log_prob(self, u: Tensor) -> Tensor:
        self._check(u)
        return self.target.log_prob(self.to_x(u)) + self.log_det

    def log_prob_and_score(self, u: Tensor) -> tuple[Tensor, Tensor]:
        self._check(u)
        value, score = self.target.log_prob_and_score(self.to_x(u))
        return value + self.log_det, self.score_to_u(score)

    @property
    def _unknown(self) -> frozenset[str]:
        carried = {"log_z", "sample", "modes", "mode_weights"}
        return frozenset(carried - self.target.known)

    @property
    def log_z(self) -> float:
        return self.target.log_z

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        return self.to_u(self.target.sample(n, generator=generator))

    @property
    def modes(self) -> Tensor:
        return self.to_u(self.target.modes)

    @property
    def mode_weights(self) -> Tensor:
        return self.target.mode_weights

    def mode_probabilities(self, u: Tensor) -> Tensor:
        return self.target.mode_probabilities(self.to_x(u))

    @property
    def variables(self) -> dict[str, Variable]:
        return self.target.variables

    def constrain(self, u: Tensor) -> dict[str, Tensor]:
        return self.target.constrain(self.to_x(u))
