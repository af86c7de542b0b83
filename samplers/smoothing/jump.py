"""The last move, from measurements to the target.

"posterior": x ~ p(x | y), so that x has the law of the target when y has the law of its measurements.
"mean": x = E[X | y], the literature's; its law differs from the target's by a Wasserstein distance of at most
sqrt(tr C), C the noise of y: sigma sqrt(dim / m) for m measurements.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from samplers.smoothing.measurements import Measured
from targets.arguments import check_choice

Jump = Literal["posterior", "mean"]


def check_jump(jump: str, argument: str = "jump") -> None:
    """ValueError for a jump that there is not."""
    check_choice(jump, argument, get_args(Jump))


def jumped(jump: Jump, law: Measured, y: Tensor) -> Tensor:
    """From means y (n, dim) of the measurements of a law to the target, by the law's denoiser."""
    return law.denoise(y).mean if jump == "mean" else law.draw(y)
