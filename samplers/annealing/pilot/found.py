"""Particles that a run has brought to the target."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from samplers.annealing.annealer import Run
from samplers.annealing.evidence import relative_variance

SETTLING = 12  # moves at the target
SHRINK = (1.0, 0.3, 0.1)  # of the step size in these moves, in turn, as long as no regions are known


@dataclass(frozen=True)
class Found:
    """Particles (n, dim) at the target, their families and log-densities (n,); log Z and the square of its error."""

    x: Tensor
    families: Tensor
    log_prob: Tensor
    log_z: float
    variance: float

    @property
    def log_ratio(self) -> Tensor:
        """log gamma - log Z at each."""
        return self.log_prob - self.log_z

    def joined(self, other: Found) -> Found:
        """With another's particles as one larger sample."""
        born = other.families + 1 + self.families.max()
        return replace(
            other,
            x=torch.cat([self.x, other.x]),
            log_prob=torch.cat([self.log_prob, other.log_prob]),
            families=torch.cat([self.families, born]),
        )


def found(run: Run, generator: Generator) -> Found:
    """The particles of a run after further moves at the target."""
    log_z, square = float(run.cloud.log_z), variance(run)
    x, log_prob = _settled(run, generator)
    return Found(x, run.cloud.eves[0], log_prob, log_z, square)


def variance(run: Run) -> float:
    """Of log Z, at least 0."""
    likely, most = relative_variance(run.cloud)
    return max(likely if likely > 0 else most, 0.0)


@torch.no_grad()
def _settled(run: Run, generator: Generator) -> tuple[Tensor, Tensor]:
    """The particles (n, dim) after further moves at the target, equally weighted, and their log-densities (n,)."""
    cloud, density = run.cloud, run.path.at(1.0)
    cloud.resample("systematic", torch.ones_like(cloud.log_z, dtype=torch.bool), generator)
    for k in range(SETTLING):
        kernel = run.tuner.kernel(cloud, density, generator)
        if run.tuner.regions is None:
            shrink = SHRINK[k % len(SHRINK)]
            lengths = {name: getattr(kernel, name, None) for name in ("step_size", "trajectory_length")}
            kernel = replace(kernel, **{name: shrink * v for name, v in lengths.items() if v is not None})
        cloud.state, _ = kernel.step(density, cloud.state, generator)
    return cloud.state.x, cloud.state.log_prob.double()
