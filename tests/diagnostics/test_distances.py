"""Distances against their definitions, and beside what they are for exact draws."""

import math

import pytest
import torch

import targets
from samplers.diagnostics import (
    floored,
    ksd_squared,
    mmd_squared,
    sinkhorn_divergence,
    sliced_kolmogorov,
    sliced_wasserstein,
    wasserstein,
)
from samplers.diagnostics.distances import KERNELS, _directions
from samplers.diagnostics.stein import stein_kernel


def points(n, dim=3, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SHIFT = torch.tensor([3.0, 0.0, -4.0], dtype=torch.float64)


def test_transport_of_a_shifted_set_is_the_shift():
    x = points(200)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    y = (x + SHIFT)[order]
    assert wasserstein(x, y) == pytest.approx(5.0, rel=1e-9)
    along = _directions(3, 64, 7).mT @ SHIFT
    assert sliced_wasserstein(x, y, directions=64, seed=7) == pytest.approx(float(along.square().mean().sqrt()))


def test_transport_between_sets_of_unequal_size():
    """In one dimension W_2 is that of the quantile functions."""
    x, y = points(30, 1), points(45, 1, 1) * 2 + 1
    grid = (torch.arange(90, dtype=torch.float64) + 0.5) / 90  # 90 is a multiple of both
    a = x[:, 0].sort().values[(grid * 30).long()]
    b = y[:, 0].sort().values[(grid * 45).long()]
    exact = float((a - b).square().mean().sqrt())
    assert wasserstein(x, y) == pytest.approx(exact, rel=1e-6)
    assert sliced_wasserstein(x, y) == pytest.approx(exact, rel=1e-6)


def test_kolmogorov_is_zero_for_the_same_set_one_for_disjoint_ones_and_exact_for_few():
    x = points(50)
    assert sliced_kolmogorov(x, x.flip(0)) == 0
    assert sliced_kolmogorov(x[:, :1], x[:, :1] + 100) == 1
    a, b = torch.tensor([[0.0], [1.0], [2.0], [3.0]]), torch.tensor([[1.5], [2.5]])
    assert sliced_kolmogorov(a, b) == pytest.approx(0.5)


def test_mmd_is_its_double_sum():
    x, y = points(20), points(30, seed=1) + 1
    both = torch.cat([x, y])
    width = float(torch.cdist(both, both).square().sum()) / (50 * 49) / 4

    def kernel(a, b):
        square = torch.cdist(a, b).square()
        return sum(torch.exp(-square / (2**i * width)) for i in range(KERNELS))

    v = kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()
    off_x = (kernel(x, x).sum() - kernel(x, x).trace()) / (20 * 19)
    off_y = (kernel(y, y).sum() - kernel(y, y).trace()) / (30 * 29)
    found = mmd_squared(x, y)
    assert found[0] == pytest.approx(float(v), rel=1e-9)
    assert found[1] == pytest.approx(float(off_x + off_y - 2 * kernel(x, y).mean()), rel=1e-9)


def test_unbiased_statistics_are_zero_in_the_mean_for_exact_draws():
    target = targets.Gaussian(torch.zeros(2, dtype=torch.float64), 1.0)
    for statistic in (
        lambda seed: mmd_squared(points(60, 2, seed), points(60, 2, 1000 + seed))[1],
        lambda seed: ksd_squared(points(60, 2, seed), target, scale=1.0)[1],
    ):
        values = torch.tensor([statistic(seed) for seed in range(200)])
        assert abs(float(values.mean())) < 4 * float(values.std()) / math.sqrt(200)


def test_sinkhorn_divergence_between_gaussians():
    """A shift adds its square whatever the regularisation; equal sets are at zero."""
    x = points(150)
    assert sinkhorn_divergence(x, x, regularisation=1.0) == pytest.approx(0.0, abs=1e-9)
    assert sinkhorn_divergence(x, x + SHIFT, regularisation=2.0) == pytest.approx(25.0, rel=1e-3)


def test_sinkhorn_divergence_of_two_points_by_hand():
    """Sets {0, 1} and {0, 2}: the entropic plan has one free number, found by bisection."""
    x, y, eps = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]]), 0.7

    def entropic(cost):
        shares = torch.linspace(1e-9, 0.5 - 1e-9, 2_000_001, dtype=torch.float64)
        plans = torch.stack([shares, 0.5 - shares, 0.5 - shares, shares])
        value = (plans * torch.tensor(cost, dtype=torch.float64)[:, None]).sum(0)
        return float((value + eps * (plans * (plans / 0.25).log()).sum(0)).min())

    exact = entropic([0, 4, 1, 1]) - 0.5 * (entropic([0, 1, 1, 0]) + entropic([0, 4, 4, 0]))
    assert sinkhorn_divergence(x, y, regularisation=eps) == pytest.approx(exact, abs=1e-6)


def test_sinkhorn_by_products_and_by_logarithms_are_the_same(monkeypatch):
    x, y = points(60), points(60, seed=1) + SHIFT
    products = sinkhorn_divergence(x, y, regularisation=2.0)
    monkeypatch.setattr("samplers.diagnostics.distances.LONGEST", 0.0)
    assert sinkhorn_divergence(x, y, regularisation=2.0) == pytest.approx(products, rel=1e-9)


def test_a_regularisation_that_does_not_converge_is_an_error():
    with pytest.raises(RuntimeError, match="regularisation: 1e-05 is too small for .* iterations on costs of mean"):
        sinkhorn_divergence(points(12), 3 * points(12, seed=1), regularisation=1e-5)


def test_the_stein_kernel_is_its_derivatives():
    scale = 0.8
    a, b, score_a, score_b = (points(4, 2, seed) for seed in range(4))

    def k(one, other):
        return (scale**2 + (one - other).square().sum()) ** -0.5

    for i in range(4):
        for j in range(4):
            by_a, by_b = torch.func.grad(k, 0)(a[i], b[j]), torch.func.grad(k, 1)(a[i], b[j])
            mixed = torch.func.jacfwd(torch.func.grad(k, 0), 1)(a[i], b[j])
            whole = score_a[i] @ score_b[j] * k(a[i], b[j]) + score_a[i] @ by_b + score_b[j] @ by_a + mixed.trace()
            assert float(stein_kernel(a, score_a, b, score_b, scale)[i, j]) == pytest.approx(float(whole), rel=1e-9)


def test_stein_discrepancy_sees_a_wrong_scale_and_not_a_lost_mode():
    target = targets.GaussianMixture(torch.tensor([[-8.0], [8.0]]), scales=1.0, weights=[0.5, 0.5])
    exact = target.sample(1000, generator=torch.Generator().manual_seed(0))
    right = ksd_squared(exact, target)[1]
    one_mode = ksd_squared(-exact.abs(), target, scale=1.0)[1]
    wide = ksd_squared(torch.sign(exact) * 8 + 1.3 * (exact - torch.sign(exact) * 8), target, scale=1.0)[1]
    assert wide > 0.01
    assert abs(right) < 0.2 * wide
    assert abs(one_mode) < 0.2 * wide  # what the docstring warns of


def test_values_at_the_floor_and_above_it():
    target = targets.Gaussian(torch.zeros(2), 1.0)
    x = target.sample(400, generator=torch.Generator().manual_seed(5))
    good, bad = floored(sliced_wasserstein, x, target, sets=20), floored(sliced_wasserstein, 1.3 * x, target, sets=20)
    assert good.at_floor
    assert not bad.at_floor
    assert bad.value > 1.5 * bad.floor
    assert good.floor == bad.floor
    assert str(bad).startswith(f"{bad.value:.4g} (exact draws")


REFUSED = {
    r"x: got shape \(3,\)": lambda: wasserstein(torch.zeros(3), torch.zeros(3, 1)),
    "y: got dim 2, expected 3 like x": lambda: mmd_squared(points(5), points(5, 2)),
    "x: got coordinates that are not finite": lambda: sliced_kolmogorov(torch.full((3, 1), math.nan), points(3, 1)),
    "y: got 10001 points, expected at most 10000": lambda: wasserstein(points(2, 1), points(10001, 1)),
    "directions: got 0": lambda: sliced_wasserstein(points(3), points(3), directions=0),
    "regularisation: got 0": lambda: sinkhorn_divergence(points(3), points(3), regularisation=0),
    "x: most points are the same one": lambda: ksd_squared(torch.zeros(5, 2), targets.Gaussian(torch.zeros(2), 1.0)),
    r"x: got shape \(5, 3\), expected \(n, 2\)": lambda: ksd_squared(points(5), targets.Gaussian(torch.zeros(2), 1.0)),
    "sets: got 0": lambda: floored(wasserstein, points(5, 2), targets.Gaussian(torch.zeros(2), 1.0), sets=0),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_named(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message]()
