"""`check_moves`: where chains start, what has moved, and how often a perfect kernel is rejected."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from kernel_cases import skewed

import samplers
import targets
from samplers.kernels import Kernel, evaluate
from samplers.kernels.gibbs import _drawn
from samplers.kernels.metropolis import always
from samplers.testing import check_moves, check_repeatable


def field():
    """Six sites with all kinds of bias."""
    return targets.Ising((6,), coupling=0.3, field=torch.tensor([0.5, -0.5, 0.0, 1.0, -1.0, 0.2]))


@dataclass(frozen=True, eq=False)
class SomeSites(Kernel):
    """A heat bath that visits sites 0 .. sites - 1."""

    sites: int

    discrete: ClassVar[bool] = True

    def step(self, target, state, generator):
        x = state.x.clone()
        for i in range(self.sites):
            sites = torch.tensor([i])
            x[:, sites] = _drawn(target, target.conditional_logits(x, sites), generator)
        return always(state, evaluate(target, x, score=False))


def within_gibbs(sites):
    """Metropolis within Gibbs in NumPy, of the spins of `field`."""
    law = field()

    def log_prob(x):
        return law.log_prob(torch.as_tensor(x).to(law.dtype)).double().numpy()

    def step(x, rng):
        for i in range(sites):
            y = x.copy()
            y[:, i] *= -1
            accepted = np.log(rng.uniform(size=len(x))) < log_prob(y) - log_prob(x)
            x = np.where(accepted[:, None], y, x)
        return x

    return step


@pytest.mark.parametrize("kernel", [SomeSites(6), within_gibbs(6), samplers.Gibbs()], ids=["own", "numpy", "house"])
def test_right_kernels_of_configurations_pass(kernel):
    assert check_moves(kernel, field(), steps=50, chains=200).passed


@pytest.mark.parametrize("kernel", [SomeSites(5), within_gibbs(5)], ids=["own", "numpy"])
def test_a_site_that_is_never_updated_is_named(kernel):
    with pytest.raises(AssertionError, match=r"1 of 6 coordinates have not changed .* \(coordinates \[5\]\)"):
        check_moves(kernel, field(), steps=50, chains=200)


def test_a_coordinate_that_is_never_updated_is_named():
    def first(x, rng):
        x[:, 0] = rng.standard_normal(len(x))
        return x

    with pytest.raises(AssertionError, match=r"1 of 2 coordinates have not changed .* \(coordinates \[1\]\)"):
        check_moves(first, targets.Gaussian([0.0, 0.0]), steps=5)


def test_a_site_that_has_one_value_need_not_change():
    pinned = targets.Ising((3,), coupling=0.0, field=torch.tensor([0.0, 0.1, 30.0]))
    assert check_moves(samplers.Gibbs(), pinned, steps=10, chains=100).passed


def test_configurations_of_no_mass_are_no_starts():
    class NotBothUp(targets.DiscreteTarget):
        def log_prob(self, x):
            return torch.where((x > 0).all(-1), -torch.inf, -0.5 * x[..., 0])

    assert check_moves(samplers.Gibbs(), NotBothUp(2, [-1.0, 1.0]), steps=10, chains=100).passed


def test_other_temperatures_of_configurations_are_seen():
    hot = targets.Ising((4, 4), coupling=0.2)

    class Hot(samplers.Gibbs):
        def step(self, target, state, generator):
            return super().step(hot, state, generator)

    with pytest.raises(AssertionError, match="after 20 steps from one configuration the log-density's law"):
        check_moves(Hot(), targets.Ising((4, 4), coupling=0.4), steps=20)


def test_repeatability_on_configurations_without_exact_draws():
    check_repeatable(samplers.Gibbs(), targets.Ising((5, 5), coupling=0.3))


def exact(x, generator):
    """Exact draws of `skewed`, whatever x is: a perfect kernel."""
    return skewed().sample(len(x), generator=generator)


@pytest.mark.parametrize("chains", [10, 50, 100])
def test_a_perfect_kernel_is_not_rejected_for_being_few_chains(chains):
    """At 1e-5 a false alarm in these 100 runs has a probability of 0.001."""
    for seed in range(100):
        check_moves(exact, skewed(), chains=chains, steps=1, seed=seed)


def test_power_with_the_usual_number_of_chains():
    """A quarter of the chains in the tail is seen whatever the seed: 0.25 - 0.1 is more than chance at 1e-5, 0.11."""

    def quarter(x, generator):
        y = exact(x, generator)
        y[: len(y) // 4, 0] += 8.0
        return y

    for seed in range(10):
        with pytest.raises(AssertionError, match=r"still 0.2\d off \(Kolmogorov distance, at most 0.1 and 0.11"):
            check_moves(quarter, skewed(), steps=1, seed=seed)


def test_starts_without_density_are_an_error():
    positive = targets.with_truth(
        targets.LogDensity(lambda x: torch.where(x[:, 0] > 0, -x[:, 0], -torch.inf), 1, dtype=torch.float64)
    )
    with pytest.raises(ValueError, match="distance: .* chains would start where .* has no density, 2 spreads"):
        check_moves(samplers.RandomWalkMetropolis(1.0), positive, steps=5)
