"""Guidance: what is exact of it, how biased the plain kind is, and that twisted diffusion is not."""

import math

import pytest
import torch
from likelihood_cases import CORRELATED, F64, Mixture, generator
from seeded_bugs_likelihood import BUGS, of

from samplers.generative import noise_law, probability_flow
from samplers.generative.guidance import (
    TwistedDiffusion,
    classifier_free,
    classifier_guided,
    conditioned,
    energy_guided,
)
from samplers.generative.reverse_step import ReverseSteps
from samplers.processes.grids import uniform
from samplers.processes.linear import VP, OrnsteinUhlenbeck
from targets import GaussianMixture

# .3 N(-2, .5^2) + .7 N(1, .3^2) times exp(-(x + .5)^2 / (2 .7^2))
MEANS, SCALES, WEIGHTS = (torch.tensor(v, dtype=F64) for v in ([-2.0, 1.0], [0.5, 0.3], [0.3, 0.7]))
PLACE, WIDTH = -0.5, 0.7


def prior(process):
    return Mixture(process, MEANS[:, None], SCALES, WEIGHTS)


def energy(x):
    return 0.5 * ((x - PLACE) / WIDTH).square().sum(-1)


def posterior(process):
    """Component by component a product of Gaussians, and log Z of them all."""
    variances = SCALES**2
    precision = 1 / variances + 1 / WIDTH**2
    means = (MEANS / variances + PLACE / WIDTH**2) / precision
    total = variances + WIDTH**2
    log_parts = WEIGHTS.log() + 0.5 * (WIDTH**2 / total).log() - 0.5 * (MEANS - PLACE) ** 2 / total
    return Mixture(process, means[:, None], precision.rsqrt(), log_parts.softmax(0)), float(log_parts.logsumexp(0))


def noised_likelihood(process):
    """log E[exp(-E(X)) | x_t = x] by quadrature, differentiable in x."""
    law, u = prior(process).law(), torch.linspace(-6, 4, 2001, dtype=F64)[:, None]
    log_law = law.log_prob(u)

    def log_likelihood(x, t):
        scale, variance = (float(v) for v in process.transition(0.0, t))
        joint = log_law - 0.5 * (x - scale * u[:, 0]).square() / variance
        return torch.logsumexp(joint - energy(u), -1) - torch.logsumexp(joint, -1)

    return log_likelihood


# Exact


@pytest.mark.parametrize("t", [0.1, 0.5, 1.0])
def test_the_likelihood_of_the_noised_state_gives_the_exact_score(t):
    process = VP()
    guided = classifier_guided(prior(process).score, noised_likelihood(process))
    x = torch.linspace(-3, 2, 21, dtype=F64)[:, None]
    torch.testing.assert_close(guided(x, t), posterior(process)[0].score(x, t), rtol=1e-8, atol=1e-8)


def test_plain_guidance_is_exact_for_a_linear_energy_and_a_gaussian():
    """E[exp(-cX) | x_t] = exp(-c D + c^2 Var / 2), whose second factor has no gradient."""
    process = VP(noise=CORRELATED)
    model = Mixture.single(process, 2, mean=0.5, scale=0.7)
    slope = torch.tensor([0.8, -0.3], dtype=F64)
    guided = energy_guided(model.score, lambda x: x @ slope, process)
    moved = Mixture(process, model.means - 0.49 * CORRELATED.times(slope), model.scales, model.weights)
    x = torch.randn(7, 2, dtype=F64, generator=generator())
    for t in (0.05, 0.6, 1.0):
        torch.testing.assert_close(guided(x, t), moved.score(x, t))


def test_at_the_data_every_kind_is_the_score_of_the_product():
    process = VP()
    x = torch.linspace(-3, 2, 21, dtype=F64)[:, None]
    exact = posterior(process)[0].score(x, 0.0)
    for at in ("clean", "noisy"):
        torch.testing.assert_close(energy_guided(prior(process).score, energy, process, at=at)(x, 0.0), exact)


def test_weights_of_guidance():
    model, process = prior(VP()), VP()
    x = torch.linspace(-3, 2, 5, dtype=F64)[:, None]
    plain = model.score(x, 0.4)
    noisy = energy_guided(model.score, energy, process, weight=2.0, at="noisy")(x, 0.4)
    torch.testing.assert_close(noisy, plain - 2 * (x - PLACE) / WIDTH**2)
    guided = classifier_guided(model.score, lambda x, t: t * x[:, 0] ** 2, weight=3.0)(x, 0.4)
    torch.testing.assert_close(guided, plain + 3 * 0.4 * 2 * x)


def test_conditions():
    def score(x, t, y):
        return t * (y - x)

    x = torch.randn(5, 2, dtype=F64, generator=generator())
    torch.testing.assert_close(conditioned(score, 2.0)(x, 0.5), 0.5 * (2 - x))
    torch.testing.assert_close(classifier_free(score, 2.0, 0.0, 0.0)(x, 0.5), 0.5 * (2 - x))
    torch.testing.assert_close(classifier_free(score, 2.0, 0.0, -1.0)(x, 0.5), 0.5 * (0 - x))
    torch.testing.assert_close(classifier_free(score, 2.0, 0.0, 1.5)(x, 0.5), 0.5 * (5 - x))


def test_a_conditional_model_has_a_likelihood():
    """Of the exact conditional scores of a mixture told its component."""
    process = VP()
    parts = [Mixture.single(process, 1, float(m), float(s)) for m, s in zip(MEANS, SCALES, strict=True)]
    score = conditioned(lambda x, t, y: parts[y].score(x, t), 1)
    x = torch.linspace(0, 2, 5, dtype=F64)[:, None]
    found = probability_flow(score, process, parts[1].end).log_prob(x)
    torch.testing.assert_close(found, parts[1].law().log_prob(x), rtol=0, atol=1e-4)


# The bias of plain guidance


def by_the_flow(score):
    """The mean and the share of the left component of what the probability flow makes of 2,000 even quantiles."""
    process = VP()
    quantiles = torch.special.ndtri((torch.arange(2000, dtype=F64) + 0.5) / 2000)[:, None]
    flow = probability_flow(score, process, noise_law(process, 1, dtype=F64), rtol=1e-5, atol=1e-5)
    x = flow.transport(quantiles, to_prior=False)
    return float(x.mean()), float((x < -0.4).double().mean())


def test_the_bias_of_plain_guidance_and_none_of_the_exact_one():
    """The figures that `energy_guided` quotes."""
    process = VP()
    exact, _ = posterior(process)
    mean = float(exact.weights @ exact.means[:, 0])
    share = float((exact.weights * torch.special.ndtr((-0.4 - exact.means[:, 0]) / exact.scales)).sum())
    assert (mean, share) == pytest.approx((-0.060, 0.365), abs=5e-4)
    # what is left is the prior's, whose share of the signal at T is .0066
    assert by_the_flow(exact.score) == pytest.approx((mean, share), abs=0.002)
    clean = by_the_flow(energy_guided(prior(process).score, energy, process))
    assert clean == pytest.approx((-0.67, 0.95), abs=0.01)
    noisy = by_the_flow(energy_guided(prior(process).score, energy, process, at="noisy"))
    assert noisy == pytest.approx((-0.48, 1.0), abs=0.01)


# Twisted diffusion


def chain_values(twisted, functions, n=801, reach=7.0):
    """E[f(x_0) exp(-E(x_0))] of the model's reverse steps on the line, by quadrature over every state."""
    steps = ReverseSteps.of(twisted.process, twisted.grid, twisted.data_variance)
    u = torch.linspace(-reach, reach, n, dtype=F64)[:, None]
    width = float(u[1, 0] - u[0, 0])
    values = torch.stack([(-energy(u)).exp() * f(u[:, 0]) for f in functions], -1)
    for k in reversed(range(len(steps.time))):
        t, keep, pull, variance = (float(v[k]) for v in (steps.time, steps.keep, steps.pull, steps.variance))
        mean = keep * u + pull * twisted.score(u, t)
        kernel = torch.exp(-0.5 * (u.mT - mean).square() / variance) * (width / math.sqrt(2 * math.pi * variance))
        values = kernel @ values
    return (twisted.prior.log_prob(u).exp() * width) @ values


def twisted_of(score, steps=5, **options):
    process = OrnsteinUhlenbeck(horizon=2.0)
    return TwistedDiffusion(score, process, uniform(steps, 2.0), noise_law(process, 1, dtype=F64), **options)


OU = OrnsteinUhlenbeck(horizon=2.0)
TWISTED = {
    "exact score": twisted_of(prior(OU).score, data_variance=0.3),
    "wrong score": twisted_of(prior(OU).wrong, data_variance=0.3, twist=lambda x, t: -0.3 * (2 - t) * energy(x)),
    "no twist": twisted_of(prior(OU).score, data_variance=0.3, twist=lambda x, t: 0 * x[:, 0]),
    "always resampled": twisted_of(prior(OU).score, data_variance=0.3, ess_threshold=1.0),
    "never resampled": twisted_of(prior(OU).score, data_variance=0.3, ess_threshold=0.0),
}


@pytest.mark.parametrize("name", TWISTED)
def test_z_of_twisted_diffusion_is_unbiased(name):
    """With 20 particles, against the model's own Z by quadrature."""
    twisted, draws = TWISTED[name], generator(1)
    exact = float(chain_values(twisted, [torch.ones_like])[0])
    z = torch.tensor([twisted.sample(energy, 20, generator=draws).log_z for _ in range(150)], dtype=F64).exp() / exact
    assert float(z.std()) > 0.01
    assert abs(float(z.mean() - 1)) < 5 * float(z.std()) / math.sqrt(150)


@pytest.mark.parametrize("name", ["exact score", "wrong score", "no twist"])
def test_expectations_of_twisted_diffusion_are_consistent(name):
    """Weighted sums with 20 times as many particles, their errors from independent runs."""
    twisted, draws = TWISTED[name], generator(2)
    total, first, left = chain_values(twisted, [torch.ones_like, lambda u: u, lambda u: (u < -0.4).double()])
    exact = torch.stack([first, left]) / total
    runs = []
    for _ in range(20):
        found = twisted.sample(energy, 4000, generator=draws)
        x = found.x[:, 0]
        runs.append(found.expectation(torch.stack([x, (x < -0.4).double()], -1)))
    runs = torch.stack(runs)
    assert bool(((runs.mean(0) - exact).abs() < 5 * runs.std(0) / math.sqrt(20)).all())
    assert bool((runs.std(0) < 0.05).all())


def test_twisted_diffusion_in_the_plane_with_correlated_noise():
    """Gaussian data N(m, w C): the steps are exact, and so is Z."""
    process = VP(noise=CORRELATED)
    model = Mixture.single(process, 2, mean=0.5, scale=0.7)
    place = torch.tensor([1.0, 0.0], dtype=F64)
    twisted = TwistedDiffusion(model.score, process, uniform(8), model.end, data_variance=0.49)
    covariance = 0.49 * CORRELATED.covariance(2)
    total = covariance + 0.25 * torch.eye(2, dtype=F64)
    exact = float(GaussianMixture(model.means, covariances=total[None]).log_prob(place))
    exact += math.log(2 * math.pi * 0.25)
    mean = model.means[0] + covariance @ torch.linalg.solve(total, place - model.means[0])

    def pull(x):
        return 2 * (x - place).square().sum(-1)

    draws, z, means = generator(3), [], []
    for _ in range(150):
        found = twisted.sample(pull, 100, generator=draws)
        z.append(math.exp(found.log_z - exact))
        means.append(z[-1] * found.expectation(found.x))  # unbiased too, times Z
    z, means = torch.tensor(z, dtype=F64), torch.stack(means)
    assert abs(float(z.mean() - 1)) < 5 * float(z.std()) / math.sqrt(150)
    assert bool(((means.mean(0) - mean).abs() < 5 * means.std(0) / math.sqrt(150)).all())


def test_it_tends_to_the_posterior_of_the_mixture_as_the_steps_shrink():
    exact, log_z = posterior(OU)
    errors = []
    for steps in (5, 20, 80):
        twisted = twisted_of(prior(OU).score, steps)
        total, first = chain_values(twisted, [torch.ones_like, lambda u: u], n=801, reach=6.0)
        errors.append(abs(float(first / total) - float(exact.weights @ exact.means[:, 0])))
    assert errors[0] > errors[1] > errors[2], errors
    assert abs(float(total.log()) - log_z) < 0.15


def test_a_twist_makes_weights_more_even():
    draws = generator(4)
    spread = {}
    for name in ("exact score", "no twist"):
        runs = [TWISTED[name].sample(energy, 200, generator=draws).log_z for _ in range(40)]
        spread[name] = float(torch.tensor(runs).var())
    assert spread["exact score"] < spread["no twist"]


def test_energies_that_are_infinite_have_no_weight():
    """A wall: what is beyond it is impossible."""

    def wall(x):
        return torch.where(x[:, 0] < 0, energy(x), torch.inf)

    twisted = twisted_of(prior(OU).score, data_variance=0.3, twist=lambda x, t: 0 * x[:, 0])
    found = twisted.sample(wall, 2000, generator=generator())
    assert float(found.expectation((found.x[:, 0] < 0).double())) == pytest.approx(1)


# Errors


def test_errors():
    process, score = VP(), lambda x, t: -x
    with pytest.raises(ValueError, match="at: got 'both', expected 'clean' or 'noisy'"):
        energy_guided(score, energy, process, at="both")
    with pytest.raises(ValueError, match="weight: got -1, expected a finite number of at least 0"):
        energy_guided(score, energy, process, weight=-1)
    with pytest.raises(ValueError, match=r"energy: got shape \(3, 1\), expected \(3,\), one for each point"):
        energy_guided(score, lambda x: x, process)(torch.zeros(3, 1, dtype=F64), 0.5)
    with pytest.raises(ValueError, match=r"score: got shape \(3,\), expected that of x, \(3, 1\)"):
        classifier_guided(lambda x, t: x[:, 0], lambda x, t: x[:, 0])(torch.zeros(3, 1, dtype=F64), 0.5)
    with pytest.raises(ValueError, match=r"score: got shape \(3,\), expected that of x, \(3, 1\)"):
        conditioned(lambda x, t, y: x[:, 0], None)(torch.zeros(3, 1, dtype=F64), 0.5)
    with pytest.raises(ValueError, match="data_variance: got 0, with which the last step cannot be weighed"):
        twisted_of(score, data_variance=0.0)
    with pytest.raises(ValueError, match="draws: got 1, expected an integer of at least 2"):
        twisted_of(score).sample(energy, 1, generator=generator())


@pytest.mark.parametrize("name", of("test_guidance"))
def test_seeded_bugs_are_rejected(name, monkeypatch):
    _, test, arguments, patch = BUGS[name]
    patch(monkeypatch)
    with pytest.raises(AssertionError):
        globals()[test](**arguments)
