"""A mixture brought close to a target: its density, what training reaches, what it finds that a fit had missed."""

from __future__ import annotations

import math

import pytest
import torch
from annealing_cases import HalfNormal

import targets
from samplers.annealing.mixture_fit import Fit, expectation_maximisation
from samplers.diffusion.mixture_refinement import _Components, log_density, refine
from targets.counting import Counted


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian_fit(mean: list[float], deviation: float, weights: tuple[float, ...] = (1.0,), *, diagonal: bool) -> Fit:
    means = torch.tensor(mean, dtype=torch.float64).reshape(len(weights), -1)
    variances = torch.full_like(means, deviation**2)
    covariances = variances if diagonal else torch.diag_embed(variances)
    return Fit(torch.tensor(weights, dtype=torch.float64), means, covariances)


@pytest.mark.parametrize("diagonal", [True, False])
def test_the_density_is_that_of_the_mixture(diagonal):
    fit = gaussian_fit([0, 1, 2, -1], 0.7, (0.3, 0.7), diagonal=diagonal)
    q = _Components(fit, targets.Gaussian(torch.zeros(2, dtype=torch.float64), 1.0))
    for parameter in q.parameters:
        parameter += 0.1 * torch.randn(parameter.shape, generator=seeded(), dtype=torch.float64)
    x = torch.randn(50, 2, generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(log_density(q.now(), x), q.mixture().log_prob(x))


@pytest.mark.parametrize("diagonal", [True, False])
def test_the_gradient_is_that_of_the_divergence(diagonal):
    """KL(q | N(0, S)) of one Gaussian is known; the mean of many estimates of its gradient must be its derivative."""
    target = targets.Gaussian(torch.zeros(2, dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64))
    q = _Components(gaussian_fit([0.5, -1.0], 0.8, diagonal=diagonal), target)
    parameters = [p.requires_grad_() for p in q.parameters]
    generator = seeded()
    estimates = torch.stack([flat(gradients(q.backwards(generator), parameters)) for _ in range(400)])
    _, mean, factor = q.now()
    covariance = torch.diag_embed(factor**2) if diagonal else factor @ factor.mT
    precision = torch.diag(torch.tensor([1.0, 0.25], dtype=torch.float64))
    exact = 0.5 * ((covariance[0] @ precision).trace() + mean[0] @ precision @ mean[0] - covariance[0].logdet())
    truth = flat(gradients(exact, parameters))
    error = estimates.std(0) / math.sqrt(len(estimates))
    assert ((estimates.mean(0) - truth).abs() < 4 * error + 1e-12).all()


@pytest.mark.parametrize("diagonal", [True, False])
def test_components_count_by_their_weights(diagonal):
    """Two components in one dimension, where quadrature gives KL(q | p) and its derivative."""
    target = targets.Gaussian(torch.zeros(1, dtype=torch.float64), 1.5)
    q = _Components(gaussian_fit([-1.0, 2.0], 0.8, (0.2, 0.8), diagonal=diagonal), target)
    parameters = [p.requires_grad_() for p in q.parameters]
    generator = seeded()
    estimates = torch.stack([flat(gradients(q.backwards(generator), parameters)) for _ in range(400)])
    grid = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
    log_q = log_density(q.now(), grid)
    exact = torch.trapezoid(log_q.exp() * (log_q - target.log_prob(grid)), grid[:, 0])
    truth = flat(gradients(exact, parameters))
    error = estimates.std(0) / math.sqrt(len(estimates))
    assert ((estimates.mean(0) - truth).abs() < 4 * error + 1e-8).all()


def gradients(value: torch.Tensor, parameters: list[torch.Tensor]) -> list[torch.Tensor]:
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]


def flat(parts: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("diagonal", [True, False])
def test_a_gaussian_is_found_from_a_fit_beside_it(diagonal):
    covariance = torch.diag(torch.tensor([1.0, 4.0])) if diagonal else torch.tensor([[1.0, 1.2], [1.2, 4.0]])
    target = targets.Gaussian(torch.tensor([1.0, -1.0]), covariance=covariance)
    points = target.sample(1000, generator=seeded())
    found = refine(gaussian_fit([0, 0], 0.6, diagonal=diagonal), points, target, seeded(1))
    assert found.close
    assert found.gap < 0.01


def test_a_mode_that_the_fit_left_out_gets_its_component_and_its_weight():
    target = targets.GaussianMixture(torch.tensor([[-6.0, 0.0], [6.0, 0.0]]), scales=0.5, weights=[0.97, 0.03])
    points = target.sample(2000, generator=seeded())
    fit = gaussian_fit([-6, 0], 0.5, diagonal=True)
    assert (target.mode_probabilities(points)[:, 1] > 0.5).any()
    found = refine(fit, points, target, seeded(1))
    assert found.missed == 0
    share = target.mode_probabilities(found.mixture.sample(20_000, generator=seeded(2)))[:, 1].mean()
    assert abs(float(share) - 0.03) < 0.01


@pytest.mark.slow
def test_the_neck_of_a_funnel_is_found_from_points_that_lack_it():
    target = targets.benchmark("funnel10-std3")
    points = target.sample(4000, generator=seeded())
    points = points[points[:, 0] > -2]  # a quarter of the mass lies below
    fit = expectation_maximisation(points.double(), 12, "diagonal", seeded())
    found = refine(fit, points, target, seeded(1))
    assert found.gap < 0.5
    assert float((found.points[:, 0] < -2).double().mean()) > 0.15


@pytest.mark.slow
def test_what_no_mixture_of_few_components_resembles_is_not_called_near():
    target = targets.benchmark("many-well32-fab")
    points = target.sample(1000, generator=seeded())
    fit = gaussian_fit([0] * 32, 1.5, diagonal=True)
    assert not refine(fit, points, target, seeded(1)).near


def test_a_density_that_is_zero_on_half_of_space_is_left_alone():
    target = HalfNormal()
    points = torch.randn(500, 2, generator=seeded(), dtype=torch.float64).abs()
    counted = Counted(target)
    found = refine(gaussian_fit([0.8, 0.0], 0.9, diagonal=True), points, counted, seeded(1))
    assert found.gap == math.inf
    assert not found.near
    assert torch.equal(found.points, points)
    assert counted.tally.scores == 0


@pytest.mark.slow
def test_evaluations_are_counted_and_seeds_repeat():
    target = targets.Gaussian(torch.zeros(2), 1.0)
    points = target.sample(500, generator=seeded())
    found = []
    for _ in range(2):
        counted = Counted(target)
        found.append(refine(gaussian_fit([1, 1], 2.0, diagonal=True), points, counted, seeded(1)))
        assert counted.tally.scores > 100_000
    assert torch.equal(found[0].points, found[1].points)
