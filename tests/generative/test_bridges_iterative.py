"""Bridges by half-bridges in turn: exact halves between Gaussians, exact weights, runs that are continued, files."""

import math
import os
import signal
from dataclasses import dataclass
from inspect import signature
from itertools import pairwise

import pytest
import torch
from bridge_iterative_cases import (
    F64,
    GRID,
    affine,
    exact_paths,
    gaussian_bridge,
    generator,
    linear_bridge,
    minimise,
    moments,
    regression,
    sigma_points,
)
from diffusion_cases import by_run
from seeded_bugs_bridges_iterative import BUGS

import samplers
import targets
from samplers import SamplingWarning, SchroedingerBridge
from samplers.draws import Draws
from samplers.generative.bridges import BridgeMeasure, GaussianBridge, MarkovianFitting, PathBridge, ProportionalFitting
from samplers.generative.bridges.energy import log_variance
from samplers.generative.bridges.iterative import law_of_moments
from samplers.generative.bridges.markovian import BridgeMatching
from samplers.generative.bridges.method import End
from samplers.generative.bridges.proportional import StepRegression
from samplers.generative.bridges.simulation import filled, paths
from samplers.learning.descent import Descent
from samplers.networks import ResidualMLP
from samplers.path_measures.evaluation import weigh
from samplers.path_measures.sampling import backward_weights, whole_paths
from samplers.testing import check_unbiased_z
from targets import Gaussian, GaussianMixture

SMALL = ResidualMLP(width=8, layers=1, features=4, local=2)
METHODS = {"proportional": ProportionalFitting, "Markovian": MarkovianFitting}


def ends_of(gaussian):
    start = Gaussian(gaussian.start_mean, covariance=gaussian.start_covariance)
    return start, Gaussian(gaussian.end_mean, covariance=gaussian.end_covariance)


# Untrained steps


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_untrained_steps_are_the_bridge_between_gaussians(direction):
    """No error of discretisation: weights of both directions are one, whatever the grid."""
    gaussian = gaussian_bridge(3)
    bridge = PathBridge.make(gaussian, GRID, SMALL, generator(), F64)
    laws = ends_of(gaussian)
    first, last = laws if direction == "forward" else laws[::-1]
    x = first.sample(200, generator=generator(1))
    y, ratio = bridge.walk(x, direction, generator(2))
    torch.testing.assert_close(last.log_prob(y) - first.log_prob(x) + ratio, torch.zeros(200, dtype=F64))


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_their_plan_and_their_law_at_each_time(direction):
    gaussian = gaussian_bridge()
    steps = linear_bridge(gaussian).of(direction)
    start = ends_of(gaussian)[direction == "backward"]
    states = exact_paths(steps, start.mean, start.covariance)
    if direction == "backward":
        states = states.flip(0)
    mean, joint = moments(states[[0, -1]])
    torch.testing.assert_close(joint, gaussian.plan_covariance)
    torch.testing.assert_close(mean, torch.cat([gaussian.start_mean, gaussian.end_mean]))
    for k, t in enumerate(GRID.tolist()):
        mean, covariance = moments(states[[k]])
        law = gaussian.marginal(t)
        torch.testing.assert_close((mean, covariance), (law.mean, law.covariance))


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_drift_is_that_of_the_closed_form(direction):
    gaussian = gaussian_bridge()
    bridge = PathBridge.make(gaussian, GRID, SMALL, generator(), F64)
    x = torch.randn(6, 2, dtype=F64, generator=generator(3))
    t = torch.tensor([0.25, 0.3, 0.4, 0.5, 0.6, 0.75], dtype=F64)
    potential = gaussian.forward if direction == "forward" else gaussian.backward
    wanted = potential.drift(x, t if direction == "forward" else 1 - t)
    torch.testing.assert_close(bridge.drift(x, t, direction), wanted)
    torch.testing.assert_close(bridge.drift(x[:1], 0.25, direction), wanted[:1])
    torch.testing.assert_close(bridge.mean(x, direction), potential.mean(x))


def test_states_are_filled_in_as_brownian_bridges():
    """Between states that are known, and in the order of the bridge both ways."""
    gaussian = gaussian_bridge(1)
    bridge = PathBridge.make(gaussian, GRID, SMALL, generator(), F64)
    times = torch.tensor([0.0, 0.2, 0.3, 0.8, 0.95, 1.0], dtype=F64)
    n, known = 40_000, torch.randn(5, 1, 1, dtype=F64, generator=generator(1))
    found = filled(known.expand(5, n, 1), GRID, times, 0.7, generator())[..., 0]
    assert torch.equal(found[[0, 3, 5]], known[[0, 3, 4], :, 0].expand(3, n))
    mean = torch.lerp(known[1, 0, 0], known[2, 0, 0], torch.tensor([0.2, 0.6], dtype=F64))
    covariance = 0.7 / 0.25 * torch.tensor([[0.05 * 0.2, 0.05 * 0.1], [0.05 * 0.1, 0.15 * 0.1]], dtype=F64)
    error = (covariance.diagonal() / n).sqrt()
    assert float(((found[1:3].mean(1) - mean) / error).abs().max()) < 5
    variances = covariance.diagonal()
    error = ((variances[:, None] * variances + covariance.square()) / n).sqrt()
    assert float(((torch.cov(found[1:3]) - covariance) / error).abs().max()) < 5
    x = torch.zeros(3, 1, dtype=F64)
    for direction, row in (("forward", 0), ("backward", -1)):
        assert torch.equal(bridge.path(x, times, direction, generator())[row], x)
        end = bridge.path(x, times, direction, generator(4))[-1 - row]
        whole = paths(bridge.of(direction), x, generator(4))[-1]
        assert torch.equal(end, whole)


# One half of proportional fitting


def half_of_proportional(bridge, half, law, matching="state"):
    """Train without draws: the minimum of the mean loss over paths of the other steps from the law."""
    trained, other = (bridge.ahead, bridge.behind) if half % 2 else (bridge.behind, bridge.ahead)
    states = exact_paths(other, law.mean, law.covariance)
    rule, reverse = StepRegression(None, None, 1, 1, matching), states.flip(0)
    wanted = rule.wanted(reverse, other) if matching == "mean" else reverse[1:]
    minimise(lambda: rule.error(trained, reverse[:-1], wanted), trained.network.parameters())
    rule.finish(half, (reverse,), trained, other, generator())
    return states


@pytest.mark.parametrize("half", [0, 1])
def test_a_half_is_the_reversal_of_the_other_direction(half):
    """E[X_k | X_{k+1}] of linear steps whose joint law is known, and the mean square that it leaves."""
    gaussian = gaussian_bridge()
    bridge = linear_bridge(gaussian, seed=3)
    states = half_of_proportional(bridge, half, ends_of(gaussian)[half % 2])
    trained = bridge.ahead if half else bridge.behind
    reverse = states.flip(0)
    for k in range(len(GRID) - 1):
        slope, shift, left = regression(reverse, k + 1, k)
        torch.testing.assert_close(affine(trained, k), (slope, shift))
        white = torch.linalg.solve_triangular(trained.factor[k], left, upper=False)
        white = torch.linalg.solve_triangular(trained.factor[k], white.mT, upper=False)
        torch.testing.assert_close(trained.log_stretch[k].exp().square(), white.trace() / 2)


def test_mean_matching_by_its_formula():
    """B(x) = x + E[F(X_k) | X_{k+1} = x] - F(x)."""
    gaussian = gaussian_bridge()
    bridge = linear_bridge(gaussian, seed=3)
    states = half_of_proportional(bridge, 0, ends_of(gaussian)[0], "mean")
    for k in range(len(GRID) - 1):
        slope, shift, _ = regression(states, k, k + 1)
        a, _ = affine(bridge.ahead, k)
        wanted = torch.eye(2, dtype=F64) + a @ slope - a, a @ shift
        torch.testing.assert_close(affine(bridge.behind, len(GRID) - 2 - k), wanted)


@torch.no_grad()
def brownian(steps):
    """Make steps in one dimension those of the reference: D(x) = x, and its noise."""
    found = steps.at(torch.arange(steps.steps))
    away = 1 - found.slope
    steps.network.weight.copy_(away * found.size / found.unit)
    steps.network.bias.copy_((away * found.centre - found.shift) / found.unit)
    steps.log_stretch.copy_(0.5 * (steps.gaussian.noise * steps.grid.diff() / steps.factor[:, 0, 0].square()).log())


def end_law(steps, law):
    """Mean, variance and covariance with where they start of the ends of steps from a law, in one dimension."""
    states = exact_paths(steps, law.mean, law.covariance)
    mean, joint = moments(states[[0, -1]])
    return float(mean[1]), float(joint[1, 1]), float(joint[0, 1])


def test_the_halves_are_those_of_sinkhorn_and_end_at_the_bridge():
    """In one dimension, from Brownian motion: every iterate is Gaussian, and its plan follows by conditioning."""
    gaussian = gaussian_bridge(1)
    laws = ends_of(gaussian)
    bridge = linear_bridge(gaussian)
    brownian(bridge.ahead)
    variances = [float(law.covariance) for law in laws]
    means = [float(law.mean) for law in laws]
    # the plan of the iterate before: its first end is exact; mean, variance of the other, and their covariance
    other_mean, other_variance, cross = means[0], variances[0] + gaussian.noise, variances[0]
    torch.testing.assert_close(
        torch.tensor(end_law(bridge.ahead, laws[0])), torch.tensor([other_mean, other_variance, cross])
    )
    for half in range(8):
        first, last = half % 2, 1 - half % 2
        half_of_proportional(bridge, half, laws[first])
        slope = cross / other_variance
        left = variances[first] - slope * cross
        other_mean = means[first] + slope * (means[last] - other_mean)
        cross = slope * variances[last]
        other_variance = left + slope * cross
        trained = bridge.ahead if half % 2 else bridge.behind
        found = torch.tensor(end_law(trained, laws[last]))
        torch.testing.assert_close(found, torch.tensor([other_mean, other_variance, cross]))
    assert abs(cross / float(gaussian.cross_covariance) - 1) < 1e-3
    assert abs(other_variance / variances[0 if half % 2 == 0 else 1] - 1) < 1e-3


# One half of Markovian fitting


def half_of_markovian(bridge, half, mean, joint):
    """Train without draws, to a Gaussian plan of (X_0, X_1) with these moments."""
    trained = bridge.ahead if half % 2 else bridge.behind
    dim, count = bridge.dim, trained.steps
    if half % 2 == 0:
        swap = torch.cat([torch.arange(dim, 2 * dim), torch.arange(dim)])
        mean, joint = mean[swap], joint[swap][:, swap]
    rule = BridgeMatching(None, None, 1, 1, bridge.noise, "gaussian")
    noise = sigma_points(3 * dim)
    pairs = mean + noise[:, : 2 * dim] @ torch.linalg.cholesky(joint).mT
    begun, led_to, fresh = (
        value.expand(count, *value.shape) for value in (pairs[:, :dim], pairs[:, dim:], noise[:, 2 * dim :])
    )
    minimise(lambda: rule.error(trained, begun, led_to, fresh), trained.network.parameters())
    noise = sigma_points((count + 1) * dim)
    pairs = mean + noise[:, : 2 * dim] @ torch.linalg.cholesky(joint).mT
    states, steps = [pairs[:, :dim]], trained.grid
    for k in range(count - 1):
        share = (steps[k + 1] - steps[k]) / (1 - steps[k])
        deviation = (bridge.noise * share * (1 - steps[k + 1])).sqrt()
        fresh = noise[:, (k + 2) * dim : (k + 3) * dim]
        states.append(torch.lerp(states[-1], pairs[:, dim:], share) + deviation * fresh)
    states = torch.stack([*states, pairs[:, dim:]])
    trained.calibrate(states)
    return states


@pytest.mark.parametrize("half", [0, 1])
def test_a_half_is_the_markovian_projection(half):
    """E[X_1 | X_t] of the Brownian bridges between pairs of a plan that is not the bridge's: the two independent."""
    gaussian = gaussian_bridge()
    bridge = linear_bridge(gaussian)
    start, end = ends_of(gaussian)
    states = half_of_markovian(
        bridge, half, torch.cat([start.mean, end.mean]), torch.block_diag(start.covariance, end.covariance)
    )
    trained = bridge.ahead if half else bridge.behind
    for k in range(len(GRID) - 1):
        slope, shift, _ = regression(states, k + 1, k)
        torch.testing.assert_close(affine(trained, k), (slope, shift))


def test_markovian_halves_keep_both_ends_and_end_at_the_bridge():
    """In one dimension, where a step's noise has a scale for its whole covariance; from independent ends."""
    gaussian = gaussian_bridge(1)
    laws = ends_of(gaussian)
    bridge = linear_bridge(gaussian)
    means = torch.stack([law.mean[0] for law in laws])
    variances = torch.stack([law.covariance[0, 0] for law in laws])
    cross, gaps = torch.zeros((), dtype=F64), []
    for half in range(12):
        joint = torch.diag(variances) + cross * torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=F64)
        half_of_markovian(bridge, half, means, joint)
        first, last = (0, 1) if half % 2 else (1, 0)
        mean, variance, cross = end_law(bridge.ahead if half % 2 else bridge.behind, laws[first])
        assert mean == pytest.approx(float(means[last]), abs=1e-9)
        assert variance == pytest.approx(float(variances[last]), rel=1e-9)
        gaps.append(abs(cross - float(gaussian.cross_covariance)))
        cross = torch.tensor(cross, dtype=F64)
    assert all(later < earlier for earlier, later in pairwise(gaps))
    assert gaps[-1] < 1e-3 * gaps[0]


# Weights


TARGET = GaussianMixture(
    torch.tensor([[0.8, -0.2], [-0.6, 0.3]], dtype=F64), scales=[0.6, 0.5], weights=[0.4, 0.6], log_z=0.7
)


# both ends are wider than the target, so that no weight is huge
COVERING = GaussianBridge(
    torch.zeros(2, dtype=F64),
    torch.tensor([[1.2, 0.5], [0.5, 0.9]], dtype=F64),
    torch.zeros(2, dtype=F64),
    torch.tensor([[1.0, -0.3], [-0.3, 0.8]], dtype=F64),
    0.7,
)


def random_bridge(seed, wider="forward"):
    """Networks and scales that no training would leave, on noise that is correlated; the noise of one direction is
    wider, so that the weights of its walks have a variance."""
    bridge = PathBridge.make(COVERING, GRID, SMALL, generator(seed), F64)
    g = generator(seed + 1)
    for steps in (bridge.ahead, bridge.behind):
        for parameter in steps.parameters():
            parameter.data.add_(0.1 * torch.randn(parameter.shape, dtype=F64, generator=g))
        steps.requires_grad_(False)
        steps.log_stretch += 0.15 if steps is bridge.of(wider) else -0.15
    return bridge


@dataclass
class Walks:
    """Z-hat of `replicates` runs from the weights of one batch of walks from a density with exact draws."""

    bridge: object
    start: object
    direction: str
    replicates: int = 1
    adaptive: bool = False

    def sample(self, target, *, draws, seed):
        g = generator(seed)
        x = self.start.sample(self.replicates * draws, generator=g)
        y, ratio = self.bridge.walk(x, self.direction, g)
        log_w = target.log_prob(y) - self.start.log_prob(x) + ratio
        return Draws(y[None], log_z=by_run(log_w, self.replicates))


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_z_is_unbiased_whatever_the_networks_say(direction):
    start = ends_of(COVERING)[direction == "backward"]
    check_unbiased_z(Walks(random_bridge(1, direction), start, direction), TARGET, seed=1, draws=64)


def test_the_path_measures_have_the_weights_of_the_walks():
    """And those that run backwards from draws of the target bound log Z from above."""
    bridge = random_bridge(2)
    start = ends_of(COVERING)[0]
    measure = BridgeMeasure(start, bridge)
    ends = whole_paths(measure, TARGET, 300, generator(3))
    g = generator(3)
    x = start.sample(300, generator=g)
    y, ratio = bridge.walk(x, "forward", g)
    torch.testing.assert_close(ends.u, y)
    torch.testing.assert_close(ends.log_w, TARGET.log_prob(y) - start.log_prob(x) + ratio)
    upper = backward_weights(measure, TARGET, TARGET.sample(500, generator=g), g)
    assert float(ends.log_w.mean()) < TARGET.log_z < float(upper.mean())


def test_a_fitted_bridge_weighs_an_energy_by_its_paths():
    start, target = START.to(dtype=F64), TARGET
    fitted = fit(small("Markovian"), start, target)
    found = fitted.weigh(target, draws=500, seed=2)
    x = start.sample(500, generator=(g := generator(2)))
    y, ratio = fitted.bridge.walk(x, "forward", g)
    assert torch.equal(found.x[0], y)
    torch.testing.assert_close(found.log_weights[0], target.log_prob(y) - start.log_prob(x) + ratio)
    assert abs(found.log_z.value - TARGET.log_z) < 5 * found.log_z.standard_error


def test_a_step_of_correlated_noise_by_its_definition():
    bridge = random_bridge(4)
    x = torch.randn(1, 7, 2, dtype=F64, generator=generator())
    step = bridge.ahead.step(torch.tensor([1]), x)
    noise = torch.randn(1, 7, 2, dtype=F64, generator=generator(1))
    y = step.at(noise)
    torch.testing.assert_close(step.noise_of(y), noise)
    factor = step.scale[0, 0] * bridge.ahead.factor[1]
    law = Gaussian(torch.zeros(2, dtype=F64), covariance=factor @ factor.mT)
    by_step = -0.5 * noise[0].square().sum(1) - step.log_det[0] - math.log(2 * math.pi)
    torch.testing.assert_close(law.log_prob((y - step.mean)[0]), by_step)


# An energy at one end


class Energy(targets.Target):
    """Of a density times exp(shift), without draws and moments."""

    def __init__(self, target, shift=0.0):
        super().__init__(target.dim, dtype=target.dtype)
        self.target, self.shift = target, shift

    def log_prob(self, x):
        return self.target.log_prob(x) + self.shift


@pytest.mark.parametrize("half", [0, 1])
def test_the_variance_is_zero_at_the_half_bridge_to_an_energy(half):
    """In one dimension, where the reversal of linear steps from the energy's law is known exactly; the energy is not
    normalised, and the law at the other end is another one than the reversal leads to."""
    gaussian = gaussian_bridge(1)
    bridge = linear_bridge(gaussian, seed=3)
    law = ends_of(gaussian)[half % 2]
    half_of_proportional(bridge, half, law)
    trained, other = (bridge.behind, bridge.ahead) if half % 2 == 0 else (bridge.ahead, bridge.behind)
    # paths of `other` from the law have been reversed: seen from the other end, `trained` is led to the law
    energy = Energy(law, 1.3)
    x = torch.linspace(-2, 2, 5, dtype=F64)[:, None]
    assert float(log_variance(trained, other, energy, x, generator()).detach()) < 1e-18
    far = Gaussian(law.mean + 1.0, covariance=law.covariance)
    assert float(log_variance(trained, other, far, x, generator()).detach()) > 0.01


def shares(log_w):
    """Of effective walks, in each of 40 groups of them."""
    groups = log_w.unflatten(0, (40, -1))
    return torch.exp(2 * groups.logsumexp(1) - (2 * groups).logsumexp(1)) / groups.shape[1]


def assert_raised(before, after):
    """By a paired test over the groups, which share their starts and noise."""
    gain = after - before
    assert gain.mean() > 5 * gain.std() / math.sqrt(len(gain))


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_an_energy_at_either_end_is_learned(direction):
    """From the Gaussian of its moments: more of the walks that lead there are effective."""
    mixture = GaussianMixture(torch.tensor([[-2.0], [2.0]]), scales=0.4, log_z=0.4)
    start, energy = Gaussian(torch.zeros(1)), Energy(mixture)
    method = ProportionalFitting(
        steps=8, halves=4, network=ResidualMLP(width=16, layers=1), batch=256, paths=512, refresh=30, learning_rate=1e-2
    )
    laws = (start, energy) if direction == "forward" else (energy, start)
    found = []
    for iterations in (0, 240):
        fitted = fit(method, *laws, iterations=iterations)
        x = start.sample(2000, generator=generator(3))
        y, ratio = fitted.bridge.walk(x, direction, generator(4))
        log_w = mixture.log_prob(y) - start.log_prob(x) + ratio
        log_z = weigh(log_w)
        assert abs(log_z.value - 0.4) < 5 * log_z.standard_error
        found.append(shares(log_w))
    assert_raised(*found)
    assert fitted.cost.log_prob > 120 * 128


def test_an_energy_is_continued_to_the_same_bits(tmp_path, monkeypatch):
    path, energy = tmp_path / "run.pt", Energy(RING)
    monkeypatch.setattr("samplers.runs.checkpoint.INTERVAL", 0.0)
    monkeypatch.setattr("samplers.generative.bridges.iterative.law_of_moments", moments_of_ring)
    method = small("proportional", energy_paths=16)
    whole = fit(method, end=energy)
    with monkeypatch.context() as patch:
        after(patch, 9, fail)
        with pytest.raises(Failure):
            fit(method, end=energy, checkpoint=path)
    continued = fit(method, end=energy, checkpoint=path)
    same(continued, whole)
    assert continued.cost.log_prob == whole.cost.log_prob
    with pytest.raises(ValueError, match="belongs to another energy"):
        fit(method, end=Energy(GaussianMixture(2.9 * RING.modes / 3, scales=0.5)), checkpoint=path)


def moments_of_ring(law, run):
    """Without the pilot."""
    return law_of_moments(law if law.samples is not None else End(None, RING), run)


def test_a_method_that_learns_from_draws_refuses_an_energy():
    with pytest.raises(ValueError, match="end: got .* which has no exact draws"):
        fit(small("Markovian"), end=Energy(RING))


# Runs


RING = GaussianMixture(3 * torch.tensor([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]]), scales=0.5)
START = Gaussian(torch.zeros(2))


def small(name, **options):
    return METHODS[name](
        **{"steps": 4, "halves": 3, "network": SMALL, "batch": 32, "paths": 64, "refresh": 3} | options
    )


def fit(method, start=START, end=RING, **options):
    bridge = SchroedingerBridge(noise=0.8, method=method)
    return bridge.fit(start, end, **{"iterations": 20, "progress": False} | options)


def same(a, b):
    for direction in ("forward", "backward"):
        one, other = a.bridge.of(direction).state_dict(), b.bridge.of(direction).state_dict()
        assert all(torch.equal(one[name], other[name]) for name in other)
    histories = [{k: v for k, v in found.history.items() if k != "seconds"} for found in (a, b)]
    assert histories[0] == histories[1]
    x = torch.linspace(-1, 1, 20).reshape(10, 2)
    assert torch.equal(a.forward(x), b.forward(x))


@pytest.mark.parametrize("name", METHODS)
def test_without_iterations_it_is_the_bridge_of_the_moments(name):
    start, end = ends_of(gaussian_bridge())
    fitted = fit(small(name), start, end, iterations=0)
    x = start.sample(50, generator=generator())
    y, ratio = fitted.bridge.walk(x, "forward", generator())
    exact = end.log_prob(y) - start.log_prob(x) + ratio
    assert float(exact.abs().max()) < 1e-9
    assert fitted.iterations == 0


@pytest.mark.parametrize("name", METHODS)
def test_same_seed_same_bits_and_another_seed_others(name):
    a, b, c = (fit(small(name), seed=seed) for seed in (1, 1, 2))
    same(a, b)
    assert a.history["loss"] != c.history["loss"]
    assert a.history["half"] == [1.0, 2.0]


class Failure(Exception):
    pass


def after(patch, iterations, event):
    """Have the event happen in the middle of an iteration."""
    step, count = Descent.step, []

    def stepping(self, loss):
        if len(count) == iterations:
            event()
        count.append(loss)
        return step(self, loss)

    patch.setattr(Descent, "step", stepping)


def fail():
    raise Failure


@pytest.mark.parametrize(
    ("name", "done"), [("Markovian", 5), ("Markovian", 7), ("proportional", 14), ("proportional", 16)]
)
def test_a_crash_is_continued_to_the_same_bits(name, done, tmp_path, monkeypatch):
    """In the middle of a half, at its end, and in the last."""
    path = tmp_path / "run.pt"
    monkeypatch.setattr("samplers.runs.checkpoint.INTERVAL", 0.0)
    whole = fit(small(name))
    with monkeypatch.context() as patch:
        after(patch, done, fail)
        with pytest.raises(Failure):
            fit(small(name), checkpoint=path)
    assert torch.load(path)["done"] == done
    same(fit(small(name), checkpoint=path), whole)
    same(fit(small(name), checkpoint=path), whole)


@pytest.mark.parametrize("name", METHODS)
def test_ctrl_c_gives_what_was_learned(name, tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    whole = fit(small(name))
    with monkeypatch.context() as patch:
        after(patch, 8, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.warns(SamplingWarning, match="interrupted after 9 of 20 iterations"):
            stopped = fit(small(name), checkpoint=path)
    assert stopped.iterations == 9
    assert not torch.equal(stopped.bridge.ahead.log_stretch, torch.zeros(4))
    same(fit(small(name), checkpoint=path), whole)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    samples = RING.sample(100, generator=generator())
    fit(small("Markovian"), end=samples, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another run: samples is"):
        fit(small("Markovian"), end=samples + 1, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another run: method is"):
        fit(small("proportional"), end=samples, checkpoint=path)


@pytest.mark.parametrize("name", METHODS)
def test_a_file_gives_it_back(name, tmp_path):
    fitted = fit(small(name))
    found = samplers.generative.load(fitted.save(tmp_path / "bridge.pt"))
    same(found, fitted)
    x = torch.zeros(3, 2)
    assert torch.equal(found.drift(x, 0.3), fitted.drift(x, 0.3))
    assert torch.equal(found.path(x, [0.0, 0.5, 1.0]), fitted.path(x, [0.0, 0.5, 1.0]))


def test_rows_and_weights_are_what_is_learned_from():
    """Where an end is rows, by their weights: the moments, and the draws that training takes."""
    x = torch.randn(400, 1, dtype=F64, generator=generator())
    weights = torch.where(x[:, 0] > 0, 3.0, 1.0).double()
    draws = Draws(x[None], log_weights=weights.log()[None])
    fitted = fit(small("Markovian"), torch.randn(100, 1, dtype=F64, generator=generator(1)), draws, iterations=0)
    torch.testing.assert_close(fitted.bridge.ahead.gaussian.end_mean, (weights[:, None] * x).sum(0) / weights.sum())
    assert fitted.bridge.ahead.share.dtype == F64


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("proportional", {}, marks=pytest.mark.slow),
        pytest.param("proportional", {"matching": "mean"}, marks=pytest.mark.slow),
        ("Markovian", {"plan": "independent"}),
    ],
)
def test_training_raises_the_share_of_effective_walks(name, options):
    """To two modes from between them."""
    end = GaussianMixture(torch.tensor([[-2.0], [2.0]]), scales=0.4)
    start = Gaussian(torch.zeros(1))
    method = METHODS[name](
        steps=8,
        halves=4,
        network=ResidualMLP(width=16, layers=1),
        batch=256,
        paths=512,
        refresh=30,
        learning_rate=1e-2,
        **options,
    )

    def effective(fitted):
        x = start.sample(2000, generator=generator(3))
        y, ratio = fitted.bridge.walk(x, "forward", generator(4))
        log_w = end.log_prob(y) - start.log_prob(x) + ratio
        return shares(log_w)

    assert_raised(*(effective(fit(method, start, end, iterations=n)) for n in (0, 240)))


# Bad input


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (ProportionalFitting, {"steps": 1}, "steps: got 1"),
        (MarkovianFitting, {"halves": 0}, "halves: got 0"),
        (MarkovianFitting, {"batch": 1.5}, "batch: got 1.5"),
        (MarkovianFitting, {"learning_rate": -1.0}, "learning_rate: got -1"),
        (ProportionalFitting, {"matching": "drift"}, "matching: got 'drift', expected 'state' or 'mean'"),
        (MarkovianFitting, {"plan": "x"}, "plan: got 'x', expected 'gaussian' or 'independent'"),
    ],
)
def test_values_out_of_range(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_what_is_no_network():
    with pytest.raises(TypeError, match="network: got 'mlp', expected a NetworkSpec"):
        MarkovianFitting(network="mlp")


@pytest.mark.parametrize("start", [Gaussian(torch.zeros(3)), Energy(RING)])
def test_starts_that_no_path_measure_has(start):
    with pytest.raises(ValueError, match="start: got .* expected a target in 2 with exact draws and known log_z"):
        BridgeMeasure(start, random_bridge(1))


def test_samples_that_depend_on_one_another():
    x = torch.randn(50, 1, generator=generator())
    with pytest.raises(ValueError, match="end"):
        fit(small("Markovian"), x.expand(-1, 2) + torch.zeros(2), targets.Gaussian(torch.zeros(3)))


@pytest.mark.parametrize("name", BUGS)
def test_seeded_bugs_are_rejected(name, monkeypatch, tmp_path):
    test, arguments, patch = BUGS[name]
    patch(monkeypatch)
    fixtures = {"monkeypatch": monkeypatch, "tmp_path": tmp_path}
    asked = signature(globals()[test]).parameters
    with pytest.raises(AssertionError):
        globals()[test](**arguments, **{name: value for name, value in fixtures.items() if name in asked})
