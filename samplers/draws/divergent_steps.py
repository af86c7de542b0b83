"""Where divergent steps of a run began and where they led, and how files keep that under ArviZ's conventions."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from samplers.draws import records

if TYPE_CHECKING:
    import xarray as xr

GROUP, DIM = "divergent_steps", "divergence"
MOST, MOST_BYTES = 1000, 64 * 2**20  # kept of a run, and what they may take in memory
# those of the package nutpie, where there are some
IN_FILES = {
    "start": "divergence_start",
    "end": "divergence_end",
    "momentum": "divergence_momentum",
    "energy_error": "energy_error",
    "n_steps": "n_steps",
}


def most_kept(dim: int, itemsize: int) -> int:
    """How many divergent steps a run keeps: 1000, or fewer where these would take more than 64 MiB, but one."""
    return max(1, min(MOST, MOST_BYTES // (3 * dim * itemsize)))


@dataclass(frozen=True, eq=False)
class DivergentSteps:
    """The first divergent steps after warmup, in the order of the run: k of them, at most 1000 and 64 MiB.

    chain, draw: (k,), which chain, and the number of the draw that the step led to. Of the steps between two draws
    (`thin`) it is the later draw, and the number of draws where the run ended before that one.
    start, end: (k, dim), where the step began and where it would have led, in unconstrained coordinates; the
    end has the entries that came out, which may be infinite or NaN. It was rejected: with thin=1 the start is the draw
    too, unless the sampler moves in other ways beside (`ParallelTempering` exchanges states after the step).
    momentum: (k, dim), with which the trajectory began, as the kernel has it: of `HMC` and `RegionalHMC` p ~ N(0, I)
    in z = L^-1 x, of `MAMS` and `MCLMC` the direction u of unit length.
    energy_error: (k,) in float64, H at the end less H at the start; NaN where the density at the end is.
    n_steps: (k,), leapfrogs that the trajectory made. `kernel.leapfrog(target, state at start, momentum, n_steps)` of
    `HMC` leads to the end.
    more: how many divergent steps of the run are not kept, for these are the first ones.

    end, momentum, energy_error and n_steps are None of kernels that do not tell them: all but end of kernels without
    trajectories, and all of kernels whose step is made of several moves. `target.constrain(steps.end)` names the
    coordinates. Files and `to_arviz` have them in the group divergent_steps, with the dim `divergence` and the
    variables divergence_start, divergence_end, divergence_momentum, energy_error, n_steps; chain and draw are
    coordinates of that dim, so that `posterior.sel(chain=..., draw=...)` takes them.

        >>> samplers.draws.DivergentSteps(torch.tensor([2]), torch.tensor([7]), start=torch.zeros(1, 3), more=4)
        1 divergent step, the first of 5, each with chain, draw, start
    """

    chain: Tensor
    draw: Tensor
    start: Tensor
    end: Tensor | None = None
    momentum: Tensor | None = None
    energy_error: Tensor | None = None
    n_steps: Tensor | None = None
    more: int = 0

    def __len__(self) -> int:
        return len(self.chain)

    def __repr__(self) -> str:
        shown = ", ".join(f.name for f in fields(self) if isinstance(getattr(self, f.name), Tensor))
        more = f", the first of {len(self) + self.more:,}" if self.more else ""
        return f"{len(self):,} divergent step{'' if len(self) == 1 else 's'}{more}, each with {shown}"

    def thinned(self, thin: int) -> Self:
        """The same steps beside every thin-th draw: each has the number of the next one that is kept."""
        return replace(self, draw=-(-self.draw // thin))

    def dataset(self) -> xr.Dataset:
        """As the group of a file."""
        import xarray as xr

        arrays = {}
        for name, called in IN_FILES.items():
            value = getattr(self, name)
            if value is not None:
                held, attrs = records.held_as(value)
                # the dim that x has in the group unconstrained_posterior
                arrays[called] = xr.DataArray(held, dims=(DIM, "x_dim_0")[: held.ndim], attrs=attrs)
        numbers = {name: (DIM, getattr(self, name).cpu().numpy()) for name in ("chain", "draw")}
        axes = {DIM: torch.arange(len(self)).numpy(), "x_dim_0": torch.arange(self.start.shape[1]).numpy()}
        return xr.Dataset(arrays, numbers | axes, {"more": self.more})

    @classmethod
    def from_dataset(cls, data: xr.Dataset) -> Self:
        """What `dataset` was made of."""
        found = records.tensors(data)
        return cls(
            **{name: torch.from_numpy(data[name].values) for name in ("chain", "draw")},
            **{name: found[called] for name, called in IN_FILES.items() if called in found},
            more=int(data.attrs["more"]),
        )
