"""Predictions, functions over draws, and ArviZ's groups of data."""

import math
import warnings

import numpy as np
import predictive_cases as cases
import pytest
import torch
from predictive_cases import F64, Y, exact, group, model, normal_terms, weighted
from seeded_bugs_predictive import BUGS
from torch.distributions import HalfNormal, Normal, Poisson

import samplers
import targets
from samplers.draws import Draws, evaluation, records
from samplers.draws.stream import StreamedDraws

CHECKS = [getattr(cases, name) for name in vars(cases) if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_against_the_conjugate_model(check):
    check()


@pytest.mark.parametrize("name", BUGS)
def test_a_mistake_is_rejected(name, monkeypatch):
    check = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError):
        check()


def test_a_function_of_one_point_predicts_the_same_law():
    cases.check_predictions(cases.predictive_of_one, batched=False, draws=800)


# Seeds


def test_the_seed_says_all_and_the_global_generator_is_left_alone():
    draws = exact(400, seed=0)
    state = torch.get_rng_state()
    first, again, other = (draws.predict(seed=seed)["y"] for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not bool((first == other).any())


def test_random_numbers_of_the_function_are_seeded_too():
    draws = exact(400, seed=0)

    def fn(mu):
        return mu[:, None] + torch.randn(len(mu), 3, dtype=F64)

    first, again, other = (draws.predict(fn, seed=seed) for seed in (1, 1, 2))
    assert first.shape == (4, 100, 3)
    assert torch.equal(first, again)
    assert not bool((first == other).any())


def random_effects(mu):
    return {"y": Normal(mu[:, None], 1.0), "new": Normal(mu + 2 * torch.randn(len(mu), dtype=F64), 1.0)}


def random_effects_of_one(mu):
    return {"y": Normal(mu, 1.0), "new": Normal(mu + 2 * torch.randn((), dtype=F64), 1.0)}


@pytest.mark.parametrize("fn", [random_effects, random_effects_of_one])
def test_laws_may_have_random_parameters_and_the_likelihood_leaves_the_global_generator_alone(fn):
    """The effect of a new group: N(MEAN, V + 4 + 1)."""
    state = torch.get_rng_state()
    target = model(fn, batched=fn is random_effects)
    draws = exact(2000, seed=0, target=target)
    plain = model().log_prob(draws.x)
    torch.testing.assert_close(target.log_prob(draws.x), plain, rtol=1e-12, atol=1e-12)
    assert torch.equal(state, torch.get_rng_state())
    new = draws.predict(seed=1)["new"]
    assert cases._p(new, math.sqrt(cases.V + 5), cases.MEAN) > 1e-5
    assert torch.equal(state, torch.get_rng_state())


# Functions over draws


def test_a_function_written_as_the_likelihood_is_evaluated_at_every_draw():
    def log_likelihood(mu):
        return Normal(mu[:, None], 1.0).log_prob(Y).sum(-1)

    draws = exact(400, seed=0)
    found = draws.evaluate(log_likelihood, block=30)
    np.testing.assert_allclose(found, normal_terms(draws.x[..., 0]).sum(-1), rtol=1e-12)
    one = draws.evaluate(lambda mu: Normal(mu, 1.0).log_prob(Y).sum(), batched=False)
    torch.testing.assert_close(one, found, rtol=1e-12, atol=0)
    both = draws.evaluate(lambda mu: {"square": mu**2, "pair": torch.stack([mu, -mu], -1)})
    assert {name: tuple(value.shape) for name, value in both.items()} == {"square": (4, 100), "pair": (4, 100, 2)}


def test_a_function_gets_what_it_names_derived_quantities_too():
    target = model(derived=lambda mu: {"rate": mu.exp()})
    draws = exact(40, seed=0, target=target)
    assert torch.equal(draws.evaluate(lambda rate: rate), draws.constrained["rate"])
    assert draws.evaluate(lambda **values: torch.full_like(values["mu"], len(values))).max() == 2
    plain = Draws(draws.x)
    assert torch.equal(plain.evaluate(lambda x: x.sum(-1)), draws.x.sum(-1))


def test_a_function_may_write_into_what_it_gets():
    draws = exact(40, seed=0)
    before = draws.x.clone()
    draws.evaluate(lambda mu: mu.mul_(2))
    assert torch.equal(draws.x, before)


@pytest.mark.parametrize("block", [1, 7, 100_000])
def test_blocks_change_no_value(block):
    draws = exact(60, seed=0)
    assert torch.equal(draws.evaluate(lambda mu: mu[:, None] * Y, block=block), draws.x * Y)


def test_as_many_points_as_asked_for_are_together():
    seen = []

    def fn(mu):
        seen.append(len(mu))
        return mu

    draws = Draws(torch.zeros(50, 8, 1, dtype=F64), target=model())
    draws.evaluate(fn, block=20)
    assert max(seen[-20:]) == 20
    seen.clear()
    draws.evaluate(lambda mu: (fn(mu), mu[:, None].expand(-1, 2**16))[1], thin=8)
    assert max(seen[-2:]) == 32  # of half a MiB each


# Where draws come from


def test_draws_of_a_file_predict_the_same(tmp_path):
    draws = exact(400, seed=0)
    draws.attrs["seed"] = 0
    path = draws.save(tmp_path / "run.nc")
    loaded = Draws.load(path, model())
    assert torch.equal(loaded.predict(seed=3)["y"], draws.predict(seed=3)["y"])
    without = Draws.load(path)
    assert torch.equal(without.evaluate(lambda mu: mu), draws.x[..., 0])
    with pytest.raises(NotImplementedError, match="draws: came without a target, which would have the predictive="):
        without.predict()


def test_a_stream_is_read_in_blocks(tmp_path, monkeypatch):
    target = model()
    options = {"chains": 6, "draws": 90, "warmup": 20, "seed": 1, "progress": False}
    held = samplers.MALA().sample(target, **options)
    streamed = samplers.MALA().sample(target, stream=tmp_path / "run", **options)
    assert isinstance(streamed, StreamedDraws)
    read = []
    right = StreamedDraws.part
    monkeypatch.setattr(StreamedDraws, "x", property(lambda self: pytest.fail("all of x was read")))
    monkeypatch.setattr(StreamedDraws, "part", lambda self, which: read.append(right(self, which)) or read[-1])
    for thin in (None, 4):
        found = streamed.predict(seed=2, thin=thin, block=60)
        assert torch.equal(found["y"], held.predict(seed=2, thin=thin, block=60)["y"])
        assert torch.equal(streamed.evaluate(lambda mu: mu, thin=thin), held.x[:, :: thin or 1, 0])
    assert max(part.shape[1] for part in read) <= 90
    assert sum(part.shape[1] == 10 for part in read) == 9 + 2
    tree = streamed.to_arviz(thin=4, log_likelihood=True, posterior_predictive=True)
    assert group(tree, "sample_stats")["lp"].shape == (6, 23)
    np.testing.assert_allclose(group(tree, "log_likelihood")["y"].values, normal_terms(held.x[:, ::4, 0]), rtol=1e-12)


def test_weighted_draws_keep_their_points_whole():
    tree = weighted(n=100).to_arviz(posterior_predictive=True, thin=10)
    assert group(tree, "posterior_predictive")["y"].shape == (1, 10, 5)
    assert group(tree, "weighted_posterior")["mu"].shape == (1, 100)
    assert "10th of 100" in group(tree, "posterior").attrs["thinned"]


def test_smc_draws_predict():
    draws = samplers.SMC().sample(model(), draws=200, seed=0, progress=False)
    assert draws.predict()["y"].shape == (1, 200, 5)


# Groups


def test_nothing_is_made_unasked():
    tree = exact(40, seed=0).to_arviz()
    names = {name.strip("/") for name in (tree.groups if records.arviz_1() else tree.groups())} - {""}
    assert names == {"posterior", "unconstrained_posterior", "observed_data"}
    saved = exact(40, seed=0)._datasets()
    assert "observed_data" not in saved


def test_results_of_gigabytes_are_refused_unless_thin_says_so(monkeypatch):
    monkeypatch.setattr(evaluation, "MOST_BYTES", 1000)
    draws = exact(40, seed=0)  # 40 draws of y, z and twice, 56 bytes each
    with pytest.raises(
        ValueError, match=r"predict: the results of 40 draws take 0.0 GiB; expected thin=3 or more.*thin=1"
    ):
        draws.predict()
    with pytest.raises(ValueError, match="log_likelihood: the results of 40 draws take"):
        draws.to_arviz(log_likelihood=True)
    assert draws.predict(thin=1)["y"].shape == (4, 10, 5)
    assert draws.predict(thin=3)["y"].shape == (4, 4, 5)


def test_compare_ranks_by_the_exact_order():
    """With half the spread of the noise the model is the worse one."""
    arviz = records.import_arviz()
    draws = exact(4000, seed=3)
    narrow = model(lambda mu: {"y": Normal(mu[:, None], 0.5)})
    other = Draws(draws.x, target=narrow)
    trees = {"one": draws.to_arviz(log_likelihood=True), "half": other.to_arviz(log_likelihood=True)}
    whole = {"round_to": "none"} if records.arviz_1() else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of k-hat for the narrow one, drawn from the posterior of the other
        table = arviz.compare(trees, **whole)
        elpd = {name: arviz.loo(tree) for name, tree in trees.items()}
    column = "elpd" if "elpd" in table else "elpd_loo"
    assert list(table.index) == ["one", "half"]
    for name, found in elpd.items():
        value = found.elpd if hasattr(found, "elpd") else found.elpd_loo
        assert table.loc[name, column] == pytest.approx(value, rel=1e-12)


@pytest.mark.skipif(records.arviz_1(), reason="ArviZ 1.x has other plots")
def test_plot_ppc_draws_predictions_and_data():
    import matplotlib

    matplotlib.use("Agg")
    axes = records.import_arviz().plot_ppc(exact(40, seed=0).to_arviz(posterior_predictive=True), kind="cumulative")
    lines = [line.get_xdata() for line in np.ravel(axes)[0].get_lines()]
    assert any(len(line) == len(Y) and np.allclose(np.sort(line), np.sort(Y)) for line in lines)
    matplotlib.pyplot.close("all")


def test_terms_beside_the_data_have_axes_of_their_own():
    target = targets.Posterior(
        parameters={"rate": targets.Positive(2, prior=HalfNormal(1.0), dims="group")},
        pointwise=lambda rate: {
            "counts": Poisson(rate[:, None, :]).log_prob(torch.ones(3, 2, dtype=F64)).sum(-1),
            "rest": -rate.sum(-1),
        },
        observed={"counts": np.ones((3, 2), dtype=int)},
        dims={"counts": ("day", "group")},
        coords={"day": ["Mo", "Tu", "We"], "group": ["a", "b"]},
    )
    tree = Draws(torch.zeros(2, 4, 2, dtype=F64), target=target).to_arviz(log_likelihood=True)
    found = group(tree, "log_likelihood")
    assert found["counts"].dims == ("chain", "draw", "day")
    assert found["rest"].dims == ("chain", "draw")
    assert group(tree, "observed_data")["counts"].dims == ("day", "group")
    assert group(tree, "observed_data")["counts"].dtype.kind == "i"
    torch.testing.assert_close(target.log_likelihood(torch.zeros(2, dtype=F64)), torch.tensor(-8.0, dtype=F64))


# Messages


def test_predictions_that_are_not_finite_are_said():
    draws = exact(40, seed=0)
    with pytest.warns(samplers.SamplingWarning, match=r"\d+ of 40 predictions are not finite"):
        draws.predict(lambda mu: (mu - 0.8).log())


SHARED = "fn: has random numbers that all draws share; expected numbers of its own for each"
WRONG = {
    "no function": ({"fn": 3}, TypeError, "fn: got int, expected a function of mu"),
    "a name that is none": (
        {"fn": lambda m: m},
        TypeError,
        "fn: takes 'm', there is no such parameter; did you mean mu",
    ),
    "nothing": ({"fn": lambda mu: None}, TypeError, "fn: returned NoneType, expected a dict from names to torch dist"),
    "a number": ({"fn": lambda mu: {"a": 1.0}}, TypeError, r"fn\['a'\]: got float, expected a torch distribution or"),
    "no batch": (
        {"fn": lambda mu: Normal(0.0, 1.0)},
        ValueError,
        r"fn: got shape \(\) for 3 points, expected \(3, ...\)",
    ),
    "shared noise": ({"fn": lambda mu: mu[:, None] + torch.randn(4)}, ValueError, SHARED),
    "a shared coin": ({"fn": lambda mu: mu + torch.randint(2, ())}, ValueError, SHARED),
    "a mixed axis": (
        {"fn": lambda mu: Normal(mu.expand(len(mu), -1).sum(-1), 1.0)},
        ValueError,
        "fn: differ for 3 points together and one by one; the function mixes",
    ),
    "a law of shared noise": (
        {"fn": lambda mu: Normal(mu[:, None] + torch.randn(4, dtype=F64), 1.0)},
        ValueError,
        SHARED,
    ),
    "complex": ({"fn": lambda mu: mu + 1j}, TypeError, "fn: got torch.complex128, expected real numbers"),
    "thin": ({"thin": 0}, ValueError, "thin: got 0, expected an integer of at least 1"),
    "block": ({"block": 0.5}, ValueError, "block: got 0.5, expected an integer of at least 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_bad_argument_gets_one_error_that_names_it(case):
    arguments, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        exact(40, seed=0).predict(**arguments)


def test_evaluate_is_for_values():
    draws = exact(40, seed=0)
    for fn in (lambda mu: Normal(mu, 1.0), lambda mu: mu + torch.randn(len(mu))):
        with pytest.raises(ValueError, match="fn: is random, or returns torch distributions; expected values. predict"):
            draws.evaluate(fn)


def test_what_is_missing_is_said():
    plain = targets.Posterior(lambda mu: -mu.square(), {"mu": targets.Real()}, name="plain")
    draws = Draws(torch.zeros(2, 3, 1, dtype=F64), target=plain)
    with pytest.raises(NotImplementedError, match="plain: has no predictive=; give a function"):
        draws.predict()
    with pytest.raises(NotImplementedError, match="plain: has no log-likelihood of each observation; make it by"):
        draws.to_arviz(log_likelihood=True)
    with pytest.raises(NotImplementedError, match="plain: prior is not known exactly"):
        draws.to_arviz(prior_predictive=10)
    with pytest.raises(TypeError, match="target: got .*Gaussian.*, expected a targets.Posterior with priors"):
        samplers.prior_predictive(targets.Gaussian([0.0]))
    with pytest.raises(ValueError, match="draws: there are none"):
        Draws(torch.zeros(2, 0, 1, dtype=F64), target=plain).evaluate(lambda mu: mu)


def test_the_error_of_a_function_says_what_it_was_called_with():
    def fn(mu):
        raise RuntimeError(math.nan)

    with pytest.raises(RuntimeError) as caught:
        exact(40, seed=0).evaluate(fn)
    assert "fn was called with three points at once, mu (3,) in torch.float64" in caught.value.__notes__[0]


def test_truth_by_quadrature_leaves_predictions_and_data_as_they_are():
    plain = targets.Posterior(
        predictive=lambda mu: {"y": Normal(mu[:, None], 1.0)},
        observed={"y": torch.tensor([0.3, -1.2, 2.4], dtype=F64)},
        parameters={"mu": targets.Real(prior=Normal(0.0, 2.0))},
    )
    x = torch.linspace(-1, 1, 5, dtype=F64)[None, :, None]
    draws, judged = (Draws(x, target=one) for one in (plain, targets.with_truth(plain)))
    assert torch.equal(draws.predict(seed=1)["y"], judged.predict(seed=1)["y"])
    options = {"log_likelihood": True, "posterior_predictive": True}
    trees = [one.to_arviz(**options) for one in (draws, judged)]
    for name in ("observed_data", "log_likelihood", "posterior_predictive"):
        assert np.array_equal(trees[0][name]["y"], trees[1][name]["y"])


def test_a_file_is_not_read_with_another_target(tmp_path):
    kinds = {"a": targets.Real(), "s": targets.Positive()}
    models = {
        "right": targets.Posterior(lambda a, s: -(a**2) - s, kinds),
        "another order": targets.Posterior(lambda a, s: -(a**2) - s, dict(reversed(kinds.items()))),
        "another name": targets.Posterior(lambda b, s: -(b**2) - s, {"b": targets.Real(), "s": targets.Positive()}),
        "another size": targets.Posterior(lambda a: -(a**2), {"a": targets.Real()}),
    }
    x = torch.linspace(-1, 1, 12, dtype=F64).reshape(2, 3, 2)
    path = Draws(x, target=models["right"]).save(tmp_path / "run.nc")
    assert torch.equal(Draws.load(path, models["right"]).x, x)
    folder = tmp_path / "run"
    options = {"chains": 2, "draws": 3, "warmup": 0, "seed": 0, "progress": False}
    streamed = samplers.MALA(0.1).sample(models["right"], stream=folder, **options)
    assert torch.equal(Draws.load(folder, models["right"]).x, streamed.x)
    for name in ("another order", "another name", "another size"):
        with pytest.raises(ValueError, match="^target: "):
            Draws.load(path, models[name])
        if name != "another name":  # of which a folder holds nothing
            with pytest.raises(ValueError, match="^target: "):
                Draws.load(folder, models[name])


# What is said


@pytest.mark.parametrize(
    "fn",
    [
        lambda mu: Normal(mu.mean() * torch.ones(2, dtype=F64), 1.0),  # no batch axis
        lambda mu: mu + torch.ones(7, dtype=F64),
        lambda mu: 3.0,
        lambda mu: mu.sum(),
    ],
)
def test_an_error_of_predict_says_with_which_shapes_fn_was_called(fn):
    with pytest.raises((TypeError, ValueError, RuntimeError)) as caught:
        exact(400, seed=0).predict(fn)
    assert [one for one in caught.value.__notes__ if one.startswith("fn was called with three points at once, mu (3,)")]


def test_draws_without_their_target_name_how_to_load_them(tmp_path):
    lost = Draws.load(exact(40, seed=0).save(tmp_path / "draws.nc"))
    asks = [
        lost.predict,
        lambda: lost.to_arviz(posterior_predictive=True),
        lambda: lost.to_arviz(log_likelihood=True),
        lambda: lost.to_arviz(prior_predictive=3),
        lambda: samplers.diagnostics.mode_mixing(lost),
    ]
    for ask in asks:
        with pytest.raises((NotImplementedError, ValueError), match=r"Draws.load\(path, target\)"):
            ask()


def test_predicted_counts_have_the_dtype_of_the_data_in_arviz_and_others_stay_real():
    def kinds(law, data):
        posterior = targets.Posterior(
            parameters={"mu": targets.Real(prior=Normal(0.0, 1.0))},
            predictive=lambda mu: {"y": law(mu[:, None])},
            observed={"y": data},
        )
        x = posterior.prior.sample(20, generator=torch.Generator().manual_seed(0))[None]
        tree = Draws(x, target=posterior).to_arviz(posterior_predictive=True, prior_predictive=5)
        groups = ("observed_data", "posterior_predictive", "prior_predictive")
        return [str(tree[group]["y"].dtype) for group in groups]

    counts = torch.tensor([1, 2])
    assert kinds(lambda mu: Poisson(mu.exp()), counts) == ["int64"] * 3
    assert kinds(lambda mu: Poisson(mu.exp()), counts.int()) == ["int32"] * 3
    assert kinds(lambda mu: Normal(mu, 1.0), counts) == ["int64", "float64", "float64"]
    assert kinds(lambda mu: Poisson(mu.exp()), counts.double()) == ["float64"] * 3
