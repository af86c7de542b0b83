"""A bridge in steps as a pair of path measures: with SMC on the way, bounds from both ends, and more.

    x_0 ~ p_0,     x_{k+1} ~ N(step ahead at x_k)       p_0 a normalised density with exact draws
    x_K ~ gamma/Z, x_{k-1} ~ N(step behind at x_k)
    log w = log gamma(x_K) - log p_0(x_0) + sum_k [ log N(x_k; step behind) - log N(x_{k+1}; step ahead) ]

Both are normalised laws of K + 1 points: E[exp(log w)] = Z whatever the networks say (`samplers.path_measures.base`).
Where the steps behind are the reversal of the steps ahead, and these end at gamma / Z, log w is log Z.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from samplers.generative.bridges.bridge import Direction
from samplers.generative.bridges.path_bridge import PathBridge
from samplers.path_measures.base import PathMeasure, Points, Step, Table
from samplers.path_measures.prior import Prior
from targets import Target


class _KnownStart(Prior):
    """A target with exact draws and known log Z as the law that paths start from."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.dim)
        self.target = target
        self.reference = torch.zeros((), dtype=target.dtype, device=target.device)

    def sample(self, n: int, generator: Generator) -> Tensor:
        return self.target.sample(n, generator=generator)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.target.log_prob(x) - self.target.log_z

    def score(self, x: Tensor) -> Tensor:
        return self.target.score(x)


class BridgeMeasure(PathMeasure):
    """A bridge in steps as a pair of path measures, with exact weights for an energy where it leads.

        log w = log gamma(x_K) - log p_0(x_0) + sum_k [ log N(x_k; step behind) - log N(x_{k+1}; step ahead) ]

    E[exp(log w)] = Z whatever the networks say. start: p_0, a normalised target with exact draws, which a file does not
    hold. bridge: the `PathBridge` whose steps paths take, in `direction`, "forward" or "backward". Draws, resampling on
    the way and bounds are those of every pair: `simulate`, `simulate_subtrajectories`, `evaluate_weights`. ValueError
    for a start of another dimension, or without exact draws and log Z.

        >>> from samplers.generative.bridges import BridgeMeasure, MarkovianFitting
        >>> from samplers.path_measures.simulation import simulate
        >>> start, end = targets.Gaussian([0.0]), targets.Gaussian([1.0], scale=0.5)
        >>> fitted = samplers.SchroedingerBridge(0.5, MarkovianFitting(steps=8)).fit(start, end, iterations=0)
        >>> paths = simulate(BridgeMeasure(start, fitted.bridge), end, 100, torch.Generator())
        >>> float(paths.log_weights.abs().max()) < 1e-4  # nothing is left to learn, Z = 1
        True
    """

    def __init__(self, start: Target, bridge: PathBridge, direction: Direction = "forward") -> None:
        if start.dim != bridge.dim or not {"sample", "log_z"} <= set(start.known):
            raise ValueError(
                f"start: got {start.name} in {start.dim} dimensions, expected a target in {bridge.dim} with exact "
                "draws and known log_z"
            )
        super().__init__(_KnownStart(start), bridge.ahead.steps)
        ways = (bridge.ahead, bridge.behind)
        self.ahead, self.behind = ways if direction == "forward" else ways[::-1]

    def table(self, k: Tensor) -> Table:
        """The indices of the steps from and to each state."""
        return Table({"ahead": k.clamp_max(self.steps - 1), "behind": (self.steps - k).clamp_max(self.steps - 1)})

    def field(self, table: Table, at: Points) -> Tensor:
        """The means of the steps ahead, (s, n, dim)."""
        return self.ahead.mean(table.values["ahead"], at.x)

    def forward(self, table: Table, at: Points, field: Tensor) -> Step:
        """The step ahead."""
        return self.ahead.around(table.values["ahead"], field)

    def backward(self, table: Table, at: Points, field: Tensor | None) -> Step:
        """The step behind, whose times run the other way."""
        del field
        return self.behind.step(table.values["behind"], at.x)
