"""A number for each of n points, estimated by independent repetitions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from targets.arguments import check_integer


@dataclass(frozen=True, eq=False)
class PointEstimates:
    """The mean of m unbiased repetitions for each of n points, with its standard error.

    repetitions: (m, n) in float64, independent from row to row. What a row draws (times, say) its points may share, so
    that errors of several points are not independent: the error of their mean is that of `mean`, from whole rows.

        >>> from samplers.generative import PointEstimates
        >>> found = PointEstimates(torch.tensor([[0.0, 2.0], [2.0, 2.0]]))
        >>> found.value, found.standard_error, found.mean
        (tensor([1., 2.]), tensor([1., 0.]), (1.5, 0.5))
    """

    repetitions: Tensor

    @classmethod
    def of(cls, repetition: Callable[[], Tensor], repetitions: int) -> Self:
        """From so many calls, 2 or more, each of which gives (n,)."""
        return cls(torch.stack([repetition() for _ in range(check_integer(repetitions, "repetitions", 2))]))

    @property
    def value(self) -> Tensor:
        """The estimate of each point, (n,)."""
        return self.repetitions.mean(0)

    @property
    def standard_error(self) -> Tensor:
        """Of `value`, (n,); NaN from a single repetition."""
        return self._error(self.repetitions)

    @property
    def mean(self) -> tuple[float, float]:
        """The mean over the points and its standard error, of the estimation alone: the points are taken as given."""
        rows = self.repetitions.mean(1)
        return float(rows.mean()), float(self._error(rows))

    @staticmethod
    def _error(repetitions: Tensor) -> Tensor:
        m = len(repetitions)
        if m == 1:
            return repetitions[0] * math.nan
        return repetitions.std(0) / math.sqrt(m)
