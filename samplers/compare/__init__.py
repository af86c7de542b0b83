"""Several samplers on several targets, side by side."""

from samplers.compare.grid import Comparison, compare, format_table

__all__ = ["Comparison", "compare", "format_table"]
