"""An ordinary differential equation of many points at once, by Dormand and Prince's method of order 8.

    dy/dt = f(y, t),   steps of one length for all points, chosen so that the local error of every entry of every point
    is at most atol + rtol |y|

The coefficients are scipy's. Its own stepping judges a step by the root mean square over all that it integrates: there
a point that needs small steps is outvoted by a thousand that do not. Here the worst entry of the worst point decides.
A point's result then depends on the others within the tolerance only, and on its place among them not at all. Steps of
each point's own would need a score at many times in one call. Everything stays on the device of y.
Hairer, Norsett and Wanner 1993.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

SAFETY, SHRINK, GROW = 0.9, 0.2, 10.0
SMALLEST = 1e-13  # a step relative to the interval
ORDER = 8


@cache
def _coefficients() -> tuple[Tensor, ...]:
    """A (12, 12), B (12,), C (12,), and the two errors' (13,), in float64."""
    from scipy.integrate import DOP853 as scipys

    return tuple(torch.as_tensor(v) for v in (scipys.A, scipys.B, scipys.C, scipys.E5, scipys.E3))


def integrate(
    slope: Callable[[Tensor, float], Tensor], y: Tensor, start: float, end: float, rtol: float, atol: float
) -> Tensor:
    """y at `end`, from y (n, columns) in float64 at `start`; either may be the later one.

    RuntimeError where the slope is not finite, and where the step falls below 1e-13 of the interval.
    """
    if start == end or y.numel() == 0:
        return y
    a, b, c, fifth, third = (v.to(y.device) for v in _coefficients())
    ratios = c.tolist()
    stages = y.new_empty(len(b) + 1, *y.shape)
    t, length, direction = start, abs(end - start), math.copysign(1.0, end - start)
    stages[0] = _finite(slope(y, t), t)
    h = _first_step(y, stages[0], length, rtol, atol)
    largest = GROW
    while (rest := abs(end - t)) > 0:
        if h < SMALLEST * length:
            raise RuntimeError(f"the flow cannot be followed beyond t = {t:.6g}: its steps fall below {h:.2g}")
        last = h >= rest
        h = min(h, rest)
        step = direction * h
        for i in range(1, len(b)):
            stages[i] = slope(y + step * torch.tensordot(a[i, :i], stages[:i], 1), t + step * ratios[i])
        after = end if last else t + step
        new = y + step * torch.tensordot(b, stages[:-1], 1)
        stages[-1] = slope(new, after)
        scale = atol + rtol * torch.maximum(y.abs(), new.abs())
        error = _error(torch.tensordot(fifth, stages, 1) / scale, torch.tensordot(third, stages, 1) / scale, h)
        if error <= 1:
            t, y = after, new
            stages[0] = stages[-1]
            h *= min(largest, max(SHRINK, SAFETY * max(error, 1e-30) ** (-1 / ORDER)))
            largest = GROW
        else:
            # a stage that overflowed says no more than that the step was too long
            h *= max(SHRINK, SAFETY * error ** (-1 / ORDER)) if math.isfinite(error) else SHRINK
            largest = 1.0
    return y


def _error(fifth: Tensor, third: Tensor, h: float) -> float:
    """The error of the worst point, in units of the tolerance: Hairer's blend of two estimates for each."""
    five, three = fifth.abs().amax(-1).square(), third.abs().amax(-1).square()
    blend = h * five / (five + 0.01 * three).sqrt()
    return float(torch.where((five == 0) & (three == 0), 0.0, blend).amax())  # NaN stays the largest


def _first_step(y: Tensor, slope: Tensor, length: float, rtol: float, atol: float) -> float:
    scale = atol + rtol * y.abs()
    size, speed = float((y / scale).abs().amax()), float((slope / scale).abs().amax())
    guess = 0.01 * size / speed if size > 1e-5 and speed > 1e-5 else 1e-6 * length
    return min(max(guess, 1e-9 * length), length)


def _finite(slope: Tensor, t: float) -> Tensor:
    bad = ~slope.isfinite().all(-1)
    if bool(bad.any()):
        raise RuntimeError(f"the flow is not finite at t = {t:.6g}, first at point {int(bad.nonzero()[0])}")
    return slope
