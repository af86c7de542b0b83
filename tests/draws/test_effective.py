"""ESS and R-hat of many scalars at once, held against ArviZ's, one by one."""

import numpy as np
import pytest
import torch

from samplers.draws import estimates
from samplers.draws.effective import Effective
from samplers.draws.ties import joined_draws

THEIRS = {
    "bulk": lambda values: estimates.ess(values, "bulk"),
    "tail": lambda values: estimates.ess(values, "tail"),
    "mean": lambda values: estimates.ess(values, "mean"),
    "r_hat": lambda values: estimates.r_hat(values, "rank"),
}


def autoregressive(chains, draws, correlation, generator):
    x = torch.randn(chains, draws, generator=generator, dtype=torch.float64)
    for t in range(1, draws):
        x[:, t] = correlation * x[:, t - 1] + (1 - correlation**2) ** 0.5 * x[:, t]
    return x


def cases(chains, draws):
    """Slow, alternating, heavy-tailed, of few values, apart, far from zero, and one that only the last draw changes."""
    generator = torch.Generator().manual_seed(chains + draws)
    normal = torch.randn(chains, draws, generator=generator, dtype=torch.float64)
    late = torch.zeros(chains, draws, dtype=torch.float64)
    late[-1, -1] = 1.0
    return torch.stack(
        [
            *(autoregressive(chains, draws, c, generator) for c in (0.97, 0.5, 0.0, -0.6, -0.95)),
            normal / torch.randn(chains, draws, generator=generator, dtype=torch.float64),
            normal.round(),
            normal.sign(),
            normal + torch.arange(chains, dtype=torch.float64)[:, None],
            1e6 + normal.cumsum(1),
            late,
        ],
        -1,
    )


@pytest.mark.parametrize(("chains", "draws"), [(1, 4), (2, 5), (1, 101), (4, 7), (4, 250), (7, 64), (64, 33)])
@pytest.mark.parametrize("name", THEIRS)
def test_they_are_those_of_arviz(name, chains, draws):
    x = cases(chains, draws)
    found = getattr(Effective(joined_draws(x).movedim(-1, 0)), name)
    if name == "r_hat" and chains == 1:
        return  # ArviZ gives none of one chain, and nobody asks for it here
    np.testing.assert_allclose(found.numpy(), THEIRS[name]({"x": x})["x"], rtol=1e-8)
