"""The probability flow by steps of fixed length.

    dx/dt = f(x, t) = a x - g^2 C s / 2,   backward from the horizon

Nothing is drawn: a state at the horizon leads to one draw of the data. Song et al. 2021.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from samplers.generative.solvers.base import GridSolver, Reversal


class Euler(GridSolver):
    """Euler's steps of the probability flow:

        x_s = x_t + (s - t) f(x_t, t)

    Order 1; one evaluation a step; the last step is as the others. Equal steps of time.
    steps, grid, and errors raised: as of `GridSolver`. Song et al. 2021, https://arxiv.org/abs/2011.13456.

        >>> from samplers.generative.solvers import Euler
        >>> from samplers.processes.linear import VP
        >>> Euler(steps=10).solve(lambda x, t: -x, VP(), torch.ones(1, 1))  # N(0, 1) stays, and so does every state
        tensor([[1.]])
    """

    order: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def step(self, reversal: Reversal, x: Tensor, t: float, s: float) -> Tensor:
        """x_s of the equation above."""
        return x + (s - t) * reversal.velocity(x, t)


class Heun(Euler):
    """Heun's steps of the probability flow:

        u = x_t + (s - t) f(x_t, t),   x_s = x_t + (s - t) (f(x_t, t) + f(u, s)) / 2

    Order 2; two evaluations a step, and one in the last, which is Euler's. Equal steps of time.
    steps: at least 2. steps, grid, and errors raised: as of `GridSolver`.
    Song et al. 2021, https://arxiv.org/abs/2011.13456.

        >>> from samplers.generative.solvers import Heun
        >>> from samplers.processes.linear import VP
        >>> Heun(steps=10).solve(lambda x, t: -x, VP(), torch.ones(1, 1))
        tensor([[1.]])
    """

    order: ClassVar[int] = 2
    a_step: ClassVar[int] = 2
    fewest: ClassVar[int] = 2
    last: ClassVar[str] = "Euler's"

    def step(self, reversal: Reversal, x: Tensor, t: float, s: float) -> Tensor:
        """x_s of the equation above."""
        slope = reversal.velocity(x, t)
        end = x + (s - t) * slope
        return end if s == 0 else x + 0.5 * (s - t) * (slope + reversal.velocity(end, s))
