"""One step of a reverse process, from x_t to x_s, s < t, as a Gaussian.

    x_s | x_t ~ N(b D + c x_t, V' C),   D = (x_t + v_t C score) / a_t,   (b, c, V) = bridge(0, s, t)
    V' = P V(s,t) / (A^2 P + V(s,t)),   P = a_s^2 w + v_s,   x_t | x_s ~ N(A x_s, V(s,t) C)

The mean is E[x_s | x_t] for the exact score, whatever the data. V' is the variance for data N(m, w C), w the
`data_variance`: 0 for a single datum gives V, the variance given x_0 as well; 1 with VP gives the beta of DDPM;
infinity gives V(s,t) / A^2. These are the two choices of Ho et al. 2020. For Gaussian data of that variance the steps
are the exact reverse, however long; in general V' errs by the square of the step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from samplers.processes.base import Process
from targets.arguments import shown


@dataclass(frozen=True, eq=False)
class ReverseSteps:
    """The K steps of a grid, in the order of sampling, (K,) each in float64.

    time t, where the step begins; mean = keep x_t + pull C score(x_t, t), variance V'.

        >>> from samplers.generative.reverse_step import ReverseSteps
        >>> process = samplers.processes.linear.VP()
        >>> steps = ReverseSteps.of(process, samplers.processes.grids.uniform(2), 1.0)
        >>> steps.time, steps.variance + steps.keep.square() - 2 * steps.pull * steps.keep + steps.pull.square()
        (tensor([1.0000, 0.5000], dtype=torch.float64), tensor([1.0000, 1.0000], dtype=torch.float64))
    """

    time: Tensor
    keep: Tensor
    pull: Tensor
    variance: Tensor

    @classmethod
    def of(cls, process: Process, grid: Tensor, data_variance: float = 1.0) -> Self:
        """Those of a grid of increasing times, (K + 1,). ValueError for one that is not, or leaves the process."""
        check_grid(grid, process)
        s, t = grid[:-1].flip(0).double(), grid[1:].flip(0).double()
        b, c, _ = process.bridge(0.0, s, t)
        scale, variance = process.transition(0.0, t)
        # b D + c x_t, D = (x_t + v C score) / a
        return cls(t, b / scale + c, b * variance / scale, reverse_variance(process, s, t, data_variance))


def reverse_variance(process: Process, s: Tensor, t: Tensor, data_variance: float) -> Tensor:
    """V' of the module, in the shape of s and t; positive unless s and data_variance are both 0."""
    if not data_variance >= 0:
        raise ValueError(f"data_variance: got {shown(data_variance)}, expected at least 0")
    factor, added = process.transition(s, t)
    if data_variance == math.inf:
        return added / factor.square()
    scale, variance = process.transition(0.0, s)
    before = scale.square() * data_variance + variance
    return before * added / (factor.square() * before + added)


def check_grid(grid: Tensor, process: Process) -> None:
    """ValueError unless it is (K + 1,) times of the process in increasing order, the last of them its horizon."""
    if grid.ndim != 1 or len(grid) < 2:
        raise ValueError(f"grid: got shape {tuple(grid.shape)}, expected (steps + 1,) times")
    if not bool((grid.diff() > 0).all()) or float(grid[0]) < 0:
        raise ValueError("grid: expected strictly increasing times from 0 or later, the data, to the noise")
    if float(grid[-1]) != process.horizon:
        raise ValueError(f"grid: got a last time of {float(grid[-1]):.6g}, expected the horizon {process.horizon:.6g}")
