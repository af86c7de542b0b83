"""Does a model fit, and which of two fits better? Counts that vary more than Poisson's, by two regressions.

    counts_i ~ Poisson(exp(a + b x_i))     beside     counts_i ~ NegativeBinomial(mean exp(a + b x_i), size r)

Each model is one function that returns the law of the counts: its log-density at the data is the likelihood, its draws
are predictions. The variance of predicted counts stands beside that of the data, before and after these are seen, and
LOO of ArviZ compares the models. The counts are simulated, with r = 2.
"""

import torch
from matplotlib.figure import Figure
from torch.distributions import Exponential, NegativeBinomial, Normal, Poisson

import samplers
import targets
from samplers.draws.records import import_arviz

X = torch.linspace(-1, 1, 80, dtype=torch.float64)


def simulate():
    generator = torch.Generator().manual_seed(4)
    rate = (1.5 + 0.8 * X).exp()
    sums = [-torch.rand(len(X), generator=generator, dtype=torch.float64).log() for _ in range(2)]
    return torch.poisson(rate * sum(sums) / 2, generator=generator)  # a gamma of shape 2 is a sum of exponentials


def poisson(a, b):
    return {"counts": Poisson((a[:, None] + b[:, None] * X).exp())}


def negative_binomial(a, b, r):
    return {"counts": NegativeBinomial(r[:, None], logits=a[:, None] + b[:, None] * X - r[:, None].log())}


def models(counts):
    line = {"a": targets.Real(prior=Normal(0.0, 1.5)), "b": targets.Real(prior=Normal(0.0, 1.0))}
    size = {"r": targets.Positive(prior=Exponential(0.2))}
    data = {"observed": {"counts": counts}, "dims": {"counts": "x"}, "coords": {"x": X.tolist()}}
    yield "Poisson", targets.Posterior(parameters=line, predictive=poisson, **data)
    yield "negative binomial", targets.Posterior(parameters=line | size, predictive=negative_binomial, **data)


def main():
    counts, trees = simulate(), {}
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    print(f"variance of the counts {float(counts.var()):.1f}")
    print(f"{'':20}predicted before  predicted after  share above the data's")
    for axes, (name, model) in zip(figure.subplots(1, 2, sharey=True), models(counts), strict=True):
        draws = samplers.HMC().sample(model, chains=16, draws=250, warmup=300, seed=1, progress=False)
        trees[name] = draws.to_arviz(log_likelihood=True, prior_predictive=1000)
        before = torch.tensor(trees[name]["prior_predictive"]["counts"].values).var(-1)
        after = draws.predict(seed=2)["counts"].var(-1)
        share = float((after >= counts.var()).double().mean())
        print(f"{name:20}{float(before.median()):16.1f}  {float(after.median()):15.1f}  {share:22.3f}")
        axes.hist(after.reshape(-1).numpy(), bins=40, range=(0, 80), label="predicted")
        axes.axvline(float(counts.var()), color="k", label="of the data")
        axes.set(title=name, xlabel="variance of the counts")
    axes.legend()
    figure.savefig("posterior_predictive.png", dpi=120)
    print(import_arviz().compare(trees).iloc[:, :7].to_string())


if __name__ == "__main__":
    main()
