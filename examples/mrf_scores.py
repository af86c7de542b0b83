"""Scores of a Markov random field by networks that look at neighbours alone, beside the exact ones.

An Ising model on a 4 x 4 torus, measured with noise: mean field, TAP and belief propagation in a few rounds, which need
no training, and belief propagation with a few hundred learned weights. The error is that of the score, over that of the
noise in a draw's own score. Argument: iterations of training. Draws `mrf_scores.png`.
"""

import sys

import torch
from matplotlib.figure import Figure

import targets
from samplers.denoisers import Unrolled
from samplers.denoisers.spins import TransferMatrix

SCHEMES = {"mean field": "C0s-", "TAP": "C1^-", "belief propagation": "C2o-"}
SIGMAS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
ROUNDS = (1, 2, 3, 4, 6, 8, 12, 16)


def measure(field, sigma, rows=200):
    """Measurements of exact draws, and what is exactly known of the spins: E[s | y]."""
    generator, noise = torch.Generator().manual_seed(1), targets.IsotropicNoise(sigma)
    s = field.sample(rows, generator=generator)
    y = s + noise.sample_like(s, generator)
    return y, noise, TransferMatrix().estimate(field, y, noise).mean


def error(denoiser, field, measured):
    y, noise, exact = measured
    gap = denoiser.estimate(field, y, noise).mean - exact
    return float((gap.square().mean() / (1 - exact.square()).mean()).sqrt())


def main(iterations=200):
    field = targets.Ising((4, 4), coupling=0.4)
    learned = Unrolled.fit(
        field, (0.4, 10.0), scheme="TAP", rounds=6, width=6, iterations=iterations, batch=64, lr=0.02
    )
    at = {sigma: measure(field, sigma) for sigma in SIGMAS}
    print(f"weights {learned.parameters}, loss {learned.plain_loss:.4f} before training, {learned.loss:.4f} after")
    left, right = (sheet := Figure((10, 4.2), layout="constrained")).subplots(1, 2, sharey=True)
    for scheme, style in SCHEMES.items():
        by_rounds = [error(Unrolled.plain(field, rounds=r, scheme=scheme), field, at[2.0]) for r in ROUNDS]
        by_noise = [error(Unrolled.plain(field, rounds=16, scheme=scheme), field, at[sigma]) for sigma in SIGMAS]
        print(f"{scheme:20} 16 rounds, noise 0.5, 2, 8: " + " ".join(f"{by_noise[k]:.3f}" for k in (0, 4, 8)))
        left.semilogy(ROUNDS, by_rounds, style, label=scheme)
        right.loglog(SIGMAS, by_noise, style, label=scheme)
    by_noise = [error(learned, field, at[sigma]) for sigma in SIGMAS]
    print(f"{'learned':20}  6 rounds, noise 0.5, 2, 8: " + " ".join(f"{by_noise[k]:.3f}" for k in (0, 4, 8)))
    left.semilogy([6], [by_noise[4]], "kD", label="learned")
    right.loglog(SIGMAS, by_noise, "kD-", label="learned")
    left.set(xlabel="rounds: how many edges far a site sees", ylabel="error of the score", title="noise 2")
    right.set(xlabel="standard deviation of the noise", title="16 rounds (learned: 6)"), right.legend(frameon=False)
    right.set_xticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"]), right.minorticks_off()
    sheet.savefig("mrf_scores.png", dpi=100)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
