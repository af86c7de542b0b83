"""Training, its checkpoints, files, warnings, and what is refused."""

import itertools
import json
import math
import os
import signal
import sys
import types
import warnings
from dataclasses import dataclass, replace

import pytest
import torch
from annealing_cases import F64, HalfNormal, gaussian
from diffusion_cases import LINE, METHODS, MIXTURES, PRIORS, PRODUCT, SKEWED, Tame

import samplers
import targets
from samplers import CMCD, DDS, DIS, MCD, PIS, SCLD, SamplingWarning
from samplers.annealing.mixture_fit import fit_gaussian, halves
from samplers.annealing.pilot import Base
from samplers.annealing.product_fit import fit_product
from samplers.diffusion import (
    KL,
    LearnedSampler,
    LogVariance,
    Replay,
    ResidualMLP,
    SubTrajectoryBalance,
    Training,
    TrajectoryBalance,
    VarGrad,
    fit,
    training,
)
from samplers.diffusion.replay import Buffer
from samplers.diffusion.space import find_space
from samplers.diffusion.training import Progressed, Run
from samplers.diffusion.witnesses import Witnesses
from samplers.learning.job import Log
from samplers.path_measures.prior import MixturePrior
from samplers.registry import SAMPLERS, sampler
from targets.counting import Counted
from targets.mixture_product import MixtureProduct

pytestmark = pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")  # a few iterations are meant

PRIOR = PRIORS["plane"]
NETWORK = ResidualMLP(width=8, layers=1, features=4)
BATCH = 16


def small(kind=DDS, *, prior=PRIOR, batch=BATCH, **options):
    """A sampler that trains in milliseconds; what is not its own goes to `Training`."""
    own = {name: options.pop(name) for name in tuple(options) if name in kind.__dataclass_fields__}
    training = Training(batch=batch, warmup=2, **options)
    return kind(**{"steps": 4, "network": NETWORK, "prior": prior, "training": training} | own)


CASES = {
    "log-variance": small(DDS),
    "KL": small(PIS, objective=KL()),
    "KL recomputed": small(CMCD, objective=KL(memory="recompute")),
    "replay and exploration": small(
        DIS, exploration=0.3, replay=Replay(capacity=40, search_every=3, search_points=8, search_steps=3)
    ),
    "SCLD": small(SCLD, subtrajectories=2, ess_threshold=1.0),
    "trajectory balance": small(CMCD, objective=TrajectoryBalance()),
    "sub-trajectories": small(MCD, objective=SubTrajectoryBalance(stride=2), prior=MIXTURES["plane"]),
    "product of mixtures": small(DDS, prior=PRODUCT),
    "pilot": small(DDS, prior="gaussian", warm_start=0.4),
    "pilot, anchored": small(DDS, prior="gaussian", warm_start=0.0, objective=LogVariance(), anchored=0.5),
}


class Failure(Exception):
    """What may happen on the way."""


def after(monkeypatch, n, action):
    """Something happens before the n-th iteration of this process."""
    right, seen = Run.step, []

    def step(self):
        seen.append(1)
        if len(seen) == n:
            action()
        return right(self)

    monkeypatch.setattr(Run, "step", step)


def fail():
    raise Failure


def state(fitted):
    return fitted.measure.state_dict()


def equal(a, b):
    """All that was learned and all that is drawn, bit for bit."""
    assert state(a).keys() == state(b).keys()
    for name, value in state(a).items():
        assert torch.equal(value, state(b)[name]), name
    assert repr(a.history) == repr(b.history)  # where there are NaNs
    assert a.iterations == b.iterations
    assert a.log_z == b.log_z
    assert str(a.evaluation) == str(b.evaluation)
    assert a.untrained == b.untrained
    assert (a.cost.log_prob, a.cost.score) == (b.cost.log_prob, b.cost.score)
    if a.move_steps is not None:
        assert torch.equal(a.move_steps, b.move_steps)
    one, other = (f.sample(draws=40, seed=9) for f in (a, b))
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.log_weights, other.log_weights)


# The same bits


@pytest.mark.parametrize("name", CASES)
def test_a_run_that_failed_is_continued(name, tmp_path, monkeypatch):
    method, path = CASES[name], tmp_path / "run.pt"
    monkeypatch.setattr("samplers.runs.checkpoint.INTERVAL", 0.0)
    before = torch.get_rng_state()
    whole = method.fit(SKEWED, seed=4, iterations=12)
    with monkeypatch.context() as patch:
        after(patch, 8, fail)
        with pytest.raises(Failure):
            method.fit(SKEWED, seed=4, iterations=12, checkpoint=path)
    assert path.exists()
    continued = method.fit(SKEWED, seed=4, iterations=12, checkpoint=path)
    equal(continued, whole)
    assert continued.iterations == 12
    equal(method.fit(SKEWED, seed=4, iterations=12, checkpoint=path), whole)  # once more when it has ended
    assert torch.equal(torch.get_rng_state(), before)


def test_what_fails_after_an_iteration_leaves_that_iteration_done(tmp_path, monkeypatch):
    """A full disk under the log: the networks have learned, and must not learn from the same paths again."""
    method, path = CASES["replay and exploration"], tmp_path / "run.pt"
    whole = method.fit(SKEWED, seed=4, iterations=12)
    with monkeypatch.context() as patch:
        patch.setattr(Log, "write", lambda *_: fail())
        with pytest.raises(Failure):
            method.fit(SKEWED, seed=4, iterations=12, checkpoint=path)
    assert torch.load(path)["done"] == 10
    equal(method.fit(SKEWED, seed=4, iterations=12, checkpoint=path), whole)


def test_an_interrupt_waits_for_the_iteration_and_is_continued(tmp_path, monkeypatch):
    method, path = CASES["replay and exploration"], tmp_path / "run.pt"
    whole = method.fit(SKEWED, iterations=12)
    with monkeypatch.context() as patch:
        after(patch, 5, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.warns(SamplingWarning, match="interrupted after 5 of 12 iterations"):
            stopped = method.fit(SKEWED, iterations=12, checkpoint=path)
    assert stopped.iterations == 5
    assert "interrupted after 5 of 12 iterations" in stopped.notes
    equal(method.fit(SKEWED, iterations=12, checkpoint=path), whole)


def test_the_seed_is_all_that_chance_comes_from():
    torch.manual_seed(1)
    one = small().fit(SKEWED, seed=3, iterations=5)
    torch.manual_seed(2)
    equal(small().fit(SKEWED, seed=3, iterations=5), one)
    other = small().fit(SKEWED, seed=4, iterations=5)
    assert not torch.equal(one.sample(draws=10, seed=1).x, other.sample(draws=10, seed=1).x)
    assert not torch.equal(one.sample(draws=10, seed=1).x, one.sample(draws=10, seed=2).x)


OTHERS = {
    "network is .*width=8.* there and .*width=9.* here": (small(network=replace(NETWORK, width=9)), SKEWED, {}),
    "seed is 0 there and 1 here": (small(), SKEWED, {"seed": 1}),
    "iterations is 3 there and 4 here": (small(), SKEWED, {"iterations": 4}),
    "steps is 4 there and 5 here": (small(steps=5), SKEWED, {}),
    "sampler is 'DDS' there and 'DIS' here": (small(DIS), SKEWED, {}),
    "training is .* there and .* here": (small(batch=17), SKEWED, {}),
    "objective is .* there and .* here": (small(objective=VarGrad()), SKEWED, {}),
    "target is 'plane' there and 'Banana' here": (small(), targets.Banana(1.0, 0.1, dtype=F64), {}),
    "target: .* the log-density was": (
        small(),
        targets.GaussianMixture(torch.zeros(1, 2, dtype=F64), scales=1.0, name="plane"),
        {},
    ),
    "prior: .* the log-density was": (small(prior=gaussian(2, 1.5)), SKEWED, {}),
    "dtype is 'torch.float64' there and 'torch.float32' here": (small(), SKEWED, {"dtype": torch.float32}),
}


@pytest.mark.parametrize("message", OTHERS)
def test_a_checkpoint_of_another_run_is_refused(message, tmp_path):
    path = tmp_path / "run.pt"
    small().fit(SKEWED, iterations=3, checkpoint=path)
    method, target, options = OTHERS[message]
    with pytest.raises(ValueError, match=rf"checkpoint: .*run.pt belongs to another .*{message}"):
        method.fit(target, checkpoint=path, **{"iterations": 3} | options)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    path.write_bytes(b"half of a file")
    with pytest.raises(ValueError, match="checkpoint: .* is truncated or not a checkpoint"):
        small().fit(SKEWED, iterations=3, checkpoint=path)


# Files


@pytest.mark.parametrize("name", CASES)
def test_a_file_gives_the_same_sampler(name, tmp_path):
    fitted = CASES[name].fit(SKEWED, iterations=4)
    path = fitted.save(tmp_path / "sampler.pt")
    again = samplers.load(path, SKEWED)
    equal(again, fitted)
    assert again.notes == fitted.notes
    assert repr(again.evaluation) == repr(fitted.evaluation)
    assert again.cost == fitted.cost
    assert type(again.method) is type(fitted.method)
    assert again.method.training == fitted.method.training
    assert not any(p.requires_grad for p in again.measure.parameters())
    one, other = (f.sample(draws=40, seed=2, correct="smc") for f in (again, fitted))
    assert torch.equal(one.x, other.x)
    assert math.isnan(one.attrs["elbo_standard_error"])  # resampled paths are not independent
    drawn = fitted.sample(draws=40, seed=2)
    assert math.isnan(drawn.attrs["elbo_standard_error"]) == (fitted.method.resampling is not None)
    loaded = samplers.Draws.load(drawn.save(tmp_path / "draws.nc"), SKEWED)
    assert torch.equal(loaded.x, drawn.x)
    assert repr(loaded.attrs) == repr(drawn.attrs)  # NaN too


def test_untrained_samplers_are_saved_too(tmp_path):
    fitted = small(CMCD, prior=MIXTURES["plane"]).fit(SKEWED, iterations=0)
    assert fitted.evaluation is None
    assert fitted.history == {}
    equal(samplers.load(fitted.save(tmp_path / "sampler.pt"), SKEWED), fitted)


@pytest.mark.parametrize("kind", [DDS, CMCD])
def test_a_product_that_a_pilot_has_found_is_where_paths_start(kind, tmp_path, monkeypatch):
    target, generator = targets.ManyWell(2), torch.Generator().manual_seed(0)
    points, families = target.sample(1000, generator=generator), torch.arange(1000)
    product, _ = fit_product(points.double(), families, halves(families, generator), generator)
    product = product.to(dtype=target.dtype)
    base = Base(product, product=product, points=points, fit=fit_gaussian(points.double()))
    monkeypatch.setattr("samplers.diffusion.space.find_base", lambda *args: base)
    monkeypatch.setattr("samplers.diffusion.product_refinement.ITERATIONS", 20)
    fitted = small(kind, prior=None).fit(target, iterations=3)
    assert isinstance(fitted.space.mixture, MixtureProduct)
    assert fitted.space.factor.ndim == 1
    assert fitted.space.source == "the product of mixtures of the pilot"
    equal(samplers.load(fitted.save(tmp_path / "sampler.pt"), target), fitted)


@dataclass(frozen=True)
class OwnNetwork(Tame):
    """A user's network."""


def test_files_that_are_refused(tmp_path):
    path = small().fit(SKEWED, iterations=0).save(tmp_path / "sampler.pt")
    with pytest.raises(FileNotFoundError, match="path: .*nowhere.pt does not exist"):
        samplers.load(tmp_path / "nowhere.pt", SKEWED)
    with pytest.raises(ValueError, match="target: got the name 'Banana', expected 'plane', for which .*sampler.pt"):
        samplers.load(path, targets.Banana(1.0, 0.1, dtype=F64))
    with pytest.raises(ValueError, match="target: got the dim 1, expected 2, for which"):
        samplers.load(path, targets.GaussianMixture(torch.zeros(1, 1), scales=1.0, name="plane"))
    moved = targets.GaussianMixture(torch.ones(1, 2, dtype=F64), scales=1.0, name="plane")
    with pytest.raises(ValueError, match="target: got a plane whose log-density at the points of .*with_target"):
        samplers.load(path, moved)
    (tmp_path / "text.pt").write_text("no such thing")
    with pytest.raises(ValueError, match="path: .*text.pt is not a file written by Fitted.save"):
        samplers.load(tmp_path / "text.pt", SKEWED)
    torch.save({"format": "another"}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="path: .*other.pt has the format 'another', expected 'unnorm learned"):
        samplers.load(tmp_path / "other.pt", SKEWED)
    own = small(network=OwnNetwork()).fit(SKEWED, iterations=0).save(tmp_path / "own.pt")
    with pytest.raises(ValueError, match="path: the sampler was made with a OwnNetwork, which samplers.diffusion does"):
        samplers.load(own, SKEWED)


# Energies that are not finite


class Holed(targets.LogDensity):
    """A standard Gaussian whose log-density is NaN beyond a radius."""

    def __init__(self, radius):
        def density(x):
            square = x.square().sum(-1)
            return torch.where(square < radius**2, -0.5 * square, torch.nan)

        super().__init__(density, 2, dtype=F64, name="holed")


def test_energies_that_are_not_finite_are_counted():
    with pytest.warns(SamplingWarning, match=r"\d+ of 2000 paths ended where the log-density is not finite; no weight"):
        fitted = small(prior=gaussian(2, 1.0)).fit(Holed(2.5), iterations=10)
    lost = fitted.history["lost"][-1]
    assert 0 < lost < 10 * BATCH
    (note,) = [text for text in fitted.notes if "energies" in text]
    assert note.startswith(f"{lost:.0f} paths ended at energies that are not finite and were left out; 0 of 10 iter")
    assert all(bool(p.isfinite().all()) for p in fitted.measure.parameters())
    assert fitted.evaluation.lost > 0
    with pytest.warns(SamplingWarning, match="paths ended where the log-density is not finite"):
        draws = fitted.sample(draws=1000)
    gone = draws.log_weights == -torch.inf
    assert bool(gone.any())
    assert bool(draws.stats["lp"][~gone].isfinite().all())
    assert bool(draws.resample(200, generator=torch.Generator().manual_seed(0)).isfinite().all())


def test_training_stops_where_most_energies_are_not_finite():
    with pytest.raises(
        RuntimeError,
        match=r"\d+% of the paths of the last 50 iterations ended where the log-density of holed is not finite. "
        r"Look at log_prob far from the mass .* a narrower prior=, or a lower Training\(learning_rate=\)",
    ):
        small(prior=gaussian(2, 1.0), batch=4).fit(Holed(0.4), iterations=200)


@pytest.mark.parametrize("correct", [None, "smc", "resample"])
def test_no_draws_where_all_weights_are_zero(correct):
    fitted = small(prior=gaussian(2, 1.0)).fit(Holed(1e-9), iterations=0)
    with pytest.raises(RuntimeError, match="all 30 weights are zero: no path ends where holed has mass. Train longer"):
        fitted.sample(draws=30, correct=correct)


def test_a_density_that_is_zero_on_half_of_space():
    fitted = small(prior=gaussian(2, 1.1)).fit(HalfNormal(), iterations=20)
    draws = fitted.sample(draws=2000)
    assert bool((draws.x[draws.log_weights > -torch.inf][:, 0] > 0).all())
    assert abs(draws.log_z.value - math.log(math.pi)) < 5 * draws.log_z.standard_error


# What is said


def test_the_notes_tell_where_the_score_comes_from():
    own = targets.LogDensity(lambda x: -0.5 * x.square().sum(-1), 2, dtype=F64, name="own")
    given = targets.LogDensity(lambda x: -0.5 * x.square().sum(-1), 2, score=lambda x: -x, dtype=F64)
    said = "the score of own comes from automatic differentiation of its log_prob"
    assert said in small().fit(own, iterations=0).notes
    for target in (given, SKEWED):
        assert not any("automatic" in note for note in small().fit(target, iterations=0).notes)
    one, other = (small(DIS).fit(target, iterations=3).sample(draws=20) for target in (own, given))
    torch.testing.assert_close(one.x, other.x)


def test_a_prior_that_is_far_too_narrow():
    with pytest.warns(SamplingWarning, match="the prior is far too narrow: of 64 short chains from it .* give a wider"):
        small(CMCD, prior=gaussian(2, 0.01)).fit(SKEWED, iterations=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(CMCD, prior=gaussian(2, 1.5)).fit(SKEWED, iterations=0)


def test_training_stops_at_its_time(monkeypatch):
    """By a clock of the test's own, a second a look: how fast the machine is does not matter."""
    seconds = itertools.count()
    monkeypatch.setattr("samplers.runs.job.time", types.SimpleNamespace(perf_counter=lambda: float(next(seconds))))
    fitted = small().fit(SKEWED, iterations=10**6, max_minutes=1.0)
    assert 5 < fitted.iterations <= 60
    assert 60 <= fitted.cost.seconds < 80


def test_number_of_iterations():
    assert small().fit(SKEWED, iterations=13).history["iteration"] == [10.0, 13.0]
    none = small().fit(SKEWED, iterations=0)
    assert (none.iterations, none.history, none.evaluation) == (0, {}, None)
    assert isinstance(none.network, torch.nn.Module)


def test_the_answers_hold_what_reproduces_them():
    fitted = small(SCLD, subtrajectories=2).fit(SKEWED, seed=5, iterations=3)
    draws = fitted.sample(draws=32, seed=6)
    assert draws.kernel is fitted
    assert draws.target is SKEWED
    found = json.loads(json.dumps(draws.attrs))
    told = {"sampler": "SCLD", "seed": 6, "fit_seed": 5, "iterations": 3, "steps": 4, "subtrajectories": 2}
    assert told.items() <= found.items()
    assert found["space"] == "the prior that was given"
    assert draws.cost.score >= 5 * 32
    assert draws.x.shape == (1, 32, 2)


def test_the_sampler_before_training_is_looked_at_too():
    method = small(prior=MIXTURES["plane"])
    fitted = method.fit(SKEWED, iterations=2, progress=False)
    untrained = method.fit(SKEWED, iterations=0, progress=False)
    assert untrained.untrained is None
    generator = torch.Generator().manual_seed(fit.LAST + 1)
    assert fitted.untrained == untrained.examine(Counted(SKEWED), fit.EXAMINED, generator, None)


def test_training_that_made_it_worse_says_so(monkeypatch):
    def worse(self):
        with torch.no_grad():
            for average in self.descent.averages:
                average += 3.0
        self.descent.taken += 1
        return Progressed(0.0, 0.0, 0.0, 0.5, 0.0, 0, False)

    monkeypatch.setattr(Run, "step", worse)
    with pytest.warns(SamplingWarning, match="training lowered the bound, from .* to .*: iterations=0 is the better"):
        small().fit(SKEWED, iterations=1, progress=False)


def anchored_run(**options):
    """A run from a Gaussian, with points that stand for the target, and how many paths it runs each way."""
    method = small(DDS, objective=LogVariance(), **options)
    space = find_space(Counted(SKEWED), PRIOR, "full", mixture=True, generator=torch.Generator().manual_seed(0))
    target, generator = space.seen(Counted(SKEWED)), torch.Generator().manual_seed(1)
    measure = method.build(space, target, generator).to(dtype=SKEWED.dtype)
    witnesses = Witnesses(target.to_u(SKEWED.sample(200, generator=generator)))
    return Run(method.training, measure, target, generator, 4, LogVariance(), method.resampling, witnesses)


@pytest.mark.parametrize(("share", "back"), [(0.0, 0), (0.25, 4)])
def test_some_paths_run_backwards_from_witnesses(share, back, monkeypatch):
    run, counts = anchored_run(warm_start=0.0, anchored=share), []

    def counting(right):
        def counted(*args, **options):
            paths = right(*args, **options)
            counts.append(paths.points.x.shape[1])
            return paths

        return counted

    for name in ("simulate", "simulate_backward"):
        monkeypatch.setattr(training, name, counting(getattr(training, name)))
    run.step()
    assert counts == ([BATCH - back, back] if back else [BATCH])


def test_a_warm_start_is_for_paths_that_start_from_a_gaussian():
    assert anchored_run().warm_start == training.WARM_START
    assert anchored_run(warm_start=0.5).warm_start == 0.5
    run = anchored_run()
    run.measure.prior = MixturePrior(MIXTURES["plane"])
    assert run.warm_start == 0
    run.training = replace(run.training, warm_start=0.5)
    assert run.warm_start == 0.5


def test_one_verb():
    method = small(samplers.DDS)
    fitted = method.fit(SKEWED, seed=2, iterations=3)
    draws = method.sample(SKEWED, draws=50, seed=2, iterations=3)
    expected = fitted.sample(draws=50, seed=3)
    assert torch.equal(draws.x, expected.x)
    assert draws.log_z.value == expected.log_z.value
    assert method.sample(SKEWED, draws=8, iterations=1, dtype=torch.float32).x.dtype == torch.float32


def test_the_cost_of_the_verb_counts_the_training():
    method = small()
    fitted = method.fit(SKEWED, iterations=3)
    trained, drawn = fitted.cost, fitted.sample(draws=50).cost
    whole = method.sample(SKEWED, draws=50, iterations=3).cost
    assert (whole.score, whole.log_prob) == (trained.score + drawn.score, trained.log_prob + drawn.log_prob)
    assert drawn.score == 50 * 5


def test_the_same_sampler_for_another_density():
    fitted = small().fit(SKEWED, iterations=0)
    moved = targets.GaussianMixture(torch.ones(1, 2, dtype=F64), scales=1.0, log_z=0.4, name="plane")
    with pytest.raises(ValueError, match="target: got another plane than the one that was fitted: .*with_target"):
        fitted.sample(moved)
    with pytest.raises(
        ValueError, match=r"target: got line\(dim=1\), expected the one that was fitted, plane\(dim=2\)"
    ):
        fitted.sample(LINE)
    copy = SKEWED.to(dtype=torch.float32)
    assert torch.equal(fitted.sample(copy, draws=20).x, fitted.sample(draws=20).x)
    draws = fitted.with_target(moved).sample(draws=4000)
    assert abs(draws.log_z.value - 0.4) < 5 * draws.log_z.standard_error
    torch.testing.assert_close(draws.stats["lp"], moved.log_prob(draws.x))


@pytest.mark.parametrize(
    ("prior", "source"), [("gaussian", "the pilot's particles"), ("laplace", "the Gaussian at a mode"), (None, "pilot")]
)
def test_priors_that_are_found(prior, source):
    two = targets.GaussianMixture(torch.tensor([[-3.0, 0.0], [3.0, 1.0]], dtype=F64), scales=0.7, weights=[0.4, 0.6])
    fitted = small(CMCD, prior=prior, steps=8).fit(two, iterations=0)
    assert source in fitted.space.source
    assert (fitted.space.witnesses is None) == (prior == "laplace")
    assert (fitted.space.mixture is None) == (prior is not None)
    if prior != "laplace":
        torch.testing.assert_close(fitted.space.shift, two.mean.double(), rtol=0, atol=1.0)
        draws = fitted.sample(draws=4000)
        assert abs(draws.log_z.value) < 6 * draws.log_z.standard_error


class Tuned(CMCD):
    """Whose trial before training finds a step size of 0.1."""

    def tune(self, measure, target, generator):
        measure.log_steps.data.fill_(math.log(0.1))


def test_what_a_trial_finds_is_where_training_starts():
    for iterations in (0, 5):
        found = small(Tuned).fit(SKEWED, iterations=iterations).measure.log_steps
        torch.testing.assert_close(found, torch.full_like(found, math.log(0.1)), rtol=0, atol=0.1)
    fitted = small(CMCD, steps=8).fit(SKEWED, iterations=0)
    found = fitted.evaluate(2000).elbo
    for factor in (0.1, 10.0):
        other = small(CMCD, steps=8).fit(SKEWED, iterations=0)
        other.measure.log_steps.data += math.log(factor)
        assert other.evaluate(2000).elbo < found


# TensorBoard


def test_curves_for_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fitted = small().fit(SKEWED, iterations=20, log_dir=tmp_path / "log")
    written = EventAccumulator(str(tmp_path / "log"))
    written.Reload()
    assert {"loss", "elbo", "log_z", "ess", "gradient"} <= set(written.Tags()["scalars"])
    points = written.Scalars("elbo")
    assert [p.step for p in points] == [10, 20]
    assert [p.value for p in points] == pytest.approx(fitted.history["elbo"], rel=1e-6)


def test_tensorboard_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ModuleNotFoundError, match="log_dir: needs the package tensorboard: pip install tensorboard"):
        small().fit(SKEWED, iterations=5, log_dir=tmp_path / "log")


# Replay


def test_the_buffer_keeps_the_newest_and_draws_by_rank(generator):
    buffer = Buffer(Replay(capacity=5, flatness=0.01), 1, torch.zeros((), dtype=F64))
    log_w = torch.tensor([0.0, 1.0, math.nan, 2.0, -math.inf], dtype=F64)
    buffer.add(torch.arange(5.0, dtype=F64)[:, None], log_w)
    assert len(buffer) == 3
    buffer.add(torch.arange(5.0, 9.0, dtype=F64)[:, None], torch.tensor([5.0, 3.0, 4.0, 6.0], dtype=F64))
    assert len(buffer) == 5
    assert sorted(buffer.x[:, 0].tolist()) == [3.0, 5.0, 6.0, 7.0, 8.0]
    drawn = buffer.draw(20000, generator)[:, 0]
    share = 1 / (0.05 + torch.arange(5, dtype=F64))
    for x, expected in zip([8.0, 5.0, 7.0, 6.0, 3.0], share / share.sum(), strict=True):
        assert float((drawn == x).double().mean()) == pytest.approx(float(expected), abs=0.02)
    other = Buffer(buffer.settings, 1, torch.zeros((), dtype=F64))
    other.load_state_dict(buffer.state_dict())
    again, first = (b.draw(10, torch.Generator().manual_seed(1)) for b in (other, buffer))
    assert torch.equal(again, first)


def test_local_search_finds_the_target(generator):
    fitted = small(CMCD, prior=gaussian(2, 1.0)).fit(SKEWED, iterations=0)
    target = fitted.space.seen(SKEWED)
    settings = Replay(capacity=400, search_every=2, search_points=200, search_steps=100)
    buffer = Buffer(settings, 2, torch.zeros((), dtype=F64))
    assert not buffer.searches(1)  # nothing to start from
    buffer.add(4 + torch.randn(200, 2, generator=generator, dtype=F64), torch.zeros(200, dtype=F64))
    assert [buffer.searches(i) for i in range(4)] == [False, True, False, True]
    buffer.search(fitted.measure, target, generator)
    assert len(buffer) == 400
    new = buffer.x[200:]
    assert float(target.log_prob(new).mean()) > float(target.log_prob(buffer.x[:200]).mean()) + 3
    assert bool(buffer.log_w[200:].isfinite().all())


# Training


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (DDS, {}),
        pytest.param(DIS, {"objective": KL()}, marks=pytest.mark.slow),
        pytest.param(PIS, {"objective": TrajectoryBalance()}, marks=pytest.mark.slow),
        pytest.param(CMCD, {"replay": Replay(capacity=1000), "exploration": 0.2}, marks=pytest.mark.slow),
        pytest.param(SCLD, {"subtrajectories": 2, "objective": VarGrad()}, marks=pytest.mark.slow),
        pytest.param(
            DDS,
            {"objective": SubTrajectoryBalance(stride=2), "mixed_precision": True},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_training_raises_the_bound(kind, options):
    target = targets.Gaussian(torch.tensor([1.0, -0.5], dtype=F64), covariance=[[0.5, 0.2], [0.2, 0.3]])
    method = small(kind, prior=gaussian(2, 1.5), batch=128, learning_rate=1e-2, steps=8, **options)
    before = method.fit(target, iterations=0).evaluate(1000)
    fitted = method.fit(target, iterations=150)
    found = fitted.evaluation
    assert found.elbo > before.elbo
    assert found.elbo > -0.35
    assert abs(found.log_z) < 6 * found.standard_error
    assert found.ess > 0.6
    assert fitted.history["iteration"][-1] == 150
    draws = fitted.sample(draws=4000, correct="resample")
    torch.testing.assert_close(draws.x[0].mean(0), target.mean, rtol=0, atol=0.15)


def test_mcd_raises_the_bound_of_the_same_draws():
    """The field acts in the backward kernel: with schedules held still the draws stay, and their weights get even."""
    method = small(MCD, prior=gaussian(2, 1.5), batch=128, learning_rate=1e-2, steps=8, schedule_rate=1e-9)
    target = targets.Gaussian(torch.tensor([1.0, -0.5], dtype=F64), 0.6)
    before, trained = method.fit(target, iterations=0), method.fit(target, iterations=100)
    torch.testing.assert_close(trained.sample(draws=50).x, before.sample(draws=50).x, rtol=0, atol=1e-4)
    assert trained.evaluation.elbo > before.evaluate(2000).elbo + 0.05


# Bad input

ISING = targets.Ising((2, 2), 0.4, periodic=False)
REFUSED = {
    "steps: got 1, expected": lambda: DDS(steps=1),
    "steps: got 2.5, expected": lambda: CMCD(steps=2.5),
    "network: got 64, expected a NetworkSpec such as ResidualMLP": lambda: DDS(network=64),
    "objective: got 'kl', expected an Objective such as LogVariance": lambda: DDS(objective="kl"),
    "objective: KL needs paths of the model itself; expected no replay and no exploration": lambda: PIS(
        objective=KL(), training=Training(replay=Replay())
    ),
    "objective: KL needs .* no exploration": lambda: DDS(objective=KL(), training=Training(exploration=0.1)),
    "objective: got KL.memory='adjoint'., which is for DDS, PIS and DIS": lambda: CMCD(objective=KL(memory="adjoint")),
    "memory: got 'none', expected 'full', 'recompute' or 'adjoint'": lambda: KL(memory="none"),
    "huber: got 0": lambda: LogVariance(huber=0),
    "decay: got -1": lambda: SubTrajectoryBalance(decay=-1),
    "horizon: got 0": lambda: DDS(horizon=0.0),
    "width: got -1": lambda: PIS(width=-1.0),
    "beta_min: got 0": lambda: DIS(beta_min=0.0),
    "subtrajectories: got 5, expected at most steps, 4": lambda: SCLD(steps=4, subtrajectories=5),
    "subtrajectories: got 0": lambda: SCLD(subtrajectories=0),
    "moves: got -1": lambda: SCLD(moves=-1),
    "leapfrogs: got 0": lambda: SCLD(leapfrogs=0),
    "ess_threshold: got 1.5, expected a share between 0 and 1": lambda: SCLD(ess_threshold=1.5),
    "batch: got 1": lambda: Training(batch=1),
    "warmup: got -1": lambda: Training(warmup=-1),
    "learning_rate: got 0": lambda: Training(learning_rate=0),
    "schedule_rate: got -0.1": lambda: Training(schedule_rate=-0.1),
    "gradient_clip: got nan": lambda: Training(gradient_clip=math.nan),
    "exploration: got -0.1": lambda: Training(exploration=-0.1),
    "average: got 1.0, expected a number in": lambda: Training(average=1.0),
    "clip: got .5, 1., expected a first limit and one at least as large": lambda: Training(clip=(5, 1)),
    "warm_start: got 2, expected a share of the iterations": lambda: Training(warm_start=2),
    "anchored: got 1.0, expected a share of the paths": lambda: Training(anchored=1.0),
    "capacity: got 0": lambda: Replay(capacity=0),
    "search_every: got 0": lambda: Replay(search_every=0),
    "search_points: got 0": lambda: Replay(search_points=0),
    "search_steps: got 0": lambda: Replay(search_steps=0),
    "flatness: got 0": lambda: Replay(flatness=0),
    "share: got 1, expected a share of the batch": lambda: Replay(share=1),
    "width: got 0": lambda: ResidualMLP(width=0),
    "target: got function, expected a targets.Target; wrap a function in LogDensity": lambda: DDS().fit(lambda x: x),
    "target: .* is discrete and DDS moves in R.n; expected a density, such as its relaxed": lambda: DDS().fit(ISING),
    "seed: got -1": lambda: small().fit(SKEWED, seed=-1),
    "iterations: got -1": lambda: small().fit(SKEWED, iterations=-1),
    "iterations: got 1.5": lambda: small().fit(SKEWED, iterations=1.5),
    "max_minutes: got 0": lambda: small().fit(SKEWED, max_minutes=0),
    "prior: got dim 3, expected 2 like plane": lambda: small(prior=gaussian(3, 1.0)).fit(SKEWED),
    "prior: got a mixture, expected a Gaussian": lambda: small(PIS, prior=MIXTURES["plane"]).fit(SKEWED),
    "prior: got 'mixture', expected a Gaussian": lambda: small(PIS, prior="mixture").fit(SKEWED),
    "prior: got 'wide', expected a Gaussian, a GaussianMixture, 'gaussian'": lambda: small(prior="wide").fit(SKEWED),
    "prior: got Banana.*, expected a Gaussian, a GaussianMixture": lambda: small(prior=targets.Banana(1.0, 0.1)).fit(
        SKEWED
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_named(message):
    with pytest.raises((ValueError, TypeError), match=f"^{message}"):
        REFUSED[message]()


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("draws: got 0", lambda f: f.sample(draws=0)),
        ("seed: got -1", lambda f: f.sample(seed=-1)),
        ("correct: got 'is', expected 'smc', 'resample' or None", lambda f: f.sample(correct="is")),
        ("draws: got 1", lambda f: f.evaluate(1)),
        (r"witnesses: got shape \(4, 3\), expected \(n, 2\)", lambda f: f.evaluate(witnesses=torch.zeros(4, 3))),
    ],
)
def test_bad_requests_are_named(message, call):
    with pytest.raises(ValueError, match=f"^{message}"):
        call(small().fit(SKEWED, iterations=0))


def test_witnesses_may_be_weighted_draws():
    fitted = small().fit(SKEWED, iterations=0)
    draws = fitted.sample(draws=400, seed=3)
    found = fitted.evaluate(400, witnesses=draws)
    assert found.witnesses == 400
    assert found == fitted.evaluate(400, witnesses=draws.unweighted().x[0])


def test_names_are_registered():
    for name, kind in METHODS.items():
        assert SAMPLERS[name.lower()] is kind
        made = sampler(name.lower(), ["steps=12"])
        assert isinstance(made, LearnedSampler)
        assert made.steps == 12
        assert f"{kind.__name__}" in made.describe()["sampler"]
    with pytest.raises(ValueError, match="--set: dds does not take these settings"):
        sampler("dds", ["subtrajectories=3"])


def test_moves_between_subtrajectories_evaluate_no_state_again():
    target, prior = targets.Gaussian(torch.zeros(2), 0.8, name="narrower"), targets.Gaussian(torch.zeros(2), 1.0)
    fitted = samplers.SCLD(steps=6, subtrajectories=3, moves=2, leapfrogs=4, prior=prior).fit(target, iterations=0)
    cost = fitted.sample(draws=50, seed=1).cost
    assert cost.score == cost.log_prob == 50 * (1 + 6 + 2 * 2 * 4)
