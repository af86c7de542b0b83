"""Runs that end by themselves: at the precision asked for, at the same length, resumed to the same bits."""

import math

import arviz
import numpy as np
import pytest
import torch

import samplers
import targets
from samplers import HMC, MALA, SamplingWarning, Until
from samplers.kernels import Info, Kernel, evaluate
from samplers.runs.plan import Plan
from samplers.runs.watch import THINNED, Watch

DOUBLE = torch.float64
TARGET = targets.Gaussian(torch.zeros(2, dtype=DOUBLE), torch.tensor([1.0, 3.0], dtype=DOUBLE))
SMALL = {"chains": 8, "draws": 4000, "warmup": 60, "seed": 3}
WIDE = Until(ess=400, r_hat=1.05)


class AR1(Kernel):
    """x' = c x + sqrt(1 - c^2) noise: standard normal draws whose autocorrelation is c^lag exactly."""

    exact = reversible = True
    needs_score = False
    correlation = 0.9

    def step(self, target, state, generator):
        c = self.correlation
        noise = torch.randn(state.x.shape, generator=generator, dtype=state.x.dtype)
        new = evaluate(target, c * state.x + math.sqrt(1 - c * c) * noise, score=False)
        return new, Info(torch.ones(len(noise)), torch.zeros(len(noise), dtype=torch.bool))


class Failing(targets.Target):
    """The Gaussian, which fails at its n-th evaluation."""

    def __init__(self, at=None):
        super().__init__(2, dtype=DOUBLE, name="Gaussian")
        self.calls, self.at = 0, at

    def log_prob(self, x):
        return self.log_prob_and_score(x)[0]

    def log_prob_and_score(self, x):
        self.calls += 1
        if self.calls == self.at:
            raise RuntimeError("stopped")
        return TARGET.log_prob_and_score(x)


class Product(targets.Target):
    """Two coordinates, and their product as a named variable."""

    def __init__(self):
        super().__init__(2, dtype=DOUBLE, name="product")

    def log_prob(self, x):
        return TARGET.log_prob(x)

    @property
    def variables(self):
        return {"a": targets.Variable(()), "b": targets.Variable(()), "product": targets.Variable(())}

    def constrain(self, x):
        return {"a": x[..., 0], "b": x[..., 1], "product": x[..., 0] * x[..., 1]}


def same(one, other):
    assert torch.equal(one.x, other.x)
    assert all(torch.equal(one.stats[name], other.stats[name]) for name in one.stats | other.stats)
    assert (one.cost.log_prob, one.cost.score) == (other.cost.log_prob, other.cost.score)


def test_a_run_ends_once_arviz_finds_the_precision():
    draws = MALA().sample(TARGET, **SMALL, until={"ess": 400, "mcse": 0.06, "r_hat": 1.05})
    n = draws.x.shape[1]
    assert 50 < n < SMALL["draws"]
    table = arviz.summary(arviz.convert_to_dataset(draws.x.numpy()), round_to="none", kind="all")
    assert table[["ess_bulk", "ess_tail"]].min(axis=None) >= 400
    assert (table["mcse_mean"] / table["sd"]).max() <= 0.06
    assert table["r_hat"].max() <= 1.05
    assert draws.attrs["draws"] == n
    assert draws.attrs["until"] == {"ess": 400.0, "mcse": 0.06, "r_hat": 1.05}
    assert draws.attrs["reached"].keys() == draws.attrs["until"].keys()
    # the draws are those of a run of that length, and the other lengths at which it looked were not enough
    same(draws, MALA().sample(TARGET, **{**SMALL, "draws": n}))


def test_the_same_seed_ends_at_the_same_length_whatever_the_largest_number_is():
    one, other = (MALA().sample(TARGET, **{**SMALL, "draws": n}, until=WIDE) for n in (3000, 4000))
    same(one, other)
    assert one.x.untyped_storage().nbytes() <= 2 * one.x.numel() * one.x.element_size()


@pytest.mark.parametrize("options", [{}, {"thin": 2}, {"stream": True}], ids=str)
def test_a_run_that_crashed_goes_on_to_the_bits_of_the_whole_one(options, tmp_path, monkeypatch):
    def run(target, name):
        more = {**options, **({"stream": tmp_path / name} if "stream" in options else {})}
        return MALA().sample(target, **SMALL, **more, until=WIDE, checkpoint=tmp_path / f"{name}.pt")

    monkeypatch.setattr("samplers.draws.stream.BLOCK_BYTES", 8 * 2 * 8 * 50)
    target = Failing()
    whole = run(target, "whole")
    with pytest.raises(RuntimeError, match="stopped"):
        run(Failing(3 * target.calls // 4), "run")
    rest = Failing()
    same(run(rest, "run"), whole)
    assert rest.calls < target.calls / 2
    again = Failing()
    same(run(again, "run"), whole)  # no step is left
    assert again.calls < 10


@pytest.mark.parametrize("stream", [False, True])
def test_a_finished_run_goes_on_to_a_higher_precision_and_a_larger_number(stream, tmp_path):
    kept = {"checkpoint": tmp_path / "run.pt", **({"stream": tmp_path / "draws"} if stream else {})}
    with pytest.warns(SamplingWarning, match="the precision of until= was not reached"):
        few = MALA().sample(TARGET, **{**SMALL, "draws": 40}, until=WIDE, **kept)
    assert few.x.shape[1] == 40
    first = MALA().sample(TARGET, **SMALL, until=WIDE, **kept)
    then = MALA().sample(TARGET, **SMALL, until=Until(ess=800, r_hat=1.05), **kept)
    n, more = first.x.shape[1], then.x.shape[1]
    assert 40 < n < more < SMALL["draws"]
    assert torch.equal(then.x, MALA().sample(TARGET, **{**SMALL, "draws": more}).x)
    assert then.attrs["reached"]["ess"] >= 800
    with pytest.raises(ValueError, match="draws is None there and 4000 here"):
        MALA().sample(TARGET, **SMALL, **kept)


def test_what_was_not_reached_is_said_once():
    options = {**SMALL, "draws": 50}
    with pytest.warns(SamplingWarning) as said:
        draws = MALA().sample(TARGET, **options, until=Until(ess=1e6))
    (message,) = [str(one.message) for one in said if "until=" in str(one.message)]
    assert "not reached in the largest number of draws, 50 of each chain: the least effective sample size is" in message
    assert "1e+06 was asked for" in message
    assert message in draws.warnings


def test_a_limit_of_time_gives_what_there_is():
    draws = MALA().sample(TARGET, **SMALL, until=Until(seconds=1e-9))
    assert draws.x.shape[1] == 1
    assert not any("until" in said for said in draws.warnings)  # that was all that was asked for
    with pytest.warns(
        SamplingWarning, match="until= was not reached in 6e-09 seconds, 1 of each chain: they are too few"
    ):
        MALA().sample(TARGET, **SMALL, until=Until(ess=400, minutes=1e-10))


# Looks


def watch(until, x, chains=4, keep="draws"):
    """What asks for it, over x (chains, draws, dim) as the points, each look with what it was given."""
    plan = Plan(chains=chains, draws=x.shape[1], warmup=0, thin=1, seed=0, keep=keep)
    return Watch(until, plan, targets.Gaussian(torch.zeros(x.shape[-1], dtype=DOUBLE)))


def test_one_bad_scalar_of_many_is_enough():
    x = torch.randn(4, 500, 40, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    x[..., 33] = x[..., 33].cumsum(1)  # outside those that the first look begins with
    looks = watch(Until(ess=400), x)
    for drawn in range(1, 501):
        looks.look(drawn, 0.0, lambda thin, drawn=drawn: x[:, :drawn:thin])
        assert not looks.reached
    assert looks.found["ess"][1] == "x[33]"


def test_named_parameters_count_too():
    """Each coordinate is independent from draw to draw, and their product hardly ever changes its sign."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(4, 1000, generator=generator, dtype=DOUBLE)
    flips = torch.rand(4, 1000, generator=generator) < 0.01
    x = torch.stack([normal, normal * (1 - 2 * (flips.cumsum(1) % 2))], -1)
    plan = Plan(chains=4, draws=1000, warmup=0, thin=1, seed=0, keep="draws")
    named, plain = (Watch(Until(ess=400), plan, target) for target in (Product(), TARGET))
    for looks in (named, plain):
        looks.look(1000, 0.0, lambda thin: x[:, ::thin])
    assert (named.reached, plain.reached) == (False, True)
    assert named.found["ess"][1] == "product"


@pytest.mark.parametrize("bad", ["stuck", "nan"])
def test_what_is_stuck_or_not_finite_reaches_nothing(bad):
    x = torch.randn(4, 500, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    x[..., 1] = 2.0 if bad == "stuck" else x[..., 1]
    x[2, 7, 1] = 2.0 if bad == "stuck" else math.nan
    looks = watch(Until(ess=100), x)
    looks.look(500, 0.0, lambda thin: x[:, ::thin])
    assert looks.found == {"ess": (0.0, "x[1]"), "r_hat": (math.inf, "x[1]")}


def test_lengths_of_looks_at_most_double_and_few_are_taken():
    """One of x is so slow that the precision is never reached, and every length is known beforehand."""
    x = torch.randn(4, 20_000, 1, generator=torch.Generator().manual_seed(0), dtype=DOUBLE).cumsum(1)
    looks, lengths, sizes = watch(Until(ess=400), x), [], []

    def points(thin):
        sizes.append(4 * len(range(0, lengths[-1], thin)))
        return x[:, : lengths[-1] : thin]

    while looks.next <= 20_000:
        lengths.append(looks.next)
        looks.look(looks.next, 0.0, points)
    assert lengths == [100 * 2**k for k in range(8)]
    assert max(sizes) <= 2 * THINNED * 400


# What is not possible


@pytest.mark.parametrize(
    ("until", "more", "message"),
    [
        ({}, {}, "until: got nothing, expected at least one of ess, r_hat, mcse, minutes, seconds"),
        ({"es": 100}, {}, "until: got 'es', expected ess, r_hat, mcse, minutes, seconds; did you mean ess"),
        ({"ess": -1}, {}, "ess: got -1, expected a positive finite number"),
        ({"ess": math.inf}, {}, "ess: got inf, expected a positive finite number"),
        ({"r_hat": 0.9}, {}, "r_hat: got 0.9, expected a number above 1"),
        ({"minutes": 1, "seconds": 1}, {}, "minutes, seconds: got 1 and 1, expected one of them"),
        ({"r_hat": 1.01}, {"chains": 1}, "until, chains: got an r_hat and one chain"),
        ({"ess": 100}, {"keep": "moments"}, "until, keep: a run that keeps moments only"),
    ],
)
def test_what_cannot_be_asked_for(until, more, message):
    with pytest.raises(ValueError, match=message):
        MALA().sample(TARGET, **{**SMALL, **more}, until=until)


def test_a_number_is_no_precision():
    with pytest.raises(TypeError, match="until: got int, expected a samplers.Until or a dict"):
        MALA().sample(TARGET, **SMALL, until=1000)


def test_one_chain_has_an_ess_and_moments_have_a_time():
    one = AR1().sample(
        targets.Gaussian(torch.zeros(1, dtype=DOUBLE)), chains=1, draws=9000, warmup=0, until={"ess": 100}
    )
    assert one.attrs["until"] == {"ess": 100.0}
    moments = MALA().sample(TARGET, **{**SMALL, "keep": "moments"}, until={"seconds": 1e-9})
    assert moments.moments.count == SMALL["chains"]


AT_ONCE = {
    "SMC": (samplers.SMC(), "log Z"),
    "AIS": (samplers.AIS(), "log Z"),
    "AnnealedLangevin": (samplers.AnnealedLangevin(), "draws= is their effective sample size"),
    "SequentialMultimeasurement": (samplers.SequentialMultimeasurement(), "draws= is their effective sample size"),
    "SVGD": (samplers.SVGD(), "more iterations="),
}


@pytest.mark.parametrize("name", AT_ONCE)
def test_samplers_that_make_their_draws_at_once_say_what_to_ask_instead(name):
    sampler, instead = AT_ONCE[name]
    with pytest.raises(ValueError, match=f"until: {name} makes all draws at once, .*{instead}"):
        sampler.sample(TARGET, until=Until(ess=100))


CHAINS = {
    "WalkJump": (samplers.WalkJump(sigma=1.0), TARGET),
    "JointMultimeasurement": (samplers.JointMultimeasurement(sigma=1.0, m=2), TARGET),
    "ParallelTempering": (
        samplers.ParallelTempering(
            base=targets.Gaussian(torch.zeros(2, dtype=DOUBLE), 4.0), temperatures=(0.0, 0.3, 1.0)
        ),
        TARGET,
    ),
    "DiffusiveGibbs": (samplers.DiffusiveGibbs(), TARGET),
    "Gibbs": (samplers.Gibbs(), targets.Ising((3, 3), coupling=0.2)),
}


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")  # what they say of short runs is not asked here
@pytest.mark.parametrize("name", CHAINS)
def test_every_chain_takes_it(name):
    sampler, target = CHAINS[name]
    draws = sampler.sample(target, chains=16, draws=2000, warmup=40, until={"ess": 200, "r_hat": 1.1})
    assert draws.x.shape[1] < 2000
    assert draws.attrs["reached"]["ess"] >= 200


def test_the_bar_shows_what_is_reached(capsys, monkeypatch):
    monkeypatch.setattr("samplers.runs.progress.LIFE", 0.0)
    HMC().sample(TARGET, **SMALL, until=WIDE, progress=None)
    assert "ESS" in (said := capsys.readouterr().err)
    assert "of 400 at x[" in said


def test_numpy_numbers_are_numbers():
    assert Until(ess=np.float64(400)).asked(4)["ess"] == 400.0
