"""A target that counts its evaluations, and is otherwise that target."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torch
from torch import Tensor

from targets.base import Target
from targets.discrete import as_discrete

if TYPE_CHECKING:
    _Seen = Target
else:
    _Seen = object  # it has nothing of its own in the way of what the target says

Law = TypeVar("Law", bound=Target)

DERIVED = frozenset({"annealed", "at", "relaxed", "smoothed"})  # methods that make another law of a target


@dataclass
class Tally:
    """Evaluated points.

    found: names of what was found once for the target, such as a grid, and is counted here. earlier: those of them that
    a run had found before it was continued, and has not found again since.
    """

    log_probs: int = 0
    scores: int = 0
    sites: int = 0  # conditional laws of single sites not yet counted: dim of them are one log-density
    found: list[str] = field(default_factory=list, compare=False)
    earlier: list[str] = field(default_factory=list, compare=False)

    def clear(self) -> None:
        """Begin anew."""
        self.log_probs = self.scores = self.sites = 0

    def taken(self) -> Tally:
        """What was counted until now, and is counted here no more."""
        taken = Tally(self.log_probs, self.scores)
        self.clear()
        return taken

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from there, as `dataclasses.asdict` saved it."""
        self.__dict__.update(saved)
        self.earlier = list(self.found)


class Counted(_Seen):
    """The same density, with every evaluated point counted in `tally`, which several targets may share.

    It is an instance of the target's class (`isinstance` says so), and whatever is not an evaluation is asked of
    `inner`, the target itself: what it knows exactly, its couplings, names and caches. An evaluation runs on `inner`
    too, so that those which it takes inside are not counted again. A law made of it (`smoothed`, `annealed`, `relaxed`,
    `at` another temperature), a copy and one elsewhere (`to`) count in the same tally, and so does one that holds it,
    such as `Tempered` or `Affine`. What the target states exactly, its `prior` and its draws, is not counted.
    """

    __slots__ = ("__weakref__", "inner", "tally")

    inner: Target
    tally: Tally

    def __init__(self, inner: Target, tally: Tally | None = None) -> None:
        self.inner = inner
        self.tally = Tally() if tally is None else tally

    @property
    def log_probs(self) -> int:
        """Log-densities so far."""
        return self.tally.log_probs

    @property
    def scores(self) -> int:
        """Scores so far."""
        return self.tally.scores

    # Evaluations

    def log_prob(self, x: Tensor) -> Tensor:
        """The inner log-density."""
        self.tally.log_probs += x.numel() // self.inner.dim
        return self.inner.log_prob(x)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The inner log-density and score."""
        points = x.numel() // self.inner.dim
        self.tally.log_probs += points
        self.tally.scores += points
        return self.inner.log_prob_and_score(x)

    def score(self, x: Tensor) -> Tensor:
        """The inner score."""
        self.tally.scores += x.numel() // self.inner.dim
        return self.inner.score(x)

    def log_likelihood(self, x: Tensor) -> Tensor:
        """The inner log-likelihood, counted as a log-density."""
        self.tally.log_probs += x.numel() // self.inner.dim
        return self.inner.log_likelihood(x)

    def log_likelihood_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The inner log-likelihood and score, counted as a log-density and a score."""
        points = x.numel() // self.inner.dim
        self.tally.log_probs += points
        self.tally.scores += points
        return self.inner.log_likelihood_and_score(x)

    def conditional_logits(self, x: Tensor, sites: Tensor) -> Tensor:
        """The inner conditional laws; a sweep over all sites counts as one log-density."""
        dim = self.inner.dim
        visits = self.tally.sites + x.numel() // dim * len(sites)
        whole, self.tally.sites = divmod(visits, dim)
        self.tally.log_probs += whole
        return as_discrete(self.inner).conditional_logits(x, sites)

    def local_differences(self, x: Tensor) -> Tensor:
        """The inner differences, counted as one score."""
        self.tally.scores += x.numel() // self.inner.dim
        return as_discrete(self.inner).local_differences(x)

    # All else

    __class__: Any = property(lambda self: self.inner.__class__)

    def __getattr__(self, name: str) -> Any:
        if name in ("inner", "tally"):  # not there yet, while a copy is being made
            raise AttributeError(name)
        found = getattr(self.inner, name)
        if name not in DERIVED or not callable(found):
            return found

        def derived(*arguments: Any, **settings: Any) -> Any:
            law = found(*arguments, **settings)
            return Counted(law, self.tally) if isinstance(law, Target) else law

        return derived

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            object.__setattr__(self, name, value)
        else:
            setattr(self.inner, name, value)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The target elsewhere, counted in the same tally."""
        moved = self.inner.to(device, dtype)
        return self if moved is self.inner else type(self)(moved, self.tally)

    def __copy__(self) -> Self:
        return type(self)(copy.copy(self.inner), self.tally)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(copy.deepcopy(self.inner, memo), copy.deepcopy(self.tally, memo))

    def __reduce__(self) -> Any:
        return type(self), (self.inner, self.tally)

    def __repr__(self) -> str:
        return repr(self.inner)


def plain(target: Target) -> Target:
    """The target itself, which counts nothing; by it two counted ones are known to be the same."""
    while isinstance(target, Counted):
        target = target.inner
    return target


def counted_like(target: Target, law: Law) -> Law:
    """A law found for a plain target, counted where `target` is: in its tally and, where that counts too, its inner's.

    What a target's own methods make of it counts by itself.
    """
    if not isinstance(target, Counted):
        return law
    counted: Any = Counted(counted_like(target.inner, law), target.tally)
    return counted


def charge(target: Target, *, log_probs: int = 0, scores: int = 0) -> None:
    """Count work that is worth so many evaluations of a target, where it counts."""
    while isinstance(target, Counted):
        target.tally.log_probs += log_probs
        target.tally.scores += scores
        target = target.inner


def charge_found(target: Target, name: str, spent: Tally) -> None:
    """Count what it took to find something, where the target counts and had not found it before it was continued."""
    while isinstance(target, Counted):
        if name in target.tally.earlier:
            target.tally.earlier.remove(name)
        else:
            target.tally.found.append(name)
            target.tally.log_probs += spent.log_probs
            target.tally.scores += spent.scores
        target = target.inner
