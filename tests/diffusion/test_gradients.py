"""Gradients of the learned samplers: against objectives written out, finite differences, and one another.

Everything is in float64 and every network is random, so that no term of a gradient is zero by chance.
"""

import gc
import math
import warnings
import weakref
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from diffusion_cases import F64, LANGEVIN, REFERENCE, TARGETS, method, shaken
from torch.distributions import Normal, kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import targets
from samplers import SamplingWarning
from samplers.diffusion import (
    KL,
    LogVariance,
    SubTrajectoryBalance,
    Training,
    TrajectoryBalance,
    VarGrad,
    adjoint as adjoint_module,
    gradient,
    reference,
)
from samplers.diffusion.adjoint import adjoint
from samplers.diffusion.controlled_langevin import LangevinMeasure
from samplers.diffusion.reference import ReferenceMeasure
from samplers.diffusion.space import find_space
from samplers.networks.flow import FlowNetwork
from samplers.path_measures.base import Points
from samplers.path_measures.control import Control
from samplers.path_measures.simulation import evaluate, increments, simulate

PATHS, STEPS = 10, 5
LOG_Z = 0.7
ZERO = torch.zeros((), dtype=F64)
OBJECTIVES = {
    "log-variance": LogVariance(),
    "log-variance, huber": LogVariance(huber=1.0),
    "VarGrad": VarGrad(),
    "trajectory balance": TrajectoryBalance(),
    "sub-trajectory balance": SubTrajectoryBalance(decay=0.8, stride=2),
}
METHODS = (*REFERENCE, *LANGEVIN[:2])
EVERY_METHOD = pytest.mark.parametrize("name", METHODS)
EVERY_OBJECTIVE = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
NOISING = pytest.mark.parametrize("name", REFERENCE)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def build(name, target=None, *, steps=STEPS, size=0.5, flow=False, **options):
    """Random path measures of a method, and the target in their coordinates."""
    sampler = method(name, "plane", steps=steps, **options)
    target = TARGETS["plane"] if target is None else target
    space = find_space(target, sampler.prior, "full", mixture=sampler.takes_mixture, generator=seeded())
    seen = space.seen(target)
    measure = sampler.build(space, seen, seeded(1))
    measure.flow = FlowNetwork(2, seeded(2)) if flow else None
    if isinstance(measure, LangevinMeasure):
        measure.log_steps.data.fill_(math.log(0.06))
    return shaken(measure.to(F64), seed=3, size=size), seen


CASES = {name: {} for name in METHODS} | {"DDS, mixture": {"mixture": True}, "CMCD, mixture": {"mixture": True}}
EVERY_CASE = pytest.mark.parametrize("case", CASES)


@cache
def built(case, flow=False, steps=STEPS):
    return build(case.split(",")[0], steps=steps, flow=flow, **CASES[case])


@cache
def simulated(case, flow=False, steps=STEPS, n=PATHS):
    measure, target = built(case, flow, steps)
    return measure, simulate(measure, target, n, seeded(4), keep=True, noise_scale=1.1)


def learned(log_z=LOG_Z):
    return torch.tensor(log_z, dtype=F64, requires_grad=True)


def gradients(measure, function):
    """What `function` adds to the gradients of a measure's parameters, by name."""
    measure.requires_grad_(True)
    measure.zero_grad(set_to_none=True)
    function()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in measure.named_parameters()}


def gap(one, other):
    """The largest difference of two gradients, as a share of the larger one's largest entry."""
    assert one.keys() == other.keys()
    size = max(float(g.abs().max()) for g in (*one.values(), *other.values()))
    assert size > 0
    gaps = [float((one[name] - other[name]).abs().max()) for name in one]
    return math.nan if any(math.isnan(g) for g in gaps) else max(gaps) / size


# Objectives written out


def potentials(measure, points):
    """C (steps + 1, n), a step at a time, with torch's own normal densities."""
    before, sums, rows = None, 0.0, []
    for k in range(len(points.x)):
        here, index = points[k : k + 1], torch.tensor([k])
        if before is not None:
            ahead, behind = measure.table(index - 1), measure.table(index)
            step = measure.forward(ahead, before, measure.field(ahead, before))
            back = measure.backward(behind, here, measure.field(behind, here))
            forward = Normal(step.mean, step.scale).log_prob(here.x).sum(-1)
            sums = sums + (Normal(back.mean, back.scale).log_prob(before.x).sum(-1) - forward)[0]
        b = measure.temperature(index)
        if isinstance(measure, ReferenceMeasure) and k > 0:
            free, last = (free_law(measure, j, here.x) for j in (k, measure.steps))
            density = free + b * (here.log_prob[0] - last)
        else:
            density = (1 - b) * measure.prior.log_prob(here.x)[0] + b * here.log_prob[0]
        if measure.flow is not None:
            density = density + b * (1 - b) * measure.flow(measure.time(index), here.x)[0]
        rows.append(density + sums)
        before = here
    return torch.stack(rows)


def free_law(measure, k, x):
    """log p_k of the motion without a network."""
    if measure.mixture is None:
        return Normal(0.0, measure.variances[k].sqrt()).log_prob(x[0]).sum(-1)
    return measure.mixture.log_prob(measure.signal[k].reshape(1, 1, 1), x)[0]


def fixed_of(objective, c):
    """What the objective takes from the paths as they are, and does not differentiate."""
    log_w = c[-1] - c[0]
    centre = log_w.median()
    return centre, objective.huber * 1.4826 * (log_w - centre).abs().median()


def written_out(objective, c, log_z, fixed=None):
    log_w = c[-1] - c[0]
    if isinstance(objective, VarGrad):
        return log_w.var(correction=0)
    if isinstance(objective, TrajectoryBalance):
        return ((log_w - log_z) ** 2).mean()
    if isinstance(objective, SubTrajectoryBalance):
        kept = [0, 2, 4, 5]
        rows = [c[k] + (log_z if k == 0 else 0.0) for k in kept]
        pairs = [(i, j) for i in range(len(kept)) for j in range(i + 1, len(kept))]
        total = sum(objective.decay ** (j - i) for i, j in pairs)
        return sum(objective.decay ** (j - i) * ((rows[j] - rows[i]) ** 2).mean() for i, j in pairs) / total
    if objective.huber is None:
        return log_w.var()
    centre, limit = fixed
    size = (log_w - centre).abs()
    return torch.where(size <= limit, size**2, 2 * limit * size - limit**2).mean()


def slopes(measure, value, seed=5, h=2e-5):
    """Derivatives of `value()`, numbers, along a random direction of each parameter, and the directions, by name."""
    found = {}
    generator = seeded(seed)
    for name, parameter in measure.named_parameters():
        direction = torch.randn(parameter.shape, generator=generator, dtype=F64)
        direction /= direction.norm()
        place = parameter.detach().clone()
        parameter.data = place + h * direction
        up = torch.as_tensor(value(), dtype=F64)
        parameter.data = place - h * direction
        found[name] = (up - torch.as_tensor(value(), dtype=F64)) / (2 * h), direction
        parameter.data = place
    return found


def check_slopes(found, expected, which=(), tolerance=1e-5):
    """Finite differences agree with a gradient along the direction of every parameter."""
    largest = max(float(slope[which].abs()) for slope, _ in expected.values())
    for name, (slope, direction) in expected.items():
        mine = float((found[name] * direction).sum())
        assert mine == pytest.approx(float(slope[which]), rel=tolerance, abs=1e-7 * largest), name


# Blocks of given states


def by_blocks(measure, paths, objective, weight=1.0):
    log_z = learned()
    found = gradients(measure, lambda: objective.gradient(measure, paths, log_z, weight))
    return found | {"log_z": torch.zeros((), dtype=F64) if log_z.grad is None else log_z.grad}


def plainly(measure, points, objective, weight=1.0):
    log_z = learned()

    def run():
        c = potentials(measure, points)
        fixed = fixed_of(objective, c.detach()) if getattr(objective, "huber", None) else None
        (weight * written_out(objective, c, log_z, fixed)).backward()

    found = gradients(measure, run)
    return found | {"log_z": torch.zeros((), dtype=F64) if log_z.grad is None else log_z.grad}


@EVERY_CASE
@EVERY_OBJECTIVE
def test_blocks_give_the_gradient_of_the_objective_written_out(case, objective, monkeypatch):
    measure, paths = simulated(case, flow=objective.every_state)
    monkeypatch.setattr(gradient, "BLOCK", 3 * PATHS)
    assert gap(by_blocks(measure, paths, objective), plainly(measure, paths.points, objective)) < 1e-8


@EVERY_OBJECTIVE
def test_the_loss_is_that_of_the_objective_written_out(objective):
    measure, paths = simulated("CMCD", flow=objective.every_state)
    with torch.no_grad():
        c = potentials(measure, paths.points)
        fixed = fixed_of(objective, c) if getattr(objective, "huber", None) else None
        expected = float(written_out(objective, c, torch.tensor(LOG_Z, dtype=F64), fixed))
    loss, log_w = objective.gradient(measure, paths, learned(), 0.5)
    assert loss == pytest.approx(0.5 * expected, rel=1e-10)
    torch.testing.assert_close(log_w, c[-1] - c[0])


@EVERY_CASE
@pytest.mark.parametrize("objective", ["log-variance", "sub-trajectory balance"])
def test_the_size_of_the_blocks_does_not_matter(case, objective, monkeypatch):
    objective = OBJECTIVES[objective]
    measure, paths = simulated(case, flow=objective.every_state)
    whole = by_blocks(measure, paths, objective)
    for block in (1, 2 * PATHS):
        monkeypatch.setattr(gradient, "BLOCK", block)
        assert gap(by_blocks(measure, paths, objective), whole) < 1e-12


@EVERY_METHOD
def test_finite_differences_of_the_objectives_at_given_states(name):
    measure, paths = simulated(name, flow=True)
    log_z, objectives = torch.tensor(LOG_Z, dtype=F64), list(OBJECTIVES.values())
    with torch.no_grad():
        fixed = fixed_of(OBJECTIVES["log-variance, huber"], potentials(measure, paths.points))

    @torch.no_grad()
    def values():
        c = potentials(measure, paths.points)
        return torch.stack([written_out(objective, c, log_z, fixed) for objective in objectives])

    expected = slopes(measure, values)
    for which, objective in enumerate(objectives):
        found = by_blocks(measure, paths, objective)
        check_slopes(found, expected, which)
        if objective.learns_log_z:
            h, c = 1e-3, potentials(measure, paths.points).detach()
            up, down = (float(written_out(objective, c, log_z + step)) for step in (h, -h))
            assert float(found["log_z"]) == pytest.approx((up - down) / (2 * h), rel=1e-8)


@EVERY_METHOD
def test_vargrad_is_the_log_variance_up_to_its_factor(name):
    """1/n in place of 1/(n - 1); that the mean is not differentiated costs nothing, as deviations add up to zero."""
    measure, paths = simulated(name)
    one, other = by_blocks(measure, paths, VarGrad()), by_blocks(measure, paths, LogVariance())
    assert gap(one, {key: (PATHS - 1) / PATHS * g for key, g in other.items()}) < 1e-12


def test_the_weight_multiplies():
    measure, paths = simulated("PIS")
    one, other = (by_blocks(measure, paths, TrajectoryBalance(), weight) for weight in (1.0, 0.25))
    assert gap({key: 0.25 * g for key, g in one.items()}, other) < 1e-14


def spoiled(paths):
    """With a weight that is not finite in each of four ways, in paths 1, 4, 6 and 7."""
    points = Points(*(value.clone() for value in (paths.points.x, paths.points.log_prob, paths.points.score)))
    increments, end = paths.increments.clone(), paths.end.clone()
    points.x[2:, 1] = points.score[2:, 1] = points.log_prob[2:, 1] = increments[1:, 1] = end[1] = math.nan
    points.score[-1, 4] = math.inf
    points.log_prob[-1, 4] = end[4] = -math.inf
    increments[3, 6] = math.inf
    points.log_prob[-1, 7] = end[7] = math.inf
    return replace(paths, points=points, increments=increments, end=end)


@EVERY_METHOD
@EVERY_OBJECTIVE
def test_paths_without_finite_weight_are_left_out(name, objective):
    measure, paths = simulated(name, flow=objective.every_state)
    rest = torch.tensor([0, 2, 3, 5, 8, 9])
    kept = replace(
        paths,
        points=paths.points.of(rest),
        increments=paths.increments[:, rest],
        start=paths.start[rest],
        end=paths.end[rest],
    )
    assert gap(by_blocks(measure, spoiled(paths), objective), by_blocks(measure, kept, objective)) < 1e-14


def test_nothing_is_added_where_one_path_is_left():
    measure, paths = simulated("DDS")
    end = torch.full_like(paths.end, math.nan)
    end[0] = paths.end[0]
    losses = []
    found = gradients(
        measure, lambda: losses.append(LogVariance().gradient(measure, replace(paths, end=end), learned())[0])
    )
    assert math.isnan(losses[0])
    assert not any(g.any() for g in found.values())


# Through the paths


def along(measure, target, objective, n=6, seed=7):
    return gradients(measure, lambda: objective.gradient_of_model(measure, target, n, seeded(seed), ZERO))


PLAIN, STICKING = KL(sticking_the_landing=False), KL()


@EVERY_CASE
def test_finite_differences_through_the_paths(case):
    """With the same noise; the score moves with the states, so that its own derivatives enter."""
    measure, target = built(case)
    found = along(measure, target, PLAIN)
    check_slopes(found, slopes(measure, lambda: PLAIN.gradient_of_model(measure, target, 6, seeded(7), ZERO)[0]))


@EVERY_CASE
def test_the_loss_through_the_paths_is_minus_the_mean_of_the_weights(case):
    """Which is that of simulated paths, but for chance."""
    measure, target = built(case)
    loss, log_w = PLAIN.gradient_of_model(measure, target, 4000, seeded(8), ZERO, 0.5)
    assert loss == pytest.approx(-0.5 * float(log_w.mean()), rel=1e-12)
    other = simulate(measure, target, 4000, seeded(9)).log_weights
    z = (log_w.mean() - other.mean()) / (log_w.var() / 4000 + other.var() / 4000).sqrt()
    assert abs(float(z)) < 5


@EVERY_CASE
@pytest.mark.parametrize("sticking", [True, False])
def test_recomputing_changes_nothing(case, sticking):
    measure, target = built(case, steps=7)
    full, again = (along(measure, target, KL(sticking, memory)) for memory in ("full", "recompute"))
    assert gap(full, again) < 1e-10


def z_score(differences):
    """Of the mean of batches (batches, numbers), the largest in absolute value."""
    deviation = differences.std(0) / math.sqrt(len(differences))
    return float((differences.mean(0).abs() / deviation.clamp_min(1e-300)).max())


def projected(found):
    """Along a random direction of each parameter, (parameters,)."""
    generator = seeded(10)
    return torch.stack([(g * torch.randn(g.shape, generator=generator, dtype=F64)).sum() for g in found.values()])


@pytest.mark.parametrize("case", METHODS)
def test_sticking_the_landing_has_the_mean_of_the_plain_gradient(case):
    measure, target = built(case)
    batches = range(20)
    one, other = (
        torch.stack([projected(along(measure, target, objective, 40, seed)) for seed in batches])
        for objective in (PLAIN, STICKING)
    )
    assert bool(((one - other).std(0) > 0).any())
    assert z_score(one - other) < 5


def free_variances(measure):
    """Of the noising process at each state, (steps + 1,)."""
    found = [1 / measure.precision]
    for a, v in zip(measure.back_scale.flip(0), measure.back_deviation.flip(0), strict=True):
        found.append(float(a) ** 2 * found[-1] + float(v) ** 2)
    return found[::-1]


def exact(measure):
    """The noising process that the free steps reverse to the last bit of float64, not of the float32 of its tables."""
    scale, variance = measure.ahead_scale.tolist(), measure.ahead_deviation.square().tolist()
    r, back = [free_variances(measure)[0]], []
    for a, v in zip(scale, variance, strict=True):
        r.append(a * a * r[-1] + v)
        back.append((a * r[-2] / r[-1], math.sqrt(v * r[-2] / r[-1])))
    measure.back_scale, measure.back_deviation = torch.tensor(back, dtype=F64).T
    measure.precision = 1 / r[-1]
    return measure, math.sqrt(r[0]), math.sqrt(r[-1])


@NOISING
def test_the_gradient_sticks_to_the_landing(name):
    """The noise itself as the target: without control every path has the same weight. No path has a gradient."""
    measure, first, last = exact(build(name, size=0.0)[0])
    if name == "PIS":
        measure.prior.log_scale.data.fill_(math.log(first))
    target = targets.Gaussian(torch.zeros(2, dtype=F64), last)
    for seed in range(5):
        sticking, plain = (along(measure, target, objective, 1, seed) for objective in (STICKING, PLAIN))
        assert max(float(g.abs().max()) for g in sticking.values()) < 1e-12
        assert max(float(g.abs().max()) for g in plain.values()) > 1e-2


class Cut(targets.Target):
    """A Gaussian whose log-density, score and all, is undefined beyond a line."""

    def __init__(self, edge=1.2):
        super().__init__(2, dtype=F64, name="cut")
        self.edge = edge

    def log_prob(self, x):
        return -0.5 * x.square().sum(-1) + (self.edge - x[..., 0]).sqrt()


@pytest.mark.parametrize("memory", ["full", "recompute", "adjoint"])
def test_paths_that_break_off_have_no_say(memory):
    measure, target = build("PIS")[0], Cut()
    results = []

    def run():
        if memory == "adjoint":
            results.append(adjoint(measure, target, 40, seeded(7)))
        else:
            results.append(KL(False, memory).gradient_of_model(measure, target, 40, seeded(7), ZERO))
        return results[-1][0]

    found = gradients(measure, run)
    loss, log_w = results[0]
    assert 5 < int(log_w.isfinite().sum()) < 40
    assert math.isfinite(loss)
    check_slopes(found, slopes(measure, run, h=1e-6), tolerance=1e-4)
    target.edge = -100.0
    assert math.isnan(run())
    assert not results[-1][1].isfinite().any()


# The adjoint equation


def motion(measure, n, generator):
    """First states and the increments of the noise (steps, n, dim), as `adjoint` draws them."""
    import torchsde

    x = measure.prior.reparametrised(n, generator)
    seed = int(torch.randint(2**62, (), generator=generator))
    w = torchsde.BrownianInterval(0.0, float(measure.steps), (n, measure.dim + 1), dtype=F64, entropy=seed, dt=1.0)
    return x, torch.stack([w(k, k + 1)[:, :-1] for k in range(measure.steps)])


def free_normal(x, variance):
    return Normal(torch.zeros((), dtype=F64), math.sqrt(variance)).log_prob(x).sum(-1)


def kl_of_steps(measure, target, n, generator):
    """The loss, with the graph of all of it: divergences of step from free step, and what is left at the ends."""
    first, noise = motion(measure, n, generator)
    x = first if first.requires_grad else first.requires_grad_()
    r = free_variances(measure)
    total = measure.prior.log_prob(x) - free_normal(x, r[0])
    states = [x]
    for k in range(measure.steps):
        table, at = measure.table(torch.tensor([k])), evaluate(target, x)
        step = measure.forward(table, at, measure.field(table, at))
        # Bayes: the free step ahead, from the step back and the free laws at its ends
        a = float(measure.back_scale[k])
        free = Normal(a * r[k + 1] / r[k] * x, float(measure.back_deviation[k]) * math.sqrt(r[k + 1] / r[k]))
        total = total + kl_divergence(Normal(step.mean[0], step.scale[0]), free).sum(-1)
        x = step.mean[0] + step.scale[0] * noise[k]
        states.append(x)
    total = total + free_normal(x, r[-1]) - target.log_prob(x)
    return total.mean(), torch.stack(states).detach()


NARROW = targets.GaussianMixture(
    torch.tensor([[-0.6, 0.5], [0.9, -0.4]], dtype=F64), scales=[0.15, 0.12], weights=[0.4, 0.6], name="narrow"
)
ADJOINTS = {
    "DDS": (None, {}),
    "PIS": (None, {}),
    "DIS": (None, {}),
    "DDS, fixed scale": (None, {"learn_scale": False}),
    "PIS, from the reference": (None, {"start": "reference"}),
    "DDS, mixture": (None, {"mixture": True}),
    "DDS, narrow": (NARROW, {}),
    "PIS, narrow": (NARROW, {}),
}


@pytest.mark.parametrize(
    ("case", "steps", "segments"),
    [*((case, 8, 64) for case in ADJOINTS), *((case, 50, 3) for case in ("PIS", "DDS, narrow")), ("DIS", 200, 64)],
)
def test_the_adjoint_is_the_derivative_of_the_divergences_written_out(case, steps, segments, monkeypatch):
    """At any number of steps, with no error of discretisation; also where it has to find states again.

    Narrow modes draw paths together: traced back from their ends, these would be lost within a few steps.
    """
    monkeypatch.setattr(adjoint_module, "SEGMENTS", segments)
    target, options = ADJOINTS[case]
    measure, target = build(case.split(",")[0], target, steps=steps, **options)
    exact(measure)
    results = []
    found = gradients(measure, lambda: results.append(adjoint(measure, target, 8, seeded(11), 0.5)))

    def plainly():
        results.append(kl_of_steps(measure, target, 8, seeded(11)))
        (0.5 * results[-1][0]).backward()

    assert gap(found, gradients(measure, plainly)) < 1e-9
    (loss, log_w), (mean, states) = results
    assert loss == pytest.approx(0.5 * float(mean.detach()), rel=1e-9)
    with torch.no_grad():
        value, score = target.log_prob_and_score(states)
        c = potentials(measure, Points(states, value, score))
    torch.testing.assert_close(log_w, c[-1] - c[0], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("case", ["PIS", "DDS, mixture"])
def test_the_adjoint_has_the_mean_of_the_gradient_through_the_paths(case):
    measure, target = built(case)

    def run(seed):
        return projected(gradients(measure, lambda: adjoint(measure, target, 40, seeded(seed))))

    one = [run(seed) for seed in range(24)]
    other = [projected(along(measure, target, PLAIN, 40, 100 + seed)) for seed in range(24)]
    assert z_score(torch.stack(one) - torch.stack(other)) < 5


def test_the_adjoint_draws_from_its_generator_alone():
    measure, target = built("DDS")
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    results = []

    def run(seed):
        return gradients(measure, lambda: results.append(adjoint(measure, target, 8, seeded(seed))))

    one, two, three = run(1), run(1), run(2)
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()
    assert results[0][0] == results[1][0] != results[2][0]
    assert torch.equal(results[0][1], results[1][1])
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert gap(one, three) > 0.01


def test_what_has_no_adjoint_says_so():
    measure, target = built("CMCD")
    with pytest.raises(TypeError, match="measure: got a LangevinMeasure, expected a ReferenceMeasure"):
        adjoint(measure, target, 8, seeded())
    for name in LANGEVIN:
        with pytest.raises(ValueError, match=f"objective: got KL.*expected memory='full' or 'recompute' for {name}"):
            method(name, objective=KL(memory="adjoint"))
    with pytest.raises(ValueError, match="memory: got 'none', expected 'full', 'recompute' or 'adjoint'"):
        KL(memory="none")
    assert not KL(memory="adjoint").sticking_the_landing


def test_training_by_the_adjoint_raises_the_bound():
    sampler = method("DDS", "plane", steps=4, objective=KL(memory="adjoint"), training=Training(batch=64, warmup=5))
    target = TARGETS["plane"].to(dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        before, after = (sampler.fit(target, iterations=iterations, seed=0) for iterations in (0, 25))
    one, other = (fitted.sample(draws=2000, seed=1).log_z.lower for fitted in (before, after))
    assert other > one + 0.05


# Memory


class Peak(TorchDispatchMode):
    """Bytes of all tensors alive at once that were made meanwhile: the most there were."""

    def __init__(self):
        super().__init__()
        self.alive, self.now, self.most = set(), 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.alive:
                    self.alive.add(storage._cdata)
                    self.now += storage.nbytes()
                    self.most = max(self.most, self.now)
                    weakref.finalize(storage, self.freed, storage._cdata, storage.nbytes())
        return out

    def freed(self, key, size):
        self.alive.discard(key)
        self.now -= size


class Held:
    """A tensor saved for the way back, counted while it is."""

    def __init__(self, tensor, counter):
        self.tensor = tensor
        size = tensor.numel() * tensor.element_size()
        counter["now"] += size
        counter["most"] = max(counter["most"], counter["now"])
        weakref.finalize(self, counter.subtract, {"now": size})


def saved_at_once(function):
    """Bytes that autograd holds for the way back: the most there were."""
    counter = Counter(now=0, most=0)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: Held(tensor, counter), lambda held: held.tensor):
        function()
    gc.collect()
    assert counter["now"] == 0
    return counter["most"]


def alive_at_once(function):
    with Peak() as peak:
        function()
    return peak.most


N = 256


@pytest.mark.parametrize("name", ["DDS", "CMCD"])
def test_what_autograd_holds_for_the_log_variance_does_not_grow_with_the_steps(name, monkeypatch):
    monkeypatch.setattr(gradient, "BLOCK", 4 * N)
    found = {}
    for steps in (16, 64):
        measure, paths = simulated(name, steps=steps, n=N)
        measure.requires_grad_(True)
        found[steps] = saved_at_once(lambda: LogVariance().gradient(measure, paths, learned()))  # noqa: B023
    assert found[16] > 4 * N * 8
    assert found[64] <= 1.01 * found[16]


def memory_of(name, steps, run):
    measure, target = built(name, steps=steps)
    measure.requires_grad_(True)
    return alive_at_once(lambda: run(measure, target))


@pytest.mark.slow
def test_the_memory_of_the_adjoint_does_not_grow_with_the_steps(monkeypatch):
    """But for the states in one segment; from the number of steps on that fills the segments and torchsde's cache."""
    monkeypatch.setattr(adjoint_module, "SEGMENTS", 16)

    def run(measure, target):
        return adjoint(measure, target, N, seeded(1))

    short, long = (memory_of("DDS", steps, run) for steps in (32, 64))
    assert long < 1.05 * short


@pytest.mark.parametrize("name", ["DDS", "CMCD"])
def test_the_memory_of_recomputing_grows_like_the_square_root_of_the_steps(name):
    found = {}
    for memory in ("full", "recompute"):

        def run(measure, target, memory=memory):
            return KL(False, memory).gradient_of_model(measure, target, N, seeded(1), ZERO)

        found[memory] = [memory_of(name, steps, run) for steps in (9, 36)]
    assert found["full"][1] > 3 * found["full"][0]
    assert found["recompute"][1] < 2.5 * found["recompute"][0]
    assert found["recompute"][1] < found["full"][1] / 3


# Seeded bugs: the test that is named rejects each

BUGS = {}


def bug(name, rejects):
    """rejects: calls a test of this module, given `monkeypatch`."""

    def register(function):
        BUGS[name] = function, rejects
        return function

    return register


def by_blocks_of(case, objective):
    return lambda monkeypatch: test_blocks_give_the_gradient_of_the_objective_written_out(
        case, OBJECTIVES[objective], monkeypatch
    )


def at_given_states(monkeypatch):
    test_finite_differences_of_the_objectives_at_given_states("CMCD")


def by_adjoint(case):
    return lambda monkeypatch: test_the_adjoint_is_the_derivative_of_the_divergences_written_out(
        case, 8, 64, monkeypatch
    )


@bug("the sign of the increments", by_blocks_of("DDS", "log-variance"))
def wrong_sign(monkeypatch):
    monkeypatch.setattr(gradient, "increments", lambda *given: -increments(*given))


@bug("the density of the prior left out", by_blocks_of("PIS", "log-variance"))
def no_prior(monkeypatch):
    densities = gradient._densities

    def without(measure, paths, slopes):
        densities(measure, paths, {row: slope for row, slope in slopes.items() if row})

    monkeypatch.setattr(gradient, "_densities", without)


@bug("coefficients of the increments off by one", by_blocks_of("CMCD", "sub-trajectory balance"))
def shifted_coefficients(monkeypatch):
    monkeypatch.setattr(gradient, "increments", lambda *given: increments(*given).roll(1, 0))


@bug("every block at the times of the first", by_blocks_of("DIS", "log-variance"))
def first_times(monkeypatch):
    monkeypatch.setattr(gradient, "increments", lambda measure, points, first: increments(measure, points, 0))


@bug("the field of another state in the backward kernel", by_blocks_of("CMCD", "log-variance"))
def stale_field(monkeypatch):
    backward = LangevinMeasure.backward
    monkeypatch.setattr(
        LangevinMeasure, "backward", lambda self, table, at, field: backward(self, table, at, field.roll(1, 0))
    )


@bug("step sizes detached", at_given_states)
def detached_steps(monkeypatch):
    table = LangevinMeasure.table

    def detached(self, k):
        found = table(self, k)
        values = {name: v.detach() if "ahead" in name else v for name, v in found.values.items()}
        return replace(found, values=values)

    monkeypatch.setattr(LangevinMeasure, "table", detached)


@bug("the network's unit detached from the step sizes", at_given_states)
def detached_unit(monkeypatch):
    embed = Control.embed
    monkeypatch.setattr(Control, "embed", lambda self, time, schedule, unit: embed(self, time, schedule, unit.detach()))


@bug("the score's own derivative left out", lambda _: test_finite_differences_through_the_paths("DDS"))
def constant_score(monkeypatch):
    def detached(target, x):
        found = evaluate(target, x)
        return Points(found.x, found.log_prob, found.score.detach())

    monkeypatch.setattr(gradient, "evaluate", detached)


@bug("the scale of the noise detached", lambda _: test_finite_differences_through_the_paths("PIS"))
def detached_scale(monkeypatch):
    forward = ReferenceMeasure.forward

    def detached(self, table, at, field):
        step = forward(self, table, at, field)
        return replace(step, scale=step.scale.detach())

    monkeypatch.setattr(ReferenceMeasure, "forward", detached)


@bug("a limit on the score that has no derivative", lambda _: test_finite_differences_through_the_paths("DIS"))
def sharp_limit(monkeypatch):
    def clipped(v, limit):
        size = torch.linalg.vector_norm(v, dim=-1, keepdim=True) / v.shape[-1] ** 0.5
        return v * (limit / (size + 1e-20)).clamp_max(1.0)

    monkeypatch.setattr(reference, "clip_norm", clipped)


@bug(
    "equal scales, of which one is held fixed, left out",
    lambda _: test_sticking_the_landing_has_the_mean_of_the_plain_gradient("MCD"),
)
def equal_scales(monkeypatch):
    def ratio(self, forward, new, backward, old):
        ahead, behind = (new - forward.mean) / forward.scale, (old - backward.mean) / backward.scale
        return 0.5 * (ahead.square() - behind.square()).sum(-1)

    monkeypatch.setattr(LangevinMeasure, "log_ratio", ratio)


@bug(
    "the model's own density not held fixed",
    lambda _: test_the_gradient_sticks_to_the_landing("DDS"),
)
def no_landing(monkeypatch):
    class Same:
        def __init__(self, measure):
            self.requires_grad_ = lambda required: measure

    monkeypatch.setattr(gradient.copy, "deepcopy", Same)


@bug(
    "a segment run again for every score in it",
    lambda _: test_the_memory_of_recomputing_grows_like_the_square_root_of_the_steps("DDS"),
)
def not_reentrant(monkeypatch):
    checkpoint = gradient.checkpoint
    monkeypatch.setattr(
        gradient, "checkpoint", lambda *given, **options: checkpoint(*given, **(options | {"use_reentrant": False}))
    )


@bug("the adjoint's step at the state where the step ends", by_adjoint("DDS"))
def late_state(monkeypatch):
    start = adjoint_module._Process._start
    monkeypatch.setattr(adjoint_module._Process, "_start", lambda self, k: start(self, k + 1))


@bug("the adjoint's noising process of unit variance at its end", by_adjoint("PIS"))
def unit_variance(monkeypatch):
    monkeypatch.setattr(adjoint_module, "_first_variance", lambda measure: 1.0)


@pytest.mark.parametrize("name", BUGS)
def test_a_seeded_bug_is_rejected(name, monkeypatch):
    mistake, rejects = BUGS[name]
    mistake(monkeypatch)
    with pytest.raises(AssertionError):
        rejects(monkeypatch)
