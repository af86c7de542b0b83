"""Settings of the optimiser of learned samplers."""

from __future__ import annotations

from dataclasses import dataclass

from samplers.diffusion.replay import Replay
from targets.arguments import check_integer, not_negative, positive, shown


@dataclass(frozen=True)
class Training:
    """Settings of the optimiser; the defaults serve all methods, in the coordinates that the pilot finds.

    batch: paths an iteration. warm_start: share of the iterations that go to `ForwardKL` on the pilot's particles,
    before the objective takes over, any but KL at a quarter of the learning rate; None is a quarter, and 0 from a
    mixture, which the pilot has already brought close to them; there is none without a pilot. anchored: share of the
    paths of other iterations that run backwards from these particles, where the objective takes paths of any law: what
    is lost on the way from the prior is seen there, and does not get lost for good.
    learning_rate: of Adam for the networks, after `warmup` iterations, then on a cosine down to a fiftieth.
    schedule_rate: that of temperatures, step sizes, scales and the prior, as a share of it.
    gradient_clip: largest norm of the gradient. average: of the parameters over iterations, which is what samples in
    the end. clip: (first, last) limit on the score that the network sees, as the root mean square of its pull in units
    of the step's noise. exploration: share by which the noise of simulated paths is wider at first.
    replay: a `Replay`, or None. mixed_precision: networks in bfloat16; weights stay exact. compile: networks through
    torch.compile.

    ValueError for numbers out of range.

        >>> from samplers.diffusion import Training
        >>> samplers.DDS(training=Training(batch=64, learning_rate=1e-3)).training.batch
        64
    """

    batch: int = 256
    warm_start: float | None = None
    anchored: float = 0.25
    learning_rate: float = 3e-3
    schedule_rate: float = 1.0
    warmup: int = 50
    gradient_clip: float = 1.0
    average: float = 0.99
    clip: tuple[float, float] = (3.0, 10.0)
    exploration: float = 0.0
    replay: Replay | None = None
    mixed_precision: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        check_integer(self.batch, "batch", 2)
        check_integer(self.warmup, "warmup", 0)
        for name in ("learning_rate", "schedule_rate", "gradient_clip"):
            positive(getattr(self, name), name)
        not_negative(self.exploration, "exploration")
        if self.warm_start is not None and not 0 <= self.warm_start <= 1:
            raise ValueError(
                f"warm_start: got {shown(self.warm_start)}, expected a share of the iterations in [0, 1] or None"
            )
        if not 0 <= self.anchored < 1:
            raise ValueError(f"anchored: got {shown(self.anchored)}, expected a share of the paths in [0, 1)")
        if not 0 <= self.average < 1:
            raise ValueError(f"average: got {shown(self.average)}, expected a number in [0, 1)")
        if len(self.clip) != 2 or not 0 < self.clip[0] <= self.clip[1]:
            raise ValueError(f"clip: got {shown(self.clip)}, expected a first limit and one at least as large")
