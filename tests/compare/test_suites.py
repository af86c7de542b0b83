"""Named suites, and published figures beside ours."""

import importlib.util
import math

import pytest
import torch
from compare_cases import Exact

import targets
from samplers import HMC, MALA, SMC
from samplers.compare import run_suite, suites
from samplers.compare.published import QUANTITIES, Published, against_published
from samplers.compare.suites import SUITES, Block, Suite, installed_peers, suite


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_names_targets_that_exist(name):
    chosen = suite(name)
    names = [target for block in chosen.blocks for target in block.targets]
    assert len(names) == len(set(names))
    assert {*chosen.starts, *chosen.references} <= set(names)
    for block in chosen.blocks:
        for target, build in block.targets.items():
            assert target in targets.benchmarks() or isinstance(build(), targets.Ising)
    for start in chosen.starts.values():
        assert start(3, torch.Generator().manual_seed(0)).shape[0] == 3
    for one in chosen.published:
        assert one.target in names
        assert one.quantity in QUANTITIES
        assert one.variant
        assert one.source


def test_unknown_suites_are_named():
    with pytest.raises(ValueError, match="suite: no suite 'standart'; did you mean standard\\? Known: quick, standard"):
        suite("standart")


def small():
    return Suite(
        "two blocks",
        (
            Block({"plane": lambda: targets.benchmark("gmm9")}, {"exact": Exact()}),
            Block({"line": lambda: targets.benchmark("gmm4-1d")}, {"exact": Exact(), "few": (Exact(), {"draws": 40})}),
        ),
        {"draws": 50},
    )


@pytest.mark.slow
def test_a_suite_is_its_blocks(monkeypatch, tmp_path):
    theirs = Published("plane", "mode_error", 0.5, "theirs", "n = 10", "a paper")
    elsewhere = Published("sonar", "mode_error", 0.5, "theirs", "n = 10", "a paper")
    monkeypatch.setattr(suites, "PUBLISHED", (theirs, elsewhere))
    monkeypatch.setitem(suites.SUITES, "small", small)
    result = run_suite("small", folder=tmp_path, seeds=2)
    cells = [(row["target"], row["sampler"], row["seed"], row["draws"]) for row in result.rows]
    assert cells == [
        ("plane", "exact", 0, 400), ("plane", "exact", 1, 400), ("line", "exact", 0, 400), ("line", "exact", 1, 400),
        ("line", "few", 0, 320), ("line", "few", 1, 320),
    ]  # fmt: skip
    assert result.grid["suite"] == "small"
    (one,) = result.beside
    assert one.sampler == "exact"
    assert one.place == "ahead"
    assert "2 runs; theirs 0.5 (n = 10; a paper): AHEAD" in str(result)


def test_a_suite_hands_on_starts_references_peers_and_options(monkeypatch):
    def start(n, generator):
        return torch.zeros(n, 2)

    def with_all():
        blocks = (
            Block({"plane": lambda: targets.benchmark("gmm9")}, {"HMC": HMC()}),
            Block({"line": lambda: targets.benchmark("gmm4-1d")}, {"SMC": (SMC(), {"draws": 40})}),
        )
        return Suite("all", blocks, {"chains": 4, "draws": 50}, {"plane": start}, ("line", "plane"))

    seen = {}
    monkeypatch.setitem(suites.SUITES, "all", with_all)
    monkeypatch.setattr(suites, "installed_peers", lambda targets: {"another": MALA()} if "plane" in targets else {})
    monkeypatch.setattr(suites.Grid, "run", lambda grid, *arguments, **about: seen.update(run=arguments, about=about))
    run_suite("all", peers=True)
    cells, folder, long_runs, options = seen["run"]
    assert {(cell.target_name, cell.sampler_name): dict(cell.options) for cell in cells} == {
        ("plane", "HMC"): {"chains": 4, "draws": 50, "init": start},
        ("plane", "another"): {"chains": 4, "draws": 50, "init": start},
        ("line", "SMC"): {"chains": 4, "draws": 40},
    }
    assert folder is None
    assert long_runs == {"line": None, "plane": start}
    assert options == {"chains": 4, "draws": 50}
    assert (seen["about"]["suite"], seen["about"]["peers"]) == ("all", ["another"])
    run_suite("all")
    assert [cell.sampler_name for cell in seen["run"][0]] == ["HMC", "SMC"]
    assert seen["about"]["peers"] == []


def row(target, sampler, **changes):
    return {
        "target": target,
        "sampler": sampler,
        "error": "",
        "log_z_true": 0.0,
        "log_z": 0.1,
        "log_z_se": 0.01,
        "elbo": -1.0,
    } | changes


def test_the_best_of_ours_stands_beside_theirs():
    rows = [
        row("a", "one", log_z=0.3, elbo=-2.0), row("a", "one", log_z=-0.1, elbo=-1.0),
        row("a", "two", log_z=0.15, elbo=math.nan), row("a", "three", error="failed"), row("b", "one", log_z=5.0),
    ]  # fmt: skip
    theirs = [
        Published("a", "log_z_error", 0.1, "m", "v", "s"),
        Published("a", "elbo", -1.6, "m", "v", "s"),
        Published("c", "elbo", -1.6, "m", "v", "s"),
    ]
    error, elbo = against_published(rows, theirs)  # of c there is nothing to say
    assert error.error == pytest.approx(0.01 * math.sqrt(1 - 2 / math.pi))
    assert (error.sampler, error.value, error.runs, error.place) == ("two", pytest.approx(0.15), 1, "behind")
    assert (elbo.sampler, elbo.value, elbo.runs, elbo.place) == ("one", -1.5, 2, "level")
    assert elbo.error == pytest.approx(0.5)
    assert "BEHIND" in str(error)


def test_a_truth_from_a_long_run():
    unknown = row("a", "one", log_z=-108.0, log_z_true=math.nan)
    (one,) = against_published([unknown], [Published("a", "log_z_bias", 0.1, "m", "v", "s", truth=-108.39)])
    assert one.value == pytest.approx(0.39)
    assert (one.error, one.place) == (0.01, "behind")
    unsure = Published("a", "log_z_bias", 0.1, "m", "v", "s", truth=-108.39, truth_error=0.2)
    (one,) = against_published([unknown], [unsure])
    assert (one.error, one.place) == (pytest.approx(math.hypot(0.01, 0.2)), "level")
    known = row("a", "one", log_z=-108.0, log_z_true=-108.1)
    (one,) = against_published([known], [unsure])
    assert (one.value, one.error) == (pytest.approx(0.1), 0.01)


def test_a_lucky_run_is_no_small_error():
    """Off by 0.001 with a standard error of 0.1: the typical error is 0.08, while the bias may be nothing."""
    rows = [row("a", "one", log_z=0.001, log_z_se=0.1)]
    error, bias = against_published(
        rows, [Published("a", kind, 0.01, "m", "v", "s") for kind in ("log_z_error", "log_z_bias")]
    )
    assert (error.value, error.error) == (pytest.approx(0.1 * math.sqrt(2 / math.pi)), pytest.approx(0.0603, rel=1e-3))
    assert (bias.value, bias.error, bias.place) == (0.001, 0.1, "level")
    rows.append(row("a", "surer", log_z=0.004, log_z_se=0.001))
    assert [one.sampler for one in against_published(rows, [error.published, bias.published])] == ["surer", "surer"]
    several = [row("a", "one", log_z=value, log_z_se=0.01) for value in (0.3, -0.2)]
    (bias,) = against_published(several, [bias.published])
    assert (bias.value, bias.error) == (pytest.approx(0.05), pytest.approx(0.25))
    assert against_published([row("a", "one", log_z_se=math.nan)], [error.published, bias.published]) == []


def test_peers_are_not_ours():
    rows = [row("a", "one", log_z=0.3), row("a", "a peer", log_z=0.1)]
    theirs = [Published("a", "log_z_error", 0.2, "m", "v", "s")]
    assert [one.sampler for one in against_published(rows, theirs)] == ["a peer"]
    assert [one.sampler for one in against_published(rows, theirs, peers=["a peer"])] == ["one"]


def test_the_error_of_a_bound():
    rows = [row("a", "one", elbo=-1.0, elbo_se=0.1)]
    theirs = [Published("a", "elbo", value, "m", "v", "s") for value in (-1.3, -1.1, -0.7)]
    assert [one.place for one in against_published(rows, theirs)] == ["ahead", "level", "behind"]
    assert {one.here for one in against_published(rows, theirs)} == {"-1.00 +- 0.10"}
    exact = against_published([row("a", "one", elbo=-108.65128, elbo_se=0.0)], theirs[:1])
    assert [one.here for one in exact] == ["-108.6513 +- 0.0000"]


def test_peers_that_are_installed_take_part():
    found = installed_peers({"plane": targets.benchmark("gmm9")})
    packages = {"blackjax NUTS": "blackjax", "blackjax SMC": "blackjax", "numpyro NUTS": "numpyro", "emcee": "emcee"}
    assert set(found) == {name for name, package in packages.items() if importlib.util.find_spec(package)}
    if "emcee" in found:  # two walkers a dimension at least
        assert found["emcee"][1] == {"chains": 64}
        assert installed_peers({"wide": targets.Gaussian(torch.zeros(61))})["emcee"][1] == {"chains": 122}
    assert installed_peers({"spins": targets.Ising((4, 4), coupling=0.3)}) == {}
