"""How a score model is trained: the settings of the optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch

from targets.arguments import check_integer, positive, shown


@dataclass(frozen=True)
class Training:
    """Settings of the optimiser.

    batch: rows of data an iteration, each with a noise and a time of its own. learning_rate: of Adam, after `warmup`
    iterations, then on a cosine down to a fiftieth. gradient_clip: largest norm of the gradient. average: of the
    parameters over iterations, which is what samples in the end. validation: share of the rows that is held out; of
    twenty looks at their loss the model of the least is kept; 0 holds none out, and keeps the last. patience: looks
    without a lower loss that end the training; None: it goes on. drop_condition: the probability that a row of a batch
    is given no condition, of models that have conditions, so that they know the law of x without one too; .1 to .2 for
    classifier-free guidance. The loss of held-out rows is then the mean of both.

    ValueError for numbers out of range.

        >>> from samplers.generative import Training
        >>> Training(batch=64).validation
        0.1
    """

    batch: int = 512
    learning_rate: float = 2e-3
    warmup: int = 50
    gradient_clip: float = 1.0
    average: float = 0.999
    validation: float = 0.1
    patience: int | None = None
    drop_condition: float = 0.0

    def __post_init__(self) -> None:
        check_integer(self.batch, "batch")
        check_integer(self.warmup, "warmup", 0)
        for name in ("learning_rate", "gradient_clip"):
            positive(getattr(self, name), name)
        for name in ("average", "validation", "drop_condition"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: got {shown(getattr(self, name))}, expected a number in [0, 1)")
        if self.patience is not None:
            check_integer(self.patience, "patience")
            if not self.validation:
                raise ValueError("patience: got one with validation=0, expected a share of the rows to look at")


class FitOptions(TypedDict, total=False):
    """How `ScoreDiffusion.fit` runs, whatever it learns from: its arguments, as it says."""

    seed: int
    iterations: int
    max_minutes: float | None
    device: torch.device | str | None
    dtype: torch.dtype | None
    progress: bool | None
    checkpoint: str | Path | None
    log_dir: str | Path | None
