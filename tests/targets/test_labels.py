"""What a run needs at its end, names and labels, is checked when the target is made."""

import datetime

import numpy as np
import pytest
import torch
from torch.distributions import Normal

import samplers
import targets

F64 = torch.float64
UNIT = Normal(0.0, 1.0)
DAYS = [datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)]


def posterior(parameters, **more):
    def log_likelihood(**values):
        return sum(0.0 * value.reshape(len(value), -1).sum(-1) for value in values.values())

    return targets.Posterior(log_likelihood=log_likelihood, parameters=parameters, **more)


def real(*shape, dims=None):
    return targets.Real(*shape, prior=UNIT, dims=dims)


REFUSED = {
    "too many labels": (
        lambda: posterior({"a": real(3, dims="g")}, coords={"g": "uvwx"[:4].split("|")}),
        r"coords\['g'\]: got 1 labels, expected 3",
    ),
    "one text for labels": (
        lambda: posterior({"a": real(3, dims="g")}, coords={"g": "uvw"}),
        r"coords\['g'\]: got 'uvw', expected a sequence",
    ),
    "coords that are no dict": (
        lambda: posterior({"a": real(3, dims="g")}, coords=["u", "v", "w"]),
        "coords: got list, expected a dict",
    ),
    "labels of none": (
        lambda: posterior({"a": real(2, dims="g")}, coords={"g": [None, None]}),
        "expected labels of one kind",
    ),
    "a label that is no number": (
        lambda: posterior({"a": real(2, dims="g")}, coords={"g": [1.0, float("nan")]}),
        "got a label twice or none, nan",
    ),
    "two lengths": (
        lambda: posterior({"a": real(3, dims="g"), "b": real(2, 2, dims=("h", "g"))}),
        "dims: 'g' has 3 entries in 'a' and 2 in 'b'",
    ),
    "one dim twice": (
        lambda: posterior({"a": real(2, 2, dims=("g", "g"))}),
        "expected a name of its own for each axis",
    ),
    "a dim that is another parameter": (
        lambda: posterior({"a": real(2, dims="b"), "b": real()}),
        "'b' for 'a', which is the name of a variable",
    ),
    "a dim that is a derived quantity": (
        lambda: posterior({"a": real(2, dims="k")}, derived=lambda a: {"k": a.sum(-1)}),
        "'k' for 'a', which is the name of a variable",
    ),
    "the name of a default dim": (
        lambda: posterior({"a": real(2), "a_dim_0": real()}),
        "'a_dim_0' for 'a', which is the name of a variable",
    ),
    "dim named draw": (
        lambda: posterior({"a": real(2, dims="draw")}),
        "dims of 'a': got the name 'draw', which ArviZ keeps",
    ),
    "dim with a slash": (lambda: posterior({"a": real(2, dims="g/h")}), "expected one without '/'"),
    "an empty name": (lambda: posterior({"": real()}), "got the name '', expected one without"),
    "a name that is no text": (lambda: posterior({1: real()}), r"parameters\[1\]: got the name 1, expected a string"),
    "parameter named chain": (lambda: targets.Prior({"chain": real()}), "got the name 'chain', which ArviZ keeps"),
    "derived raises": (lambda: posterior({"a": real()}, derived=lambda a: {"k": a[:, None] @ a}), "."),
    "derived is no function": (
        lambda: posterior({"a": real()}, derived={"k": 1}),
        "derived: got dict, expected a function",
    ),
    "derived named as a parameter": (
        lambda: posterior({"a": real()}, derived=lambda a: {"a": 2 * a}),
        "derived: got the name 'a', which is a parameter's",
    ),
    "derived by number": (
        lambda: posterior({"a": real()}, derived=lambda a: {0: a}),
        "derived: got the name 0, expected a string",
    ),
    "derived array": (
        lambda: posterior({"a": real()}, derived=lambda a: {"k": a.numpy()}),
        r"derived\['k'\]: got ndarray, expected a tensor",
    ),
    "derived with another batch": (
        lambda: posterior({"a": real(4)}, derived=lambda a: {"k": a.sum(0)}),
        r"derived\['k'\]: got shape \(4,\) for three points",
    ),
    "derived complex": (
        lambda: posterior({"a": real()}, derived=lambda a: {"k": a * 1j}),
        r"derived\['k'\]: got torch.complex128",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_not_be_summarised_or_saved_is_refused_at_once(case):
    make, message = REFUSED[case]
    with pytest.raises((TypeError, ValueError, RuntimeError), match=message):
        make()


LABELS = {
    "dates": DAYS,
    "moments": [datetime.datetime(2020, 1, 1, 12), datetime.datetime(2020, 1, 2)],
    "NumPy dates": np.array(["2020-01", "2020-02"], dtype="datetime64[M]"),
    "texts": ("u", "v"),
    "NumPy texts": np.array(["u", "v"]),
    "years": np.array([1990, 2000]),
    "levels": [0.5, 1.5],
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_labels_reach_the_end(labels, tmp_path):
    target = posterior(
        {"a": real(2, dims="g")}, coords={"g": labels}, derived=lambda a: {"total": a.sum(-1), "odd": a[:, 0] > 0}
    )
    x = torch.randn(4, 500, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    draws = samplers.Draws(x, target=target)
    assert len(draws.summary()) == 4
    draws.save(tmp_path / "a.nc")
    read = samplers.Draws.load(tmp_path / "a.nc", target)
    torch.testing.assert_close(read.constrained["total"], x.sum(-1))


def test_shapes_of_derived_values_are_known_without_calling_the_function():
    calls = []

    def derived(a):
        calls.append(1)
        return {"k": a[:, None].expand(-1, 3)}

    target = posterior({"a": real()}, derived=derived)
    before = len(calls)
    assert target.variables["k"].shape == (3,)
    assert len(calls) == before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_refused_before_anything_runs(dtype):
    kinds = {"a": real(2), "p": targets.Interval(0, 1, prior=torch.distributions.Beta(2.0, 3.0))}
    with pytest.raises(TypeError, match="dtype: got torch.b?float16, expected torch.float64 or torch.float32"):
        posterior(kinds, dtype=dtype)
    with pytest.raises(TypeError, match="dtype: got torch.b?float16"):
        posterior(kinds).to(dtype=dtype)
