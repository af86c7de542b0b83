"""The container: ArviZ, summary in words, files, resampling."""

import warnings

import numpy as np
import pytest
import torch
import xarray
from torch.distributions import HalfNormal, Normal

import targets
from samplers import HMC, MALA, ULA, Cost, Draws, LogZ, SamplingWarning, UnderdampedLangevin
from samplers.records import import_arviz


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
    table = draws.summary()
    assert list(table.index) == ["mu", "tau", "theta[A]", "theta[B]", "theta[C]"]
    expected = import_arviz().summary(draws.to_arviz(), group="posterior")
    np.testing.assert_array_equal(table.to_numpy(), expected.to_numpy())


@pytest.mark.filterwarnings("ignore:the effective sample size")
def test_summary_says_when_chains_disagree():
    x = torch.randn(4, 500, 1, generator=torch.Generator().manual_seed(1)) + torch.arange(4.0)[:, None, None]
    with pytest.warns(SamplingWarning, match=r"R-hat reaches \d\.\d\d at x\[0\] .*the chains do not agree"):
        Draws(x).summary()


def test_summary_says_when_the_sample_is_small():
    x = torch.randn(4, 50, 1, generator=torch.Generator().manual_seed(1))
    with pytest.warns(SamplingWarning, match="the effective sample size is .* below 400"):
        Draws(x).summary()


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


def test_the_bridge_to_arviz_1():
    """On ArviZ 1.x, which has no InferenceData, the same groups become an xarray DataTree."""
    from samplers import records

    class NewArviz:
        pass

    original = records.import_arviz
    records.import_arviz = lambda: NewArviz
    try:
        tree = Draws(torch.zeros(2, 3, 1)).to_arviz()
    finally:
        records.import_arviz = original
    assert isinstance(tree, xarray.DataTree)
    assert tree["posterior"]["x"].shape == (2, 3, 1)


def test_ula_and_mala_stats(target):
    assert set(ULA(0.1).sample(target, chains=2, draws=3, warmup=0).stats) == {"lp", "acceptance_rate", "diverging"}
    assert MALA(0.1).sample(target, chains=2, draws=3, warmup=0).stats["lp"].shape == (2, 3)
