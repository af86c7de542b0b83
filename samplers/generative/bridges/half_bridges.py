"""Half-bridges in turn: the run of training that iterative methods share.

Half j trains the steps of one direction, of the way behind for even j, of the way ahead for odd, while those of the
other stay as they are and say what is learned from. A half has an optimiser of its own, whose rate falls to its end;
then its steps take the average of their parameters over its iterations, and the most likely scales of their noise.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from samplers.generative.bridges.method import Run
from samplers.generative.bridges.path_bridge import PathBridge
from samplers.generative.bridges.steps import BridgeSteps
from samplers.learning import distributed
from samplers.learning.descent import Descent, Group
from samplers.learning.one_loss import OneLoss
from samplers.learning.rate import cosine
from targets import Gaussian, Target

WARMUP, CLIP, AVERAGE = 20, 1.0, 0.99
CACHES, BATCHES = 20_000_003, 21_000_011  # offsets of the seeds


class Rule(Protocol):
    """What one half learns, of steps `trained` from one end to the other against those that come back, `other`."""

    def cache(self, half: int, trained: BridgeSteps, other: BridgeSteps, generator: Generator) -> tuple[Tensor, ...]:
        """What batches are drawn from until it is made anew."""

    def loss(
        self, half: int, cache: tuple[Tensor, ...], trained: BridgeSteps, other: BridgeSteps, generator: Generator
    ) -> Tensor:
        """Of a batch, a number."""

    def finish(
        self, half: int, cache: tuple[Tensor, ...], trained: BridgeSteps, other: BridgeSteps, generator: Generator
    ) -> None:
        """The scales of the noise of the steps, once they are trained."""

    def learned(self, half: int, trained: BridgeSteps) -> list[Tensor]:
        """The parameters that a half learns."""


class HalfBridges(OneLoss):
    """Training between two iterations: `bridge`, whose steps are trained in place, and the half that is under way.

    rule: what halves learn, from `energy` as it is counted where one end is that. halves: of `total` iterations in all.
    refresh: iterations for which a cache is used. about: what a checkpoint must agree in.
    """

    def __init__(
        self,
        bridge: PathBridge,
        rule: Callable[[Target], Rule],
        energy: Target | None,
        about: dict[str, Any],
        *,
        halves: int,
        refresh: int,
        learning_rate: float,
        total: int,
        run: Run,
    ) -> None:
        end = bridge.ahead.gaussian.end_mean
        home = Gaussian(end.to(bridge.ahead.share), name="bridge") if energy is None else energy
        generator = Generator(end.device).manual_seed(run.seed + BATCHES + distributed.rank())
        super().__init__("SchroedingerBridge", home, generator, total, run.max_minutes, run.log_dir)
        self.bridge, self.rule, self.energy, self.about, self.seed = bridge, rule(self.counted), energy, about, run.seed
        self.length, self.refresh, self.learning_rate = max(1, math.ceil(total / halves)), refresh, learning_rate
        self.half = -1  # none has begun
        self.cached: tuple[int, tuple[Tensor, ...]] | None = None

    # Halves

    def pair(self, half: int, bridge: PathBridge) -> tuple[BridgeSteps, BridgeSteps]:
        """The steps that a half trains, and the others."""
        return (bridge.ahead, bridge.behind) if half % 2 else (bridge.behind, bridge.ahead)

    def begin(self) -> Tensor:
        gaussian, like = self.bridge.ahead.gaussian, self.bridge.ahead.share
        return torch.stack([gaussian.start_mean, gaussian.end_mean]).to(like)

    def _turn(self, half: int) -> None:
        """End the half before, and begin this one; a crash on the way is made up for by doing it again."""
        if self.half >= 0:
            self._finish(self.bridge)
        self._open(half)

    def _open(self, half: int) -> None:
        trained = self.rule.learned(half, self.pair(half, self.bridge)[0])
        self.descent = Descent([Group(trained)], self.learning_rate, clip=CLIP, average=AVERAGE, betas=(0.9, 0.99))
        self.half = half

    @torch.no_grad()
    def _finish(self, bridge: PathBridge) -> None:
        """Put the averages of the half's parameters into the bridge, and scale the noise of its steps."""
        trained, other = self.pair(self.half, bridge)
        for parameter, value in zip(self.rule.learned(self.half, trained), self.descent.averages, strict=True):
            parameter.copy_(value)
        generator = Generator(self.target.device).manual_seed(self.seed + CACHES - 1 - self.half)
        self.rule.finish(self.half, self._cache(self.half, self.descent.taken - 1), trained, other, generator)

    def _cache(self, half: int, done: int) -> tuple[Tensor, ...]:
        """What the half learns from after these of its iterations, made from a seed of its own."""
        number = (half * self.length + max(0, done) // self.refresh * self.refresh) * 1000 + distributed.rank()
        if self.cached is None or self.cached[0] != number:
            generator = Generator(self.target.device).manual_seed(self.seed + CACHES + number)
            self.cached = number, self.rule.cache(half, *self.pair(half, self.bridge), generator)
        return self.cached[1]

    # Iterations

    def step(self) -> None:
        half = self.done // self.length
        if half != self.half:
            self._turn(half)
        taken = self.descent.taken
        length = min(self.length, self.total - half * self.length)
        self.descent.set_rate(cosine(taken / length) * min(1.0, (taken + 1) / (WARMUP + 1)))
        self.descent.clear()
        self.descend(self.rule.loss(half, self._cache(half, taken), *self.pair(half, self.bridge), self.generator))

    def learned(self) -> PathBridge:
        """A copy of the bridge with what the half under way has learned so far."""
        made = PathBridge(*copy.deepcopy((self.bridge.ahead, self.bridge.behind)), self.bridge.network)
        if self.half >= 0:
            self._finish(made)
        for steps in (made.ahead, made.behind):
            steps.requires_grad_(False).eval()
        return made

    # What is said of it

    def figures(self) -> str:
        return f"half {self.half + 1}, loss {self.mean_loss:.5g}"

    def more(self) -> dict[str, float]:
        return {"half": float(self.half)}

    # Checkpoints

    def settings(self) -> dict[str, Any]:
        return {**self.about, "seed": self.seed, "iterations": self.total}

    def densities(self) -> dict[str, Any]:
        """The energy, where there is one; rows that are learned from are in the settings."""
        return {} if self.energy is None else {"energy": self.energy}

    def state_dict(self) -> dict[str, Any]:
        return {
            "ahead": self.bridge.ahead.state_dict(),
            "behind": self.bridge.behind.state_dict(),
            "half": self.half,
            "descent": None if self.half < 0 else self.descent.state_dict(),
            **self.curves(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.bridge.ahead.load_state_dict(saved["ahead"])
        self.bridge.behind.load_state_dict(saved["behind"])
        if saved["half"] >= 0:
            self._open(saved["half"])
            self.descent.load_state_dict(saved["descent"])
        self.load_curves(saved)
