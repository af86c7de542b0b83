"""Handwritten digits of scikit-learn, 8 x 8 grey values from 0 to 16, learned by a diffusion model.

    python examples/digits.py [iterations]

Bits a pixel of 300 digits held out, less is better: upper bounds, by noise that spreads each grey value over a cell of
`Levels` (two minutes on one core), beside a mixture of Gaussians and a kernel density of the same. The picture is
digits.png.
"""

import math
import sys

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity

from samplers import ScoreDiffusion
from samplers.generative import Columns, Levels, Training

HELD, COPIES, SIDE = 300, 4, 8


def bits(log_prob, pixels=64):
    return -float(log_prob.mean()) / (pixels * math.log(2))


def main(iterations=2000):
    x = torch.tensor(load_digits().data, dtype=torch.float32)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    test, train, grey = x[:HELD], x[HELD:], [Levels(0, 16)] * 64

    # in the coordinates that the model sees, each row with noise of its own
    seen, generator = Columns(grey).learned(train), torch.Generator().manual_seed(1)
    rows = seen.forward(train, generator)[0].numpy()
    u, c = (torch.cat(parts) for parts in zip(*(seen.forward(test, generator) for _ in range(COPIES)), strict=True))
    peers = {
        "mixture of Gaussians": GridSearchCV(
            GaussianMixture(covariance_type="diag", reg_covar=1e-2, random_state=0), {"n_components": [10, 30, 60]}
        ),
        "kernel density": GridSearchCV(KernelDensity(), {"bandwidth": [0.4, 0.6, 0.8, 1.0]}),
    }
    print("bits a pixel, 300 digits held out")
    for name, search in peers.items():
        best = search.fit(rows).best_estimator_
        print(
            f"{name:<22} {bits(torch.as_tensor(best.score_samples(u.double().numpy())) + c):.3f}  {search.best_params_}"
        )

    model = ScoreDiffusion(columns=grey, training=Training(batch=256))
    start = model.fit(train, iterations=0)
    print(f"{'one Gaussian':<22} {bits(start.elbo(test, repetitions=2).value):.3f}")
    fitted = model.fit(train, iterations=iterations)
    bound = fitted.elbo(test)
    error = float(bound.value.std()) / math.sqrt(HELD) / (64 * math.log(2))
    print(f"{'diffusion model':<22} {bits(bound.value):.3f}  standard error over the digits {error:.3f}")

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    panels = zip(figure.subplots(1, 2), (test, fitted.sample(draws=SIDE * SIDE).x[0]), strict=True)
    for (axes, digits), title in zip(panels, ("digits held out", "draws of the model"), strict=True):
        tiles = digits[: SIDE * SIDE].reshape(SIDE, SIDE, 8, 8)
        framed = torch.nn.functional.pad(tiles, (1, 1, 1, 1), value=4.0)
        axes.imshow(framed.permute(0, 2, 1, 3).reshape(SIDE * 10, SIDE * 10).numpy(), cmap="Greys")
        axes.set(title=title, xticks=[], yticks=[])
    figure.savefig("digits.png", dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
