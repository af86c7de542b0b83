"""Eight schools, centred and non-centred, against values by another quadrature and the formula in scipy."""

import numpy as np
import pytest
import torch
from posteriordb import DATA, exact, load
from scipy import integrate, stats

import targets

F64 = torch.float64
Y = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
S = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
needs_data = pytest.mark.skipif(
    not (DATA / "posteriordb_reference.json").exists(), reason=f"no reference data in {DATA}; set UNNORM_DATA"
)
both = pytest.mark.parametrize("centred", [True, False], ids=["centred", "non-centred"])


def log_joint(mu, tau, theta):
    """log p(y, theta, mu, tau) with every factor normalised."""
    value = stats.norm(0, 5).logpdf(mu) + stats.halfcauchy(0, 5).logpdf(tau)
    value = value + stats.norm(mu[:, None], tau[:, None]).logpdf(theta).sum(-1)
    return value + stats.norm(theta, S).logpdf(Y).sum(-1)


@both
def test_log_prob_is_the_joint_density_of_the_coordinates(centred):
    target = targets.EightSchools(centred)
    x = torch.randn(20, 10, generator=torch.Generator().manual_seed(0), dtype=F64)
    values = {key: value.numpy() for key, value in target.constrain(x).items()}
    log_jacobian = np.log(values["tau"]) * (1 if centred else 9)
    np.testing.assert_allclose(target.log_prob(x).numpy(), log_joint(**values) + log_jacobian, rtol=1e-12)


@needs_data
@both
def test_moments_are_those_of_the_reference(centred):
    mean, sd, _ = exact("eight_schools")
    moments = targets.EightSchools(centred).moments
    stated = torch.cat([moments["theta"].mean, moments["mu"].mean[None], moments["tau"].mean[None]])
    torch.testing.assert_close(stated, mean.to(F64), rtol=1e-6, atol=0)
    stated = torch.cat([moments["theta"].sd, moments["mu"].sd[None], moments["tau"].sd[None]])
    torch.testing.assert_close(stated, sd.to(F64), rtol=1e-6, atol=0)


@needs_data
def test_data_are_those_of_posteriordb():
    assert load("eight_schools")["y"] == Y.tolist()
    assert load("eight_schools")["sigma"] == S.tolist()


@both
def test_log_z_is_the_evidence(centred):
    def marginal(tau):
        """p(y given tau) p(tau): mu and theta integrated in one multivariate normal."""
        covariance = np.diag(S**2 + tau**2) + 25.0
        return np.exp(stats.multivariate_normal(np.zeros(8), covariance).logpdf(Y)) * stats.halfcauchy(0, 5).pdf(tau)

    pieces = [integrate.quad(marginal, a, b, epsabs=0, epsrel=1e-11)[0] for a, b in ((0, 5), (5, 30), (30, np.inf))]
    assert targets.EightSchools(centred).log_z == pytest.approx(np.log(sum(pieces)), abs=1e-9)


def test_both_forms_agree_through_the_change_of_variables():
    centred, non_centred = targets.EightSchools(True), targets.EightSchools(False)
    x = torch.randn(20, 10, generator=torch.Generator().manual_seed(0), dtype=F64)
    theta = non_centred.constrain(x)["theta"]
    moved = torch.cat([x[:, :2], theta], -1)
    torch.testing.assert_close(centred.log_prob(moved) + 8 * x[:, 1], non_centred.log_prob(x), rtol=1e-12, atol=1e-12)
    for key, value in non_centred.constrain(x).items():
        torch.testing.assert_close(centred.constrain(moved)[key], value)


def test_draws_of_both_forms_are_the_same_schools():
    draws = []
    for centred in (True, False):
        target = targets.EightSchools(centred)
        draws.append(target.constrain(target.sample(100, generator=torch.Generator().manual_seed(1))))
    for key in ("mu", "tau", "theta"):
        torch.testing.assert_close(draws[0][key], draws[1][key])


@both
def test_exact_draws_follow_the_conditionals_and_the_marginal_of_tau(centred, generator):
    target = targets.EightSchools(centred)
    mu, tau, theta = (v.numpy() for v in target.constrain(target.sample(5000, generator=generator)).values())
    precision = 1 / S**2 + 1 / tau[:, None] ** 2
    centre = (Y / S**2 + mu[:, None] / tau[:, None] ** 2) / precision
    assert stats.kstest(((theta - centre) * np.sqrt(precision)).ravel(), "norm").pvalue > 1e-5
    weight = 1 / (S**2 + tau[:, None] ** 2)
    total = weight.sum(-1) + 1 / 25
    assert stats.kstest((mu - (weight @ Y) / total) * np.sqrt(total), "norm").pvalue > 1e-5
    grid = 200 * np.linspace(0, 1, 801) ** 3
    density = [
        np.exp(stats.multivariate_normal(np.zeros(8), np.diag(S**2 + t**2) + 25.0).logpdf(Y)) / (1 + t**2 / 25)
        for t in grid
    ]
    mass = integrate.cumulative_trapezoid(density, x=grid, initial=0)
    assert stats.kstest(tau, lambda t: np.interp(t, grid, mass / mass[-1])).pvalue > 1e-5


def test_variables_are_named_and_labelled():
    variables = targets.EightSchools().variables
    assert {key: v.shape for key, v in variables.items()} == {"mu": (), "tau": (), "theta": (8,)}
    assert variables["theta"].dims == ("school",)
    assert variables["theta"].coords == {"school": list("ABCDEFGH")}


@both
def test_constrained_draws_keep_the_batch_axes(centred):
    values = targets.EightSchools(centred).constrain(torch.zeros(2, 3, 10, dtype=F64))
    assert {key: value.shape for key, value in values.items()} == {"mu": (2, 3), "tau": (2, 3), "theta": (2, 3, 8)}
