"""Docstrings as Markdown: `*batch` and `_` are no emphasis, and a line `name: what it is` begins a paragraph.

Paragraphs that are indented are equations, code or examples, and stay as they are; so does what stands in backticks.
An address becomes a link.
"""

import re
from typing import Any

import griffe

FIELD = re.compile(r"^([a-z]\w*(?:, [a-z]\w*)*)( [A-Za-z])?: ", re.MULTILINE)
KEPT = re.compile(r"(`[^`]*`|https://\S*[^\s.,;:)])")  # code and addresses
MARKS = re.compile(r"([*_\[\]<])")


class PlainDocstrings(griffe.Extension):
    """Rewrites every docstring as it is read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """The docstring, so that Markdown shows what was written."""
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(part if part.startswith("    ") else _prose(part) for part in paragraphs)


def _prose(text: str) -> str:
    text = FIELD.sub(lambda field: f"\n`{field[1]}`{field[2] or ''}: ", text)
    return "".join(_part(part) for part in KEPT.split(text)).strip("\n")


def _part(text: str) -> str:
    if text.startswith("https://"):
        return f"<{text}>"
    return text if text.startswith("`") else MARKS.sub(r"\\\1", text)
