"""Systems of particles without their centre of mass: orthonormal coordinates of the subspace of zero mean."""

from __future__ import annotations

import torch
from torch import Tensor

from targets.arguments import check_integer


def helmert(particles: int) -> Tensor:
    """Orthonormal rows that are orthogonal to (1, .., 1), (particles - 1, particles) in float64.

    Row k has the entries 1 / sqrt(k (k + 1)) k times, then -k / sqrt(k (k + 1)), then zeros, k = 1 .. particles - 1.
    """
    k = torch.arange(1, particles, dtype=torch.float64)
    rows = torch.ones(particles - 1, particles, dtype=torch.float64).tril()
    rows[:, 1:] -= torch.diag(k)
    return rows / (k * (k + 1)).sqrt()[:, None]


class ZeroMean:
    """The isometry between R^((particles - 1) space) and positions (particles, space) whose mean is zero.

        positions = H' x,   x = H positions,   x as (particles - 1, space), H the Helmert rows

    Being an isometry it leaves Lebesgue measure, energies of oscillators and Gaussian noise as they are.
    """

    def __init__(self, particles: int, space: int) -> None:
        check_integer(particles, "particles", 2)
        check_integer(space, "space")
        self.particles, self.space = particles, space
        self.dim = (particles - 1) * space
        self._rows = helmert(particles)

    def rows(self, like: Tensor) -> Tensor:
        """H in the dtype and on the device of a tensor."""
        return self._rows.to(like)

    def positions(self, x: Tensor) -> Tensor:
        """(*batch, dim) -> (*batch, particles, space)."""
        return self.rows(x).mT @ x.reshape(*x.shape[:-1], self.particles - 1, self.space)

    def coordinates(self, positions: Tensor) -> Tensor:
        """(*batch, particles, space) -> (*batch, dim); the mean of the positions is projected out."""
        if positions.shape[-2:] != (self.particles, self.space):
            raise ValueError(
                f"positions: got shape {tuple(positions.shape)}, expected (*batch, {self.particles}, {self.space})"
            )
        return (self.rows(positions) @ positions).flatten(-2)
