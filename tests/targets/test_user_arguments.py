"""What is said of the functions of a posterior: their arguments beside the parameters, and how they were called."""

import numpy as np
import pytest
import torch
from torch.distributions import HalfNormal, Normal

import targets
from targets import Positive, Real

UNIT = Normal(0.0, 1.0)
KINDS = {"mu": Real(prior=UNIT), "sigma_y": Positive(prior=HalfNormal(1.0)), "theta": Real(4, prior=UNIT, dims="g")}


def right(mu, sigma_y, theta):
    return -(mu**2) / sigma_y - theta.square().sum(-1)


def posterior(function=right, **more):
    return targets.Posterior(log_likelihood=function, parameters=KINDS, **more)


ERRORS = {
    "an argument that is no parameter": (
        lambda: posterior(lambda mu, sigma, theta: -mu),
        TypeError,
        "log_likelihood: takes 'sigma', there is no such parameter; did you mean sigma_y.* Parameters: mu, sigma_y, th",
    ),
    "of derived": (
        lambda: posterior(derived=lambda thetas: {"a": thetas}),
        TypeError,
        "derived: takes 'thetas', there is no such parameter; did you mean theta",
    ),
    "by position": (
        lambda: posterior(lambda mu, /, **others: -mu),
        TypeError,
        "log_likelihood: takes 'mu' by position alone; it is called by name",
    ),
    "a parameter that nothing takes": (
        lambda: posterior(lambda mu, theta: -mu),
        ValueError,
        "log_likelihood: does not take the parameter 'sigma_y', nor does a prior; expected an argument of this name",
    ),
    "a parameter that a joint density does not take": (
        lambda: targets.Posterior(lambda mu: -(mu**2), {"mu": Real(), "nu": Real()}, derived=lambda nu: {"a": nu}),
        ValueError,
        "log_joint: does not take the parameter 'nu'; expected an argument of this name",
    ),
    "labels of no axis": (
        lambda: posterior(coords={"gr": list("abcd")}),
        ValueError,
        "coords: got labels for 'gr', which is the name of no axis; did you mean g",
    ),
    "dims of nothing": (
        lambda: posterior(derived=lambda theta: {"effect": theta}, dims={"efect": "g"}),
        ValueError,
        "dims: got 'efect', which is not derived, observed or predicted; did you mean effect. Parameters have",
    ),
    "dims of a parameter": (
        lambda: posterior(dims={"theta": "g"}),
        ValueError,
        "dims: got 'theta', which is not derived",
    ),
    "too many dims": (
        lambda: posterior(derived=lambda theta: {"effect": theta}, dims={"effect": ("g", "h")}),
        ValueError,
        r"dims\['effect'\]: got \('g', 'h'\) for the shape \(4,\) of one draw, expected one name per axis",
    ),
    "a list of dims": (lambda: posterior(dims=["g"]), TypeError, "dims: got list, expected a dict such as"),
    "dims of another length": (
        lambda: posterior(derived=lambda theta: {"effect": theta[:, :3]}, dims={"effect": "g"}),
        ValueError,
        "dims: 'g' has 4 entries in 'theta' and 3 in 'effect'",
    ),
    "too few labels": (
        lambda: posterior(
            derived=lambda theta: {"effect": theta[:, :3]}, dims={"effect": "h"}, coords={"h": ["a", "b"]}
        ),
        ValueError,
        r"coords\['h'\]: got 2 labels, expected 3: 'effect' has the shape \(3,\)",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_does_not_fit_is_told_when_the_posterior_is_made(case):
    make, error, message = ERRORS[case]
    with pytest.raises(error, match=message):
        make()


def test_a_function_may_take_any_of_the_parameters_and_have_arguments_of_its_own():
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for function in (
        right,
        lambda **values: right(**values),
        lambda theta, mu, sigma_y, k=1.0: right(mu, sigma_y, theta),
    ):
        torch.testing.assert_close(posterior(function).log_prob(x), posterior().log_prob(x))
    single = posterior(lambda mu, sigma_y: -mu / sigma_y, batched=False, derived=lambda theta: {"sum": theta.sum()})
    torch.testing.assert_close(single.log_likelihood(x), -x[:, 0] / x[:, 1].exp())
    torch.testing.assert_close(single.constrain(x)["sum"], x[:, 2:].sum(-1))


def test_a_parameter_that_derived_alone_takes_is_one():
    assert posterior(lambda mu, theta: -mu, derived=lambda sigma_y: {"v": sigma_y**2}).dim == 6


def broken(**values):
    raise KeyError("mine")


CALLS = {
    "log_likelihood": lambda: posterior(broken),
    "log_joint": lambda: targets.Posterior(broken, {"mu": Real(), "sigma_y": Positive(), "theta": Real(4)}),
    "derived": lambda: posterior(derived=broken),
}


@pytest.mark.parametrize("argument", CALLS)
def test_any_error_of_a_function_carries_what_it_was_called_with(argument):
    with pytest.raises(KeyError, match="mine") as caught:
        CALLS[argument]()
    assert caught.value.__notes__ == [
        f"{argument} was called with three points at once, mu (3,), sigma_y (3,), theta (3, 4) in torch.float64: the "
        "first axis is the batch; a function that is written for one point takes batched=False"
    ]


def test_of_a_function_of_one_point_too():
    with pytest.raises(KeyError) as caught:
        posterior(broken, batched=False)
    assert caught.value.__notes__[0].endswith("it is given one point at a time, values without a batch axis")


def test_numpy_in_a_derived_quantity_is_told():
    with pytest.raises(
        TypeError, match="derived: .*write it in torch operations, or compute it from draws.constrained"
    ):
        posterior(derived=lambda theta: {"a": np.linalg.norm(theta, axis=7)})


def made_of(mu):
    return {"twice": 2 * mu}


@pytest.mark.parametrize("which", ["log_likelihood", "predictive", "pointwise"])
def test_a_derived_quantity_is_no_argument_of_the_density_and_the_way_out_is_named(which):
    function = {
        "log_likelihood": lambda twice: -twice.square(),
        "predictive": lambda twice: {"y": Normal(twice[:, None], 1.0)},
        "pointwise": lambda twice: -twice[:, None].square(),
    }[which]
    more = {} if which == "log_likelihood" else {"observed": {"y": [1.0, 2.0]}}
    with pytest.raises(TypeError, match=rf"{which}: takes 'twice', which is a derived quantity: .*draws.predict\(fn\)"):
        targets.Posterior(parameters={"mu": KINDS["mu"]}, derived=made_of, **{which: function}, **more)


@pytest.mark.parametrize("word", ["rng", "key", "generator"])
def test_a_source_of_randomness_is_no_argument(word):
    function = {"rng": lambda mu, rng: mu, "key": lambda mu, key: mu, "generator": lambda mu, generator: mu}[word]
    with pytest.raises(
        TypeError, match=f"takes '{word}', and functions of parameters get no source of randomness: draw"
    ):
        targets.Posterior(log_likelihood=function, parameters={"mu": KINDS["mu"]})


Y_ARRAY = np.array([1.0, 2.0, 3.0])
LABELS = np.array(["a", "b", "a"])
OF_OTHERS = {
    "an array beside a tensor": ("log_likelihood", lambda mu: -((mu - Y_ARRAY) ** 2).sum()),
    "a tensor beside an array": ("log_likelihood", lambda mu: -((Y_ARRAY - mu) ** 2).sum()),
    "an array in log_prob": ("log_likelihood", lambda mu: Normal(mu, 1.0).log_prob(Y_ARRAY).sum()),
    "a ufunc": ("log_likelihood", lambda mu: -np.exp(mu)),
    "strings": ("log_likelihood", lambda mu: mu[torch.as_tensor(LABELS.tolist())]),
    "predictions": ("predictive", lambda mu: {"y": Normal(mu * Y_ARRAY, 1.0)}),
    "terms": ("pointwise", lambda mu: Normal(mu, 1.0).log_prob(Y_ARRAY)),
}


@pytest.mark.parametrize("case", OF_OTHERS)
def test_arrays_and_strings_in_a_function_of_one_point_are_told_to_be_converted_outside(case):
    which, function = OF_OTHERS[case]
    more = {"observed": {"y": Y_ARRAY}} if which == "predictive" else {}
    said = rf"{which}: .*it is called with torch tensors: convert data by torch.as_tensor outside of it"
    with pytest.raises(TypeError, match=said) as caught:
        targets.Posterior(parameters={"mu": KINDS["mu"]}, batched=False, **{which: function}, **more)
    assert str(caught.value).count("it is called with") == 1
    assert len([one for one in caught.value.__notes__ if one.startswith(f"{which} was called with")]) == 1
    if which == "log_likelihood":
        assert "targets.from_numpy" in str(caught.value)
