"""One cell of a smoothing benchmark: a sampler runs within a time limit, and what it took is a row's columns."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from _machine import Row
from _timing import timed
from torch import Generator, Tensor

import targets
from samplers import Draws

LIMIT = 600.0  # seconds a cell may take


@dataclass(frozen=True)
class Options:
    """What the command line asks of a table."""

    quick: bool = False
    rows: tuple[str, ...] | None = None  # words, one of which the label of a row must contain
    limit: float = LIMIT

    def wants(self, label: str) -> bool:
        return self.rows is None or any(word in label for word in self.rows)


class Bare(targets.Target):
    """A density that knows nothing of itself but its logarithm and its score."""

    def __init__(self, inner: targets.Target) -> None:
        super().__init__(inner.dim, dtype=inner.dtype, name=f"{inner.name}, energy only")
        self.inner = inner

    def log_prob(self, x: Tensor) -> Tensor:
        return self.inner.log_prob(x)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner.log_prob_and_score(x)


@dataclass(frozen=True)
class Cell:
    """What came of a run: draws, or the reason why there are none."""

    draws: Draws | None
    cost: Row
    plan: str | None


def measured(sampler: Any, target: targets.Target, *, limit: float = LIMIT, label: str = "", **arguments: Any) -> Cell:
    """`sampler.sample(target, ...)`, with its evaluations a draw, seconds and what denoised."""
    print(f"  {label} ...", file=sys.stderr, flush=True)
    try:
        with time_limit(limit):
            draws, seconds = timed(lambda: sampler.sample(target, progress=False, **arguments))
    except (ValueError, RuntimeError, TimeoutError) as error:
        failed = f"{type(error).__name__}: {error}"
        return Cell(None, cost_row(arguments["draws"], None, limit, failed), None)
    asked = draws.x.shape[0] * draws.x.shape[1]
    return Cell(draws, cost_row(asked, draws, seconds, denoised(draws)), draws.attrs.get("plan"))


def cost_row(n: int, draws: Draws | None, seconds: float, denoiser: str) -> Row:
    """The columns that all tables share."""
    return {
        "draws": n,
        "log-densities a draw": None if draws is None else draws.cost.log_prob / n,
        "scores a draw": None if draws is None else draws.cost.score / n,
        "seconds": seconds,
        "denoiser": denoiser,
    }


def denoised(draws: Draws) -> str:
    """What a run says of its denoiser, in words."""
    found = draws.attrs.get("smoothing")
    if found is None:
        return ""
    told = f"{found['denoiser']}, {found['noise']}, m = {found['measurements']}, {found['points']:.3g} points"
    return f"{told}, {found['fallbacks'] / found['points']:.1%} fallbacks" if found["fallbacks"] else told


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """TimeoutError in the main thread after so many seconds."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def exact_draws(target: targets.Target, n: int, seed: int) -> Tensor:
    return target.sample(n, generator=Generator().manual_seed(seed))


def resampled(draws: Draws) -> Tensor:
    """Equally weighted points (n, dim): the draws, or as many of them by their weights."""
    with torch.no_grad():
        return draws.unweighted().x.flatten(0, 1)
