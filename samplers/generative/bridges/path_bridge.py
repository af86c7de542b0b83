"""A bridge that is known by its steps both ways: what iterative methods find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.generative.bridges.bridge import Bridge, Direction
from samplers.generative.bridges.gaussian import GaussianBridge
from samplers.generative.bridges.potential import times as times_of
from samplers.generative.bridges.simulation import filled, paths, run, walk
from samplers.generative.bridges.steps import BridgeSteps
from samplers.learning.packing import members, packed, unpacked
from samplers.networks import NetworkSpec
from samplers.processes.base import Time

MOMENTS = ("start_mean", "start_covariance", "end_mean", "end_covariance")


@dataclass(frozen=True, eq=False)
class PathBridge(Bridge):
    """Steps ahead, from the start to the end, and behind, from the end to the start, that were learned apart.

    ahead, behind: the steps. network: what their networks were made from. Draws, paths and log ratios are those of the
    steps, exactly; between the times of the grid a path is filled in by Brownian bridges. The drift is that which the
    steps were made from, (D(x, t) - x) / (1 - t); after the time of the last step it is taken from there.

        >>> from samplers.generative.bridges import MarkovianFitting
        >>> ends = targets.Gaussian([0.0]), targets.Gaussian([1.0], scale=0.5)
        >>> fitted = samplers.SchroedingerBridge(0.5, MarkovianFitting(steps=8)).fit(*ends, iterations=0)
        >>> x, log_ratio = fitted.bridge.walk(torch.zeros(5, 1), "forward", torch.Generator())
        >>> x.shape, log_ratio.shape
        (torch.Size([5, 1]), torch.Size([5]))
    """

    ahead: BridgeSteps
    behind: BridgeSteps
    network: NetworkSpec

    @classmethod
    def make(
        cls, gaussian: GaussianBridge, grid: Tensor, network: NetworkSpec, generator: Generator, dtype: torch.dtype
    ) -> PathBridge:
        """The bridge between Gaussians in steps, before training. grid: (K + 1,) times from 0 to 1."""
        back = GaussianBridge(
            gaussian.end_mean, gaussian.end_covariance, gaussian.start_mean, gaussian.start_covariance, gaussian.noise
        )
        ahead = BridgeSteps(gaussian, grid, network, generator, dtype)
        return cls(ahead, BridgeSteps(back, 1 - grid.flip(0), network, generator, dtype), network)

    @property
    def noise(self) -> float:
        """eps."""
        return self.ahead.gaussian.noise

    @property
    def dim(self) -> int:
        return self.ahead.dim

    @property
    def device(self) -> torch.device:
        return self.ahead.grid.device

    def of(self, direction: Direction) -> BridgeSteps:
        """The steps of a direction."""
        return self.ahead if direction == "forward" else self.behind

    def draw(self, x: Tensor, direction: Direction, generator: Generator) -> Tensor:
        return run(self.of(direction), self._own(x), generator).to(x.dtype)

    def mean(self, x: Tensor, direction: Direction) -> Tensor:
        """As far as it was learned: D(x, 0)."""
        return self.of(direction).end(self._own(x), torch.zeros(len(x), dtype=torch.float64, device=x.device)).to(x)

    def drift(self, x: Tensor, t: Time, direction: Direction) -> Tensor:
        steps = self.of(direction)
        t = times_of(t, x)
        t = (t if direction == "forward" else 1 - t).clamp_max(steps.grid[-2])
        return ((steps.end(self._own(x), t) - x) / (1 - t)[:, None]).to(x.dtype)

    def path(self, x: Tensor, times: Tensor, direction: Direction, generator: Generator) -> Tensor:
        steps = self.of(direction)
        states, grid = paths(steps, self._own(x), generator), steps.grid
        if direction == "backward":
            states, grid = states.flip(0), 1 - grid.flip(0)
        return filled(states, grid, times, self.noise, generator).to(x.dtype)

    def walk(self, x: Tensor, direction: Direction, generator: Generator) -> tuple[Tensor, Tensor]:
        ahead, behind = (self.ahead, self.behind) if direction == "forward" else (self.behind, self.ahead)
        y, ratios = walk(ahead, behind, self._own(x), generator)
        return y.to(x.dtype), ratios

    def _own(self, x: Tensor) -> Tensor:
        """In the dtype of the steps."""
        return x.to(self.ahead.share.dtype)

    def content(self) -> dict[str, Any]:
        gaussian = self.ahead.gaussian
        return {
            "gaussian": {name: getattr(gaussian, name) for name in (*MOMENTS, "noise")},
            "grid": self.ahead.grid,
            "network": packed(self.network),
            "dtype": str(self.ahead.share.dtype).removeprefix("torch."),
            "ahead": self.ahead.state_dict(),
            "behind": self.behind.state_dict(),
        }

    @classmethod
    def of_content(cls, content: dict[str, Any]) -> PathBridge:
        spec = unpacked(content["network"], members(NetworkSpec), "samplers.networks")
        grid, dtype = content["grid"], getattr(torch, content["dtype"])
        made = cls.make(GaussianBridge(**content["gaussian"]), grid, spec, Generator(grid.device), dtype)
        for name in ("ahead", "behind"):
            getattr(made, name).load_state_dict(content[name])
            getattr(made, name).requires_grad_(False)
        return made
