"""Unbiased estimates: z-tests over 1,000 runs, and the weights of the corrections by their definition."""

import pytest
import torch
from coupling_answers import check_no_bias
from coupling_cases import row

import targets
from samplers import MALA, diagnostics
from samplers.diagnostics.couplings.unbiased import _weight


@pytest.mark.parametrize("name", ["MALA", "Gibbs", pytest.param("walk-jump", marks=pytest.mark.slow)])
def test_the_mean_of_a_thousand_runs(name):
    check_no_bias(name)


@pytest.mark.parametrize(("k", "m", "lag"), [(0, 0, 1), (0, 5, 1), (3, 9, 2), (3, 9, 7), (2, 4, 5), (10, 60, 4)])
def test_weights_count_what_they_stand_for(k, m, lag):
    """H_t = f(X_t) + sum_j f(X_{t+jL}) - f(Y_{t+(j-1)L}), averaged over t = k .. m."""
    for s in range(m + 10 * lag):
        times = sum((s - t) % lag == 0 and s - t >= lag for t in range(k, m + 1))
        assert _weight(s, k, m, lag) == pytest.approx(times / (m - k + 1))


def test_late_estimates_are_averages_of_the_chain_and_cost_little_more():
    normal = targets.Gaussian(row(2.0))
    found = diagnostics.meeting_times(MALA(0.5), normal, lag=10, pairs=100)
    late = found.unbiased(lambda x: x[:, 0])
    assert (late.k, late.m) == (int(found.times.quantile(0.9, interpolation="higher")) - 10, max(5 * late.k, 10))
    low, high = late.interval
    assert float(high - low) == pytest.approx(2 * 1.959964 * float(late.standard_error))
    assert float(late.inefficiency) == pytest.approx(float(late.estimates.var() * late.steps.mean()))
    assert "independent unbiased estimates (k" in str(late)


def test_a_constant_is_estimated_without_error():
    found = diagnostics.meeting_times(MALA(0.5), targets.Gaussian(row(2.0)), lag=3, pairs=20)
    one = found.unbiased(lambda x: torch.ones(len(x)), k=0, m=4)
    torch.testing.assert_close(one.estimates, torch.ones(20, dtype=torch.float64))
