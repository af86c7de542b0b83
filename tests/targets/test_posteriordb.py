"""The posteriordb models, written as a user writes them, against formulas in NumPy and SciPy."""

import numpy as np
import pytest
import torch
from posteriordb import DATA, MODELS, exact, flat, load
from scipy import stats

from targets.base import differentiate

pytestmark = pytest.mark.skipif(not (DATA / "kidiq.json").exists(), reason=f"no data in {DATA}; set UNNORM_DATA")


def normal(outcome, *predictors):
    """log N(outcome; beta . (1, predictors), sigma)."""
    design = np.stack([np.ones_like(outcome), *predictors], -1)
    return lambda beta, sigma: stats.norm(design @ beta, sigma).logpdf(outcome).sum()


def arrays(name, *keys):
    data = load(name)
    return [np.array(data[key], dtype=float) for key in keys]


def kidiq(*keys, interaction=False):
    outcome, *predictors = arrays("kidiq", "kid_score", *keys)
    if interaction:
        predictors.append(predictors[0] * predictors[1])
    likelihood = normal(outcome, *predictors)
    return lambda beta, sigma: likelihood(beta, sigma) + stats.halfcauchy(0, 2.5).logpdf(sigma)


def eight_schools():
    y, s = arrays("eight_schools", "y", "sigma")

    def density(mu, tau, z):
        prior = stats.norm(0, 5).logpdf(mu) + stats.halfcauchy(0, 5).logpdf(tau) + stats.norm.logpdf(z).sum()
        return prior + stats.norm(mu + tau * z, s).logpdf(y).sum()

    return density


def sblrc():
    x, y = arrays("sblrc", "X", "y")

    def density(beta, sigma):
        prior = stats.norm(0, 10).logpdf(beta).sum() + stats.halfnorm(0, 10).logpdf(sigma)
        return prior + stats.norm(x @ beta, sigma).logpdf(y).sum()

    return density


def earn_height():
    return normal(*arrays("earnings", "earn", "height"))


def logearn():
    earn, height, male = arrays("earnings", "earn", "height", "male")
    return normal(np.log(earn), height, male)


def kilpisjarvi():
    data = load("kilpisjarvi_mod")
    x, y = arrays("kilpisjarvi_mod", "x", "y")

    def density(alpha, beta, sigma):
        prior = stats.norm(data["pmualpha"], data["psalpha"]).logpdf(alpha)
        prior += stats.norm(data["pmubeta"], data["psbeta"]).logpdf(beta)
        return prior + stats.norm(alpha + beta * x, sigma).logpdf(y).sum()

    return density


FORMULAS = {
    "eight_schools": eight_schools,
    "kidiq-kidscore_momiq": lambda: kidiq("mom_iq"),
    "kidiq-kidscore_momhsiq": lambda: kidiq("mom_hs", "mom_iq"),
    "kidiq-kidscore_interaction": lambda: kidiq("mom_hs", "mom_iq", interaction=True),
    "sblrc-blr": sblrc,
    "earnings-earn_height": earn_height,
    "earnings-logearn_height_male": logearn,
    "kilpisjarvi_mod-kilpisjarvi": kilpisjarvi,
}
SCALES = ("tau", "sigma")
names = pytest.mark.parametrize("name", FORMULAS)


def near_the_reference(name):
    """A model and eight points around its exact mean, in unconstrained coordinates."""
    make, order = MODELS[name]
    target = make()
    mean, sd, _ = exact(name)
    noise = torch.randn(8, len(mean), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if name == "eight_schools":
        return target, noise
    constrained = mean.double() + 0.5 * sd.double() * noise
    sizes = [target.parameters[key].size for key in order]
    parts = dict(zip(order, constrained.split(sizes, -1), strict=True))
    return target, target.unconstrain({key: parts[key].reshape(8, *target.parameters[key].shape) for key in order})


def test_every_model_has_a_formula():
    assert FORMULAS.keys() == MODELS.keys()


@names
def test_log_prob_is_the_formula_plus_the_log_jacobian(name):
    target, x = near_the_reference(name)
    values = {key: target.constrain(x)[key].numpy() for key in target.parameters}
    (scale,) = (key for key in values if key in SCALES)
    density = FORMULAS[name]()
    expected = [density(**{key: v[i] for key, v in values.items()}) + np.log(values[scale][i]) for i in range(len(x))]
    np.testing.assert_allclose(target.log_prob(x).numpy(), expected, rtol=1e-10)


@names
def test_the_score_is_that_of_central_differences(name):
    target, x = near_the_reference(name)
    value, score = target.log_prob_and_score(x)
    torch.testing.assert_close(value, target.log_prob(x))
    torch.testing.assert_close(score, differentiate(target.log_prob, x, name)[1])
    direction = x.std(0) * torch.randn(target.dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h = 1e-4
    slope = (target.log_prob(x + h * direction) - target.log_prob(x - h * direction)) / (2 * h)
    torch.testing.assert_close(score @ direction, slope, rtol=1e-6, atol=1e-5)


@names
def test_constrained_values_are_in_the_order_of_the_reference(name):
    target, x = near_the_reference(name)
    draws = target.constrain(x.reshape(2, 4, -1))  # chains, draws
    assert flat(draws, MODELS[name][1]).shape == (2, 4, len(exact(name)[0]))


@names
def test_a_prior_is_known_exactly_where_the_model_has_a_proper_one(name):
    target, _ = near_the_reference(name)
    assert target.known == ({"prior"} if name in ("eight_schools", "sblrc-blr") else set())
