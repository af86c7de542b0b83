"""What a run says at its end: of what the density and its score look like, and of chains that did not move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from samplers.draws import Draws
from samplers.draws.divergences import divergence_advice
from samplers.runs.gradient_check import check_gradient
from samplers.runs.stuck import why_stuck
from targets.arguments import brief

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
            f"(log_prob = -inf) within reach of the chains, or some chains are where only far smaller steps would do "
            f"({sound}){_held(jumps)}. Each step leaves the target invariant, but chains move slowly: look at R-hat. "
            f"{SUITED}"
        )


def about_moves(
    kernel: Any, target: Any, x: Tensor, draws: Draws, divergences: Tensor, moved: Tensor | None, steps: int
) -> Iterator[str]:
    """Chains that stand still, with the cause that is found around x (chains, dim), and steps that diverged.

    divergences (chains,): of how many of `steps`. moved (chains,): which have moved, None where nobody looked.
    """

    def why(which: Any) -> str:
        rates = draws.stats.get("acceptance_rate")
        rate = None if rates is None else float(rates[which].double().mean())
        return why_stuck(target, x[which], rate, steps, getattr(kernel, "step_size", None))

    chains, count = len(x), int(divergences.sum())
    if bool((divergences == steps).all()):
        yield (f"every one of the {steps} steps diverged in all {chains} chains, which never moved: {why(slice(None))}")
        return
    if moved is not None and not bool(moved.all()):
        stuck = (~moved).nonzero()[:, 0]
        yield (f"{len(stuck)} of {chains} chains never moved in {steps} steps (chains {brief(stuck)}): {why(stuck)}")
    if count > kernel.usual_divergences * steps * chains:
        yield (
            f"{count} of {steps * chains} steps diverged (chains: {int((divergences > 0).sum())} of {chains}): "
            "proposals had a non-finite density or a large energy error and were rejected. "
            f"{divergence_advice(draws)}"
        )


def _held(jumps: bool) -> str:
    return "; warmup has held trajectories to few leapfrogs" if jumps else ""
