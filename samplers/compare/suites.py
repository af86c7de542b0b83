"""Named comparisons: which targets, which samplers with which options, and the published figures to stand beside.

A suite is made of blocks, each a grid of targets and samplers, because not every sampler belongs on every target.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.annealing import AIS, SMC, ParallelTempering
from samplers.compare.cell import Cell
from samplers.compare.comparison import Comparison
from samplers.compare.grid import Choice, Grid, make_cells
from samplers.compare.published import Published
from samplers.compare.published_figures import PUBLISHED
from samplers.diffusion import CMCD, DDS, SCLD
from samplers.draws import Sampler
from samplers.kernels import HMC, MALA, ULA, Gibbs, GibbsWithGradients, SwendsenWang, Wolff
from samplers.peers import BlackjaxNUTS, BlackjaxTemperedSMC, Emcee, NumpyroNUTS
from samplers.smoothing import DiffusiveGibbs, WalkJump
from targets import Ising, Target, benchmark
from targets.arguments import did_you_mean

Start = Callable[[int, Generator], Tensor]


@dataclass(frozen=True)
class Block:
    """A grid: targets by name, samplers with options of their own."""

    targets: Mapping[str, Callable[[], Target]]
    samplers: Mapping[str, Choice]


@dataclass(frozen=True)
class Suite:
    """description: one line. options: for every `sample`. starts: by target, wide where modes are far apart.
    references: targets whose moments are those of a long run.
    """

    description: str
    blocks: tuple[Block, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    starts: Mapping[str, Start] = field(default_factory=dict)
    references: tuple[str, ...] = ()

    @property
    def published(self) -> tuple[Published, ...]:
        """The figures of the literature on its targets."""
        names = {name for block in self.blocks for name in block.targets}
        return tuple(one for one in PUBLISHED if one.target in names)


def suite(name: str) -> Suite:
    """The suite of that name; ValueError with the nearest name for an unknown one."""
    if name not in SUITES:
        raise ValueError(f"suite: no suite {name!r}{did_you_mean(name, SUITES)} Known: {', '.join(SUITES)}")
    return SUITES[name]()


def run_suite(
    name: str,
    *,
    folder: str | Path | None = None,
    seeds: int = 1,
    peers: bool = False,
    timeout: float | None = None,
    retry: bool = False,
    fresh: bool = False,
    workers: int = 1,
    threads: int = 1,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Run a suite; the arguments are those of `compare`. peers: let samplers of other packages take part."""
    chosen = suite(name)
    cells: list[Cell] = []
    others: set[str] = set()
    for block in chosen.blocks:
        targets = {target: build() for target, build in block.targets.items()}
        taking_part = installed_peers(targets) if peers else {}
        others.update(taking_part)
        samplers = {**block.samplers, **taking_part}
        init = {target: start for target, start in chosen.starts.items() if target in targets}
        cells += make_cells(targets, samplers, seeds=seeds, init=init, options=chosen.options)
    grid = Grid(timeout, threads, executor, workers, retry, fresh, progress)
    long_runs = {target: chosen.starts.get(target) for target in chosen.references}
    published = [asdict(one) for one in chosen.published]
    about: dict[str, Any] = {"suite": name, "published": published, "peers": sorted(others)}
    return grid.run(cells, folder, long_runs, chosen.options, **about)


def installed_peers(targets: Mapping[str, Target]) -> dict[str, Choice]:
    """Those whose package is there and that can run on all of the targets."""
    if any(target.discrete for target in targets.values()):
        return {}
    walkers = 2 * max(32, *(target.dim for target in targets.values()))  # emcee's least
    every: dict[str, tuple[str, Choice]] = {
        "blackjax NUTS": ("blackjax", BlackjaxNUTS()),
        "blackjax SMC": ("blackjax", BlackjaxTemperedSMC()),
        "numpyro NUTS": ("numpyro", NumpyroNUTS()),
        "emcee": ("emcee", (Emcee(), {"chains": walkers})),
    }
    return {name: peer for name, (package, peer) in every.items() if importlib.util.find_spec(package)}


def _named(*names: str) -> dict[str, Callable[[], Target]]:
    return {name: partial(benchmark, name) for name in names}


def wide(scale: float, dim: int) -> Start:
    """Starts spread over all modes: R-hat needs starts wider than the target."""
    return lambda n, generator: scale * torch.randn(n, dim, generator=generator)


LANGEVIN: dict[str, Choice] = {"ULA": ULA(), "MALA": MALA(), "HMC": HMC()}
ANNEALED: dict[str, Choice] = {"AIS": AIS(), "SMC": SMC()}


def _learned(iterations: int, **methods: Sampler) -> dict[str, Choice]:
    return {name: (method, {"iterations": iterations}) for name, method in methods.items()}


def _quick() -> Suite:
    mixture: dict[str, Choice] = {"ULA": ULA(), "HMC": HMC(), "tempering": ParallelTempering(), "SMC": SMC()}
    funnel: dict[str, Choice] = {
        "HMC": (HMC(), {"draws": 300, "warmup": 200}),
        "tempering": ParallelTempering(),
        "SMC": SMC(),
    }
    return Suite(
        "a hierarchical model, a regression, a funnel and nine modes, in minutes",
        (
            Block(_named("eight-schools", "sonar"), LANGEVIN | {"SMC": SMC()}),
            Block(_named("funnel10-std3"), funnel),
            Block(_named("gmm9"), mixture | _learned(40, CMCD=CMCD())),
        ),
        {"chains": 32, "draws": 1000, "warmup": 300},
        {"gmm9": wide(6.0, 2)},
        ("sonar",),
    )


def _standard() -> Suite:
    everywhere: dict[str, Choice] = {"HMC": HMC(), "tempering": ParallelTempering()}
    everywhere |= ANNEALED | {"DiGS": DiffusiveGibbs()} | _learned(200, DDS=DDS(), CMCD=CMCD())
    wells: dict[str, Choice] = {"HMC": HMC(), **ANNEALED, "SCLD": (SCLD(), {"iterations": 300, "draws": 20_000})}
    return Suite(
        "what papers compare on: mixtures, a funnel, wells, rings",
        (
            # walk-jump where the smoothed score has a closed form: by inner chains a step costs some 50,000 evaluations
            Block(_named("gmm9", "gmm40-fab", "two-modes-d32"), everywhere | {"walk-jump": WalkJump()}),
            Block(_named("funnel10-std3", "many-well5-delta4", "rings4-slips"), everywhere),
            Block(_named("many-well32-fab"), wells),
        ),
        {"chains": 64},
        {"gmm9": wide(6.0, 2), "gmm40-fab": wide(40.0, 2), "many-well5-delta4": wide(2.0, 5)},
    )


def _bayes() -> Suite:
    posteriors = _named("eight-schools", "sonar", "ionosphere", "credit-unit-prior")
    return Suite(
        "posteriors: hierarchical models and regressions",
        (Block(posteriors, LANGEVIN | ANNEALED | _learned(60, CMCD=CMCD())),),
        {"chains": 64},
        references=("sonar", "ionosphere", "credit-unit-prior"),
    )


def _spins() -> Suite:
    models = {f"ising8-{coupling}": partial(Ising, (8, 8), coupling=coupling) for coupling in (0.3, 0.4407, 0.55)}
    moves: dict[str, Choice] = {
        "Gibbs": Gibbs(),
        "with gradients": GibbsWithGradients(),
        "Swendsen-Wang": SwendsenWang(),
    }
    return Suite(
        "Ising models on an 8 x 8 torus below, at and above the critical coupling, with exact log Z",
        (Block(models, moves | {"Wolff": Wolff()} | ANNEALED),),
        {"chains": 64},
    )


SUITES: dict[str, Callable[[], Suite]] = {"quick": _quick, "standard": _standard, "bayes": _bayes, "spins": _spins}
