"""The run of training of a score model: iterations, looks at rows held out, checkpoints."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Generator, Tensor, nn

from samplers.generative.conditions import conditioned_model, dropped
from samplers.generative.data import Samples
from samplers.generative.score_model import ScoreModel
from samplers.generative.training import Training
from samplers.generative.transformations import Transformation
from samplers.learning import distributed
from samplers.learning.descent import Descent, Group
from samplers.learning.one_loss import OneLoss
from samplers.learning.rate import cosine
from targets import Gaussian

LOOKS = 20  # at the validation loss, in a run
LOST = 0.1  # of what training had won, which is told where it is lost again
TOLD = 0.01  # of the loss itself: less is not worth a word
VALIDATED = 8192  # rows, with noise and times of their own, that are the same at every look
PART = 1024  # of them at a time
M = TypeVar("M", bound=nn.Module)
SPLIT, NOISE, BATCHES = 11_000_027, 12_000_017, 14_000_029  # offsets of the seeds


class ScoreLearning(OneLoss, Generic[M]):
    """Training between two iterations: `model`, the rows it learns from, and the best that looks have found.

    transformation: of the rows to the coordinates of the model. loss: of the model at rows, one value for each. train,
    held: what rows are given in them is the context that the network takes, None where it takes none.
    start: the Gaussian of the moments of the training rows in these coordinates.
    """

    def __init__(
        self,
        model: M,
        loss: Any,
        training: Training,
        settings: dict[str, Any],
        train: Samples,
        held: Samples | None,
        transformation: Transformation,
        start: Gaussian,
        *,
        seed: int,
        total: int,
        minutes: float | None,
        log_dir: str | Path | None,
    ) -> None:
        generator = Generator(start.device).manual_seed(seed + BATCHES + distributed.rank())
        super().__init__("ScoreDiffusion", start, generator, total, minutes, log_dir)
        self.model, self.loss, self.training, self.seed, self.about = model, loss, training, seed, settings
        self.train, self.held, self.transformation = train, held, transformation
        groups = [Group([p for p in model.parameters() if p.requires_grad])]
        self.descent = Descent(
            groups, training.learning_rate, clip=training.gradient_clip, average=training.average, betas=(0.9, 0.99)
        )
        self.stale = 0
        self.looks: dict[str, Tensor] = {}  # the held-out loss of each row: untrained, at its least, and at last
        self.least_at = self.judged_at = 0  # the iterations of the least and of the last
        self.kept: list[Tensor] | None = None  # the parameters that it is of

    # Iterations

    def begin(self) -> Tensor:
        """A look at the Gaussian that training starts from."""
        if self.held is not None:
            rows = self._look(self.model)
            self.looks = {"untrained": rows, "least": rows, "last": rows}
            self.kept = [value.clone() for value in self.descent.averages]
        return torch.zeros(1, self.target.dim, dtype=self.target.dtype, device=self.target.device)

    @property
    def finished(self) -> bool:
        """Also where `patience` is at its end."""
        patience = self.training.patience
        return super().finished or (patience is not None and self.stale >= patience)

    def step(self) -> None:
        warm = min(1.0, (self.done + 1) / (self.training.warmup + 1))
        self.descent.set_rate(cosine(self.done / self.total) * warm)
        self.descent.clear()
        x, context = self.train.pairs(self.training.batch, self.generator)
        u = self.transformation.seen(x, self.generator)
        if context is not None:
            context = dropped(context, self.training.drop_condition, self.generator)
        self.descend(self._loss(self.model, u, context, self.generator).mean())

    def stepped(self, pressed: bool) -> bool:
        if self.done % max(1, self.total // LOOKS) == 0:
            self.judge()
        return super().stepped(pressed)

    def judge(self) -> None:
        """A look at the averaged model as it is now, unless that has been looked at."""
        if self.held is None or self.judged_at == self.done:
            return
        self.looks["last"] = rows = self._look(self.averaged())
        self.judged_at = self.done
        if rows.mean() < self.looks["least"].mean():
            self.looks["least"], self.least_at, self.stale = rows, self.done, 0
            self.kept = [value.clone() for value in self.descent.averages]
        else:
            self.stale += 1

    def _look(self, model: M) -> Tensor:
        """The loss of held-out rows, (VALIDATED,): the same rows, noises and times at every look.

        Where conditions are dropped, its mean over both cases, of which training draws one.
        """
        assert self.held is not None
        generator = Generator(self.target.device).manual_seed(self.seed + NOISE)
        x, context = self.held.pairs(VALIDATED, generator)
        u = self.transformation.seen(x, generator).split(PART)
        contexts = [None] * len(u) if context is None else context.split(PART)
        with torch.no_grad():
            rows = torch.cat([self._loss(model, *part, generator) for part in zip(u, contexts, strict=True)])
            if context is None or not (share := self.training.drop_condition):
                return rows
            nothing = torch.zeros_like(context[0])
            return rows.lerp(torch.cat([self._loss(model, part, nothing, generator) for part in u]), share)

    def _loss(self, model: M, u: Tensor, context: Tensor | None, generator: Generator) -> Tensor:
        if context is None:
            found: Tensor = self.loss(model, u, generator)
            return found
        assert isinstance(model, ScoreModel)
        return self.loss(conditioned_model(model, context), u, generator)

    def held_out(self, look: str) -> float:
        """The mean of the held-out loss at a look, NaN where nothing is held out."""
        return float(self.looks[look].mean()) if self.looks else math.nan

    def averaged(self) -> M:
        """A copy of the model with the averaged parameters."""
        return self._with(self.descent.averages)

    def learned(self) -> M:
        """A copy of the model with the parameters of the least validation loss, or the last ones without looks."""
        return self._with(self.descent.averages if self.kept is None else self.kept).requires_grad_(False).eval()

    def _with(self, values: list[Tensor]) -> M:
        model = copy.deepcopy(self.model)
        trained = [p for p in model.parameters() if p.requires_grad]
        with torch.no_grad():
            for parameter, value in zip(trained, values, strict=True):
                parameter.copy_(value)
        return model

    # What is said of it

    def figures(self) -> str:
        seen = "" if self.held is None else f", held out {self.held_out('last'):.5g}"
        return f"loss {self.mean_loss:.5g}{seen}"

    def more(self) -> dict[str, float]:
        return {"validation": self.held_out("last")}

    def complaints(self) -> Iterator[str]:
        """What must be said of the model, at the end."""
        yield from super().complaints()
        if self.held is None or not self.done:
            return
        rise = self.looks["last"] - self.looks["least"]
        untrained, least, last = (self.held_out(look) for look in ("untrained", "least", "last"))
        noise = 2 * float(rise.std()) / math.sqrt(len(rise))
        if last - least <= max(LOST * (untrained - least), TOLD * abs(untrained), noise):
            return
        if self.least_at == 0:
            yield (
                f"training raised the held-out loss, from {least:.5g} to {last:.5g}: the model is the Gaussian of the "
                "samples' moments. Lower Training(learning_rate=), or look at the samples"
            )
        else:
            yield (
                f"the held-out loss was least, {least:.5g}, after {self.least_at} of {self.done} iterations and has "
                f"risen to {last:.5g}: the model is that of then. More samples, a smaller network or fewer iterations "
                "help"
            )

    # Checkpoints

    def settings(self) -> dict[str, Any]:
        return {**self.about, "seed": self.seed, "iterations": self.total, "samples": self.train.digest()}

    def densities(self) -> dict[str, Any]:
        """None: what is learned from is in the settings."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "descent": self.descent.state_dict(),
            **self.curves(),
            "looks": self.looks,
            "kept": self.kept,
            "judged": [self.least_at, self.judged_at, self.stale],
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        self.descent.load_state_dict(saved["descent"])
        self.load_curves(saved)
        device = self.target.device
        self.looks = {name: rows.to(device) for name, rows in saved["looks"].items()}
        self.kept = None if saved["kept"] is None else [value.to(device) for value in saved["kept"]]
        self.least_at, self.judged_at, self.stale = saved["judged"]
        if self.done % max(1, self.total // LOOKS) == 0:
            self.judge()  # a look that failed after its iteration
