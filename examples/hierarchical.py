"""A hierarchical model by priors that are functions of other parameters: a Poisson regression with varying intercepts.

    counts_i ~ Poisson(exp(intercept_{g(i)} + slope x_i)),     intercept_g ~ N(mu, tau)

A prior names the parameters that it depends on. It is written for one point, without the axis of chains, and stands in
any order among the others. Twelve groups of twenty counts are simulated; exact draws of the prior show what the model
expects before it sees them, HMC samples, and SMC, which starts from draws of the prior, gives the evidence. With few
counts a group, write intercept = mu + tau z with z ~ N(0, 1) instead: the form used here would then be a funnel.
"""

import torch
from torch.distributions import HalfNormal, Normal, Poisson

import samplers
import targets

F64 = torch.float64
GROUPS = 12
GROUP = torch.arange(GROUPS).repeat_interleave(20)  # of each count


def simulate():
    generator = torch.Generator().manual_seed(1)
    intercept = 1.0 + 0.7 * torch.randn(GROUPS, generator=generator, dtype=F64)
    x = torch.randn(len(GROUP), generator=generator, dtype=F64)
    return intercept, x, torch.poisson((intercept[GROUP] + 0.3 * x).exp(), generator=generator)


def build(x, counts):
    def log_likelihood(intercept, slope):  # it takes what it needs; intercept is (chains, 12), and slope (chains,)
        return Poisson((intercept[:, GROUP] + slope[:, None] * x).exp()).log_prob(counts).sum(-1)

    return targets.Posterior(
        log_likelihood=log_likelihood,
        parameters={
            # at one point mu and tau are numbers: the law of each of the twelve
            "intercept": targets.Real(GROUPS, prior=lambda mu, tau: Normal(mu, tau), dims="group"),
            "mu": targets.Real(prior=Normal(0.0, 2.0)),
            "tau": targets.Positive(prior=HalfNormal(1.0)),
            "slope": targets.Real(prior=Normal(0.0, 1.0)),
        },
        derived=lambda intercept: {"rate": intercept.exp()},
        dims={"rate": "group"},
        coords={"group": list("ABCDEFGHIJKL")},
        name="counts in groups",
    )


def main():
    intercept, x, counts = simulate()
    posterior = build(x, counts)
    before = posterior.prior.sample(2000, generator=torch.Generator().manual_seed(0))
    spread = posterior.prior.constrain(before)["intercept"].std(-1).median()
    print(f"spread of intercepts: median {spread:.2f} before the counts, {intercept.std():.2f} in the data")
    draws = samplers.HMC().sample(posterior, chains=16, draws=300, warmup=200, seed=1, progress=False)
    print(draws.summary()[["mean", "sd", "ess_bulk", "r_hat"]].to_string())
    print("\nintercepts that made the counts:", [round(value, 2) for value in intercept.tolist()])
    evidence = samplers.SMC(moves=3).sample(posterior, draws=200, seed=1, progress=False).log_z
    print(f"log evidence {evidence.value:.2f} +- {evidence.standard_error:.2f}, {draws.cost.score:,} scores")


if __name__ == "__main__":
    main()
