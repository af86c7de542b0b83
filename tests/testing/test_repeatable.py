"""Same seed, same bits; and how far off a failure says that something is."""

import random
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import samplers
import targets
from samplers.testing import check_invariance, check_repeatable, check_reversible, check_unbiased_z, strategies
from samplers.testing.apart import in_words, of_ranks, of_signs

DOUBLE = torch.float64


def line():
    return targets.Gaussian(torch.zeros(1, dtype=DOUBLE), scale=1.0)


@pytest.mark.parametrize("kernel", [samplers.MALA(0.3), samplers.HMC(0.3), samplers.ULA(0.1), samplers.Barker(0.5)])
def test_kernels_of_the_house_repeat_themselves(kernel):
    check_repeatable(kernel, line())


@dataclass(frozen=True, eq=False)
class Tuned(samplers.MALA):
    """Its step size grows from call to call."""

    calls: list = field(default_factory=list)

    def step(self, target, state, generator):
        self.calls.append(1)
        return samplers.MALA.step(replace(self, step_size=0.1 + 0.01 * len(self.calls)), target, state, generator)


class Global(samplers.ULA):
    def step(self, target, state, generator):
        state, info = super().step(target, state, generator)
        return replace(state, x=state.x + torch.randn_like(state.x)), info


def numpys(x, rng):
    del rng
    return x + np.random.standard_normal(x.shape)


def pythons(x, generator):
    return x + random.random() + 0 * torch.randn(x.shape, generator=generator, dtype=x.dtype)


def seeds(x, generator):
    torch.manual_seed(0)
    return x + torch.randn(x.shape, generator=generator, dtype=x.dtype)


def entropy(x, rng):
    del rng
    return x + np.random.default_rng().standard_normal(x.shape)


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (
            Tuned(0.1),
            r"Tuned on Gaussian: two runs with the same seed differ after step 1 in \d+ of 100 chains \(.*, by up to",
        ),
        (Global(0.1), "have changed the state of torch's global generator"),
        (numpys, "have changed the state of NumPy's global generator"),
        (pythons, "have changed the state of Python's global generator"),
        (seeds, "have changed the state of torch's global generator"),
        (entropy, "differ after step 1 in 100 of 100 chains .*draws from a generator that was not passed"),
    ],
)
def test_those_that_do_not_are_named(kernel, said):
    states = torch.get_rng_state(), np.random.get_state()[2], random.getstate()
    try:
        with pytest.raises(AssertionError, match=said):
            check_repeatable(kernel, line())
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[2])


def test_a_target_without_exact_draws_will_do():
    check_repeatable(samplers.MALA(0.1), targets.LogDensity(lambda x: -x.square().sum(-1), dim=2))


# How far off


def moved(by, times):
    """A Gaussian chain whose ends are off by that much: it forgets where it was."""

    def step(x, generator):
        return by + times * torch.randn(x.shape, generator=generator, dtype=x.dtype)

    return step


@pytest.mark.parametrize(
    ("by", "times", "said"),
    [
        (0.1, 1.0, r"Mean of x\[0\] is too large by 0\.(09|1)\d* \(\d+\.\d standard errors\)"),
        (-0.1, 1.0, r"Mean of x\[0\] is too small by 0\.(09|1)\d* "),
        (0.0, 1.1, r"[Vv]ariance of x\[0\] is too large by 2\d % "),
        (0.0, 0.9, r"[Vv]ariance of x\[0\] is too small by (19|18|20) % "),
        (0.0, 3.0, r"[Vv]ariance of x\[0\] is too large by a factor of [89]\."),
    ],
)
def test_a_failure_says_how_far_and_in_which_direction(by, times, said):
    with pytest.raises(AssertionError, match=said):
        check_invariance(moved(by, times), line(), chains=20_000, seed=0)


def test_where_mean_and_variance_agree_the_shares_are_told():
    g = torch.Generator().manual_seed(0)
    signs = torch.where(torch.rand(20_000, generator=g) < 0.5, -1.0, 1.0)
    said = in_words(signs.double(), torch.randn(20_000, generator=g, dtype=DOUBLE), "x[0]")
    assert "% of them, and" in said
    assert said.startswith("too ")


def test_values_that_are_not_finite_are_counted():
    a = torch.tensor([0.0, torch.nan, torch.inf, 1.0])
    assert in_words(a, torch.zeros(4), "f") == "f is not finite in 2 of 4 chains"


def test_ranks_and_signs():
    assert of_ranks(torch.full((1000,), 9), 10, "f").startswith("rank of f is too high by 4.5 of 4.5 (")
    up = torch.cat([torch.ones(600), -torch.ones(400)])
    assert of_signs(up, "g") == (
        "f(x_0, x_1) exceeds f(x_1, x_0) in 60.00 % of the pairs for f = g, expected 50 % (6.3 standard errors)"
    )


def test_a_kernel_that_is_not_reversible_is_told_how_far():
    def onward(x, generator):  # to the right by a rotation of the ranks: invariant for N(0, 1), one way
        del generator
        return torch.special.ndtri((torch.special.ndtr(x) + 0.1) % 1)

    with pytest.raises(AssertionError, match=r"% of the (pairs|ranks)|rank of x\[0\] is too"):
        check_reversible(onward, line(), chains=4_000, seed=0)


class TooLarge:
    def sample(self, target, *, draws, seed):
        g = torch.Generator().manual_seed(seed)
        value = float(torch.randn((), generator=g, dtype=DOUBLE)) * 0.05 + 0.1
        return samplers.Draws(torch.zeros(1, draws, target.dim), log_z=samplers.LogZ(value, 0.05))


def test_a_biased_z_is_told_in_per_cent():
    with pytest.raises(AssertionError, match=r"Z-hat is too large by (9|10|11)\.\d+% of Z on average \(\d+"):
        check_unbiased_z(TooLarge(), line(), runs=200, draws=2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(target=strategies.targets(dim=2), single=strategies.targets(dim=1), many=strategies.targets(dim=5))
def test_strategies_of_one_dimension(target, single, many):
    assert (target.dim, single.dim, many.dim) == (2, 1, 5)
    assert all("sample" in one.known for one in (target, single, many))


def test_a_wrong_dimension_is_an_error():
    with pytest.raises(ValueError, match="dim: got 0, expected an integer of at least 1"):
        strategies.targets(dim=0).example()
