"""The probability flow by steps whose length is found on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from samplers.generative.solvers.base import Reversal, Solver
from samplers.processes.base import Process
from targets.arguments import check_choice, positive

ORDERS = {"RK23": 3, "RK45": 5, "DOP853": 8}


@dataclass(frozen=True, eq=False)
class AdaptiveFlow(Solver):
    """The probability flow dx/dt = a x - g^2 C s / 2 by scipy's embedded Runge-Kutta pairs.

    A step is kept where the error it estimates has a root mean square, over all coordinates of all n states in units of
    atol + rtol |x|, of at most 1. The last step, from least times the horizon to 0, is Euler's. All states share their
    steps: a state's path depends, within the tolerance, on those that are solved with it.
    The integration is in float64 on the processor, the score in the dtype and on the device of x.

    rtol, atol: the tolerance. method: "RK23", "RK45" or "DOP853", of orders 3, 5 and 8. least: a part of the horizon.
    Order: that of the method. ValueError for another method, and for what is not positive; RuntimeError where scipy
    finds no step that is short enough. Dormand and Prince 1980, https://doi.org/10.1016/0771-050X(80)90013-3.

        >>> from samplers.generative.solvers import AdaptiveFlow
        >>> from samplers.processes.linear import VP
        >>> AdaptiveFlow(rtol=1e-6).solve(lambda x, t: -x, VP(), torch.ones(1, 1))  # N(0, 1) stays
        tensor([[1.]])
    """

    rtol: float = 1e-5
    atol: float = 1e-5
    method: str = "RK45"
    least: float = 1e-4

    order: ClassVar[int] = ORDERS["RK45"]
    deterministic: ClassVar[bool] = True
    last: ClassVar[str] = "Euler's"

    def __post_init__(self) -> None:
        check_choice(self.method, "method", ORDERS)
        for name in ("rtol", "atol", "least"):
            object.__setattr__(self, name, positive(getattr(self, name), name))
        if self.least >= 1:
            raise ValueError(f"least: got {self.least:.6g}, expected a part of the horizon, less than 1")
        object.__setattr__(self, "order", ORDERS[self.method])

    @property
    def evaluations(self) -> None:
        """Decided on the way."""
        return None

    def times(self, process: Process) -> Tensor:
        """0, the time where the last step begins, and the horizon."""
        return torch.tensor([0.0, self.least * process.horizon, process.horizon], dtype=torch.float64)

    def walk(self, reversal: Reversal, x: Tensor, times: list[float]) -> Iterator[Tensor]:
        """The two states."""
        from scipy.integrate import solve_ivp

        def slope(t: float, flat: np.ndarray) -> np.ndarray:
            state = torch.from_numpy(flat).reshape(x.shape).to(x)
            return reversal.velocity(state, float(t)).double().flatten().cpu().numpy()

        begin, end, _ = times
        with torch.no_grad():
            start = x.double().flatten().cpu().numpy()
            found = solve_ivp(slope, (begin, end), start, method=self.method, rtol=self.rtol, atol=self.atol)
        if not found.success:
            raise RuntimeError(f"AdaptiveFlow: no step is short enough at t = {found.t[-1]:.6g}: {found.message}")
        x = torch.from_numpy(found.y[:, -1].copy()).reshape(x.shape).to(x)
        yield x
        yield x - end * reversal.velocity(x, end)
