import math

import numpy as np
import pytest
import torch

import targets
from targets.arguments import (
    as_double,
    brief,
    check_choice,
    check_dtype,
    check_integer,
    cholesky,
    did_you_mean,
    floating_dtype,
    normalised_weights,
    not_negative,
    positive,
    probability,
    shown,
)


def test_numbers_and_lists_take_the_default_dtype_and_tensors_keep_theirs():
    assert floating_dtype([1, 2]) == floating_dtype(torch.ones(2, dtype=torch.int64)) == torch.get_default_dtype()
    assert floating_dtype(torch.ones(2, dtype=torch.float64)) == torch.float64
    assert float(as_double(0.1, "a")) == 0.1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_values_are_refused_by_name(bad):
    with pytest.raises(ValueError, match="means: holds non-finite values"):
        as_double([0.0, bad], "means")


def test_weights_are_normalised_and_equal_by_default():
    assert normalised_weights([1, 3], 2).tolist() == [0.25, 0.75]
    assert normalised_weights(None, 4).tolist() == [0.25] * 4


def test_a_word_that_is_no_choice_is_refused_with_the_choices():
    check_choice("b", "letter", ("a", "b", None))
    check_choice(None, "letter", ("a", "b", None))
    with pytest.raises(ValueError, match=r"^letter: got 'c', expected 'a', 'b' or None$"):
        check_choice("c", "letter", ("a", "b", None))


def test_an_unknown_name_is_told_the_nearest_ones():
    assert did_you_mean("hcm", ["hmc", "mala"]) == "; did you mean hmc?"
    assert did_you_mean("funnel", ["funnel2", "funnel10", "ising"]) == "; did you mean funnel2, funnel10?"
    assert did_you_mean("xyz", ["hmc", "mala"]) == "."


NO_NUMBERS = [True, np.bool_(True), "1", None, [1.0], torch.ones(2), 1j, math.inf, math.nan, -1.0]


@pytest.mark.parametrize("bad", [*NO_NUMBERS, 0], ids=repr)
def test_a_number_that_must_be_positive_is_checked(bad):
    with pytest.raises(ValueError, match=r"std: got .*, expected a positive finite number"):
        positive(bad, "std")


@pytest.mark.parametrize("bad", NO_NUMBERS, ids=repr)
def test_a_number_that_must_not_be_negative_is_checked(bad):
    with pytest.raises(ValueError, match=r"tau: got .*, expected a finite number of at least 0"):
        not_negative(bad, "tau")


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2), np.asarray(2.0), torch.tensor(2.0)], ids=repr)
def test_numbers_of_any_make_become_floats(value):
    for check in (positive, not_negative):
        number = check(value, "std")
        assert type(number) is float
        assert number == 2
    assert not_negative(0, "tau") == 0


@pytest.mark.parametrize("bad", [True, np.bool_(True), 3.0, np.float64(3), "3", None, torch.tensor(3), 1], ids=repr)
def test_an_integer_is_checked_with_its_least_value(bad):
    with pytest.raises(ValueError, match=r"n: got .*, expected an integer of at least 2"):
        check_integer(bad, "n", 2)


def test_an_integer_is_at_least_one_unless_said_otherwise():
    assert check_integer(1, "n") == 1
    assert check_integer(0, "n", 0) == 0
    with pytest.raises(ValueError, match="n: got 0, expected an integer of at least 1"):
        check_integer(0, "n")


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.ones(2, 3), r"c: got shape \(2, 3\), expected square matrices"),
        (torch.ones(3), r"c: got shape \(3,\), expected square matrices"),
        (torch.tensor([[1.0, 0.5], [0.2, 1.0]]), "c: got a matrix that is not symmetric"),
        (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "c: got a matrix that is not positive definite"),
        (torch.zeros(2, 2), "c: got a matrix that is not positive definite"),
    ],
)
def test_a_matrix_that_is_no_covariance_is_refused_with_the_reason(matrix, message):
    with pytest.raises(ValueError, match=message):
        cholesky(matrix, "c")


def test_rounding_in_entries_close_to_zero_is_no_asymmetry():
    matrix = torch.tensor([[1.0, 1e-17], [-2e-17, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(cholesky(matrix, "c"), torch.eye(2, dtype=torch.float64))


PLANE = torch.zeros(2, 2)
ERRORS = {
    "weights of another length": (
        lambda: targets.GaussianMixture(PLANE, scales=1.0, weights=[1.0, 1.0, 1.0]),
        r"weights: got shape \(3,\), expected \(2,\), one per component",
    ),
    "a zero weight": (
        lambda: targets.GaussianMixture(PLANE, scales=1.0, weights=[1.0, 0.0]),
        r"weights: got \[1, 0\], expected positive numbers",
    ),
    "student weights of another length": (
        lambda: targets.StudentMixture(PLANE, dof=3, weights=[1.0]),
        r"weights: got shape \(1,\), expected \(2,\)",
    ),
    "means that are no matrix": (
        lambda: targets.GaussianMixture(torch.zeros(2), scales=1.0),
        r"means: got shape \(2,\), expected \(components, dim\)",
    ),
    "student means that are no matrix": (
        lambda: targets.StudentMixture(torch.zeros(2), dof=3),
        r"means: got shape \(2,\), expected \(components, dim\)",
    ),
    "neither scales nor covariances": (
        lambda: targets.GaussianMixture(PLANE),
        "scales, covariances: expected exactly one of the two",
    ),
    "both scales and covariances": (
        lambda: targets.GaussianMixture(PLANE, scales=1.0, covariances=torch.eye(2)),
        "scales, covariances: expected exactly one of the two",
    ),
    "scales of another shape": (
        lambda: targets.GaussianMixture(PLANE, scales=[1.0, 1.0, 1.0]),
        r"scales: got shape \(3,\), expected \(\), \(2,\) or \(2, 2\)",
    ),
    "a negative scale": (
        lambda: targets.GaussianMixture(PLANE, scales=[1.0, -1.0]),
        "scales: got values that are not positive",
    ),
    "covariances of another shape": (
        lambda: targets.GaussianMixture(PLANE, covariances=torch.ones(2, 3)),
        r"covariances: got shape \(2, 3\), expected \(2, 2\) or \(2, 2, 2\)",
    ),
    "an asymmetric mixture covariance": (
        lambda: targets.GaussianMixture(PLANE, covariances=[[1.0, 0.5], [0.0, 1.0]]),
        "covariances: got a matrix that is not symmetric",
    ),
    "an indefinite mixture covariance": (
        lambda: targets.GaussianMixture(PLANE, covariances=[[1.0, 2.0], [2.0, 1.0]]),
        "covariances: got a matrix that is not positive definite",
    ),
    "a mean that is no vector": (lambda: targets.Gaussian(0.0), r"mean: got shape \(\), expected \(dim,\)"),
    "a non-finite mean": (lambda: targets.Gaussian([math.nan]), "mean: holds non-finite values"),
    "scale and covariance": (
        lambda: targets.Gaussian([0.0], 1.0, covariance=[[1.0]]),
        "scale and covariance: got both, expected one of them",
    ),
    "a covariance of another size": (
        lambda: targets.Gaussian([0.0, 0.0], covariance=torch.eye(3)),
        r"covariance: got shape \(3, 3\), expected \(2, 2\) like the mean",
    ),
    "an asymmetric covariance": (
        lambda: targets.Gaussian([0.0, 0.0], covariance=[[1.0, 0.5], [0.0, 1.0]]),
        "covariance: got a matrix that is not symmetric",
    ),
    "an indefinite covariance": (
        lambda: targets.Gaussian([0.0, 0.0], covariance=[[1.0, 2.0], [2.0, 1.0]]),
        "covariance: got a matrix that is not positive definite",
    ),
    "a scale of zero": (lambda: targets.Gaussian([0.0], 0.0), "scale: got values that are not positive"),
    "a scale of another length": (lambda: targets.Gaussian([0.0, 0.0, 0.0], [1.0, 2.0]), r"scale: got shape \(2,\)"),
    "a funnel without a mouth": (lambda: targets.Funnel(1), "dim: got 1, expected at least 2"),
    "a funnel without spread": (lambda: targets.Funnel(10, 0.0), "std: got 0.0, expected a positive finite number"),
    "no degrees of freedom": (lambda: targets.StudentMixture(PLANE, dof=0), "dof: got 0, expected a positive"),
    "no blocks": (lambda: targets.ManyWell(0), "blocks: got 0, expected at least 1"),
    "more wells than coordinates": (
        lambda: targets.SquareWell(3, 2),
        "wells: got 3, expected between 1 and dim = 2",
    ),
    "a well without depth": (lambda: targets.SquareWell(1, delta=-1.0), "delta: got -1.0, expected a positive"),
    "a ring without radius": (lambda: targets.Rings([1.0, 0.0]), "radii: got 0.0, expected a positive"),
    "a ring without width": (lambda: targets.NearestRing(sharpness=0.0), "sharpness: got 0.0, expected a positive"),
    "no factors": (lambda: targets.Product(), "factors: got none, expected at least one target"),
    "factors of two dtypes": (
        lambda: targets.Product(targets.Funnel(2), targets.Funnel(2, dtype=torch.float64)),
        "factors: got dtypes and devices .*float32.*float64.*, expected them to agree",
    ),
    "labels that are not 0 and 1": (
        lambda: targets.LogisticRegression(torch.ones(2, 1), [-1.0, 1.0]),
        r"labels: got values \[-1.0, 1.0\], expected 0 and 1",
    ),
    "one label too many": (
        lambda: targets.LogisticRegression(torch.ones(2, 1), [0, 1, 1]),
        r"features, labels: got shapes \(2, 1\) and \(3,\), expected \(points, dim\) and \(points,\)",
    ),
    "a non-finite feature": (
        lambda: targets.LogisticRegression([[math.inf], [0.0]], [0, 1]),
        "features: holds non-finite values",
    ),
    "prior scales of another length": (
        lambda: targets.LogisticRegression(torch.ones(2, 3), [0, 1], prior_scale=[1.0, 2.0]),
        r"scale: got shape \(2,\)",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_bad_argument_gets_one_error_that_names_it(case):
    make, message = ERRORS[case]
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "target",
    [
        targets.Gaussian(torch.zeros(3)),
        targets.Funnel(3),
        targets.StudentMixture(torch.zeros(2, 3), dof=3.0),
        targets.LogExponential(3),
    ],
    ids=repr,
)
def test_points_of_another_dimension_are_not_accepted(target):
    with pytest.raises((ValueError, RuntimeError, IndexError)):
        target.log_prob(torch.zeros(5, 1))


@pytest.mark.parametrize("kind", [int, np.int64, np.int32, np.uint8])
def test_numpy_integers_are_integers_and_come_back_as_plain_ones(kind):
    number = check_integer(kind(3), "n", 2)
    assert type(number) is int
    assert number == 3
    assert type(targets.LogDensity(len, kind(3)).dim) is int
    assert targets.Real(kind(2), kind(3)).shape == (2, 3)
    assert all(type(n) is int for n in targets.Simplex(kind(4)).shape)


def test_long_values_are_named_by_shape_or_beginning():
    many = torch.arange(500.0)
    assert shown(many) == "a tensor of shape (500,)"
    assert shown(many.numpy()) == "an array of shape (500,)"
    assert shown(torch.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert shown("adam") == "'adam'"
    assert shown(many.tolist()).startswith("[0.0, 1.0, 2.0")
    assert shown(many.tolist()).endswith("... (500 values)")
    assert "\n" not in shown(torch.zeros(2, 2))
    assert brief(torch.zeros(3, 4)) == "[0, 0, 0, 0, 0, 0, 0, 0, ...]"


@pytest.mark.parametrize(
    "call",
    [
        lambda big: positive(big, "n"),
        lambda big: not_negative(big, "n"),
        lambda big: probability(big, "n"),
        lambda big: check_integer(big, "n"),
        lambda big: normalised_weights(-big, 500),
        lambda big: check_dtype(big),
        lambda big: check_choice(big.tolist(), "n", ("a", "b")),
    ],
)
def test_no_message_prints_a_long_tensor(call):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(torch.arange(500.0) - 1)
    assert len(str(caught.value)) < 400
