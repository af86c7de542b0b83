"""Handwritten digits of scikit-learn by a latent diffusion, beside a diffusion of the pixels.

    python examples/latent.py [iterations]

Bits a pixel of 300 digits held out, less is better: upper bounds, of the whole model. The first two lines are without
training: principal components, and the Gaussian copula of the pixels. A minute on a core; the picture is latent.png.
"""

import math
import sys
import time

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from samplers import ScoreDiffusion
from samplers.generative import Autoencoder, Denoising, LatentDiffusion, Levels, LogSNRTimes, ScoreMLP, Training

HELD, SIDE, SHOWN, LEAST = 300, 8, 10, 5e-3
SETTINGS = Training(batch=256, learning_rate=3e-3)


def show(name, found, seconds):
    bits = -found.value / (SIDE**2 * math.log(2))
    print(f"{name:<34} {float(bits.mean()):.3f} +- {float(bits.std()) / math.sqrt(len(bits)):.3f}  {seconds:4.0f} s")


def timed(fit):
    began = time.process_time()
    return fit(), time.process_time() - began


def main(iterations=1000):
    x = torch.tensor(load_digits().data, dtype=torch.float32)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    test, train, grey = x[:HELD], x[HELD:], [Levels(0, 16)] * SIDE**2

    def latent(n):
        autoencoder = Autoencoder(size=16, width=128, iterations=n, training=SETTINGS)
        diffusion = ScoreDiffusion(network=ScoreMLP(width=64, blocks=2), training=SETTINGS)
        return LatentDiffusion(autoencoder, diffusion, columns=grey).fit(train, iterations=n)

    def pixels(n):
        loss = Denoising(weighting="output", times=LogSNRTimes(least=LEAST))
        model = ScoreDiffusion(network=ScoreMLP(least_time=LEAST), loss=loss, training=SETTINGS, columns=grey)
        return model.fit(train, iterations=n)

    print("bits a pixel, 300 digits held out; CPU seconds of the training")
    for name, fit in (("latent, untrained", latent), ("pixels, untrained", pixels)):
        fitted, seconds = timed(lambda fit=fit: fit(0))
        show(name, fitted.elbo(test, repetitions=2), seconds)
    fitted, seconds = timed(lambda: latent(iterations))
    show("latent diffusion", fitted.elbo(test, repetitions=4), seconds)
    beside, seconds = timed(lambda: pixels(iterations))
    show("diffusion of the pixels", beside.elbo(test, repetitions=4), seconds)
    drawn, chain = fitted.sample(draws=2 * SHOWN, seed=1).x[0], fitted.transformation
    again = chain.inverse(chain.seen(test[:SHOWN], torch.Generator().manual_seed(1)))
    rows = {"held out": test, "by their codes": again, "draws": drawn, "more draws": drawn[SHOWN:]}
    figure = Figure(figsize=(SHOWN * 0.8, 4.0), layout="constrained")
    for axes, (title, digits) in zip(figure.subplots(len(rows), 1), rows.items(), strict=True):
        tiles = torch.nn.functional.pad(digits[:SHOWN].reshape(SHOWN, SIDE, SIDE), (1, 1, 1, 1), value=4.0)
        axes.imshow(tiles.permute(1, 0, 2).reshape(SIDE + 2, -1).numpy(), cmap="Greys", vmin=0, vmax=16)
        axes.set(xticks=[], yticks=[], title=title)
    figure.savefig("latent.png", dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
