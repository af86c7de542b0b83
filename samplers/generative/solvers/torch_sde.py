"""torchsde's solvers of the reverse SDE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from samplers.generative.score import noise_of
from samplers.generative.solvers.base import GridSolver, Reversal
from samplers.generative.solvers.reverse_sde import EulerMaruyama
from targets.arguments import check_choice

# name: weak order, evaluations a step, interpretation; the noise is additive, for which both are one
METHODS = {
    "euler": (1, 1, "ito"),
    "milstein": (1, 1, "ito"),
    "srk": (2, 2, "ito"),
    "heun": (2, 2, "stratonovich"),
    "midpoint": (2, 2, "stratonovich"),
}


@dataclass(frozen=True, eq=False)
class TorchSDE(GridSolver):
    """The reverse SDE dx = (a x - g^2 C s) dt + g dW by a method of torchsde, one of its steps from time to time.

        srk     x_s = x_t - h (f(x_t, t) + 2 f(u, t - 3h/4)) / 3 + g e,   f the drift above   (Roessler's SRA1)

    method: "euler", "milstein" (which is the same for additive noise), "srk", "heun" or "midpoint"; the weak order is 1
    for the first two and 2 for the others, which make two evaluations a step. The last step is Euler-Maruyama's. Equal
    steps of time. steps, grid, and errors raised: as of `GridSolver`; ValueError for another method.
    Li et al. 2020, https://arxiv.org/abs/2001.01328; Roessler 2010, https://doi.org/10.1137/09076636X.

        >>> from samplers.generative.solvers import TorchSDE
        >>> TorchSDE(steps=10).order, TorchSDE(steps=10, method="euler").order
        (2, 1)
    """

    method: str = "srk"

    order: ClassVar[int] = 2
    a_step: ClassVar[int] = 2
    fewest: ClassVar[int] = 2
    last: ClassVar[str] = "Euler-Maruyama's"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.method, "method", METHODS)
        order, a_step, _ = METHODS[self.method]
        self.says(order=order, a_step=a_step)

    def step(self, reversal: Reversal, x: Tensor, t: float, s: float) -> Tensor:
        """One step of the method."""
        if s == 0:
            return EulerMaruyama.step(EulerMaruyama(1), reversal, x, t, s)
        import torchsde

        generator, h = reversal.source, t - s
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        motion = torchsde.BrownianInterval(
            0.0,
            h,
            size=tuple(x.shape),
            dtype=x.dtype,
            device=x.device,
            entropy=seed,
            levy_area_approximation="space-time",
        )
        ends = torch.tensor([0.0, h], dtype=torch.float64, device=x.device)
        system = _Backward(reversal, x, t, METHODS[self.method][2])
        return torchsde.sdeint(system, x, ends, bm=motion, method=self.method, dt=h)[-1]


class _Backward:
    """The reverse SDE in the time that has passed since t, as torchsde asks for it."""

    noise_type = "additive"

    def __init__(self, reversal: Reversal, x: Tensor, t: float, kind: str) -> None:
        self.reversal, self.t, self.sde_type = reversal, t, kind
        self.first = -reversal.velocity(x, t, score_weight=1.0)  # torchsde asks for it twice
        unit = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        # noise of covariance C is a linear map of white noise: the columns of that map, for every state
        self.factor = noise_of(reversal.process).colour(unit).mT.expand(len(x), -1, -1)

    def f(self, passed: Any, y: Tensor) -> Tensor:
        """Backward drift."""
        if float(passed) == 0:
            return self.first
        return -self.reversal.velocity(y, self.t - float(passed), score_weight=1.0)

    def g(self, passed: Any, y: Tensor) -> Tensor:
        """(n, dim, dim)."""
        del y
        return float(self.reversal.process.diffusion(self.t - float(passed))) * self.factor
