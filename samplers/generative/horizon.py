"""The law of a conditional model at the horizon, from which its reverse process starts.

    N(a mu, a^2 S + v C),   mu <- D(a mu, T, y) from the mean of all x,   S the covariance of all x

D = E[X | x_T] of the model, which knows the mean of x given y where the noise is largest: there it hardly depends on
x_T. That of all x would be off by a times the difference of the means, with a = .08 by default. Of the covariance the
same is a^2, .006.
"""

from __future__ import annotations

import torch
from torch import Tensor

from samplers.generative.score_model import ScoreModel
from samplers.generative.trained import at_time
from targets import Gaussian, Target

ITERATIONS = 3  # each leaves of the difference a share of a^2 variance / v, about .006 by default


class RowsOfGaussians(Target):
    """A normal law for each row, with one covariance: log_prob (*batch, n, dim) -> (*batch, n), row i by the ith mean.

    gaussian: the law whose mean is moved. shift: (n, dim).
    """

    def __init__(self, gaussian: Gaussian, shift: Tensor) -> None:
        super().__init__(gaussian.dim, dtype=gaussian.dtype, device=gaussian.device, name="rows of Gaussians")
        self.gaussian, self.shift = gaussian, shift

    def log_prob(self, x: Tensor) -> Tensor:
        """(*batch, n, dim) -> (*batch, n)."""
        return self.gaussian.log_prob(x - self.shift)


def law_at_horizon(model: ScoreModel, start: Gaussian, rows: int | None) -> Target:
    """See the module. model: given its condition, one for all x where rows is None, else one for each of so many.

    start: the Gaussian of all x.
    """
    process, mean = model.process, start.mean
    horizon, scale = process.horizon, float(process.scale(process.horizon))
    centre = mean.expand(rows or 1, -1)
    with torch.no_grad():
        for _ in range(ITERATIONS):
            centre = model.clean(scale * centre, horizon)
    shift, law = scale * (centre - mean), at_time(start, process, horizon)
    if rows is not None:
        return RowsOfGaussians(law, shift)
    return Gaussian(law.mean + shift[0], covariance=law.covariance)
