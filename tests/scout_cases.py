"""Targets with modes that no gradient leads to, and targets of which nothing but density and score is known."""

import torch

import targets

DOUBLE = torch.float64


def gaussians(means, scales, weights):
    means, scales = torch.tensor(means, dtype=DOUBLE), torch.tensor(scales, dtype=DOUBLE)
    return targets.GaussianMixture(means, scales=scales, weights=weights)


def far_and_narrow():
    """Half N(0, 1), half N(20, 0.1^2)."""
    return gaussians([[0.0], [20.0]], [1.0, 0.1], [0.5, 0.5])


def wide_and_narrow():
    """A wide mode at -2.5 and a narrow one at 2.5 with 23.6 % of the mass, in 8 dimensions."""
    means = torch.zeros(2, 8, dtype=DOUBLE)
    means[:, 0] = torch.tensor([-2.5, 2.5])
    scales = torch.ones(2, 8, dtype=DOUBLE)
    scales[1] = 0.3
    return targets.GaussianMixture(means, scales=scales, weights=[0.764, 0.236])


class Hidden(targets.Target):
    """A target of which nothing is known but density and score."""

    def __init__(self, inner):
        super().__init__(inner.dim, dtype=inner.dtype, name="hidden")
        self.inner = inner

    def log_prob(self, x):
        return self.inner.log_prob(x)

    def log_prob_and_score(self, x):
        return self.inner.log_prob_and_score(x)
