"""What is exact of learned diffusion samplers whatever their networks say: weights, bounds, known special cases."""

import math
import warnings
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from annealing_cases import HalfNormal
from diffusion_cases import (
    F64,
    LINE,
    METHODS,
    MIXED,
    PRODUCT,
    REFERENCE,
    RESIDUAL,
    SMALL,
    TARGETS,
    Inverse,
    InverseWeights,
    Weights,
    gaussian,
    method,
    tensor,
    untrained,
)
from seeded_bugs_diffusion import BUGS
from torch import nn
from torch.distributions import Normal

import targets
from samplers import SamplingWarning
from samplers.diffusion import CMCD, MCD, Evaluation, SubTrajectoryBalance, Training
from samplers.path_measures.base import Points
from samplers.path_measures.control import Control
from samplers.path_measures.evaluation import evaluate_weights, weigh
from samplers.path_measures.simulation import evaluate, increments, simulate, simulate_backward
from samplers.path_measures.subtrajectories import Resampling, simulate_subtrajectories
from samplers.testing import check_unbiased_z

PLAIN = [(name, where, False) for name in METHODS for where in TARGETS if name != "SCLD"]
ALL = PLAIN + [(name, where, True) for name, where in zip(MIXED, ["line", "plane"] * 3, strict=False) if name != "SCLD"]


# under weights of backward paths the tails of the sampler must not be wider than those of the target
NARROWER = {"line": gaussian(1, 0.9, 0.3), "plane": gaussian(2, 0.8, -0.1)}


def seen(fitted):
    return fitted.space.seen(fitted.target)


def log_weights(fitted, n, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return simulate(fitted.measure, seen(fitted), n, generator, **options)


# E[w] = Z


@pytest.mark.parametrize(("name", "where", "mixture"), ALL)
def test_z_is_unbiased(name, where, mixture):
    fitted = untrained(method(name, where, mixture=mixture), TARGETS[where], size=0.5 if where == "line" else 0.35)
    check_unbiased_z(Weights(fitted), TARGETS[where], seed=1, draws=32 if where == "line" else 64)


@pytest.mark.parametrize("name", [name for name in MIXED if name != "SCLD"])
def test_z_is_unbiased_from_a_product_of_mixtures(name):
    fitted = untrained(method(name, "plane", prior=PRODUCT), TARGETS["plane"], size=0.35)
    assert fitted.space.mixture is not None
    check_unbiased_z(Weights(fitted), TARGETS["plane"], seed=1, draws=64)


@pytest.mark.parametrize("name", ["DDS", "PIS"])
def test_z_is_unbiased_from_the_score(name):
    """The gate on the target's score open from the start."""
    fitted = untrained(method(name, "plane", steps=8, start="score"), TARGETS["plane"], size=0.3)
    check_unbiased_z(Weights(fitted), TARGETS["plane"], seed=1, draws=128)


@pytest.mark.slow
def test_z_is_unbiased_in_low_precision():
    """Networks in bfloat16, states in float32: each state's control is computed once, and serves both kernels."""
    target = LINE.to(dtype=torch.float32)
    for name in ("DDS", "CMCD", "GBS"):
        fitted = untrained(method(name, training=Training(mixed_precision=True)), target)
        controls = [module for module in fitted.measure.modules() if isinstance(module, Control)]
        assert len(controls) == 1 + (name == "GBS")
        assert all(control.mixed_precision for control in controls)
        check_unbiased_z(Weights(fitted), target, seed=1, draws=32)


@dataclass
class ByPieces:
    """Run by run, with resampling on the way."""

    fitted: object

    def sample(self, target, *, draws, seed):
        return self.fitted.sample(target, draws=draws, seed=seed, correct="smc")


PIECES = {
    "SCLD": lambda: untrained(method("SCLD", steps=4, subtrajectories=2, ess_threshold=1.0), LINE),
    "SCLD, mixture, more moves": lambda: untrained(
        method("SCLD", "plane", steps=4, mixture=True, moves=2, leapfrogs=2, ess_threshold=0.8), TARGETS["plane"]
    ),
    "SCLD with a flow": lambda: untrained(
        method("SCLD", steps=3, moves=1, ess_threshold=1.0, objective=SubTrajectoryBalance()), LINE
    ),
    "DDS": lambda: ByPieces(untrained(method("DDS", "plane", steps=4), TARGETS["plane"])),
    "DIS, mixture": lambda: ByPieces(untrained(method("DIS", steps=4, mixture=True), LINE)),
    "CMCD": lambda: ByPieces(untrained(method("CMCD", steps=5), LINE)),
}


LONG = ("DDS", "SCLD with a flow", "SCLD, mixture, more moves", "DIS, mixture", "CMCD")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in PIECES]
)
def test_z_is_unbiased_with_resampling_and_moves(name):
    sampler = PIECES[name]()
    target = getattr(sampler, "fitted", sampler).target
    check_unbiased_z(sampler, target, seed=2, runs=200, draws=40)


LONG_BUGS = (
    "moves that do not know the flow",
    "resampling without a reset of the weights",
    "a piece that begins at another density than the last one ended at",
    "moves at the temperature with which the piece began",
    "scores and densities left where they were when ancestors were drawn",
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG_BUGS else name for name in BUGS]
)
def test_seeded_bugs_are_rejected(name, monkeypatch):
    sampler, target, *options = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError, match=r"unbiased Z of .* FAILED .* Z-hat / Z = .* runs"):
        check_unbiased_z(sampler, target, seed=1, **({"draws": 32} | dict(*options)))


@pytest.mark.parametrize(("name", "where"), [(name, where) for name, where, mixture in PLAIN])
def test_inverse_weights_of_backward_paths(name, where):
    """E[1 / w] = 1 / Z from exact draws, and the mean of log w is above log Z as that of forward paths is below."""
    target = TARGETS[where]
    fitted = untrained(method(name, where, prior=NARROWER[where]), target, size=0.25, wider=False)
    check_unbiased_z(InverseWeights(fitted), Inverse(target), seed=1, draws=64)
    exact = target.sample(4000, generator=torch.Generator().manual_seed(1))
    found = fitted.evaluate(4000, witnesses=exact)
    assert found.elbo < target.log_z < found.eubo


# One path's weight


def stacked(*parts):
    return Points(*(torch.cat([getattr(p, name) for p in parts]) for name in ("x", "log_prob", "score")))


def joint_ratio(x, forward, backward, prior, target):
    """log of the two joint densities' ratio of states x (3, n), by torch.distributions; each law is (mean, scale)."""
    value = target.log_prob(x[-1, :, None]) - prior.log_prob(x[0])
    for k, (mean, scale) in enumerate(forward):
        value = value - Normal(mean, scale).log_prob(x[k + 1])
    for k, (mean, scale) in enumerate(backward):
        value = value + Normal(mean, scale).log_prob(x[k])
    return value


def control(measure, k, x, score, schedule, unit, which="control"):
    """What the networks say at state k, (n,); `unit`: by how many deviations of the step a control of one moves it."""
    control = getattr(measure, which)
    embedding = control.embed(tensor(k / measure.steps), schedule, unit.reshape(1))
    return control(embedding, x[None, :, None], score[None, :, None])[0, :, 0]


def cosine_times(steps, horizon):
    increments = torch.cos((torch.arange(steps) / steps + 0.008) / 1.008 * math.pi / 2).double() ** 4  # from the noise
    return horizon * torch.cat([increments.flip(0).cumsum(0) / increments.sum()]).flip(0)  # t_0 .. t_{K-1}, then 0


@torch.no_grad()
def by_hand(fitted, x):
    """The two kernels written out for two steps in one dimension; x (3, n) in the sampler's coordinates."""
    kind, measure, target = type(fitted.method).__name__, fitted.measure, seen(fitted)
    score = target.score(x[..., None])[..., 0]
    forward, backward = [], []
    if kind in REFERENCE:
        width = getattr(fitted.method, "width", 1.0)
        prior = Normal(0.0, 1.0)
        if kind == "PIS":
            prior = Normal(measure.prior.mean, measure.prior.log_scale.exp())
            t = width**2 - torch.cat([cosine_times(3, width**2), torch.zeros(1, dtype=F64)])[1:]
            schedule = t / width**2
        elif kind == "DDS":
            t = torch.cat([cosine_times(2, fitted.method.horizon), torch.zeros(1, dtype=F64)])
            schedule = torch.exp(-t)
        else:
            low, high = fitted.method.beta_min, fitted.method.beta_max
            t = torch.tensor([1.0, 0.5, 0.0], dtype=F64)
            t = 0.5 * (low * t + 0.5 * (high - low) * t**2)  # int beta / 2: the time of an Ornstein-Uhlenbeck process
            schedule = torch.exp(-t)
        for k in range(2):
            if kind == "PIS":
                ahead, strength, variance = 1.0, t[k + 1] - t[k], t[k + 1] - t[k]
                back, back_variance = t[k] / t[k + 1], t[k] * (t[k + 1] - t[k]) / t[k + 1]
            else:
                ahead = back = torch.exp(t[k + 1] - t[k])
                variance = back_variance = 1 - ahead**2
                strength = variance if kind == "DDS" else variance / ahead
            c = score[k] + x[k] / width**2
            gate = schedule[k : k + 1] if fitted.method.start == "score" else None
            f = control(measure, k, x[k], c, gate, strength / variance.sqrt())
            forward.append((ahead * x[k] + strength * f, variance.sqrt() * measure.stretches[k, 0].exp()))
            backward.append((back * x[k + 1], back_variance.sqrt()))
    else:
        prior = Normal(measure.prior.mean, measure.prior.log_scale.exp())
        temperatures = nn.functional.softplus(measure.raw_temperatures)
        b = [0.0, float(temperatures[0] / temperatures.sum()), 1.0]
        h = (measure.log_steps + measure.log_coordinates[0]).exp()
        for k in range(3):
            own = -(x[k] - measure.prior.mean) / measure.prior.log_scale.exp() ** 2
            g = (1 - b[k]) * own + b[k] * score[k]
            ahead = h[min(k, 1)]
            g = g.clamp(-3 * (2 / ahead).sqrt(), 3 * (2 / ahead).sqrt())
            u = control(measure, k, x[k], g, None, (ahead / 2).sqrt())
            if k < 2:
                forward.append((x[k] + h[k] * (g + (0.0 if kind == "MCD" else u)), (2 * h[k]).sqrt()))
            if k > 0:
                v = control(measure, k, x[k], g, None, (ahead / 2).sqrt(), "backward_control") if kind == "GBS" else u
                backward.append((x[k] + h[k - 1] * (g - v), (2 * h[k - 1]).sqrt()))
    return joint_ratio(x, forward, backward, prior, target)


@pytest.mark.parametrize("start", ["reference", "score"])
@pytest.mark.parametrize("name", METHODS)
def test_weights_by_brute_force(name, start, generator):
    """Given states, not simulated ones; the tables of the noising processes are kept in float32."""
    options = {"start": start} if name in REFERENCE else {}
    if name == "DDS":
        options["horizon"] = 3.0
    fitted = untrained(method(name, steps=2, **options), LINE, size=1.0)
    x = torch.randn(3, 500, generator=generator, dtype=F64)
    flat = evaluate(seen(fitted), x.reshape(-1, 1))
    points = Points(flat.x.reshape(3, 500, 1), flat.log_prob.reshape(3, 500), flat.score.reshape(3, 500, 1))
    k = torch.arange(3)
    with torch.no_grad():
        ends = fitted.measure.log_density(k, points)
        found = ends[-1] - ends[0] + increments(fitted.measure, points, 0).sum(0)
    torch.testing.assert_close(found, by_hand(fitted, x), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("name", "mixture"), [(n, False) for n in METHODS] + [(n, True) for n in MIXED])
@torch.no_grad()
def test_the_sum_over_all_paths_is_z(name, mixture):
    """By quadrature: int prior(x_0) prod N(x_{k+1}; f_k, s_k) w = Z, without any noise, and no path is left out.

    The forward density is that of the means and scales that draw; the weights come from given states.
    """
    fitted = untrained(method(name, steps=3, mixture=mixture), LINE, size=1.0)
    measure, target, n = fitted.measure, seen(fitted), 241
    x = torch.linspace(-8, 8, n, dtype=F64)
    old, new = (part.reshape(-1, 1) for part in torch.meshgrid(x, x, indexing="ij"))
    points = stacked(evaluate(target, old), evaluate(target, new))
    index = torch.arange(measure.steps + 1)
    table, single = measure.table(index), evaluate(target, x[:, None])
    ends = measure.log_density(index[[0, -1]], stacked(single, single))
    prior = measure.prior.log_prob(x[:, None])
    mass = (prior - ends[0]).exp()
    for k in range(measure.steps):
        here = table[k : k + 1]
        step = measure.forward(here, single, measure.field(here, single))
        density = Normal(step.mean[0], step.scale[0].expand(n, 1)).log_prob(x)
        ratio = increments(measure, points, k).reshape(n, n)
        mass = mass @ (density + ratio).exp() * (x[1] - x[0])
    found = (mass * ends[1].exp()).sum() * (x[1] - x[0])
    assert float(found.log()) == pytest.approx(LINE.log_z, abs=1e-7)


@pytest.mark.parametrize(("noise_scale", "network"), [(1.0, RESIDUAL), (1.3, SMALL)])
@pytest.mark.parametrize(("name", "where", "mixture"), [*ALL, ("SCLD", "plane", True)])
def test_paths_evaluated_again_have_the_same_weights(name, where, mixture, noise_scale, network):
    fitted = untrained(method(name, where, mixture=mixture, network=network), TARGETS[where])
    measure, target = fitted.measure, seen(fitted)
    kept = log_weights(fitted, 50, keep=True, noise_scale=noise_scale)
    ended = log_weights(fitted, 50, noise_scale=noise_scale)
    assert kept.points.x.shape == (7, 50, target.dim)
    assert torch.equal(kept.last_point.x, ended.last_point.x)
    torch.testing.assert_close(kept.log_weights, ended.log_weights, rtol=1e-12, atol=1e-12)
    x = target.to_u(TARGETS[where].sample(50, generator=torch.Generator().manual_seed(5)))
    back = simulate_backward(measure, target, x, torch.Generator().manual_seed(6), keep=True)
    assert torch.equal(back.last_point.x[0], x)
    for paths in (kept, back):  # that forward and backward walks agree about given states follows
        with torch.no_grad():
            again = increments(measure, paths.points, 0)
            ends = measure.log_density(torch.arange(7), paths.points)
        torch.testing.assert_close(again, paths.increments, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(ends[0], paths.start)
        torch.testing.assert_close(ends[-1], paths.end)
        torch.testing.assert_close(increments(measure, paths.points[2:5], 2), again[2:4], rtol=1e-9, atol=1e-9)


def test_paths_from_the_middle(generator):
    """Parts of a path are simulated and weighted like the whole."""
    fitted = untrained(method("CMCD", "plane"), TARGETS["plane"])
    whole = log_weights(fitted, 20, keep=True)
    first = log_weights(fitted, 20, last=4, keep=True)
    assert torch.equal(first.points.x, whole.points.x[:5])
    rest = simulate(fitted.measure, seen(fitted), 20, generator, start=first.last_point, first=4, keep=True)
    assert torch.equal(rest.points.x[0], first.points.x[-1])
    torch.testing.assert_close(rest.start, first.end)
    again = increments(fitted.measure, rest.points, 4)
    torch.testing.assert_close(again, rest.increments, rtol=1e-9, atol=1e-9)


# What is known under other names


def standard(dim):
    return gaussian(dim, 1.0)


@torch.no_grad()
@pytest.mark.parametrize("kind", [CMCD, MCD])
def test_untrained_controlled_langevin_is_annealed_importance_sampling_by_ula(kind):
    """x' = x + h g_k(x) + sqrt(2h) xi, back from x' with g_{k+1}(x'); the same noise, and the same weights."""
    target, n = TARGETS["plane"], 100
    fitted = kind(steps=5, network=SMALL, prior=standard(2)).fit(target, iterations=0)
    h = torch.tensor([0.02, 0.03, 0.04, 0.05, 0.06], dtype=F64)
    fitted.measure.log_steps.copy_(h.log())
    found = log_weights(fitted, n, seed=3)
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(n, 2, generator=generator, dtype=F64)
    log_w = -Normal(0.0, 1.0).log_prob(x).sum(-1)

    def g(k, x):
        return (1 - k / 5) * -x + (k / 5) * target.score(x)

    for k in range(5):
        new = x + h[k] * g(k, x) + (2 * h[k]).sqrt() * torch.randn(1, n, 2, generator=generator, dtype=F64)[0]
        log_w -= Normal(x + h[k] * g(k, x), (2 * h[k]).sqrt()).log_prob(new).sum(-1)
        log_w += Normal(new + h[k] * g(k + 1, new), (2 * h[k]).sqrt()).log_prob(x).sum(-1)
        x = new
    torch.testing.assert_close(found.last_point.x[0], x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.log_weights, log_w + target.log_prob(x), rtol=1e-12, atol=1e-11)


def noise_of(fitted, paths):
    """The control F and the noise xi of every step of kept paths, (steps, n, dim) each."""
    measure = fitted.measure
    table = measure.table(torch.arange(measure.steps + 1))[:-1]
    before = paths.points[:-1]
    field = measure.field(table, before)
    step = measure.forward(table, before, field)
    return field, (paths.points.x[1:] - step.mean) / step.scale


@torch.no_grad()
def test_dds_in_its_literal_form():
    """-log w = sum [beta^2 |F|^2 / 2 + beta F xi] + log N(y_K; 0, 1) - log gamma(y_K)."""
    fitted = untrained(method("DDS", "plane", start="score", learn_scale=False), TARGETS["plane"])
    paths = log_weights(fitted, 200, keep=True)
    f, xi = noise_of(fitted, paths)
    beta = fitted.measure.ahead_deviation[:, None, None]
    torch.testing.assert_close(beta**2, 1 - fitted.measure.back_scale[:, None, None] ** 2, rtol=1e-6, atol=1e-6)
    cost = (0.5 * beta**2 * f**2 + beta * f * xi).sum((0, 2))
    end = paths.last_point
    literal = end.log_prob[0] - Normal(0.0, 1.0).log_prob(end.x[0]).sum(-1) - cost
    torch.testing.assert_close(paths.log_weights, literal, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_pis_in_its_literal_form():
    """x_0 = 0 and log w = log gamma(x_T) - log N(x_T; 0, T) - sum [|u|^2 dt / 2 + u xi sqrt(dt)]."""
    width = 1.2
    fitted = untrained(method("PIS", "plane", learn_scale=False, width=width), TARGETS["plane"])
    measure = fitted.measure
    variances = torch.cat([torch.ones(1, dtype=F64), measure.ahead_control])[:, None, None]  # dt, with g = 1
    first = torch.tensor(width**2, dtype=F64) - measure.ahead_control.sum()
    variances[0] = first
    u0 = torch.tensor([0.3, -0.2], dtype=F64)  # the control at the point where all paths start
    measure.prior.mean.copy_(u0 * first)
    measure.prior.log_scale.copy_(0.5 * first.log().expand(2))
    paths = log_weights(fitted, 200, keep=True)
    u, xi = noise_of(fitted, paths)
    u = torch.cat([u0.expand(1, 200, 2), u])
    xi = torch.cat([(paths.points.x[:1] - u0 * first) / first.sqrt(), xi])
    cost = (0.5 * u**2 * variances + u * xi * variances.sqrt()).sum((0, 2))
    end = paths.last_point
    literal = end.log_prob[0] - Normal(0.0, width).log_prob(end.x[0]).sum(-1) - cost
    torch.testing.assert_close(paths.log_weights, literal, rtol=1e-5, atol=1e-5)


# The best control


class Rule(nn.Module):
    """A control that is a function of the time and x."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def embed(self, time, schedule, unit):
        return (time[:, None, None],)

    def forward(self, parts, x, score):
        return self.rule(parts[0], x)


MEAN, SCALE = 0.4, 0.6  # of a Gaussian target, in the sampler's coordinates


def best_control(name, steps):
    """The measure of `steps` steps with F = grad log h, in closed form, and the law of its first state."""
    options = {"learn_scale": False} if name in REFERENCE else {}
    sampler = method(name, steps=steps, prior=standard(1), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        measure = sampler.fit(gaussian(1, SCALE, MEAN), iterations=0).measure
    if name == "PIS":
        t = torch.cat([1 - measure.ahead_control.flip(0).cumsum(0).flip(0), torch.ones(1, dtype=F64)])

        def rule(time, x):
            at = t[(time * steps).round().long()]
            return x / at - (x - at * MEAN) / (at**2 * SCALE**2 + at * (1 - at))

        first = t[0]
        measure.prior.mean.data.fill_(first * MEAN)
        measure.prior.log_scale.data.fill_(0.5 * (first**2 * SCALE**2 + first * (1 - first)).log())
    elif name in REFERENCE:
        a = torch.cat([measure.back_scale.flip(0).cumprod(0).flip(0), torch.ones(1, dtype=F64)])

        def rule(time, x):
            at = a[(time * steps).round().long()]
            return x - (x - at * MEAN) / (at**2 * SCALE**2 + 1 - at**2)
    else:
        h = 1 / steps
        measure.log_steps.data.fill_(math.log(h))

        def rule(b, x):
            """The velocity that carries the path of Gaussians pi_b along, and which Langevin steps know nothing of."""
            precision = (1 - b) + b / SCALE**2
            slope = 1 / SCALE**2 - 1
            mean = b * MEAN / SCALE**2 / precision
            moving = MEAN / SCALE**2 / precision - mean * slope / precision
            return (moving - 0.5 * slope / precision * (x - mean)) / (steps * h)

    measure.control = Rule(rule)
    return measure


@torch.no_grad()
def bound_and_end(measure):
    """log Z - ELBO, and mean and variance of the end, for affine kernels: by quadrature, exact."""
    target = gaussian(1, SCALE, MEAN)
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(4))
    weights = weights / weights.sum()
    pairs = (weights[:, None] * weights).reshape(-1)
    prior = measure.prior
    mean, variance = prior.mean[0].clone(), (2 * prior.log_scale[0]).exp()
    index = torch.arange(measure.steps + 1)
    table = measure.table(index)
    gap = float(weights @ prior.log_prob((mean + variance.sqrt() * nodes)[:, None]))
    for k in range(measure.steps):
        x = evaluate(target, (mean + variance.sqrt() * nodes)[:, None])
        step = measure.forward(table[k : k + 1], x, measure.field(table[k : k + 1], x))
        new = evaluate(target, (step.mean[0] + step.scale[0] * nodes).reshape(-1, 1))
        old = Points(*(value.repeat_interleave(4, 1) for value in (x.x, x.log_prob, x.score)))
        both = stacked(old, new)
        gap -= float(pairs @ increments(measure, both, k)[0])
        means, mean = step.mean[0, :, 0], weights @ step.mean[0, :, 0]
        variance = weights @ (means - mean).square() + step.scale.square().flatten()[0]
    end = target.log_prob((mean + variance.sqrt() * nodes)[:, None])
    return gap - float(weights @ end), float(mean), float(variance)


@pytest.mark.parametrize("name", ["DDS", "PIS", "DIS", pytest.param("CMCD", marks=pytest.mark.slow)])
def test_the_best_control_leaves_a_gap_of_one_over_the_number_of_steps(name):
    gaps = []
    for steps in (50, 100, 200):
        gap, mean, variance = bound_and_end(best_control(name, steps))
        assert mean == pytest.approx(MEAN, abs=4 / steps)
        assert variance == pytest.approx(SCALE**2, abs=4 / steps)
        gaps.append(gap)
    assert all(gap > 0 for gap in gaps)
    assert gaps[0] < 0.02
    for one, half in pairwise(gaps):
        assert half / one == pytest.approx(0.5, abs=0.06)


# Pieces


@pytest.mark.parametrize("count", [1, 2, 3, 6])
@pytest.mark.parametrize("name", ["DDS", "PIS", "SCLD"])
def test_subtrajectories_without_resampling_are_whole_paths(name, count):
    fitted = untrained(method(name, "plane"), TARGETS["plane"], size=1.0)
    whole = log_weights(fitted, 64, seed=2)
    generator = torch.Generator().manual_seed(2)
    ensemble = simulate_subtrajectories(fitted.measure, seen(fitted), 64, generator, resampling=Resampling(count, 0.0))
    torch.testing.assert_close(ensemble.x, whole.last_point.x[0], rtol=1e-10, atol=1e-10)
    assert ensemble.cloud.resamplings == 0
    torch.testing.assert_close(ensemble.log_w, whole.log_weights, rtol=1e-9, atol=1e-9)


def test_scld_without_resampling_and_moves_weighs_like_cmcd():
    options = {"seed": 4, "size": 1.0}
    plain = untrained(method("CMCD"), LINE, **options)
    pieces = untrained(method("SCLD", ess_threshold=0.0, moves=0), LINE, **options)
    one, other = (f.sample(draws=50, seed=7) for f in (plain, pieces))
    torch.testing.assert_close(one.x, other.x)
    torch.testing.assert_close(one.log_weights, other.log_weights, rtol=1e-9, atol=1e-9)
    assert one.log_z.value == pytest.approx(other.log_z.value, abs=1e-9)


def test_the_answers_of_subtrajectories_belong_together():
    """Weights, log Z and its error, and log-densities in x."""
    fitted = untrained(method("SCLD", "plane", ess_threshold=1.0), TARGETS["plane"])
    draws = fitted.sample(draws=1030, seed=3)
    assert draws.x.shape == (1, 1030, 2)
    assert float(draws.log_weights.logsumexp(1)) - math.log(1030) == pytest.approx(draws.log_z.value, abs=1e-9)
    torch.testing.assert_close(draws.stats["lp"], TARGETS["plane"].log_prob(draws.x))
    assert abs(draws.log_z.value - TARGETS["plane"].log_z) < 6 * draws.log_z.standard_error


# Evaluation


def test_forward_ess_is_its_formula():
    """Target (0.5, 0.3, 0.2) x Z, sampler (0.2, 0.3, 0.5): E_p[w] E_q... by its values, each as often as it occurs."""
    p, q, z = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5]), 7.0
    log_w = torch.from_numpy(np.log(z * p / q))
    forward, backward = (log_w.repeat_interleave(torch.from_numpy(np.rint(100 * law)).long()) for law in (q, p))
    found = evaluate_weights(forward, backward)
    assert found.forward_ess == pytest.approx(1 / (p**2 / q).sum(), rel=1e-12)
    assert found.ess == pytest.approx(1 / (p**2 / q).sum(), rel=1e-12)  # the same number, seen from the other side
    assert found.log_z == pytest.approx(math.log(z), rel=1e-12)
    assert found.elbo == pytest.approx(math.log(z) - (q * np.log(q / p)).sum(), rel=1e-12)
    assert found.eubo == pytest.approx(math.log(z) + (p * np.log(p / q)).sum(), rel=1e-12)
    assert found.missed == 0.0
    assert (found.draws, found.witnesses, found.lost) == (100, 100, 0)
    error = math.sqrt((p**2 / q).sum() - 1) / math.sqrt(99)
    assert found.standard_error == pytest.approx(error, rel=1e-12)
    assert found.elbo_standard_error == pytest.approx(float(forward.std()) / 10, rel=1e-12)


def test_a_mode_that_is_never_visited_is_missed():
    """A narrow sampler on one of two modes: its own weights are fine, backward paths from the other mode tell."""
    two = targets.GaussianMixture(tensor([0.0], [12.0]), scales=0.5, weights=[0.7, 0.3], name="two modes")
    sampler = CMCD(steps=4, network=SMALL, prior=gaussian(1, 0.55))
    fitted = sampler.fit(two, iterations=0)
    draws = two.sample(1000, generator=torch.Generator().manual_seed(0))
    blind = fitted.evaluate(1000)
    assert blind.missed is None
    assert blind.complaints() == []
    assert blind.log_z == pytest.approx(math.log(0.7), abs=0.05)
    found = fitted.evaluate(1000, witnesses=draws)
    assert found.missed == pytest.approx(float((draws > 6).double().mean()), abs=1e-12)
    assert found.forward_ess < 1e-3
    (said,) = found.complaints()
    assert said.startswith(
        f"modes are missed: {found.missed:.0%} of 1000 draws of another sampler lie where this one goes"
    )
    assert "prior='mixture'" in said


def test_words_of_complaints(generator):
    fine = Evaluation(1000, -0.1, 0.0, 0.01, 0.9, 0.3)
    assert fine.complaints() == []
    assert "ESS 90.0% of 1000 paths, Pareto k-hat 0.30" in str(fine)
    assert "EUBO" not in str(fine)
    assert "EUBO 0.2000, forward ESS 80.0%, missed 1.0%" in str(
        replace(fine, witnesses=50, eubo=0.2, forward_ess=0.8, missed=0.01)
    )
    for heavy in (replace(fine, pareto_k=0.8), replace(fine, ess=0.01), replace(fine, pareto_k=math.nan)):
        (said,) = heavy.complaints()
        assert said.startswith("the weights are not to be trusted: their Pareto k-hat is ")
        assert "log Z is probably too low. Train longer, take more steps, or correct='smc'" in said
    log_w = torch.randn(200, generator=generator, dtype=F64) * 0.1
    log_w[:3] = torch.tensor([math.nan, -math.inf, math.inf], dtype=F64)
    found = evaluate_weights(log_w)
    assert found.lost == 3
    assert found.complaints()[0] == "3 of 200 paths ended where the log-density is not finite; no weight"
    assert found.log_z == pytest.approx(float(log_w[3:].logsumexp(0)) - math.log(200), rel=1e-12)


def test_the_bound_counts_paths_without_weight():
    """All of w on half of the paths: the mean over these alone would be above log Z = -log 2."""
    log_w = torch.where(torch.arange(100) % 2 == 0, 0.0, -math.inf).double()
    found = evaluate_weights(log_w)
    assert found.elbo == pytest.approx(-math.log(2), rel=1e-12)
    assert found.elbo_standard_error == pytest.approx(0.1, rel=1e-12)  # log of a share of 50 in 100
    assert weigh(log_w).lower == found.elbo
    assert found.log_z == pytest.approx(-math.log(2), rel=1e-12)
    fitted = method("CMCD", "plane", prior=gaussian(2, 1.0)).fit(HalfNormal(), iterations=0)
    assert float(fitted.measure.log_steps.exp().mean()) > 1e-3  # lost paths do not make the trial take the smallest
    found = fitted.evaluate(4000)
    assert found.lost > 100
    assert found.elbo < math.log(math.pi)


def test_weights_that_say_nothing():
    found = evaluate_weights(torch.full((50,), math.nan, dtype=F64))
    assert (found.lost, found.log_z, found.ess) == (50, -math.inf, 0.0)
    assert len(found.complaints()) == 2
    few = evaluate_weights(torch.zeros(10, dtype=F64))
    assert few.ess == pytest.approx(1.0)
    blind = evaluate_weights(torch.zeros(50, dtype=F64), torch.full((20,), math.inf, dtype=F64))
    assert blind.missed == 1.0  # a point of no density under the sampler is one that it misses
    assert blind.forward_ess == 0.0
    assert "modes are missed: 100% of 20 draws" in blind.complaints()[0]


def test_draws_and_evaluation_tell_the_same():
    fitted = untrained(method("DDS", "plane"), TARGETS["plane"])
    draws = fitted.sample(draws=3000, seed=5)
    found = fitted.evaluate(3000, seed=5)
    assert draws.log_z.value == pytest.approx(found.log_z, rel=1e-12)
    assert draws.log_z.lower == pytest.approx(found.elbo, rel=1e-12)
    assert draws.attrs["ess"] == pytest.approx(found.ess)
    torch.testing.assert_close(draws.stats["lp"], TARGETS["plane"].log_prob(draws.x))
    weights = draws.log_weights[0].softmax(0)
    mean = (weights[:, None] * draws.x[0]).sum(0)
    torch.testing.assert_close(mean, TARGETS["plane"].mean, rtol=0, atol=0.15)
    equal = fitted.sample(draws=3000, seed=5, correct="resample")
    assert equal.log_weights is None
    assert equal.log_z.value == draws.log_z.value
    assert bool(torch.isin(equal.x, draws.x).all())
    torch.testing.assert_close(equal.x[0].mean(0), mean, rtol=0, atol=0.05)
    torch.testing.assert_close(equal.stats["lp"], TARGETS["plane"].log_prob(equal.x))


def test_priors_are_normalised_with_exact_draws(generator):
    """What `log w` starts from, after parameters were moved."""
    for where, mixture in ((where, mixture) for where in TARGETS for mixture in (False, True)):
        fitted = untrained(method("CMCD", where, mixture=mixture), TARGETS[where], size=1.0)
        prior = fitted.measure.prior
        x = prior.sample(4000, generator)
        wide = gaussian(x.shape[1], 2.5)
        proposals = wide.sample(40000, generator=generator)
        ratio = (prior.log_prob(proposals) - wide.log_prob(proposals)).exp()
        assert float(ratio.mean()) == pytest.approx(1.0, abs=6 * float(ratio.std()) / 200)
        tested = torch.cat([x, x**2, x.sin()], -1)
        expected = (ratio[:, None] * torch.cat([proposals, proposals**2, proposals.sin()], -1)).mean(0)
        torch.testing.assert_close(tested.mean(0), expected, rtol=0, atol=0.15)
        point = x[:20].requires_grad_()
        (slope,) = torch.autograd.grad(prior.log_prob(point).sum(), point)
        torch.testing.assert_close(prior.score(point), slope)
