"""Targets with modes that no gradient leads to, and targets of which nothing but density and score is known."""

import math

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


def bent(narrow=(5.0, -3.0), sds=(0.4, 0.2)):
    """A curved ridge with 41 % of the mass, a narrow mode with 22.7 %, a Student bump with the rest; log Z is zero."""
    at, sd = torch.tensor(narrow, dtype=DOUBLE), torch.tensor(sds, dtype=DOUBLE)
    bump = torch.tensor([-4.0, 6.0], dtype=DOUBLE)

    def log_prob(x):
        x = x.to(DOUBLE)
        flat = x[..., 1] - 0.5 * (x[..., 0].square() - 4)
        ridge = -0.5 * (x[..., 0] / 2).square() - 0.5 * (flat / 0.4).square() - math.log(2 * math.pi * 2 * 0.4)
        peak = -0.5 * ((x - at) / sd).square().sum(-1) - sd.log().sum() - math.log(2 * math.pi)
        student = -2.5 * torch.log1p(((x - bump) / 0.8).square().sum(-1) / 3) - math.log(2 * math.pi * 0.8**2)
        parts = [math.log(0.41) + ridge, math.log(0.227) + peak, math.log(0.363) + student]
        return torch.stack(parts).logsumexp(0)

    return targets.LogDensity(log_prob, 2, dtype=DOUBLE)
