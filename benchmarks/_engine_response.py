"""Item response: does student i answer question j?

mu ~ N(.75, 1), a_i ~ N(0, 1), d_j ~ N(0, 1), y_ij ~ Bernoulli(sigmoid(mu + a_i - d_j)), every student every question
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Response:
    """One model, four ways. students, questions: their numbers; the answers are drawn from the model."""

    students: int
    questions: int

    def data(self) -> np.ndarray:
        """The answers, (students, questions)."""
        draw = np.random.default_rng(0)
        ability, difficulty = draw.standard_normal(self.students), draw.standard_normal(self.questions)
        chance = 1 / (1 + np.exp(-(0.75 + ability[:, None] - difficulty)))
        return (draw.random(chance.shape) < chance).astype(float)

    def ours(self, compiled: bool) -> Any:
        """A `targets.Posterior`."""
        import torch
        from torch import Tensor
        from torch.distributions import Normal

        import targets

        y = torch.tensor(self.data())

        def log_likelihood(mu: Tensor, ability: Tensor, difficulty: Tensor) -> Tensor:
            logits = mu[:, None, None] + ability[:, :, None] - difficulty[:, None]
            return (y * logits - torch.nn.functional.softplus(logits)).sum((-2, -1))

        return targets.Posterior(
            log_likelihood=log_likelihood,
            parameters={
                "mu": targets.Real(prior=Normal(0.75, 1.0)),
                "ability": targets.Real(self.students, prior=Normal(0.0, 1.0)),
                "difficulty": targets.Real(self.questions, prior=Normal(0.0, 1.0)),
            },
            dtype=torch.float64,
            compile=compiled,
        )

    def numpyro(self) -> Any:
        """A NumPyro model, without arguments."""
        import jax.numpy as jnp
        import numpyro
        from numpyro.distributions import Bernoulli, Normal

        y = jnp.asarray(self.data())

        def model() -> None:
            mu = numpyro.sample("mu", Normal(0.75, 1.0))
            ability = numpyro.sample("ability", Normal(0.0, 1.0).expand([self.students]).to_event(1))
            difficulty = numpyro.sample("difficulty", Normal(0.0, 1.0).expand([self.questions]).to_event(1))
            numpyro.sample("y", Bernoulli(logits=mu + ability[:, None] - difficulty), obs=y)

        return model

    def pymc(self) -> Any:
        """A PyMC model."""
        import pymc

        with pymc.Model() as model:
            mu = pymc.Normal("mu", 0.75, 1.0)
            ability = pymc.Normal("ability", 0.0, 1.0, shape=self.students)
            difficulty = pymc.Normal("difficulty", 0.0, 1.0, shape=self.questions)
            pymc.Bernoulli("y", logit_p=mu + ability[:, None] - difficulty, observed=self.data())
        return model

    def stan(self) -> tuple[str, dict[str, Any]]:
        """A Stan program and its data."""
        program = """
            data { int n; int m; array[n, m] int y; }
            parameters { real mu; vector[n] ability; vector[m] difficulty; }
            model {
              mu ~ normal(0.75, 1); ability ~ std_normal(); difficulty ~ std_normal();
              for (i in 1:n) y[i] ~ bernoulli_logit(mu + ability[i] - difficulty);
            }
        """
        return program, {"n": self.students, "m": self.questions, "y": self.data().astype(int).tolist()}
