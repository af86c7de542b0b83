"""A figure of the report with its words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """kind: a word for the file's name. caption: how to read it. alt: what is on it, for those who cannot see it."""

    kind: str
    title: str
    caption: str
    alt: str
    png: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, which stand in the header of every PNG."""
        return int.from_bytes(self.png[16:20], "big"), int.from_bytes(self.png[20:24], "big")
