"""Bounds on log-densities, in continuous time and of so many steps, and their gaps."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from likelihood_cases import F64, IN_THE_PLANE, PROCESSES, EvenNoise, Linear, Mixture, agree, generator
from seeded_bugs_likelihood import BUGS, of

from samplers.generative import (
    PointEstimates,
    ddpm_elbo,
    discrete_elbo,
    elbo,
    family_elbo,
    noise_law,
    variational_gap,
    vdm_elbo,
)
from samplers.generative.elbo import ESTIMATORS
from samplers.processes.grids import uniform
from samplers.processes.linear import VE, VP, Brownian, OrnsteinUhlenbeck
from targets import Gaussian

EVERY = pytest.mark.parametrize("name", IN_THE_PLANE)


def bound(case, x, prior, score=None, **options):
    settings = {"times": 16, "noises": 256, "repetitions": 6, "generator": generator()} | options
    return elbo(score or case.score, case.process, prior, x, **settings)


# The gap


@pytest.mark.parametrize(
    ("name", "estimator"),
    [(name, "denoising") for name in IN_THE_PLANE]
    + [(name, estimator) for name in ("VP", "correlated VE") for estimator in ("implicit", "sliced")],
)
def test_an_exact_score_and_prior_leave_no_gap(name, estimator):
    mixture = Mixture.of(IN_THE_PLANE[name], 2)
    x = mixture.law().sample(5, generator=generator(1))
    agree(bound(mixture, x, mixture.end, estimator=estimator), mixture.law().log_prob(x))


@EVERY
def test_the_gap_of_a_wrong_score_is_that_of_the_formula(name):
    """Of a linear one, whose model is a Gaussian: log-density, bound and gap are found by three different ways."""
    model = Linear(IN_THE_PLANE[name], 2)
    x = torch.tensor([[0.0, 0.0], [1.0, -0.5], [0.3, 0.8]], dtype=F64)
    options = {"times": 16, "noises": 256, "repetitions": 6, "generator": generator(1)}
    low = bound(model, x, noise_law(model.process, 2, dtype=F64), **options)
    gap = variational_gap(model.score, model.model_score(), model.process, x, **options)
    exact = model.law.log_prob(x)
    assert bool((gap.value > 20 * gap.standard_error).all())  # or an equality of two zeros is no test
    assert bool((low.value < exact).all())
    agree(low, exact - gap.value, gap.standard_error)


def test_brownian_motion_without_control():
    """The case that shows the 1/2 missing in the printed theorem: (T - log(1 + T)) / 2 at x = 0."""
    horizon = 2.0
    process = Brownian(horizon=horizon)
    prior, x = Gaussian(torch.zeros(1, dtype=F64)), torch.zeros(1, 1, dtype=F64)
    found = elbo(lambda x, t: 0 * x, process, prior, x, times=8, noises=500, repetitions=10, generator=generator())
    exact = -0.5 * math.log(2 * math.pi * (1 + horizon))
    gap = 0.5 * (horizon - math.log1p(horizon))
    agree(found, torch.tensor([exact - gap], dtype=F64))
    assert float(found.standard_error) < gap / 20
    options = {"times": 32, "noises": 100, "repetitions": 10, "generator": generator()}
    formula = variational_gap(lambda x, t: 0 * x, lambda x, t: -x / (1 + horizon - t), process, x, **options)
    agree(formula, torch.tensor([gap], dtype=F64))
    assert float(formula.standard_error) < gap / 20


@pytest.mark.parametrize("name", PROCESSES)
def test_the_mean_over_data_falls_short_by_the_error_of_the_score(name):
    """E ELBO = E log q - KL(q_T || prior) - 1/2 int g^2 E |s - grad log q_t|^2 dt, for any score."""
    mixture = Mixture.of(PROCESSES[name], 2)
    draws = generator(2)
    x = mixture.law().sample(2000, generator=draws)
    prior = noise_law(mixture.process, 2, dtype=F64)
    options = {"times": 32, "repetitions": 2, "generator": draws}
    low = elbo(mixture.wrong, mixture.process, prior, x, **options)
    error = variational_gap(mixture.wrong, mixture.score, mixture.process, x, **options)
    ends = mixture.end.sample(2000, generator=draws)
    parts = torch.stack(
        [low.value + error.value - mixture.law().log_prob(x), mixture.end.log_prob(ends) - prior.log_prob(ends)]
    )
    total = parts.mean(1).sum()  # x and the ends are independent
    assert float(error.value.mean()) > 0.1
    assert abs(float(total)) < 5 * float((parts.var(1).sum() / 2000).sqrt())


# What the estimates are


@pytest.mark.parametrize("name", ["VP", "VE"])
def test_estimators_agree_and_their_errors_are_honest(name):
    """60 repetitions as 20 groups of 3: their scatter about their mean is what their standard errors say."""
    mixture = Mixture.of(PROCESSES[name], 2)
    x = mixture.law().sample(1, generator=generator(1))
    prior = noise_law(mixture.process, 2, dtype=F64)
    means, errors = [], []
    for estimator in ESTIMATORS:
        found = bound(mixture, x, prior, mixture.wrong, times=4, noises=4, repetitions=60, estimator=estimator)
        groups = PointEstimates(found.repetitions.reshape(3, 20))
        excess = (groups.value - found.value).square() - groups.standard_error.square()
        assert abs(float(excess.mean() / excess.std())) * math.sqrt(20) < 5
        means.append(float(found.value))
        errors.append(float(found.standard_error))
    for mean, error in zip(means[1:], errors[1:], strict=True):
        assert abs(mean - means[0]) < 5 * math.hypot(error, errors[0])


def test_mirrored_noise_leaves_an_error_of_the_order_of_the_variance():
    """In short processes, of v from .001 to .016: errors of single noises would grow as sqrt(v), four times."""
    spread = []
    for horizon in (1e-3, 16e-3):
        mixture = Mixture.of(VP(1.0, 1.0, horizon), 2)
        x = mixture.means[:1] + 0.1
        settings = {"times": 2, "noises": 16, "repetitions": 100}
        spread.append(float(bound(mixture, x, mixture.end, **settings).repetitions.std()))
    assert 10 < spread[1] / spread[0] < 20, spread


def test_a_later_start_bounds_the_log_density_of_the_data_themselves():
    """Its Gaussian decoder costs the more the later it is; as t_min tends to 0 the bound is that from 0."""
    mixture = Mixture.of(VP(), 2)
    x = mixture.law().sample(5, generator=generator(1))
    exact = mixture.law().log_prob(x)
    lost = []
    for t_min in (0.1, 0.03, 1e-4):
        found = bound(mixture, x, mixture.end, t_min=t_min, noises=256)
        lost.append(float((exact - found.value).mean()))
    assert lost[0] > lost[1] > 0.01
    agree(found, exact)


# The lambda family


def test_the_mean_bound_of_the_lambda_family():
    """CT-ELBO_lambda = CT-ELBO_0 - lambda^2 / (4 (1 - lambda)) int E g^2 |s - grad log q|^2 / 2 dt, paired by draws."""
    mixture = Mixture.of(VP(beta_max=8.0), 2)
    x = mixture.law().sample(3000, generator=generator(1))
    prior = noise_law(mixture.process, 2, dtype=F64)
    settings = {"times": 32, "repetitions": 2}
    given = (mixture.process, prior, x)
    low = elbo(mixture.wrong, *given, generator=generator(2), **settings)
    error = variational_gap(mixture.wrong, mixture.score, mixture.process, x, generator=generator(3), **settings)
    for family in (-1.0, 0.5):
        found = family_elbo(mixture.wrong, mixture.score, *given, family, generator=generator(4), **settings)
        cost = family**2 / (4 * (1 - family)) * error.value
        rest = found.value - low.value + cost
        assert float(cost.mean()) > 0.03
        assert abs(float(rest.mean())) < 5 * float(rest.std()) / math.sqrt(3000)


@pytest.mark.parametrize("family", [-1.0, 0.0, 0.5])
def test_the_lambda_family_bounds_its_own_model(family):
    """Data and models Gaussian: E CT-ELBO_lambda <= E log p_lambda, p_lambda by its moments' equation."""
    process = OrnsteinUhlenbeck(horizon=2.0)
    data = Gaussian(torch.full((1,), 0.8, dtype=F64), scale=0.6)
    model = Linear(process, 1, family=family)

    def data_score(x, t):
        scale, variance = (float(v) for v in process.transition(0.0, t))
        return -(x - 0.8 * scale) / (0.36 * scale**2 + variance)

    x = data.sample(3000, generator=generator(1))
    prior = noise_law(process, 1, dtype=F64)
    found = family_elbo(
        model.score, data_score, process, prior, x, family, times=64, repetitions=2, generator=generator()
    )
    gap = model.law.log_prob(x) - found.value
    assert float(gap.mean()) > 5 * float(gap.std()) / math.sqrt(3000)


# So many steps


@pytest.mark.parametrize("name", ["VP", "OU", "correlated VP"])
def test_steps_that_are_exact_leave_no_gap(name):
    """Of Gaussian data N(m, w C), at any number of steps."""
    process, w = IN_THE_PLANE[name], 0.49
    model = Mixture.single(process, 2, mean=0.5, scale=0.7)
    x = model.law().sample(4, generator=generator())
    for steps in (1, 2, 7):
        grid = uniform(steps, process.horizon)
        options = {"data_variance": w, "noises": 1000, "repetitions": 10, "generator": generator(1)}
        agree(discrete_elbo(model.score, process, model.end, x, grid, **options), model.law().log_prob(x))


@pytest.mark.parametrize("kind", [ddpm_elbo, vdm_elbo])
def test_the_discrete_bounds_from_their_definition(kind):
    """The ratio of the two path densities, averaged over paths of the noising process, term by term."""
    process = VP(beta_max=8.0)
    mixture = Mixture.of(process, 2)
    prior, grid = noise_law(process, 2, dtype=F64), torch.tensor([0.0, 0.1, 0.4, 1.0], dtype=F64)
    x = torch.tensor([0.5, -0.3], dtype=F64)
    found = kind(mixture.wrong, process, prior, x[None], grid, noises=4000, repetitions=20, generator=generator())
    n, total, state = 40_000, 0.0, x.expand(40_000, 2)
    draws = generator(1)
    for s, t in zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True):
        after = process.diffuse(state, s, t, draws)
        factor, added = (float(v) for v in process.transition(s, t))
        scale, variance = (float(v) for v in process.transition(0.0, t))
        clean = (after + variance * mixture.wrong(after, t)) / scale
        b, c, given = (float(v) for v in process.bridge(0.0, s, t))
        beta = 1 - factor**2
        spread = (beta if kind is ddpm_elbo else given) or variance / scale**2
        total = total + normal(state, b * clean + c * after, spread) - normal(after, factor * state, added)
        state = after
    total = total + prior.log_prob(state)
    agree(found, total.mean()[None], total.std() / math.sqrt(n))


def normal(x, mean, variance):
    return -0.5 * ((x - mean).square() / variance + math.log(2 * math.pi * variance)).sum(-1)


def on_the_line(process):
    """A mixture, a point, and settings under which nothing is random."""
    mixture = Mixture.of(replace(process, noise=EvenNoise()), 1)
    settings = {"noises": 1000, "repetitions": 2, "generator": generator()}
    return mixture, mixture.law().sample(3, generator=generator(1)), settings


def test_ddpm_tends_to_the_continuous_bound_as_one_over_the_steps():
    """Of the exact score and prior, where that is the log-density."""
    mixture, x, settings = on_the_line(VP())
    exact = mixture.law().log_prob(x)
    gaps = [
        (exact - ddpm_elbo(mixture.score, mixture.process, mixture.end, x, uniform(steps), **settings).value).mean()
        for steps in (50, 100, 200)
    ]
    assert gaps[2] > 0
    assert [float(coarse / fine) for coarse, fine in pairwise(gaps)] == pytest.approx([2, 2], abs=0.15)


def test_vdm_tends_to_the_continuous_bound_of_its_first_time_as_one_over_the_steps():
    mixture, x, settings = on_the_line(OrnsteinUhlenbeck(horizon=2.0))
    low = elbo(mixture.score, mixture.process, mixture.end, x, t_min=0.1, times=200, **settings).value
    gaps = []
    for steps in (50, 100, 200):
        grid = torch.cat([torch.zeros(1, dtype=F64), torch.linspace(0.1, 2.0, steps + 1, dtype=F64)])
        found = vdm_elbo(mixture.score, mixture.process, mixture.end, x, grid, **settings)
        gaps.append((low - found.value).mean())
    assert gaps[2] > 0
    assert [float(coarse / fine) for coarse, fine in pairwise(gaps)] == pytest.approx([2, 2], abs=0.15)


def test_vdm_on_an_even_grid_stays_below_by_half_of_eulers_constant():
    """sum_k (1 / (k - 1) - log(k / (k - 1))) / 2, where the data are wide beside the noise."""
    process = Brownian(noise=EvenNoise())
    model = Mixture.single(process, 1, mean=0.5, scale=100.0)
    x, steps = torch.zeros(1, 1, dtype=F64), 100
    settings = {"noises": 200, "repetitions": 2, "generator": generator()}
    found = vdm_elbo(model.score, process, model.end, x, uniform(steps), **settings)
    expected = 0.5 * (sum(1 / k for k in range(1, steps)) - math.log(steps))
    assert expected == pytest.approx(0.5 * 0.5772, abs=0.003)
    assert float(model.law().log_prob(x) - found.value) == pytest.approx(expected, abs=5e-4)


# Errors


def calls():
    process = VP()
    prior, grid = noise_law(process, 2, dtype=F64), uniform(4)
    options = {"generator": generator(), "repetitions": 2}

    def score(x, t):
        return -x

    return {
        "elbo": lambda x, score=score, **more: elbo(score, process, prior, x, **options | more),
        "family": lambda x, score=score, **more: family_elbo(score, score, process, prior, x, 0.5, **options | more),
        "gap": lambda x, score=score, **more: variational_gap(score, score, process, x, **options | more),
        "discrete": lambda x, score=score, **more: discrete_elbo(score, process, prior, x, grid, **options | more),
    }


@pytest.mark.parametrize("name", calls())
def test_bad_points_and_scores(name):
    call = calls()[name]
    with pytest.raises(ValueError, match="x: got values that are not finite, first at point 0"):
        call(torch.full((2, 2), math.nan, dtype=F64))
    if name != "gap":  # it does not know dim
        with pytest.raises(ValueError, match=r"x: got shape \(2, 3\), expected \(\*batch, 2\)"):
            call(torch.zeros(2, 3, dtype=F64))
    with pytest.raises(ValueError, match=r"score: got shape \(4,\), expected that of x, \(4, 2\)"):
        call(torch.zeros(2, 2, dtype=F64), score=lambda x, t: x[:, 0])
    with pytest.raises(ValueError, match="repetitions: got 1, expected an integer of at least 2"):
        call(torch.zeros(2, 2, dtype=F64), repetitions=1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("elbo", {"estimator": "explicit"}, "estimator: got 'explicit', expected 'denoising', 'implicit' or 'sliced'"),
        ("elbo", {"t_min": 1.0}, r"t_min: got 1.0, expected a time in \[0, 1\)"),
        ("elbo", {"times": 0}, "times: got 0, expected an integer of at least 1"),
        ("discrete", {"data_variance": -1.0}, "data_variance: got -1.0, expected at least 0"),
        ("discrete", {"data_variance": 0.0}, "decoder_variance: got 0, expected a positive number"),
    ],
)
def test_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        calls()[name](torch.zeros(2, 2, dtype=F64), **options)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (torch.tensor([0.0, 0.5, 0.5, 1.0]), "grid: expected strictly increasing times"),
        (torch.tensor([0.1, 1.0]), "grid: got a first time of 0.1, expected 0, the data"),
        (torch.tensor([0.0, 0.9]), "grid: got a last time of 0.9, expected the horizon 1"),
        (torch.tensor([1.0]), r"grid: got shape \(1,\), expected \(steps \+ 1,\) times"),
    ],
)
def test_grids(grid, message):
    with pytest.raises(ValueError, match=message):
        ddpm_elbo(lambda x, t: -x, VP(), noise_law(VP(), 1), torch.zeros(1, 1), grid.double(), generator=generator())


def test_other_errors():
    score, process = (lambda x, t: -x), VE(0.1, 1.0)
    with pytest.raises(ValueError, match="family: got 1.0, expected a number below 1"):
        family_elbo(score, score, process, noise_law(process, 1), torch.zeros(1, 1), 1.0, generator=generator())
    with pytest.raises(ValueError, match="score: got values that record no gradient of x"):
        elbo(
            torch.no_grad()(score),
            process,
            noise_law(process, 1),
            torch.zeros(1, 1),
            generator=generator(),
            estimator="implicit",
        )


@pytest.mark.parametrize("name", of("test_elbo"))
def test_seeded_bugs_are_rejected(name, monkeypatch):
    _, test, arguments, patch = BUGS[name]
    patch(monkeypatch)
    with pytest.raises(AssertionError):
        globals()[test](**arguments)
