"""The warning that targets and samplers give."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

OURS = ("samplers", "targets")
_heard: ContextVar[tuple[list[str], ...]] = ContextVar("heard", default=())


class SamplingWarning(UserWarning):
    """Something about the draws that a reader must know before using them.

    `warnings.simplefilter("error", SamplingWarning)` makes them errors.

        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as said:
        ...     warnings.simplefilter("always")
        ...     draws = samplers.MALA(1e9).sample(targets.Gaussian([0.0]), chains=2, draws=5, warmup=0, seed=0)
        >>> said[0].category.__name__
        'SamplingWarning'
    """


def warn(message: str) -> None:
    """Say it as a SamplingWarning, at the line outside these packages that all of it was called from."""
    for said in _heard.get():
        if message not in said:
            said.append(message)
    depth, last = 0, 0
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] in OURS:
            last = depth
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, SamplingWarning, stacklevel=last + 2)


@contextmanager
def overheard(said: list[str] | None = None) -> Iterator[list[str]]:
    """What `warn` says in this block, each text once, to be kept beside what it is said of; it is said all the same.

    said: a list to go on with.
    """
    said = [] if said is None else said
    token = _heard.set((*_heard.get(), said))
    try:
        yield said
    finally:
        _heard.reset(token)


@contextmanager
def aside() -> Iterator[None]:
    """Nothing of what this block says is kept: its caller passes on what is to be said of it."""
    token = _heard.set(())
    try:
        yield
    finally:
        _heard.reset(token)
