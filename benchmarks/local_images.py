"""Super-resolution of digits, 4 x 4 to 8 x 8, by conditional diffusions whose networks see nine pixels, and others.

Digits of scikit-learn, a grey value g as (g + U) / 8 - 1, given the means of their blocks of 2 x 2 pixels. The reported
network (Ehab 2023) has nine noised pixels, the nine of the condition and Fourier features of the time in one layer.
The rows below change one thing after the other, at equal multiply-adds an image unless the row says so:

    features   of what the network knows of the noise, their number and how fast they vary
    input      x_t as it is, or c_in x_t / a;   output   the noise, or F of Karras et al. 2022
    radius     of the neighbourhood; "layers": convolutional ones of radius one

The loss at a noise level is E|D - x|^2 / 64 over sigma^2 k^2 / (sigma^2 + k^2), k the deviation of a pixel: 1 where
only that is known. Linear: the best linear denoiser that sees so far, fitted without training.

    python benchmarks/local_images.py [--seeds 0 1]
"""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _machine import Row, parser, recorded, write
from sklearn.datasets import load_digits
from torch import Generator, Tensor, nn

from samplers import SamplingWarning, ScoreDiffusion
from samplers.generative import (
    ConditionalDiffusion,
    Denoising,
    Karras,
    KarrasInputs,
    LocalScore,
    LogSNRTimes,
    NoiseOf,
    ScoreMLP,
    Training,
    elbo,
)
from samplers.networks import FourierFeatures, Lattice, PatchNetwork
from samplers.processes.linear import VP

SIDE, HELD, LEAST = 8, 300, 5e-3
LEVELS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
PROCESS = VP(beta_max=10.0)
NOISES, BOUNDED, BATCH = 2, 100, 32


def digits(seed: int) -> tuple[Tensor, Tensor]:
    """Images (n, 64) and conditions (n, 64): the mean of its block at every pixel."""
    grey = torch.tensor(load_digits().data, dtype=torch.float32)
    generator = Generator().manual_seed(seed)
    grey = grey[torch.randperm(len(grey), generator=generator)]
    blocks = nn.functional.avg_pool2d(grey.reshape(-1, 1, SIDE, SIDE), 2)
    given = nn.functional.interpolate(blocks, scale_factor=2).flatten(1)
    return (grey + torch.rand(grey.shape, generator=generator)) / 8 - 1, given


class Reported(nn.Module):
    """Nine pixels of x_t and of the condition, and features of the time or of the noise, in one layer."""

    def __init__(self, features: nn.Module, count: int, width: int, seed: int) -> None:
        super().__init__()
        self.features = features
        self.body = PatchNetwork(
            Lattice((SIDE, SIDE)),
            inputs=2,
            outputs=1,
            features=count,
            width=width,
            radii=(1, 0),
            modulated=False,
            generator=Generator().manual_seed(seed),
        )

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        images = torch.stack([x, context[..., :-1]], -1)
        return self.body(images, self.features(t)).squeeze(-1)


class RandomFourier(nn.Module):
    """sin and cos of 2 pi w t, w ~ N(0, scale^2), times a size: those of many score networks, with scale 30."""

    frequencies: Tensor

    def __init__(self, count: int, scale: float, size: float, seed: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("frequencies", scale * torch.randn(count, generator=Generator().manual_seed(seed)))

    def forward(self, t: Tensor) -> Tensor:
        angles = 2 * math.pi * t[..., None] * self.frequencies
        return self.size * torch.cat([angles.sin(), angles.cos()], -1)


class Smooth(nn.Module):
    """Chebyshev polynomials of degrees 1 to 4 of log sigma / 4, or of what `KarrasInputs` says of it."""

    def __init__(self, of_time: bool) -> None:
        super().__init__()
        self.of_time = of_time

    def forward(self, t: Tensor) -> Tensor:
        p = (-0.125 * PROCESS.log_snr(t.double())).to(t) if self.of_time else t
        return torch.stack([p, 2 * p**2 - 1, 4 * p**3 - 3 * p, 8 * p**4 - 8 * p**2 + 1], -1)


def local(radii: tuple[int, ...], width: int, **options: Any) -> LocalScore:
    return LocalScore((SIDE, SIDE), radii, width, given_channels=1, least_time=LEAST, **options)


Made = Callable[[int, float], tuple[Any, Any]]  # of a seed and k: a network, and what its output means
VARIANTS: dict[str, tuple[str, Made]] = {
    "reported: 64 fast features": (
        "t, random Fourier, 30",
        lambda seed, k: (Reported(RandomFourier(32, 30.0, 1.0, seed), 64, 32, seed), NoiseOf()),
    ),
    "the same, shrunk eightfold": (
        "t, random Fourier, 30",
        lambda seed, k: (Reported(RandomFourier(32, 30.0, 0.125, seed), 64, 32, seed), NoiseOf()),
    ),
    "64 slow features": (
        "t, Fourier, 4 periods",
        lambda seed, k: (Reported(FourierFeatures(32, generator=Generator()), 64, 32, seed), NoiseOf()),
    ),
    "4 smooth features": (
        "log sigma, 4 polynomials",
        lambda seed, k: (Reported(Smooth(True), 4, 32, seed), NoiseOf()),
    ),
    "smooth features, scaled": (
        "log sigma, 4 polynomials",
        lambda seed, k: (KarrasInputs(Reported(Smooth(False), 4, 32, seed), PROCESS, k), Karras(k)),
    ),
    "and modulated": ("log sigma, 4 polynomials", lambda seed, k: (local((1, 0), 32), Karras(k))),
    "and a bias of each site": (
        "log sigma, 4 polynomials",
        lambda seed, k: (local((1, 0), 32, place=True), Karras(k)),
    ),
    "weights of each site's own": (
        "log sigma, 4 polynomials",
        lambda seed, k: (local((1, 0), 32, shared=False), Karras(k)),
    ),
    "fast features, scaled": (
        "t, random Fourier, 30",
        lambda seed, k: (ScaledFast(RandomFourier(32, 30.0, 1.0, seed), k, seed), Karras(k)),
    ),
    "radius 2": ("log sigma, 4 polynomials", lambda seed, k: (local((2, 0), 26), Karras(k))),
    "radius 3": ("log sigma, 4 polynomials", lambda seed, k: (local((3, 0), 19), Karras(k))),
    "radius 3, weights of each site's own": (
        "log sigma, 4 polynomials",
        lambda seed, k: (local((3, 0), 19, shared=False), Karras(k)),
    ),
    "CNN, 3 layers": ("log sigma, 4 polynomials", lambda seed, k: (local((1, 1, 1), 11), Karras(k))),
    "dense": ("log sigma, 8 periods", lambda seed, k: (ScoreMLP(128, 3, LEAST), Karras(k))),
}


class ScaledFast(nn.Module):
    """The reported features of t beside the inputs of Karras et al."""

    def __init__(self, features: nn.Module, k: float, seed: int) -> None:
        super().__init__()
        self.network = Reported(nn.Identity(), 64, 32, seed)
        self.features, self.k = features, k

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        a, v = (value.to(x) for value in PROCESS.transition(0.0, t.double()))
        images = torch.stack([x * (v + self.k**2 * a.square()).rsqrt()[..., None], context[..., :-1]], -1)
        return self.network.body(images, self.features(t)).squeeze(-1)


def multiply_adds(network: nn.Module, context: int) -> int:
    """Of all linear maps, for one image."""
    counted = []

    def count(layer: Any, inputs: Any, output: Tensor) -> None:
        counted.append(output.numel() * layer.weight.shape[-1])

    hooks = [one.register_forward_hook(count) for one in network.modules() if hasattr(one, "weight")]
    with torch.no_grad():
        network(torch.zeros(1, SIDE**2), torch.full((1,), 0.5), torch.ones(1, context))
    for hook in hooks:
        hook.remove()
    return sum(counted)


def times_of(levels: tuple[float, ...]) -> list[float]:
    """Where s / a is that."""
    t = torch.linspace(1e-4, 1, 20_001, dtype=torch.float64)
    sigma = (-0.5 * PROCESS.log_snr(t)).exp()
    return [float(t[torch.searchsorted(sigma, level)]) for level in levels]


def losses(fitted: ConditionalDiffusion, x: Tensor, y: Tensor, k: float) -> list[float]:
    u = fitted.transformation.forward(x)[0]
    found, generator = [], Generator().manual_seed(7)
    for t in times_of(LEVELS):
        a, v = (float(value) for value in PROCESS.transition(0.0, t))
        total = 0.0
        for _ in range(NOISES):
            x_t = a * u + math.sqrt(v) * torch.randn(u.shape, generator=generator)
            with torch.no_grad():
                clean = (x_t + v * fitted.conditional_score(x_t, t, y)) / a
            total += float((clean - u).square().mean()) / NOISES
        level = v / a**2
        found.append(total * (level + k**2) / (level * k**2))
    return found


def bits(fitted: ConditionalDiffusion, x: Tensor, y: Tensor) -> tuple[float, float]:
    """A bound of bits a pixel of the grey values given the blocks, by the noise U, and its error over the images."""
    found = elbo(
        lambda u, t: fitted.conditional_score(u, t, y.repeat(len(u) // len(y), 1)),
        PROCESS,
        fitted.prior,
        fitted.transformation.forward(x)[0],
        generator=Generator().manual_seed(8),
        times=32,
        repetitions=2,
        t_min=LEAST,
    ).value / (SIDE**2)
    return 3.0 - float(found.mean()) / math.log(2), float(found.std()) / math.log(2) / math.sqrt(len(x))


def first_layer(fitted: ConditionalDiffusion, x: Tensor, y: Tensor) -> float | None:
    """The share of features of the noise in the variance of what enters the first nonlinearity, over times and rows."""
    body = next((one for one in fitted.model.modules() if isinstance(one, PatchNetwork)), None)
    if body is None:
        return None
    seen: dict[str, list[Tensor]] = {"level": [], "patch": []}
    hooks = [
        getattr(body.layers[0], name).register_forward_hook(lambda m, i, out, name=name: seen[name].append(out))
        for name in seen
    ]
    losses(fitted, x, y, 1.0)
    for hook in hooks:
        hook.remove()
    level, patch = (torch.cat(seen[name]).flatten(0, -2).var(0).mean() for name in ("level", "patch"))
    return float(level / (level + patch))


def linear(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], radius: int, k: float) -> list[float]:
    """The loss of the best linear map of the pixels of x_t and of the condition that are within the radius."""
    mean = [part.double().mean(0) for part in train]
    seen = [torch.cat([p.double() - m for p, m in zip(pair, mean, strict=True)], 1) for pair in (train, test)]
    learned, held = (rows.mT @ rows / len(rows) for rows in seen)
    place = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE))
    near = (place[:, None] - place).abs().amax(-1) <= radius
    found = []
    for sigma in LEVELS:
        noise = torch.diag(torch.cat([torch.full((SIDE**2,), sigma**2), torch.zeros(SIDE**2)]).double())
        total = 0.0
        for pixel in range(SIDE**2):
            which = torch.cat([near[pixel], near[pixel]]).nonzero()[:, 0]
            ridge = 1e-2 * torch.eye(len(which), dtype=torch.float64)
            part = (learned + noise)[which][:, which] + ridge
            map_ = torch.linalg.solve(part, learned[which, pixel])
            gram = (held + noise)[which][:, which]
            total += float(held[pixel, pixel] - 2 * map_ @ held[which, pixel] + map_ @ gram @ map_) / SIDE**2
        found.append(total * (sigma**2 + k**2) / (sigma**2 * k**2))
    return found


RATE = 4e-3
RATES = {"dense": 5e-4}  # with the common one its loss in training does not fall


def by_level(found: list[float]) -> Row:
    return {f"sigma {level:g}": value for level, value in zip(LEVELS, found, strict=True)}


def row(name: str, seed: int, iterations: int) -> Row:
    x, y = digits(seed)
    k = float((x[HELD:] - x[HELD:].mean(0)).square().mean().sqrt())
    features, made = VARIANTS[name]
    network, meaning = made(seed, k)
    model = ScoreDiffusion(
        process=PROCESS,
        network=network,
        parametrisation=meaning,
        loss=Denoising(weighting="output", times=LogSNRTimes(least=LEAST)),
        training=Training(batch=BATCH, learning_rate=RATES.get(name, RATE), average=0.99, validation=0),
        standardise="none",
    )
    began = time.process_time()
    fitted = model.fit(x[HELD:], given=y[HELD:], seed=seed, iterations=iterations, progress=False)
    seconds = time.process_time() - began
    found: Row = {"network": name, "seed": seed, "iterations": iterations, "features": features}
    found |= by_level(losses(fitted, x[:HELD], y[:HELD], k))
    found["mean"] = sum(value for key, value in found.items() if key.startswith("sigma")) / len(LEVELS)
    found["bits a pixel"], found["s.e."] = bits(fitted, x[:BOUNDED], y[:BOUNDED])
    found["features' share"] = first_layer(fitted, x[:100], y[:100])
    found["parameters"] = sum(p.numel() for p in fitted.model.parameters())
    found["multiply-adds, thousands"] = multiply_adds(fitted.model.network, SIDE**2 + 1) / 1000
    found["CPU seconds"] = seconds
    return found


def linear_row(radius: int, seed: int) -> Row:
    x, y = digits(seed)
    k = float((x[HELD:] - x[HELD:].mean(0)).square().mean().sqrt())
    found = by_level(linear((x[HELD:], y[HELD:]), (x[:HELD], y[:HELD]), radius, k))
    return {"linear, radius": radius, "seed": seed} | found | {"mean": sum(found.values()) / len(found)}


LINEAR = "Linear denoisers, without training"
NOTES = [
    "A seed is a split of the digits, 1,497 to learn from and 300 held out, weights and batches. Losses are of all "
    "held-out images with 2 noises each, bits a pixel of 100 of them; s.e.: over these images.",
    "No row is chosen by held-out images: all train as long, and the average over the last iterations is what is kept.",
    "bits a pixel: an upper bound of those of the grey values given the blocks, which are known to the quarter of a "
    "grey value; the network is asked at sigma of .025 and above.",
    "features' share: of the variance, over noise levels and images, of what enters the first nonlinearity, after "
    "training. CPU seconds: of the training at one thread.",
]


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    command.add_argument("--only", nargs="*", default=list(VARIANTS))
    command.add_argument("--iterations", type=int, nargs="*", default=[500, 4000])
    command.add_argument("--again", action="store_true", help="also the rows that the results have")
    options = command.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", SamplingWarning)
    seeds = options.seeds[:1] if options.quick else options.seeds
    known = {} if options.quick or options.again else recorded(Path(__file__).stem)
    tables: dict[str, list[Row]] = {LINEAR: known.get(LINEAR, [])}
    if not tables[LINEAR]:
        tables[LINEAR] = [linear_row(radius, seed) for seed in seeds for radius in (0, 1, 2, 3, 7)]
    rows: list[Row] = known.get("Networks", [])
    for iterations, seed, name in itertools.product([5] if options.quick else options.iterations, seeds, options.only):
        wanted = {"network": name, "seed": seed, "iterations": iterations}
        if any(wanted.items() <= one.items() for one in rows):
            continue
        rows.append(row(name, seed, iterations))
        rows.sort(key=lambda one: (one["iterations"], list(VARIANTS).index(one["network"]), one["seed"]))
        write(
            Path(__file__).stem,
            "Super-resolution of digits by local networks",
            tables | {"Networks": rows},
            settings={"batch": BATCH, "threads": 1},
            notes=NOTES,
            quick=options.quick,
        )


if __name__ == "__main__":
    main()
