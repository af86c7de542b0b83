"""The grids of one target, laid along the axes of the noise."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from samplers.denoisers.grid import MOST, Grid, find_box, refine, tabulate
from targets import Noise, Target
from targets.counting import Counted, Tally

FINE = 2.5  # standard deviations of the noise over the spacing, from which on a grid serves


@dataclass
class GridCache:
    """A target's density on grids, coarse ones first.

    density: the target along `axes`; what is evaluated for grids is counted in its tally. axes (dim, dim): where noise
    is correlated, its principal axes, else None. box: two corners (dim,). fixed: no finer grid than the first is made.
    spent: evaluations that finer grids took, by a name, and that no counter has seen yet.
    """

    density: Counted
    axes: Tensor | None
    box: tuple[Tensor, Tensor]
    grids: list[Grid]
    fixed: bool
    spent: dict[str, Tally] = field(default_factory=dict)

    @classmethod
    def find(
        cls, target: Counted, noise: Noise, box: tuple[Tensor, Tensor] | None, points: int | None, tolerance: float
    ) -> GridCache:
        """The first grid, of as many points as it takes where `points` is None, on a box that is found where None."""
        bare, dim, axes, density = target.inner, target.dim, None, target
        if noise.variances(dim) is None:
            axes = torch.linalg.eigh(noise.covariance(dim).to(bare.device)).eigenvectors
            density = Counted(Rotated(bare, axes), target.tally)
        if box is None:
            box = find_box(density)
        elif axes is not None:
            raise ValueError("low, high: got a box for correlated noise, whose grid lies along its principal axes")
        if points is None:
            first = refine(density, *box, tolerance)
        else:
            first = tabulate(density, *box, (points, points if dim == 2 else 1))
            if not max(first.unresolved) <= tolerance:
                raise ValueError(
                    f"points: got {points}, which do not resolve {bare.name}: without every second one its mass "
                    f"changes by {max(first.unresolved):.2g}, expected at most tolerance = {tolerance:g}"
                )
        return cls(density, axes, box, [first], points is not None)

    @property
    def dim(self) -> int:
        """That of the target."""
        return self.density.dim

    def serves(self, noise: Noise) -> bool:
        """Whether the noise is diagonal along these axes."""
        if self.axes is None or noise.variances(self.dim) is not None:
            return self.axes is None and noise.variances(self.dim) is not None
        rotated = self._rotated(noise)
        return bool((rotated - torch.diag(rotated.diagonal())).abs().max() < 1e-12 * rotated.diagonal().min())

    def grid_for(self, variances: Tensor) -> Grid | None:
        """The coarsest grid fine enough for the noise, a finer one than before where needed; None for local ones."""
        least = variances[: self.dim].sqrt() / FINE
        for grid in self.grids:
            if bool((grid.spacing[: self.dim] <= least).all()):
                return grid
        if self.fixed:
            return None
        points = list(self.grids[-1].log_gamma.shape)
        for axis, (width, step) in enumerate(zip((self.box[1] - self.box[0]).tolist(), least.tolist(), strict=True)):
            while width / (points[axis] - 1) > step:
                points[axis] *= 2
                if points[axis] > MOST[self.dim]:
                    return None
        self.grids.append(tabulate(self.density, *self.box, (points[0], points[1])))
        self.spent[f"a grid of {points[0]} x {points[1]}"] = self.density.tally.taken()
        return self.grids[-1]

    # Coordinates along the axes, two of them in float64: a missing second one is 0, with variance 1

    def _rotated(self, noise: Noise) -> Tensor:
        covariance = noise.covariance(self.dim).to(self.box[0])
        return covariance if self.axes is None else self.axes.mT @ covariance @ self.axes

    def measured(self, y: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Measurements and variances along the axes, (n, 2) and (2,)."""
        z = y.to(torch.float64) if self.axes is None else y.to(torch.float64) @ self.axes
        pad, missing = torch.nn.functional.pad, (0, 2 - self.dim)
        return pad(z, missing), pad(self._rotated(noise).diagonal(), missing, value=1.0)

    def original(self, z: Tensor) -> Tensor:
        """From (..., 2) along the axes to (..., dim)."""
        x = z[..., : self.dim]
        return x if self.axes is None else x @ self.axes.mT

    def log_gamma(self, target: Target, z: Tensor) -> Tensor:
        """The density of the target, as it is counted, at (..., 2) along the axes."""
        return target.log_prob(self.original(z).to(target.dtype)).to(torch.float64)


class Rotated(Target):
    """A density in the coordinates z = x A along other axes."""

    def __init__(self, target: Target, axes: Tensor) -> None:
        super().__init__(target.dim, dtype=target.dtype, device=target.device, name=target.name)
        self._target, self._axes = target, axes

    def log_prob(self, x: Tensor) -> Tensor:
        return self._target.log_prob(x @ self._axes.mT.to(x))

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset({"modes", "mean"}) - self._target.known

    @property
    def modes(self) -> Tensor:
        return self._target.modes @ self._axes.to(self._target.modes)

    @property
    def mean(self) -> Tensor:
        return self._target.mean @ self._axes.to(self._target.mean)
