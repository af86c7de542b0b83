import math
import re

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.distributions import (
    Beta,
    Dirichlet,
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    Independent,
    LKJCholesky,
    LogNormal,
    MultivariateNormal,
    Normal,
    Poisson,
    TransformedDistribution,
    Uniform,
)

import targets
from targets.parameters import OrderedTransform

F64 = torch.float64
KINDS = {
    "real": targets.Real(),
    "real (2, 3)": targets.Real(2, 3),
    "positive": targets.Positive(),
    "positive (3,)": targets.Positive(3),
    "interval": targets.Interval(-2.0, 5.0),
    "interval (2, 2)": targets.Interval(0, 1, 2, 2),
    "simplex": targets.Simplex(4),
    "ordered": targets.Ordered(4),
    "correlation": targets.CorrelationCholesky(4),
    "correlation of two": targets.CorrelationCholesky(2),
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


def free_entries(kind, value):
    """The coordinates with respect to which densities on the constrained set are meant."""
    if isinstance(kind, targets.Simplex):
        return value[..., :-1]
    if isinstance(kind, targets.CorrelationCholesky):
        row, column = torch.tril_indices(*kind.shape, -1)
        return value[..., row, column]
    return value.reshape(-1)


@kinds
def test_log_determinant_is_that_of_the_jacobian(kind):
    for seed in range(5):
        u = torch.randn(kind.size, generator=torch.Generator().manual_seed(seed), dtype=F64)
        jacobian = torch.autograd.functional.jacobian(lambda u: free_entries(kind, kind.constrain(u)[0]), u)
        torch.testing.assert_close(kind.constrain(u)[1], torch.linalg.slogdet(jacobian)[1], rtol=1e-10, atol=1e-10)


@kinds
@given(st.data())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_unconstrain_is_the_inverse_of_constrain_and_the_constraint_holds(kind, data):
    numbers = st.floats(-4, 4, allow_subnormal=False)
    u = torch.tensor(data.draw(st.lists(numbers, min_size=kind.size, max_size=kind.size)), dtype=F64)
    value, log_det = kind.constrain(u)
    assert value.shape == kind.shape
    assert log_det.shape == ()
    assert kind.constraint.check(value).all()
    torch.testing.assert_close(kind.unconstrain(value), u, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(kind.constrain(kind.unconstrain(value))[0], value, rtol=1e-8, atol=1e-8)


@kinds
@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)], ids=str)
def test_batch_axes_come_first(kind, batch):
    u = torch.randn(*batch, kind.size, generator=torch.Generator().manual_seed(0), dtype=F64)
    value, log_det = kind.constrain(u)
    assert value.shape == (*batch, *kind.shape)
    assert log_det.shape == batch
    assert kind.unconstrain(value).shape == u.shape


# Normalised priors integrate to one in the unconstrained coordinates, Jacobian included

ORDERED = TransformedDistribution(Normal(torch.zeros(2, dtype=F64), 1.0), [OrderedTransform()])
CORRELATED = MultivariateNormal(torch.zeros(2, dtype=F64), torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=F64))


def float64(kind, *parameters):
    return kind(*(torch.tensor(p, dtype=F64) for p in parameters))


NORMALISED = {
    "normal": targets.Real(prior=float64(Normal, 1.0, 2.0)),
    "two normals": targets.Real(2, prior=float64(Normal, 1.0, 2.0)),
    "multivariate normal": targets.Real(2, prior=CORRELATED),
    "half-normal": targets.Positive(prior=float64(HalfNormal, 2.0)),
    "half-Cauchy": targets.Positive(prior=float64(HalfCauchy, 2.0)),
    "exponential": targets.Positive(prior=float64(Exponential, 0.5)),
    "gamma": targets.Positive(prior=float64(Gamma, 2.0, 1.5)),
    "log-normal": targets.Positive(2, prior=float64(LogNormal, 0.0, 1.0)),
    "uniform": targets.Interval(-2.0, 5.0, prior=float64(Uniform, -2.0, 5.0)),
    "beta": targets.Interval(0, 1, prior=float64(Beta, 2.0, 3.0)),
    "Dirichlet of two": targets.Simplex(2, prior=float64(Dirichlet, [1.5, 2.5])),
    "Dirichlet of three": targets.Simplex(3, prior=float64(Dirichlet, [1.5, 2.5, 1.0])),
    "ordered": targets.Ordered(2, prior=ORDERED),
    "LKJ of two": targets.CorrelationCholesky(2, prior=LKJCholesky(2, torch.tensor(1.5, dtype=F64))),
    "LKJ of three": targets.CorrelationCholesky(3, prior=LKJCholesky(3, torch.tensor(1.5, dtype=F64))),
}


@pytest.mark.parametrize("case", NORMALISED)
def test_a_normalised_prior_integrates_to_one(case):
    prior = targets.Prior({"a": NORMALISED[case]})
    step, reach = {1: (0.01, 40.0), 2: (0.1, 30.0), 3: (0.15, 8.0)}[prior.dim]
    axis = torch.arange(-reach, reach, step, dtype=F64)
    grid = torch.cartesian_prod(*[axis] * prior.dim).reshape(-1, prior.dim)
    mass = prior.log_prob(grid).exp().sum() * step**prior.dim
    assert mass.item() == pytest.approx(1, abs=1e-5 if prior.dim == 3 else 1e-7)
    assert prior.log_z == 0
    assert prior.known == {"log_z", "sample"}


@pytest.mark.parametrize("case", NORMALISED)
def test_prior_draws_pass_the_constraint_and_leave_the_global_generator(case):
    kind = NORMALISED[case]
    prior = targets.Prior({"a": kind})
    state = torch.get_rng_state()
    first, again = (prior.sample(200, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, again)
    assert first.shape == (200, prior.dim)
    assert first.dtype == F64
    assert first.isfinite().all()
    value = prior.constrain(first)["a"]
    assert kind.constraint.check(value).all()
    assert prior.log_prob(first).isfinite().all()


@pytest.mark.parametrize("case", NORMALISED)
def test_prior_draws_follow_the_prior(case, generator):
    """E[score] = 0 and E[u . score] = -dim in unconstrained coordinates: draws, density and Jacobian agree."""
    prior = targets.Prior({"a": NORMALISED[case]})
    u = prior.sample(5000, generator=generator)
    score = prior.score(u)
    for statistic in (score.sum(-1), (u * score).sum(-1) + prior.dim):
        z = statistic.mean() / statistic.std() * math.sqrt(len(u))
        assert abs(z.item()) < 4.5  # two-sided p-value 7e-6


# Errors


WRONG_SUPPORT = {
    "normal on positive": (targets.Positive, Normal(0.0, 1.0), "Normal does not have the support of Positive"),
    "half-normal on real": (targets.Real, HalfNormal(1.0), "HalfNormal does not have the support of Real"),
    "exponential on real": (targets.Real, Exponential(1.0), "Exponential does not have the support of Real"),
    "Poisson on real": (targets.Real, Poisson(3.0), "Poisson does not have the support of Real"),
    "half-normal on an interval": (
        lambda prior: targets.Interval(0, 1, prior=prior),
        HalfNormal(1.0),
        "HalfNormal does not have the support of Interval",
    ),
    "wide uniform on an interval": (
        lambda prior: targets.Interval(0, 1, prior=prior),
        Uniform(0.0, 2.0),
        "Uniform does not have the support of Interval",
    ),
    "narrow uniform on an interval": (
        lambda prior: targets.Interval(0, 1, prior=prior),
        Uniform(0.0, 0.5),
        "Uniform does not have the support of Interval",
    ),
    "independent normals on ordered": (
        lambda prior: targets.Ordered(3, prior=prior),
        Normal(0.0, 1.0),
        "Normal does not have the support of Ordered",
    ),
    "normals on a simplex": (
        lambda prior: targets.Simplex(3, prior=prior),
        Normal(0.0, 1.0),
        "Normal does not have the support of Simplex",
    ),
}


@pytest.mark.parametrize("case", WRONG_SUPPORT)
def test_a_prior_with_another_support_is_refused(case):
    make, prior, message = WRONG_SUPPORT[case]
    with pytest.raises(ValueError, match=rf"parameters\['a'\]: the prior {message}"):
        targets.Prior({"a": make(prior=prior)})


@pytest.mark.parametrize("case", WRONG_SUPPORT)
def test_the_prior_that_is_refused_is_not_advised(case):
    make, prior, _ = WRONG_SUPPORT[case]
    with pytest.raises(ValueError, match="does not have the support") as caught:
        targets.Prior({"a": make(prior=prior)})
    advised = re.findall(r"\w+", str(caught.value).split("normalised on it; ")[1])
    assert type(prior).__name__ not in advised or advised[advised.index("Uniform") :][1:5] == ["0", "0", "1", "0"]


def test_increasing_numbers_are_sent_to_a_log_joint():
    with pytest.raises(ValueError, match="leave prior= out everywhere and add the priors in a log_joint"):
        targets.Prior({"a": targets.Ordered(2, prior=Normal(0.0, 1.0))})


def test_a_prior_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"parameters\['a'\]: its prior draws shape \(3,\), expected \(2,\)"):
        targets.Prior({"a": targets.Real(2, prior=Normal(torch.zeros(3), 1.0))})


ERRORS = {
    "an empty shape": (lambda: targets.Real(0), ValueError, "shape: got 0, expected an integer of at least 1"),
    "a shape of floats": (
        lambda: targets.Positive(2.0),
        ValueError,
        "shape: got 2.0, expected an integer of at least 1",
    ),
    "an empty interval": (
        lambda: targets.Interval(1, 1),
        ValueError,
        "low, high: got 1 and 1, expected finite numbers",
    ),
    "half a line": (lambda: targets.Interval(0, math.inf), ValueError, "low, high: got 0 and inf"),
    "a simplex of one": (lambda: targets.Simplex(1), ValueError, "n: got 1, expected an integer of at least 2"),
    "an order of one": (lambda: targets.Ordered(1), ValueError, "n: got 1, expected an integer of at least 2"),
    "a correlation of one": (lambda: targets.CorrelationCholesky(1), ValueError, "n: got 1, expected an integer"),
    "a prior that is a number": (
        lambda: targets.Real(prior=1.0),
        TypeError,
        r"prior: got float, expected a torch\.distributions\.Distribution",
    ),
    "a prior of integers": (
        lambda: targets.Real(prior=Normal(torch.tensor(0), torch.tensor(1))),
        TypeError,
        r"prior: Normal has loc in torch\.int64, expected floating-point numbers",
    ),
    "a prior of integers within": (
        lambda: targets.Real(3, prior=Independent(Normal(torch.zeros(3, dtype=torch.int32), 1.0), 1)),
        TypeError,
        r"prior: Normal has loc in torch\.int32",
    ),
    "names of other axes": (
        lambda: targets.Real(3, dims=("row", "column")),
        ValueError,
        r"dims: got \('row', 'column'\) for a parameter of shape \(3,\), expected one name per axis",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_bad_parameter_gets_one_error_that_names_the_argument(case):
    make, error, message = ERRORS[case]
    with pytest.raises(error, match=message):
        make()


def test_ordered_values_increase_and_correlations_have_unit_rows():
    u = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=F64)
    assert (targets.Ordered(6).constrain(u)[0].diff(dim=-1) > 0).all()
    factor = targets.CorrelationCholesky(4).constrain(u)[0]
    correlation = factor @ factor.mT
    torch.testing.assert_close(correlation.diagonal(dim1=-2, dim2=-1), torch.ones(50, 4, dtype=F64))
    assert (torch.linalg.eigvalsh(correlation) > 0).all()


def test_a_parameter_leaves_the_prior_it_was_given_alone():
    prior = Normal(0.0, 1.0, validate_args=True)
    kind = targets.Real(prior=prior)
    assert prior._validate_args
    assert kind.log_prior(torch.tensor([math.nan])).isnan().all()
