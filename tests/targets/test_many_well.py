import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import targets

F64 = torch.float64


def fab(x):
    return -(x**4) + 6 * x**2 + 0.5 * x


def square(delta):
    return lambda x: -((x**2 - delta) ** 2)


CASES = {
    "fab": (targets.ManyWell(1, dtype=F64), fab),
    "delta 2": (targets.SquareWell(1, 2, 2.0, dtype=F64), square(2.0)),
    "delta 4": (targets.SquareWell(1, 2, 4.0, dtype=F64), square(4.0)),
}


def quadrature(f, weight=lambda x: 1.0, low=-8.0, high=8.0):
    return integrate.quad(lambda x: weight(x) * np.exp(f(x)), low, high, points=[-2, 0, 2], limit=500, epsabs=1e-13)[0]


@pytest.mark.parametrize("case", CASES)
def test_log_prob_is_the_formula(case):
    target, f = CASES[case]
    x = 2 * torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    torch.testing.assert_close(target.log_prob(x), f(x[:, 0]) - x[:, 1] ** 2 / 2, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_log_z_and_moments_are_those_of_adaptive_quadrature(case):
    target, f = CASES[case]
    z = quadrature(f)
    mean = quadrature(f, lambda x: x) / z
    variance = quadrature(f, lambda x: x**2) / z - mean**2
    assert target.log_z == pytest.approx(math.log(z) + 0.5 * math.log(2 * math.pi), rel=1e-10)
    assert target.mean.tolist() == pytest.approx([mean, 0.0], abs=1e-10)
    assert target.covariance.diagonal().tolist() == pytest.approx([variance, 1.0], rel=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_log_z_is_that_of_the_plane_by_the_trapezoid_rule(case):
    target, _ = CASES[case]
    axis = torch.arange(-8, 8, 0.02, dtype=F64)
    mass = target.log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * 0.02**2
    assert mass.log().item() == pytest.approx(target.log_z, rel=1e-10)


def test_the_published_masses():
    assert CASES["fab"][0].log_z == pytest.approx(10.2934797, abs=1e-7)
    assert CASES["fab"][0].right_well_mass == pytest.approx(0.844307, abs=1e-6)
    second_moment = CASES["delta 4"][0].covariance[0, 0].item()  # the mean is zero
    assert second_moment == pytest.approx(3.9341046, abs=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_exact_draws_follow_the_distribution_function(case, generator):
    target, f = CASES[case]
    x = target.sample(10_000, generator=generator).numpy()
    grid = np.linspace(-8, 8, 20_001)
    mass = integrate.cumulative_simpson(np.exp(f(grid)), x=grid, initial=0)
    assert stats.kstest(x[:, 0], lambda t: np.interp(t, grid, mass / mass[-1])).pvalue > 1e-5
    assert stats.kstest(x[:, 1], "norm").pvalue > 1e-5


def test_draws_visit_all_wells_by_their_weights(generator):
    target = targets.ManyWell(3, dtype=F64)
    x = target.sample(20_000, generator=generator)
    counts = target.mode_probabilities(x).sum(0).numpy()
    assert stats.chisquare(counts, 20_000 * target.mode_weights.numpy()).pvalue > 1e-5


@pytest.mark.parametrize(
    "target", [targets.ManyWell(3, dtype=F64), targets.SquareWell(5, 7, 2.0, dtype=F64)], ids=["fab", "square"]
)
def test_modes_are_all_distinct_stationary_maxima_in_binary_order(target):
    wells = len(target._wells)
    assert target.modes.shape == (2**wells, target.dim)
    assert target.score(target.modes).abs().max() < 1e-9
    signs = target.modes[:, target._wells] > 0
    assert signs.tolist() == [list(s) for s in itertools.product([False, True], repeat=wells)]
    assert torch.equal(target.mode_probabilities(target.modes), torch.eye(2**wells, dtype=F64))
    near = target.modes + 0.05 * torch.randn(
        len(signs), target.dim, generator=torch.Generator().manual_seed(0), dtype=F64
    )
    assert (target.log_prob(near) < target.log_prob(target.modes)).all()


def test_symmetric_wells_have_equal_weights():
    weights = targets.SquareWell(5, dtype=F64).mode_weights
    torch.testing.assert_close(weights, torch.full((32,), 1 / 32, dtype=F64), rtol=1e-9, atol=0)


def test_weights_are_products_of_the_mass_right_of_the_origin():
    target = targets.ManyWell(2, dtype=F64)
    right = quadrature(fab, low=0.0) / quadrature(fab)
    left = 1 - right
    assert target.mode_weights.tolist() == pytest.approx([left**2, left * right, left * right, right**2], rel=1e-8)


@pytest.mark.parametrize("item", ["modes", "mode_weights"])
def test_too_many_modes_are_unknown(item):
    assert item in targets.ManyWell(12).known
    assert item not in targets.ManyWell(13).known
    with pytest.raises(NotImplementedError, match=f"ManyWell: {item} is not known exactly"):
        getattr(targets.ManyWell(13), item)


@pytest.mark.parametrize("blocks", [1, 3, 16])
def test_blocks_add_up(blocks):
    assert targets.ManyWell(blocks).log_z == pytest.approx(blocks * targets.ManyWell(1).log_z, rel=1e-12)
