"""Does a kernel, perhaps a user's own, return what every run relies on?

x (chains, dim) in the dtype and on the device of the positions given, log_prob (chains,), score None or as x;
of Info every field (chains,), a position or momentum as x, diverging of booleans; and the state that was given is left
as it was.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.runs.state import Info, State, values
from samplers.runs.transition import Transition, one_step
from targets import Target

AS_X = ("proposal", "start_momentum")  # the fields of Info that have the shape of x


def checked_init(kernel: Transition, target: Target, x: Tensor, generator: Generator) -> State:
    """kernel.init, or one error that names the field, what came and what was expected."""
    state: Any = kernel.init(target, x, generator)
    who = f"{type(kernel).__name__}.init"
    if not isinstance(state, State):
        raise TypeError(f"{who}: returned {type(state).__name__}, expected a State")
    _check_state(who, state, x)
    return state


def checked_step(kernel: Transition, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
    """kernel.step, or one error that names the field, what came and what was expected.

    ValueError for another shape, TypeError for another dtype, and ValueError for a step that writes into the state that
    it is given: whoever compares before with after would then compare a state with itself.
    """
    before = {name: value.clone() for name, value in values(state).items() if isinstance(value, Tensor)}
    new, info = one_step(kernel, target, state, generator)
    who = f"{type(kernel).__name__}.step"
    for name, value in before.items():
        now = getattr(state, name)
        if now.shape != value.shape or not bool(((now == value) | (now.isnan() & value.isnan())).all()):
            raise ValueError(
                f"{who}: changed the state that it was given in place (its {name}), expected a new State; write into "
                f"a copy, state.{name}.clone()"
            )
    _check_state(who, new, state.x)
    if (new.score is None) != (state.score is None):
        came, expected = ("no score", "one") if new.score is None else ("a score", "none")
        raise TypeError(f"{who}: returned a State with {came}, expected {expected} as in the State that it was given")
    _expect(who, "State.log_prob", new.log_prob, (len(state.x),), state.log_prob.dtype, state.x.device)
    for field in fields(info):
        value, known = getattr(info, field.name), field.name in Info.__dataclass_fields__
        if known and not (value is None and field.default is None):
            dtype = torch.bool if field.name == "diverging" else None
            shape = tuple(state.x.shape) if field.name in AS_X else (len(state.x),)
            _expect(who, f"Info.{field.name}", value, shape, dtype, state.x.device)
    return new, info


def _check_state(who: str, state: State, x: Tensor) -> None:
    _expect(who, "State.x", state.x, tuple(x.shape), x.dtype, x.device)
    _expect(who, "State.log_prob", state.log_prob, (len(x),), None, x.device)
    if state.score is not None:
        _expect(who, "State.score", state.score, tuple(x.shape), None, x.device)


def _expect(
    who: str, field: str, value: Any, shape: tuple[int, ...], dtype: torch.dtype | None, device: torch.device
) -> None:
    """The field's shape, its dtype unless that is None, and where it lies."""
    wanted = f"expected shape {shape}" + ("" if dtype is None else f" in {dtype}")
    if not isinstance(value, Tensor):
        raise TypeError(f"{who}: {field} is {type(value).__name__}, {wanted}")
    if tuple(value.shape) != shape:
        meaning = "(chains,)" if len(shape) == 1 else "(chains, dim)"
        raise ValueError(f"{who}: {field} has shape {tuple(value.shape)}, {wanted}, which is {meaning}")
    if dtype is not None and value.dtype != dtype:
        raise TypeError(f"{who}: {field} is in {value.dtype}, {wanted}")
    if value.device != device:
        raise ValueError(f"{who}: {field} is on {value.device}, expected {device}")
