"""What a cell is asked for, by which it is known again: in words for people, and by digests of all that it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samplers.compare.cell import Cell
from samplers.draws import Draws
from samplers.identity import Made, alike, made_alike, made_otherwise, of_evaluation
from samplers.identity.contents import digest, opaque
from samplers.identity.known import CANCELLING, POINTS, ROUNDING
from samplers.identity.words import words
from targets import DiscreteTarget, Target

__all__ = ["close", "differences", "digest", "made", "request", "unseen", "where_drawn"]

PROBES = 6
SCALES = (0.5, 1.0, 4.0)
MEASURED = ("measured against", "distances")  # another one is no other run, but must be measured anew
DENSITY = ("density", "made", "steps", "where drawn")


def request(cell: Cell, about: Mapping[str, Any]) -> dict[str, Any]:
    """Sampler and options as words, their contents as a digest, all of `about` the density, and what is measured."""
    options = {name: words(value) for name, value in cell.options.items()}
    return {
        "sampler": words(cell.sampler),
        **options,
        "budget": str(cell.budget),
        "contents": digest([cell.sampler, dict(cell.options)]),
        **about,
        "measured against": digest(cell.truth),
        "distances": cell.distances,
    }


def differences(asked: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what two requests for a run differ, in words."""
    compared = [name for name in {**asked, **now} if name not in (*MEASURED, *DENSITY)]
    found = [
        f"{name} was {asked.get(name)}, here {now.get(name)}" for name in compared if asked.get(name) != now.get(name)
    ]
    found += _of_density(asked, now)
    if len(found) > 1:  # what the digest tells stands in words already
        found = [text for text in found if not text.startswith("contents ")]
    return found


def _of_density(asked: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    a, b = asked["density"], now["density"]
    if "made" not in asked:
        return ["it was not written down what the density was made of"]
    same, unlike = made_alike(*(Made(one["made"], one["steps"]) for one in (asked, now)))
    for name, (one, other) in {"": (a, b), " where it was drawn": _at_draws(asked, now)}.items():
        slack = CANCELLING if same else 1.0
        if not close(one, other, slack):
            return [f"density{name} was {_apart(one, other, slack)}"]
    values = [*([] if isinstance(a, str) else a[2:]), *_at_draws(asked, now)[0][2:]]
    other = made_otherwise(same, unlike, bool(torch.tensor(values).isfinite().any()))
    return [] if other is None else [f"the density is another one: {other}"]


def _apart(one: Sequence[float] | str, other: Sequence[float] | str, slack: float) -> str:
    """The first values at which two densities differ, in words; their dimension and dtype, or error, where those do."""
    if not isinstance(one, str) and not isinstance(other, str) and list(one[:2]) == list(other[:2]):
        for a, b in zip(one[2:], other[2:], strict=False):
            if not close([*one[:2], a], [*one[:2], b], slack):
                return f"{a} at the first point that tells them apart, here it is {b}"
    return f"{_told(one)}, here {_told(other)}"


def _told(known: Sequence[float] | str) -> str:
    return known if isinstance(known, str) else f"of dimension {known[0]:g} with eps {known[1]:g}"


def _at_draws(asked: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """The log-density there and here at points of the stored draws, after dimension and eps; none where none is."""
    if "where drawn" not in asked:
        return [], []
    known = now["density"][:2]
    return [*known, *asked["where drawn"]["values"]], [*known, *now["where drawn"]["values"]]


def close(a: Sequence[float] | str, b: Sequence[float] | str, slack: float = 1.0) -> bool:
    """Whether two densities are the same at the points: they may differ by rounding, in a dtype told by its eps.

    Both begin with the dimension and the eps of the dtype. Each value is compared at its own size.
    """
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    if len(a) != len(b) or a[:2] != b[:2]:
        return False
    one, other = (torch.tensor(values[2:], dtype=torch.float64) for values in (a, b))
    return not len(one) or alike(one, other, slack * ROUNDING * a[1])


def made(target: Target) -> dict[str, Any]:
    """Of a density, for JSON: the dimension, the eps of the dtype and the log-density at a few fixed points near and
    far, or its error; what it is made of; what it does with these points and how it names them.
    """
    known = [float(target.dim), torch.finfo(target.dtype).eps]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(len(SCALES), PROBES, target.dim, generator=generator, dtype=torch.float64)
    x = (x * torch.tensor(SCALES, dtype=torch.float64)[:, None, None]).reshape(-1, target.dim)
    if isinstance(target, DiscreteTarget):
        x = target.values.cpu()[(x > 0).long()]
    with torch.no_grad():
        found, values = of_evaluation(target, x.to(target.device, target.dtype), also="constrain")
    # where it failed, it will fail in its cell, and say why; until then it is known by its error
    told = words(values) if isinstance(values, Exception) else known + values.double().tolist()
    return {"density": told, "made": dict(found.made), "steps": found.steps}


def unseen(asked: Mapping[str, Any]) -> bool:
    """Whether only values tell a density again, as it cannot be looked into."""
    return asked["steps"] is None and opaque(asked["made"])


def where_drawn(target: Target, path: Path) -> dict[str, Any]:
    """A few points of stored draws, and the log-density there."""
    x = Draws.load(path).x
    return at_points(target, x[:, -1][:POINTS] if len(x) > 1 else x[0, -POINTS:])


def at_points(target: Target, points: Tensor) -> dict[str, Any]:
    """The log-density at points (n, dim), and the points, for JSON."""
    with torch.no_grad():
        values = target.log_prob(points.to(target.device, target.dtype))
    return {"points": points.double().tolist(), "values": values.double().tolist()}
