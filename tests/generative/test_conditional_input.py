"""Conditions that no model can be fitted with, and what a model of x given y says without one."""

import math

import conditional_cases as cases
import pytest
import torch
from conditional_cases import CONDITIONS, F64, SMALL, TINY, gaussian_rows, tiny

import targets
from samplers import ScoreDiffusion
from samplers.generative import FittedDiffusion, Training
from samplers.registry import draw_from_file


def bad(value=math.nan, constant=False):
    y = gaussian_rows(50)[1].clone()
    y[4, 1] = value
    if constant:
        y[:, 1] = 7.0
    return y


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (torch.randn(49, 2), ValueError, "given: got 49 rows of conditions, expected 50, those of samples"),
        (torch.randn(50), ValueError, r"given: got shape \(50,\), expected \(n, c\)"),
        (torch.randn(50, 0), ValueError, r"given: got shape \(50, 0\), expected \(n, c\)"),
        (bad(), ValueError, "given: got nan in row 4, column 1, expected finite numbers"),
        (bad(math.inf), ValueError, "given: got inf in row 4, column 1, expected finite numbers"),
        (bad(1.0, constant=True), ValueError, "given: column 1 is 7 in every row, expected values that differ"),
        (torch.ones(50, 2, dtype=torch.int64), TypeError, "given: got dtype torch.int64, expected a floating-point"),
        ([[1.0]] * 50, TypeError, "given: got list, expected a tensor"),
    ],
)
def test_bad_conditions(given, error, message):
    with pytest.raises(error, match=message):
        ScoreDiffusion(**TINY).fit(gaussian_rows(50)[0], given=given, iterations=0, progress=False)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (torch.zeros(3), ValueError, r"y: got shape \(3,\), expected \(2,\), as of the conditions fitted"),
        (torch.zeros(1, 2), ValueError, r"y: got shape \(1, 2\), expected \(2,\), as of the conditions fitted"),
        (torch.tensor([0.0, math.nan]), ValueError, "y: got nan at 1, expected finite numbers"),
        (torch.tensor([0, 1]), TypeError, "y: got dtype torch.int64, expected a floating-point dtype; labels"),
        ([0.0, 1.0], TypeError, "y: got list, expected a tensor"),
        (None, ValueError, "y: got None of a model that was always given a condition"),
    ],
)
def test_bad_condition(y, error, message):
    fitted = tiny(0, training=Training(batch=32))
    x = torch.zeros(5, 2, dtype=F64)
    with pytest.raises(error, match=message):
        fitted.given(y)
    if not (isinstance(y, torch.Tensor) and y.ndim == 2):
        with pytest.raises(error, match=message.split(", as of")[0]):
            fitted.conditional_score(x, 0.5, y)


def test_rows_of_conditions_are_counted():
    fitted = tiny(0)
    with pytest.raises(ValueError, match=r"y: got shape \(4, 2\), expected \(2,\), or \(5, 2\)"):
        fitted.log_prob(torch.zeros(5, 2, dtype=F64), given=torch.zeros(4, 2))


def test_what_needs_a_condition_and_what_takes_none(tmp_path):
    fitted = tiny(0)
    for name in ("sample", "weigh", "denoiser", "as_target", "score", "flow", "estimate_log_prob"):
        with pytest.raises(
            AttributeError, match=rf"{name}: this model was fitted with conditions, expected given\(y\)"
        ):
            getattr(fitted, name)
    with pytest.raises(AttributeError, match="ConditionalDiffusion has no 'drawing'"):
        fitted.drawing  # noqa: B018
    one = fitted.given(CONDITIONS[0])
    with pytest.raises(ValueError, match="given: this model has its condition"):
        one.given(CONDITIONS[1])
    for model in (one, fitted.given(None)):
        with pytest.raises(ValueError, match="path: a model given a condition is not written by itself"):
            model.save(tmp_path / "one.pt")
    x, y = gaussian_rows(50)
    plain = ScoreDiffusion(network=SMALL).fit(x, iterations=0, progress=False)
    assert isinstance(plain, FittedDiffusion)
    with pytest.raises(ValueError, match="given: this model takes no condition, expected one of ScoreDiffusion.fit"):
        plain.given(y[0])
    with pytest.raises(ValueError, match="training: got drop_condition=0.2 without given="):
        ScoreDiffusion(**TINY).fit(x, iterations=0, progress=False)
    energy = targets.LogDensity(lambda x: -x.square().sum(-1), dim=2, name="energy")
    for target in (cases.ALL, energy):
        with pytest.raises(ValueError, match=f"given: got conditions beside the target {target.name}"):
            ScoreDiffusion(**TINY).fit(target, given=y, iterations=0, progress=False)
    with pytest.raises(ValueError, match="path: .* holds a conditional model"):
        draw_from_file(fitted.save(tmp_path / "model.pt"), cases.ALL)
    with pytest.raises(ValueError, match=r"drop_condition: got 1.0, expected a number in \[0, 1\)"):
        Training(drop_condition=1.0)
