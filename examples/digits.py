"""Handwritten digits of scikit-learn, 8 x 8 grey values from 0 to 16, learned by a diffusion model.

    python examples/digits.py [iterations]

Bits a pixel of 300 digits held out, less is better: upper bounds, by noise that spreads each grey value over a cell of
`Levels`, beside a mixture and a kernel density of the same. It takes two minutes on a core. The picture is digits.png.
"""

import math
import sys

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.neighbors import KernelDensity

from samplers import ScoreDiffusion
from samplers.generative import Columns, Denoising, Levels, LogSNRTimes, ScoreMLP, Training

HELD, COPIES, SIDE = 300, 4, 8
MIXTURE, FOLDS = GaussianMixture(reg_covar=1e-2, random_state=0), GroupKFold(3)
LEAST = 5e-3  # of time, a noise of .025: rows that are spread over cells have no finer structure


def show(name, log_prob, more=""):
    print(f"{name:<22} {-float(log_prob.mean()) / (64 * math.log(2)):.3f}  {more}")


def main(iterations=2000):
    x = torch.tensor(load_digits().data, dtype=torch.float32)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    test, train, grey = x[:HELD], x[HELD:], [Levels(0, 16)] * 64

    seen, generator = Columns(grey).learned(train), torch.Generator().manual_seed(1)  # what the model sees
    rows, groups = seen.forward(train.repeat(COPIES, 1), generator)[0].numpy(), torch.arange(len(train)).repeat(COPIES)
    u, c = (torch.cat(parts) for parts in zip(*(seen.forward(test, generator) for _ in range(COPIES)), strict=True))
    mixtures = GridSearchCV(MIXTURE, {"n_components": [1, 3, 10]}, cv=FOLDS)
    kernels = GridSearchCV(KernelDensity(), {"bandwidth": [0.4, 0.6, 0.8, 1.0]}, cv=FOLDS)
    print("bits a pixel, 300 digits held out")
    for name, search in {"mixture of Gaussians": mixtures, "kernel density": kernels}.items():
        search.fit(rows, groups=groups)
        show(name, torch.as_tensor(search.score_samples(u.double().numpy())) + c, str(search.best_params_))

    model = ScoreDiffusion(
        network=ScoreMLP(least_time=LEAST),
        loss=Denoising(weighting="output", times=LogSNRTimes(least=LEAST)),
        training=Training(batch=256, learning_rate=3e-3),
        columns=grey,
    )
    show("one Gaussian", model.fit(train, iterations=0).elbo(test, repetitions=2).value)
    fitted = model.fit(train, iterations=iterations)
    show("diffusion model", fitted.elbo(test).value)

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    pictures = {"digits held out": test, "draws of the model": fitted.sample(draws=SIDE * SIDE).x[0]}
    for axes, (title, digits) in zip(figure.subplots(1, 2), pictures.items(), strict=True):
        tiles = torch.nn.functional.pad(digits[: SIDE * SIDE].reshape(SIDE, SIDE, 8, 8), (1, 1, 1, 1), value=4.0)
        axes.imshow(tiles.permute(0, 2, 1, 3).reshape(SIDE * 10, SIDE * 10).numpy(), cmap="Greys")
        axes.set(title=title, xticks=[], yticks=[])
    figure.savefig("digits.png", dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
