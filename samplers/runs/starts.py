"""Where chains and particles start."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Generator, Tensor

from samplers.runs.state import State
from targets import DiscreteTarget, Target
from targets.arguments import brief
from targets.linear_algebra import failures_raised, is_failure

Init = Tensor | np.ndarray | Callable[[int, Generator], Tensor] | None

START_ATTEMPTS = 100

S = TypeVar("S", bound=State)


def positions(init: Init, n: int, target: Target, generator: Generator) -> Tensor:
    """Starting points, (n, dim) in the target's dtype and on its device."""
    if init is None:
        if "prior" in target.known:
            return target.prior.sample(n, generator=generator)
        unit = torch.rand(n, target.dim, generator=generator, dtype=target.dtype, device=target.device)
        return 4 * unit - 2
    x = _called(init, n, target, generator) if callable(init) else torch.as_tensor(init)
    if not isinstance(x, Tensor) or x.shape != (n, target.dim):
        came = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"init: got {came}, expected ({n}, {target.dim}): starts times dim")
    x = x.to(device=target.device, dtype=target.dtype, copy=True)
    if isinstance(target, DiscreteTarget):
        target.check_configuration(x, "init")
    return x


def _called(init: Callable[[int, Generator], Tensor], n: int, target: Target, generator: Generator) -> Tensor:
    try:
        return init(n, generator)
    except Exception as error:
        error.add_note(
            f"init was called with ({n}, a torch.Generator), both by position, as in init=lambda n, generator: "
            f"torch.randn(n, {target.dim}, generator=generator, dtype={target.dtype})"
        )
        raise


def finite_starts(state: State) -> Tensor:
    """Which starts have a finite position, log-density and score, (n,)."""
    finite = state.log_prob.isfinite() & state.x.isfinite().all(-1)
    return finite if state.score is None else finite & state.score.isfinite().all(-1)


def first_state(draw: Callable[[Init], Tensor], at: Callable[[Tensor], S], init: Init) -> S:
    """The state `at` the starts that `draw` makes of init.

    Starts chosen here are drawn again until the density is finite; those that a user gives are not.
    """
    x = draw(init)
    state = at(x)
    for _ in range(START_ATTEMPTS if init is None else 0):
        good = finite_starts(state)
        if bool(good.all()):
            break
        x = torch.where(good[:, None], x, draw(None))
        state = at(x)
    return state


def check_starts(state: State, unit: str, target: Target | None = None, init: Init = None) -> None:
    """ValueError that names the first chain or particle (`unit`) whose density is not finite.

    target: asked there once more for what its linear algebra says, where that is what failed. init: of the user, who
    is told to mend it only if there is one.
    """
    failed = (~finite_starts(state)).nonzero()[:, 0].tolist()
    if not failed:
        return
    first = failed[0]
    score = "" if state.score is None else f" and score {brief(state.score[first])}"
    said = _failure(target, state.x[first : first + 1]) or _likely_cause(state, init)
    raise ValueError(
        f"{'' if init is None else 'init: '}the density is not finite where {unit} {first} starts: log_prob "
        f"{float(state.log_prob[first])}{score} at x = {brief(state.x[first])} "
        f"({len(failed)} of {len(state.x)} {unit}s){said}"
    )


def _likely_cause(state: State, init: Init) -> str:
    """What is wrong as a rule, where starts failed that are not a user's, or where all are nan."""
    if bool(state.log_prob.isnan().all()):
        return (
            ". It is nan at every start: look for a nan in the data, or a log or square root of what is negative, in "
            "the function itself"
        )
    if init is None:
        return ". None of the starts that were tried is better; give init= where the density is positive"
    return ""


def _failure(target: Target | None, x: Tensor) -> str:
    """What the linear algebra of a density says at a point where it fails."""
    try:
        with failures_raised():
            if target is not None:
                target.log_prob(x)
    except Exception as error:
        return f"; {type(error).__name__}: {str(error).splitlines()[0]}" if is_failure(error) else ""
    return ""
