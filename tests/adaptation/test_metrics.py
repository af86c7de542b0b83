"""Metrics as products, estimates by Fisher divergence, and what warmup makes of `metric=`."""

import math

import pytest
import torch
from kernel_cases import skewed
from metric_cases import (
    F64,
    METRICS,
    check_diagonal,
    check_geometric_mean,
    check_products,
    condition,
    covariance,
    low_rank,
    low_rank_matrix,
    random,
    stiff,
)
from seeded_bugs_metrics import BUGS

import samplers
import targets
from samplers import HMC, MALA, MAMS, MCLMC, SMC, ULA, Barker, RandomWalkMetropolis, UnderdampedLangevin
from samplers.adaptation import fisher
from samplers.adaptation.metrics import Diagonal, LowRank, from_kept, kept, metric_of
from samplers.adaptation.windows import MOST_NUMBERS, Rows
from samplers.draws.brief import in_full
from samplers.runs.state import State
from samplers.testing import check_invariance, check_leapfrog

# forty steps of warmup tune badly, and the runs say so: here only what they found is looked at
pytestmark = pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")


@pytest.mark.parametrize("form", METRICS)
def test_products_are_those_of_the_matrix(form):
    check_products(*METRICS[form]())


@pytest.mark.parametrize("name", BUGS)
def test_the_checks_reject_mistakes(name):
    with pytest.raises(AssertionError):
        BUGS[name]()


def test_a_low_rank_metric_is_a_field_like_any_matrix():
    metric = low_rank()
    assert repr(metric) == "LowRank(dim=7, rank=2)"
    assert metric_of(metric) is metric
    single = metric.to("cpu", torch.float32)
    assert (single.dtype, single.dim, single.rank) == (torch.float32, 7, 2)
    torch.testing.assert_close(single.dense(), low_rank_matrix().float())
    again = from_kept(kept(metric))
    torch.testing.assert_close(again.dense(), metric.dense(), rtol=0, atol=0)
    other = LowRank(metric.scales, metric.directions, 2 * metric.values)
    assert in_full(HMC(0.5, metric)) != in_full(HMC(0.5, other))  # by which records tell runs apart
    assert HMC(0.5, metric).hyperparameters()["inverse_mass_matrix"] == metric.tolist()
    assert MALA(0.1, metric).placed(targets.Gaussian(torch.zeros(7))).inverse_mass_matrix.dtype == torch.float32
    with pytest.raises(ValueError, match=r"inverse_mass_matrix: got LowRank\(dim=7, rank=2\), expected \(2,\)"):
        MALA(0.1, metric).sample(skewed(), chains=2, draws=2, warmup=0)


@pytest.mark.parametrize(
    ("scales", "directions", "values", "message"),
    [
        (torch.ones(3), torch.eye(3)[:, :2], torch.ones(1), r"got shapes \(3,\), \(3, 2\), \(1,\), expected \(dim,\)"),
        (torch.tensor([1.0, -1.0]), torch.eye(2), torch.ones(2), "scales: got values that are not positive and finite"),
        (torch.ones(2), torch.eye(2), torch.tensor([1.0, math.nan]), "values: got values that are not positive"),
        (torch.ones(2), 2 * torch.eye(2), torch.ones(2), "directions: got columns that are not orthonormal"),
    ],
)
def test_what_is_no_low_rank_metric(scales, directions, values, message):
    with pytest.raises(ValueError, match=message):
        LowRank(scales, directions, values)


# Estimates


def test_the_geometric_mean_and_the_diagonal_by_their_definitions():
    check_geometric_mean()
    check_diagonal()


@pytest.mark.parametrize("form", ["diagonal", "dense", "low-rank"])
def test_an_estimate_has_the_least_divergence_of_its_form(form):
    """From draws that are no Gaussian: every metric nearby is farther from them."""
    z = random(4000, 6, seed=8)
    x = (z + 0.3 * z.pow(3)) @ torch.linalg.cholesky(covariance(6)).mT
    score = -torch.linalg.solve(covariance(6), x.mT).mT.tanh()
    centred = [(one - one.mean(0)) / len(one) ** 0.5 for one in (x, score)]
    found = fisher.estimate(form, x, score)
    matrix = found.dense() if isinstance(found, LowRank) else found
    least = fisher.divergence(metric_of(found), *centred)
    for k in range(6):
        change = 1e-2 * random(6, seed=20 + k)
        near = matrix * change.exp() if form == "diagonal" else change.exp().sqrt().outer(change.exp().sqrt()) * matrix
        if form != "low-rank":
            assert fisher.divergence(metric_of(near), *centred) > least
    if form == "low-rank":  # what is left to the diagonal costs little
        dense = fisher.divergence(metric_of(fisher.estimate("dense", x, score)), *centred)
        assert float(dense) <= float(least) < 1.1 * float(dense)


def test_a_point_that_weighs_double_is_there_twice():
    x, weights = random(6, 2), torch.tensor([0.25, 0.25, 0.125, 0.125, 0.125, 0.125], dtype=F64)
    score = -x.sinh()
    repeated = torch.cat([x[:2], x])
    torch.testing.assert_close(
        fisher.estimate("diagonal", x, score, weights), fisher.estimate("diagonal", repeated, -repeated.sinh())
    )


def test_coordinates_whose_score_says_nothing():
    """The scale is that of the draws there; where these have none either there is no metric."""
    x = random(50, 2)
    score = -x * torch.tensor([1.0, 0.0], dtype=F64)
    found = fisher.estimate("diagonal", x, score)
    torch.testing.assert_close(found[1], x[:, 1].var(correction=0))
    assert fisher.estimate("low-rank", x * torch.tensor([1.0, 0.0], dtype=F64), score) is None


def test_few_rows_leave_a_matrix_diagonal():
    x = random(59, 6)
    assert fisher.estimate("dense", x, -x).shape == (6,)
    assert fisher.estimate("dense", torch.cat([x, x[:1]]), -torch.cat([x, x[:1]])).shape == (6, 6)
    assert fisher.estimate("low-rank", x[:9], -x[:9].sinh()).rank == 0


def test_stiff_directions_are_found_where_the_diagonal_finds_none():
    """Chains on their way in, 640 rows as of a first window: the root of the condition number is the cost."""
    target, matrix = stiff()
    x = 3 * random(640, 400, seed=9) + 1
    low, diagonal = (fisher.estimate(form, x, target.score(x)) for form in ("low-rank", "diagonal"))
    assert 5 <= low.rank < 64  # of 400
    assert condition(low, matrix) < 4  # what is left is within a factor of two of one, either way
    assert condition(Diagonal(diagonal), matrix) > 9 * condition(low, matrix)


@pytest.mark.parametrize("dim", [3, 50, 200])
def test_nothing_is_found_where_there_is_nothing(dim):
    """Of Gaussians without correlation, and of heavy tails: a direction costs, and has no say where it is noise."""
    scales = random(dim, seed=10).exp()
    z = random(6000, dim, seed=11)
    for x, score in ((z * scales, -z / scales), (z.sinh(), -(z / z.cosh()))):
        assert fisher.estimate("low-rank", x, score).rank == 0


def test_rows_of_a_long_window_are_thinned(monkeypatch):
    monkeypatch.setattr("samplers.adaptation.windows.MOST_NUMBERS", 40)
    window = Rows(targets.Gaussian(torch.zeros(2, dtype=F64)))
    for t in range(32):
        x = torch.full((4, 2), float(t), dtype=F64)
        window.update(State(x, x[:, 0], -x))
    kept_steps = [float(one[0, 0]) for one in window.state_dict()["draws"]]
    assert kept_steps == [0.0, 8.0, 16.0, 24.0]
    assert MOST_NUMBERS > 40


# In the warmup


@pytest.mark.parametrize("kernel", [HMC, MALA, MAMS, MCLMC, ULA, Barker, UnderdampedLangevin])
@pytest.mark.parametrize(("form", "kind"), [("diagonal", 1), ("dense", 2), ("low-rank", LowRank)])
def test_warmup_finds_the_metric_that_is_asked_for(kernel, form, kind):
    """Of a Gaussian, from few steps: its covariance, in the form asked for."""
    matrix = torch.tensor([[4.0, 1.2], [1.2, 0.5]], dtype=F64)
    target = targets.Gaussian(torch.zeros(2, dtype=F64), covariance=matrix)
    found = kernel(metric=form).sample(target, chains=32, draws=2, warmup=40, seed=0).kernel
    assert found.metric is None
    mass = found.inverse_mass_matrix
    assert isinstance(mass, LowRank) if kind is LowRank else mass.ndim == kind
    if form == "diagonal":
        expected = (matrix.diagonal() / torch.linalg.inv(matrix).diagonal()).sqrt()
        torch.testing.assert_close(mass, expected, rtol=0.3, atol=0)
    else:
        white = metric_of(mass).whiten(metric_of(mass).whiten(matrix).mT.contiguous())
        torch.testing.assert_close(white, torch.eye(2, dtype=F64), rtol=0, atol=0.05 if form == "dense" else 1.0)


@pytest.mark.parametrize("kernel", [HMC, MALA, MAMS])
def test_a_tuned_low_rank_metric_leaves_the_target_invariant(kernel):
    """False alarms: those of the kit, one in a million."""
    matrix = torch.tensor([[1.0, 0.95, 0.0], [0.95, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=F64)
    tails = targets.Affine(targets.LogExponential(3, dtype=F64), factor=torch.linalg.cholesky(matrix))
    found = kernel(metric="low-rank").sample(tails, chains=32, draws=2, warmup=60, seed=1).kernel
    assert found.inverse_mass_matrix.rank > 0
    check_invariance(found, tails, seed=2)
    if kernel is not MALA:
        check_leapfrog(HMC(0.2, found.inverse_mass_matrix, steps=5), tails, seed=3)


class Stopped(Exception):
    """Of a density, at one of its evaluations."""


@pytest.mark.parametrize("form", ["diagonal", "dense", "low-rank"])
@pytest.mark.parametrize("at", [5, 17, 33])
def test_a_run_is_continued_within_and_after_the_warmup(form, at, tmp_path):
    calls = 0

    def log_prob(x):
        nonlocal calls
        calls += 1
        if calls == stop:
            raise Stopped
        return -0.5 * (x[:, 0] - x[:, 1]).square() - 0.1 * x.pow(4).sum(-1)

    target = targets.LogDensity(log_prob, 2, dtype=F64, name="quartic")
    options = {"chains": 8, "draws": 10, "warmup": 25, "seed": 4, "init": random(8, 2)}
    stop = None
    whole = MALA(metric=form).sample(target, **options)
    calls, stop, path = 0, at, tmp_path / "run"
    with pytest.raises(Stopped):
        MALA(metric=form).sample(target, checkpoint=path, **options)
    stop = None
    assert torch.equal(MALA(metric=form).sample(target, checkpoint=path, **options).x, whole.x)


def test_annealing_takes_it_from_the_cloud(tmp_path):
    base = targets.Gaussian(torch.zeros(2, dtype=F64), 3.0)
    sampler = SMC(HMC(metric="low-rank", steps=3), base=base)
    draws = sampler.sample(skewed(), draws=256, seed=0, checkpoint=tmp_path / "run")
    again = sampler.sample(skewed(), draws=256, seed=0, checkpoint=tmp_path / "run")
    assert torch.equal(draws.x, again.x)
    assert abs(draws.log_z.value - skewed().log_z) < 5 * draws.log_z.standard_error


def test_the_paper_is_cited():
    target = targets.Gaussian([0.0, 0.0])
    assert "2603.18845" in HMC(metric="diagonal").sample(target, chains=4, draws=4, warmup=20).cite()
    assert "2603.18845" not in HMC().sample(target, chains=4, draws=4, warmup=20).cite()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HMC(metric="lowrank"), r"metric: got 'lowrank', expected 'diagonal', 'low-rank', 'dense' or None"),
        (lambda: HMC(0.1, torch.ones(2), metric="dense"), "metric: got 'dense' beside an inverse_mass_matrix"),
        (lambda: HMC(inverse_mass_matrix="identity", metric="dense"), "beside an inverse_mass_matrix"),
        (lambda: RandomWalkMetropolis(metric="diagonal"), "RandomWalkMetropolis takes none; expected inverse_mass"),
        (
            lambda: samplers.WalkJump(sigma=0.5, kernel=HMC(metric="dense")).sample(skewed(), chains=2, draws=2),
            "metric='dense', which is found in a warmup",
        ),
    ],
)
def test_where_no_metric_can_be_found(make, message):
    with pytest.raises(ValueError, match=message):
        make()
