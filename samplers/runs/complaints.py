"""What a run says at its end of what the density and its score look like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from samplers.runs.gradient_check import check_gradient

SUITED = (
    "RandomWalkMetropolis or MALA suit such a density, or parameters without walls (targets.Interval, targets.Positive "
    "in a Posterior)"
)


def remarks(kernel: Any, target: Any, x: Tensor, given: bool, jumps: bool) -> Iterator[str]:
    """A wrong score, or a density that jumps, near chains at x (chains, dim).

    Score and differences are compared where the score was `given` beside the density, and where smaller steps of a
    trajectory did not help (`jumps`).
    """
    if not (given or jumps):
        return
    gradient = check_gradient(kernel, target, x)
    if gradient.right is False:
        whose = "the score that was passed (`score=`, or `grad=` of from_numpy)" if given else "the score"
        yield (
            f"{whose} is not the gradient of log_prob: {gradient.where}. Where each score depends on its own point "
            f"alone, samplers with a Metropolis test still follow log_prob, but slowly{_held(jumps)}; others follow "
            "neither. Pass the gradient, or use RandomWalkMetropolis, which needs none"
        )
    elif jumps:
        sound = "its gradient agrees with differences" if gradient.right else "its gradient could not be checked"
        yield (
            "smaller leapfrog steps do not raise the acceptance: the density looks as if it jumped or ended at a wall "
            f"(log_prob = -inf) within reach of the chains ({sound}){_held(jumps)}. The draws are right, but "
            f"neighbours are close to one another. {SUITED}"
        )


def _held(jumps: bool) -> str:
    return "; warmup has held trajectories to few leapfrogs" if jumps else ""
