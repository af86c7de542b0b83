"""A model of your own: success rates that vary between eight groups, as a `Posterior` with named parameters.

    successes_j ~ Binomial(40, sigmoid(theta_j)),     theta_j ~ N(mu, tau),     mu ~ N(0, 2),     tau ~ half-N(0, 2)

Here the function is the log of the joint density, priors included; `hierarchical.py` gives a prior that depends on
other parameters as `prior=` instead. Counts are simulated, HMC samples, and the summary is printed beside the logits
that made them. With few data a group, write theta = mu + tau z with z ~ N(0, 1) instead: the form used here would then
be a funnel.
"""

import torch
from torch.distributions import Normal
from torch.nn.functional import softplus

import samplers
import targets

GROUPS, TRIALS = 8, 40


def simulate():
    generator = torch.Generator().manual_seed(1)
    theta = 0.5 + 1.5 * torch.randn(GROUPS, generator=generator, dtype=torch.float64)
    uniform = torch.rand(GROUPS, TRIALS, generator=generator, dtype=torch.float64)
    return theta, (uniform < theta.sigmoid()[:, None]).double().sum(-1)


def build(successes):
    def log_joint(mu, tau, theta):
        # mu and tau are (chains,), theta is (chains, groups): the batch of chains is the first axis
        log_prior = -0.5 * (mu / 2).square() - 0.5 * (tau / 2).square()
        log_prior = log_prior + Normal(mu[:, None], tau[:, None]).log_prob(theta).sum(-1)
        return log_prior + (successes * theta - TRIALS * softplus(theta)).sum(-1)

    return targets.Posterior(
        log_joint,
        {"mu": targets.Real(), "tau": targets.Positive(), "theta": targets.Real(GROUPS, dims="group")},
        derived=lambda mu, tau, theta: {"middle_rate": mu.sigmoid()},
        coords={"group": list("ABCDEFGH")},
        name="varying rates",
    )


def main():
    theta, successes = simulate()
    draws = samplers.HMC().sample(build(successes), chains=16, draws=500, warmup=200, seed=1, progress=False)
    print(draws.summary()[["mean", "sd", "ess_bulk", "r_hat"]].to_string())
    print("\nlogits that made the counts:", [round(value, 3) for value in theta.tolist()])
    print(f"{draws.cost.score:,} scores in {draws.cost.seconds:.1f} s; tuned step {draws.kernel.step_size:.2f}")


if __name__ == "__main__":
    main()
