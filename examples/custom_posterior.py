"""A model of your own: success rates that vary between eight groups, as a `Posterior` with named parameters and priors.

Counts are simulated with known rates, HMC samples, and the summary is printed beside the rates that made them. Counts
are few, so the logit of a group is written as mu + tau z with z standard normal; as a parameter of its own, drawn from
N(mu, tau), it would make a funnel.
"""

import torch
from torch.distributions import HalfNormal, Normal
from torch.nn.functional import softplus

import samplers
import targets

GROUPS, TRIALS = 8, 20


def simulate():
    generator = torch.Generator().manual_seed(1)
    logits = 0.5 + torch.randn(GROUPS, generator=generator, dtype=torch.float64)
    uniform = torch.rand(GROUPS, TRIALS, generator=generator, dtype=torch.float64)
    return logits.sigmoid(), (uniform < logits.sigmoid()[:, None]).double().sum(-1)


def build(successes):
    def logits(mu, tau, z):
        return mu[:, None] + tau[:, None] * z  # (chains, groups): the batch of chains is the first axis

    def log_likelihood(mu, tau, z):
        eta = logits(mu, tau, z)
        return (successes * eta - TRIALS * softplus(eta)).sum(-1)  # binomial, up to a constant

    return targets.Posterior(
        log_likelihood=log_likelihood,
        parameters={
            "mu": targets.Real(prior=Normal(0.0, 2.0)),
            "tau": targets.Positive(prior=HalfNormal(1.0)),
            "z": targets.Real(GROUPS, prior=Normal(0.0, 1.0), dims="group"),
        },
        derived=lambda mu, tau, z: {"rate": logits(mu, tau, z).sigmoid()},
        coords={"group": list("ABCDEFGH")},
        name="varying rates",
    )


def main():
    rates, successes = simulate()
    draws = samplers.HMC().sample(build(successes), chains=16, draws=250, warmup=250, seed=1, progress=False)
    table = draws.summary(var_names=["mu", "tau", "rate"])
    print(table[["mean", "sd", "ess_bulk", "r_hat"]].to_string())
    print("\nrates that made the counts:", [round(value, 3) for value in rates.tolist()])
    print(f"{draws.cost.score:,} scores in {draws.cost.seconds:.1f} s; tuned step {draws.kernel.step_size:.2f}")


if __name__ == "__main__":
    main()
