"""The reverse process as a pair of path measures: exact weights for an energy, whatever the score says."""

import math
from itertools import pairwise

import pytest
import torch
from likelihood_cases import CORRELATED, F64, Linear, Mixture, generator
from seeded_bugs_likelihood import BUGS, of

from samplers.generative import ReverseProcess
from samplers.path_measures.base import Points
from samplers.path_measures.evaluation import evaluate_weights
from samplers.path_measures.prior import MixturePrior
from samplers.path_measures.simulation import increments, simulate, simulate_backward
from samplers.path_measures.subtrajectories import Resampling, simulate_subtrajectories
from samplers.processes.grids import uniform
from samplers.processes.linear import VE, VP, OrnsteinUhlenbeck, SubVP
from targets import Gaussian, GaussianMixture

PROCESSES = {
    "VP": VP(beta_max=8.0),
    "sub-VP": SubVP(beta_max=8.0),
    "VE": VE(0.1, 4.0),
    "OU": OrnsteinUhlenbeck(horizon=2.0),
    "correlated VP": VP(beta_max=8.0, noise=CORRELATED),
    "correlated VE": VE(0.1, 4.0, noise=CORRELATED),
}
LOG_Z = 0.7


def measure_of(score, process, steps=8, dim=2, **options):
    return ReverseProcess(score, process, uniform(steps, process.horizon), dim, **{"dtype": F64} | options)


def random_score(process, seed):
    """Smooth and bounded, of random coefficients that also depend on time."""
    weights = torch.randn(2, 2, 2, dtype=F64, generator=generator(seed))

    def score(x, t):
        return (torch.sin(x @ weights[0] + 3 * t) @ weights[1] / 2 - x) / (1 + float(process.variance(t)))

    return score


def energy():
    """Not normalised, and no law that any of the scores is of."""
    means = torch.tensor([[0.8, -0.2], [-0.6, 0.3]], dtype=F64)
    return GaussianMixture(means, scales=[0.6, 0.5], weights=[0.4, 0.6], log_z=LOG_Z)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("seed", [0, 1])
def test_weights_of_a_random_score_have_mean_z(name, seed):
    process, target = PROCESSES[name], energy()
    measure = measure_of(random_score(process, seed), process)
    w = simulate(measure, measure.seen(target), 20_000, generator(seed)).log_weights.sub(LOG_Z).exp()
    assert float(w.std()) > 0.1
    assert abs(float(w.mean() - 1)) < 5 * float(w.std()) / math.sqrt(20_000)


@pytest.mark.parametrize("name", PROCESSES)
def test_steps_that_are_exact_leave_no_variance(name):
    """Of Gaussian data N(m, w C): the weights of both directions are Z, at any number of steps."""
    process = PROCESSES[name]
    data = Mixture.single(process, 2, mean=0.5, scale=0.7)
    white = measure_of(data.score, process).seen(data.law()).mixture(data.end)
    measure = measure_of(data.score, process, steps=3, data_variance=0.49, prior=MixturePrior(white))
    target = measure.seen(data.law())
    ahead = simulate(measure, target, 50, generator())
    torch.testing.assert_close(ahead.log_weights, torch.zeros(50, dtype=F64), rtol=0, atol=1e-9)
    behind = simulate_backward(measure, target, target.to_u(data.law().sample(50, generator=generator())), generator())
    torch.testing.assert_close(behind.log_weights, torch.zeros(50, dtype=F64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["VP", "correlated VE"])
def test_the_variance_of_an_exact_score_vanishes_as_one_over_the_steps(name):
    mixture = Mixture.of(PROCESSES[name], 2, spread=1.0)
    spreads = []
    for steps in (40, 160):
        plain = measure_of(mixture.score, mixture.process)
        prior = MixturePrior(plain.seen(mixture.law()).mixture(mixture.end))
        measure = measure_of(mixture.score, mixture.process, steps, prior=prior)
        paths = simulate(measure, measure.seen(mixture.law()), 2000, generator())
        spreads.append(float(paths.log_weights.var()))
    assert spreads[1] < 0.4
    assert 2.5 < spreads[0] / spreads[1] < 6, spreads


def test_weights_from_their_definition():
    """The two path densities written out, with the covariance of the noise and in x."""
    process = PROCESSES["correlated VP"]
    score, target = random_score(process, 3), energy()
    measure = measure_of(score, process, 3, data_variance=0.3)
    paths = simulate(measure, measure.seen(target), 5, generator(), keep=True)
    x = measure.to_x(paths.points.x)
    times = [1.0, 2 / 3, 1 / 3, 0.0]
    covariance = CORRELATED.covariance(2)
    value = target.log_prob(x[-1]) - log_normal(x[0], 0 * x[0], float(process.variance(1.0)) * covariance)
    for k, (t, s) in enumerate(pairwise(times)):
        factor, added = (float(v) for v in process.transition(s, t))
        scale, variance = (float(v) for v in process.transition(0.0, t))
        b, c, _ = (float(v) for v in process.bridge(0.0, s, t))
        before = 0.3 * float(process.scale(s)) ** 2 + float(process.variance(s))
        clean = (x[k] + variance * score(x[k], t) @ covariance) / scale
        spread = before * added / (factor**2 * before + added)
        value = value + log_normal(x[k], factor * x[k + 1], added * covariance)
        value = value - log_normal(x[k + 1], b * clean + c * x[k], spread * covariance)
    torch.testing.assert_close(paths.log_weights, value, rtol=0, atol=1e-9)
    torch.testing.assert_close(increments(measure, paths.points, 0), paths.increments, rtol=0, atol=1e-9)


def log_normal(x, mean, covariance):
    return Gaussian(torch.zeros(2, dtype=F64), covariance=covariance).log_prob(x - mean)


@pytest.mark.parametrize("guess", ["none", "wrong mixture"])
def test_resampling_on_the_way_keeps_z(guess):
    process, target = PROCESSES["correlated VP"], energy()
    means = torch.tensor([[-0.5, 0.5], [0.4, 1.0]], dtype=F64)
    data = None if guess == "none" else GaussianMixture(means, scales=[0.8, 0.5], weights=[0.7, 0.3])
    measure = measure_of(random_score(process, 1), process, data=data)
    seen, resampling = measure.seen(target), Resampling(subtrajectories=4, ess_threshold=1.0)
    z = torch.tensor(
        [
            math.exp(simulate_subtrajectories(measure, seen, 64, generator(seed), resampling=resampling).log_z - LOG_Z)
            for seed in range(80)
        ]
    )
    assert abs(float(z.mean() - 1)) < 5 * float(z.std()) / math.sqrt(80)


@pytest.mark.parametrize("name", PROCESSES)
def test_densities_on_the_way_are_those_of_the_noised_mixture(name):
    mixture = Mixture.of(PROCESSES[name], 2)
    white = measure_of(mixture.score, mixture.process).seen(mixture.law())
    measure = measure_of(mixture.score, mixture.process, data=white.mixture(mixture.law()))
    u, times = torch.randn(3, 5, 2, dtype=F64, generator=generator()), [7 / 8, 4 / 8, 1 / 8]
    found = measure.log_density(torch.tensor([1, 4, 7]), Points(u, *white.log_prob_and_score(u)))
    horizon = mixture.process.horizon
    right = [mixture.law(t * horizon).log_prob(measure.to_x(x)) + white.log_det for t, x in zip(times, u, strict=True)]
    torch.testing.assert_close(found, torch.stack(right), rtol=0, atol=1e-9)


def test_densities_on_the_way_end_at_prior_and_energy():
    target = energy()
    measure = measure_of(random_score(PROCESSES["VP"], 1), PROCESSES["VP"], data=target)
    u = torch.randn(2, 5, 2, dtype=F64, generator=generator())
    at = Points(u, *measure.seen(target).log_prob_and_score(u))
    first, last = measure.log_density(torch.tensor([0, 8]), at)
    torch.testing.assert_close(first, measure.prior.log_prob(at.x[0]))
    torch.testing.assert_close(last, target.log_prob(measure.to_x(at.x[1])))


def test_resampling_by_the_noised_law_wins_back_draws():
    """Of a score that is wrong: more than whole paths have, and more than between a prior and an energy in place."""
    mixture = Mixture.of(PROCESSES["VP"], 2, spread=1.5)

    def wrong(x, t):
        return 0.7 * mixture.score(x, t) + 0.5 * torch.sin(x) / (1 + float(mixture.process.variance(t)))

    def effective(count, data):
        measure = measure_of(wrong, mixture.process, 40, data=data, prior=MixturePrior(mixture.end))
        seen, resampling = measure.seen(mixture.law()), Resampling(subtrajectories=count)
        runs = [
            simulate_subtrajectories(measure, seen, 500, generator(seed), resampling=resampling) for seed in range(6)
        ]
        return sum(float(1 / run.log_weights.exp().square().sum()) for run in runs) / 3000

    whole, in_place, noised = effective(1, None), effective(8, None), effective(8, mixture.law())
    assert noised > 1.15 * in_place > 1.15 * 2 * whole, (whole, in_place, noised)


def test_what_weights_tell():
    mixture = Mixture.of(PROCESSES["VP"], 2, spread=1.0)
    law = GaussianMixture(mixture.means, scales=mixture.scales, weights=mixture.weights, log_z=LOG_Z)
    found = {}
    for name, score in {"exact": mixture.score, "wrong": mixture.wrong}.items():
        measure = measure_of(score, mixture.process, 40)
        found[name] = evaluate_weights(simulate(measure, measure.seen(law), 2000, generator()).log_weights)
        assert found[name].log_z == pytest.approx(LOG_Z, abs=5 * found[name].standard_error)
        assert found[name].elbo < LOG_Z
    assert found["exact"].ess > 0.7 > found["wrong"].ess


def test_a_process_that_keeps_its_signal_has_a_path_of_densities():
    measure = measure_of(lambda x, t: -x, PROCESSES["VE"])
    torch.testing.assert_close(measure.temperature(torch.tensor([0, 4, 8])), torch.tensor([0.0, 0.5, 1.0], dtype=F64))


def test_states_in_single_precision():
    model = Linear(PROCESSES["VP"], 2)
    target = energy().to(dtype=torch.float32)
    measure = measure_of(model.score, model.process, dtype=torch.float32)
    paths = simulate(measure, measure.seen(target), 10, generator(), keep=True)
    assert paths.points.x.dtype == torch.float32
    assert paths.log_weights.dtype == F64


def test_errors():
    process = VP()
    with pytest.raises(ValueError, match="data_variance: got 0, with which the last step has no noise to weigh"):
        measure_of(lambda x, t: -x, process, data_variance=0.0)
    with pytest.raises(ValueError, match="grid: got a last time of 0.5, expected the horizon 1"):
        ReverseProcess(lambda x, t: -x, process, uniform(4, 0.5), 2)
    with pytest.raises(ValueError, match="noise: got noise in 2 dimensions, expected 3"):
        measure_of(lambda x, t: -x, PROCESSES["correlated VP"], dim=3)
    measure = measure_of(lambda x, t: x[:, 0], process)
    with pytest.raises(ValueError, match=r"score: got shape \(7,\), expected that of x, \(7, 2\)"):
        simulate(measure, measure.seen(energy()), 7, generator())


@pytest.mark.parametrize("name", of("test_path"))
def test_seeded_bugs_are_rejected(name, monkeypatch):
    _, test, arguments, patch = BUGS[name]
    patch(monkeypatch)
    with pytest.raises(AssertionError):
        globals()[test](**arguments)
