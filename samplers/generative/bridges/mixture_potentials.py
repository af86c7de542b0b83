"""Bridges by potentials that are mixtures of Gaussians: closed forms, and a loss without simulation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Generator, Tensor

from samplers.draws import Cost
from samplers.generative.bridges.bridge import StaticBridge
from samplers.generative.bridges.method import BridgeMethod, End, Found, Run
from samplers.generative.bridges.mixture_start import Pieces, paired
from samplers.generative.bridges.potential_learning import PieceParameters, PotentialLearning
from samplers.generative.data import Samples
from targets.arguments import check_integer, positive

START = 19_000_021  # offset of the seed
ITERATIONS = 2000


@dataclass(frozen=True)
class MixturePotentials(BridgeMethod):
    """Mixture potentials (LightSB), one for each direction.

        pi(y | x) proportional to exp(<x, y> / eps) v(y),   v = sum_k a_k N(r_k, eps S_k)
        min over a, r, S of E_start[log c(x)] - E_end[log v(y)] = KL(pi* | pi) + const

    Conditional laws are mixtures of Gaussians, drifts are in closed form, nothing is simulated to learn or to draw.
    Training starts from Gaussian mixtures of both ends and the closed-form bridges of their pairs; with one component
    it is the bridge between the Gaussians of the moments, and nothing is left to learn. Any potential is the bridge to
    some end: what is biased is that end's law, by too few components, by finitely many rows and by the optimiser.
    Parameters and evaluation are in float64.

    components: the most pairs. covariances: of S, "full" or "diagonal". learning_rate: of Adam, in units of what is
    started from, on a cosine. batch: rows of either end an iteration. validation: the share of rows held out, of whose
    loss the least of twenty looks is kept; 0: the last. The default number of iterations is 2000.
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
        if self.covariances not in ("full", "diagonal"):
            raise ValueError(f"covariances: got {self.covariances!r}, expected 'full' or 'diagonal'")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation: got {self.validation!r}, expected a number in [0, 1)")

    def learn(self, start: End, end: End, noise: float, run: Run) -> Found:
        assert start.samples is not None
        assert end.samples is not None
        generator = Generator(start.samples.x.device).manual_seed(run.seed + START)
        origins = [law.samples.moments[0] for law in (start, end)]  # type: ignore[union-attr]
        laws = [_centred(law, origin) for law, origin in zip((start.samples, end.samples), origins, strict=True)]
        train, held = laws, None
        if self.validation and self.components > 1:
            parts = [law.split(self.validation, generator) for law in laws]
            train, held = [part[0] for part in parts], (parts[0][1], parts[1][1])
        pieces = paired(*train, noise, self.components, self.covariances == "diagonal", generator)
        variances = [law.moments[1].diagonal() for law in laws]
        ways = tuple(
            PieceParameters(piece, noise, _image(piece, noise, variance))
            for piece, variance in zip(pieces, variances, strict=True)
        )
        total = ITERATIONS if run.iterations is None else run.iterations
        if len(pieces[0].heights) == 1:
            total = 0
        settings = {"method": repr(self), "noise": noise, "seed": run.seed}
        learning = PotentialLearning(
            (ways[0], ways[1]),
            (train[0], train[1]),
            held,
            settings,
            run,
            total=total,
            batch=self.batch,
            learning_rate=self.learning_rate,
        )
        learning.carry_out(run.checkpoint, run.progress)
        ahead, behind = learning.learned()
        bridge = StaticBridge(ahead.potential(*origins), behind.potential(*reversed(origins)))
        figures = {"untrained": learning.untrained, "validation": learning.least, "components": float(len(pieces[0].heights))}
        notes = [*learning.notes, *learning.complaints()]
        return Found(bridge, learning.done, learning.history, figures, notes, learning.cost)


def _centred(law: Samples, origin: Tensor) -> Samples:
    return replace(law, x=law.x.double() - origin)


def _image(piece: Pieces, noise: float, variance: Tensor) -> Tensor:
    """The scale (K, dim) in which the ends of pieces move: variances of S x + sqrt(eps S) e, x as all of the start."""
    matrices = piece.matrices
    if matrices.ndim == 2:
        return matrices.square() * variance + noise * matrices
    return (matrices.square() * variance).sum(-1) + noise * matrices.diagonal(dim1=1, dim2=2)
