"""What a reverse solver is: a step from t to s < t, made along a grid from the horizon, the noise, to 0, the data.

    dx = (a x - g^2 C s) dt + g dW        run backward: the reverse SDE (Anderson 1982)
    dx = (a x - g^2 C s / 2) dt           the probability flow, of the same marginals (Song et al. 2021)

s(x, t) = grad log p_t(x), dW ~ N(0, C dt); the process is that of `samplers.processes`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

from torch import Generator, Tensor

from samplers.generative.score import Score, noise_of, shown
from samplers.generative.solvers.reversal import Reversal, check_states
from samplers.processes import grids
from samplers.processes.base import Process
from targets.arguments import check_integer

LEAST = 1e-3  # of the horizon: the time before 0 in grids of log-SNR steps


class Solver(ABC):
    """Draws of the data from states at the horizon: a frozen dataclass with `solve`.

    order: of a solver that draws noise, its weak order (of moments); of one that does not, its global order. Both as
    steps of a smooth grid are halved whose time before 0, where the last step begins, stays where it is.
    deterministic: no noise is drawn. last: how the step to t = 0 is made, where no score is asked for.
    An instance whose fields decide these says so itself. evaluations: scores of all n states that one `solve` asks for;
    None where it is decided on the way.

    A subclass writes `times` and `walk`.

        >>> from samplers.generative.solvers import DDIM, Heun
        >>> Heun.order, Heun.deterministic, Heun(steps=10).evaluations
        (2, True, 19)
        >>> DDIM(steps=10, eta=1.0).deterministic
        False
    """

    order: ClassVar[int]
    deterministic: ClassVar[bool] = False
    last: ClassVar[str] = "as the others"

    @property
    @abstractmethod
    def evaluations(self) -> int | None:
        """Scores of all states that `solve` asks for."""

    @abstractmethod
    def times(self, process: Process) -> Tensor:
        """The times, increasing from 0 to the horizon, at which states are known."""

    @abstractmethod
    def walk(self, reversal: Reversal, x: Tensor, times: list[float]) -> Iterator[Tensor]:
        """The states at times[1:], which decrease from times[0], where it is x."""

    def solve(
        self,
        score: Score,
        process: Process,
        x: Tensor,
        generator: Generator | None = None,
        *,
        trajectory: bool = False,
    ) -> Tensor:
        """The state at t = 0 that x (n, dim), at the horizon, leads to, in its dtype and on its device.

        score: (x, t) -> (n, dim) for a number t > 0. generator: for what draws noise. trajectory: all states instead,
        (times, n, dim), from the horizon to 0: those at `times(process)`, in reverse.
        ValueError for x of another shape or not finite, noise of another dimension, a grid that does not end at the
        horizon, and a score of another shape or not finite.
        """
        check_states(x)
        noise_of(process).check(x.shape[-1])
        times = self.times(process).flip(0).tolist()
        reversal = Reversal(score, process, generator)
        states = self.walk(reversal, x, times)
        if not trajectory:
            (last,) = deque(states, maxlen=1)
            return last
        path = x.new_empty(len(times), *x.shape)
        path[0] = x
        for k, state in enumerate(states, 1):
            path[k] = state
        return path


@dataclass(frozen=True, eq=False)
class GridSolver(Solver):
    """A solver of one step after another.

    steps: of the grid, the last one to t = 0 among them; at least `fewest`. grid: steps + 1 times, increasing from 0 to
    the horizon, in place of the solver's own (`samplers.processes.grids`).
    ValueError for too few steps for the order, and for a grid of another length, or that does not increase from 0.

    A subclass writes `step`, `own_grid` where equal steps of time do not fit it, and `a_step` where a step asks for
    several scores.

        >>> from samplers.generative.solvers import Euler
        >>> from samplers.processes import grids
        >>> from samplers.processes.linear import VP
        >>> Euler(steps=2).times(VP())
        tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64)
        >>> Euler(steps=2, grid=grids.cosine(2)).times(VP())[1] < 0.5
        tensor(True)
    """

    steps: int
    grid: Tensor | None = field(default=None, kw_only=True)

    fewest: ClassVar[int] = 1
    a_step: ClassVar[int] = 1  # evaluations of the score, but one in the last step

    def __post_init__(self) -> None:
        if check_integer(self.steps, "steps") < self.fewest:
            raise ValueError(
                f"steps: got {self.steps}, expected at least {self.fewest}: with fewer, no step of "
                f"{type(self).__name__} is of order {self.order}"
            )
        if self.grid is not None:
            _check_grid(self.grid, self.steps)

    def says(self, **declared: bool | int) -> None:
        """What this instance declares where its fields decide it."""
        for name, value in declared.items():
            object.__setattr__(self, name, value)

    @property
    def evaluations(self) -> int:
        """`a_step` a step, and one in the last."""
        return self.a_step * (self.steps - 1) + 1

    def own_grid(self, process: Process) -> Tensor:
        """The grid where none is given."""
        return grids.uniform(self.steps, process.horizon)

    def times(self, process: Process) -> Tensor:
        if self.grid is None:
            return self.own_grid(process)
        grid = self.grid.double().cpu()
        if float(grid[-1]) != process.horizon:
            raise ValueError(
                f"grid: got times that end at {float(grid[-1]):.9g}, expected the horizon of the process, "
                f"{process.horizon:.9g}"
            )
        return grid

    @abstractmethod
    def step(self, reversal: Reversal, x: Tensor, t: float, s: float) -> Tensor:
        """The state at s < t, of x at t."""

    def walk(self, reversal: Reversal, x: Tensor, times: list[float]) -> Iterator[Tensor]:
        for t, s in pairwise(times):
            x = self.step(reversal, x, t, s)
            yield x


class LogSNR(GridSolver):
    """A solver whose coefficients are those of a_t and sigma_t alone, in equal steps of log-SNR.

    The time before 0 is LEAST of the horizon, and the state at 0 is the denoised mean D there.
    steps: at least 2. steps, grid, and errors raised: as of `GridSolver`.

        >>> from samplers.generative.solvers import DPMSolver1
        >>> from samplers.processes.linear import VP
        >>> DPMSolver1(steps=3).times(VP())
        tensor([0.0000, 0.0010, 0.3046, 1.0000], dtype=torch.float64)
    """

    fewest: ClassVar[int] = 2
    last: ClassVar[str] = "the denoised mean"

    def own_grid(self, process: Process) -> Tensor:
        return grids.log_snr(process, self.steps, LEAST * process.horizon)


def _check_grid(grid: Tensor, steps: int) -> None:
    if not isinstance(grid, Tensor) or grid.shape != (steps + 1,):
        raise ValueError(f"grid: got {shown(grid)}, expected ({steps + 1},), the times of {steps} steps")
    if float(grid[0]) != 0:
        raise ValueError(f"grid: got times from {float(grid[0]):.6g} on, expected them from 0 on")
    if not bool((grid.diff() > 0).all()):
        raise ValueError("grid: got times that do not increase, expected them to increase from 0 to the horizon")
