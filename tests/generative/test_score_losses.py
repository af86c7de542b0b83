"""Score matching: the identities between the losses, their minimum, their weights, what is refused."""

import math

import pytest
import score_matching_cases as cases
import torch
from score_matching_cases import F64, MIXTURE, PROCESSES, model_of, seeded

import targets
from samplers.generative import (
    DebiasedTimes,
    Denoising,
    Explicit,
    Implicit,
    LogSNRTimes,
    NoiseOf,
    ScoreMLP,
    ScoreModel,
    Sliced,
    Sum,
    UniformTimes,
)
from samplers.processes.linear import VP, Brownian

EVERY = pytest.mark.parametrize("name", PROCESSES)
LOSSES = [Implicit(), Sliced(probes=2), Denoising(), Denoising(centred=True)]


@EVERY
def test_identities(name):
    cases.check_identities(PROCESSES[name])


@EVERY
def test_minimum(name):
    cases.check_minimum(PROCESSES[name])


@EVERY
def test_weights(name):
    cases.check_weights(PROCESSES[name])


def test_implicit_by_quadrature():
    """In one dimension: E ISM = E ESM - I(p_t) / 2 to quadrature error, at a wrong score."""
    process, target = VP(), cases.NARROW
    x = torch.linspace(-4, 4, 20_001, dtype=F64)[:, None]
    t = torch.full((len(x),), 0.1, dtype=F64)
    state = cases.NoisyState(process, t, x)
    example = cases.Example(x, x, state)  # neither loss looks at the data
    density = cases.log_density(target, process, x, t).exp()
    model = model_of(target, process, theta=0.5)
    fisher = 0.5 * cases.exact_score(target, process)(x, t).square().sum(-1)
    explicit = Explicit(score=cases.exact_score(target, process)).rows(model, example, seeded())
    implicit = Implicit().rows(model, example, seeded())
    found = torch.trapezoid(density * (implicit - explicit + fisher).detach(), x[:, 0])
    torch.testing.assert_close(found, torch.zeros((), dtype=F64), atol=1e-8, rtol=0.0)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_gradients_reach_the_network(loss):
    """Training by every loss: parameters of a network get gradients, in float32, and none without gradients."""
    process = VP(noise=cases.NOISE)
    network = ScoreMLP(width=8, blocks=1).make(process, NoiseOf(), torch.zeros(2), torch.eye(2), seeded())
    model = ScoreModel(network, process, NoiseOf())
    x = MIXTURE.to(dtype=torch.float32).sample(64, generator=seeded(1))
    rows = loss(model, x, seeded(2))
    assert rows.shape == (64,)
    assert rows.dtype == F64
    rows.mean().backward()
    out = network.body.out.weight.grad
    assert out is not None
    assert bool(out.isfinite().all())
    assert bool((out != 0).any())
    with torch.no_grad():
        again = loss(model, x, seeded(2))
    assert not again.requires_grad
    torch.testing.assert_close(again, rows.detach())


def test_sum_of_losses():
    """The parts at the same times and noise, each with its weight: where they draw nothing of their own, to the bit."""
    model, x = model_of(MIXTURE, VP(), theta=0.5), MIXTURE.sample(16, generator=seeded(1))
    parts = [(1.0, Denoising()), (0.2, cases.HessianMatching(weighting="noise level"))]
    with torch.no_grad():
        expected = sum(factor * loss(model, x, seeded(2)) for factor, loss in parts)
        torch.testing.assert_close(Sum(parts)(model, x, seeded(2)), expected, rtol=0.0, atol=0.0)
    for wrong, message in (
        ([], "parts: got losses at the times "),
        ([(1.0, Denoising()), (1.0, Implicit(times=UniformTimes()))], "parts: got losses at the times .* the same"),
        ([(0.0, Denoising())], "parts: got 0.0, expected a positive finite number"),
    ):
        with pytest.raises(ValueError, match=message):
            Sum(wrong)


def test_same_seed_same_rows():
    x = MIXTURE.sample(16, generator=seeded(1))
    for loss in LOSSES:
        first, second = (loss(model_of(MIXTURE, VP(), theta=0.2), x, seeded(2)) for _ in range(2))
        assert torch.equal(first, second)


def test_denoising_down_to_the_data():
    """Finite where the weight is small there, or centred; infinite, and refused, under the likelihood's weight."""
    model, x = model_of(MIXTURE, VP()), MIXTURE.sample(64, generator=seeded(1))
    for loss in (
        Denoising(weighting="noise level", times=DebiasedTimes()),
        Denoising(weighting="noise level", times=UniformTimes(0.0)),
        Denoising(weighting="output", times=DebiasedTimes()),
        Denoising(times=DebiasedTimes(), centred=True),
        Denoising(),
        Denoising(weighting=lambda t: t.sqrt(), times=UniformTimes(0.0)),
    ):
        assert bool(loss(model, x, seeded(2)).isfinite().all())
    for weighting in ("likelihood", "uniform", torch.ones_like):
        for times in (DebiasedTimes(), UniformTimes(0.0)):
            with pytest.raises(ValueError, match="weighting, times: .* makes this loss infinite for every model"):
                Denoising(weighting=weighting, times=times)(model, x, seeded(2))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Denoising(weighting="nosie level"), ValueError, "weighting: got 'nosie level', expected 'uniform', "),
        (lambda: Denoising(times=3), TypeError, "times: got 3, expected a samplers.generative.Times"),
        (lambda: Sliced(probes=0), ValueError, "probes: got 0, expected an integer of at least 1"),
        (lambda: cases.HessianMatching(weighting="output"), ValueError, "weighting: got 'output', expected another"),
        (lambda: cases.HessianMatching(probes=0), ValueError, "probes: got 0, expected an integer of at least 1"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (Denoising(weighting=lambda t: -t), "weighting: returned a weight that is negative or not finite"),
        (Denoising(weighting=lambda t: t / 0), "weighting: returned a weight that is negative or not finite"),
        (Denoising(weighting=lambda t: t[:, None]), r"weighting: returned shape \(8, 1\), expected \(8,\), that of t"),
        (Denoising(times=LogSNRTimes(2.0)), "least: got 2, expected less than the horizon, 1"),
        (Denoising(times=DebiasedTimes(2.0)), "knee: got 2, expected less than the horizon, 1"),
    ],
)
def test_bad_weights_and_times(loss, message):
    with pytest.raises(ValueError, match=message):
        loss(model_of(MIXTURE, VP()), MIXTURE.sample(8, generator=seeded(1)), seeded(2))


def test_data_of_a_wrong_shape():
    for loss in LOSSES:
        with pytest.raises(ValueError, match=r"x: got shape \(3,\), expected \(n, dim\)"):
            loss(model_of(MIXTURE, VP()), torch.zeros(3, dtype=F64), seeded())


def test_likelihood_weight_of_a_gaussian_is_its_entropy():
    """N(0, 1) under Brownian motion to T: int E|score|^2 / 2 dt = log(1 + T) / 2, and no row of ISM has noise of e."""
    target = targets.GaussianMixture(torch.zeros(1, 1, dtype=F64), scales=1.0)
    process = Brownian(horizon=3.0)
    loss = Implicit(weighting="likelihood", times=UniformTimes(0.0))
    with torch.no_grad():
        rows = loss(model_of(target, process), target.sample(20_000, generator=seeded(1)), seeded(2))
    cases.check_mean(rows, -0.5 * math.log(4.0), what="ISM")
