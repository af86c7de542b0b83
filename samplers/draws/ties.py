"""Computed floats compared so that what rounding alone tells apart is equal.

A sum or a product of matrices comes out different in its last bits from one CPU to another, and on one CPU by its row's
place in a batch: vector instructions add in another order than the loop over what is left. Values are tied where they
differ by no more than

    slack(v) = ULPS eps (|v| + the median of |v| along the last axis)

the median because a sum near zero has the error of its terms.
"""

from __future__ import annotations

import torch
from torch import Tensor

ULPS = 4
WIDEST = 4  # slacks across a group of ties: longer rows of close values are a density, whose order counts


def precision(*values: Tensor) -> float:
    """eps of the coarsest dtype among them; zero of integers, which are exact."""
    return max(torch.finfo(value.dtype).eps if value.is_floating_point() else 0.0 for value in values)


def slack(values: Tensor) -> Tensor:
    """What rounding may have done to each of the values (..., n), in float64; zero for what is not finite."""
    size = values.detach().double().abs()
    if not values.is_floating_point() or not values.numel():
        return torch.zeros_like(size)
    finite = size.isfinite()
    typical = torch.where(finite, size, torch.nan).nanmedian(-1, keepdim=True).values
    return torch.where(finite, ULPS * precision(values) * (size + typical), 0.0)


def tied(a: Tensor, b: Tensor, most: Tensor | float) -> Tensor:
    """Whether they are equal, or differ by `most` at most; equal infinities are."""
    return (a == b) | ((a - b).abs() <= most)


def joined(values: Tensor, slacks: Tensor | None = None) -> Tensor:
    """The values in float64, each group of ties as its smallest member: what ranks are to be taken of.

    A group is a run of neighbours along the last axis, each within its slack of the next, that is WIDEST slacks wide at
    most. slacks: of each value, by default `slack(values)`.
    """
    slacks = slack(values) if slacks is None else slacks
    ordered, order = values.double().sort(-1)
    slacks = slacks.gather(-1, order)
    place = torch.arange(ordered.shape[-1], device=ordered.device).expand(ordered.shape)
    apart = torch.ones_like(ordered, dtype=torch.bool)
    apart[..., 1:] = ~(ordered.diff(dim=-1) <= slacks[..., 1:])
    first = torch.where(apart, place, 0).cummax(-1).values
    size = torch.zeros_like(place).scatter_add(-1, first, torch.ones_like(place))
    last = first + size.gather(-1, first) - 1
    least = ordered.gather(-1, first)
    narrow = ordered.gather(-1, last) - least <= WIDEST * slacks
    return torch.empty_like(ordered).scatter(-1, order, torch.where(narrow, least, ordered))


def joined_draws(value: Tensor) -> Tensor:
    """Draws of a variable (chains, draws, *shape), ties joined over all draws of each scalar."""
    return joined(value.detach().flatten(0, 1).movedim(0, -1)).movedim(-1, 0).reshape(value.shape)


def kolmogorov(a: Tensor, b: Tensor, slack_a: Tensor | None = None, slack_b: Tensor | None = None) -> Tensor:
    """Largest distance of the distribution functions of a (..., n) and b (..., m), along the last axis; in [0, 1].

    Values that are tied count as equal, so that a set and the same set computed elsewhere are at zero.
    """
    slack_a, slack_b = (slack(v) if s is None else s for v, s in ((a, slack_a), (b, slack_b)))
    a, b = a.double(), b.double()
    return torch.maximum(_ahead(a, b, slack_a, slack_b), _ahead(b, a, slack_b, slack_a))


def _ahead(a: Tensor, b: Tensor, slack_a: Tensor, slack_b: Tensor) -> Tensor:
    """max over t of F_a(t) - F_b(t), where b has reached t as soon as it is tied with it."""
    ordered, order = a.sort(-1)
    reached = torch.searchsorted((b - slack_b).sort(-1).values, ordered + slack_a.gather(-1, order), right=True)
    own = torch.arange(1, a.shape[-1] + 1, dtype=torch.float64, device=a.device) / a.shape[-1]
    return (own - reached.double() / b.shape[-1]).amax(-1).clamp_min(0.0)
