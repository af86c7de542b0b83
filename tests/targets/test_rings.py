import functools
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

import targets
from targets.base import differentiate

F64 = torch.float64
benchmark = functools.cache(functools.partial(targets.benchmark, dtype=F64))


def slips(r, radii=(1, 2, 3, 4), scale=0.15):
    return special.logsumexp([stats.norm(k, scale).logpdf(r) for k in radii], axis=0) - np.log(
        len(radii) * 2 * math.pi * r
    )


def dds(r, radii=(0.5, 1, 1.5, 2), scale=0.075):
    return special.logsumexp([-0.5 * ((r - k) / scale) ** 2 for k in radii], axis=0)


def nearest(r):
    return -100 * np.min([(r - c) ** 2 for c in (1, 3, 5)], axis=0)


def cosine(r):
    return np.where(r <= 4.5 * math.pi, np.log(np.cos(r) + 1.001), 4.5 * math.pi - r)


CASES = {
    "rings4-slips": (slips, 6.0, [1, 2, 3, 4]),
    "rings4-dds": (dds, 3.5, [0.5, 1, 1.5, 2]),
    "rings3-nearest": (nearest, 7.0, [1, 2, 3, 4, 5]),
    "rings-cosine": (cosine, 60.0, [0, 3.14159, 6.28319, 4.5 * math.pi]),
}


@pytest.mark.parametrize("name", CASES)
def test_log_prob_is_the_published_formula_of_the_radius(name):
    target = benchmark(name)
    x = 4 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    np.testing.assert_allclose(
        target.log_prob(x).numpy(), CASES[name][0](x.norm(dim=-1).numpy()), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("name", CASES)
def test_log_z_and_covariance_are_those_of_quadrature_between_its_kinks(name):
    profile, reach, points = CASES[name]

    def integral(power):
        edges = [0.0, *(p for p in points if p > 0), reach]  # the density is smooth between them
        pieces = itertools.pairwise(edges)
        return sum(integrate.fixed_quad(lambda r: r**power * np.exp(profile(r)), a, b, n=400)[0] for a, b in pieces)

    target = benchmark(name)
    z = integral(1)
    assert target.log_z == pytest.approx(math.log(2 * math.pi * z), abs=1e-8)
    expected = 0.5 * integral(3) / z * torch.eye(2, dtype=F64)
    torch.testing.assert_close(target.covariance, expected, rtol=1e-7, atol=1e-9)
    assert target.mean.tolist() == [0, 0]


def test_log_z_is_that_of_the_plane_by_the_trapezoid_rule():
    axis = torch.arange(-3.5, 3.5, 0.01, dtype=F64)
    target = benchmark("rings4-dds")
    mass = target.log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * 0.01**2
    assert mass.log().item() == pytest.approx(target.log_z, abs=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_exact_draws_have_the_radius_of_the_density_and_any_angle(name, generator):
    profile, reach, _ = CASES[name]
    x = benchmark(name).sample(10_000, generator=generator).numpy()
    grid = np.linspace(1e-9, reach, 60_001)
    mass = integrate.cumulative_trapezoid(grid * np.exp(profile(grid)), x=grid, initial=0)
    radius = np.hypot(*x.T)
    assert stats.kstest(radius, lambda r: np.interp(r, grid, mass / mass[-1])).pvalue > 1e-5
    assert stats.kstest(np.arctan2(x[:, 1], x[:, 0]), stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 1e-5


@pytest.mark.parametrize("name", CASES)
def test_density_and_score_only_depend_on_the_radius(name):
    target = benchmark(name)
    x = 3 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=F64)
    torch.testing.assert_close(target.log_prob(x @ turn.mT), target.log_prob(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(target.score(x @ turn.mT), target.score(x) @ turn.mT, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_score_is_the_gradient_far_out(name):
    target = benchmark(name)
    x = torch.tensor([[20.0, 3.0], [-0.1, 40.0]], dtype=F64)
    torch.testing.assert_close(target.score(x), differentiate(target.log_prob, x, name)[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_the_score_at_the_origin_is_zero(name):
    score = benchmark(name).score(torch.zeros(1, 2, dtype=F64))
    assert score.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("name", [*CASES, "many-well6-fab", "double-well1-delta4"])
def test_a_target_can_be_sent_to_another_process(name):
    target = benchmark(name)
    before = target.log_z
    assert pickle.loads(pickle.dumps(target)).log_z == before
