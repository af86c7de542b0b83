"""Quadrature, importance sampling and the automatic choice between denoisers."""

import math

import pytest
import torch
from scipy import stats

import targets
from samplers.denoisers import (
    Auto,
    ClosedForm,
    Denoiser,
    Estimate,
    Importance,
    Quadrature,
    as_denoiser,
    default_denoiser,
)
from samplers.denoisers.base import UntrustedEstimate, stein_corrected
from samplers.denoisers.grid import NoGrid, find_box
from samplers.denoisers.quadrature import parts
from samplers.smoothing.measurements import Noisy
from targets import CorrelatedNoise, IsotropicNoise
from targets.counting import Counted

F64 = torch.float64
LINE = targets.GaussianMixture(
    torch.tensor([[-3.0], [1.0], [4.0]], dtype=F64), scales=[0.3, 1.0, 0.6], weights=[0.2, 0.5, 0.3]
)
PLANE = targets.GaussianMixture(
    torch.tensor([[-3.0, 1.0], [1.0, 4.0], [4.0, -2.0]], dtype=F64),
    covariances=torch.tensor(
        [[[0.3, 0.1], [0.1, 0.5]], [[1.0, -0.8], [-0.8, 1.0]], [[2.0, 0.3], [0.3, 0.2]]], dtype=F64
    ),
    weights=[0.2, 0.5, 0.3],
)
NOISES = {
    "wide": 30.0,
    "like the target": 2.0,
    "small": 0.3,
    "tiny": 0.01,
    "variances": torch.tensor([4.0, 0.01]),
    "correlated": torch.tensor([[1.0, 0.6], [0.6, 1.0]]),
    "correlated, small": 0.01 * torch.tensor([[1.0, -0.9], [-0.9, 1.5]]),
}


def measured(target, noise, n=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = target.sample(n, generator=generator)
    return x + noise.sample_like(x, generator)


def as_function(target):
    """The same density with nothing known of it."""
    return targets.LogDensity(target.log_prob, target.dim, dtype=target.dtype)


def cases():
    for name, noise in NOISES.items():
        for target in (LINE, PLANE):
            if not isinstance(noise, float) and target.dim == 1:
                continue
            yield pytest.param(target, targets.noise.as_noise(noise, target.dim), id=f"{target.dim}-d, {name}")


# Quadrature


@pytest.mark.parametrize(("target", "noise"), list(cases()))
def test_quadrature_is_the_closed_form_of_a_mixture(target, noise):
    y = measured(target, noise)
    y[:3] *= torch.tensor([[2.0], [4.0], [8.0]])  # far out as well
    denoiser = Quadrature()
    found, exact = denoiser.estimate(as_function(target), y, noise), ClosedForm().estimate(target, y, noise)
    assert found.trusted is None
    scale = noise.covariance(target.dim).diagonal().sqrt()
    assert ((found.mean - exact.mean) / scale).abs().max() < 1e-8
    torch.testing.assert_close(found.log_density, exact.log_density, rtol=0, atol=1e-8)


@pytest.mark.parametrize("noise", [1.0, 0.3, 0.05])
@pytest.mark.parametrize(
    ("jacobian", "covariance", "tolerance"),
    # 1 / r is singular at the origin, where e^-22 of the density is
    [(False, None, 1e-8), (False, [[1.0, 0.5], [0.5, 1.0]], 1e-8), (True, None, 1e-6)],
)
def test_quadrature_on_rings_is_the_sum_over_a_finer_grid(noise, jacobian, covariance, tolerance):
    target = targets.Rings(jacobian=jacobian, dtype=F64)
    matrix = noise**2 * (torch.eye(2, dtype=F64) if covariance is None else torch.tensor(covariance, dtype=F64))
    measurement = targets.noise.as_noise(noise if covariance is None else matrix, 2)
    y = measured(target, measurement, 3)
    found = Quadrature().estimate(target, y, measurement)
    axis = torch.arange(-6.4, 6.4, 0.0117, dtype=F64) + 0.00123
    x = torch.cartesian_prod(axis, axis)
    log_gamma = target.log_prob(x)
    for row, mean, log_density in zip(y, found.mean, found.log_density, strict=True):
        away = x - row
        log_weights = log_gamma - 0.5 * (torch.linalg.solve(matrix, away.mT).mT * away).sum(-1)
        normaliser = 0.5 * torch.linalg.slogdet(2 * math.pi * matrix)[1]
        expected = log_weights.logsumexp(0) + 2 * math.log(0.0117) - normaliser
        assert log_density.item() == pytest.approx(expected.item(), abs=tolerance)
        torch.testing.assert_close(mean, log_weights.softmax(0) @ x, rtol=0, atol=tolerance)


@pytest.mark.slow
def test_the_integral_over_all_measurements_is_that_of_the_target():
    """exp(phi) integrates to Z, here by the trapezoid rule over y."""
    target = targets.ManyWell(1, dtype=F64)
    axis = torch.arange(-13.0, 13.0, 0.8, dtype=F64)
    y = torch.cartesian_prod(axis, axis)
    phi = Quadrature().estimate(target, y, IsotropicNoise(1.5)).log_density
    assert phi.logsumexp(0).item() + 2 * math.log(0.8) == pytest.approx(target.log_z, abs=1e-8)


def test_a_grid_is_evaluated_once_and_paid_for_by_who_first_counts():
    noise = IsotropicNoise(2.0)
    y, denoiser = measured(PLANE, noise), Quadrature()
    bound = denoiser.bind(PLANE, noise)
    counted = Counted(PLANE)
    bound.estimate(counted, y, noise)
    evaluations = counted.log_probs
    assert evaluations > 64 * 64
    bound.bind(counted, noise.scaled(0.5)).estimate(counted, y, noise)
    assert counted.log_probs == evaluations
    bound.draw(counted, y, noise, torch.Generator().manual_seed(0))
    assert counted.log_probs == evaluations + 9 * len(y)
    denoiser.estimate(counted, y, noise)  # which has not changed, and finds a grid of its own
    assert counted.log_probs == 2 * evaluations + 9 * len(y)


@pytest.mark.parametrize("make", [ClosedForm, Quadrature, Importance, Auto])
def test_a_bound_denoiser_is_another_one(make):
    denoiser, noise = make(), IsotropicNoise(2.0)
    before = dict(vars(denoiser))
    bound = denoiser.bind(PLANE, noise)
    assert bound.bind(Counted(PLANE), noise) is bound
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    y = measured(PLANE, noise, 20)
    found, again = (d.estimate(PLANE, y, noise, g) for d, g in zip((denoiser, bound), generators, strict=True))
    assert torch.equal(found.mean, again.mean)
    assert vars(denoiser) == before
    # at another noise, and for another target, it answers as one that is not bound
    other = LINE if make is Quadrature else PLANE
    y = measured(other, noise, 20)
    for g in generators:
        g.manual_seed(1)
    found, again = (
        d.estimate(other, y, noise.scaled(0.5), g) for d, g in zip((denoiser, bound), generators, strict=True)
    )
    assert torch.equal(found.mean, again.mean)


def test_far_modes_and_narrow_ones_are_found():
    target = targets.GaussianMixture(torch.tensor([[-70.0, 3.0], [200.0, 900.0]], dtype=F64), scales=[0.5, 20.0])
    low, high = find_box(as_function(target))
    assert (low < torch.tensor([-72.0, 0.0])).all()
    assert (high > torch.tensor([300.0, 1000.0])).all()
    stated = targets.GaussianMixture(torch.tensor([[-5000.3, 0.0], [5000.7, 0.0]], dtype=F64), scales=0.01)
    low, high = find_box(stated)
    assert low[0] < -5000.3
    assert high[0] > 5000.7


def test_densities_without_a_grid_are_refused():
    heavy = targets.LogDensity(lambda x: -(1 + x.square().sum(-1)).log(), 1, dtype=F64)
    with pytest.raises(NoGrid, match="does not fall to"):
        Quadrature().estimate(heavy, torch.zeros(1, 1, dtype=F64), IsotropicNoise(1.0))
    funnel = targets.Funnel(2, dtype=F64)
    with pytest.raises(NoGrid, match="does not resolve its mass"):
        Quadrature().estimate(funnel, torch.zeros(1, 2, dtype=F64), IsotropicNoise(1.0))
    with pytest.raises(ValueError, match="points: got 16, which do not resolve"):
        Quadrature(points=16).estimate(PLANE, torch.zeros(1, 2, dtype=F64), IsotropicNoise(1.0))


def test_a_box_of_the_users_own():
    uniform = targets.LogDensity(lambda x: (x[:, 0].abs() < 1).to(x).log(), 1, dtype=F64)
    denoiser = Quadrature(low=-1.5, high=1.5, points=30_001, tolerance=1e-3)
    y = torch.tensor([[0.3], [2.0]], dtype=F64)
    found = denoiser.estimate(uniform, y, IsotropicNoise(0.7))
    ends = (torch.tensor([-1.0, 1.0], dtype=F64) - y) / 0.7
    mass = torch.special.ndtr(ends).diff()[:, 0]
    torch.testing.assert_close(found.log_density, mass.log(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("noise", [NOISES["like the target"], NOISES["tiny"], NOISES["correlated"]], ids=str)
def test_quadrature_draws_follow_the_closed_form(noise):
    noise = targets.noise.as_noise(noise, 2)
    y = measured(PLANE, noise, 10_000)
    x = Quadrature().draw(PLANE, y, noise, torch.Generator().manual_seed(1))
    reference = PLANE.sample_given(y, noise, generator=torch.Generator().manual_seed(2))
    moments = [v for a in (x, reference) for v in [torch.stack([a[:, 0], a[:, 1], a[:, 0] ** 2, a.prod(-1)], -1)]]
    difference = moments[0] - moments[1]
    assert (difference.mean(0).abs() < 4 * difference.std(0) / math.sqrt(len(y))).all()
    for i in range(2):
        assert stats.ks_2samp((x - y)[:, i].numpy(), (reference - y)[:, i].numpy()).pvalue > 1e-5


def test_quadrature_draws_given_one_measurement():
    """The distribution function of X given a single y between two modes, in one dimension."""
    noise, y = IsotropicNoise(1.5), torch.tensor([[-1.4]], dtype=F64)
    x = Quadrature().draw(LINE, y.expand(40_000, 1), noise, torch.Generator().manual_seed(3))
    axis = torch.linspace(-12, 12, 40_001, dtype=F64)
    log_weights = LINE.log_prob(axis[:, None]) - 0.5 * ((axis - y[0]) / 1.5).square()
    cumulative = log_weights.softmax(0).cumsum(0).numpy()
    assert stats.kstest(x[:, 0].numpy(), lambda t: _interpolated(t, axis.numpy(), cumulative)).pvalue > 1e-5


def _interpolated(t, axis, values):
    import numpy as np

    return np.interp(t, axis, values)


def test_the_proposal_is_nearly_the_posterior_where_the_noise_is_as_small_as_a_grid_serves():
    """What the docstring says of draws: p(x | y) exceeds the proposal by a factor of at most 1.2."""
    target = targets.LogDensity(lambda x: -1e-6 * x.square().sum(-1), 2, dtype=F64)
    denoiser = Quadrature(low=-10, high=10, points=101, tolerance=1e9)
    y, noise = torch.rand(2000, 2, dtype=F64, generator=torch.Generator().manual_seed(0)), IsotropicNoise(0.5)
    cache = denoiser.found(target, noise)
    z, variances = cache.measured(y, noise)
    ((_, weights, _),) = parts(target, cache, z, variances)
    x, log_q = weights.propose(50, torch.Generator().manual_seed(1))
    log_p = cache.log_gamma(target, x) - 0.5 * ((x - z[:, None]).square() / variances).sum(-1)
    # the total of the interpolated weights is that of the weights themselves
    assert (log_p - log_q).exp().max() < 1.2


def test_float32_targets_are_answered_in_float32():
    target, noise = PLANE.to(dtype=torch.float32), IsotropicNoise(1.0)
    y = measured(target, noise)
    found, exact = Quadrature().estimate(target, y, noise), ClosedForm().estimate(PLANE, y.double(), noise)
    assert found.mean.dtype == torch.float32
    torch.testing.assert_close(found.mean.double(), exact.mean, rtol=0, atol=1e-5)
    assert Quadrature().draw(target, y, noise, torch.Generator().manual_seed(0)).dtype == torch.float32


def test_a_measurement_that_is_not_finite_has_no_estimate_and_harms_no_other():
    y = torch.tensor([[0.5, 0.5], [math.nan, 0.0]], dtype=F64)
    found = Quadrature().estimate(PLANE, y, IsotropicNoise(1.0))
    assert found.trusted is None
    assert found.mean.isfinite().all(-1).tolist() == [True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 0.0}, "low, high: got only one"),
        ({"points": 4}, "points: got 4, expected an integer of at least 8"),
        ({"moves": -1}, "moves: got -1"),
        ({"tolerance": 0.0}, "tolerance: got 0.0"),
    ],
)
def test_bad_arguments_of_quadrature(arguments, message):
    with pytest.raises(ValueError, match=message):
        Quadrature(**arguments)


def test_quadrature_is_for_two_dimensions_at_most():
    with pytest.raises(ValueError, match="target: got dimension 3"):
        Quadrature().check(targets.Gaussian(torch.zeros(3)), IsotropicNoise(1.0))
    with pytest.raises(ValueError, match="target: got a discrete one"):
        Quadrature().check(targets.PairwiseMRF([[0.0, 0.3], [0.3, 0.0]]), IsotropicNoise(1.0))


# Importance sampling


def skew(dim=1):
    return targets.LogExponential(dim, dtype=F64) if dim > 1 else targets.LogDensity(
        lambda x: (x - x.exp()).sum(-1), 1, dtype=F64
    )  # fmt: skip


@pytest.mark.parametrize("form", ["blend", "stein", "gradient"])
@pytest.mark.parametrize("antithetic", [True, False])
def test_importance_errors_are_those_stated(form, antithetic):
    noise = CorrelatedNoise(torch.tensor([[1.0, 0.6], [0.6, 1.5]], dtype=F64))
    y = measured(PLANE, noise, 1, seed=4).expand(1500, 2)
    denoiser = Importance(512, antithetic, form)
    found = denoiser.estimate(PLANE, y, noise, torch.Generator().manual_seed(5))
    exact = ClosedForm().estimate(PLANE, y[:1], noise)
    z = (found.mean - exact.mean) / found.error
    # biases and errors of the errors are of order 1 / ess, here below 0.05 and 0.1
    assert (z.square().mean(0).sqrt() - 1).abs().max() < 0.15
    assert z.mean(0).abs().max() < 0.25
    ratio = (found.log_density - exact.log_density).exp()
    assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / math.sqrt(1500)


def test_the_blend_has_the_least_variance():
    noise = IsotropicNoise(1.0)
    y = measured(PLANE, noise, 1, seed=6).expand(2000, 2)
    spread = {
        form: Importance(512, form=form).estimate(PLANE, y, noise, torch.Generator().manual_seed(7)).mean.var(0)
        for form in ("blend", "stein", "gradient")
    }
    assert (spread["blend"] < 1.02 * spread["stein"]).all()
    assert (spread["blend"] < 1.02 * spread["gradient"]).all()


def test_single_candidates_are_corrected_as_particles_are():
    """Without pairs the blend is Stein's control variate of the other denoisers."""
    generator = torch.Generator().manual_seed(8)
    noise, y = CorrelatedNoise(torch.tensor([[1.0, 0.6], [0.6, 1.5]], dtype=F64)), torch.randn(5, 2, dtype=F64)
    denoiser = Importance(64, antithetic=False)
    found = denoiser.estimate(PLANE, y, noise, generator)
    generator.manual_seed(8)
    x = y[:, None] + noise.sample_like(y[:, None].expand(-1, 64, -1), generator)
    log_gamma, scores = PLANE.log_prob_and_score(x)
    mean, error = stein_corrected(x, y, scores, noise, log_gamma)
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(found.error, error)


@pytest.mark.parametrize("antithetic", [True, False])
def test_bias_falls_like_one_over_n_and_faster_with_richardson(antithetic):
    """One dimension; the leading bias of a ratio of means is known: -cov(w, w (x - m)) / E[w]^2 / n."""
    y, noise = torch.tensor([[0.5]], dtype=F64), IsotropicNoise(1.0)
    target = skew()
    axis = torch.linspace(-9, 9, 4001, dtype=F64)
    density = torch.distributions.Normal(0.0, 1.0).log_prob(axis).softmax(0)
    w, w_mirrored = (target.log_prob(0.5 + e[:, None]).exp() for e in (axis, -axis))
    mean = (density * w * axis).sum() / (density * w).sum()
    if antithetic:  # pairs are what is independent
        total, moment = (w + w_mirrored) / 2, (w * (axis - mean) + w_mirrored * (-axis - mean)) / 2
        groups = 2
    else:
        total, moment, groups = w, w * (axis - mean), 1
    leading = -groups * (density * total * moment).sum() / (density * w).sum() ** 2
    repetitions = 200_000

    def bias(n, richardson):
        denoiser = Importance(n, antithetic, "stein", richardson)
        rows = y.expand(repetitions, 1)
        found = denoiser.estimate(target, rows, noise, torch.Generator().manual_seed(n)).mean - (0.5 + mean)
        return float(found.mean()), float(found.std()) / math.sqrt(repetitions)

    plain, error = bias(16, False)
    assert abs(plain) > 8 * error
    expected = float(leading) / 16
    assert abs(plain - expected) < 4 * error + abs(expected) * 3 / 16  # the next order is 1 / n of it, times a few
    corrected, error = bias(16, True)
    assert abs(corrected) < 4 * error + abs(expected) * 6 / 16


def test_importance_counts_log_densities_and_scores():
    y, noise = measured(PLANE, IsotropicNoise(1.0), 7), IsotropicNoise(1.0)
    for form, scores in (("stein", 0), ("gradient", 7 * 128), ("blend", 7 * 128)):
        counted = Counted(PLANE)
        Importance(128, form=form).estimate(counted, y, noise, torch.Generator().manual_seed(0))
        assert (counted.log_probs, counted.scores) == (7 * 128, scores)


def test_a_grid_is_paid_for_in_every_tally():
    y, noise = measured(PLANE, IsotropicNoise(1.0), 7), IsotropicNoise(1.0)
    inside = Counted(PLANE)
    outside = Counted(inside)
    denoiser = Quadrature().bind(outside, noise)
    denoiser.estimate(outside, y, noise)
    assert outside.tally == inside.tally
    first = outside.log_probs
    assert first > 0
    denoiser.estimate(Counted(PLANE, outside.tally), y, noise)
    assert outside.log_probs == first


def test_rows_are_answered_in_parts_that_fit(monkeypatch):
    monkeypatch.setattr("samplers.denoisers.importance.ROWS", 128 * 2 * 3)
    sizes = []

    class Watched(targets.Target):
        def log_prob(self, x):
            sizes.append(len(x))
            return -0.5 * x.square().sum(-1)

    found = Importance(128, form="stein").estimate(
        Watched(2, dtype=F64), torch.zeros(8, 2, dtype=F64), IsotropicNoise(1.0), torch.Generator().manual_seed(0)
    )
    assert sizes == [3, 3, 2]
    assert found.mean.shape == (8, 2)


def test_few_effective_draws_are_not_trusted():
    target = targets.Gaussian(torch.zeros(30, dtype=F64))
    noise = IsotropicNoise(4.0)
    y = measured(target, noise, 20)
    generator = torch.Generator().manual_seed(0)
    found = Importance(256).estimate(target, y, noise, generator)
    assert not found.trusted.any()
    assert torch.equal(Importance(256, floor=0.0).estimate(target, y, noise, generator).trusted, torch.ones(20) > 0)
    with pytest.raises(UntrustedEstimate, match=r"Importance\(256\) does not believe 100% of its estimates"):
        Noisy(target, noise, denoiser=Importance(256)).score(y)


def test_a_density_that_is_not_a_number_is_not_trusted():
    target = targets.LogDensity(lambda x: torch.where(x[:, 0] > 1, x[:, 0] * math.nan, 0 * x[:, 0]), 1, dtype=F64)
    y = torch.tensor([[0.0], [-8.0], [math.nan]], dtype=F64)
    found = Importance(512, form="stein").estimate(target, y, IsotropicNoise(1.0), torch.Generator().manual_seed(0))
    assert found.trusted.tolist() == [False, True, True]
    assert found.mean.isfinite()[:, 0].tolist() == [False, True, False]


def test_outside_the_support_weights_are_zero():
    target = targets.LogDensity(lambda x: torch.where(x[:, 0] > 0, -x[:, 0], -math.inf), 1, dtype=F64)
    y = torch.zeros(2000, 1, dtype=F64)
    found = Importance(512).estimate(target, y, IsotropicNoise(1.0), torch.Generator().manual_seed(0))
    # x | y = 0 is N(-1, 1) beyond 0
    tail = torch.distributions.Normal(0.0, 1.0)
    one = torch.tensor(1.0, dtype=F64)
    exact = -1 + float(tail.log_prob(one).exp() / (1 - tail.cdf(one)))
    error = float(found.mean.std()) / math.sqrt(2000)
    # no blend of integration by parts on a density with a jump: Stein's identity needs a smooth one
    stein = Importance(512, form="stein").estimate(target, y, IsotropicNoise(1.0), torch.Generator().manual_seed(0))
    assert found.mean.isfinite().all()
    assert abs(float(stein.mean.mean()) - exact) < 4 * error + 3 / 512


def test_importance_draws_have_the_law_of_x_given_y_up_to_the_bias():
    noise = IsotropicNoise(1.0)
    y = measured(PLANE, noise, 8_000, seed=9)
    x = Importance(256).draw(PLANE, y, noise, torch.Generator().manual_seed(10))
    reference = PLANE.sample_given(y, noise, generator=torch.Generator().manual_seed(11))
    difference = x - reference
    assert (difference.mean(0).abs() < 4 * difference.std(0) / math.sqrt(8_000) + 2 / 256).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"draws": 1}, "draws: got 1, expected an integer of at least 2"),
        ({"draws": 101}, "draws: got 101, expected a multiple of 2"),
        ({"draws": 102, "richardson": True}, "draws: got 102, expected a multiple of 4"),
        ({"form": "tweedie"}, "form: got 'tweedie', expected 'blend', 'stein' or 'gradient'"),
        ({"floor": -1.0}, "floor: got -1.0"),
    ],
)
def test_bad_arguments_of_importance(arguments, message):
    with pytest.raises(ValueError, match=message):
        Importance(**arguments)


# The automatic choice


class Fixed(Denoiser):
    """Answers everything by a constant, and counts the rows it is asked for."""

    density = True

    def __init__(self, value):
        self.value, self.asked = value, 0

    def estimate(self, target, y, noise, generator, memory=None):
        self.asked += len(y)
        trusted = y[:, 0] < 5 if self.value == 1.0 else y[:, 0] < 50
        ess = torch.where(trusted, 100.0, 1.0).double()
        return Estimate(torch.full_like(y, self.value), torch.full_like(y[:, 0], self.value), ess=ess, trusted=trusted)

    def draw(self, target, y, noise, generator, memory=None):
        return torch.full_like(y, 10 * self.value)

    def describe(self):
        return f"Fixed({self.value:g})"


def test_rows_that_the_first_does_not_trust_go_to_the_second():
    y = torch.zeros(300, 2, dtype=F64)
    y[7], y[200], y[201] = 10.0, 20.0, 60.0
    first, second = Fixed(1.0), Fixed(2.0)
    denoiser = Auto(first, second).bind(PLANE, IsotropicNoise(1.0))
    assert denoiser.describe() == "Fixed(1), else Fixed(2)"
    found = denoiser.estimate(PLANE, y, IsotropicNoise(1.0), None)
    assert found.fallback.nonzero()[:, 0].tolist() == [7, 200, 201]
    assert torch.equal(found.mean, torch.where(found.fallback, 2.0, 1.0)[:, None].expand(-1, 2).double())
    assert torch.equal(found.log_density, found.mean[:, 0])
    assert (~found.trusted).nonzero()[:, 0].tolist() == [201]
    assert (first.asked, second.asked) == (300, 3)
    x = denoiser.draw(PLANE, y, IsotropicNoise(1.0), torch.Generator())
    assert torch.equal(x, 10 * found.mean)
    denoiser.estimate(PLANE, y[:7], IsotropicNoise(2.0), None)
    assert denoiser.describe() == "Fixed(1) at 1 noise level, Fixed(1) and Fixed(2) at 1 noise level"


def test_where_the_first_is_hopeless_few_rows_are_wasted_on_it():
    y = torch.full((3000, 2), 10.0, dtype=F64)
    first, second = Fixed(1.0), Fixed(2.0)
    denoiser = Auto(first, second).bind(PLANE, IsotropicNoise(1.0))
    found = denoiser.estimate(PLANE, y, IsotropicNoise(1.0), None)
    assert found.fallback.all()
    assert torch.equal(found.mean, torch.full_like(y, 2.0))
    assert (first.asked, second.asked) == (64, 3000)
    assert denoiser.describe() == "Fixed(2) at 1 noise level"


def test_a_floor_beside_the_firsts_own_judgement():
    y = torch.zeros(10, 2, dtype=F64)
    assert not Auto(Fixed(1.0), Fixed(2.0), floor=100.0).estimate(PLANE, y, IsotropicNoise(1.0), None).fallback.any()
    assert Auto(Fixed(1.0), Fixed(2.0), floor=101.0).estimate(PLANE, y, IsotropicNoise(1.0), None).fallback.all()


def test_what_is_chosen_depends_on_the_call_alone():
    noise = IsotropicNoise(1.0)
    y = measured(PLANE, noise, 100)
    kept = Auto(Importance(128), ClosedForm()).bind(PLANE, noise)
    kept.estimate(PLANE, 100 * y, noise, torch.Generator().manual_seed(1))
    again = kept.estimate(PLANE, y, noise, torch.Generator().manual_seed(2))
    fresh = Auto(Importance(128), ClosedForm()).estimate(PLANE, y, noise, torch.Generator().manual_seed(2))
    assert torch.equal(again.mean, fresh.mean)
    assert 0 < int(fresh.fallback.sum()) < 100


def test_an_exact_second_has_no_error():
    noise = IsotropicNoise(8.0)
    y = measured(PLANE, noise, 50)
    found = Auto(Importance(64), ClosedForm()).estimate(PLANE, y, noise, torch.Generator().manual_seed(1))
    exact = ClosedForm().estimate(PLANE, y, noise)
    second = found.fallback
    assert second.any()
    torch.testing.assert_close(found.mean[second], exact.mean[second])
    assert (found.error[second] == 0).all()
    assert found.ess[second].isinf().all()
    assert found.trusted.all()


def test_auto_draws_are_those_of_the_target():
    noise = IsotropicNoise(3.0)
    y = measured(PLANE, noise, 20_000, seed=12)
    x = Auto(Importance(256), ClosedForm()).draw(PLANE, y, noise, torch.Generator().manual_seed(13))
    reference = PLANE.sample_given(y, noise, generator=torch.Generator().manual_seed(14))
    difference = x - reference
    assert (difference.mean(0).abs() < 4 * difference.std(0) / math.sqrt(20_000) + 2 / 30).all()


def test_bad_arguments_of_auto():
    with pytest.raises(TypeError, match="then: got str, expected a Denoiser"):
        Auto(then="smc")
    with pytest.raises(ValueError, match="floor: got -1"):
        Auto(floor=-1)


# By name


def test_defaults():
    noise = IsotropicNoise(1.0)
    assert isinstance(default_denoiser(PLANE, noise), ClosedForm)
    assert isinstance(default_denoiser(Counted(PLANE), noise), ClosedForm)
    assert isinstance(default_denoiser(targets.Rings(dtype=F64), noise), Quadrature)
    assert isinstance(default_denoiser(targets.Funnel(2, dtype=F64), noise), Auto)
    assert isinstance(default_denoiser(targets.ManyWell(2, dtype=F64), noise), Auto)


def test_names():
    noise, well = IsotropicNoise(1.0), targets.ManyWell(1, dtype=F64)
    assert isinstance(as_denoiser("auto", well, noise), Quadrature)
    assert isinstance(as_denoiser("quadrature", well, noise), Quadrature)
    assert isinstance(as_denoiser("importance", well, noise), Importance)
    assert isinstance(as_denoiser("closed form", PLANE, noise), ClosedForm)
    own = Importance(64)
    assert as_denoiser(own, well, noise) is own
    with pytest.raises(ValueError, match=r"denoiser: got 'grid', expected a Denoiser or one of \['auto', 'chains'"):
        as_denoiser("grid", well, noise)
    with pytest.raises(TypeError, match="denoiser: got int, expected a Denoiser"):
        as_denoiser(3, well, noise)
    with pytest.raises(ValueError, match="does not know its sample_given and its smoothed"):
        as_denoiser("closed form", well, noise)


@pytest.mark.slow
def test_importance_fails_with_the_dimension():
    """Two Gaussians at +-3 in every coordinate, noise 9 dim - 1: effective draws and errors as dim and m change."""
    rows = {}
    for dim, m in [(2, 1), (2, 16), (2, 64), (4, 1), (4, 16), (4, 64), (8, 1), (8, 16), (8, 64)]:
        centres = torch.full((2, dim), 3.0, dtype=F64) * torch.tensor([[1.0], [-1.0]], dtype=F64)
        target = targets.GaussianMixture(centres, scales=1.0)
        noise = IsotropicNoise(math.sqrt((9 * dim - 1) / m))
        y = measured(target, noise, 500)
        exact = ClosedForm().estimate(target, y, noise).mean
        for form in ("stein", "gradient", "blend"):
            found = Importance(1000, form=form).estimate(target, y, noise, torch.Generator().manual_seed(dim + m))
            error = float((found.mean - exact).square().mean().sqrt())
            rows[dim, m, form] = error, float(found.ess.mean())
    assert rows[2, 64, "blend"][1] > 500 > 100 > rows[8, 64, "blend"][1]
    assert rows[8, 1, "stein"][1] < 3
    assert rows[8, 1, "gradient"][0] > 10 * rows[8, 1, "stein"][0]  # each fails where the other serves
    assert rows[2, 64, "stein"][0] > 2 * rows[2, 64, "gradient"][0]
    for dim, m in [(2, 1), (2, 16), (2, 64), (4, 16), (4, 64), (8, 64)]:
        least = min(rows[dim, m, "stein"][0], rows[dim, m, "gradient"][0])
        assert rows[dim, m, "blend"][0] < 1.5 * least
