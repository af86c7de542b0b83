"""Nine equal modes, and R-hat that sees nothing: chains that start near one another agree, and are wrong together.

R-hat compares the chains with one another, never with the target. By default chains start uniformly on [-2, 2],
which here is the basin of the middle mode: R-hat is near 1, and eight of nine modes are missing.
Started wider than the target, each chain stays in its mode: now R-hat is large, and the weights are those of the
starting points. What tells the truth is what is known of the target (here `mode_weights`), a sampler that crosses, or
scouts that share nothing with the chains: the certificate of both says that mass is missed, or that chains stick.
"""

import warnings

import torch

import samplers
import targets


def scattered(n, generator):
    """Starting points wider than all nine modes."""
    return 6 * torch.randn(n, 2, generator=generator)


def report(title, target, init):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", samplers.SamplingWarning)
        draws = samplers.MALA().sample(
            target, chains=32, draws=400, warmup=100, thin=2, init=init, seed=0, progress=False
        )
        r_hat = draws.summary()["r_hat"].max()
    texts = [str(one.message) for one in said]
    warned = "R-hat warns" if any(text.startswith("R-hat") for text in texts) else "R-hat warns of nothing"
    missed = "mass is missed" if any(text.startswith("mass is missed") for text in texts) else "no mass is missed"
    weights = target.mode_probabilities(draws.x).mean((0, 1))
    print(f"{title}: largest R-hat {r_hat:.2f}; {warned}; {missed}")
    print("  mode weights", " ".join(f"{weight:.2f}" for weight in weights))


def main():
    target = targets.benchmark("gmm9")
    print("the truth\n  mode weights", " ".join(f"{weight:.2f}" for weight in target.mode_weights))
    report("default starts", target, None)
    report("scattered starts", target, scattered)


if __name__ == "__main__":
    main()
