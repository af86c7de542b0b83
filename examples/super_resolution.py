"""Digits of 8 x 8 pixels from 4 x 4 blocks, by a network of nine pixels as reported, and by local ones that are cured.

    python examples/super_resolution.py [iterations]

Each is a conditional diffusion model with as many multiply-adds an image. The loss of held-out digits is 1 where only
the mean variance of a pixel is known. It takes a minute on a core. The picture is super_resolution.png.
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

SIDE, HELD, LEAST, SHOWN = 8, 300, 5e-3, 10
PROCESS = VP(beta_max=10.0)


class NinePixels(nn.Module):
    """As reported: noised pixels, the condition's, and 64 Fourier features of the time, of random high frequencies."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("frequencies", 2 * math.pi * 30 * torch.randn(32, generator=generator))
        sizes = {"inputs": 2, "outputs": 1, "features": 64, "width": 32}
        self.body = PatchNetwork(Lattice((SIDE, SIDE)), **sizes, modulated=False, generator=generator)

    def forward(self, x, t, context):
        angles = t[..., None] * self.frequencies
        features = torch.cat([angles.sin(), angles.cos()], -1)
        return self.body(torch.stack([x, context[..., :-1]], -1), features).squeeze(-1)


def data():
    grey = torch.tensor(load_digits().data, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    grey = grey[torch.randperm(len(grey), generator=generator)]
    blocks = nn.functional.avg_pool2d(grey.reshape(-1, 1, SIDE, SIDE), 2)
    given = nn.functional.interpolate(blocks, scale_factor=2).flatten(1)
    return (grey + torch.rand(grey.shape, generator=generator)) / 8 - 1, given


def loss(fitted, x, y, t, k):
    """Of E[X | x_t, y] at a time, over sigma^2 k^2 / (sigma^2 + k^2)."""
    u = fitted.transformation.forward(x)[0]
    a, v = (float(value) for value in PROCESS.transition(0.0, t))
    x_t = a * u + math.sqrt(v) * torch.randn(u.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        clean = (x_t + v * fitted.conditional_score(x_t, t, y)) / a
    return float((clean - u).square().mean()) * (1 + v / (a * k) ** 2) / (v / a**2)


def main(iterations=500):
    x, y = data()
    k = float((x[HELD:] - x[HELD:].mean(0)).square().mean().sqrt())
    known = {"given_channels": 1, "shared": False, "least_time": LEAST}  # a digit is not the same everywhere
    networks = {
        "nine pixels, as reported": (NinePixels(), NoiseOf()),
        "nine pixels, cured": (LocalScore((SIDE, SIDE), (1, 0), 32, **known), Karras(k)),
        "49 pixels, cured": (LocalScore((SIDE, SIDE), (3, 0), 19, **known), Karras(k)),
    }
    times = (0.02, 0.1, 0.3, 0.6, 1.0)
    sigmas = [float((-0.5 * PROCESS.log_snr(t)).exp()) for t in times]
    print(f"{'loss at a noise of':<26}" + " ".join(f"{sigma:7.2f}" for sigma in sigmas))
    pictures = {"given": y / 8 - 1, "truth": x}
    for name, (network, meaning) in networks.items():
        model = ScoreDiffusion(
            process=PROCESS,
            network=network,
            parametrisation=meaning,
            loss=Denoising(weighting="output", times=LogSNRTimes(least=LEAST)),
            training=Training(batch=32, learning_rate=4e-3, average=0.99, validation=0),
            standardise="none",
        )
        fitted = model.fit(x[HELD:], given=y[HELD:], iterations=iterations)
        found = [loss(fitted, x[:HELD], y[:HELD], t, k) for t in times]
        print(f"{name:<26}" + " ".join(f"{value:7.3f}" for value in found))
        pictures[name] = torch.stack([fitted.given(one).sample(draws=1, seed=1).x[0, 0] for one in y[:SHOWN]])
    figure = Figure(figsize=(SHOWN * 0.8, 4.4), layout="constrained")
    for axes, (title, digits) in zip(figure.subplots(len(pictures), 1), pictures.items(), strict=True):
        tiles = nn.functional.pad(digits[:SHOWN].reshape(SHOWN, SIDE, SIDE), (1, 1, 1, 1), value=-0.5)
        axes.imshow(tiles.permute(1, 0, 2).reshape(SIDE + 2, -1).numpy(), cmap="Greys", vmin=-1, vmax=1.1)
        axes.set_title(title, fontsize=9)
        axes.set(xticks=[], yticks=[])
    figure.savefig("super_resolution.png", dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
