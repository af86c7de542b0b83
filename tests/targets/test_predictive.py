"""Posteriors that speak of data: the likelihood of their laws, terms, draws, and what is refused."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Dirichlet,
    Gamma,
    HalfNormal,
    Independent,
    MixtureSameFamily,
    Multinomial,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

import targets

F64 = torch.float64
T = torch.linspace(-1, 1, 6, dtype=F64)
Y = torch.tensor([0.2, 1.4, -0.3, 2.2, 3.0, 2.1], dtype=F64)
PARAMETERS = {"a": targets.Real(prior=Normal(0.0, 2.0)), "s": targets.Positive(prior=HalfNormal(1.0))}


def predictive(a, s):
    return {"y": Normal(a[:, None] * T, s[:, None])}


def predictive_of_one(a, s):
    return {"y": Normal(a * T, s)}


def log_likelihood(a, s):
    return Normal(a[:, None] * T, s[:, None]).log_prob(Y).sum(-1)


def model(**changed):
    given = {"predictive": predictive, "observed": {"y": Y}} | changed
    return targets.Posterior(**{"parameters": PARAMETERS} | given)


def points(*batch, dim=2, seed=0):
    return torch.randn(*batch, dim, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("fn", [predictive, predictive_of_one])
def test_the_likelihood_is_that_of_the_laws_at_the_data(fn):
    x = points(4, 3)
    plain = targets.Posterior(log_likelihood=log_likelihood, parameters=PARAMETERS)
    found = model(predictive=fn, batched=fn is predictive)
    torch.testing.assert_close(found.log_prob(x), plain.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.score(x), plain.score(x), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.log_likelihood(x), plain.log_likelihood(x), rtol=1e-12, atol=1e-12)
    terms = found.pointwise(x)["y"]
    assert terms.shape == (4, 3, 6)
    torch.testing.assert_close(terms.sum(-1), plain.log_likelihood(x), rtol=1e-12, atol=1e-12)
    assert found.known == {"prior"}


def test_a_posterior_moves_with_its_data():
    target = model(predictive=lambda a, s: {"y": Normal(a[:, None], s[:, None])}, observed={"y": Y.numpy()})
    x, small = points(5), target.to(dtype=torch.float32)
    assert small.log_likelihood(x.float()).dtype == torch.float32
    torch.testing.assert_close(small.log_likelihood(x.float()).double(), target.log_likelihood(x), rtol=1e-5, atol=1e-5)
    assert small.predict(x.float(), generator=torch.Generator().manual_seed(0))["y"].shape == (5, 6)


def test_one_number_beside_many_data_is_their_common_law():
    target = model(predictive=lambda a, s: {"y": Normal(a[:, None], s[:, None])})
    one = model(predictive=lambda a, s: {"y": Normal(a, s)}, batched=False)
    x, generator = points(50), torch.Generator().manual_seed(0)
    for found in (target, one):
        drawn = found.predict(x, generator=generator)["y"]
        assert drawn.shape == (50, 6)
        assert len(drawn.unique()) == 300
    torch.testing.assert_close(target.pointwise(x)["y"], one.pointwise(x)["y"])


rows = torch.ones(3, 2, dtype=F64)
LAWS = {
    "Poisson": (lambda a, s: Poisson(s[:, None].expand(-1, 3)), np.array([0, 2, 5]), (3,)),
    "Bernoulli": (lambda a, s: Bernoulli(logits=a[:, None]), [True, False, True], (3,)),
    "Binomial": (lambda a, s: Binomial(5, logits=a[:, None] * T[:3]), [1, 5, 0], (3,)),
    "Categorical": (lambda a, s: Categorical(logits=torch.stack([a, s], -1)[:, None]), [0, 1, 1], (3,)),
    "Gamma": (lambda a, s: Gamma(s[:, None], 1.0), [0.1, 0.2, 4.0], (3,)),
    "Beta": (lambda a, s: Beta(s[:, None], s[:, None]), [0.1, 0.2, 0.4], (3,)),
    "StudentT": (lambda a, s: StudentT(4.0, a[:, None], s[:, None]), Y.tolist(), (6,)),
    "NegativeBinomial": (lambda a, s: NegativeBinomial(s[:, None], logits=a[:, None]), [3, 0], (2,)),
    "MultivariateNormal": (
        lambda a, s: MultivariateNormal(torch.stack([a, s], -1)[:, None], torch.eye(2, dtype=F64)),
        rows,
        (3,),
    ),
    "Independent": (lambda a, s: Independent(Normal(a[:, None] * T, s[:, None]), 1), Y, ()),
    "Multinomial": (lambda a, s: Multinomial(4, logits=torch.stack([a, s], -1)), [1, 3], ()),
    "Dirichlet": (lambda a, s: Dirichlet(torch.stack([s, 1 + s], -1)), [0.25, 0.75], ()),
    "a mixture": (
        lambda a, s: MixtureSameFamily(
            Categorical(torch.ones(len(a), 1, 2, dtype=F64)), Normal(torch.stack([a, -a], -1)[:, None], 1.0)
        ),
        Y,
        (6,),
    ),
    "one number": (lambda a, s: Normal(a, s), 0.5, ()),
}


@pytest.mark.parametrize("name", LAWS)
def test_laws_of_data(name):
    law, data, shape = LAWS[name]
    target = model(predictive=lambda a, s: {"y": law(a, s)}, observed={"y": data})
    x = points(3, 5)
    held = torch.as_tensor(np.asarray(data))
    assert torch.equal(target.observed["y"], held)
    terms, drawn = target.pointwise(x)["y"], target.predict(x, generator=torch.Generator().manual_seed(0))["y"]
    assert terms.shape == (3, 5, *shape)
    assert drawn.shape == (3, 5, *held.shape)
    flat = x.reshape(-1, 2)
    torch.testing.assert_close(terms.flatten(0, 1), law(flat[:, 0], flat[:, 1].exp()).log_prob(held.to(F64)))


def test_terms_that_are_given_replace_and_join_those_of_laws():
    def pointwise(a, s):
        return {"rest": -a.square(), "y": -(Y - a[:, None]).abs()}

    target = model(pointwise=pointwise)
    x = points(4)
    a = x[:, 0]
    torch.testing.assert_close(target.log_likelihood(x), -a.square() - (Y - a[:, None]).abs().sum(-1))
    assert sorted(target.pointwise(x)) == ["rest", "y"]
    alone = targets.Posterior(parameters=PARAMETERS, pointwise=lambda a, s: -(Y - a[:, None]).abs())
    assert alone.pointwise(x)["log_likelihood"].shape == (4, 6)
    with pytest.raises(NotImplementedError, match="has no predictive="):
        alone.predict(x, generator=torch.Generator())


def test_terms_of_data_that_have_no_law_join_those_of_laws():
    censored = torch.tensor([1.0, 2.0], dtype=F64)

    def pointwise(a, s):
        return {"late": torch.log1p(-Normal(a[:, None], s[:, None]).cdf(censored).clamp(max=1 - 1e-12))}

    target = model(pointwise=pointwise, observed={"y": Y, "late": censored})
    x = points(4)
    a, s = x[:, 0], x[:, 1].exp()
    expected = log_likelihood(a, s) + pointwise(a, s)["late"].sum(-1)
    torch.testing.assert_close(target.log_likelihood(x), expected)
    assert sorted(target.predict(x, generator=torch.Generator().manual_seed(0))) == ["y"]
    assert target.predictive.in_words() == "y (law) + late (pointwise)"
    assert model(pointwise=lambda a, s: {"y": -(Y - a[:, None]).abs()}).predictive.in_words() == "y (pointwise)"
    assert "likelihood: y (law) + late (pointwise)" in repr(target)
    joint = targets.Posterior(
        log_likelihood, {"a": targets.Real(), "s": targets.Positive()}, predictive=predictive, observed={"y": Y}
    )
    assert "; terms: y (law))" in repr(joint)
    assert "likelihood" not in repr(targets.Posterior(log_likelihood=log_likelihood, parameters=PARAMETERS))


def test_beside_a_joint_density_terms_are_taken_at_their_word():
    target = targets.Posterior(
        lambda a, s: log_likelihood(a, s) - a.square(),
        {"a": targets.Real(), "s": targets.Positive()},
        predictive=predictive,
        observed={"y": Y},
    )
    assert target.pointwise(points(3))["y"].shape == (3, 6)
    assert target.predict(points(0), generator=torch.Generator().manual_seed(0))["y"].shape == (0, 6)
    assert target.known == frozenset()


def test_data_alone_are_kept():
    target = targets.Posterior(log_likelihood=log_likelihood, parameters=PARAMETERS, observed={"y": Y})
    assert torch.equal(target.observed["y"], Y)
    with pytest.raises(NotImplementedError, match="has no predictive= with observed=, and no pointwise="):
        target.pointwise(points(3))


def test_axes_of_data_and_derived_quantities_have_names():
    target = model(
        derived=lambda a, s: {"curve": a[:, None] * T},
        dims={"y": "time", "curve": ("time",)},
        coords={"time": T.tolist()},
    )
    assert target.data_variables["y"].dims == target.variables["curve"].dims == ("time",)
    assert target.data_variables["y"].coords["time"] == T.tolist()


def test_making_one_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    model()
    assert torch.equal(state, torch.get_rng_state())


def test_priors_may_depend_on_other_parameters():
    target = targets.Posterior(
        parameters={
            "mu": targets.Real(prior=Normal(0.0, 1.0)),
            "tau": targets.Positive(prior=HalfNormal(1.0)),
            "theta": targets.Real(6, prior=lambda mu, tau: Normal(mu, tau)),
        },
        predictive=lambda theta: {"y": Normal(theta, 1.0)},
        observed={"y": Y},
    )
    generator = torch.Generator().manual_seed(0)
    x = target.prior.sample(4000, generator=generator)
    drawn, values = target.predict(x, generator=generator)["y"], target.constrain(x)
    noise = (drawn - values["mu"][:, None]) / (values["tau"].square() + 1).sqrt()[:, None]
    assert kstest(noise[:, 0].numpy(), "norm").pvalue > 1e-5
    torch.testing.assert_close(target.log_likelihood(x), Normal(values["theta"], 1.0).log_prob(Y).sum(-1))


# What is refused


def test_terms_that_do_not_sum_to_the_likelihood_are_refused_with_the_difference():
    assert model(log_likelihood=log_likelihood).pointwise(points(2))["y"].shape == (2, 6)
    constant = 0.5 * 6 * math.log(2 * math.pi)
    short = str(constant)[:5]
    with pytest.raises(
        ValueError, match=rf"sum to .*: it is larger by \[{short}.*, a constant that one of them leaves"
    ):
        model(log_likelihood=lambda a, s: log_likelihood(a, s) + constant)
    with pytest.raises(ValueError, match=r"log_likelihood: gives .* predictive sum to .*it is larger by \[.*\]\. Give"):
        model(log_likelihood=lambda a, s: log_likelihood(a, s) - a.square())
    with pytest.raises(
        ValueError, match=r'censoring.*return it under the same name, pointwise=lambda .* \{"y": terms\}'
    ):
        model(log_likelihood=lambda a, s: log_likelihood(a, s) - a.square())
    rest = model(
        log_likelihood=lambda a, s: log_likelihood(a, s) - a.square(), pointwise=lambda a: {"rest": -a.square()}
    )
    assert sorted(rest.pointwise(points(2))) == ["rest", "y"]


def fixed(value):
    return {"predictive": lambda a, s: {"y": value}}


INDEX = "index scalars as mu"
WRONG = {
    "no function": ({"predictive": 3}, TypeError, "predictive: got int, expected a function of a, s"),
    "a name that is none": (
        {"predictive": lambda a, sd: {}},
        TypeError,
        "predictive: takes 'sd', there is no such parameter; did you mean s?",
    ),
    "no data": (
        {"observed": None},
        ValueError,
        "expected exactly one of the two functions, or predictive= and observed=",
    ),
    "data without a name": ({"observed": Y}, TypeError, "observed: got Tensor, expected a non-empty dict such as"),
    "missing data": (
        {"observed": {"y": [1.0, math.nan]}},
        ValueError,
        r"observed\['y'\]: 1 of 2 values are missing \(nan\), expected real numbers; leave",
    ),
    "text": ({"observed": {"y": ["a"]}}, TypeError, r"observed\['y'\]: got list, expected an array of numbers"),
    "data of another name": (
        {"observed": {"yy": Y}, "log_likelihood": None},
        ValueError,
        r"observed: has the names yy, and predictive returned y: nothing for 'yy'; did you mean y\?",
    ),
    "more data": (
        {"observed": {"y": Y, "yy": Y}},
        ValueError,
        r"observed: has the names y, yy, and predictive returned y: nothing for 'yy'; did you mean y\?",
    ),
    "no law": (
        fixed(Y.expand(3, 6)),
        ValueError,
        r"predictive\['y'\]: got shape \(3, 6\) for 16 points|returned y as tensors",
    ),
    "scalars beside data": (
        {"predictive": lambda a, s: {"y": Normal(a, s)}},
        ValueError,
        rf"predictive\['y'\]: got a law of batch shape \(3,\) .*, expected one that fits \(3, 6\).*{INDEX}",
    ),
    "data of another length": (
        {"observed": {"y": Y[:4]}},
        ValueError,
        r"got a law of batch shape \(3, 6\) .* that fits \(3, 4\), as observed\['y'\] has the shape \(4,\)",
    ),
    "a constant law": (
        {"predictive": lambda a, s: {"y": Normal(T, 1.0)}},
        ValueError,
        r"got a law of batch shape \(6,\) and event shape \(\), expected one that fits \(3, 6\)",
    ),
    "a mixed axis": (
        {"predictive": lambda a, s: {"y": Normal((a - a.mean())[:, None], s[:, None])}},
        ValueError,
        r"predictive\['y'\]: differ for 3 points together and one by one",
    ),
    "shared noise": (
        {"predictive": lambda a, s: predictive(a, s) | {"z": a[:, None] + torch.randn(4)}},
        ValueError,
        r"predictive\['z'\]: has random numbers that all draws share",
    ),
    "a parameter's name": (
        {"predictive": lambda a, s: predictive(a, s) | {"a": a}},
        ValueError,
        "predictive, observed: got the name 'a', which is a parameter's or derived",
    ),
    "a sum over the data": (
        {"pointwise": lambda a, s: log_likelihood(a, s)},
        ValueError,
        r"pointwise: the terms of 'y' have shape \(3,\) for 3 points, expected \(3, 6\).*summed over the obs",
    ),
    "terms of the wrong axis": (
        {"pointwise": lambda a, s: {"y": torch.zeros(6, len(a), dtype=F64)}},
        ValueError,
        r"pointwise: the terms of 'y' have shape \(6, 3\) in torch.float64 for 3 points, expected real numbers",
    ),
    "terms of the data under another name": (
        {"pointwise": lambda a, s: {"log_lik": -(Y - a[:, None]).abs()}},
        ValueError,
        r"pointwise: returned 'log_lik' of shape \(batch, 6\), as many numbers as observed\['y'\] has, .* twice. "
        r'.*return it as \{"y": terms\}.*observed=',
    ),
    "the same of one number": (
        {"pointwise": lambda a, s: {"loglik": -(Y - a[:, None]).abs().sum(-1)}},
        ValueError,
        "pointwise: returned 'loglik', .* twice. ",
    ),
    "the same beside a joint density": (
        {
            "pointwise": lambda a, s: {"terms": -(Y - a[:, None]).abs()},
            "log_joint": lambda a, s: log_likelihood(a, s),
            "parameters": {"a": targets.Real(), "s": targets.Positive()},
        },
        ValueError,
        "pointwise: returned 'terms' of shape .* twice. ",
    ),
    "terms without a name beside two sets of data": (
        {
            "predictive": lambda a, s: {"y": Normal(a[:, None] * T, 1.0), "z": Normal(a[:, None], s[:, None])},
            "observed": {"y": Y, "z": Y[:4]},
            "pointwise": lambda a: -(Y[:5] - a[:, None]).abs(),
        },
        ValueError,
        "pointwise: returned a tensor without a name .* twice. ",
    ),
    "terms that are none": ({"pointwise": lambda a: 3.0}, TypeError, "pointwise: returned float, expected a tensor"),
    "terms of other points": (
        {"pointwise": lambda a: {"y": (Y + a.sum())[None].expand(len(a), -1)}},
        ValueError,
        "the terms of 'y': differ for 3 points together and one by one",
    ),
    "single precision": (
        {"predictive": lambda a, s: {"y": Normal((a[:, None] + 0 * T).float(), 1.0)}},
        TypeError,
        r"predictive\['y'\]: got torch.float32 for parameters in torch.float64, expected their dtype; convert the data",
    ),
    "terms in single precision": (
        {"pointwise": lambda a: {"y": torch.zeros(len(a), 6)}},
        TypeError,
        "pointwise: the terms of 'y': got torch.float32 for parameters in torch.float64",
    ),
    "names that do not match": (
        {"observed": {"y": Y, "z": Y}},
        ValueError,
        "observed: has the names y, z, and predictive returned y.*: nothing for 'z'",
    ),
    "dims of nothing": (
        {"dims": {"yy": "t"}},
        ValueError,
        "dims: got 'yy', which is not derived, obs.*did you mean y",
    ),
    "too many dims": ({"dims": {"y": ("t", "u")}}, ValueError, r"dims\['y'\]: got \('t', 'u'\) for the shape \(6,\)"),
    "labels of another length": (
        {"dims": {"y": "t"}, "coords": {"t": [1, 2]}},
        ValueError,
        r"coords\['t'\]: got 2 labels, expected 6: 'y' has the shape \(6,\)",
    ),
    "dims that are none": ({"dims": "t"}, TypeError, "dims: got str, expected a dict such as"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_bad_argument_gets_one_error_that_names_it(case):
    changed, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        model(**changed)


def test_data_outside_the_support_of_their_law_are_refused():
    with pytest.raises(ValueError, match="support"):
        model(predictive=lambda a, s: {"y": Poisson(s[:, None])}, observed={"y": [1.0, -2.0]})
