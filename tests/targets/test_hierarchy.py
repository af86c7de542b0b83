"""Priors that are functions of other parameters: density, draws, forms of evaluation, and every error."""

import math
from functools import partial

import hierarchy_cases as cases
import numpy as np
import pytest
import torch
from hierarchy_cases import F64, GROUP, MODELS, points
from seeded_bugs_hierarchy import BUGS
from torch.distributions import Beta, Gamma, HalfNormal, MultivariateNormal, Normal, Uniform

import samplers
import targets
from targets import CorrelationCholesky, Interval, Positive, Real

UNIT = Normal(0.0, 1.0)


@pytest.mark.parametrize("name", MODELS)
def test_log_densities_are_those_of_scipy(name):
    cases.check_densities(name)


@pytest.mark.parametrize("name", MODELS)
def test_draws_are_exact(name):
    cases.check_draws(name)


def test_the_prior_is_normalised():
    cases.check_mass()


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")  # where numbers are read
@pytest.mark.parametrize("name", BUGS)
def test_seeded_bugs_are_rejected(name, monkeypatch):
    check = BUGS[name](monkeypatch)
    with pytest.raises((AssertionError, IndexError, RuntimeError)):
        check()


# How it is evaluated


def form(shape, function, **parents):
    """Whether a function is called once for all points, with the batch axis last or first, or by vmap."""
    prior = targets.Prior(parents | {"y": shape(prior=function)})
    axis = prior._conditional["y"].axis
    return "vmap" if axis is None else "last" if axis.last else "first"


def three(**more):
    return Real(3, **more)


A = Real(3, prior=UNIT)
S = Positive(prior=HalfNormal(1.0))
TABLE = torch.arange(3.0, dtype=F64)
FORMS = {
    "scalars": ("first", three, lambda s: Normal(0.0, s), {"s": S}),
    "an index of the first axis": ("last", lambda **p: Real(6, **p), lambda a: Normal(a[GROUP], 1.0), {"a": A}),
    "an index of the last axis": ("first", lambda **p: Real(6, **p), lambda a: Normal(a[..., GROUP], 1.0), {"a": A}),
    "a new axis": ("last", lambda **p: Real(3, 4, **p), lambda a: Normal(a[:, None], 1.0), {"a": A}),
    "a table": ("first", three, lambda s: Normal(TABLE, s), {"s": S}),
    "an index and a table": (
        "vmap",
        lambda **p: Real(6, **p),
        lambda a, s: Normal(a[GROUP] + TABLE[GROUP] * s, 1.0),
        {"a": A, "s": S},
    ),
    "a sum of entries": ("vmap", three, lambda a: Normal(a.sum(), 1.0), {"a": A}),
    "a sum over all that is there": ("vmap", three, lambda s: Normal(s.max(), 1.0), {"s": S}),
    "the last axis summed": ("first", lambda **p: Real(**p), lambda a: Normal(a.sum(-1), 1.0), {"a": A}),
    "a matrix": (
        "vmap",
        three,
        lambda a: MultivariateNormal(a, torch.diag(a.exp())),
        {"a": A},
    ),
    "a batch of matrices": ("first", three, lambda a: MultivariateNormal(a, torch.diag_embed(a.exp())), {"a": A}),
}


@pytest.mark.parametrize("case", FORMS)
def test_one_call_for_all_points_where_it_gives_the_same_and_vmap_elsewhere(case):
    expected, shape, function, parents = FORMS[case]
    assert form(shape, function, **parents) == expected


@pytest.mark.parametrize("case", FORMS)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
def test_batches_of_any_length_are_evaluated_point_by_point(case, n):
    _, shape, function, parents = FORMS[case]
    prior = targets.Prior(parents | {"y": shape(prior=function)})
    x = points(prior, n)
    values = prior.constrain(x)
    u = dict(zip(prior.parameters, x.split([kind.size for kind in prior.parameters.values()], -1), strict=True))
    expected = [
        sum(kind.log_prior_in_coordinates(u[key][i], values[key][i]) for key, kind in parents.items())
        + function(**{key: values[key][i] for key in parents}).log_prob(values["y"][i]).sum()
        for i in range(n)
    ]
    torch.testing.assert_close(prior.log_prob(x), torch.stack(expected), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("batch", [(), (0,), (3,), (2, 3)], ids=str)
@pytest.mark.parametrize("name", ["slopes by vmap", "levels"])
def test_shapes(name, batch):
    prior = targets.Prior(MODELS[name])
    x = torch.zeros(*batch, prior.dim, dtype=F64)
    value, score = prior.log_prob_and_score(x)
    assert value.shape == prior.log_prob(x).shape == batch
    assert score.shape == x.shape
    assert prior.sample(math.prod(batch), generator=cases.generator()).shape == (math.prod(batch), prior.dim)


def test_any_order_of_the_parameters_is_the_same_law():
    first = targets.Prior(MODELS["levels"])
    second = targets.Prior(dict(sorted(MODELS["levels"].items())))
    x = points(first, 4)
    torch.testing.assert_close(second.log_prob(second.unconstrain(first.constrain(x))), first.log_prob(x))
    assert list(first.variables) == list(MODELS["levels"])


def test_draws_depend_on_the_generator_alone():
    prior, state = targets.Prior(MODELS["slopes by vmap"]), torch.get_rng_state()
    first, again, other = (prior.sample(20, generator=cases.generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_a_point_whose_covariance_cannot_be_factorised_has_no_density_and_the_others_keep_theirs():
    def process(length):
        gap = (TABLE[:, None] - TABLE).square()
        return MultivariateNormal(torch.zeros(3, dtype=F64), torch.exp(-0.5 * gap / length[..., None] ** 2))

    prior = targets.Prior({"f": Real(3, prior=process), "length": Positive(1, prior=Gamma(5.0, 1.0))})
    x = torch.zeros(3, 4, dtype=F64)
    x[1, 3] = 30.0  # a matrix of ones
    value, score = prior.log_prob_and_score(x)
    assert value.isfinite().tolist() == score.isfinite().all(-1).tolist() == [True, False, True]
    assert prior.log_prob(x).isfinite().tolist() == [True, False, True]


# Placement


@pytest.mark.parametrize("name", MODELS)
def test_single_precision(name):
    double, single = targets.Prior(MODELS[name]), targets.Prior(MODELS[name], dtype=torch.float32)
    x = points(double, 5)
    for prior in (single, double.to(dtype=torch.float32)):
        value, score = prior.log_prob_and_score(x.float())
        assert value.dtype == score.dtype == prior.sample(2, generator=cases.generator()).dtype == torch.float32
        torch.testing.assert_close(value.double(), double.log_prob(x), rtol=1e-4, atol=1e-4)
    back = double.to(dtype=torch.float32).to(dtype=F64)
    torch.testing.assert_close(back.log_prob(x), double.log_prob(x), rtol=1e-13, atol=1e-13)


def test_numbers_of_python_are_not_rounded_to_single_precision():
    prior = targets.Prior({"a": Real(prior=UNIT), "b": Real(prior=lambda a: Normal(0.1, 0.3))})
    x = points(prior, 3)
    expected = Normal(torch.tensor(0.1).double(), torch.tensor(0.3).double()).log_prob(x[:, 1])
    torch.testing.assert_close(
        prior.log_prob(x) - prior.parameters["a"].log_prior(x[:, 0]), expected, rtol=0, atol=1e-14
    )


def test_tensors_of_a_prior_are_moved_with_the_target():
    prior = targets.Prior({"a": Real(3, prior=Normal(torch.zeros(3, dtype=F64), 1.0))}).to(dtype=torch.float32)
    assert prior.log_prob(torch.zeros(2, 3)).dtype == torch.float32


# Posteriors

Y = torch.tensor([28.0, 8, -3, 7, -1, 1, 18, 12], dtype=F64)
SD = torch.tensor([15.0, 10, 16, 11, 9, 11, 10, 18], dtype=F64)


WIDE = HalfNormal(5.0)


def schools(law=WIDE):
    kinds = {
        "theta": Real(8, prior=lambda mu, tau: Normal(mu, tau), dims="school"),
        "mu": Real(prior=Normal(0.0, 5.0)),
        "tau": Positive(prior=law),
    }
    return targets.Posterior(
        log_likelihood=lambda theta: Normal(theta, SD).log_prob(Y).sum(-1),
        parameters=kinds,
        derived=lambda theta, mu: {"effect": theta - mu[:, None]},
        dims={"effect": "school"},
        coords={"school": list("ABCDEFGH")},
    )


def joint(theta, mu, tau):
    zero, five = (torch.tensor(v, dtype=F64) for v in (0.0, 5.0))
    value = Normal(zero, five).log_prob(mu) + HalfNormal(five).log_prob(tau)
    value = value + Normal(mu[:, None], tau[:, None]).log_prob(theta).sum(-1)
    return value + Normal(theta, SD).log_prob(Y).sum(-1)


def test_a_posterior_is_the_one_that_is_written_out():
    written = targets.Posterior(joint, {"theta": Real(8), "mu": Real(), "tau": Positive()})
    x = points(written, 4)
    for target in (schools(), schools().to(dtype=torch.float32).to(dtype=F64)):
        value, score = target.log_prob_and_score(x)
        torch.testing.assert_close(value, written.log_prob(x), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(score, written.score(x), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(target.log_likelihood(x) + target.prior.log_prob(x), value)
    assert schools().known == {"prior"}


@pytest.mark.slow
def test_dims_and_labels_of_derived_quantities_reach_arviz_and_files(tmp_path):
    target = schools()
    draws = samplers.HMC().sample(target, chains=2, draws=5, warmup=5, seed=0, progress=False)
    for group in (
        draws.to_arviz().posterior,
        samplers.Draws.load(draws.save(tmp_path / "x.nc"), target).to_arviz().posterior,
    ):
        for name in ("theta", "effect"):
            assert group[name].dims == ("chain", "draw", "school")
            assert group[name]["school"].values.tolist() == list("ABCDEFGH")
    again = samplers.Draws.load(tmp_path / "x.nc", target)
    torch.testing.assert_close(again.constrained["effect"], draws.constrained["effect"])


@pytest.mark.slow
def test_a_continued_run_is_the_whole_run(tmp_path):
    def run(**more):
        return samplers.HMC().sample(schools(), chains=2, draws=6, warmup=4, seed=0, progress=False, **more)

    whole = run()
    run(checkpoint=tmp_path / "run")
    assert torch.equal(run(checkpoint=tmp_path / "run").x, whole.x)


def test_smc_starts_from_the_prior():
    assert samplers.SMC().sample(schools(), draws=64, seed=0, progress=False).log_z is not None


def evidence(law):
    """log Z of `schools` by quadrature over mu and log tau, theta integrated out: y_j ~ N(mu, tau^2 + sd_j^2)."""
    axes = torch.linspace(-45, 45, 401, dtype=F64), torch.linspace(-25, 7, 801, dtype=F64)
    mu, u = torch.meshgrid(*axes, indexing="ij")
    tau, five = u.exp(), torch.tensor(5.0, dtype=F64)
    value = Normal(mu[..., None], (tau[..., None] ** 2 + SD**2).sqrt()).log_prob(Y).sum(-1)
    value = value + Normal(0 * five, five).log_prob(mu) + law.log_prob(tau) + u
    return value.flatten().logsumexp(0).item() + math.log(90 / 400 * 32 / 800)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["prior", "prior of a funnel", "pilot"])
def test_smc_from_the_prior_and_from_a_pilot_find_the_evidence(start):
    """Not from a pilot into the funnel of a half-normal, whose errors are too small in any form of the model."""
    number = partial(torch.tensor, dtype=F64)
    law = HalfNormal(number(5.0)) if "funnel" in start else Gamma(number(6.0), number(1.0))
    target = schools(law)
    if start == "pilot":
        known = target
        target = targets.LogDensity(lambda x: known.log_prob(x), known.dim, dtype=F64)
    log_z = samplers.SMC().sample(target, draws=8000, seed=0, progress=False).log_z
    assert abs(log_z.value - evidence(law)) < 4.5 * log_z.standard_error


def test_mass_near_an_end_is_told_where_only_the_prior_of_another_parameter_sees_it():
    kinds = {
        "p": Interval(0, 1, prior=Beta(0.02, 0.02)),
        "q": Real(prior=lambda p: Normal(torch.log1p(-p), 40.0)),
    }
    with pytest.warns(samplers.SamplingWarning, match=r"parameters\['p'\]: about .* lies within rounding of the upper"):
        targets.Posterior(log_likelihood=lambda q: -q.square(), parameters=kinds)


# Errors

MU, TAU = Real(prior=UNIT), Positive(prior=HalfNormal(1.0))
LAWS = {"mu": MU, "tau": TAU}


def with_prior(function, kind=Real, *shape, **more):
    return lambda: targets.Prior(LAWS | more | {"y": kind(*shape, prior=function)})


ERRORS = {
    "a circle": (
        lambda: targets.Prior(
            {
                "a": Real(prior=lambda c: Normal(c, 1.0)),
                "b": Real(prior=lambda a: Normal(a, 1.0)),
                "c": Real(prior=lambda b, mu: Normal(b, 1.0)),
                "mu": MU,
            }
        ),
        ValueError,
        "parameters: the priors go in a circle, a -> b -> c -> a; expected one to draw first",
    ),
    "itself": (with_prior(lambda y: Normal(y, 1.0)), ValueError, "in a circle, y -> y"),
    "an unknown name": (
        with_prior(lambda taw: Normal(0.0, taw)),
        TypeError,
        r"parameters\['y'\]: prior: takes 'taw', there is no such parameter; did you mean tau\? Parameters: mu, tau, y",
    ),
    "no argument": (with_prior(lambda: UNIT), TypeError, "takes no other parameter; give the distribution that it"),
    "a number": (
        with_prior(lambda mu: mu),
        TypeError,
        r"parameters\['y'\]: prior: returned Tensor, expected a torch.distributions.Distribution such as Normal",
    ),
    "a class": (lambda: Real(prior=Normal), TypeError, "prior: got the class Normal, expected a torch.distributions"),
    "a word": (
        lambda: Real(prior="normal"),
        TypeError,
        "prior: got str, expected .* or a function of other parameters",
    ),
    "another support": (
        with_prior(lambda mu: Normal(mu, 1.0), Positive),
        ValueError,
        r"parameters\['y'\]: the prior Normal does not have the support of Positive",
    ),
    "a support that depends on others": (
        with_prior(lambda tau: Uniform(0.0, tau), lambda **p: Interval(0, 9, **p)),
        ValueError,
        r"parameters\['y'\]: the prior Uniform does not have the support of Interval",
    ),
    "another shape": (
        with_prior(lambda a: Normal(a, 1.0), Real, 4, a=A),
        ValueError,
        r"parameters\['y'\]: prior: at one point \(a \(3,\)\) its Normal draws shape \(3,\), expected \(4,\)",
    ),
    "more axes": (
        with_prior(lambda a: Normal(a, 1.0), a=A),
        ValueError,
        r"its Normal draws shape \(3,\), expected \(\), or what broadcasts to it",
    ),
    "an event of one": (
        with_prior(lambda a: MultivariateNormal(a[:1], torch.eye(1, dtype=F64)), Real, 4, a=A),
        ValueError,
        r"its MultivariateNormal draws shape \(1,\), expected \(4,\)",
    ),
    "integers": (
        with_prior(lambda mu: Normal(mu, torch.tensor(1))),
        TypeError,
        "prior: Normal has scale in torch.int64",
    ),
    "a scale below zero": (
        with_prior(lambda tau: Normal(0.0, -tau)),
        ValueError,
        "parameter scale .* positive|Greater",
    ),
    "numpy": (
        with_prior(lambda a: Normal(torch.as_tensor(np.exp(a)), 1.0), Real, 3, a=A),
        TypeError,
        r"parameters\['y'\]: prior: .*it is called with torch tensors: convert data by torch.as_tensor outside of it",
    ),
    "a number of python": (with_prior(lambda tau: Normal(0.0, float(tau))), TypeError, "no float.. or .item"),
    "randomness": (
        with_prior(lambda mu: Normal(mu + torch.rand((), dtype=F64), 1.0)),
        ValueError,
        r"parameters\['y'\]: prior: is random: at the same point \(mu \(\)\) its log-density is",
    ),
    "no prior beside others": (
        lambda: targets.Posterior(log_likelihood=lambda mu, tau: -mu, parameters={"mu": MU, "tau": Positive()}),
        ValueError,
        r"parameters: \['tau'\] have no prior=, .*HalfNormal.* A flat prior is improper: .* pass log_joint=",
    ),
    "priors beside a joint density": (
        lambda: targets.Posterior(lambda mu, y: -mu, {"mu": Real(), "y": Real(prior=lambda mu: Normal(mu, 1.0))}),
        ValueError,
        r"prior=: given together with log_joint.* leave prior= out of \['y'\] and add its log-density to log_joint",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_bad_prior_gets_one_error_that_names_it(case):
    make, error, message = ERRORS[case]
    with pytest.raises(error, match=message):
        make()


def test_an_error_inside_a_prior_says_what_it_was_called_with():
    with pytest.raises(IndexError) as caught:
        targets.Prior(LAWS | {"y": Real(3, prior=lambda mu, tau: Normal(mu[:, None], tau))})
    note = "".join(caught.value.__notes__)
    assert note == (
        "parameters['y']: prior was called with mu (), tau () in torch.float64: "
        "it is given one point at a time, values without a batch axis"
    )


def test_functions_take_what_they_need():
    target = targets.Posterior(
        log_likelihood=lambda y: -y.square().sum(-1),
        parameters=LAWS | {"y": Real(3, prior=lambda mu, tau: Normal(mu, tau))},
        derived=lambda tau: {"twice": 2 * tau},
    )
    x = points(target, 3)
    torch.testing.assert_close(target.log_likelihood(x), -x[:, 2:].square().sum(-1))
    torch.testing.assert_close(target.constrain(x)["twice"], 2 * x[:, 1].exp())


def test_parameters_for_draws_alone_may_have_a_prior_that_depends_on_others():
    kinds = LAWS | {"new": Real(prior=lambda mu, tau: Normal(mu, tau))}
    assert targets.Posterior(log_likelihood=lambda mu: -mu, parameters=kinds).dim == 3


def test_correlations_of_an_lkj_prior_whose_concentration_is_a_parameter():
    from torch.distributions import LKJCholesky

    prior = targets.Prior(
        {"L": CorrelationCholesky(3, prior=lambda eta: LKJCholesky(3, eta)), "eta": Positive(prior=Gamma(4.0, 2.0))}
    )
    x = points(prior, 4)
    values = prior.constrain(x)
    for i in range(4):
        expected = LKJCholesky(3, values["eta"][i]).log_prob(values["L"][i]) + cases.log_volume(
            prior.parameters["L"], x[i, :3]
        )
        own = prior.log_prob(x[i]) - prior.parameters["eta"].log_prior_in_coordinates(x[i, 3:], values["eta"][i])
        torch.testing.assert_close(own, expected, rtol=1e-10, atol=1e-10)
