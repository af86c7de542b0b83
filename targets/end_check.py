"""Whether mass that matters lies within rounding of an end of an interval, where a function of the value is blind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from targets.end_transforms import IntervalTransform
from targets.linear_algebra import value_or_nan
from targets.parameter import Parameter
from targets.sampling_warning import warn
from targets.user_function import no_validation

MOST = 1e-3  # share of the mass
FLAT = 1e-2  # nats a unit of u: a function that has come to its limit has nothing more to tell
NEAR, FAR = 4.0, 8.0  # units of u before rounding sets in


def check_ends(
    parameters: Mapping[str, Parameter],
    argument: str,
    density: Callable[[Tensor], Tensor],
    seen: Callable[[str, Tensor], Tensor],
    centre: Tensor,
) -> None:
    """Warn where a user's function of parameters cannot see mass that matters, which is near an end of an interval.

    Those whose priors come nowhere near an end are left out. density, seen: as below, the latter also of the
    parameter's name; centre: a point (dim,).
    """
    column = 0
    for key, kind in parameters.items():
        transform, first, column = kind.transform, column, column + kind.size
        if not isinstance(transform, IntervalTransform) or not _reaches_ends(kind, transform):
            continue
        for i in range(first, column):
            with no_validation():
                warn_of_ends(
                    f"parameters[{key!r}]",
                    argument,
                    transform,
                    i,
                    lambda x: value_or_nan(density, x),
                    lambda x, key=key: value_or_nan(lambda points: seen(key, points), x),  # type: ignore[misc]
                    centre,
                )


def _reaches_ends(kind: Parameter, transform: IntervalTransform) -> bool:
    """Whether draws of a prior come within rounding of an end; where it is not known in u, they cannot tell."""
    if kind.prior is None or kind.coordinate_prior is None:
        return True
    u = kind.sample_coordinates(1000, torch.Generator().manual_seed(0))
    low, high = transform.reach(u.dtype)
    return bool(((u < low) | (u > high)).any())


def warn_of_ends(
    key: str,
    argument: str,
    transform: IntervalTransform,
    column: int,
    density: Callable[[Tensor], Tensor],
    seen: Callable[[Tensor], Tensor],
    x: Tensor,
) -> None:
    """SamplingWarning where more than a thousandth of the mass along one coordinate cannot be resolved.

    density: log-density at points (n, dim); seen: the part of it that is a function of the value. x: a point (dim,)
    through which the line goes.
    """
    if x.dtype not in (torch.float32, torch.float64):
        return  # a few bits, in which nothing is resolved well
    low, high = transform.reach(x.dtype)
    nodes = torch.tensor([low + NEAR, low + FAR, 0.0, high - FAR, high - NEAR], dtype=x.dtype, device=x.device)
    points = x.repeat(5, 1)
    points[:, column] = nodes
    with torch.no_grad():
        total, part = (function(points).double().tolist() for function in (density, seen))
    u = nodes.tolist()
    if not all(map(math.isfinite, total + part)):
        return
    for end, name, outer, inner in ((transform.low, "lower", 0, 1), (transform.high, "upper", 4, 3)):
        distance = abs(u[outer] - u[inner])
        decay = (total[inner] - total[outer]) / distance
        share = 1.0
        if decay > 0:
            beyond = math.exp(total[outer] - max(total) - decay * NEAR) / decay
            body = sum(_area(u, total, i) for i in range(4))
            share = beyond / (beyond + body)
        if share > MOST and abs(part[inner] - part[outer]) > FLAT * distance:
            remedy = "" if x.dtype == torch.float64 else "dtype=torch.float64, or "
            warn(
                f"{key}: about {share:.2g} of the mass lies within rounding of the {name} end {end:g} in {x.dtype}, "
                f"where {argument} cannot tell values apart, so that draws and log Z are wrong there; use {remedy}"
                "a prior= that is known to the end (Beta, Uniform, Kumaraswamy), or the mirrored parameter with that "
                "end at 0"
            )


def _area(u: list[float], total: list[float], i: int) -> float:
    """The mass between two nodes of a log-linear density, relative to the largest node's."""
    width, top = u[i + 1] - u[i], max(total)
    left, right = total[i] - top, total[i + 1] - top
    slope = abs(right - left)
    return width * math.exp(max(left, right)) * (1.0 if slope < 1e-9 else -math.expm1(-slope) / slope)
