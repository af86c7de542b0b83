"""Iterative Markovian fitting: bridge matching, of each direction to the plan that the other leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from samplers.generative.bridges.bridge import pinned
from samplers.generative.bridges.iterative import IterativeMethod
from samplers.generative.bridges.method import End
from samplers.generative.bridges.simulation import run
from samplers.generative.bridges.steps import BridgeSteps
from targets import Target
from targets.arguments import check_choice


@dataclass(frozen=True)
class MarkovianFitting(IterativeMethod):
    """Iterative Markovian fitting, bridge matching from pairs, Diffusion Schroedinger Bridge Matching.

        pairs (X_0, X_1) of the present plan,   X_t | X_0, X_1 ~ N((1 - t) X_0 + t X_1, eps t (1 - t) I)
        ahead:  b(x, t) = E[(X_1 - X_t) / (1 - t) | X_t = x],       behind: E[(X_0 - X_t) / t | X_t = x]

    The process with the drift b is the Markovian projection of the Brownian bridges between the pairs: it has the same
    law at every time, and its own pairs are the next plan. Both ends keep their laws through all halves, up to what is
    not learned; steps behind give pairs from the end's own law, steps ahead from the start's, in turn. The only plan
    that does not change is that of the Schroedinger bridge. Regression is on the other end, given a state: with far
    less noise than on the next step.

    plan: the pairs of the first half. "gaussian": the start, and what the bridge between the Gaussians of the moments
    leads to: the halves are then those of proportional fitting. "independent": both ends for themselves.
    steps, halves, network, batch, paths, refresh, learning_rate: as of `samplers.generative.bridges.IterativeMethod`.
    ValueError for numbers out of range and another word. Shi, De Bortoli, Campbell and Doucet 2023,
    https://arxiv.org/abs/2303.16852; Peluchetti 2023, https://arxiv.org/abs/2304.00917.

        >>> from samplers.generative.bridges import MarkovianFitting
        >>> method = MarkovianFitting(steps=8, halves=2, batch=64, paths=64)
        >>> ends = targets.Gaussian([0.0]), targets.GaussianMixture([[-2.0], [2.0]], scales=0.3)
        >>> fitted = samplers.SchroedingerBridge(0.5, method).fit(*ends, iterations=4, progress=False)
        >>> fitted.iterations
        4
    """

    plan: Literal["gaussian", "independent"] = "gaussian"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.plan, "plan", ("gaussian", "independent"))

    def rule(self, start: End, end: End, noise: float, energy: Target) -> BridgeMatching:
        return BridgeMatching(start, end, self.paths, self.batch, noise, self.plan)


@dataclass(frozen=True)
class BridgeMatching:
    """The other end of a pair is regressed on a state between them."""

    start: End
    end: End
    paths: int
    batch: int
    noise: float
    plan: str

    def cache(self, half: int, trained: BridgeSteps, other: BridgeSteps, generator: Generator) -> tuple[Tensor, ...]:
        """Pairs, (n, dim) each: where the steps that are trained begin, and where they lead."""
        led_to = (self.end if half % 2 else self.start).draw(self.paths, generator)
        if half == 0 and self.plan == "independent":
            return self.end.draw(self.paths, generator), led_to
        return run(other, led_to, generator), led_to

    def loss(
        self, half: int, cache: tuple[Tensor, ...], trained: BridgeSteps, other: BridgeSteps, generator: Generator
    ) -> Tensor:
        """That of random pairs, others for each step, with states between them."""
        begun, led_to = cache
        rows = max(1, self.batch // trained.steps)
        which = torch.randint(len(begun), (trained.steps, rows), generator=generator, device=begun.device)
        noise = torch.randn(*which.shape, trained.dim, generator=generator, dtype=begun.dtype, device=begun.device)
        return self.error(trained, begun[which], led_to[which], noise)

    def error(self, trained: BridgeSteps, begun: Tensor, led_to: Tensor, noise: Tensor) -> Tensor:
        """The squared error of D, in units of its deviation, at the beginning of each step; (K, n, dim) each."""
        k = torch.arange(trained.steps, device=begun.device)
        t = trained.grid[:-1].to(begun)[:, None, None]
        x = torch.addcmul(torch.lerp(begun, led_to, t), (self.noise * t * (1 - t)).sqrt(), noise)
        found = trained.at(k)
        gaussian, learned = trained.ends(found, trained.grid[k], x)
        return (learned - (led_to - gaussian) / found.unit).square().mean()

    def finish(
        self, half: int, cache: tuple[Tensor, ...], trained: BridgeSteps, other: BridgeSteps, generator: Generator
    ) -> None:
        """By whole Brownian bridges between the pairs."""
        begun, led_to = cache
        trained.calibrate(pinned(begun, led_to, trained.grid, self.noise, generator))

    def learned(self, half: int, trained: BridgeSteps) -> list[Tensor]:
        """The network."""
        return list(trained.network.parameters())
