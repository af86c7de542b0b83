"""Bridges by potentials that are mixtures of Gaussians: closed forms, and a loss without simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Generator, Tensor

from samplers.generative.bridges.bridge import StaticBridge
from samplers.generative.bridges.method import BridgeMethod, End, Found, Run
from samplers.generative.bridges.mixture_start import first_pieces
from samplers.generative.bridges.pieces import PieceParameters
from samplers.generative.bridges.potential_learning import PotentialLearning
from samplers.generative.data import Samples
from targets.arguments import check_choice, check_integer, positive, shown

START = 19_000_021  # offset of the seed
ITERATIONS = 2000
FEWEST = 2  # rows that are held out, if any
STANDARD_ERRORS = 2.0  # by which potentials must be better than those of the moments


@dataclass(frozen=True)
class MixturePotentials(BridgeMethod):
    """Mixture potentials (LightSB), one for each direction.

        pi(y | x) proportional to exp(<x, y> / eps) v(y),   v = sum_k a_k N(r_k, eps S_k)
        min over a, r, S of E_start[log c(x)] - E_end[log v(y)] = KL(pi* | pi) + const

    Conditional laws are mixtures of Gaussians, drifts are in closed form, nothing is simulated to learn or to draw.
    Training starts from mixtures fitted to both ends and the closed-form bridges between their components. With one
    component it is the bridge between the Gaussians of the moments, which is taken too where rows held out do not say
    clearly that more is better. Any potential is the bridge to
    some end: what is biased is that end's law, by too few components, by finitely many rows and by the optimiser.
    Parameters and evaluation are in float64.

    components: the most that a potential has. covariances: of S, "full" or "diagonal". learning_rate: of Adam, in
    units of what is started from, on a cosine. batch: rows of either end an iteration. validation: the share of rows
    held out where they are at least two, of whose loss the least of twenty looks is kept; 0: the last. The default
    number of iterations is 2000.
    ValueError for numbers out of range and another word. Korotin, Gushchin and Burnaev 2024,
    https://arxiv.org/abs/2310.01174.

        >>> from samplers.generative.bridges import MixturePotentials
        >>> bridge = samplers.SchroedingerBridge(noise=2.0, method=MixturePotentials(components=1))
        >>> fitted = bridge.fit(targets.Gaussian([0.0]), targets.Gaussian([1.0], scale=2.0), progress=False)
        >>> fitted.drift(torch.zeros(1, 1), 0.0).shape
        torch.Size([1, 1])
    """

    components: int = 50
    covariances: Literal["full", "diagonal"] = "full"
    learning_rate: float = 1e-2
    batch: int = 512
    validation: float = 0.1

    def __post_init__(self) -> None:
        check_integer(self.components, "components")
        check_integer(self.batch, "batch")
        positive(self.learning_rate, "learning_rate")
        check_choice(self.covariances, "covariances", ("full", "diagonal"))
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation: got {shown(self.validation)}, expected a number in [0, 1)")

    def learn(self, start: End, end: End, noise: float, run: Run) -> Found:
        assert start.samples is not None
        assert end.samples is not None
        generator = Generator(start.samples.x.device).manual_seed(run.seed + START)
        origins = start.samples.moments[0], end.samples.moments[0]
        laws = [_centred(law, origin) for law, origin in zip((start.samples, end.samples), origins, strict=True)]
        train, held = laws, None
        if self.components > 1 and self.validation * min(len(law.x) for law in laws) >= FEWEST:
            parts = [law.split(self.validation, generator) for law in laws]
            train, held = [part[0] for part in parts], (parts[0][1], parts[1][1])
        diagonal = self.covariances == "diagonal"
        pieces = first_pieces(train[0], train[1], noise, self.components, diagonal, generator)
        ahead, behind = (
            PieceParameters(piece, noise, law.moments[1].diagonal()) for piece, law in zip(pieces, train, strict=True)
        )
        total = ITERATIONS if run.iterations is None else run.iterations
        learning = PotentialLearning(
            (ahead, behind),
            (train[0], train[1]),
            held,
            {"method": repr(self), "noise": noise, "seed": run.seed},
            run,
            total=total if max(len(piece.heights) for piece in pieces) > 1 else 0,
            batch=self.batch,
            learning_rate=self.learning_rate,
        )
        learning.carry_out(run.checkpoint, run.progress)
        ahead, behind = learning.learned()
        if learning.rows is not None:
            plain = (
                PieceParameters(piece, noise) for piece in first_pieces(laws[0], laws[1], noise, 1, diagonal, generator)
            )
            x, y = learning.rows
            ahead, behind = (
                way if _better(way, one, *rows) else one
                for way, one, rows in zip((ahead, behind), plain, ((x, y), (y, x)), strict=True)
            )
        bridge = StaticBridge(ahead.potential(*origins), behind.potential(*reversed(origins)))
        figures = {
            "untrained": learning.untrained,
            "validation": learning.least,
            "components": float(len(ahead.heights)),
            "components backward": float(len(behind.heights)),
        }
        notes = [*learning.notes, *learning.complaints()]
        return Found(bridge, learning.done, learning.history, figures, notes, learning.cost)


def _centred(law: Samples, origin: Tensor) -> Samples:
    return replace(law, x=law.x.double() - origin)


def _better(learned: PieceParameters, plain: PieceParameters, x: Tensor, y: Tensor) -> bool:
    """Whether the loss of held-out rows is lower by more than twice the standard error of the difference."""
    with torch.no_grad():
        gains = plain.log_c(x) - learned.log_c(x), learned.log_v(y) - plain.log_v(y)
    gain = sum(float(one.mean()) for one in gains)
    return gain > STANDARD_ERRORS * math.sqrt(sum(float(one.var()) / len(one) for one in gains))
