"""The container: ArviZ, summary in words, files, resampling."""

import logging
import math
import warnings

import numpy as np
import pytest
import torch
import xarray
from torch.distributions import HalfNormal, Normal

import samplers
import targets
from samplers import HMC, MALA, ULA, Cost, Draws, LogZ, SamplingWarning, UnderdampedLangevin
from samplers.draws import records
from samplers.draws.draws import _groups
from samplers.draws.records import arviz_1, import_arviz


@pytest.fixture(scope="module")
def target():
    return targets.Posterior(
        log_likelihood=lambda mu, tau, theta: Normal(mu[:, None], tau[:, None] + 1).log_prob(theta).sum(-1),
        parameters={
            "mu": targets.Real(prior=Normal(0.0, 1.0)),
            "tau": targets.Positive(prior=HalfNormal(1.0)),
            "theta": targets.Real(3, prior=Normal(0.0, 1.0), dims="school"),
        },
        coords={"school": ["A", "B", "C"]},
        name="schools",
    )


@pytest.fixture(scope="module")
def draws(target):
    return HMC().sample(target, chains=8, draws=50, warmup=100, seed=5)


def group(tree, name):
    found = tree[name]
    return found.to_dataset() if hasattr(found, "to_dataset") else found


def test_arviz_gets_named_constrained_variables(draws):
    posterior = group(draws.to_arviz(), "posterior")
    assert posterior["theta"].dims == ("chain", "draw", "school")
    assert posterior["school"].values.tolist() == ["A", "B", "C"]
    assert dict(posterior.sizes) == {"chain": 8, "draw": 50, "school": 3}
    np.testing.assert_array_equal(posterior["tau"].values, draws.x[..., 1].exp().numpy())


def test_sample_stats_have_the_names_of_the_schema(draws):
    stats = group(draws.to_arviz(), "sample_stats")
    assert set(stats) == {"lp", "acceptance_rate", "diverging", "energy", "n_steps"}
    assert stats["diverging"].dtype == bool


def test_lp_is_the_log_density_of_the_draw(draws, target):
    torch.testing.assert_close(draws.stats["lp"], target.log_prob(draws.x))


def test_kernels_without_a_density_at_x_record_no_lp(target):
    draws = UnderdampedLangevin(0.2).sample(target, chains=4, draws=5, warmup=0)
    assert "lp" not in draws.stats


def test_attributes_reproduce_the_run(draws, target):
    attrs = draws.attrs
    assert (attrs["sampler"], attrs["seed"], attrs["target"]) == ("HMC", 5, "schools")
    assert attrs["versions"].keys() == {"unnorm", "torch", "numpy", "python"}
    again = HMC(**attrs["hyperparameters"]).sample(
        target, **{k: attrs[k] for k in ("chains", "draws", "warmup", "thin", "seed")}
    )
    assert torch.equal(again.x, draws.x)


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_summary_is_arvizs(draws):
    table = draws.summary(round_to="none")
    assert list(table.index) == ["mu", "tau", "theta[A]", "theta[B]", "theta[C]"]
    expected = import_arviz().summary(draws.to_arviz(), group="posterior", round_to="none")
    assert list(table) == list(expected)
    # up to rounding: ties of the draws are joined first
    np.testing.assert_allclose(table.to_numpy(), expected.to_numpy(), rtol=1e-12, atol=1e-14)
    shown = draws.summary()
    assert {"mean", "sd", "mcse_mean", "mcse_sd", "ess_bulk", "ess_tail", "r_hat"} <= set(shown)
    assert all(dtype == np.float64 for dtype in shown.dtypes)
    for column in shown:
        digits = {"r_hat": 2, "ess_bulk": 0, "ess_tail": 0}.get(column, 3)
        np.testing.assert_array_equal(shown[column], table[column].round(digits))


@pytest.mark.filterwarnings("ignore:the effective sample size")
def test_summary_says_when_chains_disagree():
    x = torch.randn(4, 500, 1, generator=torch.Generator().manual_seed(1)) + torch.arange(4.0)[:, None, None]
    with pytest.warns(SamplingWarning, match=r"R-hat reaches \d\.\d\d at x\[0\] .*the chains do not agree"):
        Draws(x).summary()


def test_summary_says_when_the_sample_is_small():
    x = torch.randn(4, 50, 1, generator=torch.Generator().manual_seed(1))
    with pytest.warns(SamplingWarning, match="the effective sample size is .* below 400"):
        Draws(x).summary()


def test_a_small_effective_sample_size_is_said_once_and_arviz_logs_nothing_beside_it(monkeypatch):
    logged = []
    monkeypatch.setattr(logging.Logger, "callHandlers", lambda self, record: logged.append(record.getMessage()))
    log = getattr(import_arviz(), "_log", None)
    if hasattr(log, "cache"):
        monkeypatch.setattr(log, "cache", [])  # ArviZ 0.x says each sentence once a process
    draws = samplers.SMC().sample(targets.Funnel(3), draws=60, seed=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        draws.summary()
    said = [str(one.message) for one in caught]
    assert [one for one in said if "effective" in one] == [one for one in said if "of the weights is" in one] != []
    assert logged == []


def test_summary_says_when_there_is_one_chain():
    x = torch.randn(1, 2000, 1, generator=torch.Generator().manual_seed(1))
    with pytest.warns(SamplingWarning, match="one chain cannot show"):
        Draws(x).summary()


def test_summary_says_when_steps_diverged():
    x = torch.randn(4, 1000, 1, generator=torch.Generator().manual_seed(1))
    with pytest.warns(SamplingWarning, match="7 divergent steps in 2 of 4 chains"):
        Draws(x, divergences=torch.tensor([0, 3, 4, 0])).summary()


def test_good_draws_have_no_warning():
    x = torch.randn(4, 1000, 2, generator=torch.Generator().manual_seed(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Draws(x).summary()) == 2


def test_files_hold_everything(draws, target, tmp_path):
    path = draws.save(tmp_path / "run.nc")
    for given in (target, None):
        loaded = Draws.load(path, given)
        assert torch.equal(loaded.x, draws.x)
        assert loaded.cost == draws.cost
        assert loaded.attrs == draws.attrs
        assert all(torch.equal(loaded.stats[name], draws.stats[name]) for name in draws.stats)
        assert all(torch.equal(loaded.constrained[name], draws.constrained[name]) for name in draws.constrained)
    assert not list(tmp_path.glob("*.partial"))


def test_arviz_reads_the_file(draws, tmp_path):
    path = draws.save(tmp_path / "run.nc")
    arviz = import_arviz()
    tree = arviz.from_netcdf(path) if hasattr(arviz, "from_netcdf") else xarray.open_datatree(path)
    np.testing.assert_array_equal(group(tree, "posterior")["mu"].values, draws.constrained["mu"].numpy())


def test_weights_and_log_z_survive_a_file(tmp_path):
    x = torch.randn(1, 20, 2, generator=torch.Generator().manual_seed(2))
    draws = Draws(x, log_weights=x[..., 0], log_z=LogZ(1.5, 0.1, 1.2, None), cost=Cost(3, 4, 0.5))
    loaded = Draws.load(draws.save(tmp_path / "w.nc"))
    assert torch.equal(loaded.log_weights, draws.log_weights)
    assert (loaded.log_z, loaded.cost) == (draws.log_z, draws.cost)


def weighted(target, n=2000, seed=4):
    """Points of N(0, 1.5^2) in every coordinate, with the weights of N(1, 1)."""
    x = 1.5 * torch.randn(1, n, target.dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    log_w = (0.5 * (x / 1.5).square() - 0.5 * (x - 1).square()).sum(-1)
    return Draws(x, stats={"lp": target.log_prob(x)}, log_weights=log_w, target=target, attrs={"seed": seed})


def test_weighted_draws_leave_equally_weighted(target, tmp_path):
    """Means and deviations in ArviZ, in the file and in `constrained` are those of the weights."""
    draws = weighted(target)
    share = draws.log_weights[0].softmax(0)
    arviz = import_arviz()
    path = draws.save(tmp_path / "w.nc")
    read = arviz.from_netcdf(path)
    table = arviz.summary(read, round_to="none")
    posteriors = [group(tree, "posterior") for tree in (read, draws.to_arviz())]
    for name, value in draws.constrained_points.items():
        mean = (share.reshape(-1, *[1] * (value.ndim - 2)) * value[0]).sum(0)
        error = 4 * value.std() / draws.weight_ess**0.5
        assert ((draws.constrained[name].mean((0, 1)) - mean).abs() < error).all()
        for posterior in posteriors:
            assert (np.abs(posterior[name].values.mean((0, 1)) - mean.numpy()) < float(error)).all()
    assert abs(table.loc["mu", "mean"] - 1) < 4 / draws.weight_ess**0.5
    # copies are neighbours, so that ArviZ's ESS is that of the weights and not that of as many independent draws
    assert 0.5 < table.loc["mu", "ess_bulk"] / draws.weight_ess < 2
    attrs = posteriors[0].attrs
    assert attrs["resampled"].startswith("equally weighted: 2000 draws in proportion to the weights")
    assert attrs["weight_ess"] == pytest.approx(draws.weight_ess)
    # statistics belong to the draws beside them
    x = torch.from_numpy(group(read, "unconstrained_posterior")["x"].values)
    torch.testing.assert_close(torch.from_numpy(group(read, "sample_stats")["lp"].values), target.log_prob(x))


def test_weighted_points_come_back_from_a_file_bit_for_bit(target, tmp_path):
    draws = weighted(target)
    path = draws.save(tmp_path / "w.nc")
    for given in (target, None):
        loaded = Draws.load(path, given)
        assert torch.equal(loaded.x, draws.x)
        assert torch.equal(loaded.log_weights, draws.log_weights)
        assert loaded.attrs == draws.attrs
        assert loaded.stats.keys() == draws.stats.keys()
        for name, value in draws.constrained_points.items():
            assert torch.equal(loaded.constrained_points[name], value)
            assert torch.equal(loaded.constrained[name], draws.constrained[name])


def test_a_file_in_which_the_weights_stood_beside_the_posterior_is_read(target, tmp_path):
    """As files of version 0.1 are."""
    draws = weighted(target, 50)
    groups = _groups(draws, draws.attrs | {"cost": {"seconds": 1.0}}, log_weight=draws.log_weights)
    loaded = Draws.load(records.write(tmp_path / "old.nc", groups))
    assert torch.equal(loaded.log_weights, draws.log_weights)
    assert torch.equal(loaded.constrained["tau"], draws.constrained["tau"])
    assert torch.equal(loaded.constrained_points["tau"], draws.x[..., 1].exp())


def test_equal_weights_leave_the_points_as_they_are():
    x = torch.randn(1, 999, 2, generator=torch.Generator().manual_seed(2))
    equal = Draws(x, log_weights=torch.full((1, 999), -700.0))
    assert torch.equal(equal.unweighted().x, x)
    assert equal.weight_ess == pytest.approx(999)


def test_every_point_is_taken_as_often_as_its_weight_says():
    weights = torch.tensor([0.05, 0.0, 0.5, 0.25, 0.2])
    draws = Draws(torch.arange(5.0)[None, :, None], log_weights=weights.log()[None])
    counts = torch.bincount(draws.unweighted().x.flatten().long(), minlength=5)
    assert ((counts - 5 * weights).abs() < 1).all()
    assert counts.sum() == 5
    one = Draws(torch.arange(5.0)[None, :, None], log_weights=torch.tensor([[-1e9, 0.0, -1e9, -1e9, -1e9]]))
    assert (one.constrained["x"] == 1).all()


@pytest.mark.parametrize("value", [-torch.inf, torch.nan, torch.inf])
def test_weights_from_which_nothing_can_be_drawn(value, tmp_path):
    """They are kept in the file, which then has no posterior."""
    draws = Draws(torch.zeros(1, 5, 1), log_weights=torch.full((1, 5), value))
    path = draws.save(tmp_path / "none.nc")
    torch.testing.assert_close(Draws.load(path).log_weights, draws.log_weights, rtol=0, atol=0, equal_nan=True)
    assert "posterior" not in records.read(path)
    for act in (draws.unweighted, draws.summary, lambda: draws.resample(3, generator=torch.Generator())):
        with pytest.raises(ValueError, match="log_weights: got weights of which none is above zero"):
            act()


@pytest.mark.parametrize(
    "weights",
    [
        torch.tensor([]),
        torch.tensor([0.0]),
        torch.arange(20.0),  # a tail of four
        torch.cat([-torch.ones(50), torch.zeros(50)]),
        torch.cat([torch.zeros(999), torch.tensor([5.0])]),
        torch.cat([-700 - torch.arange(500.0), torch.zeros(500)]),
        torch.cat([torch.zeros(95), torch.ones(5)]),
    ],
    ids=["none", "one", "few", "tied tail", "one above all others", "a body of equals", "a tail of equals"],
)
def test_a_tail_of_fewer_than_five_weights_is_not_trusted(weights):
    """As on ArviZ 0.x; 1.x raises, or gives NaN."""
    assert records.pareto_k(weights) == math.inf


def test_pareto_k_tells_heavy_tails_of_weights_from_light_ones():
    """Weights exp(k e) with e exponential are Pareto with index k; negated, they are bounded. On ArviZ 0.x and 1.x."""
    e = torch.empty(1, 20_000, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(0))
    for k in (0.3, 0.9):
        draws = Draws(e[..., None], log_weights=k * e)
        assert draws.pareto_k == pytest.approx(k, abs=0.15)
        assert Draws(e[..., None], log_weights=-k * e).pareto_k < 0


def test_attributes_of_every_kind_survive_a_file(tmp_path):
    """netCDF knows no truth values, and a text may look like JSON."""
    texts = ("true", "null", "[a, b]", "{", '"', "", "plain")
    words = {f"text{i}": text for i, text in enumerate(texts)}
    attrs = {"yes": True, "no": False, "none": None, "one": 1, "half": 0.5, "list": [1, None, True], "map": {"a": 2}}
    draws = Draws(torch.zeros(1, 3, 1), attrs=words | attrs)
    loaded = Draws.load(draws.save(tmp_path / "run.nc")).attrs
    assert loaded == draws.attrs
    assert [type(loaded[name]) for name in ("yes", "none", "one")] == [bool, type(None), int]


def test_a_damaged_or_missing_file_is_named(tmp_path):
    (tmp_path / "bad.nc").write_bytes(b"not netcdf")
    with pytest.raises(ValueError, match=r"path: .*bad.nc is not a file written by Draws.save"):
        Draws.load(tmp_path / "bad.nc")
    with pytest.raises(FileNotFoundError, match=r"path: .*none.nc does not exist"):
        Draws.load(tmp_path / "none.nc")
    with pytest.raises(ValueError, match="holds no complete block"):
        Draws.load(tmp_path)


def test_resampling_follows_the_weights():
    x = torch.tensor([[[0.0], [1.0], [2.0]]])
    weights = torch.tensor([0.2, 0.0, 0.8])
    n = 100_000
    drawn = Draws(x, log_weights=weights.log()[None]).resample(n, generator=torch.Generator().manual_seed(3))
    share = (drawn == 2).double().mean()
    assert not (drawn == 1).any()
    assert abs(share - 0.8) < 5 * (0.16 / n) ** 0.5
    equal = Draws(x).resample(n, generator=torch.Generator().manual_seed(3))
    assert abs((equal == 2).double().mean() - 1 / 3) < 5 * (2 / 9 / n) ** 0.5


def test_to_arviz_is_what_this_arviz_works_with():
    """ArviZ 1.x has no InferenceData, and answers `hasattr` for it all the same."""
    tree = Draws(torch.zeros(2, 3, 1)).to_arviz()
    assert type(tree).__name__ == ("DataTree" if arviz_1() else "InferenceData")
    assert group(tree, "posterior")["x"].shape == (2, 3, 1)


def test_ula_and_mala_stats(target):
    assert set(ULA(0.1).sample(target, chains=2, draws=3, warmup=0).stats) == {"lp", "acceptance_rate", "diverging"}
    assert MALA(0.1).sample(target, chains=2, draws=3, warmup=0).stats["lp"].shape == (2, 3)
