"""Conditions y of samples x, as a network is given them: standardised, beside a flag that says whether there is one.

    context = ((y - m) / d, 1)    given y            context = (0, 0)    given nothing: the law of x whatever y is

m, d: mean and deviations of the conditions, by the weights of their rows. Where training drops the condition of some
rows, one network learns the score of x given y and that of x, as classifier-free guidance needs. Ho and Salimans 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Generator, Tensor, nn

from samplers.generative.columns import shares_of
from samplers.generative.score_model import ScoreModel
from samplers.generative.standardisation import Standardisation


@dataclass(frozen=True, eq=False)
class Conditions:
    """What is known of the conditions of a fit.

    standardisation: by the mean and the deviations. dropped: the probability that training gave a row no condition.
    """

    standardisation: Standardisation
    dropped: float = 0.0

    @classmethod
    def of(cls, y: Tensor, shares: Tensor | None, dropped: float) -> Self:
        """From the conditions y (n, c) of all rows, of these weights, (n,) or None for equal ones."""
        wide = y.double()
        each = shares_of(wide, shares)
        mean = each @ wide
        return cls(Standardisation(mean, (each @ (wide - mean).square()).sqrt()), dropped)

    @property
    def size(self) -> int:
        """c, the numbers in a condition."""
        return len(self.standardisation.shift)

    def context(self, y: Tensor, like: Tensor) -> Tensor:
        """(*batch, c) -> (*batch, c + 1), in the dtype of `like`; standardised in float64."""
        flat = y.reshape(-1, self.size).to(device=like.device, dtype=torch.float64)
        made = torch.cat([self.standardisation.forward(flat)[0], flat.new_ones(len(flat), 1)], -1)
        return made.to(like).reshape(*y.shape[:-1], self.size + 1)

    def nothing(self, like: Tensor) -> Tensor:
        """The context of no condition, (c + 1,); ValueError for a model that has never seen it."""
        if not self.dropped:
            raise ValueError(
                "y: got None of a model that was always given a condition, expected one, or a fit with "
                "Training(drop_condition=0.1)"
            )
        return like.new_zeros(self.size + 1)

    def checked(self, y: Tensor, rows: int | None = None) -> Tensor:
        """A condition (c,), or with `rows` one for each of them, (rows, c); one clear error otherwise."""
        check_values(y, "y")
        wanted = (self.size,) if rows is None or y.ndim == 1 else (rows, self.size)
        if y.shape != wanted:
            more = f", or ({rows}, {self.size})" if rows is not None else ""
            raise ValueError(
                f"y: got shape {tuple(y.shape)}, expected ({self.size},){more}, as of the conditions fitted"
            )
        return y


def check_values(y: Tensor, argument: str) -> None:
    """TypeError for what is no tensor of a floating-point dtype, ValueError for numbers that are not finite."""
    if not isinstance(y, Tensor):
        raise TypeError(f"{argument}: got {type(y).__name__}, expected a tensor")
    if not y.is_floating_point():
        raise TypeError(
            f"{argument}: got dtype {y.dtype}, expected a floating-point dtype; labels as torch.nn.functional.one_hot "
            "makes them, .float()"
        )
    check_finite(y, argument)


def check_finite(x: Tensor, argument: str) -> None:
    """ValueError for numbers that are not finite, with the place of the first."""
    if not bool(x.isfinite().all()):
        place = tuple(int(index) for index in (~x.isfinite()).nonzero()[0])
        where = f"in row {place[0]}, column {place[1]}" if x.ndim == 2 else f"at {', '.join(map(str, place))}"
        raise ValueError(f"{argument}: got {float(x[place])} {where}, expected finite numbers")


def dropped(context: Tensor, probability: float, generator: Generator) -> Tensor:
    """Contexts (n, c + 1), with this probability those of no condition, each row by itself."""
    if not probability:
        return context
    kept = torch.rand(len(context), 1, generator=generator, device=context.device) >= probability
    return torch.where(kept, context, 0.0)


class ConditionedNetwork(nn.Module):
    """network(x, t, context) as a function of x and t: what losses, solvers and likelihoods know.

    context: (k,), the same for all x, or (n, k), a row for each row of x (*batch, n, dim), which may also come
    flattened, as (batch * n, dim). ValueError for another number of rows.
    """

    context: Tensor

    def __init__(self, network: nn.Module, context: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("context", context)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(*batch, dim) and (*batch) -> (*batch, dim)."""
        batch, context = x.shape[:-1], self.context
        if context.ndim == 1:
            return self.network(x, t, context.expand(*batch, -1))
        n = len(context)
        if batch.numel() % n or not batch:
            raise ValueError(f"x: got shape {tuple(x.shape)}, expected a multiple of {n} rows, as there are conditions")
        return self.network(x, t, context.expand(batch.numel() // n, -1, -1).reshape(*batch, -1))


def conditioned_model(model: ScoreModel, context: Tensor) -> ScoreModel:
    """The score of x given a context, (k,) or (n, k), from a model whose network takes one."""
    return ScoreModel(ConditionedNetwork(model.network, context), model.process, model.parametrisation)
