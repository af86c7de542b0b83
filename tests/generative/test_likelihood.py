"""Log-densities by the probability flow and by other flows, against what is exactly known."""

import math

import pytest
import torch
from likelihood_cases import F64, IN_THE_PLANE, PROCESSES, Mixture, generator
from seeded_bugs_likelihood import BUGS, of

from samplers.denoisers import ClosedForm
from samplers.generative import ContinuousFlow, as_score, noise_law, probability_flow
from samplers.generative.dop853 import integrate
from samplers.processes.linear import VP
from samplers.testing.statistics import two_sample
from targets import CorrelatedNoise, Gaussian, GaussianMixture

CASES = (
    [(name, process, 1) for name, process in PROCESSES.items()]
    + [(name, process, 2) for name, process in IN_THE_PLANE.items()]
    + [(name, process, 16) for name, process in PROCESSES.items()]
)


def flow_of(mixture, **options):
    return probability_flow(mixture.score, mixture.process, mixture.end, **options)


@pytest.mark.parametrize(("process", "dim"), [case[1:] for case in CASES], ids=[f"{n}-{d}" for n, _, d in CASES])
def test_exact_score_of_a_mixture(process, dim):
    """Within 1e-4 nats at the default tolerance; measured at most 4e-6."""
    mixture = Mixture.of(process, dim)
    x = mixture.law().sample(6, generator=generator())
    found = flow_of(mixture).log_prob(x)
    torch.testing.assert_close(found, mixture.law().log_prob(x), rtol=0, atol=1e-4)


@pytest.mark.parametrize("dim", [2, pytest.param(16, marks=pytest.mark.slow)])
def test_correlated_noise_and_any_covariances_by_a_denoiser(dim):
    root = torch.randn(dim, dim, dtype=F64, generator=generator(1))
    process = VP(noise=CorrelatedNoise(root @ root.mT / dim + 0.3 * torch.eye(dim, dtype=F64)))
    law = GaussianMixture(
        torch.randn(2, dim, dtype=F64, generator=generator(2)), scales=torch.tensor([0.5, 0.8]), weights=[0.4, 0.6]
    )
    scale, variance = process.transition(0.0, 1.0)
    covariances = scale**2 * law._exact_covariances + variance * process.noise.covariance(dim)
    end = GaussianMixture(scale * law.modes, covariances=covariances, weights=[0.4, 0.6])
    x = law.sample(4, generator=generator(3))
    found = probability_flow(as_score(ClosedForm(), process, law), process, end).log_prob(x)
    torch.testing.assert_close(found, law.log_prob(x), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", PROCESSES)
def test_from_a_later_time_it_is_the_law_then(name):
    mixture = Mixture.of(PROCESSES[name], 2)
    t = 0.05 * mixture.process.horizon
    x = mixture.law(t).sample(12, generator=generator())
    found = flow_of(mixture, t_min=t).log_prob(x)
    torch.testing.assert_close(found, mixture.law(t).log_prob(x), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "VE" else name for name in PROCESSES]
)
def test_normalised_whatever_the_score(name):
    process = PROCESSES[name]
    mixture = Mixture.of(process, 1)
    reach = 60.0 if name == "VE" else 20.0
    x = torch.linspace(-reach, reach, 1501, dtype=F64)[:, None]
    found = probability_flow(mixture.wrong, process, noise_law(process, 1, dtype=F64)).log_prob(x)
    assert float(torch.trapezoid(found.exp(), x[:, 0])) == pytest.approx(1, abs=1e-4)


def test_draws_with_their_density():
    mixture = Mixture.of(IN_THE_PLANE["correlated VP"], 2)
    flow = flow_of(mixture)
    x, log_prob = flow.sample(500, generator=generator())
    torch.testing.assert_close(log_prob, mixture.law().log_prob(x), rtol=0, atol=1e-4)
    torch.testing.assert_close(log_prob[:20], flow.log_prob(x[:20]), rtol=0, atol=1e-4)
    exact = mixture.law().sample(500, generator=generator(1))
    p_values = [two_sample(x[:, i], exact[:, i], "x", generator(2)) for i in range(2)]
    assert min(min(found.values()) for found in p_values) > 1e-6


def test_there_and_back():
    flow = flow_of(Mixture.of(VP(), 2))
    x = torch.randn(10, 2, dtype=F64, generator=generator())
    torch.testing.assert_close(flow.transport(flow.transport(x), to_prior=False), x, rtol=0, atol=1e-5)


# Hutchinson


def test_standard_errors_of_hutchinson_are_honest():
    """200 repetitions of a point: no bias, and the mean squared error is the mean of the squared standard errors."""
    mixture = Mixture.of(VP(), 3)
    x = mixture.means[1:2]  # where the divergence is far from zero
    exact = flow_of(mixture).log_prob(x)
    flow = flow_of(mixture, rtol=1e-5, atol=1e-5)
    found = flow.estimate_log_prob(x.expand(200, -1), probes=6, generator=generator(1))
    error = found.value - exact
    assert float(error.std()) > 0.01
    assert abs(float(error.mean() / error.std())) * math.sqrt(200) < 5
    excess = error.square() - found.standard_error.square()
    assert abs(float(excess.mean() / excess.std())) * math.sqrt(200) < 5


def test_a_probe_for_each_point_and_one_value_for_each_probe():
    mixture = Mixture.of(VP(), 3)
    x = mixture.law().sample(1, generator=generator()).expand(4, -1)
    found = flow_of(mixture).estimate_log_prob(x, probes=3, generator=generator())
    assert found.repetitions.shape == (3, 4)
    assert len(found.repetitions.unique()) > 3  # of 2^3 signs that come in pairs of equal value


# The solver


def test_a_place_in_the_batch_changes_nothing_and_company_only_within_the_tolerance():
    mixture = Mixture.of(VP(), 2)
    flow, x = flow_of(mixture), mixture.law().sample(30, generator=generator())
    together = flow.log_prob(x)
    order = torch.randperm(30, generator=generator())
    torch.testing.assert_close(flow.log_prob(x[order]), together[order], rtol=0, atol=1e-12)
    torch.testing.assert_close(flow.log_prob(x[:1]), together[:1], rtol=0, atol=1e-5)
    assert flow.log_prob(x.reshape(5, 6, 2)).shape == (5, 6)
    assert flow.log_prob(x[0]).shape == ()


def test_a_point_that_needs_small_steps_is_not_outvoted():
    """One fast oscillator among a thousand points at rest, which by root mean squares would decide."""

    def slope(y, t):
        del t
        return 30 * torch.stack([y[:, 1], -y[:, 0]], -1)

    y = torch.zeros(1001, 2, dtype=F64)
    y[500, 0] = 1.0
    alone, among = (integrate(slope, start, 0.0, 1.0, 1e-6, 1e-6) for start in (y[500:501], y))
    exact = torch.tensor([math.cos(30.0), -math.sin(30.0)], dtype=F64)
    assert float((among[500] - exact).abs().max()) < 1e-4
    torch.testing.assert_close(among[500], alone[0], rtol=0, atol=1e-14)


def test_order_and_tolerance_of_the_solver():
    """An error proportional to the tolerance."""

    def slope(y, t):
        return math.cos(t) * y

    y = torch.ones(1, 1, dtype=F64)
    errors = []
    for tolerance in (1e-4, 1e-7, 1e-10):
        found = float(integrate(slope, y, 0.0, 10.0, tolerance, tolerance))
        errors.append(abs(found - math.exp(math.sin(10.0))))
        assert errors[-1] < 10 * tolerance
    assert errors[0] > errors[1] > errors[2]


def test_single_precision():
    mixture = Mixture.of(VP(), 2)
    x = mixture.law().sample(10, generator=generator())
    end = mixture.end.to(dtype=torch.float32)
    found = probability_flow(mixture.score, mixture.process, end, rtol=1e-5, atol=1e-5).log_prob(x.float())
    torch.testing.assert_close(found, mixture.law().log_prob(x), rtol=0, atol=1e-4)


# Without noise


def test_a_linear_flow():
    matrix = torch.tensor([[0.3, -1.2], [0.8, 0.1]], dtype=F64)
    flow = ContinuousFlow(lambda x, t: 2 * t * x @ matrix.mT, Gaussian(torch.zeros(2, dtype=F64)), horizon=1.5)
    grown = torch.linalg.matrix_exp(1.5**2 * matrix)
    inverse = torch.linalg.inv(grown)
    law = Gaussian(torch.zeros(2, dtype=F64), covariance=inverse @ inverse.mT)
    x = torch.randn(8, 2, dtype=F64, generator=generator())
    torch.testing.assert_close(flow.log_prob(x), law.log_prob(x), rtol=0, atol=1e-4)
    draws, log_prob = flow.sample(8, generator=generator())
    torch.testing.assert_close(log_prob, law.log_prob(draws), rtol=0, atol=1e-4)


def test_a_prior_that_is_not_normalised():
    unit, tripled = (GaussianMixture(torch.zeros(1, 2, dtype=F64), scales=1.0, log_z=z) for z in (0.0, math.log(3.0)))
    x = torch.ones(1, 2, dtype=F64)
    found = [ContinuousFlow(lambda x, t: 0.1 * x, prior, 1.0).log_prob(x) for prior in (unit, tripled)]
    torch.testing.assert_close(*found)


def test_the_law_of_pure_noise():
    for process in IN_THE_PLANE.values():
        start = torch.zeros(1, 2, dtype=F64)
        x = process.diffuse(start.expand(20_000, 2), 0.0, process.horizon, generator())
        law = noise_law(process, 2, dtype=F64)
        torch.testing.assert_close(
            x.mT.cov() / law.covariance.diagonal().max(),
            law.covariance / law.covariance.diagonal().max(),
            rtol=0,
            atol=0.05,
        )
        assert law.dtype == F64


# Errors


@pytest.mark.parametrize("shape", [(3, 3), (2,), ()])
def test_points_of_another_shape(shape):
    flow = flow_of(Mixture.of(VP(), 1))
    with pytest.raises(ValueError, match=r"x: got shape .*, expected \(\*batch, 1\)"):
        flow.log_prob(torch.zeros(shape, dtype=F64))


def test_points_that_are_not_finite():
    flow = flow_of(Mixture.of(VP(), 2))
    x = torch.zeros(3, 2, dtype=F64)
    x[1, 1] = math.nan
    for call in (flow.log_prob, flow.transport, lambda x: flow.estimate_log_prob(x, probes=2, generator=generator())):
        with pytest.raises(ValueError, match="x: got values that are not finite, first at point 1"):
            call(x)


def test_a_score_of_another_shape():
    flow = probability_flow(lambda x, t: x.sum(-1), VP(), noise_law(VP(), 2, dtype=F64))
    with pytest.raises(ValueError, match=r"score: got shape \(3,\), expected that of x, \(3, 2\)"):
        flow.log_prob(torch.zeros(3, 2, dtype=F64))
    flow = ContinuousFlow(lambda x, t: x[:1], noise_law(VP(), 2, dtype=F64), 1.0)
    with pytest.raises(ValueError, match=r"velocity: got shape \(1, 2\), expected that of x, \(3, 2\)"):
        flow.sample(3, generator=generator())


def test_a_score_that_records_no_gradient():
    """Its divergence would be taken for zero."""
    mixture = Mixture.of(VP(), 2)
    flow = probability_flow(torch.no_grad()(mixture.score), VP(), mixture.end)
    with pytest.raises(ValueError, match="score: got values that record no gradient of x"):
        flow.log_prob(torch.zeros(3, 2, dtype=F64))
    assert flow.transport(torch.zeros(3, 2, dtype=F64)).shape == (3, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t_min": 1.0}, "t_min: got 1, expected less than the horizon, 1"),
        ({"t_min": -0.1}, "t_min: got -0.1, expected a finite number of at least 0"),
        ({"rtol": 0.0}, "rtol: got 0.0, expected a positive finite number"),
    ],
)
def test_options(options, message):
    with pytest.raises(ValueError, match=message):
        probability_flow(lambda x, t: -x, VP(), noise_law(VP(), 2), **options)


def test_other_errors():
    with pytest.raises(ValueError, match="noise: got noise in 2 dimensions, expected 3"):
        probability_flow(lambda x, t: -x, IN_THE_PLANE["correlated VP"], Gaussian([0.0, 0.0, 0.0]))
    flow = probability_flow(lambda x, t: -x, VP(), noise_law(VP(), 2))
    with pytest.raises(ValueError, match="probes: got 1, expected an integer of at least 2"):
        flow.estimate_log_prob(torch.zeros(1, 2), probes=1, generator=generator())


def test_a_flow_that_cannot_be_followed():
    nowhere = ContinuousFlow(lambda x, t: x * math.nan, Gaussian([0.0]), 1.0)
    with pytest.raises(RuntimeError, match="the flow is not finite at t = 0, first at point 0"):
        nowhere.log_prob(torch.zeros(2, 1))
    bursting = ContinuousFlow(lambda x, t: 1 + x**2, Gaussian([0.0]), 3.0)
    with pytest.raises(RuntimeError, match="the flow cannot be followed beyond t = 1.57"):
        bursting.log_prob(torch.zeros(2, 1, dtype=F64))


@pytest.mark.parametrize("name", of("test_likelihood"))
def test_seeded_bugs_are_rejected(name, monkeypatch):
    _, test, arguments, patch = BUGS[name]
    patch(monkeypatch)
    with pytest.raises(AssertionError):
        globals()[test](**arguments)
