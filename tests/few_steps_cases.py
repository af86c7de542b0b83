"""The error of few steps without sampling: in one dimension the probability flow carries quantiles to quantiles.

W2 of a solver's draws is the root of int (Q(u) - T(Q_h(u)))^2 du, with Q and Q_h the quantiles of a mixture and of the
same noised up to the horizon, T the solver's map, whose values are put in order. Mixtures have unit variance.
"""

import torch

from samplers.processes.linear import VE, VP

F64 = torch.float64
POINTS = 1000
PROCESSES = {"VP, beta to 20": VP(), "VE, sigma to 50": VE(0.01, 50.0)}
MIXTURES = {  # means, deviations, weights, before they are standardised
    "two": ([-1.0, 1.0], [0.3, 0.3], [0.5, 0.5]),
    "unequal": ([-2.0, 1.0], [0.3, 0.6], [0.3, 0.7]),
    "narrow": ([-1.0, 0.0, 2.0], [0.1, 0.3, 0.2], [0.2, 0.5, 0.3]),
    "skew": ([0.0, 1.5], [0.3, 1.2], [0.6, 0.4]),
}


class Line:
    """A mixture of Gaussians on the line, with mean 0 and variance 1."""

    def __init__(self, means, deviations, weights):
        m, s, self.w = (torch.tensor(values, dtype=F64) for values in (means, deviations, weights))
        m = m - self.w @ m
        deviation = (self.w @ (s.square() + m.square())).sqrt()
        self.m, self.s = m / deviation, s / deviation

    def noised(self, process, t):
        """Means and deviations at a time."""
        scale, variance = process.transition(0.0, t)
        return scale * self.m, (scale**2 * self.s.square() + variance).sqrt()

    def quantiles(self, process, t):
        """At the middles of POINTS equal parts, by bisection."""
        u = (torch.arange(POINTS, dtype=F64) + 0.5) / POINTS
        means, deviations = self.noised(process, t)
        low = (means - 8 * deviations).min().expand(POINTS)
        high = (means + 8 * deviations).max().expand(POINTS)
        for _ in range(80):
            middle = 0.5 * (low + high)
            below = torch.special.ndtr((middle[:, None] - means) / deviations) @ self.w < u
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return 0.5 * (low + high)

    def score(self, process):
        def score(x, t):
            means, deviations = self.noised(process, t)
            away = (x - means) / deviations
            share = (self.w.log() - deviations.log() - 0.5 * away.square()).softmax(-1)
            return -(share * away / deviations).sum(-1, keepdim=True)

        return score


def exact_w2(solver, process, mixture):
    """Between the mixture and what the solver makes of its noised law."""
    law = Line(*MIXTURES[mixture])
    ends = solver.solve(law.score(process), process, law.quantiles(process, process.horizon)[:, None])[:, 0]
    return float((ends.sort().values - law.quantiles(process, 0.0)).square().mean().sqrt())
