"""Points where the linear algebra of a density fails: no number there, and the other points keep theirs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import Tensor

# what SciPy and the checks of torch.distributions say in a plain ValueError of a matrix that cannot be factorised
_IN_WORDS = re.compile(r"positive[ -]?(semi)?-?definite|must not contain infs or NaNs", re.IGNORECASE)

_raised: ContextVar[bool] = ContextVar("raised", default=False)


def is_failure(error: Exception) -> bool:
    """Whether an error says that a matrix cannot be factorised, inverted or decomposed."""
    if isinstance(error, (torch.linalg.LinAlgError, np.linalg.LinAlgError)):
        return True
    return isinstance(error, ValueError) and _IN_WORDS.search(str(error)) is not None


@contextmanager
def failures_raised() -> Iterator[None]:
    """Failures within are raised, as the library raised them, in place of giving NaN."""
    token = _raised.set(True)
    try:
        yield
    finally:
        _raised.reset(token)


def value_or_nan(evaluate: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """evaluate(x), (n, dim) -> (n,), with NaN at the points whose linear algebra fails."""
    return _parts_or_nan(lambda points: (evaluate(points),), x)[0]


Both = Callable[[Tensor], tuple[Tensor, Tensor]]


def value_and_score_or_nan(evaluate: Both, x: Tensor, graph: Both | None = None) -> tuple[Tensor, Tensor]:
    """evaluate(x), (n, dim) -> (n,) and (n, dim), with NaN in both at the points whose linear algebra fails.

    graph: the same compiled, None where it is not; where it fails, `evaluate` finds the points.
    """
    if graph is not None:
        try:
            return graph(x)
        except Exception as error:
            if _raised.get() or not is_failure(error):
                raise
    value, score = _parts_or_nan(evaluate, x)
    return value, score


def _parts_or_nan(evaluate: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor) -> tuple[Tensor, ...]:
    """A batch that fails is halved until the points that fail stand alone; any other error is raised."""
    try:
        return evaluate(x)
    except Exception as error:
        if _raised.get() or not is_failure(error):
            raise
    if len(x) == 1:
        return math.nan * x.sum(-1), torch.full_like(x, math.nan)  # the value still depends on x, for autograd
    first, second = (_parts_or_nan(evaluate, half) for half in x.tensor_split(2))
    return tuple(torch.cat(pair) for pair in zip(first, second, strict=False))
