"""Divergent steps on the page of a comparison."""

import math

import numpy as np
import pytest
import torch

import targets
from samplers import HMC, Draws, compare
from samplers.compare.report.diverged import SHOWN, diverged
from samplers.compare.report.figures import pictures
from samplers.compare.report.scene import scene_of
from samplers.compare.report.style import looks
from samplers.draws import DivergentSteps

TARGET = targets.Posterior(
    lambda tau, a: -tau.square() - a.square(), {"tau": targets.Positive(), "a": targets.Real()}, dtype=torch.float64
)
NAN = math.nan


def of(start, end, **fields):
    start, end = (torch.tensor(value, dtype=torch.float64) for value in (start, end))
    which = torch.arange(len(start))
    return Draws(
        torch.zeros(1, len(start), 2, dtype=torch.float64),
        target=TARGET,
        divergent_steps=DivergentSteps(which * 0, which, start, end, **fields),
    )


def test_steps_are_in_the_scalars_of_the_page_and_lines_end_within_the_axes():
    draws = of([[0.0, 1.0], [1.0, 2.0], [0.5, 0.0]], [[1.0, 0.5], [9.0, 0.0], [NAN, 1.0]], more=4)
    found = diverged(draws, {"tau", "a"})
    assert found.more == 4
    np.testing.assert_allclose(found.start["tau"], np.exp([0.0, 1.0, 0.5]))
    np.testing.assert_allclose(found.end["a"], [0.5, 0.0, NAN])  # of an end that is not finite nothing is known
    lines = found.lines(["tau", "a"], (0.0, 5.0), (-1.0, 3.0))
    np.testing.assert_allclose(lines, [[[1.0, 1.0], [math.e, 0.5]]])  # exp(9) is beyond, NaN nowhere


def test_of_many_some_are_shown_and_the_others_counted():
    n = 3 * SHOWN
    found = diverged(of([[0.0, float(i)] for i in range(n)], [[0.0, 0.0]] * n, more=5), {"a"})
    assert (len(found.start["a"]), found.more) == (SHOWN, 2 * SHOWN + 5)
    assert (found.start["a"][0], found.start["a"][-1]) == (0, n - 1)


def test_runs_without_any_or_without_a_target_show_none():
    draws = of([[0.0, 1.0]], [[1.0, 0.5]])
    draws.__dict__["constrained_points"] = TARGET.constrain(draws.x)
    draws.target = None
    assert diverged(draws, {"a"}).start == {}
    draws.divergent_steps = None
    assert diverged(draws, {"a"}) is None


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_the_pair_plot_draws_them_and_says_how_many(monkeypatch):
    def wall(x):
        return torch.where(x[..., 0] < 1, -0.5 * x.square().sum(-1), NAN)

    kernel = (
        HMC(1.0, "identity", steps=3),
        {"chains": 4, "draws": 50, "warmup": 0, "init": torch.zeros(4, 3).double()},
    )
    result = compare({"wall": targets.LogDensity(wall, 3, dtype=torch.float64)}, {"HMC": kernel}, seeds=1)
    count = int(result.table["divergences"][0])
    assert 0 < count < SHOWN
    scene = scene_of(result, "wall", looks(["HMC"]))
    one = next(picture for picture in pictures(scene) if picture.kind == "pair")
    assert "Orange crosses: where divergent steps began" in one.caption
    assert one.caption.endswith(f"(HMC {count}).")
    steps = scene.runs[0].diverged
    object.__setattr__(scene.runs[0], "diverged", None)
    without = next(picture for picture in pictures(scene) if picture.kind == "pair")
    assert "crosses" not in without.caption
    assert without.png != one.png
    assert steps.start["x[0]"].max() < 1 <= np.nanmax(steps.end["x[0]"])
