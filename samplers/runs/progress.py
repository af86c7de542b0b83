"""The progress of a run: a bar on a terminal or in a notebook, elsewhere a line a minute."""

from __future__ import annotations

import importlib.util
import math
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

LIFE = 60.0  # seconds between two lines
LONG = 30.0  # seconds from which on it is said beforehand how long it will take
SPELL = 1.0  # seconds of steps, the first one left out, whose pace is compared with that of the spell before
ALIKE = 1.1  # times that the pace of two spells may differ where it is told how long the rest takes
ROUNDING = 1e-6
SPELLS = 30  # the last ones, by which the rest is told from then on


class Foretelling(Protocol):
    """What says how long it may take: a `Job`."""

    @property
    def foretold(self) -> bool:
        """Whether that is to be said beside a bar too."""

    @property
    def settled(self) -> bool:
        """Whether steps are by now what the later ones will be."""

    @property
    def seconds_left(self) -> float:
        """Seconds after which it ends, wherever it is."""


class Progress:
    """A tqdm bar with figures of the run beside it, or a line of them on stderr once a minute; nothing where `shown` is
    False.

    `shown=None` is a bar where stderr is a terminal or the page of a notebook, and lines elsewhere; True a bar. The
    figures are read from the device twice a second. A run that takes longer than some 30 seconds says so
    once its steps have found their pace: two seconds one after the other, and after a part of the warmup, whose first
    steps are slow. Later lines go by the last half minute.
    """

    def __init__(
        self,
        total: int | None,
        start: int,
        shown: bool | None,
        label: str,
        unit: str = "steps",
        job: Foretelling | None = None,
    ) -> None:
        self._bar: Any = None
        self._total, self._done, self._label, self._unit, self._job = total, start, label, unit, job
        self._silent = shown is False
        if shown or (shown is None and (sys.stderr.isatty() or in_notebook())):
            self._bar = _tqdm()(
                total=total, initial=start, desc=label, unit=unit.removesuffix("s"), dynamic_ncols=True, file=sys.stderr
            )
        self._foretells = self._bar is None or (job is not None and job.foretold)
        # when a spell ended, and how many steps there were then; the first step, which warms caches, is in none
        self._spells: deque[tuple[float, int]] = deque(maxlen=SPELLS + 1)
        self._next = 0.0 if self._bar is not None else time.monotonic() + LIFE

    def advance(self, figures: Callable[[], str]) -> None:
        """Advance by one step; `figures` is called when what it says is shown."""
        if self._silent:
            return
        self._done += 1
        now = time.monotonic()
        self._foretell(now)
        if self._bar is not None:
            self._bar.update()
            if now >= self._next:
                self._next = now + 0.5
                self._bar.set_postfix_str(figures())
        elif now >= self._next:
            self._next = now + LIFE
            self._say(f"{self._so_far()}; {figures()}")

    def _foretell(self, now: float) -> None:
        """How long it will take, once that can be told."""
        if not self._spells or now - self._spells[-1][0] >= SPELL - ROUNDING:
            self._spells.append((now, self._done))
        else:
            return
        if not (self._foretells and self._steady()):
            return
        self._foretells = False
        seconds, steps = self._ahead(2)
        if math.isinf(seconds) or seconds < LONG:
            return
        left = None if self._total is None else self._total - self._done
        if steps == left:
            self._say(f"{self._label}: about {duration(seconds)} for {steps:,} {self._unit}")
        else:
            of = "" if left is None else f" of {left:,}"
            self._say(f"{self._label}: {duration(seconds)} as asked, in which about {steps:,}{of} {self._unit}")

    def _steady(self) -> bool:
        """Whether the last two spells had about one pace, and steps are what they will be."""
        if len(self._spells) < 3 or not (self._job is None or self._job.settled):
            return False
        last, before = self._pace(-2, -1), self._pace(-3, -2)
        return max(last, before) <= ALIKE * min(last, before)

    def _pace(self, start: int, stop: int) -> float:
        """Seconds a step, between the ends of two spells."""
        (began, first), (ended, last) = self._spells[start], self._spells[stop]
        return (ended - began) / max(1, last - first)

    def _ahead(self, spells: int) -> tuple[float, int | None]:
        """How many seconds, and steps in them, are ahead by the pace of the last spells; infinity for unknown."""
        each = self._pace(-1 - min(spells, len(self._spells) - 1), -1)
        most = math.inf if self._job is None else max(0.0, self._job.seconds_left)
        left = None if self._total is None else self._total - self._done
        if left is None or each * left > most:
            return most, None if math.isinf(most) else int(most / each)
        return each * left, left

    def _so_far(self) -> str:
        text = f"{self._label}: {self._done:,}" + ("" if self._total is None else f" of {self._total:,}")
        seconds, _ = self._ahead(SPELLS) if self._steady() else (math.inf, None)
        return f"{text} {self._unit}" + ("" if math.isinf(seconds) else f", about {duration(seconds)} left")

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


def duration(seconds: float) -> str:
    """45 seconds, 7 minutes or 1.5 hours."""
    if seconds < 90:
        number, unit = f"{seconds:.0f}", "second"
    elif seconds < 90 * 60:
        number, unit = f"{seconds / 60:.0f}", "minute"
    else:
        number, unit = f"{seconds / 3600:.1f}", "hour"
    return f"{number} {unit}{'' if number == '1' else 's'}"


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook, whose stderr is no terminal and shows a bar all the same."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def _tqdm() -> Any:
    """The widget of a notebook that has ipywidgets, else the bar in characters, which notebooks show as well."""
    if in_notebook() and importlib.util.find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm
    else:
        from tqdm import tqdm
    return tqdm
