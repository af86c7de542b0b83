"""Checks of predictions and pointwise likelihoods against a conjugate normal model, whose laws are all closed forms.

    mu ~ N(0, 3^2),     y_1..y_5 | mu ~ N(mu, 1) independent:     mu | y ~ N(V sum(y), V),   V = 1 / (5 + 1/9)

A check is a function that raises AssertionError; `seeded_bugs_predictive` lists mistakes that it must reject.
"""

import math

import numpy as np
import torch
import xarray as xr
from scipy.stats import kstest, norm
from torch.distributions import Normal

import samplers
import targets
from samplers.draws import Draws, records
from samplers.testing.sequential_rule import sequential

F64 = torch.float64
Y = torch.tensor([0.3, -1.2, 2.4, 0.9, 1.6], dtype=F64)
SD = 3.0
V = 1 / (len(Y) + 1 / SD**2)
MEAN = V * float(Y.sum())


def predictive(mu):
    return {"y": Normal(mu[:, None], 1.0), "z": Normal(mu, 1.0), "w": Normal(mu, 1.0), "twice": 2 * mu}


def predictive_of_one(mu):
    return {"y": Normal(mu, 1.0), "z": Normal(mu, 1.0), "w": Normal(mu, 1.0), "twice": 2 * mu}


def model(fn=predictive, **more):
    more = {"observed": {"y": Y}, "dims": {"y": "obs"}, "coords": {"obs": list("abcde")}} | more
    return targets.Posterior(parameters={"mu": targets.Real(prior=Normal(0.0, SD))}, predictive=fn, **more)


def exact(n, seed, chains=4, target=None):
    """Independent draws of the posterior, as chains."""
    generator = torch.Generator().manual_seed(seed)
    x = MEAN + math.sqrt(V) * torch.randn(chains, n // chains, 1, generator=generator, dtype=F64)
    return Draws(x, target=model() if target is None else target)


def group(tree, name):
    found = tree[name]
    return found.to_dataset() if hasattr(found, "to_dataset") else found


def _p(values, sd, mean=0.0):
    return float(kstest(np.asarray(values).reshape(-1), norm(mean, sd).cdf).pvalue)


def _noise_p_values(e, f, g, lag):
    """e (chains, draws, 5), f, g (chains, draws): independent N(0, 1), in a draw, between draws and between names."""
    return {
        "noise": _p(e[..., 0], 1),
        "between observations": _p(e[..., 0] - e[..., 1], math.sqrt(2)),
        "between names": _p(f - g, math.sqrt(2)),
        "between draws": _p(e[:, 0::2, 0] - e[:, 1::2, 0], math.sqrt(2)),
        "between chains": _p(e[0::2, :, 0] - e[1::2, :, 0], math.sqrt(2)) if len(e) > 1 else 1.0,
        "between blocks": _p(e[:, :lag, 0] - e[:, lag : 2 * lag, 0], math.sqrt(2)),
    }


def check_predictions(fn=predictive, batched=True, draws=4000):
    """The posterior predictive is N(MEAN, V + 1); each prediction is one of its draw, and all noise is independent."""
    target = model(fn, batched=batched)

    def p_values(stage, n):
        posterior, lag = exact(n, seed=stage, target=target), 100
        found = posterior.predict(seed=stage, block=4 * lag)
        mu = posterior.x[..., 0]
        assert torch.equal(found["twice"], 2 * mu)
        e, f, g = found["y"] - mu[..., None], found["z"] - mu, found["w"] - mu
        return {
            "y": _p(found["y"][..., 0], math.sqrt(V + 1), MEAN),
            **_noise_p_values(e.numpy(), f.numpy(), g.numpy(), lag),
        }

    sequential("posterior predictive", draws, p_values)


def check_prior_predictions():
    """Of exact draws of the prior, N(0, SD^2 + 1), each beside its own mu."""
    target = model()

    def p_values(stage, n):
        tree = samplers.prior_predictive(target, n, seed=stage)
        mu, data = group(tree, "prior")["mu"].values, group(tree, "prior_predictive")
        e, f, g = data["y"].values - mu[..., None], data["z"].values - mu, data["w"].values - mu
        return {
            "mu": _p(mu, SD),
            "y": _p(data["y"].values[..., 0], math.sqrt(SD**2 + 1)),
            **_noise_p_values(e, f, g, 100),
        }

    sequential("prior predictive", 4000, p_values)


def normal_terms(mu):
    """The log-likelihood of each observation, by NumPy."""
    return -0.5 * (np.asarray(mu)[..., None] - Y.numpy()) ** 2 - 0.5 * math.log(2 * math.pi)


def by_hand(draws):
    """What ArviZ needs, made without the library."""
    dims = ("chain", "draw")
    mu = draws.x[..., 0].numpy()
    return records.to_arviz(
        {
            "posterior": xr.Dataset({"mu": (dims, mu)}),
            "log_likelihood": xr.Dataset({"y": ((*dims, "obs"), normal_terms(mu))}),
        }
    )


def check_terms():
    """The group log_likelihood, with the labels of the data."""
    draws = exact(400, seed=0)
    found = group(draws.to_arviz(log_likelihood=True), "log_likelihood")
    assert found["y"].dims == ("chain", "draw", "obs")
    assert found["obs"].values.tolist() == list("abcde")
    np.testing.assert_allclose(found["y"].values, normal_terms(draws.x[..., 0]), rtol=1e-12)


def check_loo():
    """ArviZ's LOO is that of terms made by hand, and the exact one within its Monte Carlo error.

    Left out, y_i ~ N(m_i, v_i + 1) with m_i, v_i the posterior moments given the others. The error of the harmonic
    estimate p_i = 1 / mean(1 / p(y_i | mu)) from independent draws is that of a mean, relative: log has it by itself.
    """
    arviz = records.import_arviz()
    draws = exact(8000, seed=3)
    loo = arviz.loo(draws.to_arviz(log_likelihood=True), pointwise=True)
    hand = arviz.loo(by_hand(draws), pointwise=True)
    elpd = np.asarray(loo.elpd_i if records.arviz_1() else loo.loo_i)
    np.testing.assert_allclose(elpd, np.asarray(hand.elpd_i if records.arviz_1() else hand.loo_i), rtol=1e-10)
    v = 1 / (len(Y) - 1 + 1 / SD**2)
    means = v * (Y.sum() - Y).numpy()
    closed = norm(means, math.sqrt(v + 1)).logpdf(Y.numpy())
    ratios = np.exp(-normal_terms(draws.x[..., 0])).reshape(-1, len(Y))
    error = ratios.std(0) / ratios.mean(0) / math.sqrt(len(ratios))
    assert (np.abs(elpd - closed) < 5 * error).all(), (elpd - closed) / error


def check_groups():
    """Posterior, predictions, terms and data are of the same draws, thinned or not, and of the same data."""
    for thin in (None, 1, 5):
        draws = exact(200, seed=1)
        tree = draws.to_arviz(posterior_predictive=True, log_likelihood=True, prior_predictive=20, thin=thin, seed=7)
        every = thin or 1
        mu = draws.x[:, ::every, 0].numpy()
        np.testing.assert_array_equal(group(tree, "posterior")["mu"].values, mu)
        np.testing.assert_array_equal(group(tree, "posterior_predictive")["twice"].values, 2 * mu)
        np.testing.assert_allclose(group(tree, "log_likelihood")["y"].values, normal_terms(mu), rtol=1e-12)
        predicted = draws.predict(seed=7, thin=thin)["y"].numpy()
        np.testing.assert_array_equal(group(tree, "posterior_predictive")["y"].values, predicted)
        observed = group(tree, "observed_data")["y"]
        assert observed.dims == group(tree, "posterior_predictive")["y"].dims[2:] == ("obs",)
        np.testing.assert_array_equal(observed.values, Y.numpy())
        assert group(tree, "prior")["mu"].shape == (1, 20)
        assert group(tree, "prior_predictive")["y"].shape == (1, 20, 5)


def weighted(seed=4, n=4000):
    """Points of the prior with the likelihood as weights."""
    target = model()
    x = target.prior.sample(n, generator=torch.Generator().manual_seed(seed))[None]
    return Draws(x, log_weights=target.log_likelihood(x), target=target)


def check_weighted():
    """Predictions and terms are those of the draws that are read, in proportion to the weights."""
    draws = weighted()
    mu = draws.constrained["mu"]
    assert torch.equal(draws.evaluate(lambda mu: mu), mu)
    assert torch.equal(draws.predict()["twice"], 2 * mu)
    assert abs(float(mu.mean()) - MEAN) < 5 * math.sqrt(V / draws.weight_ess)
    found = group(draws.to_arviz(log_likelihood=True), "log_likelihood")
    np.testing.assert_allclose(found["y"].values, normal_terms(mu), rtol=1e-12)
