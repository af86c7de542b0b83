import math
import re

import pytest
import torch
from torch.distributions import Dirichlet, HalfCauchy, HalfNormal, LKJCholesky, Normal, Poisson, Uniform

import targets

F64 = torch.float64
Y = torch.tensor([28.0, 8, -3, 7, -1, 1, 18, 12], dtype=F64)
S = torch.tensor([15.0, 10, 16, 11, 9, 11, 10, 18], dtype=F64)


def log_likelihood(mu, tau, z):
    return Normal(mu[:, None] + tau[:, None] * z, S).log_prob(Y).sum(-1)


def log_likelihood_of_one(mu, tau, z):
    return Normal(mu + tau * z, S).log_prob(Y).sum()


def prior_density(mu, tau, z):
    """The prior of `parameters()` in float64."""
    zero, one, five = (torch.tensor(v, dtype=F64) for v in (0.0, 1.0, 5.0))
    value = Normal(zero, five).log_prob(mu) + HalfCauchy(five).log_prob(tau)
    return value + Normal(zero, one).log_prob(z).sum(-1)


def parameters(**more):
    zero, one, five = (torch.tensor(v, dtype=F64) for v in (0.0, 1.0, 5.0))
    return {
        "mu": targets.Real(prior=Normal(zero, five)),
        "tau": targets.Positive(prior=HalfCauchy(five)),
        "z": targets.Real(8, prior=Normal(zero, one), **more),
    }


PLAIN = {"mu": targets.Real(), "tau": targets.Positive(), "z": targets.Real(8)}


def log_joint(mu, tau, z):
    return log_likelihood(mu, tau, z) + prior_density(mu, tau, z)


def points(*batch, dim=10, seed=0):
    return torch.randn(*batch, dim, generator=torch.Generator().manual_seed(seed), dtype=F64)


# The density


def test_the_density_is_the_joint_plus_the_log_jacobian():
    x = points(20)
    expected = log_joint(x[:, 0], x[:, 1].exp(), x[:, 2:]) + x[:, 1]
    torch.testing.assert_close(targets.Posterior(log_joint, PLAIN).log_prob(x), expected, rtol=1e-13, atol=1e-13)


def test_the_density_is_that_of_the_closed_form_target():
    x = points(20)
    target = targets.Posterior(log_likelihood=log_likelihood, parameters=parameters())
    closed = targets.EightSchools()
    torch.testing.assert_close(target.log_prob(x), closed.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(target.score(x), closed.score(x), rtol=1e-10, atol=1e-11)


def test_likelihood_and_prior_add_up_to_the_joint():
    x = points(4, 5)
    target = targets.Posterior(log_likelihood=log_likelihood, parameters=parameters())
    torch.testing.assert_close(target.log_prob(x), target.log_likelihood(x) + target.prior.log_prob(x))
    torch.testing.assert_close(target.log_prob(x), targets.Posterior(log_joint, PLAIN).log_prob(x))
    assert target.log_likelihood(x).shape == (4, 5)


def test_a_function_of_one_point_is_the_same_posterior():
    x = points(2, 3)
    batched = targets.Posterior(log_likelihood=log_likelihood, parameters=parameters())
    single = targets.Posterior(log_likelihood=log_likelihood_of_one, parameters=parameters(), batched=False)
    torch.testing.assert_close(single.log_prob(x), batched.log_prob(x))
    torch.testing.assert_close(single.score(x), batched.score(x))
    torch.testing.assert_close(single.log_likelihood(x), batched.log_likelihood(x))


def test_a_numpy_style_prior_of_python_numbers_is_evaluated_in_double_precision():
    python = {
        "mu": targets.Real(prior=Normal(0.1, 5.0)),
        "tau": targets.Positive(prior=HalfCauchy(5.0)),
    }
    exact = {
        "mu": targets.Real(prior=Normal(torch.tensor(0.1).double(), torch.tensor(5.0, dtype=F64))),
        "tau": targets.Positive(prior=HalfCauchy(torch.tensor(5.0, dtype=F64))),
    }
    x = points(10, dim=2)
    torch.testing.assert_close(
        targets.Prior(python).log_prob(x), targets.Prior(exact).log_prob(x), rtol=1e-12, atol=1e-12
    )


EVERY_KIND = {
    "real": targets.Real(),
    "positive": targets.Positive(2),
    "interval": targets.Interval(-1, 3, 2),
    "simplex": targets.Simplex(3),
    "ordered": targets.Ordered(3),
    "correlation": targets.CorrelationCholesky(3),
}


def every_kind(**values):
    return -0.5 * sum((v[:, None] if v.ndim == 1 else v.flatten(1)).square().sum(-1) for v in values.values())


@pytest.mark.parametrize("batch", [(), (0,), (3,), (2, 3)], ids=str)
def test_shapes_of_density_score_and_variables(batch):
    target = targets.Posterior(every_kind, EVERY_KIND)
    x = points(*batch, dim=target.dim)
    value, score = target.log_prob_and_score(x)
    assert value.shape == target.log_prob(x).shape == batch
    assert score.shape == x.shape
    constrained = target.constrain(x)
    for key, variable in target.variables.items():
        assert constrained[key].shape == (*batch, *variable.shape)
        assert variable.shape == EVERY_KIND[key].shape


def test_the_score_is_that_of_finite_differences():
    target = targets.Posterior(every_kind, EVERY_KIND)
    x, h = points(dim=target.dim), 1e-6
    steps = h * torch.eye(target.dim, dtype=F64)
    slope = (target.log_prob(x + steps) - target.log_prob(x - steps)) / (2 * h)
    torch.testing.assert_close(target.score(x), slope, rtol=1e-6, atol=1e-7)


def test_unconstrain_is_the_inverse_of_constrain():
    target = targets.Posterior(every_kind, EVERY_KIND)
    x = points(2, 5, dim=target.dim)
    torch.testing.assert_close(target.unconstrain(target.constrain(x)), x, rtol=1e-8, atol=1e-8)


def test_unconstrain_wants_all_parameters():
    target = targets.Posterior(log_joint, PLAIN)
    with pytest.raises(ValueError, match=r"values: got \['mu'\], expected \['mu', 'tau', 'z'\]"):
        target.unconstrain({"mu": torch.zeros(2)})


def test_evaluation_does_not_touch_the_global_generator():
    state = torch.get_rng_state()
    target = targets.Posterior(log_likelihood=log_likelihood, parameters=parameters())
    target.score(points(3))
    target.prior.sample(5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(state, torch.get_rng_state())


# The prior


def test_the_prior_is_a_normalised_target_whose_draws_depend_on_the_generator_alone():
    prior = targets.Posterior(log_likelihood=log_likelihood, parameters=parameters()).prior
    first, again, other = (prior.sample(50, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert prior.log_z == 0
    assert (prior.constrain(first)["tau"] > 0).all()
    assert prior.known == {"log_z", "sample"}


def test_priors_on_every_kind_pass_their_constraints():
    model = {
        "real": targets.Real(2, prior=Normal(0.0, 1.0)),
        "positive": targets.Positive(prior=HalfNormal(1.0)),
        "interval": targets.Interval(-1, 3, prior=Uniform(-1.0, 3.0)),
        "simplex": targets.Simplex(3, prior=Dirichlet(torch.ones(3))),
        "correlation": targets.CorrelationCholesky(3, prior=LKJCholesky(3, 2.0)),
    }
    prior = targets.Posterior(log_likelihood=every_kind, parameters=model).prior
    x = prior.sample(500, generator=torch.Generator().manual_seed(0))
    assert x.isfinite().all()
    for key, value in prior.constrain(x).items():
        assert model[key].constraint.check(value).all()


def test_without_prior_densities_there_is_no_prior_target():
    target = targets.Posterior(log_joint, PLAIN, name="schools")
    assert target.known == frozenset()
    with pytest.raises(NotImplementedError, match="schools: prior is not known exactly"):
        _ = target.prior
    with pytest.raises(NotImplementedError, match="schools: prior is not known exactly"):
        target.log_likelihood(points(3))
    assert targets.Posterior(log_likelihood=log_likelihood, parameters=parameters()).known == {"prior"}


# Names


def test_derived_quantities_come_with_the_parameters():
    target = targets.Posterior(log_joint, PLAIN, derived=lambda mu, tau, z: {"theta": mu[:, None] + tau[:, None] * z})
    x = points(2, 3)
    values = target.constrain(x)
    assert list(values) == ["mu", "tau", "z", "theta"]
    torch.testing.assert_close(values["theta"], x[..., :1] + x[..., 1:2].exp() * x[..., 2:])
    assert target.variables["theta"].shape == (8,)


def test_derived_quantities_of_one_point_are_vectorised_too():
    target = targets.Posterior(
        lambda mu, tau, z: -(mu**2 + tau**2 + z.square().sum()),
        PLAIN,
        batched=False,
        derived=lambda mu, tau, z: {"theta": mu + tau * z, "ratio": mu / tau},
    )
    values = target.constrain(points(2, 3))
    assert (values["theta"].shape, values["ratio"].shape) == ((2, 3, 8), (2, 3))


def test_dims_and_coords_reach_the_variables():
    schools = list("ABCDEFGH")
    target = targets.Posterior(
        log_likelihood=log_likelihood, parameters=parameters(dims="school"), coords={"school": schools}
    )
    assert target.variables["z"].dims == ("school",)
    assert target.variables["z"].coords == {"school": schools}
    assert target.variables["mu"].dims is None
    assert target.prior.variables["z"].coords == {"school": schools}


# Placement


def test_a_copy_in_single_precision_needs_data_in_single_precision():
    target = targets.Posterior(lambda mu: -(mu**2), {"mu": targets.Real()})
    single = target.to(dtype=torch.float32)
    assert single.log_prob(torch.zeros(3, 1)).dtype == torch.float32
    held = targets.Posterior(lambda mu: -((mu - Y[:1]) ** 2), {"mu": targets.Real()}).to(dtype=torch.float32)
    with pytest.raises(TypeError, match=r"log_joint: returned torch\.float64 for x in torch\.float32"):
        held.log_prob(torch.zeros(3, 1))


@pytest.mark.parametrize("key", [key for key in EVERY_KIND if key != "correlation"])
def test_a_copy_on_the_meta_device_evaluates_there(key):
    """Not the correlation: torch's own transform indexes by a mask, which the meta device cannot do."""
    target = targets.Posterior(every_kind, {key: EVERY_KIND[key]}).to("meta")
    x = torch.zeros(3, target.dim, dtype=F64, device="meta")
    assert target.log_prob_and_score(x)[1].device.type == "meta"


# Errors


def of_mu(fn, **more):
    return targets.Posterior(fn, {"mu": targets.Real()}, **more)


RESULT_ERRORS = {
    "a column": (
        lambda mu: mu[:, None],
        ValueError,
        r"log_joint: returned shape \(3, 1\) for x of shape \(3, 1\), expected \(3,\)",
    ),
    "a total": (lambda mu: mu.sum(), ValueError, r"log_joint: returned shape \(\) for x of shape \(3, 1\)"),
    "single precision": (
        lambda mu: mu.float(),
        TypeError,
        r"log_joint: returned torch\.float32 for x in torch\.float64",
    ),
    "another device": (lambda mu: mu.to("meta"), ValueError, "log_joint: returned a tensor on meta for x on cpu"),
    "a number": (lambda mu: 0.0, TypeError, r"log_joint: returned float, expected a tensor of shape \(3,\)"),
    "an array": (lambda mu: mu.detach().numpy(), TypeError, "log_joint: returned ndarray, expected a tensor"),
    "a mixed batch axis": (
        lambda mu: -((mu - mu.mean()) ** 2),
        ValueError,
        "log_joint: three points together give .*, one by one .*the function mixes its batch axis",
    ),
}


@pytest.mark.parametrize("case", RESULT_ERRORS)
def test_a_wrong_result_is_refused_when_the_posterior_is_made(case):
    fn, error, message = RESULT_ERRORS[case]
    with pytest.raises(error, match=message):
        of_mu(fn)


def test_a_batch_axis_that_meets_an_axis_of_the_same_length_is_found():
    """Three data and three test points: mu + theta broadcasts silently."""
    data = torch.tensor([1.0, 2.0, 3.0], dtype=F64)
    model = {"mu": targets.Real(), "theta": targets.Real(3)}
    with pytest.raises(
        ValueError, match=r"the function mixes its batch axis with another. Index scalars as mu\[:, None\]"
    ):
        targets.Posterior(lambda mu, theta: Normal(mu + theta, 1.0).log_prob(data).sum(-1), model)


def test_an_error_inside_the_function_carries_the_shapes_it_was_called_with():
    with pytest.raises(RuntimeError) as caught:
        targets.Posterior(lambda mu, theta: (mu + theta).sum(-1), {"mu": targets.Real(), "theta": targets.Real(8)})
    assert re.search(
        r"log_joint was called with three points at once, mu \(3,\), theta \(3, 8\) in torch\.float64: "
        r"the first axis is the batch; .*batched=False",
        "".join(caught.value.__notes__),
    )


def test_data_outside_the_support_of_a_distribution_are_found_when_the_posterior_is_made():
    counts = torch.tensor([-1.0, 2.0], dtype=F64)
    with pytest.raises(ValueError, match="to be within the support"):
        targets.Posterior(
            lambda rate: Poisson(rate[:, None], validate_args=True).log_prob(counts).sum(-1),
            {"rate": targets.Positive()},
        )


def test_data_outside_the_support_are_found_with_the_default_checks_too():
    counts = torch.tensor([-1.0, 2.0], dtype=F64)
    with pytest.raises(ValueError, match="to be within the support"):
        targets.Posterior(lambda rate: Poisson(rate[:, None]).log_prob(counts).sum(-1), {"rate": targets.Positive()})


def test_a_point_that_strays_to_infinity_gives_no_number_and_no_exception():
    target = targets.Posterior(log_likelihood=log_likelihood, parameters=parameters())
    x = torch.full((1, 10), math.nan, dtype=F64)
    assert not target.log_prob(x).isfinite().any()
    assert not target.log_prob(torch.full((1, 10), 1e4, dtype=F64)).isfinite().any()


def test_a_function_without_gradient_says_so_when_the_score_is_asked():
    target = of_mu(lambda mu: -(mu.detach() ** 2), name="flat")
    with pytest.raises(TypeError, match="flat: the log-density is not differentiable with respect to x"):
        target.score(points(2, dim=1))


ARGUMENT_ERRORS = {
    "both functions": (
        lambda: targets.Posterior(log_joint, PLAIN, log_likelihood=log_likelihood),
        ValueError,
        "log_joint, log_likelihood: expected exactly one",
    ),
    "no function": (
        lambda: targets.Posterior(parameters=PLAIN),
        ValueError,
        "log_joint, log_likelihood: expected exactly",
    ),
    "no callable": (lambda: targets.Posterior(1.0, PLAIN), TypeError, "log_joint: got float, expected a function"),
    "no parameters": (lambda: targets.Posterior(log_joint), TypeError, "parameters: missing, expected a dict"),
    "empty parameters": (lambda: targets.Posterior(log_joint, {}), TypeError, "parameters: expected a non-empty dict"),
    "a list of parameters": (
        lambda: targets.Posterior(log_joint, [targets.Real()]),
        TypeError,
        "parameters: expected a non-empty dict",
    ),
    "a class as parameter": (
        lambda: targets.Posterior(log_joint, {"mu": targets.Real}),
        TypeError,
        r"parameters\['mu'\]: got <class .*, expected Real\(\)",
    ),
    "a missing prior": (
        lambda: targets.Posterior(log_likelihood=log_likelihood, parameters=parameters() | {"tau": targets.Positive()}),
        ValueError,
        r"parameters: \['tau'\] have no prior=, expected one on every parameter",
    ),
    "a joint with priors": (
        lambda: targets.Posterior(log_joint, parameters()),
        ValueError,
        "prior=: given together with log_joint, which holds the prior already; use log_likelihood=",
    ),
    "a prior on the whole line for a scale": (
        lambda: targets.Posterior(
            log_likelihood=log_likelihood, parameters=parameters() | {"tau": targets.Positive(prior=Normal(0.0, 5.0))}
        ),
        ValueError,
        r"parameters\['tau'\]: the prior Normal does not have the support of Positive",
    ),
    "an integer dtype": (
        lambda: targets.Posterior(log_joint, PLAIN, dtype=torch.int64),
        TypeError,
        r"dtype: got torch\.int64, expected a floating-point dtype",
    ),
}


@pytest.mark.parametrize("case", ARGUMENT_ERRORS)
def test_a_bad_argument_gets_one_error_that_names_it(case):
    make, error, message = ARGUMENT_ERRORS[case]
    with pytest.raises(error, match=message):
        make()
