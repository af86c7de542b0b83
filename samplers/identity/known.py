"""Whether a density is the one that a file was written for.

Three things are remembered: the log-density at a few points, what the density is made of (`contents`), and what it does
with these points (`steps`). It is another one where a value differs by more than rounding. With equal values it is the
same one where what it is made of is the same, or what it does: either is enough, as a function may count its calls, and
what is done outside of torch is not seen. Where both can be seen and neither is the same, it is another one, whose
difference the points do not show. Where neither can be seen, finite values at the points must do; and where there are
none either, it cannot be told.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from samplers.identity import contents
from samplers.identity.steps import Steps
from targets import Target
from targets.arguments import brief
from targets.counting import plain

POINTS = 4  # enough to know a density again by; all would be a copy of the chains
ROUNDING = 64.0  # in eps of the dtype and the value's own size, at least 1: sums in another order, another CPU
CANCELLING = 64.0  # times as much where all else says that it is the same, for sums whose terms cancel
IMPORTED = "/import "  # in the way to what a function imports
CHANGES = "changes"  # in place of a word: what an evaluation changes, such as a count of calls
SHOWN = 3


@dataclass(frozen=True, eq=False)
class Made:
    """made: what a density is made of, by the way that leads there. steps: a word for what it does, None if unseen."""

    made: Mapping[str, str]
    steps: str | None


@dataclass(frozen=True, eq=False)
class Known(Made):
    """points (n, dim), values (n,): where a density was evaluated and what came, by `method` of `rows` points."""

    points: Tensor
    values: Tensor
    rows: int
    method: str

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and words, for a file."""
        return {**self.__dict__, "points": self.points.cpu(), "values": self.values.cpu(), "made": dict(self.made)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """What `state_dict` gave."""
        return cls(**state)

    def other(self, density: Target) -> str | None:
        """How a density differs from this one, in words; None where it is the same one. It is evaluated once."""
        x = self.points.to(density.device, density.dtype)
        index = torch.arange(self.rows, device=x.device) % len(x)
        return difference(self, known(density, x[index], self.method))


def known(density: Target, x: Tensor, method: str | None = None) -> Known:
    """What to know a density again by, from one evaluation at x (n, dim): of `log_prob`, else of `score`."""
    density = plain(density)
    method = method or ("log_prob" if density.has_density else "score")
    if len(x) == density.dim:  # a function is tried point by point at its first batch of so many, and does more there
        x = torch.cat([x, x[:1]])
    with torch.no_grad():
        return watched(density, x, method)[0]


def watched(density: Target, x: Tensor, method: str) -> tuple[Known, Any]:
    """The same, and what the evaluation gave."""
    found, result = of_evaluation(density, x, method)
    if isinstance(result, Exception):
        raise result
    values = result[0] if isinstance(result, tuple) else result
    n = min(POINTS, len(x))
    return Known(found.made, found.steps, x[:n].clone(), values[:n].detach().clone(), len(x), method), result


def of_evaluation(density: Target, x: Tensor, method: str = "log_prob", also: str | None = None) -> tuple[Made, Any]:
    """What a density is made of and does at x (n, dim), and what it gave, or its error.

    also: another method, whose operations are taken too.
    """
    before = contents.leaves(density)
    steps: str | None = None
    # a compiler may not be looked over the shoulder
    seen = None if contents.COMPILED in before.values() else Steps(x)
    try:
        with contextlib.nullcontext() if seen is None else seen:
            result = getattr(density, method)(x)
            if also is not None and seen is not None:
                seen.follow(getattr(density, also), x)
        steps = None if seen is None else seen.word(result[0] if isinstance(result, tuple) else result)
    except Exception as error:  # whoever asks decides
        result = error
    return Made(settled(before, contents.leaves(density)), steps), result


def settled(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """The words of before, less those that an evaluation changes; modules that it was the first to import are added."""
    imported = {way: word for way, word in after.items() if IMPORTED in way and way not in before}
    before = {**before, **imported}
    return {way: before[way] if after.get(way) == before.get(way) else CHANGES for way in {**before, **after}}


def difference(there: Known, here: Known) -> str | None:
    """How a density differs from the one that a file remembers, in words; None where it is the same one."""
    eps = torch.finfo(here.values.dtype).eps
    expected, found = there.values.to(here.values), here.values[: len(there.values)]
    same, unlike = made_alike(there, here)
    what = "score" if there.method == "score" else "log-density"
    if not alike(expected, found, eps * ROUNDING * (CANCELLING if same else 1.0)):
        was, now = brief(expected.flatten()), brief(found.flatten())
        return f"at the first points of that run the {what} was {was}, here it is {now}"
    return made_otherwise(same, unlike, bool(expected.isfinite().any()))


def alike(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Whether log-densities are equal up to rounding, each at its own size, with infinities and NaNs alike."""
    a, b = a.double(), b.double()
    finite = a.isfinite() & b.isfinite()
    equal = (a == b) | (a.isnan() & b.isnan())
    close = (a - b).abs() <= tolerance * torch.maximum(a.abs(), b.abs()).clamp_min(1.0)
    return bool(torch.where(finite, close, equal).all())


def made_alike(there: Made, here: Made) -> tuple[bool | None, list[str]]:
    """Whether two are made of the same or do the same; where not, the ways to what differs, and None where unseen."""
    if there.steps is not None and there.steps == here.steps:
        return True, []
    a, b = there.made, here.made
    ways = [way for way in {**a, **b} if CHANGES not in (a.get(way), b.get(way))]
    unlike = [way for way in ways if a.get(way) != b.get(way)]
    if unlike:
        return False, unlike
    if not contents.opaque(a):
        return True, []
    if there.steps is None or here.steps is None:
        return None, []
    return False, ["its operations on them"]


def made_otherwise(same: bool | None, unlike: list[str], informed: bool) -> str | None:
    """How two densities with the same values differ, in words; None where they do not as far as can be told."""
    if same or (same is None and informed):
        return None
    if same is None:
        return (
            "it cannot be told whether it is the same: its log-density is not finite at the points that are "
            "remembered, and it holds objects that cannot be looked into"
        )
    shown = ", ".join(way.removeprefix("/").replace("/state/", "/") for way in unlike[:SHOWN])
    more = f" and {len(unlike) - SHOWN} more" if len(unlike) > SHOWN else ""
    return f"its log-density is the same at the points remembered, but what it is made of is not: {shown}{more}"
