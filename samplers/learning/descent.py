"""Steps of Adam on parameters, and the average of these over iterations.

    m <- m + (1 - keep) (p - m),   keep = min(average, (1 + i) / (10 + i)) after iteration i

Gradients longer than `clip` are shortened, and an iteration whose loss or gradient is not finite is skipped.
Kingma and Ba 2015; Polyak and Juditsky 1992.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Group:
    """Parameters that are learned at a share of the rate; alone: neither shortened with the others nor averaged."""

    parameters: Sequence[Tensor]
    share: float = 1.0
    alone: bool = False


class Stepped(NamedTuple):
    """The norm of the gradient before it was shortened, and whether the iteration was skipped."""

    gradient: float
    skipped: bool


class Descent:
    """The optimiser between two iterations.

    average: of the parameters over iterations, a number in [0, 1), None for none. clip: largest norm of the gradient.
    taken: iterations so far.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        learning_rate: float,
        *,
        clip: float = 1.0,
        average: float | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self.learning_rate, self.clip, self.average, self.taken = learning_rate, clip, average, 0
        self.parameters = [p for group in groups if not group.alone for p in group.parameters]
        self.every = [p for group in groups for p in group.parameters]
        kept = [{"params": list(group.parameters), "share": group.share} for group in groups if group.parameters]
        self.optimiser = torch.optim.Adam(kept, lr=learning_rate, betas=betas)
        self.begin_average()

    def begin_average(self) -> None:
        """The average is what the parameters are now."""
        self.averages = [] if self.average is None else [p.detach().clone() for p in self.parameters]

    def set_rate(self, share: float) -> None:
        """A share of the learning rate from now on."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * share * group["share"]

    @property
    def rate(self) -> float:
        """That of the first group."""
        return float(self.optimiser.param_groups[0]["lr"])

    def clear(self) -> None:
        """Before gradients are added up."""
        self.optimiser.zero_grad(set_to_none=True)

    def step(self, loss: float) -> Stepped:
        """One iteration with the gradients that are there, of a loss with this value."""
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.clip))
        skipped = not (math.isfinite(loss) and math.isfinite(norm))
        if not skipped:
            self.optimiser.step()
            if self.average is not None:
                keep = min(self.average, (1 + self.taken) / (10 + self.taken))
                torch._foreach_lerp_(self.averages, [p.detach() for p in self.parameters], 1 - keep)
        self.taken += 1
        return Stepped(norm, skipped)

    def averaged(self) -> dict[int, Tensor]:
        """The average of each parameter, by the parameter's id."""
        return {id(p): value for p, value in zip(self.parameters, self.averages, strict=True)}

    def state_dict(self) -> dict[str, Any]:
        """All but the parameters themselves."""
        return {"optimiser": self.optimiser.state_dict(), "average": self.averages, "taken": self.taken}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from there."""
        self.optimiser.load_state_dict(saved["optimiser"])
        self.averages = [value.to(p.device) for value, p in zip(saved["average"], self.parameters, strict=False)]
        self.taken = saved["taken"]
