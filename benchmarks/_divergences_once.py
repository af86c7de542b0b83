"""Runs of HMC on one model in one tree, as JSON, for `divergences.py`: the model, how many seeds, how many draws."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import targets

# each with its seeds: those that a newcomer meets with ten
MODELS = {
    "counts, non-centred": 10,
    "counts, centred": 10,
    "eight schools, non-centred": 10,
    "eight schools, centred": 3,
    "patients, intercepts": 10,
    "patients, lines": 10,
    "kidiq-kidscore_momiq": 3,
    "kidiq-kidscore_momhsiq": 3,
    "kidiq-kidscore_interaction": 3,
    "sblrc-blr": 3,
    "earnings-earn_height": 3,
    "earnings-logearn_height_male": 3,
    "kilpisjarvi_mod-kilpisjarvi": 3,
}


def counts(centred: bool) -> targets.Posterior:
    """y_i ~ Poisson(exp(a + b x_i + tau z_g)), a ~ N(0, 2.5), b ~ N(0, 1), tau ~ HalfNormal(1), z_g ~ N(0, 1)."""
    import torch
    from torch import Tensor
    from torch.distributions import HalfNormal, Normal

    import targets

    generator, groups, each = torch.Generator().manual_seed(0), 12, 20
    x = torch.randn(groups, each, generator=generator, dtype=torch.float64)
    effect = 0.7 * torch.randn(groups, generator=generator, dtype=torch.float64)
    y = torch.poisson((1.0 + 0.5 * x + effect[:, None]).exp(), generator=generator)

    def log_likelihood(b: Tensor, effect: Tensor) -> Tensor:
        log_rate = b[:, None, None] * x + effect[..., None]
        return (y * log_rate - log_rate.exp()).sum((-2, -1))

    priors = {"a": Normal(0.0, 2.5), "b": Normal(0.0, 1.0), "tau": HalfNormal(1.0)}
    if not centred:
        return targets.Posterior(
            log_likelihood=lambda a, b, tau, z: log_likelihood(b, a[:, None] + tau[:, None] * z),
            parameters={
                "a": targets.Real(prior=priors["a"]),
                "b": targets.Real(prior=priors["b"]),
                "tau": targets.Positive(prior=priors["tau"]),
                "z": targets.Real(groups, prior=Normal(0.0, 1.0)),
            },
        )

    def log_joint(a: Tensor, b: Tensor, tau: Tensor, u: Tensor) -> Tensor:
        prior = -a.square() / 12.5 - b.square() / 2 - tau.square() / 2
        return prior + Normal(a[:, None], tau[:, None]).log_prob(u).sum(-1) + log_likelihood(b, u)

    parameters = {"a": targets.Real(), "b": targets.Real(), "tau": targets.Positive(), "u": targets.Real(groups)}
    return targets.Posterior(log_joint, parameters)


def schools(centred: bool) -> targets.Posterior:
    """Eight schools as of the README, or with the effects themselves as parameters."""
    import torch
    from torch import Tensor
    from torch.distributions import HalfCauchy, Normal

    import targets
    from targets.eight_schools import EFFECTS, ERRORS

    y, s = torch.tensor(EFFECTS, dtype=torch.float64), torch.tensor(ERRORS, dtype=torch.float64)
    if not centred:
        return targets.Posterior(
            log_likelihood=lambda mu, tau, z: Normal(mu[:, None] + tau[:, None] * z, s).log_prob(y).sum(-1),
            parameters={
                "mu": targets.Real(prior=Normal(0.0, 5.0)),
                "tau": targets.Positive(prior=HalfCauchy(5.0)),
                "z": targets.Real(8, prior=Normal(0.0, 1.0)),
            },
        )

    def log_joint(mu: Tensor, tau: Tensor, theta: Tensor) -> Tensor:
        prior = -mu.square() / 50 - torch.log1p(tau.square() / 25)
        effects = Normal(mu[:, None], tau[:, None]).log_prob(theta)
        return prior + (effects + Normal(theta, s).log_prob(y)).sum(-1)

    return targets.Posterior(log_joint, {"mu": targets.Real(), "tau": targets.Positive(), "theta": targets.Real(8)})


def patients(lines: bool) -> targets.Posterior:
    """Fifteen patients seen six times, seven values missing, Student errors: centred intercepts, or lines."""
    import torch
    from torch.distributions import Gamma, HalfNormal, LKJCholesky, MultivariateNormal, Normal, StudentT

    import targets

    generator, n, times = torch.Generator().manual_seed(0), 15, torch.linspace(0, 2.5, 6, dtype=torch.float64)
    own = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    level, slope = 5.0 + own[:, 0], -0.8 + 0.3 * own[:, 0] + 0.5 * own[:, 1]
    noise = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    every = level[:, None] + slope[:, None] * times + 0.5 * noise
    seen = torch.ones(6 * n, dtype=torch.bool)
    seen[torch.randperm(6 * n, generator=generator)[:7]] = False
    who, t = torch.arange(n).repeat_interleave(6)[seen], times.repeat(n)[seen]
    parameters = {
        "sigma": targets.Positive(prior=HalfNormal(1.0)),
        "nu": targets.Positive(prior=Gamma(2.0, 0.1)),
    }
    if not lines:
        parameters |= {
            "a": targets.Real(n, prior=lambda mean, tau: Normal(mean, tau)),
            "mean": targets.Real(prior=Normal(4.0, 3.0)),
            "slope": targets.Real(prior=Normal(0.0, 1.0)),
            "tau": targets.Positive(prior=HalfNormal(1.0)),
        }
        return targets.Posterior(
            predictive=lambda a, slope, sigma, nu: {
                "y": StudentT(nu[:, None], a[:, who] + slope[:, None] * t, sigma[:, None])
            },
            observed={"y": every.flatten()[seen]},
            parameters=parameters,
        )
    parameters |= {
        "line": targets.Real(
            n, 2, prior=lambda mean, scale, corr: MultivariateNormal(mean, scale_tril=scale[..., None] * corr)
        ),
        "mean": targets.Real(2, prior=Normal(torch.tensor([4.0, 0.0]), torch.tensor([3.0, 1.0]))),
        "scale": targets.Positive(2, prior=HalfNormal(1.0)),
        "corr": targets.CorrelationCholesky(2, prior=LKJCholesky(2, 2.0)),
    }
    return targets.Posterior(
        predictive=lambda line, sigma, nu: {
            "y": StudentT(nu[:, None], line[:, who, 0] + line[:, who, 1] * t, sigma[:, None])
        },
        observed={"y": every.flatten()[seen]},
        parameters=parameters,
    )


def built(name: str) -> Any:
    """The model of that name; None where its data are not beside the project."""
    family, _, form = name.partition(", ")
    if family == "patients":
        return patients(form == "lines")
    if form:
        return (counts if family == "counts" else schools)(form == "centred")
    sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
    import posteriordb

    return posteriordb.MODELS[name][0]() if posteriordb.DATA.exists() else None


def main() -> None:
    import samplers
    from samplers.draws.records import import_arviz

    name, seeds, draws = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    warnings.simplefilter("ignore")
    target, arviz, found = built(name), import_arviz(), []
    for seed in range(seeds if target is not None else 0):
        run = samplers.HMC().sample(target, draws=draws, seed=seed, progress=False)
        data = arviz.convert_to_dataset({key: value.numpy() for key, value in run.constrained.items()})
        ess = [value.min() for kind in ("bulk", "tail") for value in arviz.ess(data, method=kind).values()]
        found.append(
            {
                "divergences": int(run.divergences.sum()),
                "steps": 64 * draws,
                "evaluations": run.cost.score,
                "ess": float(min(map(float, ess))),
                "acceptance": float(run.stats["acceptance_rate"].mean()),
            }
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
