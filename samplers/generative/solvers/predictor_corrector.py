"""A solver's steps, each followed by Langevin steps at the time it has reached."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from samplers.generative.solvers.base import GridSolver, Reversal, Solver
from samplers.processes.base import Process
from targets.arguments import check_integer, positive, shown


@dataclass(frozen=True, eq=False)
class PredictorCorrector(Solver):
    """After each step of the predictor from t to s > 0, Langevin steps that leave p_s as it is, up to O(step^2):

        x <- x + d C s(x, s) + sqrt(2 d) e,   e ~ N(0, C),   d = ratio V,   V C = Var(x_s | x_0, x_t)

    V is the variance of the noise of an ancestral step, on a geometric ladder of noise levels a fixed part of sigma_s^2
    as the rule of Song et al. is on average. It goes to 0 with the length of the steps: corrections by a fixed part of
    sigma_s^2 on any grid would bring in their own bias again and again, and leave half an order.
    Weak order 1, for a predictor of order 1 or more; the last step is the predictor's, without correction.
    predictor: a solver of one step after another. corrections: Langevin steps after each. ratio: positive; from 2 on
    corrections are unstable. ValueError for these.
    Song et al. 2021, https://arxiv.org/abs/2011.13456.

        >>> from samplers.generative.solvers import Ancestral, PredictorCorrector
        >>> solver = PredictorCorrector(Ancestral(steps=10), corrections=2)
        >>> solver.evaluations, solver.order
        (28, 1)
    """

    predictor: GridSolver
    corrections: int = 1
    ratio: float = 0.25

    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not isinstance(self.predictor, GridSolver) or type(self.predictor).walk is not GridSolver.walk:
            raise ValueError(
                f"predictor: got {shown(self.predictor)}, expected a solver of single steps, whose states may be moved"
            )
        check_integer(self.corrections, "corrections")
        if positive(self.ratio, "ratio") >= 2:
            raise ValueError(f"ratio: got {shown(self.ratio)}, expected less than 2, where Langevin steps are stable")

    @property
    def evaluations(self) -> int:
        """The predictor's, and one for each correction."""
        return self.predictor.evaluations + self.corrections * (self.predictor.steps - 1)

    def times(self, process: Process) -> Tensor:
        """The predictor's."""
        return self.predictor.times(process)

    def walk(self, reversal: Reversal, x: Tensor, times: list[float]) -> Iterator[Tensor]:
        """Predicted and corrected states."""
        for t, s in pairwise(times):
            x = self.predictor.step(reversal, x, t, s)
            if s > 0:
                size = self.size(reversal, t, s)
                for _ in range(self.corrections):
                    drift = size * reversal.times_covariance(reversal.score(x, s))
                    x = reversal.noised(x + drift, math.sqrt(2 * size))
            yield x

    def size(self, reversal: Reversal, t: float, s: float) -> float:
        """d after a step from t to s."""
        return self.ratio * reversal.posterior(s, t)[-1]
