"""The command, and the comparison behind it."""

import math
import subprocess
import sys

import pandas
import pytest
import torch

import samplers
import targets
from samplers import Draws, compare
from samplers.cli import main
from samplers.compare.measures import between_modes, mode_weights
from samplers.compare.table import COLUMNS, format_table

OWN = """
import torch, targets
target = targets.LogDensity(lambda x: -0.5 * x.square().sum(-1), dim=3)
def made():
    return targets.Gaussian(torch.zeros(2))
number = 3
"""
SHORT = ["--chains", "4", "--draws", "20", "--warmup", "20"]


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path / "own.py"


def test_list_names_targets_and_samplers(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in (*targets.benchmarks(), "hmc", "mala", "ula", "underdamped", "random-walk"):
        assert f" {name} " in shown


@pytest.mark.parametrize("name", ["target", "made"])
def test_sample_writes_a_users_target(own, name, tmp_path, capsys):
    out = tmp_path / "run.nc"
    assert (
        main(["sample", f"{own}:{name}", "--sampler", "mala", "--set", "step_size=0.2", "--out", str(out), *SHORT]) == 0
    )
    draws = Draws.load(out)
    assert draws.x.shape[:2] == (4, 20)
    assert draws.attrs["hyperparameters"]["step_size"] == 0.2
    printed = capsys.readouterr()
    assert "r_hat" in printed.out
    assert "warning: the effective sample size" in printed.err


@pytest.mark.slow
def test_compare_writes_a_page_a_table_and_draws(tmp_path, capsys, own):
    out = tmp_path / "out"
    command = ["compare", "gmm9", f"{own}:target", "--samplers", "ula,hmc", "--out", str(out), *SHORT]
    assert main(command) == 0
    assert {"index.html", "table.csv", "figures", "cells", "grid.json", "targets"} == {p.name for p in out.iterdir()}
    assert {path.relative_to(out / "cells").as_posix() for path in out.rglob("*.nc")} == {
        f"{target}/{sampler}/0.nc" for target in ("gmm9", "target") for sampler in ("ula", "hmc")
    }
    printed = capsys.readouterr().out
    assert "R-hat" in printed
    page = (out / "index.html").read_text()
    (out / "index.html").unlink()
    assert main(["report", str(out)]) == 0
    assert (out / "index.html").read_text() == page
    assert printed.partition("index.html")[0] == capsys.readouterr().out.partition("index.html")[0]


def test_a_reader_that_goes_away_ends_the_command_quietly():
    command = [sys.executable, "-c", "import sys; from samplers.cli import main; sys.exit(main(['list']))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("samplers.registry.descriptions", interrupted)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "unnorm: interrupted\n"


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_fit_writes_a_sampler_that_sample_draws_from(own, tmp_path, capsys):
    path, out = tmp_path / "dds.pt", tmp_path / "run.nc"
    command = ["fit", f"{own}:made", "--sampler", "dds", "--iterations", "2", "--set", "steps=2", "--seed", "3"]
    assert main([*command, "--out", str(path)]) == 0
    shown = capsys.readouterr().out
    for word in ("log Z", "ELBO", "exactly known: log Z 0.0000", "2 iterations", "scores", str(path)):
        assert word in shown
    fitted = samplers.load(path, targets.Gaussian(torch.zeros(2), name="made"))
    assert (fitted.method.steps, fitted.seed, fitted.iterations) == (2, 3, 2)
    assert (
        main(["sample", f"{own}:made", "--fitted", str(path), "--draws", "50", "--seed", "4", "--out", str(out)]) == 0
    )
    assert torch.equal(Draws.load(out).x, fitted.sample(draws=50, seed=4).x)
    assert main(["sample", "gmm9", "--fitted", str(path), "--out", str(out)]) == 2
    assert "target: got the name 'gmm9', expected 'made'" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
@pytest.mark.slow
def test_a_model_that_is_learned_from_a_teacher_is_fitted_and_drawn_from(own, tmp_path, capsys):
    path, out = tmp_path / "model.pt", tmp_path / "run.nc"
    command = ["fit", f"{own}:target", "--sampler", "score-diffusion", "--iterations", "2", "--out", str(path)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    for word in ("held-out loss", "2 iterations", "scores", str(path)):
        assert word in shown
    draw = ["sample", f"{own}:target", "--fitted", str(path), "--draws", "50", "--seed", "4", "--out", str(out)]
    assert main(draw) == 0
    assert "Log Z" in capsys.readouterr().out
    drawn = Draws.load(out)
    assert drawn.log_weights is not None
    assert drawn.x.shape[:2] == (1, 50)


NAME = "a-sampler-with-a-name-that-goes-on-and-on"


def wide_table():
    """Every column has something to say."""
    rows = [{"target": "own: a target with a long name", "sampler": f"{NAME}-{k}", "seed": k} for k in range(3)]
    for k, row in enumerate(rows):
        row |= {name: -12.34 / (k + 1) for name, column in COLUMNS.items() if "f" in column.form or "%" in column.form}
        row |= {name: 0.1234 for name in COLUMNS if name not in row and name not in ("truth", "error")}
        row |= {"truth": "exact", "error": "ValueError: fn: returned shape (3,)" if k == 2 else ""}
    return pandas.DataFrame(rows)


def test_the_table_fits_a_terminal_and_cuts_no_name():
    lines = format_table(wide_table()).splitlines()
    assert max(map(len, lines)) <= 120
    rule = [set(line) for line in lines].index({"-"})
    title = " ".join(" ".join(lines[:rule]).split())
    for word in ("R-hat", "ESS", "log Z", "s.e.", "error"):
        assert word in title
    rest = " ".join(lines[rule:])
    assert rest.count("ValueError") == 1
    assert "Not shown: " in rest
    assert "(`--columns all` of the command, `.table` in Python)" in rest
    start = next(line for line in lines if "target" in line).index("sampler")
    hung = "".join(line[start : start + 24].rstrip() for line in lines[rule + 1 :])  # long names go on below
    assert all(f"{NAME}-{k}" in hung for k in range(3))


def test_all_columns_are_one_line_a_row():
    title, rule, *rows = format_table(wide_table(), width=None).splitlines()
    assert len(rows) == 3
    assert all(column.title in title for column in COLUMNS.values())
    assert set(rule) == {"-"}
    assert "ValueError: fn: returned shape (3,)" in rows[2]


@pytest.mark.parametrize(
    ("arguments", "shown"), [([], "120"), (["--columns", "main"], "120"), (["--columns", "all"], "None")]
)
def test_columns_are_asked_for(arguments, shown, monkeypatch, capsys):
    class Stored:
        def report(self, folder):
            del folder

        def text(self, *, width=120):
            return f"width {width}"

        def __str__(self):
            return self.text()

    monkeypatch.setattr(samplers.Comparison, "load", lambda folder: Stored())
    assert main(["report", "folder", *arguments]) == 0
    assert f"width {shown}\n" in capsys.readouterr().out


def test_all_failed_is_exit_1(tmp_path):
    command = ["compare", "gmm9", "--samplers", "gibbs", "--out", str(tmp_path / "out"), *SHORT]
    assert main(command) == 1
    assert (tmp_path / "out" / "index.html").exists()


@pytest.mark.slow
def test_compare_keeps_to_a_budget(tmp_path, capsys):
    out = str(tmp_path / "out")
    command = ["compare", "gmm9", "--samplers", "mala", "--max-evaluations", "20000", "--chains", "8", "--out", out]
    assert main(command) == 0
    row = samplers.Comparison.load(out).rows[0]
    assert 16_000 <= row["evaluations"] <= 20_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "gmm99", "--out", "x.nc"], "no benchmark 'gmm99'; did you mean gmm9"),
        (["sample", "gmm9", "--sampler", "hcm", "--out", "x.nc"], "no sampler 'hcm'; did you mean hmc?"),
        (["sample", "gmm9", "--set", "step_size", "--out", "x.nc"], "--set: got 'step_size', expected key=value"),
        (["sample", "gmm9", "--set", "speed=1", "--out", "x.nc"], "--set: hmc does not take these settings"),
        (["sample", "gmm9", "--set", "step_size=0", "--out", "x.nc"], "step_size: got 0"),
        (["sample", "gmm9", "--out", "no/such/folder/x.nc"], "--out: the folder of no/such/folder/x.nc does not exist"),
        (["compare", "gmm9", "gmm9", "--out", "x"], "targets: two are named 'gmm9'"),
        (["compare", "--out", "x"], "targets: got none, expected benchmark names or FILE.py:NAME, or --suite NAME"),
        (["compare", "--suite", "quik", "--out", "x"], "suite: no suite 'quik'; did you mean quick?"),
        (
            ["compare", "gmm9", "--suite", "quick", "--draws", "3", "--out", "x"],
            "--suite: a suite has targets, samplers and options of its own; got gmm9, --draws too",
        ),
        (["compare", "gmm9", "--peers", "--out", "x"], "--peers: goes with --suite"),
        (
            ["compare", "gmm9", "--samplers", "ula,ula", "--out", "x"],
            "--samplers: got ula,ula, expected different names",
        ),
        (["report", "no/folder"], "folder: no/folder holds no finished comparison (grid.json is missing)"),
        (["sample", "gmm9", "--chains", "0", "--out", "x.nc"], "chains: got 0"),
        (["sample", "gmm9", "--sampler", "smc", "--chains", "4", "--out", "x.nc"], "--chains: smc does not take it"),
        (["sample", "gmm9", "--sampler", "svgd", "--thin", "2", "--out", "x.nc"], "--thin: svgd does not take it"),
        (
            ["fit", "gmm9", "--sampler", "hmc", "--out", "x.pt"],
            "--sampler: hmc is not trained before it draws, expected one",
        ),
        (["fit", "gmm9", "--iterations", "-1", "--out", "x.pt"], "iterations: got -1"),
        (["fit", "gmm9", "--set", "steps=1", "--out", "x.pt"], "steps: got 1"),
        (["fit", "gmm9", "--max-minutes", "0", "--out", "x.pt"], "max_minutes: got 0"),
        (["fit", "gmm9", "--out", "no/such/x.pt"], "--out: the folder of no/such/x.pt does not exist"),
        (["fit", "gmm9", "--out", "."], "--out: . is a folder, expected a file"),
        (["sample", "gmm9", "--fitted", "none.pt", "--out", "x.nc"], "--fitted: none.pt does not exist"),
        (["sample", "gmm9", "--fitted", "{own}", "--out", "x.nc"], "is not a file written by `unnorm fit`"),
        (
            ["sample", "gmm9", "--fitted", "x.pt", "--chains", "3", "--sampler", "dds", "--out", "x.nc"],
            "takes --draws, --seed and --device; got --chains, --sampler",
        ),
        (["sample", "none.py:target", "--out", "x.nc"], "none.py does not exist"),
        (["sample", "{own}:absent", "--out", "x.nc"], "defines no 'absent'"),
        (["sample", "{own}:number", "--out", "x.nc"], "is a int, expected a targets.Target"),
        (["sample", "{own}", "--out", "x.nc"], "with the name of a Target in that file"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, message, own, capsys):
    assert main([text.format(own=own) for text in arguments]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


def test_a_failed_cell_is_a_row():
    broken = targets.LogDensity(lambda x: x, 2, name="broken")
    good = targets.Gaussian(torch.zeros(2))
    result = compare({"bad": broken, "good": good}, {"mala": samplers.MALA()}, chains=4, draws=20, warmup=20)
    assert list(result.table["target"]) == ["bad", "good"]
    assert "ValueError: fn: returned shape" in result.table["error"][0]
    assert result.table["error"][1] == ""
    assert "ValueError" in str(result)


@pytest.mark.slow
def test_log_z_stands_in_the_table_where_a_sampler_gives_it():
    target = targets.Tempered(targets.Gaussian(torch.zeros(2, dtype=torch.float64)), 2.0)
    secret = targets.LogDensity(target.log_prob, 2, dtype=torch.float64)
    given = {"smc": samplers.SMC(base=targets.Gaussian(torch.zeros(2), 2.0)), "mala": samplers.MALA()}
    result = compare({"known": target, "secret": secret}, given, chains=4, draws=200, warmup=20)
    assert list(result.table["error"]) == [""] * 4
    rows = {(row["target"], row["sampler"]): row for _, row in result.table.iterrows()}
    for name in ("known", "secret"):
        own = result.draws[name, "smc", 0].log_z
        row = rows[name, "smc"]
        assert (row["log_z"], row["log_z_se"]) == (own.value, own.standard_error)
        assert abs(own.value - target.log_z) < 4 * own.standard_error
        assert rows[name, "mala"][["log_z", "log_z_se", "log_z_true"]].isna().all()
    assert rows["known", "smc"]["log_z_true"] == target.log_z
    assert math.isnan(rows["secret", "smc"]["log_z_true"])
    assert "log Z" in str(result)


@pytest.mark.slow
def test_samplers_that_disagree_are_named():
    target = targets.Gaussian(torch.zeros(2))
    given = {"good": samplers.HMC(), "also": samplers.SMC(), "wrong": Shifted()}
    result = compare({"plane": target}, given, seeds=2, chains=4, draws=400, warmup=100)
    found = result.agreements["plane"]
    assert not found.agree
    assert "wrong" in found.pair
    assert found.variable == "x[0]"
    assert found.pairs["good", "also"][0] < 1.02
    assert "its x[0] lies too high" in " ".join(result.verdicts["plane"].faults["wrong"])
    assert str(result.verdicts["plane"]) in str(result)


class Shifted:
    """Exact draws that are half a deviation off."""

    def sample(self, target, *, chains, draws, seed):
        x = target.sample(chains * draws, generator=torch.Generator().manual_seed(seed))
        x[:, 0] += 0.5
        cost = samplers.Cost(len(x), len(x), 1.0)
        return Draws(x.reshape(chains, draws, -1), target=target, cost=cost)


def test_one_sampler_alone_has_nobody_to_agree_with():
    result = compare({"plane": targets.Gaussian(torch.zeros(2))}, {"mala": samplers.MALA()}, chains=4, draws=20)
    assert result.agreements == {}


def test_a_handful_of_draws_has_no_r_hat():
    given = {"mala": samplers.MALA(), "smc": samplers.SMC()}
    result = compare({"plane": targets.Gaussian(torch.zeros(2))}, given, chains=4, draws=4, warmup=20)
    assert result.agreements == {}
    assert "mala" in str(result)


def test_chains_that_stay_in_their_modes_show_in_the_table():
    target = targets.benchmark("gmm9")
    init = {"nine": lambda n, g: 6 * torch.randn(n, 2, generator=g)}
    result = compare({"nine": target}, {"mala": samplers.MALA()}, init=init, chains=8, draws=100, warmup=50)
    row = result.table.iloc[0]
    assert row["mode_r_hat"] > 1.5
    assert row["mode_ess"] < 20
    assert "R-hat of modes" in result.text(width=None)
    assert "R-hat of" in str(result)  # and the rest below it


def test_a_lost_mode_is_the_worst():
    target = targets.benchmark("gmm9-unequal", dtype=torch.float64)
    x = target.sample(4000, generator=torch.Generator().manual_seed(1)).reshape(4, 1000, 2)
    share = mode_weights(Draws(x, target=target), target)
    error = (target.mode_weights * (1 - target.mode_weights) / 4000).sqrt()
    assert ((share - target.mode_weights).abs() < 5 * error).all()
    lost = x[(x[..., 0] > -2.5)][None]
    worst = between_modes(Draws(lost, target=target))
    assert worst["worst_mode"] < 0.001  # of the three modes that are lost, the heaviest
    assert worst["worst_mode_true"] == pytest.approx(3 / 45)
