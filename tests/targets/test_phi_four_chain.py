import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from scipy import stats

import targets
from targets.base import differentiate
from targets.chain_transfer import ChainTransfer, _clenshaw_curtis, _interpolate

F64 = torch.float64
SLIPS = {b: targets.PhiFourChain(b=b, dtype=F64) for b in (0.0, 0.05)}
SHORT = {
    "three sites": targets.PhiFourChain(3, 0.5, 0.2, 2.0, dtype=F64),
    "loose": targets.PhiFourChain(3, 0.1, -0.3, 4.0, dtype=F64),
    "stiff": targets.PhiFourChain(2, 3.0, 0.1, 5.0, dtype=F64),
    "one site": targets.PhiFourChain(1, 1.0, 0.4, 3.0, dtype=F64),
}


def tensor_quadrature(target, nodes=160, reach=4.5):
    """Points, and weights times the density, on a product grid of the trapezoid rule."""
    axis = torch.linspace(-reach, reach, nodes, dtype=F64)
    points = torch.cartesian_prod(*[axis] * target.dim).reshape(-1, target.dim)
    return points, target.log_prob(points).exp() * (axis[1] - axis[0]) ** target.dim


def test_energy_is_the_published_formula():
    target = targets.PhiFourChain(4, 0.3, 0.7, 5.0, dtype=F64)
    x = np.random.default_rng(0).normal(size=(6, 4))
    padded = np.pad(x, ((0, 0), (1, 1)))
    expected = sum(0.3 * 4 * (padded[:, i + 1] - padded[:, i]) ** 2 / 2 for i in range(5))
    expected = expected + sum((1 - x[:, i] ** 2) ** 2 / 4 + 0.7 * x[:, i] for i in range(4)) / (0.3 * 4)
    np.testing.assert_allclose(target.energy(torch.from_numpy(x)).numpy(), expected, rtol=1e-13)
    np.testing.assert_allclose(target.log_prob(torch.from_numpy(x)).numpy(), -5 * expected, rtol=1e-13)


@pytest.mark.parametrize("target", [*SHORT.values(), SLIPS[0.05]], ids=[*SHORT, "slips"])
def test_closed_form_score_is_that_of_automatic_differentiation(target):
    x = torch.randn(5, target.dim, generator=torch.Generator().manual_seed(0), dtype=F64)
    value, score = differentiate(target.log_prob, x, target.name)
    torch.testing.assert_close(target.log_prob_and_score(x), (value, score), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", SHORT)
def test_log_z_and_moments_are_those_of_tensor_quadrature(name):
    target = SHORT[name]
    x, mass = tensor_quadrature(target)
    assert target.log_z == pytest.approx(mass.sum().log().item(), abs=1e-10)
    mean = mass @ x / mass.sum()
    torch.testing.assert_close(target.mean, mean, rtol=0, atol=1e-10)
    covariance = (x - mean).mT @ (mass[:, None] * (x - mean)) / mass.sum()
    torch.testing.assert_close(target.covariance, covariance, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("b", "log_z", "square", "ratio", "mean"),
    [(0.0, -196.9122208, 0.69223325, 0.0, 0.0), (0.05, -189.6410341, 0.74480648, 15.5665, -0.812755)],
)
def test_the_published_values(b, log_z, square, ratio, mean):
    target = SLIPS[b]
    assert target.log_z == pytest.approx(log_z, abs=6e-8)
    second = target.covariance.diagonal() + target.mean.square()
    assert second.mean().item() == pytest.approx(square, abs=6e-9)
    assert target.log_weight_ratio == pytest.approx(ratio, abs=6e-5)
    assert target.mean.mean().item() == pytest.approx(mean, abs=6e-7)


@pytest.mark.parametrize("target", [SHORT["loose"], SHORT["stiff"], SLIPS[0.05]], ids=["loose", "stiff", "slips"])
def test_twice_the_cells_change_nothing(target):
    transfer = target._transfer
    cells = len(transfer.centres)
    finer = ChainTransfer(transfer._f, target.dim, transfer._stiffness, 0.5 * cells * transfer.spacing, 2 * cells)
    assert finer.log_z == pytest.approx(transfer.log_z, abs=1e-11)
    np.testing.assert_allclose(finer.second_moments, transfer.second_moments, rtol=1e-11, atol=1e-12)


def test_messages_are_interpolated_to_ten_digits():
    transfer, random = SLIPS[0.0]._transfer, np.random.default_rng(0)
    for site in (1, 50, 99):
        cell = random.choice(len(transfer.centres), 500, p=transfer.marginals[site])
        t = random.random(500) - 0.5
        x = transfer.centres[cell] + t * transfer.spacing
        direct = transfer._f(x) + transfer._integrate(transfer._messages[site - 1], x)
        np.testing.assert_allclose(_interpolate(transfer._interpolated[site][cell], t), direct, rtol=0, atol=1e-10)


def test_interpolation_and_quadrature_are_exact_for_polynomials_of_degree_eight():
    points = -0.5 * np.cos(np.pi * np.arange(9) / 8)
    t = np.array([0.3, 0.1, 0.0])
    np.testing.assert_allclose(_interpolate(np.tile(points**8, (3, 1)), t), t**8, atol=1e-14)
    assert points**8 @ _clenshaw_curtis(9) == pytest.approx(0.5**8 / 9)


@pytest.mark.parametrize("name", ["three sites", "loose"])
def test_weights_of_the_middle_site_are_those_of_tensor_quadrature(name):
    target = SHORT[name]
    axes = [np.polynomial.legendre.leggauss(120)] * 3
    x, w = axes[0][0] * 4.5, axes[0][1] * 4.5
    half, half_w = (axes[0][0] - 1) * 2.25, axes[0][1] * 2.25  # the middle site in (-4.5, 0)
    points = torch.cartesian_prod(*(torch.from_numpy(p) for p in (x, half, x)))
    weights = torch.cartesian_prod(*(torch.from_numpy(p) for p in (w, half_w, w))).prod(-1)
    below = float(weights @ target.log_prob(points).exp()) / math.exp(target.log_z)
    assert target._transfer.probability_below_zero(1) == pytest.approx(below, abs=1e-10)
    assert target.log_weight_ratio == pytest.approx(math.log(below / (1 - below)), abs=1e-9)


def test_modes_are_minima_and_the_weights_add_up():
    for target in SLIPS.values():
        assert target.modes.shape == (2, 100)
        assert target.score(target.modes).abs().max() < 1e-9
        assert target.mode_weights.sum().item() == pytest.approx(1, abs=1e-12)
        assert torch.equal(target.mode_probabilities(target.modes), torch.eye(2, dtype=F64))
    assert SLIPS[0.0].mode_weights.tolist() == pytest.approx([0.5, 0.5], abs=1e-10)
    assert -math.log(SLIPS[0.05].mode_weights[1]) == pytest.approx(15.5665, abs=6e-5)


def test_a_stiff_chain_has_one_mode_and_a_loose_one_too_many():
    stiff = targets.PhiFourChain(20, 2.0, 0.0, 1.0, dtype=F64)
    assert stiff.modes.shape == (1, 20)
    assert stiff.mode_weights.tolist() == [1.0]
    assert stiff.mode_probabilities(torch.ones(3, 20, dtype=F64)).tolist() == [[1.0]] * 3
    loose = targets.PhiFourChain(3, 0.1)
    assert not {"modes", "mode_weights"} & loose.known
    for item in ("modes", "mode_weights"):
        with pytest.raises(NotImplementedError, match=f"PhiFourChain: {item} is not known exactly"):
            getattr(loose, item)


@pytest.mark.parametrize("name", [pytest.param("three sites", marks=pytest.mark.slow), "loose", "one site"])
def test_draws_follow_the_marginals_of_tensor_quadrature(name, generator):
    target = SHORT[name]
    x, n = target.sample(20_000, generator=generator).numpy(), 20_000
    points, mass = (t.numpy() for t in tensor_quadrature(target))
    edges = np.linspace(-4.5, 4.5, 160)
    for i in range(target.dim):
        density = np.bincount(np.searchsorted(edges, points[:, i] - 1e-9), weights=mass, minlength=160)
        cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])  # trapezoid: error ~ 1e-4
        assert stats.kstest(x[:, i], lambda t, c=cumulative: np.interp(t, edges, c / c[-1])).pvalue > 1e-5
    for i, j in itertools.combinations_with_replacement(range(target.dim), 2):
        product = x[:, i] * x[:, j]
        exact = float(target.covariance[i, j] + target.mean[i] * target.mean[j])
        assert abs(product.mean() - exact) < 4.5 * product.std() / math.sqrt(n)


@pytest.mark.slow
def test_draws_of_the_long_chain_satisfy_the_identities_of_stein(generator):
    target = SLIPS[0.0]
    x = target.sample(5_000, generator=generator)
    score = target.score(x)
    for statistic in (score.sum(-1), score[:, 50], (x * score).sum(-1) + 100, x[:, 50], x[:, 30] - x[:, 31]):
        assert abs(statistic.mean()) < 4.5 * statistic.std() / math.sqrt(len(x))
    neighbours = (x[:, 50] - x[:, 51]).square()
    exact = target.covariance[50, 50] + target.covariance[51, 51] - 2 * target.covariance[50, 51]
    assert abs(neighbours.mean() - exact) < 4.5 * neighbours.std() / math.sqrt(len(x))
    assert torch.equal(x[:10], target.sample(5_000, generator=torch.Generator().manual_seed(20240607))[:10])


def test_a_bound_that_is_too_low_is_an_error(generator):
    target = targets.PhiFourChain(3, dtype=F64)
    target._transfer.__dict__["_bounds"] = target._transfer._bounds - 1.0
    with pytest.raises(RuntimeError, match="exceeds its bound by"):
        target.sample(100, generator=generator)


@pytest.mark.slow
def test_the_temperature_changes_the_answers():
    colder, same = SLIPS[0.05].at(1 / 40), SLIPS[0.05].at(1 / 20)
    assert same.log_z == SLIPS[0.05].log_z
    assert colder.log_z == pytest.approx(targets.PhiFourChain(b=0.05, beta=40.0).log_z, abs=1e-9)
    assert colder.beta == pytest.approx(40)
    assert colder.log_weight_ratio > 2 * SLIPS[0.05].log_weight_ratio


def test_a_copy_in_float32_is_finite_and_drawn_from_the_same_law():
    single = targets.PhiFourChain(b=0.05).to(dtype=torch.float32)
    x = single.sample(3, generator=torch.Generator().manual_seed(0))
    assert x.dtype == single.modes.dtype == single.mean.dtype == torch.float32
    torch.testing.assert_close(x.double(), SLIPS[0.05].sample(3, generator=torch.Generator().manual_seed(0)))
    value, score = single.log_prob_and_score(x)
    torch.testing.assert_close(value.double(), SLIPS[0.05].log_prob(x.double()), rtol=1e-5, atol=1e-3)
    assert score.isfinite().all()


def test_it_is_pickled_with_what_it_computed():
    assert SLIPS[0.0].log_z == pickle.loads(pickle.dumps(SLIPS[0.0])).log_z


def test_the_field_is_named():
    assert SLIPS[0.0].variables["field"].shape == (100,)
    assert SLIPS[0.0].constrain(torch.zeros(2, 100))["field"].shape == (2, 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sites": 0}, "sites: got 0, expected an integer of at least 1"),
        ({"a": 0.0}, "a: got 0.0, expected a positive finite number"),
        ({"beta": -1.0}, "beta: got -1.0, expected a positive finite number"),
        ({"b": math.nan}, "b: got nan, expected a finite number"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        targets.PhiFourChain(**arguments)


def test_a_quadrature_that_would_be_too_large_is_refused():
    with pytest.raises(ValueError, match=r"PhiFourChain: needs \d+ points of quadrature a site, at most 4096"):
        targets.PhiFourChain(1000, 1000.0, beta=1e4).log_z  # noqa: B018
