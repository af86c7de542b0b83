"""Grids of one target laid along the axes of the noise, and lattices around single measurements."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from samplers.denoisers.grid import Grid
from samplers.denoisers.lattice import Table
from targets import Noise, Target

OPEN = 1e-10  # share of weight at the edge above which there may be more beyond it
REACH = 7.0  # of a lattice around a measurement, in standard deviations of the noise to begin with
POINTS, MORE = 21, 61  # of it along an axis; of a second one, where the first finds no window that holds and resolves
TRIALS = 24
WIDEST = 64.0  # standard deviations of the noise: to where the mass of measurements far out is looked for
UNRESOLVED = 3e-4  # change without every second point above which a lattice is not believed


@dataclass
class Laid:
    """The grids of one target, coarse ones first, and the evaluations of it that no tally has seen yet.

    axes (dim, dim): where noise is correlated, its principal axes, along which the grid is laid.
    """

    target: Target
    axes: Tensor | None
    grids: list[Grid]
    box: tuple[Tensor, Tensor]
    unpaid: int = 0

    def suits(self, noise: Noise) -> bool:
        """Whether the noise is diagonal along these axes."""
        dim = self.target.dim
        if self.axes is None or noise.variances(dim) is not None:
            return self.axes is None and noise.variances(dim) is not None
        turned = self._turned(noise)
        return bool((turned - torch.diag(turned.diagonal())).abs().max() < 1e-12 * turned.diagonal().min())

    def _turned(self, noise: Noise) -> Tensor:
        covariance = noise.covariance(self.target.dim).to(self.box[0])
        return covariance if self.axes is None else self.axes.mT @ covariance @ self.axes

    def measured(self, y: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Measurements and variances along the axes, (n, 2) and (2,) in float64; a missing second axis has 0 and 1."""
        missing = 2 - self.target.dim
        z = y.to(torch.float64) if self.axes is None else y.to(torch.float64) @ self.axes
        variances = self._turned(noise).diagonal()
        pad = torch.nn.functional.pad
        return pad(z, (0, missing)), pad(variances, (0, missing), value=1.0)

    def original(self, z: Tensor) -> Tensor:
        """From (..., 2) along the axes to (..., dim)."""
        x = z[..., : self.target.dim]
        return x if self.axes is None else x @ self.axes.mT

    def log_gamma(self, target: Target, z: Tensor) -> Tensor:
        """The density at (..., 2) along the axes, in float64."""
        return target.log_prob(self.original(z).to(target.dtype)).to(torch.float64)


class Turned(Target):
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


def around(target: Target, space: Laid, z: Tensor, variances: Tensor, points: int) -> tuple[Table, Tensor]:
    """Lattices around measurements, moved and narrowed to where x given y is; and whether they hold and resolve it."""
    wide = torch.tensor([1.0, float(target.dim == 2)], dtype=torch.float64, device=z.device)
    shape = (points, points if target.dim == 2 else 1)
    step = 2 * REACH / (points - 1)
    index = torch.cartesian_prod(*[torch.arange(k, dtype=torch.float64, device=z.device) for k in shape])
    noise = variances.sqrt()
    centre, scale = z.clone(), noise.expand_as(z).clone()
    origin, spacing = torch.empty_like(z), torch.empty_like(z)
    log_weights, good = z.new_empty(len(z), *shape), torch.zeros(len(z), dtype=torch.bool, device=z.device)
    moving = torch.arange(len(z), device=z.device)
    for _ in range(TRIALS):
        spacing[moving] = torch.where(wide > 0, step * scale[moving], 1.0)
        origin[moving] = centre[moving] - REACH * scale[moving] * wide
        x = origin[moving, None] + index * spacing[moving, None]
        away = (x - z[moving, None]).square() / variances
        values = (space.log_gamma(target, x) - 0.5 * away.sum(-1)).reshape(-1, *shape)
        log_weights[moving] = values
        table = Table(values, origin[moving], spacing[moving])
        half = table.halved()
        moved = ((table.mean - half.mean) / scale[moving]).abs().amax(-1)
        cut = table.edge > OPEN
        coarse = torch.maximum((table.total - half.total).abs(), moved) > UNRESOLVED
        good[moving] = ~(cut | coarse | table.lost)
        # where much is cut off, look much wider around its mean so far; where it is narrow, look closer
        wider = torch.where(table.edge > 1e-3, 2.0, 1.2)[:, None] * scale[moving]
        closer = torch.minimum(torch.maximum(1.3 * table.sd, 0.25 * scale[moving]), 0.85 * scale[moving])
        scale[moving] = torch.where(cut[:, None], torch.minimum(wider, WIDEST * noise), closer)
        centre[moving] = table.mean
        moving = moving[(cut | coarse) & ~table.lost]
        if not len(moving):
            break
    return Table(log_weights, origin, spacing), good
