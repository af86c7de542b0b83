"""The benchmark of what samplers say of log Z: its exact answers, its verdicts on runs, its tables and its file."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Generator

import targets

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import _calibration_densities as densities
import _calibration_posteriors as posteriors
import _calibration_runs as runs
import _calibration_tables as tables
import _calibration_verdicts as verdicts
import calibration
from _calibration_targets import CASES, Scaled

OWN = ("student", "light_and_heavy", "laplace", "flat_top", "rosenbrock", "regression", "gaussian_process", "dirichlet")
OWN += ("rates", "shares")
EASIER = {"student": (10, 3.0)}  # arguments where there are no defaults


def own(name):
    return getattr(densities if hasattr(densities, name) else posteriors, name)(*EASIER.get(name, ()))


def bridge(target, n, generator):
    """log Z by bridge sampling (Meng and Wong 1996) between exact draws and a Gaussian fitted to other exact draws."""
    x = target.sample(n, generator=generator)
    seen = target.sample(n, generator=generator)
    q = targets.Gaussian(seen.mean(0), covariance=torch.cov(seen.mT).reshape(target.dim, target.dim))
    y = q.sample(n, generator=generator)
    at_x, at_y = (target.log_prob(points) - q.log_prob(points) for points in (x, y))
    log_z = torch.zeros((), dtype=torch.float64)
    for _ in range(200):
        upper = torch.logsumexp(-torch.nn.functional.softplus(log_z - at_y), 0)
        lower = torch.logsumexp(-torch.nn.functional.softplus(at_x - log_z), 0)
        log_z, before = log_z + upper - lower, log_z
        if abs(float(log_z - before)) < 1e-9:
            break
    return float(log_z)


@pytest.mark.parametrize("name", OWN)
def test_log_z_of_own_densities_agrees_with_bridge_sampling_from_exact_draws(name, generator):
    target, batches = own(name), 24
    found = torch.tensor([bridge(target, 4000, generator) for _ in range(batches)], dtype=torch.float64)
    assert abs(float(found.mean()) - target.log_z) < 5 * float(found.std()) / math.sqrt(batches)
    assert float(found.std()) / math.sqrt(batches) < 0.05  # else it would say little


@pytest.mark.parametrize("name", OWN)
def test_moments_of_own_densities_agree_with_exact_draws(name, generator):
    target = own(name)
    if "moments" not in target.known:
        pytest.skip("states none")
    n = 40_000
    for key, values in target.constrain(target.sample(n, generator=generator)).items():
        exact = target.moments[key]
        assert bool(((values.mean(0) - exact.mean).abs() < 5 * exact.sd / math.sqrt(n)).all())
        if name not in ("student", "light_and_heavy"):  # whose fourth moments are infinite
            square = (values - exact.mean).square() / exact.sd**2
            assert bool(((square.mean(0) - 1).abs() < 5 * square.std(0) / math.sqrt(n)).all())


def test_log_z_of_the_shell_agrees_with_integration_over_a_plane_times_the_sphere():
    target = densities.shell(2, 3.0, 0.2)
    grid = torch.linspace(-5.5, 5.5, 2201, dtype=torch.float64)
    points = torch.cartesian_prod(grid, grid)
    found = torch.logsumexp(target.log_prob(points), 0) + 2 * math.log(float(grid[1] - grid[0]))
    assert abs(float(found) - target.log_z) < 1e-8


def test_log_z_of_the_shell_in_ten_dimensions_agrees_with_importance_sampling(generator):
    target, n = densities.shell(), 200_000
    direction = torch.randn(n, 10, generator=generator, dtype=torch.float64)
    radius = 5.0 + 0.1 * torch.randn(n, generator=generator, dtype=torch.float64)
    x = radius[:, None] * direction / direction.norm(dim=-1, keepdim=True)
    surface = math.log(2) + 5 * math.log(math.pi) - math.lgamma(5)
    log_q = -0.5 * ((radius - 5) / 0.1).square() - math.log(0.1 * math.sqrt(2 * math.pi)) - surface - 9 * radius.log()
    weights = (target.log_prob(x) - log_q - target.log_z).exp()
    assert abs(float(weights.mean()) - 1) < 5 * float(weights.std()) / math.sqrt(n)


def test_log_z_and_moments_of_the_cauchy_location_agree_with_a_grid():
    target = posteriors.cauchy_location()
    at = torch.linspace(-80, 80, 400_001, dtype=torch.float64)
    weight = target.log_prob(at[:, None]).exp() * float(at[1] - at[0])
    z = float(weight.sum())
    mean = float((weight * at).sum()) / z
    assert abs(math.log(z) - target.log_z) < 1e-8
    assert abs(mean - float(target.moments["x"].mean)) < 1e-7
    assert abs(math.sqrt(float((weight * (at - mean).square()).sum()) / z) - float(target.moments["x"].sd)) < 1e-7


# Targets


def test_all_targets_are_blind_and_state_an_exact_log_z_that_is_not_zero():
    assert sum(case.narrow is None for case in CASES.values()) >= 30
    assert len({case.log_scale for case in CASES.values()}) == len(CASES)
    for case in CASES.values():
        target = case.build()
        blind = Scaled(target, case.log_scale)
        assert not blind.known, case.name
        assert not blind.has_likelihood
        assert math.isfinite(target.log_z)
        assert abs(target.log_z + case.log_scale) > 0.5, case.name
        assert getattr(target, "accuracy", 0.0) <= 1e-4


def test_a_scaled_density_is_the_density_times_a_constant(generator):
    target = targets.benchmark("gmm9", dtype=torch.float64)
    x = target.sample(5, generator=generator)
    blind = Scaled(target, 7.5)
    value, score = blind.log_prob_and_score(x)
    torch.testing.assert_close(value, target.log_prob(x) + 7.5)
    torch.testing.assert_close(blind.log_prob(x), value)
    torch.testing.assert_close(score, target.score(x))


# Verdicts


def row(difference=0.0, se=0.02, k=0.2, warnings=(), **more):
    return {
        "target": "gmm9",
        "sampler": "SMC",
        "seed": 0,
        "error": "",
        "log_z_true": -3.0,
        "log_z": -3.0 + difference,
        "log_z_se": se,
        "pareto_k": k,
        "warnings": list(warnings),
        "evaluations": 1000,
        "seconds": 2.0,
        "certificate_lower": None,
        "certificate_upper": None,
    } | more


@pytest.mark.parametrize(
    ("difference", "se", "warned", "missed", "silent"),
    [
        (0.09, 0.001, False, False, False),  # within 0.1, though 90 stated errors
        (-0.11, 0.001, False, True, True),
        (-0.11, 0.001, True, True, False),
        (0.4, 0.1, False, False, False),  # within 5 stated errors
        (0.6, 0.1, False, True, True),
        (0.05, math.nan, False, False, False),
        (5.0, math.nan, False, True, True),  # an error that is not stated excuses nothing
        (5.0, math.inf, False, True, True),
        (math.nan, 0.1, False, True, True),
    ],
)
def test_misses(difference, se, warned, missed, silent):
    made = row(difference, se, warnings=["modes"] if warned else [])
    assert verdicts.missed(made) is missed
    assert verdicts.silent_miss(made) is silent


@pytest.mark.parametrize(
    ("difference", "k", "warned", "false"),
    [
        (0.05, 0.2, True, True),
        (0.05, None, True, True),  # replicas have no weights
        (0.05, 0.2, False, False),
        (0.05, 0.8, True, False),  # the weights do have a tail
        (0.05, math.inf, True, False),
        (0.07, 0.2, True, False),  # more than three stated errors
        (math.nan, 0.2, True, False),
    ],
)
def test_false_alarms(difference, k, warned, false):
    assert verdicts.false_alarm(row(difference, 0.02, k, ["modes"] if warned else [])) is false


def test_misses_of_means_and_modes():
    made = row(mean_error_se=6.0, mean_error_sd=-0.2, mode_error_se=6.0, mode_error=0.05)
    assert verdicts.mean_missed(made)
    assert not verdicts.mean_missed(made | {"mean_error_sd": 0.05})
    assert not verdicts.mean_missed(made | {"mean_error_se": 4.0})
    assert not verdicts.modes_missed(made)
    assert verdicts.modes_missed(made | {"mode_error": 0.3})
    assert not verdicts.warned_of_draws(made)
    assert verdicts.warned_of_draws(made | {"summary_warnings": ["R-hat"]})


def test_the_cause_of_a_miss_is_what_the_run_shows():
    modes = {"mode_weights": [0.99, 0.01], "mode_weights_true": [0.7, 0.3]}
    assert verdicts.cause(row(-0.3, **modes)) == "1 of 2 modes lost, of mass 0.300"
    assert verdicts.cause(row(-0.3, k=0.9)) == "tail of the weights, k-hat 0.90"
    assert verdicts.cause(row(-0.3)) == "too low: mass not reached"
    assert verdicts.cause(row(0.3)) == "too high"


# Tables


def test_summary_of_log_z():
    rows = [
        row(0.02),
        row(-0.06, certificate_lower=-3.1, certificate_upper=-2.9),
        row(-0.5, certificate_lower=-2.9, certificate_upper=-2.8),
        row(0.03, warnings=["modes were lost"]),
        row() | {"error": "ValueError: no", "log_z": None},
    ]
    found = tables.summary(rows)
    assert found["runs"] == 4
    assert found["failed"] == 1
    assert found["mean abs. error"] == pytest.approx(0.1525)
    assert found["worst"] == pytest.approx(0.5)
    assert found["rms z"] == pytest.approx(math.sqrt((1 + 9 + 625 + 2.25) / 4))
    assert found["rms z, not warned"] == pytest.approx(math.sqrt((1 + 9 + 625) / 3))
    assert found["within 2"] == 0.5
    assert (found["warned"], found["missed"], found["silent misses"], found["false alarms"]) == (1, 1, 1, 1)
    assert found["% false"] == 25
    assert found["interval holds log Z"] == 0.5
    assert found["evaluations"] == "1 k"


def test_tables_list_misses_alarms_narrow_modes_and_failures():
    narrow = next(name for name, case in CASES.items() if case.narrow)
    modes = {"mode_weights": [1.0, 0.0], "mode_weights_true": [0.5, 0.5], "mode_error": 0.5, "mode_error_se": 9.0}
    found = {"mode_weights": [0.5, 0.5], "mode_weights_true": [0.5, 0.5], "mode_error": 0.0, "mode_error_se": 0.0}
    rows = [
        row(-0.69, **modes),
        row(-0.69, seed=1, warnings=["a mode | was lost"], **modes),
        row(0.0, seed=2, warnings=["no reason"]),
        row(-0.69, target=narrow, **modes),
        row(0.0, target=narrow, seed=1, **found),
        row(sampler="HMC", log_z=None, log_z_se=None, mean_error_se=1.0, mean_error_sd=0.01),
        row(sampler="AIS") | {"error": "RuntimeError: x", "log_z": None},
    ]
    made = tables.tables(rows)
    assert [one["seed"] for one in made["Silent misses of log Z"]] == [0]
    assert made["Silent misses of log Z"][0]["cause"] == "1 of 2 modes lost, of mass 0.500"
    assert made["Warned misses of log Z"][0]["warnings"] == "a mode / was lost"
    assert [one["seed"] for one in made["False alarms of log Z"]] == [2]
    assert [one["sampler"] for one in made["log Z by sampler"]] == ["SMC"]  # AIS has none to state
    assert made["log Z by sampler"][0]["runs"] == 3  # without the narrow ones
    assert [one["seed"] for one in made["Silent misses of mode weights"]] == [0]
    (hidden,) = made["Narrow modes"]
    assert (hidden["runs"], hidden["seeds that found it"], hidden["silently"]) == (2, "1", 1)
    assert made["Failed"] == [{"target": "gmm9", "sampler": "AIS", "seed": 0, "error": "RuntimeError: x"}]
    assert "HMC" in {one["sampler"] for one in made["Means and mode weights of draws, by sampler"]}


# Runs


def test_the_whole_benchmark_has_a_thousand_runs_with_log_z_on_targets_and_samplers_that_exist():
    only = calibration.ONLY
    assert set(only) <= set(runs.SAMPLERS)
    assert {name for names in only.values() for name in names} <= set(CASES)
    made = calibration.jobs(list(CASES), list(runs.SAMPLERS), [0, 1, 2, 3, 4], only)
    assert len(set(made)) == len(made)
    assert sum(sampler in runs.WITH_LOG_Z and CASES[name].narrow is None for name, sampler, _ in made) >= 1000
    assert {sampler for _, sampler, _ in made} == set(runs.SAMPLERS)
    assert calibration.jobs(["shell, d = 10"], ["DDS"], [3], {}) == [("shell, d = 10", "DDS", 3)]


@pytest.mark.parametrize("sampler", ["SMC", "HMC"])
def test_a_run_holds_what_is_tabulated(sampler):
    found = json.loads(json.dumps(runs.run(("gmm9", sampler, 0), quick=True)))
    assert found["error"] == ""
    assert found["mean_error_se"] >= 0
    assert len(found["mode_weights"]) == 9
    assert (found["log_z"] is None) is (sampler == "HMC")
    assert found["evaluations"] > 0
    tables.tables([found])


def test_a_run_that_raises_is_a_row(monkeypatch):
    def broken(target, seed, quick):
        raise RuntimeError("no step was taken")

    monkeypatch.setitem(runs.SAMPLERS, "SMC", broken)
    assert runs.run(("gmm9", "SMC", 0))["error"] == "RuntimeError: no step was taken"


def test_rows_are_appended_an_unfinished_line_is_run_again_and_long_runs_are_ended(tmp_path, monkeypatch):
    import time

    from samplers.draws import Draws, LogZ

    def sleeping(target, seed, quick):
        time.sleep(30 * (seed == 1))
        x = targets.benchmark("gmm9").sample(100, generator=Generator().manual_seed(0))[None]
        return Draws(x, log_weights=torch.zeros(1, 100), log_z=LogZ(1.0, 0.1))

    path = tmp_path / "deep/rows.jsonl"
    monkeypatch.setitem(runs.SAMPLERS, "SMC", sleeping)
    jobs = [("gmm9", "SMC", 0), ("gmm9", "SMC", 1)]
    runs.run_all(jobs[:1], path, workers=1, timeout=60)
    whole = path.read_text()
    path.write_text(whole + whole[: len(whole) // 2])
    runs.run_all(jobs, path, workers=2, timeout=2)
    first, second = runs.read(path)
    assert json.dumps(first) == whole.strip()
    assert second["error"] == "longer than 2 s"
    assert second["seed"] == 1
