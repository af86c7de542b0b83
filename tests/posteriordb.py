"""The posteriordb models as a user would write them, their data, and their exact moments."""

import json
import math
import os
from pathlib import Path

import torch
from torch.distributions import HalfCauchy, HalfNormal, Normal

import targets

DATA = Path(os.environ.get("UNNORM_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def load(name):
    return json.loads((DATA / f"{name}.json").read_text())


def columns(data, *names):
    return [torch.tensor(data[name], dtype=torch.float64) for name in names]


def eight_schools():
    data = load("eight_schools")
    y, s = columns(data, "y", "sigma")

    def log_likelihood(mu, tau, z):
        return Normal(mu[:, None] + tau[:, None] * z, s).log_prob(y).sum(-1)

    return targets.Posterior(
        log_likelihood=log_likelihood,
        parameters={
            "mu": targets.Real(prior=Normal(0.0, 5.0)),
            "tau": targets.Positive(prior=HalfCauchy(5.0)),
            "z": targets.Real(8, prior=Normal(0.0, 1.0)),
        },
        derived=lambda mu, tau, z: {"theta": mu[:, None] + tau[:, None] * z},
    )


def linear(outcome, *predictors, sigma_prior=None):
    """outcome ~ N(beta_1 + beta_2 x_2 + ..., sigma), flat beta, flat sigma unless a prior is given."""
    design = torch.stack([torch.ones_like(outcome), *predictors], -1)

    def log_joint(beta, sigma):
        value = Normal(beta @ design.mT, sigma[:, None]).log_prob(outcome).sum(-1)
        return value if sigma_prior is None else value + sigma_prior.log_prob(sigma)

    return targets.Posterior(log_joint, {"beta": targets.Real(design.shape[1]), "sigma": targets.Positive()})


def kidiq_momiq():
    score, iq = columns(load("kidiq"), "kid_score", "mom_iq")
    return linear(score, iq, sigma_prior=HalfCauchy(torch.tensor(2.5, dtype=torch.float64)))


def kidiq_momhsiq():
    score, hs, iq = columns(load("kidiq"), "kid_score", "mom_hs", "mom_iq")
    return linear(score, hs, iq, sigma_prior=HalfCauchy(torch.tensor(2.5, dtype=torch.float64)))


def kidiq_interaction():
    score, hs, iq = columns(load("kidiq"), "kid_score", "mom_hs", "mom_iq")
    return linear(score, hs, iq, hs * iq, sigma_prior=HalfCauchy(torch.tensor(2.5, dtype=torch.float64)))


def sblrc():
    design, y = columns(load("sblrc"), "X", "y")
    return targets.Posterior(
        log_likelihood=lambda beta, sigma: Normal(beta @ design.mT, sigma[:, None]).log_prob(y).sum(-1),
        parameters={
            "beta": targets.Real(5, prior=Normal(0.0, 10.0)),
            "sigma": targets.Positive(prior=HalfNormal(10.0)),
        },
    )


def earn_height():
    earn, height = columns(load("earnings"), "earn", "height")
    return linear(earn, height)


def logearn_height_male():
    earn, height, male = columns(load("earnings"), "earn", "height", "male")
    return linear(earn.log(), height, male)


def kilpisjarvi():
    data = load("kilpisjarvi_mod")
    x, y = columns(data, "x", "y")

    def log_joint(alpha, beta, sigma):
        prior = Normal(float(data["pmualpha"]), float(data["psalpha"])).log_prob(alpha)
        prior = prior + Normal(float(data["pmubeta"]), float(data["psbeta"])).log_prob(beta)
        return prior + Normal(alpha[:, None] + beta[:, None] * x, sigma[:, None]).log_prob(y).sum(-1)

    return targets.Posterior(log_joint, {"alpha": targets.Real(), "beta": targets.Real(), "sigma": targets.Positive()})


MODELS = {
    "eight_schools": (eight_schools, ("theta", "mu", "tau")),
    "kidiq-kidscore_momiq": (kidiq_momiq, ("beta", "sigma")),
    "kidiq-kidscore_momhsiq": (kidiq_momhsiq, ("beta", "sigma")),
    "kidiq-kidscore_interaction": (kidiq_interaction, ("beta", "sigma")),
    "sblrc-blr": (sblrc, ("beta", "sigma")),
    "earnings-earn_height": (earn_height, ("beta", "sigma")),
    "earnings-logearn_height_male": (logearn_height_male, ("beta", "sigma")),
    "kilpisjarvi_mod-kilpisjarvi": (kilpisjarvi, ("alpha", "beta", "sigma")),
}


def flat(values, names):
    """Named values joined in the order of the reference, (*batch, parameters)."""
    return torch.cat([values[name][..., None] if values[name].ndim == 2 else values[name] for name in names], -1)


def exact(name):
    """Mean and sd by quadrature, in the order of the reference."""
    entry = json.loads((DATA / "posteriordb_reference.json").read_text())[name]
    best = entry.get("exact_by_quadrature", entry)
    mcse = torch.zeros(entry["dim"]) if "exact_by_quadrature" in entry else torch.tensor(entry["mcse_mean"])
    return torch.tensor(best["mean"]), torch.tensor(best["sd"]), mcse


LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
