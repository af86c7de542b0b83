"""The grid: processes of their own, failures as rows, results on disk, resuming, executors."""

import gc
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from compare_cases import Crash, Exact, Exit, Hang, Refuse

import samplers
import targets
from samplers import Draws, compare
from samplers.compare import apart, identity
from samplers.scouts.regions import INSIDE

TIMES = ["seconds", "ess_per_second"]


def plane():
    return targets.Gaussian(torch.zeros(2))


def test_each_way_to_fail_is_a_row():
    given = {"good": Exact(), "crash": Crash(), "exit": Exit(), "hang": Hang(), "refuse": Refuse(), "again": Exact()}
    result = compare({"plane": plane()}, given, timeout=3.0, distances=False)
    errors = dict(zip(result.table["sampler"], result.table["error"], strict=True))
    assert errors["good"] == errors["again"] == ""
    assert errors["crash"] == "the process was killed by SIGSEGV"
    assert errors["exit"] == "the process ended with exit code 3: a last word"
    assert errors["hang"] == "timed out after 3 s"
    assert errors["refuse"] == "ValueError: target: not for me"
    assert set(result.draws) == {("plane", "good", 0), ("plane", "again", 0)}
    assert "hang: the run failed (timed out after 3 s)" in str(result)


def test_functions_without_a_name_go_along():
    """A density and a sampler that no other process could import."""

    class Local:
        def sample(self, target, *, seed=0):
            x = torch.randn(4, 50, 3, generator=torch.Generator().manual_seed(seed))
            return Draws(x, target=target, cost=samplers.Cost(200, 200, 0.1))

    target = targets.LogDensity(lambda x: -0.5 * x.square().sum(-1), 3)
    result = compare({"own": target}, {"local": Local(), "mala": samplers.MALA()}, chains=4, draws=20, warmup=10)
    assert list(result.table["error"]) == ["", ""]


def test_what_cannot_be_sent_is_named():
    lock = threading.Lock()

    def density(x):
        with lock:
            return -0.5 * x.square().sum(-1)

    target = targets.LogDensity(density, 3)
    with pytest.raises(ValueError, match="own, mala: cannot be sent to another process .* without open files, locks"):
        compare({"own": target}, {"mala": samplers.MALA()})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"t": 3}, {"s": Exact()}), "targets: 't' is a int, expected a targets.Target"),
        ((plane(), {"s": Exact()}), "targets: got Gaussian, expected a dict by name such as {.funnel.: target}"),
        (([plane()], {"s": Exact()}), "targets: got list, expected a dict by name"),
        (({"t": plane()}, [Exact()]), "samplers: got list, expected a dict by name such as {.hmc.: samplers.HMC"),
        (({}, {"s": Exact()}), "targets: got none"),
        (({1: plane()}, {"s": Exact()}), "targets: got the name 1, expected a text"),
        (({"t": plane()}, {"": Exact()}), "samplers: got the name '', expected a text"),
        (({"t": None}, {}), "targets: 't' is a NoneType"),
        (({"t": plane()}, {}), "samplers: got none"),
        (({"t": plane()}, {"s": samplers.HMC}), "samplers: 's' is the class HMC, expected an object with a method"),
        (({"t": plane()}, {"s": 3}), "samplers: 's' is int"),
        (({"t": plane()}, {"reference": Exact()}), "samplers: 'reference' is the name of the long reference runs"),
    ],
)
def test_bad_grids(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        compare(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds: got 0"),
        ({"seeds": [1, 1]}, "seeds: got \\[1, 1\\], expected different seeds"),
        ({"workers": 0}, "workers: got 0"),
        ({"timeout": 0.0}, "timeout: got 0"),
        ({"max_evaluations": 0}, "max_evaluations: got 0"),
        ({"init": {"other": None}}, "init: got \\['other'\\], expected names among the targets"),
        ({"witnesses": {"other": None}}, "witnesses: got \\['other'\\], expected names among the targets"),
        ({"witnesses": {"t": torch.zeros(3, 5)}}, "witnesses: got shape \\(3, 5\\) for 't', expected \\(n, 2\\)"),
        ({"witnesses": {"t": torch.zeros(2)}}, "witnesses: got shape \\(2,\\) for 't', expected \\(n, 2\\)"),
        ({"witnesses": {"t": torch.zeros(0, 2)}}, "witnesses: got shape \\(0, 2\\)"),
        ({"witnesses": {"t": [[0.0, 0.0], [math.nan, 0.0]]}}, "witnesses: got point 1 for 't' that is not finite"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        compare({"t": plane()}, {"s": Exact()}, **options)


def test_witnesses_are_points_of_a_density():
    spins = targets.Ising((3, 3), coupling=0.3)
    with pytest.raises(ValueError, match=r"witnesses: 't' is discrete, expected a density in R\^9"):
        compare({"t": spins}, {"s": Exact()}, witnesses={"t": torch.ones(1, 9)})
    half = targets.LogDensity(lambda x: torch.where(x[:, 0] > 0, -x[:, 0], -torch.inf), 1)
    with pytest.raises(ValueError, match="witnesses: the density of 't' is not finite at any of the 1 points"):
        compare({"t": half}, {"s": Exact()}, witnesses={"t": torch.tensor([[-1.0]])})


RIDGE, NARROW = 0.764, 0.236


def ridge_and_narrow_mode():
    """A wide mode at -2.5, and a narrow one at 2.5 with 23.6 % of the mass, in 8 dimensions, of which nothing is known
    but the density.
    """
    means, scales = torch.zeros(2, 8, dtype=torch.float64), torch.ones(2, 8, dtype=torch.float64)
    means[:, 0], scales[1] = torch.tensor([-2.5, 2.5]), 0.3
    mixture = targets.GaussianMixture(means, scales=scales, weights=torch.tensor([RIDGE, NARROW], dtype=torch.float64))

    class Blind(targets.Target):
        def __init__(self):
            super().__init__(8, name="ridge and narrow mode", dtype=torch.float64)

        def log_prob(self, x):
            return mixture.log_prob(x)

        def log_prob_and_score(self, x):
            return mixture.log_prob_and_score(x)

    class Chosen:
        """Independent draws of both modes or of the ridge alone, with the log Z that goes with them, or without."""

        def __init__(self, whole, stated):
            self.whole, self.stated = whole, stated

        def sample(self, target, *, seed=0):
            g = torch.Generator().manual_seed(seed)
            x = mixture.sample(4000, generator=g)
            if not self.whole:
                x = means[0] + torch.randn(4000, 8, generator=g, dtype=torch.float64)
            log_z = samplers.LogZ(0.0 if self.whole else math.log(RIDGE), 0.002) if self.stated else None
            cost, attrs = samplers.Cost(4000, 0, 0.01), {"kind": "independent draws"}
            return Draws(x[None], log_z=log_z, target=target, cost=cost, attrs=attrs)

    return Blind(), Chosen


def one_witness():
    """Near the narrow mode, in which nothing else is known to be."""
    return torch.tensor([[2.4, 0.2, *[0.0] * 6]], dtype=torch.float64)


def from_the_ridge(n, generator):
    x = torch.randn(n, 8, generator=generator, dtype=torch.float64)
    x[:, 0] -= 2.5
    return x


@pytest.mark.slow
def test_a_witness_finds_what_a_chain_lacks(tmp_path):
    target, chosen = ridge_and_narrow_mode()
    given = {
        "HMC": samplers.HMC(),
        "ridge": chosen(False, False),
        "stated": chosen(False, True),
        "whole": chosen(True, False),
        "whole and stated": chosen(True, True),
    }
    options = {"init": {"it": from_the_ridge}, "distances": False, "chains": 16, "draws": 400, "warmup": 200}
    result = compare({"it": target}, given, witnesses={"it": one_witness()}, folder=tmp_path, **options)
    assert (result.table["error"] == "").all()
    found = result.examined["it"]
    assert set(found.missed) == {(name, 0) for name in ("HMC", "ridge", "stated")}
    assert found.untold == {}
    for missed in found.missed.values():
        assert missed.ratio == pytest.approx(INSIDE * NARROW / RIDGE, rel=0.05)
        assert missed.at[0] == pytest.approx(2.5, abs=0.01)
    said = result.verdicts["it"]
    for name in ("HMC", "ridge", "stated"):
        assert any("mass is missed" in text or "where a witness lies" in text for text in said.faults[name])
    assert said.faults["whole"] == said.faults["whole and stated"] == []
    again = samplers.compare.Comparison.load(tmp_path)
    assert str(again.verdicts["it"]) == str(said)
    # other witnesses, or none, leave the runs as they are
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").rglob("*.*")}
    draws = samplers.Draws.load(tmp_path / "cells" / "it" / "whole" / "0.nc")
    for witnesses in ({"it": draws}, None):
        result = compare({"it": target}, given, witnesses=witnesses, folder=tmp_path, **options)
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").rglob("*.*")} == before
        assert set(result.examined) == set(witnesses or {})
    assert not any("witness lies" in text for said in result.verdicts["it"].faults.values() for text in said)


@pytest.mark.slow
def test_witnesses_that_nobody_lacks_are_said_to_be_so():
    target = targets.LogDensity(lambda x: -0.5 * x.square().sum(-1), 2, dtype=torch.float64)
    given = {"mala": samplers.MALA(), "few": (samplers.MALA(), {"chains": 2, "draws": 10})}
    options = {"chains": 16, "draws": 300, "warmup": 200, "distances": False}
    result = compare({"it": target}, given, witnesses={"it": torch.zeros(1, 2)}, **options)
    assert result.examined["it"].missed == {}
    assert set(result.examined["it"].untold) == {("few", 0)}
    assert "what it lacks around the witnesses cannot be told: " in result.verdicts["it"].cautions["few"][-1]
    result = compare({"it": target}, {"mala": samplers.MALA()}, witnesses={"it": torch.zeros(1, 2)}, **options)
    assert "no run lacks what was found around the 1 witness" in result.verdicts["it"].remarks


@pytest.mark.slow
def test_every_sampler_that_takes_starts_is_given_them():
    def starts(n, generator):
        raise RuntimeError("asked for starts")

    taking = {
        "MALA": samplers.MALA(), "HMC": samplers.HMC(), "tempering": samplers.ParallelTempering(temperatures=3),
        "Langevin": samplers.AnnealedLangevin(), "SVGD": samplers.SVGD(), "walk-jump": samplers.WalkJump(sigma=1.0),
        "joint": samplers.JointMultimeasurement(sigma=1.0, m=2),
        "sequential": samplers.SequentialMultimeasurement(sigma=1.0, m=2), "SLIPS": samplers.SLIPS(),
        "Gibbs": samplers.DiffusiveGibbs(sigma=1.0),
    }  # fmt: skip
    options = {"chains": 8, "draws": 20, "warmup": 10, "distances": False}
    result = compare({"t": plane()}, {**taking, "SMC": samplers.SMC()}, init={"t": starts}, **options)
    errors = dict(zip(result.table["sampler"], result.table["error"], strict=True))
    assert {name: error for name, error in errors.items() if "asked for starts" not in error} == {"SMC": ""}


@pytest.mark.slow
def test_rows_name_the_pilot_that_their_run_started_from():
    target = targets.LogDensity(lambda x: -0.5 * x.square().sum(-1), 2, dtype=torch.float64)
    base = targets.Gaussian(torch.zeros(2, dtype=torch.float64), 2.0)
    piloted = {
        "SMC": samplers.SMC(), "AIS": samplers.AIS(), "tempering": samplers.ParallelTempering(temperatures=[0, 0.5, 1]),
        "DDS": (samplers.DDS(steps=4), {"iterations": 1}),
        "weighted": samplers.SequentialMultimeasurement(sigma=1.0, m=2, weighted=True),
    }  # fmt: skip
    others = {"MALA": samplers.MALA(), "given": samplers.SMC(base=base), "prior": samplers.DDS(steps=4, prior=base)}
    others["prior"] = (others["prior"], {"iterations": 1})
    options = {"chains": 8, "draws": 100, "warmup": 20, "distances": False}
    result = compare({"t": target}, {**piloted, **others}, **options)
    assert (result.table["error"] == "").all(), list(result.table["error"])
    found = dict(zip(result.table["sampler"], result.table["pilot"], strict=True))
    assert found == {**dict.fromkeys(piloted, "annealing"), **dict.fromkeys(others, "")}


def test_options_of_one_sampler_are_its_own():
    result = compare({"t": plane()}, {"few": (Exact(), {"draws": 40}), "many": Exact()}, draws=60, distances=False)
    assert result.draws["t", "few", 0].x.shape[1] == 40
    assert result.draws.get("few") is None
    for key in ("few", ("t", "fe", 0)):
        with pytest.raises(KeyError) as caught:
            result.draws[key]
        assert caught.value.args == (
            f"draws: got {key!r}, expected (target, sampler, seed) of a run that gave draws: targets ('t',), "
            "samplers ('few', 'many'), seeds (0,)",
        )
    assert result.draws["t", "many", 0].x.shape[1] == 60


def test_an_option_that_nobody_takes_is_an_error_of_the_cell():
    result = compare({"t": plane()}, {"s": Exact()}, speed=3)
    assert "unexpected keyword argument 'speed'" in result.table["error"][0]


def test_results_are_found_again(tmp_path):
    given = {"exact": Exact(), "hmc": samplers.HMC()}
    first = compare({"t": plane()}, given, seeds=2, folder=tmp_path, chains=4, draws=30)
    (tmp_path / "cells/t/hmc/1.json").unlink()
    written = (tmp_path / "cells/t/exact/0.nc").stat().st_mtime_ns
    again = compare({"t": plane()}, given, seeds=2, folder=tmp_path, chains=4, draws=30)
    assert (tmp_path / "cells/t/exact/0.nc").stat().st_mtime_ns == written
    assert_same(first, again)
    read = samplers.Comparison.load(tmp_path)
    assert_same(first, read)
    assert str(first.verdicts["t"]) == str(read.verdicts["t"])
    assert torch.equal(first.draws["t", "hmc", 1].x, read.draws["t", "hmc", 1].x)


def assert_same(one, other):
    a, b = (result.table.drop(columns=TIMES, errors="ignore") for result in (one, other))
    assert a.to_json() == b.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": 31}, "draws was 30, here 31"),
        ({"samplers": {"exact": Exact(0.5)}}, "contents was "),
        ({"samplers": {"exact": samplers.HMC(step_size=0.5)}}, "sampler was <.*Exact object>, here HMC"),
        (
            {"targets": {"t": targets.Gaussian(torch.ones(2))}},
            r"density was -?[\d.]+ at the first point .* here it is -?[\d.]+\. Take",
        ),
        (
            {"targets": {"t": targets.Gaussian(torch.ones(3))}},
            "density was of dimension 2 with .*, here of dimension 3",
        ),
        ({"targets": {"t": targets.Gaussian(torch.zeros(2), 1.0 + 1e-4)}}, "density was "),
        ({"init": {"t": lambda n, g: torch.zeros(n, 2)}, "samplers": {"exact": samplers.HMC()}}, "init was None, here"),
        ({"max_evaluations": 10_000, "draws": None}, "budget was , here 10,000 evaluations"),
    ],
)
def test_a_folder_of_another_comparison(change, message, tmp_path):
    arguments = {"targets": {"t": plane()}, "samplers": {"exact": Exact()}, "draws": 30}
    compare(**arguments, folder=tmp_path, distances=False)
    changed = {name: value for name, value in (arguments | change).items() if value is not None}
    with pytest.raises(ValueError, match=f"folder: .* holds another run of exact on t with seed 0: .*{message}"):
        compare(**changed, folder=tmp_path, distances=False)


def test_fresh_runs_anew_what_differs_and_keeps_the_rest(tmp_path):
    arguments = {"samplers": {"exact": Exact()}, "draws": 30, "folder": tmp_path, "distances": False}
    compare({"t": plane(), "other": plane()}, **arguments)
    kept = (tmp_path / "cells/other/exact/0.nc").stat().st_mtime_ns
    moved = targets.Gaussian(torch.ones(2), name="moved")
    with pytest.raises(ValueError, match="Take another folder, or fresh=True to run anew what differs"):
        compare({"t": moved, "other": plane()}, **arguments)
    again = compare({"t": moved, "other": plane()}, **arguments, fresh=True)
    right = compare({"t": moved}, {"exact": Exact()}, draws=30, distances=False)
    assert torch.equal(again.draws["t", "exact", 0].x, right.draws["t", "exact", 0].x)
    assert (tmp_path / "cells/other/exact/0.nc").stat().st_mtime_ns == kept


def test_the_same_density_on_another_day():
    """Rounding is no other density; a different spread under a large constant is."""
    one = targets.LogDensity(lambda x: -1e5 - 0.5 * x.square().sum(-1), 2, dtype=torch.float64)
    same = targets.LogDensity(lambda x: -1e5 - 0.5 * (x * x).flip(-1).sum(-1), 2, dtype=torch.float64)
    other = targets.LogDensity(lambda x: -1e5 - 0.5001 * x.square().sum(-1), 2, dtype=torch.float64)
    assert identity.close(identity.made(one)["density"], identity.made(same)["density"])
    assert not identity.close(identity.made(one)["density"], identity.made(other)["density"])


def test_digests_tell_contents_apart():
    def start(scale):
        return lambda n, generator: scale * torch.ones(n)

    same = [
        (start(1.0), start(1.0)), (torch.ones(3), torch.ones(3)), ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (Exact(0.5), Exact(0.5)), (samplers.HMC(), samplers.HMC()), (plane(), plane()),
    ]  # fmt: skip
    for a, b in same:
        assert identity.digest(a) == identity.digest(b)
    other = [
        (start(1.0), start(2.0)), (torch.ones(2000), torch.ones(2000).index_fill(0, torch.tensor([1000]), 2.0)),
        (Exact(0.5), Exact(0.25)), (lambda x: x, lambda x: -x), (samplers.HMC(), samplers.HMC(step_size=0.1)),
        (plane(), targets.Gaussian(torch.ones(2))), (samplers.SMC(base=plane()), samplers.SMC(base=None)),
    ]  # fmt: skip
    for a, b in other:
        assert identity.digest(a) != identity.digest(b)


@pytest.mark.slow
def test_another_truth_is_measured_anew(tmp_path):
    target = targets.LogDensity(plane().log_prob, 2)
    given = {"mala": samplers.MALA()}
    options = {"folder": tmp_path, "chains": 8, "draws": 200, "warmup": 100}
    first = compare({"t": target}, given, distances=False, **options)
    assert first.table["mean_error_se"].isna().all()
    second = compare({"t": target}, given, reference=True, **options)
    assert second.table["mean_error_se"].notna().all()
    assert second.table["ksd"].notna().all()


def test_draws_outlive_the_result():
    draws = compare({"t": plane()}, {"s": Exact()}, distances=False).draws
    assert draws["t", "s", 0].x.shape == (8, 250, 2)
    folder = draws._store.folder
    assert folder.exists()
    del draws
    gc.collect()
    assert not folder.exists()


def test_names_stay_in_their_folder(tmp_path):
    names = ("..", ".hidden", "a/b", "Größe (2)")
    result = compare({name: plane() for name in names}, {"..": Exact()}, folder=tmp_path / "in", distances=False)
    assert list(result.table["error"]) == [""] * 4
    assert {path.name for path in tmp_path.iterdir()} == {"in"}
    assert len(list((tmp_path / "in" / "cells").rglob("*.nc"))) == 4
    assert_same(result, samplers.Comparison.load(tmp_path / "in"))


@pytest.mark.slow
def test_a_file_of_the_user_is_not_ours(tmp_path, monkeypatch):
    """A targets.py in the working directory, which cells see as their own."""
    (tmp_path / "targets.py").write_text("raise RuntimeError('not this one')")
    (tmp_path / "data.txt").write_text("3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNNORM_TEST_VALUE", "4")

    class Reads(Exact):
        def sample(self, target, *, seed=0):
            assert Path("data.txt").read_text() == "3"
            assert os.environ["UNNORM_TEST_VALUE"] == "4"
            return super().sample(target, seed=seed)

    apart.close_idle()
    assert compare({"t": plane()}, {"s": Reads()}, distances=False).table["error"][0] == ""


def test_what_a_cell_has_started_ends_with_it(tmp_path):
    class Starts(Exact):
        def sample(self, target, *, seed=0):
            child = subprocess.Popen(["sleep", "60"])
            (tmp_path / "pid").write_text(str(child.pid))
            if seed:
                time.sleep(60)
            return super().sample(target, seed=seed)

    for seed in (0, 1):
        began = time.monotonic()
        row = compare({"t": plane()}, {"s": Starts()}, seeds=[seed], timeout=5.0, distances=False).rows[0]
        assert row["error"] == ("timed out after 5 s" if seed else "")
        assert time.monotonic() - began < 40
        pid = int((tmp_path / "pid").read_text())
        assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]


def test_a_density_that_refuses_points_has_no_picture():
    def half(x):
        if bool((x[:, 0] < 0).any()):
            raise ValueError("x must be positive")
        return -x.sum(-1)

    class Inside:
        def sample(self, target, *, seed=0):
            x = torch.rand(4, 100, 2, generator=torch.Generator().manual_seed(seed))
            return Draws(x, target=target, cost=samplers.Cost(400, 0, 0.1))

    result = compare({"half": targets.LogDensity(half, 2)}, {"inside": Inside()}, distances=False)
    assert result.table["error"][0] == ""
    assert result.facts["half"].plane is None
    assert "there is no picture of the density: ValueError: x must be positive" in str(result)


def test_failures_are_kept_and_tried_again_when_asked(tmp_path):
    flag = tmp_path / "mended"

    class Sometimes(Exact):
        def sample(self, target, *, seed=0):
            if not flag.exists():
                raise RuntimeError("not yet")
            return super().sample(target, seed=seed)

    def run(**options):
        return compare({"t": plane()}, {"s": Sometimes()}, folder=tmp_path, distances=False, **options).table["error"][
            0
        ]

    assert run() == "RuntimeError: not yet"
    flag.touch()
    assert run() == "RuntimeError: not yet"
    assert run(retry=True) == ""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_any_executor_gives_the_same_table(kind):
    targets_, given = {"a": plane(), "b": targets.benchmark("gmm9")}, {"exact": Exact(), "mala": samplers.MALA()}
    alone = compare(targets_, given, seeds=2, chains=4, draws=40, warmup=10, distances=False)
    made = ThreadPoolExecutor(2) if kind == "threads" else ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    with made as executor:
        spread = compare(targets_, given, seeds=2, chains=4, draws=40, warmup=10, distances=False, executor=executor)
    assert_same(alone, spread)


def test_an_executor_that_breaks_is_a_row():
    class Broken(ThreadPoolExecutor):
        def submit(self, *args, **kwargs):
            return super().submit(lambda: 1 / 0)

    with Broken(1) as executor:
        result = compare({"t": plane()}, {"s": Exact()}, executor=executor)
    assert result.table["error"][0] == "ZeroDivisionError: division by zero"


@pytest.mark.slow
def test_two_dask_workers_give_the_table_of_one_process():
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    given = {"exact": Exact(), "mala": samplers.MALA()}
    arguments = {"seeds": 2, "chains": 4, "draws": 40, "warmup": 10, "distances": False}
    alone = compare({"a": plane()}, given, **arguments)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        spread = compare({"a": plane()}, given, executor=client.get_executor(), **arguments)
    assert_same(alone, spread)


GRID = """
import sys
sys.path.insert(0, {tests!r})
import torch
from compare_cases import Exact
import targets
from samplers import compare
compare({{f"t{{i}}": targets.Gaussian(torch.zeros(2)) for i in range({size})}},
        {{f"s{{i}}": Exact(i / 8) for i in range({size})}}, seeds={seeds}, draws=40,
        folder={folder!r}, workers={workers}, distances=False)
print("whole")
"""


def test_folders_of_the_same_names_are_not_ours(tmp_path, monkeypatch):
    """Before ours on the path of the process that asks, which has imported them long ago."""
    (tmp_path / "targets").mkdir()
    (tmp_path / "samplers.py").write_text("raise ImportError('not ours')")
    monkeypatch.syspath_prepend(tmp_path)
    found = compare({"t": plane()}, {"exact": Exact()}, workers=1, timeout=60, draws=40, distances=False)
    assert found.table["error"].tolist() == [""]


def killed_and_resumed(tmp_path, size, seeds, kills, workers=1):
    """A grid in a process that is killed when so many cells are done, and then finished; its table."""
    script = GRID.format(
        tests=str(Path(__file__).parents[1]), folder=str(tmp_path / "broken"), size=size, seeds=seeds, workers=workers
    )
    for after in kills:
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, start_new_session=True)
        until = time.monotonic() + 120
        while len(list((tmp_path / "broken").rglob("*.json"))) < after and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert process.poll() is None, "the grid was done before it was killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "whole\n"
    return samplers.Comparison.load(tmp_path / "broken")


def grid_in_one_go(size, seeds):
    return compare(
        {f"t{i}": plane() for i in range(size)},
        {f"s{i}": Exact(i / 8) for i in range(size)},
        seeds=seeds,
        draws=40,
        distances=False,
    )


@pytest.mark.slow
def test_a_grid_that_is_killed_goes_on(tmp_path):
    found = killed_and_resumed(tmp_path, 2, 2, [3])
    assert_same(found, grid_in_one_go(2, 2))
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.slow
def test_two_hundred_cells_killed_five_times(tmp_path):
    kills = torch.randint(5, 190, (5,), generator=torch.Generator().manual_seed(5)).sort().values.tolist()
    found = killed_and_resumed(tmp_path, 10, 2, kills, workers=2)
    assert len(found.table) == 200
    assert_same(found, grid_in_one_go(10, 2))


def test_ctrl_c_ends_the_cells_that_run(tmp_path):
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in a shell's background
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import torch, targets\nfrom compare_cases import Hang\nfrom samplers import compare\n"
        f"compare({{'t': targets.Gaussian(torch.zeros(2))}}, {{'s': Hang()}}, folder={str(tmp_path)!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    time.sleep(1.0)
    while not children(process.pid):
        time.sleep(0.05)
        assert process.poll() is None
    time.sleep(1.0)
    below = children(process.pid)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in below):
        assert time.monotonic() < until, "a process is left behind"
        time.sleep(0.05)
    assert not list(tmp_path.rglob("*.json"))


def children(pid):
    """All processes below one."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            child = int(stat.parent.name)
            found += [child, *children(child)]
    return found


@pytest.mark.slow
def test_a_server_that_dies_takes_one_cell_with_it(tmp_path):
    server = apart.Server(1)
    try:
        (tmp_path / apart.JOB).write_bytes(b"no pickle")
        assert server.run(tmp_path, 20.0) == "the process ended with exit code 1"
        assert "UnpicklingError" in (tmp_path / apart.OUTPUT).read_text()
        server._process.kill()
        server._process.wait()
        assert server.run(tmp_path, 20.0) == "the process ended with exit code 1"  # a new one
    finally:
        server.close()


@pytest.mark.slow
def test_the_reference_is_used_only_where_it_can_be_trusted(tmp_path):
    """Two modes far apart: the long run has an R-hat of its own, and stands for no truth."""

    def two(x):
        return torch.logsumexp(torch.stack([-0.5 * (x - m).square().sum(-1) for m in (-6.0, 6.0)]), 0)

    given = {"easy": targets.LogDensity(lambda x: -0.5 * x.square().sum(-1), 2), "hard": targets.LogDensity(two, 2)}
    start = {"hard": lambda n, g: 6 * torch.randn(n, 2, generator=g)}
    result = compare(
        given, {"mala": samplers.MALA()}, reference=True, init=start, folder=tmp_path, chains=8, draws=200, warmup=100
    )
    assert list(result.table["truth"]) == ["long HMC run", ""]
    assert result.table["mean_error_se"][0] < 4.5
    assert result.facts["easy"].source == "long HMC run"
    (note,) = result.facts["hard"].notes
    assert note.startswith("the reference run is not to be trusted (R-hat ")
    assert note in str(result)


def test_rows_say_what_their_run_has_warned_of(tmp_path):
    stuck = targets.LogDensity(lambda x: torch.where(x.abs().amax(-1) < 2, 0.0, -torch.inf), 2)
    result = compare({"box": stuck}, {"rw": samplers.RandomWalkMetropolis(step_size=1e3)}, chains=4, draws=20, warmup=0)
    assert any("never moved" in text for text in result.rows[0]["warnings"])


def test_what_is_asked_for_is_on_disk(tmp_path):
    compare({"t": plane()}, {"s": Exact()}, folder=tmp_path, draws=30, distances=False)
    saved = json.loads((tmp_path / "cells/t/s/0.json").read_text())
    assert saved["asked"]["draws"] == "30"
    assert saved["row"]["sampler"] == "s"
    with pytest.raises(FileNotFoundError, match="holds no finished comparison"):
        samplers.Comparison.load(tmp_path / "cells")
