"""Wells in the plane and on the line: energies, quadrature, exact draws, modes."""

import functools
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import targets
from targets.two_dimensional import Density2D

F64 = torch.float64
PLANE = {
    "mueller-brown": targets.MuellerBrown(dtype=F64),
    "mueller-brown, cold": targets.MuellerBrown(8.0, dtype=F64),
    "three-hole": targets.ThreeHole(0.6, dtype=F64),
    "double well": targets.DoubleWell(2.0, 0.3, 1.5, 0.7, dtype=F64),
}
LINE = {"prinz": targets.Prinz(dtype=F64), "prinz, cold": targets.Prinz(0.3, dtype=F64)}
EVERY = PLANE | LINE


@functools.cache
def dense(name, nodes=1000):
    """Points and normalised weights of the trapezoid rule on a box of its own, and log Z."""
    axes = [torch.linspace(a, b, nodes, dtype=F64) for a, b in zip(*BOX[name], strict=True)]
    points = torch.cartesian_prod(*axes)
    value = PLANE[name].log_prob(points)
    log_z = value.logsumexp(0) + sum((axis[1] - axis[0]).log() for axis in axes)
    return points, value.softmax(0), float(log_z)


BOX = {
    "mueller-brown": ((-4.2, -2.2), (2.2, 4.2)),
    "mueller-brown, cold": ((-3.4, -1.6), (1.6, 3.5)),
    "three-hole": ((-3.8, -3.6), (3.8, 4.0)),
    "double well": ((-3.0, -6.0), (3.0, 6.0)),
}


@pytest.mark.parametrize("name", PLANE)
def test_log_z_and_moments_are_those_of_another_grid(name):
    target = PLANE[name]
    points, weights, log_z = dense(name)
    assert target.log_z == pytest.approx(log_z, abs=1e-10)
    mean = weights @ points
    torch.testing.assert_close(target.mean, mean, rtol=0, atol=1e-10)
    centred = points - mean
    torch.testing.assert_close(target.covariance, centred.mT @ (weights[:, None] * centred), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", PLANE)
def test_mode_weights_are_the_mass_nearest_to_each_mode(name):
    target = PLANE[name]
    points, weights, _ = dense(name)
    shares = weights @ target.mode_probabilities(points)
    nearest, second = torch.cdist(points, target.modes).sort(-1).values[:, :2].unbind(-1)
    spacing = float((points[-1] - points[0]).norm()) / 999
    at_an_edge = weights[(second - nearest).abs() < 2 * spacing].sum()  # the grid cannot tell whose this mass is
    assert at_an_edge < 0.02
    assert (target.mode_weights - shares).abs().max() < at_an_edge
    assert target.mode_weights.sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", PLANE)
def test_finer_panels_do_not_change_the_mode_weights(name):
    target = PLANE[name]
    finer = target._density.nearest(target._minima, 24, 24)
    np.testing.assert_allclose(target.mode_weights.numpy(), finer, rtol=0, atol=1e-9)


def test_weights_of_the_double_well_are_those_of_one_dimension():
    target = PLANE["double well"]
    middle = float(target.modes[:, 0].mean())

    def density(x):
        return math.exp(-(2 * (x * x - 1) ** 2 + 0.3 * x) / 0.7)

    left, right = integrate.quad(density, -3, middle)[0], integrate.quad(density, middle, 3)[0]
    assert target.mode_weights.tolist() == pytest.approx([left / (left + right), right / (left + right)], abs=1e-9)
    exact = math.log(left + right) + 0.5 * math.log(2 * math.pi * 0.7 / 1.5)
    assert target.log_z == pytest.approx(exact, abs=1e-10)


@pytest.mark.parametrize("name", LINE)
def test_prinz_by_adaptive_quadrature(name):
    target = LINE[name]

    def density(x, power=0):
        bumps = 0.8 * math.exp(-80 * x**2) + 0.2 * math.exp(-80 * (x - 0.5) ** 2) + 0.5 * math.exp(-40 * (x + 0.5) ** 2)
        return x**power * math.exp(-4 * (x**8 + bumps) / target.temperature)

    edges = [-1.6, *target._stationary[1], 1.6]
    parts = [integrate.quad(density, a, b, epsabs=1e-13)[0] for a, b in itertools.pairwise(edges)]
    assert target.log_z == pytest.approx(math.log(sum(parts)), abs=1e-10)
    assert target.mode_weights.tolist() == pytest.approx([p / sum(parts) for p in parts], abs=1e-10)
    mean, second = (integrate.quad(density, -1.6, 1.6, args=(k,), limit=200)[0] / sum(parts) for k in (1, 2))
    assert target.mean.item() == pytest.approx(mean, abs=1e-9)
    assert target.covariance.item() == pytest.approx(second - mean**2, abs=1e-9)


def test_published_minima_of_mueller_brown():
    target = PLANE["mueller-brown"]
    assert target.energy(target.modes).tolist() == pytest.approx([-146.700, -108.167, -80.768], abs=6e-4)
    expected = torch.tensor([[-0.558, 1.442], [0.623, 0.028], [-0.050, 0.467]], dtype=F64)
    torch.testing.assert_close(target.modes, expected, rtol=0, atol=6e-4)


@pytest.mark.parametrize("name", EVERY)
def test_modes_are_minima_of_the_energy(name):
    target = EVERY[name]
    assert target.score(target.modes).abs().max() < 1e-9
    for mode in target.modes:
        assert (torch.linalg.eigvalsh(torch.func.hessian(target.energy)(mode)) > 0).all()
    assert torch.equal(target.mode_probabilities(target.modes), torch.eye(len(target.modes), dtype=F64))


@pytest.mark.parametrize("name", EVERY)
def test_draws_have_the_stated_moments_and_weights(name, generator):
    target, n = EVERY[name], 20_000
    x = target.sample(n, generator=generator)
    score = target.score(x)
    statistics = [*score.T, (x * score).sum(-1) + target.dim, *(x - target.mean).T]
    for statistic in statistics:
        assert abs(statistic.mean()) < 4.5 * statistic.std() / math.sqrt(n)
    counts = target.mode_probabilities(x).sum(0).numpy()
    expected = n * target.mode_weights.numpy()
    assert stats.chisquare(counts, expected).pvalue > 1e-5


def test_draws_in_cells_follow_the_exact_masses(generator):
    target = PLANE["mueller-brown"]
    points, weights, _ = dense("mueller-brown")
    x = target.sample(50_000, generator=generator)
    inside, exact = [], []
    for a, b in ((-0.8, 1.2), (-0.6, 1.4), (-0.4, 1.6), (0.3, -0.1), (0.5, 0.0), (-0.2, 0.4)):
        inside.append(((x[:, 0] - a).square() + (x[:, 1] - b).square() < 0.15**2).sum().item())
        near = (points[:, 0] - a).square() + (points[:, 1] - b).square() < 0.15**2
        exact.append(50_000 * weights[near].sum().item())
    for count, mass in zip(inside, exact, strict=True):
        assert abs(count - mass) < 4.5 * math.sqrt(mass) + 0.002 * mass  # the grid sees a disc to one part in 500


def test_a_temperature_that_the_grid_cannot_resolve_is_an_error():
    with pytest.raises(ValueError, match="cells: 400 are too few for this density"):
        targets.MuellerBrown(0.01).log_z  # noqa: B018


def test_a_box_that_is_too_small_is_an_error():
    with pytest.raises(ValueError, match=r"low, high: the density is exp\(-2\) of its largest value on the edge"):
        Density2D(lambda x: -0.5 * (x**2).sum(-1), (-2.0, -2.0), (2.0, 2.0), 20)


def test_a_bound_that_is_too_low_is_an_error(generator):
    density = Density2D(lambda x: -0.5 * (x**2).sum(-1), (-9.0, -9.0), (9.0, 9.0), 100)
    density._bound -= 1
    with pytest.raises(RuntimeError, match="exceeds its bound by"):
        density.sample(1000, generator=generator)


def test_shares_that_do_not_add_up_are_an_error():
    density = Density2D(lambda x: -50 * (x**2).sum(-1), (-1.0, -1.0), (1.0, 1.0), 100)
    with pytest.raises(RuntimeError, match="the shares of the centres add up to"):
        density.nearest(np.array([[-1.0, 0.1], [1.0, 0.2]]), 1, 4)


def test_a_gaussian_in_the_plane_has_its_closed_forms(generator):
    density = Density2D(lambda x: -(x[:, 0] ** 2) / 2 - (x[:, 1] - 1) ** 2 / 8, (-9.0, -17.0), (9.0, 19.0), 200)
    assert density.log_z == pytest.approx(math.log(4 * math.pi), abs=1e-12)
    assert density.expectation(lambda x: x[:, 1] ** 2) == pytest.approx(5, abs=1e-10)
    shares = density.nearest(np.array([[0.0, 0.0], [0.0, 4.0], [50.0, 1.0]]))
    assert shares.tolist() == pytest.approx([stats.norm.cdf(0.5), stats.norm.sf(0.5), 0], abs=1e-9)
    x = density.sample(20_000, generator=generator).numpy()
    assert stats.kstest(x[:, 0], "norm").pvalue > 1e-5
    assert stats.kstest((x[:, 1] - 1) / 2, "norm").pvalue > 1e-5


@pytest.mark.parametrize("tilt", [-0.5, 0.5])
def test_the_deepest_well_comes_first(tilt):
    target = targets.DoubleWell(tilt=tilt, dtype=F64)
    assert (target.modes[0, 0] < 0) == (tilt > 0)
    assert target.mode_weights[0] > 0.5
    assert target.energy(target.modes)[0] < target.energy(target.modes)[1]


def test_equal_wells_weigh_the_same():
    assert targets.DoubleWell(dtype=F64).mode_weights.tolist() == pytest.approx([0.5, 0.5], abs=1e-12)
    three = PLANE["three-hole"].mode_weights
    assert three[0].item() == pytest.approx(three[1].item(), abs=1e-9)


def test_a_target_is_pickled_with_what_it_computed():
    for name in ("mueller-brown", "prinz"):
        assert pickle.loads(pickle.dumps(EVERY[name])).log_z == EVERY[name].log_z


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"barrier": 0.0}, "barrier: got 0.0, expected a positive finite number"),
        ({"stiffness": -1.0}, "stiffness: got -1.0, expected a positive finite number"),
        ({"tilt": 2.0}, "tilt: got 2.0, expected less than 1.54 in size, beyond which one well is left"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        targets.DoubleWell(**arguments)
