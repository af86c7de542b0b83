"""How far two sets of numbers that should have one law are apart, and in which direction, in words."""

from __future__ import annotations

import math

import torch
from torch import Tensor

NOTED = 3.0  # standard errors from which a difference is worth a word
SHOWN = 3  # quantities that a failure describes
PERCENT = 100.0


def in_words(a: Tensor, b: Tensor, name: str) -> str:
    """Of values (n,) under chains and (m,) of exact draws: mean and variance, or shares where these agree."""
    a, b = a.double(), b.double()
    lost = int((~a.isfinite()).sum())
    if lost and bool(b.isfinite().all()):
        return f"{name} is not finite in {lost} of {len(a)} chains"
    a, b = a[a.isfinite()], b[b.isfinite()]
    found = []
    off, error = float(a.mean() - b.mean()), float((a.var() / len(a) + b.var() / len(b)).sqrt())
    if error > 0 and abs(off) > NOTED * error:
        found.append(f"mean of {name} is too {_way(off)} by {abs(off):.3g} ({abs(off) / error:.1f} standard errors)")
    ratio = float(a.var() / b.var())
    wide = math.hypot(_relative_error(a), _relative_error(b))
    if math.isfinite(ratio) and wide > 0 and abs(ratio - 1) > NOTED * wide:
        much = f"{PERCENT * abs(ratio - 1):.2g} %" if ratio < 2 else f"a factor of {ratio:.3g}"
        found.append(
            f"variance of {name} is too {_way(ratio - 1)} by {much} ({abs(ratio - 1) / wide:.1f} standard errors)"
        )
    return ", ".join(found) or _shares(a, b, name)


def _way(off: float) -> str:
    return "large" if off > 0 else "small"


def _relative_error(x: Tensor) -> float:
    """The standard error of a variance, relative to it."""
    variance = x.var()
    if float(variance) == 0:
        return math.nan
    fourth = (x - x.mean()).pow(4).mean() / variance.square()
    return math.sqrt(max(float(fourth) - 1, 0.0) / len(x))


def _shares(a: Tensor, b: Tensor, name: str) -> str:
    """Where the distribution functions are furthest apart."""
    places = torch.cat([a, b]).sort().values
    below_a = torch.searchsorted(a.sort().values, places, right=True) / len(a)
    below_b = torch.searchsorted(b.sort().values, places, right=True) / len(b)
    at = int((below_a - below_b).abs().argmax())
    many = "too many" if below_a[at] > below_b[at] else "too few"
    return (
        f"{many} chains have {name} below {float(places[at]):.3g}: {PERCENT * float(below_a[at]):.2f} % of them, and "
        f"{PERCENT * float(below_b[at]):.2f} % of exact draws"
    )


def of_ranks(ranks: Tensor, levels: int, name: str) -> str:
    """Of ranks (n,) that should be uniform on 0 .. levels - 1."""
    n, expected = len(ranks), (levels - 1) / 2
    off = float(ranks.double().mean()) - expected
    error = math.sqrt((levels**2 - 1) / 12 / n)
    if abs(off) > NOTED * error:
        way = "high" if off > 0 else "low"
        return f"rank of {name} is too {way} by {abs(off):.3g} of {expected:g} ({abs(off) / error:.1f} standard errors)"
    shares = torch.bincount(ranks, minlength=levels).double() / n
    at = int((shares - 1 / levels).abs().argmax())
    return f"{PERCENT * float(shares[at]):.2f} % of the ranks of {name} are {at}, expected {PERCENT / levels:.2f} %"


def of_signs(differences: Tensor, name: str) -> str:
    """Of differences (n,) that should be as often above zero as below."""
    up, down = int((differences > 0).sum()), int((differences < 0).sum())
    n = max(up + down, 1)
    errors = abs(up - n / 2) / math.sqrt(n / 4)
    return (
        f"f(x_0, x_1) exceeds f(x_1, x_0) in {PERCENT * up / n:.2f} % of the pairs for f = {name}, expected 50 % "
        f"({errors:.1f} standard errors)"
    )
