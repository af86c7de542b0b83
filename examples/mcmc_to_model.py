"""A posterior's HMC draws, a diffusion model of them, and log Z by the model's exact weights, beside SMC's.

    python examples/mcmc_to_model.py [iterations]

Logistic regression on the sonar returns, 61 coefficients. HMC gives draws and no log Z. A model that is learned from
them gives independent draws of nearly the same law, whose exact weights correct what it has not learned, and log Z with
its standard error. The posterior is close to a Gaussian, from which training starts, and 1,000 iterations, a minute,
add little. The picture is mcmc_to_model.png.
"""

import sys

from matplotlib.figure import Figure

import targets
from samplers import HMC, SMC, ScoreDiffusion
from samplers.generative import ScoreMLP, Training


def main(iterations=1000, draws=4000):
    posterior = targets.benchmark("sonar")
    chains = HMC().sample(posterior, chains=64, draws=250, seed=0)
    model = ScoreDiffusion(network=ScoreMLP(blocks=2), training=Training(batch=256), standardise="whiten")
    fitted = model.fit(chains, iterations=iterations)
    drawn = fitted.weigh(posterior, draws=draws, steps=50)
    beside = SMC().sample(posterior, draws=draws // 4, seed=0)
    for name, one in (("model", drawn), ("SMC", beside)):
        log_z, cost = one.log_z, one.cost
        print(f"log Z by {name:6} {log_z.value:.3f} +- {log_z.standard_error:.3f}, {cost.log_prob:,} log-densities")
    print(f"HMC took {chains.cost.score:,} scores; {drawn.attrs['ess']:.0%} of the model's draws are effective")
    print(drawn.certificate)

    figure = Figure(figsize=(10, 3), layout="constrained")
    weights = drawn.log_weights[0].softmax(0)
    for coefficient, axes in enumerate(figure.subplots(1, 4)):
        _, edges, _ = axes.hist(chains.x[..., coefficient].flatten(), 40, density=True, color="0.8", label="HMC")
        options = {"bins": edges, "density": True, "histtype": "step"}
        axes.hist(drawn.x[0, :, coefficient], **options, label="model")
        axes.hist(drawn.x[0, :, coefficient], weights=weights, **options, label="model, weighted")
        axes.set(title=f"coefficient {coefficient}", yticks=[])
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig("mcmc_to_model.png", dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
