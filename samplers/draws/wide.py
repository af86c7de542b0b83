"""A table that is printed with all its columns: pandas hides those that a terminal has no room for."""

from __future__ import annotations

from typing import Any

import pandas as pd

from samplers.draws.wording import terminal_width


class Wide(pd.DataFrame):
    """A data frame whose `repr` goes on below where a line ends, as a part of it or a copy does too."""

    @property
    def _constructor(self) -> type[Wide]:
        return Wide

    def __repr__(self) -> str:
        kept = {name: pd.get_option(f"display.{name}") for name in ("max_rows", "min_rows", "show_dimensions")}
        return self.in_lines(**kept)

    def in_lines(self, **options: Any) -> str:
        """As text in lines of the terminal; options are those of `to_string`."""
        text: str = self.to_string(line_width=terminal_width(), **options)
        return text
