"""Eight schools, non-centred: mu ~ N(0, 5), tau ~ HalfCauchy(5), z_j ~ N(0, 1), y_j ~ N(mu + tau z_j, s_j)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from targets.eight_schools import EFFECTS, ERRORS


@dataclass(frozen=True)
class Schools:
    """One model, four ways."""

    def ours(self, compiled: bool) -> Any:
        """A `targets.Posterior`."""
        import torch
        from torch.distributions import HalfCauchy, Normal

        import targets

        y, s = torch.tensor(EFFECTS, dtype=torch.float64), torch.tensor(ERRORS, dtype=torch.float64)
        return targets.Posterior(
            log_likelihood=lambda mu, tau, z: Normal(mu[:, None] + tau[:, None] * z, s).log_prob(y).sum(-1),
            parameters={
                "mu": targets.Real(prior=Normal(0.0, 5.0)),
                "tau": targets.Positive(prior=HalfCauchy(5.0)),
                "z": targets.Real(8, prior=Normal(0.0, 1.0)),
            },
            compile=compiled,
        )

    def numpyro(self) -> Any:
        """A NumPyro model, without arguments."""
        import jax.numpy as jnp
        import numpyro
        from numpyro.distributions import HalfCauchy, Normal

        y, s = jnp.array(EFFECTS), jnp.array(ERRORS)

        def model() -> None:
            mu, tau = numpyro.sample("mu", Normal(0.0, 5.0)), numpyro.sample("tau", HalfCauchy(5.0))
            z = numpyro.sample("z", Normal(0.0, 1.0).expand([8]).to_event(1))
            numpyro.sample("y", Normal(mu + tau * z, s), obs=y)

        return model

    def pymc(self) -> Any:
        """A PyMC model."""
        import pymc

        with pymc.Model() as model:
            mu, tau = pymc.Normal("mu", 0.0, 5.0), pymc.HalfCauchy("tau", 5.0)
            z = pymc.Normal("z", 0.0, 1.0, shape=8)
            pymc.Normal("y", mu + tau * z, np.array(ERRORS), observed=np.array(EFFECTS))
        return model

    def stan(self) -> tuple[str, dict[str, Any]]:
        """A Stan program and its data."""
        program = """
            data { vector[8] y; vector<lower=0>[8] s; }
            parameters { real mu; real<lower=0> tau; vector[8] z; }
            model { mu ~ normal(0, 5); tau ~ cauchy(0, 5); z ~ std_normal(); y ~ normal(mu + tau * z, s); }
        """
        return program, {"y": list(EFFECTS), "s": list(ERRORS)}
