"""The progress bar of a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any


class Progress:
    """A tqdm bar with figures of the run beside it; nothing at all where `shown` is False.

    `shown=None` shows it when stderr is a terminal. The figures are read from the device twice a second.
    """

    def __init__(self, total: int | None, start: int, shown: bool | None, label: str, unit: str = "step") -> None:
        self._bar: Any = None
        if sys.stderr.isatty() if shown is None else shown:
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=start, desc=label, unit=unit, dynamic_ncols=True, file=sys.stderr)
        self._next = 0.0

    def advance(self, figures: Callable[[], str]) -> None:
        """Advance by one step; `figures` is called when what it says is shown."""
        if self._bar is None:
            return
        self._bar.update()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.5
            self._bar.set_postfix_str(figures())

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
