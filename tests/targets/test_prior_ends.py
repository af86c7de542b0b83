"""Priors are exact at both ends of their sets, however close to an end the mass is."""

import math
import warnings

import pytest
import torch
from scipy import special
from torch.distributions import (
    Beta,
    Categorical,
    Chi2,
    ContinuousBernoulli,
    Dirichlet,
    Gamma,
    Gumbel,
    HalfCauchy,
    HalfNormal,
    Independent,
    InverseGamma,
    Kumaraswamy,
    LKJCholesky,
    LogisticNormal,
    LogNormal,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    Normal,
    Pareto,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
    StudentT,
    TransformedDistribution,
    Uniform,
    VonMises,
    Weibull,
    transforms,
)

import samplers
import targets

F32, F64 = torch.float32, torch.float64


def t(*numbers):
    return torch.tensor(numbers[0] if len(numbers) == 1 else numbers)


def over(base, *steps):
    return TransformedDistribution(base, list(steps))


AFFINE = transforms.AffineTransform
LOGIT = transforms.SigmoidTransform().inv
Interval, Positive, Real, Simplex = targets.Interval, targets.Positive, targets.Real, targets.Simplex
PRIORS = {
    "Beta": Interval(0, 1, prior=Beta(0.02, 0.3)),
    "Beta on another interval": Interval(-1, 3, prior=over(Beta(0.05, 0.3), AFFINE(-1.0, 4.0))),
    "Beta mirrored": Interval(-1, 3, prior=over(Beta(0.05, 0.3), AFFINE(3.0, -4.0))),
    "Uniform between ends that round": Interval(1, 2, prior=Uniform(1.0, 2.0)),
    "Kumaraswamy": Interval(0, 1, prior=Kumaraswamy(t(0.1), t(0.05))),
    "Kumaraswamy with one mode": Interval(0, 1, prior=Kumaraswamy(t(2.0), t(3.0))),
    "mixture of Betas": Interval(
        0, 1, prior=MixtureSameFamily(Categorical(t(0.3, 0.7)), Beta(t(0.05, 5.0), t(0.3, 2.0)))
    ),
    "logit-normal": Interval(0, 1, prior=over(Normal(0.0, 30.0), transforms.SigmoidTransform())),
    "relaxed Bernoulli": Interval(0, 1, prior=RelaxedBernoulli(t(0.1), probs=t(0.3))),
    "continuous Bernoulli": Interval(0, 1, prior=ContinuousBernoulli(t(0.3))),
    "von Mises": Interval(-math.pi, math.pi, prior=VonMises(t(0.0), t(2.0))),
    "Gamma": Positive(prior=Gamma(0.02, 2.0)),
    "inverse Gamma": Positive(prior=InverseGamma(t(0.1), t(2.0))),
    "chi-squared": Positive(prior=Chi2(t(0.3))),
    "Weibull": Positive(prior=Weibull(2.0, 0.5)),
    "log-normal": Positive(prior=LogNormal(0.0, 2.0)),
    "half-normal": Positive(prior=HalfNormal(2.0)),
    "half-Cauchy": Positive(prior=HalfCauchy(2.0)),
    "Lomax": Positive(prior=over(Pareto(1.0, 2.0), AFFINE(-1.0, 1.0))),
    "Gumbel": Real(prior=Gumbel(1.0, 2.0)),
    "logistic": Real(prior=over(Uniform(0.0, 1.0), LOGIT, AFFINE(1.0, 2.0))),
    "composed": Real(
        prior=over(Normal(0.0, 1.0), transforms.ComposeTransform([AFFINE(t(1.0), t(2.0)), LOGIT.inv, LOGIT]))
    ),
    "Student": Real(prior=StudentT(3.0, 1.0, 2.0)),
    "mixture of normals": Real(prior=MixtureSameFamily(Categorical(t(0.3, 0.7)), Normal(t(-1.0, 2.0), t(0.5, 1.0)))),
    "Dirichlet of two": Simplex(2, prior=Dirichlet(t(0.02, 0.3))),
    "relaxed categorical": Simplex(2, prior=RelaxedOneHotCategorical(t(0.5), probs=t(0.2, 0.8))),
    "LKJ of two": targets.CorrelationCholesky(2, prior=LKJCholesky(2, 0.02)),
    "independent Betas": Interval(0, 1, 2, prior=Independent(Beta(t(0.1, 0.5), t(0.2, 3.0)), 1)),
    "Dirichlet": Simplex(4, prior=Dirichlet(t(0.01, 0.05, 0.1, 2.0))),
    "mixture of Dirichlets": Simplex(
        3, prior=MixtureSameFamily(Categorical(t(0.3, 0.7)), Dirichlet(t([[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]])))
    ),
    "logistic normal": Simplex(3, prior=LogisticNormal(torch.zeros(2), torch.ones(2))),
    "LKJ": targets.CorrelationCholesky(4, prior=LKJCholesky(4, 0.1)),
    "low-rank normal": Real(2, prior=LowRankMultivariateNormal(torch.zeros(2), torch.ones(2, 1), torch.ones(2))),
}
each = pytest.mark.parametrize("case", PRIORS)
precisions = pytest.mark.parametrize("dtype", [F64, F32], ids=str)


@each
@precisions
def test_a_prior_is_normalised_and_its_draws_follow_it(case, dtype, generator):
    """By quadrature in u; E[score] = 0 and E[u . score] = -dim tie the draws to the density."""
    prior = targets.Prior({"a": PRIORS[case]}, dtype=dtype)
    if prior.dim == 1:
        u = torch.linspace(-3000.0, 3000.0, 120001, dtype=F64)
        mass = prior.log_prob(u.to(dtype)[:, None]).double().exp().sum() * 0.05
        assert mass.item() == pytest.approx(1, abs=1e-3 if case == "Lomax" else 2e-4 if dtype == F64 else 1e-3)
    u = prior.sample(3000, generator=generator)
    value, score = prior.log_prob_and_score(u)
    assert u.dtype == value.dtype == dtype
    assert value.isfinite().all()
    for statistic in (score.sum(-1).double(), (u * score).sum(-1).double() + prior.dim):
        z = statistic.mean() / statistic.std() * math.sqrt(len(u))
        assert abs(z.item()) < 4.5  # two-sided p-value 7e-6
    kind = prior.parameters["a"]
    drawn = prior.constrain(u)["a"]
    assert kind.constraint.check(drawn).all()
    if isinstance(kind, Interval):
        assert (drawn > kind.low).all()
        assert (drawn < kind.high).all()


@each
def test_the_density_is_that_of_torch_where_the_value_is_not_rounded(case):
    given = PRIORS[case]
    kind = targets.Prior({"a": given}).parameters["a"]
    u = 0.7 * torch.randn(50, kind.size, generator=torch.Generator().manual_seed(0), dtype=F64)
    value, log_det = kind.constrain(u)
    torch.testing.assert_close(
        kind.log_prior_in_coordinates(u, value), kind.log_prior(value) + log_det, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(("a", "b"), [(0.05, 0.05), (0.02, 0.3)])
@precisions
def test_draws_within_rounding_of_an_end_are_as_many_as_they_should_be(a, b, dtype, generator):
    prior = targets.Prior({"p": Interval(0, 1, prior=Beta(a, b))}, dtype=dtype)
    u = prior.sample(20000, generator=generator)[:, 0].double()
    for below in (-60.0, -20.0, 0.0, 20.0, 60.0):
        expected = (
            special.betainc(a, b, special.expit(below))
            if below < 30
            else 1 - special.betainc(b, a, special.expit(-below))
        )
        share = (u < below).double().mean().item()
        assert abs(share - expected) < 4.5 * math.sqrt(expected * (1 - expected) / len(u)) + 1e-6


@pytest.mark.parametrize(
    "kind", [Interval(0, 1), Interval(-3, 0), Interval(1, 2), Positive(), Simplex(3), targets.CorrelationCholesky(3)]
)
@precisions
def test_far_out_values_stay_inside_and_the_gradient_of_the_density_stays_finite(kind, dtype):
    for far in (-500.0, -60.0, 60.0, 500.0):
        u = torch.full((1, kind.size), far, dtype=dtype, requires_grad=True)
        if isinstance(kind, Positive) and far > 80:
            continue  # beyond the largest number
        value, log_det = kind.constrain(u)
        assert kind.constraint.check(value).all()
        assert log_det.isfinite().all()
        (slope,) = torch.autograd.grad(log_det.sum() + value.sum(), u)
        assert slope.isfinite().all()
        if not isinstance(kind, targets.CorrelationCholesky):
            assert value.log().isfinite().all() or kind.low < 0
        assert kind.unconstrain(value).isfinite().all()


@pytest.mark.parametrize(
    ("a", "b", "k", "n", "low", "high"), [(0.1, 0.1, 12, 12, 0, 1), (0.3, 0.02, 3, 4, -1, 3), (0.02, 0.3, 0, 7, 2, 5)]
)
@precisions
def test_the_evidence_is_right_whatever_the_end(a, b, k, n, low, high, dtype):
    """log Z of k successes in n by quadrature over u."""
    width = float(high - low)

    def log_likelihood(p):
        share = (p - low) / width
        return torch.special.xlogy(t(float(k)).to(dtype), share) + torch.special.xlog1py(
            t(float(n - k)).to(dtype), -share
        )

    target = targets.Posterior(
        log_likelihood=log_likelihood,
        parameters={"p": Interval(low, high, prior=over(Beta(a, b), AFFINE(float(low), width)))},
        dtype=dtype,
    )
    u = torch.linspace(-1500.0, 1500.0, 60001, dtype=F64)
    mass = target.log_prob(u.to(dtype)[:, None]).double().exp().sum() * 0.05
    expected = special.betaln(a + k, b + n - k) - special.betaln(a, b)
    assert math.log(mass) == pytest.approx(expected, abs=1e-3)


def test_a_density_that_cannot_see_the_end_says_so_when_it_is_made():
    a = torch.tensor(0.05, dtype=F64)

    def joint(p):
        return Beta(a, a).log_prob(p)

    with pytest.warns(
        samplers.SamplingWarning,
        match=r"parameters\['p'\]: about 0\.\d+ of the mass lies within rounding of the upper end 1 ",
    ):
        targets.Posterior(joint, {"p": Interval(0, 1)})
    with pytest.warns(samplers.SamplingWarning, match="use dtype=torch.float64"):
        targets.Posterior(lambda p: Beta(t(0.3), t(0.3)).log_prob(p), {"p": Interval(0, 1)}, dtype=F32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        targets.Posterior(lambda p: Beta(20 * a, 10 * a).log_prob(p), {"p": Interval(0, 1)})
        targets.Posterior(lambda p: 9 * p.log(), {"p": Interval(0, 1)})
        for end in (0.0, 3.0):
            targets.Posterior(
                log_likelihood=lambda p, end=end: -(p - end).abs(),
                parameters={"p": Interval(0, 3, prior=over(Beta(0.05, 0.05), AFFINE(0.0, 3.0)))},
            )


def test_a_prior_on_a_circle_is_refused_on_the_line():
    with pytest.raises(
        ValueError, match=r"parameters\['a'\]: the prior VonMises is normalised on an interval .* Interval\("
    ):
        targets.Prior({"a": Real(prior=VonMises(t(0.0), t(1.0)))})
