"""Laws of measurements against the integrals that define them, and the theory of their log-concavity."""

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import targets
from samplers.denoisers import ClosedForm, Denoiser, Estimate
from samplers.smoothing.concavity import (
    hessian,
    joint_condition_number,
    jump_error,
    log_concave_from,
    measurements_for,
    sequential_condition_number,
    threshold,
    zeta,
)
from samplers.smoothing.measurements import JointMeasurements, NextMeasurement, Noisy
from targets.noise import CorrelatedNoise, IsotropicNoise

F64 = torch.float64
M = 4
SKEWED = targets.LogDensity(lambda x: (x - x.exp()).sum(-1), 1, dtype=F64, name="log of an exponential variable")
LINE = targets.GaussianMixture(
    torch.tensor([[-2.0], [0.5], [3.0]], dtype=F64), scales=[0.4, 1.0, 0.7], weights=[0.2, 0.5, 0.3], log_z=0.7
)
PLANE = targets.GaussianMixture(
    torch.tensor([[-2.0, 1.0], [2.0, 0.0]], dtype=F64),
    covariances=torch.tensor([[[1.0, 0.5], [0.5, 0.8]], [[0.3, -0.1], [-0.1, 0.5]]], dtype=F64),
    weights=[0.3, 0.7],
)
TILTED = CorrelatedNoise(torch.tensor([[1.5, -0.6], [-0.6, 0.9]], dtype=F64))


@dataclass(frozen=True, eq=False)
class ByQuadrature(Denoiser):
    """On the line, by the trapezoid rule, whose error is beyond rounding for such integrands."""

    exact: ClassVar[bool] = True
    density: ClassVar[bool] = True

    def estimate(self, target, y, noise, generator=None, memory=None):
        x, spacing = torch.linspace(-30, 30, 3001, dtype=F64), 0.02
        variance = noise.covariance(1)[0, 0]
        logits = target.log_prob(x[:, None]) - (y - x).square() / (2 * variance)
        density = logits.logsumexp(1) + math.log(spacing) - 0.5 * (2 * math.pi * variance).log()
        return Estimate((logits.softmax(1) * x).sum(1, keepdim=True), density)

    def draw(self, target, y, noise, generator, memory=None):
        raise NotImplementedError


CASES = {
    "line": (LINE, IsotropicNoise(1.3), ClosedForm()),
    "line, by quadrature": (LINE, IsotropicNoise(1.3), ByQuadrature()),
    "skewed": (SKEWED, IsotropicNoise(0.8), ByQuadrature()),
    "plane": (PLANE, IsotropicNoise(0.9), ClosedForm()),
    "plane, correlated": (PLANE, TILTED, ClosedForm()),
    "plane, diagonal": (PLANE, CorrelatedNoise(torch.tensor([0.5, 2.0], dtype=F64)), ClosedForm()),
}
EVERY_CASE = pytest.mark.parametrize("case", CASES)


def grid(dim):
    """Points (k, dim) and the volume of a cell."""
    if dim == 1:
        return torch.linspace(-30, 30, 3001, dtype=F64)[:, None], 0.02
    axis = torch.arange(-9, 9, 0.05, dtype=F64)
    return torch.cartesian_prod(axis, axis), 0.05**2


def by_definition(target, noise, y):
    """log of the integral of gamma(x) prod_t N(y_t; x, C) dx for y (m, dim)."""
    x, volume = grid(target.dim)
    normal = torch.distributions.MultivariateNormal(torch.zeros(target.dim, dtype=F64), noise.covariance(target.dim))
    return (target.log_prob(x) + sum(normal.log_prob(one - x) for one in y)).logsumexp(0) + math.log(volume)


def measurements(target, generator, n=5, m=M):
    return 2 * torch.randn(n, m, target.dim, generator=generator, dtype=F64)


@EVERY_CASE
def test_the_joint_density_is_its_definition(case, generator):
    target, noise, denoiser = CASES[case]
    y = measurements(target, generator)
    expected = torch.stack([by_definition(target, noise, one) for one in y])
    law = JointMeasurements(target, noise, M, denoiser=denoiser)
    torch.testing.assert_close(law.log_prob(y.flatten(1)), expected, rtol=1e-10, atol=1e-10)
    single = Noisy(target, noise, denoiser=denoiser)
    expected = torch.stack([by_definition(target, noise, one[:1]) for one in y])
    torch.testing.assert_close(single.log_prob(y[:, 0]), expected, rtol=1e-10, atol=1e-10)


def gradient_by_definition(target, noise, y):
    """The gradient of `by_definition` at y (m, dim), (m, dim)."""
    y = y.clone().requires_grad_()
    return torch.autograd.grad(by_definition(target, noise, y), y)[0]


def check_scores(target, noise, denoiser, generator, next_measurement=NextMeasurement):
    y = measurements(target, generator)
    expected = torch.stack([gradient_by_definition(target, noise, one) for one in y])
    joint = JointMeasurements(target, noise, M, denoiser=denoiser)
    torch.testing.assert_close(joint.split(joint.score(y.flatten(1))), expected, rtol=1e-9, atol=1e-9)
    law = next_measurement(target, noise, y[:, :-1].mean(1), M - 1, denoiser=denoiser)
    torch.testing.assert_close(law.score(y[:, -1]), expected[:, -1], rtol=1e-9, atol=1e-9)


@EVERY_CASE
def test_the_scores_are_those_of_the_definition(case, generator):
    check_scores(*CASES[case], generator)


class OneTooFew(NextMeasurement):
    def __init__(self, target, noise, past, count, **rest):
        super().__init__(target, noise, past, count, noise_of_mean=noise.scaled(1 / count), **rest)


class NoiseOfOne(NextMeasurement):
    def __init__(self, target, noise, past, count, **rest):
        super().__init__(target, noise, past, count, noise_of_mean=noise, **rest)


class WrongSign(NextMeasurement):
    def log_prob_and_score(self, x):
        value, score = super().log_prob_and_score(x)
        return value, -score


class MeanOfThePast(NextMeasurement):
    def mean_with(self, y):
        return self.past.expand_as(y)


@pytest.mark.parametrize("wrong", [OneTooFew, NoiseOfOne, WrongSign, MeanOfThePast])
@EVERY_CASE
def test_seeded_bugs_are_rejected(case, wrong, generator):
    with pytest.raises(AssertionError):
        check_scores(*CASES[case], generator, next_measurement=wrong)


@EVERY_CASE
def test_the_next_measurement_has_the_joint_density_with_the_others_fixed(case, generator):
    target, noise, denoiser = CASES[case]
    past, y = measurements(target, generator, n=1, m=M - 1)[0], measurements(target, generator, n=6, m=1)[:, 0]
    law = NextMeasurement(target, noise, past.mean(0), M - 1, denoiser=denoiser)
    joint = JointMeasurements(target, noise, M, denoiser=denoiser)
    whole = joint.log_prob(torch.cat([past.flatten().expand(6, -1), y], 1))
    difference = whole - law.log_prob(y)
    torch.testing.assert_close(difference, difference[:1].expand(6), rtol=0, atol=1e-10)


@pytest.mark.parametrize("case", ["line", "skewed"])
def test_the_product_of_the_normalised_conditionals_is_the_joint(case, generator):
    target, noise, denoiser = CASES[case]
    y = measurements(target, generator, n=1)[0]
    axis = torch.linspace(-40, 40, 1601, dtype=F64)[:, None]
    total = 0.0
    for k in range(M):
        law = NextMeasurement(target, noise, y[:k].mean(0) if k else torch.zeros(1, dtype=F64), k, denoiser=denoiser)
        total += float(law.log_prob(y[k])) - float(law.log_prob(axis).logsumexp(0) + math.log(0.05))
    log_z = float(by_definition(target, noise, y[:0]))
    joint = JointMeasurements(target, noise, M, denoiser=denoiser)
    assert float(joint.log_prob(y.flatten())) == pytest.approx(total + log_z, abs=1e-9)


def test_tweedie_gives_the_mean_of_a_skewed_variable():
    sigma = 0.7
    for y in (-3.0, 0.0, 2.0):

        def weight(x, power, y=y):
            return x**power * math.exp(x - math.exp(x) - (x - y) ** 2 / (2 * sigma**2))

        whole, first = (integrate.quad(weight, -12, 5, args=(k,), epsabs=1e-14)[0] for k in (0, 1))
        point = torch.tensor([[y]], dtype=F64)
        law = Noisy(SKEWED, sigma, denoiser=ByQuadrature())
        assert float(point + sigma**2 * law.score(point)) == pytest.approx(first / whole, abs=1e-9)
        # the score is the gradient of the density, not only of Tweedie's formula
        h = 1e-4
        slope = float(law.log_prob(point + h) - law.log_prob(point - h)) / (2 * h)
        assert float(law.score(point)) == pytest.approx(slope, abs=1e-6)


# Log-concavity


def two_gaussians(dim, tau=1.0, weights=(0.5, 0.5)):
    centre = torch.full((dim,), 3.0, dtype=F64)
    return targets.GaussianMixture(torch.stack([-centre, centre]), scales=tau, weights=weights)


@pytest.mark.parametrize(("dim", "tau"), [(1, 0.5), (2, 1.0), (8, 1.5)])
def test_the_threshold_is_exact_for_two_gaussians(dim, tau):
    target, radius = two_gaussians(dim, tau), 3 * math.sqrt(dim)
    sigma = threshold(radius, tau)
    middle = torch.zeros(1, dim, dtype=F64)
    top = torch.linalg.eigvalsh(hessian(Noisy(target, sigma), middle))[0, -1]
    assert abs(float(top)) < 1e-9
    for share in (0.9, 1.1):
        top = torch.linalg.eigvalsh(hessian(Noisy(target, share * sigma), middle))[0, -1]
        assert (float(top) > 0) == (share < 1)
    assert threshold(tau / 2, tau) == 0


def test_the_published_thresholds():
    assert [round(threshold(3 * math.sqrt(dim), 1.0), 1) for dim in (2, 8, 32)] == [4.1, 8.4, 16.9]


@pytest.mark.parametrize("dim", [2, 8])
@pytest.mark.parametrize("share", [0.4, 1.0])
def test_zeta_bounds_the_hessians_along_random_measurements(dim, share, generator):
    target, radius = two_gaussians(dim, weights=(0.8, 0.2)), 3 * math.sqrt(dim)
    sigma = share * threshold(radius, 1.0)
    x = target.sample(100, generator=generator)
    y = x[:, None] + sigma * torch.randn(100, 12, dim, generator=generator, dtype=F64)
    bounds = [zeta(m, sigma, radius, 1.0) for m in range(1, 13)]
    assert all(later < earlier for earlier, later in itertools.pairwise(bounds))
    for m in range(1, 13):
        past = y[:, : m - 1].mean(1) if m > 1 else torch.zeros(100, dim, dtype=F64)
        found = hessian(NextMeasurement(target, sigma, past, m - 1), y[:, m - 1])
        assert float(torch.linalg.eigvalsh(found)[:, -1].max()) <= bounds[m - 1] + 1e-8


@pytest.mark.parametrize("sigma", [0.5, 2.0, 4.0, 6.0])
def test_the_first_log_concave_measurement(sigma):
    first = log_concave_from(sigma, 4.5, 0.9)
    assert zeta(first, sigma, 4.5, 0.9) <= 1e-12
    assert first == 1 or zeta(first - 1, sigma, 4.5, 0.9) > 0
    assert log_concave_from(sigma, 10.0, 0.0) is None
    assert log_concave_from(10.0, 10.0, 0.0) == 1


@pytest.mark.parametrize("case", ["line", "plane", "plane, correlated"])
def test_the_hessian_is_that_of_the_density(case, generator):
    target, noise, denoiser = CASES[case]
    y = measurements(target, generator)
    past = y[:, 1:].mean(1)

    def joint(last, past):
        mean = ((M - 1) * past + last) / M
        pull = noise.square(last) - M * noise.square(mean)
        return target.smoothed(noise.scaled(1 / M)).log_prob(mean[None])[0] - 0.5 * pull

    expected = torch.stack([torch.func.hessian(joint)(last, own) for last, own in zip(y[:, 0], past, strict=True)])
    found = hessian(NextMeasurement(target, noise, past, M - 1, denoiser=denoiser), y[:, 0])
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
    expected = torch.stack([torch.func.hessian(lambda v: target.smoothed(noise).log_prob(v[None])[0])(v) for v in past])
    torch.testing.assert_close(hessian(Noisy(target, noise, denoiser=denoiser), past), expected, rtol=1e-8, atol=1e-8)


class Sampled(ClosedForm):
    exact: ClassVar[bool] = False


@pytest.mark.parametrize("noise", [IsotropicNoise(0.9), TILTED])
def test_the_hessian_from_draws_of_the_posterior(noise, generator):
    y, past = measurements(PLANE, generator, n=3, m=2).unbind(1)
    for make in (
        lambda denoiser: Noisy(PLANE, noise, denoiser=denoiser, generator=generator),
        lambda denoiser: NextMeasurement(PLANE, noise, past, 3, denoiser=denoiser, generator=generator),
    ):
        exact = hessian(make(ClosedForm()), y)
        repeats = torch.stack([hessian(make(Sampled()), y, draws=400) for _ in range(50)])
        error = repeats.std(0) / math.sqrt(50)
        limit = float(stats.t.isf(1e-6 / 2 / exact.numel(), 49))
        assert bool(((repeats.mean(0) - exact).abs() < limit * error).all())


def test_hessian_refuses_what_it_cannot_do(generator):
    with pytest.raises(TypeError, match="law: got JointMeasurements, expected Noisy or NextMeasurement"):
        hessian(JointMeasurements(PLANE, 1.0, 2), torch.zeros(1, 4, dtype=F64))
    with pytest.raises(ValueError, match=r"y: got shape \(2,\), expected \(n, 2\)"):
        hessian(Noisy(PLANE, 1.0), torch.zeros(2, dtype=F64))


# Condition numbers


def covariance_of_measurements(variances, sigma, m):
    """Of (Y_1 .. Y_m), (m dim, m dim)."""
    x = torch.diag(variances)
    return torch.kron(torch.ones(m, m, dtype=F64), x) + sigma**2 * torch.eye(m * len(variances), dtype=F64)


@pytest.mark.parametrize("m", [1, 2, 4, 16])
@pytest.mark.parametrize("sigma", [0.3, 0.5**0.5, 3.0])
def test_condition_numbers_are_those_of_the_matrices(m, sigma):
    variances = torch.tensor([1.0, 0.01, 0.3], dtype=F64)
    whole = covariance_of_measurements(variances, sigma, m)
    assert float(torch.linalg.cond(whole)) == pytest.approx(joint_condition_number(variances, sigma, m), rel=1e-9)
    # the last given the others is the inverse of the last block of the precision
    last = torch.linalg.inv(torch.linalg.inv(whole)[-3:, -3:])
    found = sequential_condition_number(variances, sigma, m)
    assert float(torch.linalg.cond(last)) == pytest.approx(found, rel=1e-9)


def test_the_published_condition_numbers():
    variances, sigma = [1.0, 0.01], math.sqrt(0.5)
    assert [joint_condition_number(variances, sigma, m) for m in (4, 16)] == pytest.approx([9, 33])
    assert [round(sequential_condition_number(variances, sigma, m), 2) for m in (4, 16)] == [1.26, 1.05]


# Mean jumps


def quantiles_of_mixture(target, probabilities):
    weights, means = target.mode_weights.numpy(), target.modes[:, 0].numpy()
    scales = target.component_factors[:, 0].numpy()
    low, high = np.full_like(probabilities, -60.0), np.full_like(probabilities, 60.0)
    for _ in range(80):
        middle = (low + high) / 2
        below = (weights * stats.norm.cdf((middle[:, None] - means) / scales)).sum(1) < probabilities
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low


@pytest.mark.parametrize("m", [1, 4, 16, 64, 256])
@pytest.mark.parametrize("tau", [0.2, 1.0])
def test_the_bounds_of_the_mean_jump_hold_exactly(m, tau):
    target, sigma = two_gaussians(1, tau, weights=(0.7, 0.3)), 2.5
    u = (np.arange(20_000) + 0.5) / 20_000
    noise = sigma / math.sqrt(m)
    law = target.smoothed(noise)
    mean = torch.from_numpy(quantiles_of_mixture(law, u))[:, None]
    jump = mean + noise**2 * law.score(mean)  # increasing, so that it takes quantiles to quantiles
    assert bool((jump.diff(dim=0) > 0).all())
    distance = math.sqrt(np.mean((quantiles_of_mixture(target, u) - jump[:, 0].numpy()) ** 2))
    assert distance <= jump_error(sigma, m, 1)
    assert distance <= jump_error(sigma, m, 1, tau) <= jump_error(sigma, m, 1)
    assert jump_error(sigma, m, 1) == pytest.approx(noise)


def test_the_least_number_of_measurements_for_a_tolerance():
    for tau in (0.0, 0.4):
        m = measurements_for(0.1, 3.0, 5, tau)
        assert jump_error(3.0, m, 5, tau) <= 0.1 < jump_error(3.0, m - 1, 5, tau)
    assert measurements_for(100.0, 1.0, 2) == 1
    # to first order in s^2 the second bound is 3 s^2 sqrt(d) / (2 tau)
    assert measurements_for(1e-4, 3.0, 5, 0.4) == pytest.approx(1.5 * 9 * math.sqrt(5) / (0.4 * 1e-4), rel=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: zeta(0, 1.0, 1.0, 1.0), "m: got 0, expected an integer of at least 1"),
        (lambda: threshold(-1.0, 1.0), "radius: got -1.0"),
        (lambda: joint_condition_number([-1.0], 1.0, 2), "variances: got"),
        (lambda: jump_error(0.0, 1, 1), "sigma: got 0.0"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
