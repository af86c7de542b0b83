"""Bounds from meeting times beside the exact total variation: never below it, and close to it."""

import pytest
import torch
from coupling_cases import DOUBLE
from coupling_laws import CASES, RING, check_bounds, heat_bath
from coupling_pairs import SMALL, check_mean_of_bounds, exact_bound, pair_matrix, survival, total_variation
from every_outcome import matrix_of

from samplers import Gibbs

FAST = {"ULA on a Gaussian", "random walk between two modes", "Swendsen-Wang on 4 spins", "Gibbs on 9 spins"}


@pytest.mark.parametrize("name", [one if one in FAST else pytest.param(one, marks=pytest.mark.slow) for one in CASES])
def test_bounds_are_never_below_the_exact_distance_and_near_it(name):
    check_bounds(name)


@pytest.mark.parametrize("name", SMALL)
def test_on_few_states_the_exact_bound_is_above_at_every_time(name):
    """No statistics: the law of the pair, by its matrix, to time 60."""
    _, target = SMALL[name]
    pair, alone = pair_matrix(name)
    stationary = target.log_prob(target.enumerate()).double().softmax(0)
    start = torch.zeros(len(alone), dtype=DOUBLE)
    start[-1] = 1.0
    exact = total_variation(start, alone, stationary, 60)
    for lag in (1, 2, 7, 30):
        alive = survival(pair, alone, start, lag, 600)
        bounds = torch.tensor([exact_bound(alive, lag, t) for t in range(61)], dtype=DOUBLE)
        assert bool((bounds >= exact - 1e-12).all()), lag


def test_the_mean_of_the_bounds_is_exact():
    check_mean_of_bounds()


def test_the_sweep_that_exact_laws_of_spins_are_made_of_is_the_kernels():
    torch.testing.assert_close(heat_bath(RING), matrix_of(Gibbs("sequential"), RING), atol=1e-12, rtol=0)
