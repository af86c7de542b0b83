"""Training of mixture potentials, both directions at once.

    L(theta) = E_start[log c(x)] - E_end[log v(y)] = KL(pi* | pi_theta) + const,   pi* the Schroedinger plan

by Adam on batches of rows of both ends. Korotin, Gushchin and Burnaev 2024, https://arxiv.org/abs/2310.01174.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.generative.bridges.method import Run
from samplers.generative.bridges.pieces import PieceParameters
from samplers.generative.data import Samples
from samplers.learning import distributed
from samplers.learning.descent import Descent, Group
from samplers.learning.one_loss import OneLoss
from samplers.learning.rate import cosine
from targets import Gaussian

LOOKS = 20
VALIDATED = 8192  # rows that are held out, at most, for the looks
BATCHES = 18_000_041  # offset of the seed
WARMUP = 50


class PotentialLearning(OneLoss):
    """Training between two iterations: `ways`, the potentials forward and backward, and the best that looks have found.

    train, held: rows of (start, end), centred, held out or not. settings: what a checkpoint must agree in.
    """

    def __init__(
        self,
        ways: tuple[PieceParameters, PieceParameters],
        train: tuple[Samples, Samples],
        held: tuple[Samples, Samples] | None,
        settings: dict[str, Any],
        run: Run,
        *,
        total: int,
        batch: int,
        learning_rate: float,
    ) -> None:
        device = train[0].x.device
        generator = Generator(device).manual_seed(run.seed + BATCHES + distributed.rank())
        space = Gaussian(torch.zeros(train[0].x.shape[1], dtype=torch.float64, device=device), name="bridge")
        super().__init__("SchroedingerBridge", space, generator, total, run.max_minutes, run.log_dir)
        self.ways, self.train, self.about, self.batch = ways, train, settings, batch
        self.rows = held and tuple(law.batch(VALIDATED, generator).double() for law in held)
        self.parameters = [p for way in ways for p in way.parameters()]
        self.descent = Descent([Group(self.parameters)], learning_rate, clip=math.inf, average=0.99, betas=(0.9, 0.99))
        self.least = self.untrained = self.seen = math.nan
        self.kept: list[Tensor] | None = None

    def begin(self) -> Tensor:
        if self.rows is not None:
            self.untrained = self.least = self.seen = self._look()
            self.kept = [value.clone() for value in self.descent.averages]
        return torch.zeros(1, self.target.dim, dtype=torch.float64, device=self.target.device)

    def step(self) -> None:
        self.descent.set_rate(cosine(self.done / self.total) * min(1.0, (self.done + 1) / (WARMUP + 1)))
        self.descent.clear()
        x, y = (law.batch(self.batch, self.generator).double() for law in self.train)
        self.descend(self.loss(x, y))

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """L of both directions, added up."""
        ahead, behind = self.ways
        forward = ahead.log_c(x).mean() - ahead.log_v(y).mean()
        return forward + behind.log_c(y).mean() - behind.log_v(x).mean()

    def stepped(self, pressed: bool) -> bool:
        if self.rows is not None and (self.done % max(1, self.total // LOOKS) == 0 or self.done == self.total):
            self.seen = self._look()
            if self.seen < self.least:
                self.least, self.kept = self.seen, [value.clone() for value in self.descent.averages]
        return super().stepped(pressed)

    def _look(self) -> float:
        """The loss of held-out rows by the averaged parameters."""
        assert self.rows is not None
        mine = [p.detach().clone() for p in self.parameters]
        with torch.no_grad():
            self._put(self.descent.averages)
            value = float(self.loss(*self.rows))
            self._put(mine)
        return value

    def _put(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(value)

    def learned(self) -> tuple[PieceParameters, PieceParameters]:
        """With the parameters of the least held-out loss, or the averages without looks."""
        self._put(self.descent.averages if self.kept is None else self.kept)
        return self.ways

    def figures(self) -> str:
        return f"loss {self.mean_loss:.5g}"

    def more(self) -> dict[str, float]:
        return {"validation": self.seen}

    # Checkpoints

    def settings(self) -> dict[str, Any]:
        return {**self.about, "iterations": self.total, "samples": [law.digest() for law in self.train]}

    def densities(self) -> dict[str, Any]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {
            "parameters": [p.detach() for p in self.parameters],
            "descent": self.descent.state_dict(),
            **self.curves(),
            "looks": [self.untrained, self.least, self.seen],
            "kept": self.kept,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self._put([value.to(self.target.device) for value in saved["parameters"]])
        self.descent.load_state_dict(saved["descent"])
        self.load_curves(saved)
        self.untrained, self.least, self.seen = saved["looks"]
        self.kept = None if saved["kept"] is None else [value.to(self.target.device) for value in saved["kept"]]
