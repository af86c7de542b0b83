"""How many threads torch takes in a run.

Threads that wait for one another spin, and where another process holds a core they wait long: steps of small tensors
are then many times slower with two threads than with one. By default:

    small work   one thread, where no operation of a step sees as many as SMALL elements, below which torch does not
                 divide an operation of elements anyway
    large work   what is faster, timed on the steps of the run itself, where a step gives the same bits with one thread
                 and with all; where it does not, all, so that the same seed gives the same bits
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, Self, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from targets.arguments import check_integer

MEASURED = "measured"
SMALL = 2**15  # elements: torch's own grain, of which an operation on the elements gives at least one to a thread
TRIES = 4  # steps with each count in a series
SERIES = 4  # a series begins at four times as many steps as the one before
FIRST = 50  # steps before the second series
GAIN = 0.9  # of the time of one thread, which all must stay below
SLOW = 3.0  # times one thread's best step: a step with all that takes longer ends its series

T = TypeVar("T")


class Threads:
    """The count within a `with` block, put back at its end, also where an error or Ctrl-C ends it.

    asked: None as above; a number; "measured": what is faster, whatever the bits. ValueError for anything else.
    """

    def __init__(self, asked: int | Literal["measured"] | None) -> None:
        if asked is not None and asked != MEASURED:
            if isinstance(asked, str):
                raise ValueError(f'threads: got {asked!r}, expected a number of threads, "measured" or None')
            check_integer(asked, "threads")
        self.asked = asked
        self._before = self.all = torch.get_num_threads()
        self.count = self.all
        self._timing = False
        self._steps, self._next = 0, 0
        self._queue: list[int] = []
        self._times: dict[int, list[float]] = {}

    def __enter__(self) -> Self:
        if isinstance(self.asked, int):
            self._set(self.asked)
        return self

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)

    @property
    def timing(self) -> bool:
        """Whether steps are timed, so that a new kernel is to be looked at again."""
        return self._timing

    def start(self) -> None:
        """One thread for what comes before the first step, of which nothing is known yet."""
        if not isinstance(self.asked, int):
            torch.set_num_threads(1)

    def look(self, step: Callable[[], Iterable[Tensor | None]]) -> None:
        """Decide for a step, a function that gives the same result however often it is called, of tensors on the CPU.

        Where there is something to decide it is called once to see how large its tensors are, and once more with each
        count where they are large.
        """
        if isinstance(self.asked, int) or self.all == 1:
            return
        if self.asked == MEASURED:
            self._time()
            return
        torch.set_num_threads(1)
        work = _Largest()
        try:
            with work:
                one = list(step())
        except Exception:  # not every compiled function can be seen into; what is wrong with a step it says itself
            self._set(self.all)
            return
        if work.elements < SMALL:
            self._set(1)
            return
        one = list(step())
        torch.set_num_threads(self.all)
        if all(_same(a, b) for a, b in zip(one, step(), strict=True)):
            self._time()
        else:
            self._set(self.all)

    def _set(self, count: int) -> None:
        self._timing, self.count = False, count
        torch.set_num_threads(count)

    def _time(self) -> None:
        """Time steps from here on; what is between them has one thread, so that its bits do not depend on the times."""
        if not self._timing:
            self._timing, self.count, self._steps, self._next = True, 1, 0, 0
        torch.set_num_threads(1)

    def __call__(self, step: Callable[[], T], evaluations: Callable[[], float]) -> T:
        """A step with the count that was decided on, or that is being tried; `evaluations` made so far."""
        if not self._timing:
            return step()
        if self._steps == self._next:
            self._queue, self._times = [1, self.all] * TRIES, {1: [], self.all: []}
            self._next = max(FIRST, SERIES * self._next)
        self._steps += 1
        trying = bool(self._queue)
        count = self._queue.pop(0) if trying else self.count
        before, began = evaluations(), time.perf_counter()
        torch.set_num_threads(count)
        try:
            result = step()
        finally:
            torch.set_num_threads(1)
        if trying:
            self._tried(count, (time.perf_counter() - began) / max(1.0, evaluations() - before))
        return result

    def _tried(self, count: int, seconds: float) -> None:
        self._times[count].append(seconds)
        if count > 1 and seconds > SLOW * min(self._times[1]):
            self._queue, self.count = [], 1
        elif not self._queue:
            one, every = (statistics.median(self._times[n]) for n in (1, self.all))
            self.count = self.all if every < GAIN * one else 1


class _Largest(TorchDispatchMode):
    """While it is entered: the elements of the largest tensor that an operation takes or gives."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        self.elements = max([self.elements, *sizes])
        return result


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether all bits are the same; NaN is NaN."""
    if a is None or b is None:
        return a is b
    return bool(((a == b) | ((a != a) & (b != b))).all())
