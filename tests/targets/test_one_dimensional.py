import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from targets.one_dimensional import Density1D


def gumbel(x):
    return x - np.exp(x)


def test_log_z_and_expectations_are_those_of_a_known_density():
    density = Density1D(gumbel, -32.0, 4.0)
    assert density.log_z == pytest.approx(0, abs=1e-13)
    first, second = density.expectation(lambda x: np.stack([x, x**2]))
    assert first == pytest.approx(-np.euler_gamma, abs=1e-11)
    assert second - first**2 == pytest.approx(np.pi**2 / 6, abs=1e-10)


def test_probability_is_the_difference_of_the_distribution_function():
    density = Density1D(gumbel, -32.0, 4.0)
    expected = np.exp(-np.exp(-1.0)) - np.exp(-np.exp(0.5))
    assert density.probability(-1.0, 0.5) == pytest.approx(expected, abs=1e-9)
    assert density.probability(-np.inf, np.inf) == pytest.approx(1, abs=1e-9)


def test_draws_follow_a_skewed_density(generator):
    draws = Density1D(gumbel, -32.0, 4.0).sample(20_000, generator=generator)
    assert stats.kstest(draws.exp().numpy(), "expon").pvalue > 1e-5


def test_draws_follow_a_density_with_kinks_and_two_modes(generator):
    density = Density1D(lambda x: -3 * np.abs(np.abs(x) - 1), -15.0, 15.0)
    draws = density.sample(20_000, generator=generator).numpy()

    def cdf(x):
        t = np.abs(x)
        half = np.where(t < 1, np.exp(3 * (t - 1)) - np.exp(-3), 2 - np.exp(-3) - np.exp(-3 * (t - 1)))
        return 0.5 + np.sign(x) * half / (2 * (2 - np.exp(-3)))

    assert cdf(np.array([50.0])) == pytest.approx(1)
    assert stats.kstest(draws, cdf).pvalue > 1e-5


def test_draws_fall_in_the_interval_and_repeat_with_the_seed():
    density = Density1D(lambda x: -0.5 * x**2, -9.0, 9.0)
    first, again = (density.sample(100, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.dtype == torch.float64
    assert first.abs().max() <= 9


@pytest.mark.parametrize("f", [gumbel, lambda x: -(x**4) + 6 * x**2 + 0.5 * x, lambda x: 10 * np.sin(20 * x) - x**2])
def test_the_envelope_is_nowhere_below_the_density(f):
    density = Density1D(f, -8.0, 4.0)
    x = np.random.RandomState(0).uniform(-8, 4, 400_000)
    cell = np.clip(np.searchsorted(density._edges, x, side="right") - 1, 0, len(density._bound) - 1)
    inside = f(x) > density._top - 60
    assert (f(x) <= density._bound[cell])[inside].all()


def test_a_density_too_sharp_for_the_cells_is_refused():
    with pytest.raises(ValueError, match="cells: 16 are too few for this density, its log rises by"):
        Density1D(lambda x: 10 * np.sin(40 * x), -5.0, 5.0, cells=16)


def test_log_z_agrees_with_adaptive_quadrature_and_a_special_function():
    def f(x):
        return -(x**4) / 4

    density = Density1D(f, -8.0, 8.0)
    assert density.log_z == pytest.approx(np.log(integrate.quad(lambda x: np.exp(f(x)), -8, 8)[0]), abs=1e-10)
    assert density.log_z == pytest.approx(np.log(np.sqrt(2) / 2 * special.gamma(0.25)), abs=1e-12)
