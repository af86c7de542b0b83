"""Digits of 8 x 8 pixels from 4 x 4 blocks, by a network of nine pixels as reported, and by local ones that are cured.

    python examples/super_resolution.py [iterations]

Each is a conditional diffusion with as many multiply-adds an image. A minute on a core; the picture is
super_resolution.png, and benchmarks/local_images.py has the figures.
"""

import math
import sys

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn

from samplers import ScoreDiffusion
from samplers.generative import Denoising, Karras, LocalScore, LogSNRTimes, NoiseOf, Training
from samplers.networks import Lattice, PatchNetwork
from samplers.processes.linear import VP

SIDE, HELD, SHOWN, LEAST, SPREAD = 8, 300, 10, 5e-3, 0.5


class NinePixels(nn.Module):  # as reported: 64 Fourier features of the time, of random high frequencies
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("frequencies", 2 * math.pi * 30 * torch.randn(32, generator=generator))
        sizes = {"inputs": 2, "outputs": 1, "features": 64, "width": 32, "modulated": False}
        self.body = PatchNetwork(Lattice((SIDE, SIDE)), **sizes, generator=generator)

    def forward(self, x, t, context):
        angles = t[..., None] * self.frequencies
        images = torch.stack([x, context[..., :-1]], -1)
        return self.body(images, torch.cat([angles.sin(), angles.cos()], -1)).squeeze(-1)


def main(iterations=500):
    generator, digits = torch.Generator().manual_seed(0), load_digits().data
    grey = torch.tensor(digits, dtype=torch.float32)[torch.randperm(len(digits), generator=generator)]
    y = nn.functional.avg_pool2d(grey.reshape(-1, 1, SIDE, SIDE), 2).repeat_interleave(2, -1).repeat_interleave(2, -2)
    x, y = (grey + torch.rand(grey.shape, generator=generator)) / 8 - 1, y.flatten(1)
    known = {"given_channels": 1, "shared": False, "least_time": LEAST}  # a digit is not the same everywhere
    networks = {
        "nine pixels, as reported": (NinePixels(), NoiseOf()),
        "nine pixels, cured": (LocalScore((SIDE, SIDE), (1, 0), 32, **known), Karras(SPREAD)),
        "49 pixels, cured": (LocalScore((SIDE, SIDE), (3, 0), 19, **known), Karras(SPREAD)),
    }
    print("mean squared difference of pixels from the truth, of ten draws")
    pictures = {"given": y / 8 - 1, "truth": x}
    loss = Denoising(weighting="output", times=LogSNRTimes(least=LEAST))
    training = Training(batch=32, learning_rate=4e-3, average=0.99, validation=0)
    options = {"process": VP(beta_max=10.0), "loss": loss, "training": training, "standardise": "none"}
    for name, (network, meaning) in networks.items():
        model = ScoreDiffusion(network=network, parametrisation=meaning, **options)
        fitted = model.fit(x[HELD:], given=y[HELD:], iterations=iterations)
        pictures[name] = torch.stack([fitted.given(one).sample(draws=1, seed=1).x[0, 0] for one in y[:SHOWN]])
        print(f"{name:<27}{float((pictures[name] - x[:SHOWN]).square().mean()):.3f}")
    figure = Figure(figsize=(SHOWN * 0.8, 4.4), layout="constrained")
    for axes, (title, digits) in zip(figure.subplots(len(pictures), 1), pictures.items(), strict=True):
        tiles = nn.functional.pad(digits[:SHOWN].reshape(SHOWN, SIDE, SIDE), (1, 1, 1, 1), value=-0.5)
        axes.imshow(tiles.permute(1, 0, 2).reshape(SIDE + 2, -1).numpy(), cmap="Greys", vmin=-1, vmax=1.1)
        axes.set(xticks=[], yticks=[], title=title)
    figure.savefig("super_resolution.png", dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
