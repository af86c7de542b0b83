"""What a user reads from meeting times, checked: expectations without bias, and words where chains are stuck."""

import math

import torch
from coupling_cases import GRID, MODES, row
from scipy.stats import norm

import targets
from samplers import MALA, Gibbs, WalkJump, diagnostics
from samplers.testing import statistics
from samplers.testing.sequential_rule import sequential


def check_no_bias(name="MALA", k=1, m=6, lag=2, runs=1000):
    """z-tests of unbiased estimates, of functions whose expectation is known, in `runs` independent runs."""
    kernel, target, init = {
        "MALA": (MALA(0.4), targets.Gaussian(row(1.0, -1.0)), row(4.0, 1.0)),
        "Gibbs": (Gibbs(), GRID, row(*[1.0] * 9)),
        "walk-jump": (WalkJump(sigma=1.5, kernel=MALA(0.7, "identity"), steps=1), MODES, row(2.0)),
    }[name]
    exact = torch.cat([target.mean, (target.covariance.diagonal() + target.mean**2)[:1]]).double()
    if target.discrete:
        exact = exact[:2]

    def fn(x):
        return x[:, :2] if target.discrete else torch.cat([x, x[:, :1] ** 2], 1)

    def p_values(stage, n):
        seed = statistics.seeds(7, stage, 1)[0]
        met = diagnostics.meeting_times(kernel, target, lag=lag, pairs=2, seed=seed, init=init)
        found = met.unbiased(fn, k, m, pairs=n, seed=seed)
        z = (found.mean - exact) / found.standard_error
        return {f"mean of {i}": 2 * float(norm.sf(abs(float(value)))) for i, value in enumerate(z)}

    sequential(f"unbiased estimates of {name}", runs, p_values)


def check_unmet_pairs_are_told():
    """Two modes between which no chain moves, chains in both: bounds stay at 1, and words say why."""
    apart = targets.GaussianMixture(row([-20.0], [20.0]), scales=1.0)
    found = diagnostics.meeting_times(
        MALA(0.5), apart, lag=5, pairs=40, max_steps=60, init=lambda n, g: apart.sample(n, generator=g)
    )
    assert 0 < found.unmet < len(found.times) == 40
    assert found.mixing_time() == math.inf
    assert found.upper_bound([0, 50, 10**6]).value.tolist() == [1.0, 1.0, 1.0]
    assert "have not met within 60 steps" in str(found)
    return found
