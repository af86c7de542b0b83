"""Regressions, with groups or without.

w ~ N(0, 1), eta_i = x_i . w + tau z_g(i), tau ~ HalfNormal(1), z_g ~ N(0, 1), and y_i one of
Gaussian    N(eta_i, sigma), sigma ~ HalfNormal(1)
Poisson     Poisson(exp(eta_i))
Bernoulli   Bernoulli(sigmoid(eta_i))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

STAN = {
    "Gaussian": "y ~ normal(eta, sigma);",
    "Poisson": "y ~ poisson_log(eta);",
    "Bernoulli": "y ~ bernoulli_logit(eta);",
}


@dataclass(frozen=True)
class Regression:
    """One model, four ways.

    family: of the outcome. rows, groups, columns: sizes of data drawn from the model, the first column being ones.
    data: the name of a data set of `targets.datasets` instead, standardised, without groups.
    """

    family: str
    rows: int = 0
    groups: int = 0
    columns: int = 0
    data: str = ""

    def observed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(design (rows, columns), outcome (rows,), group of each row)."""
        if self.data:
            from targets import datasets

            features, labels = getattr(datasets, self.data)()
            return datasets.standardised(features), labels, np.zeros(len(labels), dtype=int)
        draw = np.random.default_rng(0)
        design = np.hstack([np.ones((self.rows, 1)), draw.standard_normal((self.rows, self.columns - 1))])
        group = np.sort(draw.integers(self.groups, size=self.rows))
        weights = 0.5 * draw.standard_normal(self.columns)
        eta = design @ weights + 0.5 * draw.standard_normal(self.groups)[group]
        y = draw.poisson(np.exp(eta)) if self.family == "Poisson" else eta + 0.7 * draw.standard_normal(self.rows)
        return design, y.astype(float), group

    def ours(self, compiled: bool) -> Any:
        """A `targets.Posterior`."""
        import torch
        from torch import Tensor
        from torch.distributions import HalfNormal, Normal

        import targets

        design, y, group = map(torch.tensor, self.observed())
        parameters = {"w": targets.Real(design.shape[1], prior=Normal(0.0, 1.0))}
        if self.groups:
            parameters["tau"] = targets.Positive(prior=HalfNormal(1.0))
            parameters["z"] = targets.Real(self.groups, prior=Normal(0.0, 1.0))
        if self.family == "Gaussian":
            parameters["sigma"] = targets.Positive(prior=HalfNormal(1.0))

        def log_likelihood(w: Tensor, tau: Tensor, z: Tensor, sigma: Tensor) -> Tensor:
            eta = w @ design.mT + (tau[:, None] * z)[:, group]
            return Normal(eta, sigma[:, None]).log_prob(y).sum(-1)

        def log_likelihood_of_counts(w: Tensor, tau: Tensor, z: Tensor) -> Tensor:
            eta = w @ design.mT + (tau[:, None] * z)[:, group]
            return (y * eta - eta.exp()).sum(-1)

        def log_likelihood_of_labels(w: Tensor) -> Tensor:
            eta = w @ design.mT
            return (y * eta - torch.nn.functional.softplus(eta)).sum(-1)

        functions = {
            "Gaussian": log_likelihood,
            "Poisson": log_likelihood_of_counts,
            "Bernoulli": log_likelihood_of_labels,
        }
        return targets.Posterior(
            log_likelihood=functions[self.family], parameters=parameters, dtype=torch.float64, compile=compiled
        )

    def numpyro(self) -> Any:
        """A NumPyro model, without arguments."""
        import jax.numpy as jnp
        import numpyro
        from numpyro.distributions import Bernoulli, HalfNormal, Normal, Poisson

        design, y, group = map(jnp.asarray, self.observed())

        def model() -> None:
            eta = design @ numpyro.sample("w", Normal(0.0, 1.0).expand([design.shape[1]]).to_event(1))
            if self.groups:
                tau = numpyro.sample("tau", HalfNormal(1.0))
                eta = eta + (tau * numpyro.sample("z", Normal(0.0, 1.0).expand([self.groups]).to_event(1)))[group]
            if self.family == "Gaussian":
                numpyro.sample("y", Normal(eta, numpyro.sample("sigma", HalfNormal(1.0))), obs=y)
            elif self.family == "Poisson":
                numpyro.sample("y", Poisson(jnp.exp(eta)), obs=y)
            else:
                numpyro.sample("y", Bernoulli(logits=eta), obs=y)

        return model

    def pymc(self) -> Any:
        """A PyMC model."""
        import pymc

        design, y, group = self.observed()
        with pymc.Model() as model:
            eta = pymc.math.dot(design, pymc.Normal("w", 0.0, 1.0, shape=design.shape[1]))
            if self.groups:
                eta = eta + (pymc.HalfNormal("tau", 1.0) * pymc.Normal("z", 0.0, 1.0, shape=self.groups))[group]
            if self.family == "Gaussian":
                pymc.Normal("y", eta, pymc.HalfNormal("sigma", 1.0), observed=y)
            elif self.family == "Poisson":
                pymc.Poisson("y", pymc.math.exp(eta), observed=y)
            else:
                pymc.Bernoulli("y", logit_p=eta, observed=y)
        return model

    def stan(self) -> tuple[str, dict[str, Any]]:
        """A Stan program and its data."""
        design, y, group = self.observed()
        whole = self.family != "Gaussian"
        program = f"""
            data {{
              int n; int p; int g;
              matrix[n, p] x; {"array[n] int y;" if whole else "vector[n] y;"} array[n] int group;
            }}
            parameters {{
              vector[p] w;
              {"real<lower=0> tau; vector[g] z;" if self.groups else ""}
              {"" if whole else "real<lower=0> sigma;"}
            }}
            model {{
              vector[n] eta = x * w{" + tau * z[group]" if self.groups else ""};
              w ~ std_normal();
              {"tau ~ std_normal(); z ~ std_normal();" if self.groups else ""}
              {"" if whole else "sigma ~ std_normal();"}
              {STAN[self.family]}
            }}
        """
        outcome = y.astype(int) if whole else y
        data = {"x": design.tolist(), "y": outcome.tolist(), "group": (group + 1).tolist(), "g": max(self.groups, 1)}
        return program, data | {"n": len(y), "p": design.shape[1]}
