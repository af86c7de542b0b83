import copy
import gc
import pickle
import subprocess
import sys
import warnings

import pytest
import torch
from stand_in_compiler import stand_in_compiler
from torch.distributions import HalfNormal, Normal

import samplers
import targets
from targets import compiled
from targets.compiled import MANY_ROWS, PAYS, ROWS, Graphs, asked, lanes
from targets.sampling_warning import SamplingWarning

DOUBLE = torch.float64
Y = torch.tensor([1.0, 3.0, 2.0], dtype=DOUBLE)


def quartic(x):
    return -(x**4).sum(-1) / 4


def hierarchy(**settings):
    return targets.Posterior(
        log_likelihood=lambda mu, tau, z: Normal(mu[:, None] + tau[:, None] * z, 1.0).log_prob(Y).sum(-1),
        parameters={
            "mu": targets.Real(prior=Normal(0.0, 5.0)),
            "tau": targets.Positive(prior=HalfNormal(1.0)),
            "z": targets.Real(3, prior=Normal(0.0, 1.0)),
        },
        **settings,
    )


def points(n, dim, seed=0, dtype=DOUBLE):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def made(monkeypatch):
    """What is compiled, by its shapes; the graph is the function itself, so that nothing is."""
    return stand_in_compiler(monkeypatch)


# What a graph is called with


def test_batches_of_every_size_go_through_graphs_of_few_sizes(made):
    eager, target = targets.LogDensity(quartic, 3), targets.LogDensity(quartic, 3, compile=True)
    for n in (1, 2, 15, 16, 17, 63, 64, 65, 200, 1024, 1025, 3000):
        x = points(n, 3, n, torch.float32)
        for found, expected in zip(target.log_prob_and_score(x), eager.log_prob_and_score(x), strict=True):
            assert found.shape == expected.shape
            torch.testing.assert_close(found, expected)
    assert made == [[(16, 3)], [(ROWS, 3)], [(MANY_ROWS, 3)]]


def test_shapes_of_any_kind_are_kept(made):
    target = targets.LogDensity(quartic, 2, compile=True)
    for shape in ((2,), (0, 2), (3, 4, 2)):
        value, score = target.log_prob_and_score(torch.ones(shape))
        assert value.shape == shape[:-1]
        assert score.shape == shape
    with pytest.raises(ValueError, match=r"x: got shape \(3,\), expected \(\*batch, 2\)"):
        target.score(torch.ones(3))
    with pytest.raises(ValueError, match=r"x: got shape \(1, 6\), expected"):
        hierarchy(compile=True).score(torch.ones(1, 6, dtype=DOUBLE))


def test_no_target_is_compiled_before_it_is_evaluated_and_log_prob_alone_never(made):
    target = hierarchy(compile=True)
    target.log_prob(points(4, 5))
    assert made == []
    target.score(points(4, 5))
    assert made == [[(8, 5)]]


def test_no_vectorised_loop_ends_within_a_row():
    assert lanes(points(1, 1)) == 8
    assert lanes(points(1, 1, dtype=torch.float32)) == 16
    assert ROWS % 16 == MANY_ROWS % 16 == 0


def test_the_import_and_the_making_of_a_target_load_no_compiler():
    script = (
        "import sys, samplers, targets\n"
        "targets.LogDensity(lambda x: -x.square().sum(-1), 2, compile=True)\n"
        "print('torch._inductor.compile_fx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_copies_and_other_precisions_have_graphs_of_their_own(made):
    target = hierarchy(compile=True)
    x = points(8, 5)
    target.score(x)
    for other in (pickle.loads(pickle.dumps(targets.LogDensity(quartic, 5, compile=True))), copy.copy(target)):
        assert other.compile is True
        other.score(x.to(other.dtype))
    single = target.to(dtype=torch.float32)
    assert len(made) == 3
    assert single.compile is True


def test_a_target_and_its_graphs_are_let_go(monkeypatch):
    def stand_in(function, arguments):
        values = function(*arguments)
        return lambda *_: values

    monkeypatch.setattr(compiled, "compiled", stand_in)
    target = hierarchy(compile=True)
    target.score(points(8, 5))
    before = len(compiled._GRAPHS)
    del target
    gc.collect()
    assert len(compiled._GRAPHS) == before - 1


def test_a_matrix_that_cannot_be_factorised_gives_nan_at_its_point(made):
    def density(x):
        eye = torch.eye(2, dtype=x.dtype)
        return torch.linalg.cholesky(eye * x[:, :1, None]).diagonal(dim1=-2, dim2=-1).log().sum(-1) - x[:, 0]

    target = targets.LogDensity(density, 1, compile=True, dtype=DOUBLE)
    x = torch.tensor([[1.0], [-1.0], [2.0]], dtype=DOUBLE)
    for _ in range(2):
        assert target.log_prob_and_score(x)[0].isnan().tolist() == [False, True, False]
        assert target.score(x[:1]).isfinite().all()


# Where it cannot be compiled


def test_a_function_that_cannot_be_compiled_runs_as_it_is_with_one_warning(monkeypatch):
    def broken(function, arguments):
        raise RuntimeError("No working C++ compiler found\nmore")

    monkeypatch.setattr(compiled, "compiled", broken)
    target, x = targets.LogDensity(quartic, 2, compile=True), points(5, 2, dtype=torch.float32)
    words = "quartic: is not compiled, and runs as without compile=, because No working C\\+\\+ compiler found$"
    with pytest.warns(SamplingWarning, match=words):
        found = target.score(x)
    assert torch.equal(found, targets.LogDensity(quartic, 2).score(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(target.score(x[:2]), found[:2])


def test_a_function_that_reads_values_is_not_compiled():
    target = targets.LogDensity(
        lambda x: -x.square().sum(-1) if float(x.detach().sum()) > -1e9 else x.sum(-1), 2, compile=True
    )
    x = points(5, 2, dtype=torch.float32)
    with pytest.warns(SamplingWarning, match="because .*data-dependent control flow"):
        torch.testing.assert_close(target.score(x), -2 * x)


def test_a_graph_that_gives_other_numbers_is_not_used(monkeypatch):
    monkeypatch.setattr(compiled, "compiled", lambda function, arguments: lambda x: (function(x)[0], 1.1 * x))
    target = targets.LogDensity(quartic, 2, compile=True)
    x = points(5, 2, dtype=torch.float32)
    with pytest.warns(SamplingWarning, match="because the compiled function gives other numbers: they are up to"):
        torch.testing.assert_close(target.score(x), -(x**3))


def test_an_error_of_the_function_is_its_own(made):
    target = targets.LogDensity(lambda x: -(x**4), 2, compile=True)
    with pytest.raises(ValueError, match=r"fn: returned shape \(16, 2\) for x of shape"):
        target.score(torch.ones(3, 2))
    assert made == []


def test_what_else_it_may_be_is_said():
    for make in (hierarchy, lambda compile: targets.LogDensity(quartic, 2, compile=compile)):
        with pytest.raises(ValueError, match="compile: got 'yes', expected True, False or \"auto\""):
            make(compile="yes")


# Automatically


def test_auto_is_decided_by_what_a_run_asks_for(made):
    target = hierarchy(compile="auto")
    target.score(points(64, 5))
    with asked(64, PAYS - 1):
        target.score(points(64, 5))
    assert made == []
    with asked(64, PAYS):
        target.score(points(64, 5))
    assert made == [[(64, 5)]]


def test_in_a_run_every_batch_goes_through_the_graph_of_all_chains(made):
    target, eager = hierarchy(compile=True), hierarchy()
    target.score(points(3, 5))
    with asked(20, 1):
        for n in (20, 3, 50):
            torch.testing.assert_close(target.score(points(n, 5)), eager.score(points(n, 5)))
    assert made == [[(8, 5)], [(24, 5)]]


def test_a_long_run_is_compiled_and_a_short_one_is_not(made, monkeypatch):
    monkeypatch.setattr(compiled, "PAYS", 120)
    target = hierarchy(compile="auto")
    run = {"chains": 8, "warmup": 0, "init": 0.1 * points(8, 5), "seed": 3, "progress": False}
    kernel = samplers.HMC(step_size=0.05, steps=3)
    kernel.sample(target, draws=39, **run)
    assert made == []
    one, two = (kernel.sample(target, draws=40, **run) for _ in range(2))
    assert made
    assert torch.equal(one.x, two.x)


# With a compiler


def test_compiled_values_and_scores_are_those_of_the_density_at_every_place_in_a_batch():
    eager, target = hierarchy(), hierarchy(compile=True)
    x = points(64, 5)
    for found, expected in zip(target.log_prob_and_score(x), eager.log_prob_and_score(x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    value, score = target.log_prob_and_score(x[:1].expand(61, -1))
    assert (value == value[0]).all()
    assert (score == score[0]).all()
    assert not compiled._GRAPHS[target].failed


KINDS = {
    "one point": lambda c: targets.LogDensity(lambda x: -(x**4).sum(), 3, batched=False, compile=c, dtype=DOUBLE),
    "given score": lambda c: targets.LogDensity(quartic, 3, score=lambda x: -(x**3), compile=c, dtype=DOUBLE),
    "single precision": lambda c: targets.LogDensity(quartic, 3, compile=c, dtype=torch.float32),
    "joint of one point": lambda c: targets.Posterior(
        lambda a, b, c, d, e: -a.square().sum() - b + (c * c.log()).sum() - d[1] * e[1, 0],
        {
            "a": targets.Interval(-1.0, 2.0, 2),
            "b": targets.Positive(),
            "c": targets.Simplex(4),
            "d": targets.Ordered(3),
            "e": targets.CorrelationCholesky(3),
        },
        batched=False,
        compile=c,
    ),
    "prior of others": lambda c: targets.Posterior(
        log_likelihood=lambda theta: Normal(theta, 1.0).log_prob(Y).sum(-1),
        parameters={
            "tau": targets.Positive(prior=HalfNormal(1.0)),
            "theta": targets.Real(3, prior=lambda tau: Normal(0.0, tau)),
        },
        compile=c,
    ),
    "data": lambda c: targets.Posterior(
        predictive=lambda mu: {"y": Normal(mu[:, None], 1.0)},
        observed={"y": Y},
        parameters={"mu": targets.Real(prior=Normal(0.0, 5.0))},
        compile=c,
    ),
    "matrix": lambda c: targets.LogDensity(
        lambda x: (
            -torch.linalg.cholesky(torch.eye(3, dtype=DOUBLE) + x[:, :, None] * x[:, None]).square().sum((-1, -2))
        ),
        3,
        compile=c,
        dtype=DOUBLE,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_density_is_compiled_to_the_same_numbers(kind):
    eager, target = KINDS[kind](False), KINDS[kind](True)
    tolerance = 1e-12 if eager.dtype == DOUBLE else 1e-5
    for n in (3, 64, 70):
        x = points(n, eager.dim, n, eager.dtype)
        for found, expected in zip(target.log_prob_and_score(x), eager.log_prob_and_score(x), strict=True):
            torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    assert not compiled._GRAPHS[target].failed


@pytest.mark.slow
def test_a_run_on_a_compiled_target_is_that_of_the_target_and_repeats_itself():
    run = {"chains": 10, "draws": 20, "warmup": 40, "seed": 1, "progress": False}
    target = hierarchy(compile=True)
    one, two = (samplers.HMC().sample(target, **run) for _ in range(2))
    assert torch.equal(one.x, two.x)
    assert not compiled._GRAPHS[target].failed
    again = samplers.HMC().sample(hierarchy(compile=True), **run)
    assert torch.equal(one.x, again.x)


def test_graphs_of_other_keys_and_shapes_are_others(made):
    graphs = Graphs("name")
    double, half = (lambda x: (2 * x,)), (lambda x: (x / 2,))
    x = torch.ones(3)
    assert graphs.call("double", double, x)[0].sum() == 6
    assert graphs.call("half", half, x)[0].sum() == 1.5
    graphs.call("double", double, x), graphs.call("double", double, x[:2])
    assert made == [[(3,)], [(3,)], [(2,)]]
