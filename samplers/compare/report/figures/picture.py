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
    width: int = 0
    height: int = 0

    def __post_init__(self) -> None:
        # the size stands in the header of every PNG
        object.__setattr__(self, "width", int.from_bytes(self.png[16:20], "big"))
        object.__setattr__(self, "height", int.from_bytes(self.png[20:24], "big"))
