"""What notebooks show: small pieces of HTML in the colours and the font of the page that they stand in, light or dark.

No style sheet, script or picture from anywhere; all text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

RULE = "1px solid rgba(128, 128, 128, 0.5)"  # seen on white and on black
LINE = "60em"  # the longest of a text
CELL = f"padding: 0.15em 0.6em; border: 0; border-bottom: {RULE}; vertical-align: top; background: none;"


def block(title: str, *parts: str) -> str:
    """A heading, and pieces that are HTML already; empty ones are left out."""
    heading = f'<p style="margin: 0 0 0.3em"><strong>{escape(title)}</strong></p>' if title else ""
    return f'<div style="margin: 0.3em 0">{heading}{"".join(parts)}</div>'


def paragraph(text: str) -> str:
    """A sentence or more; nothing for none."""
    return f'<p style="margin: 0.3em 0; max-width: {LINE}">{escape(text)}</p>' if text else ""


def listed(texts: Iterable[str], heading: str = "") -> str:
    """Points, one a line; nothing for none."""
    points = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return (
        f'{paragraph(heading)}<ul style="margin: 0.2em 0; padding-left: 1.4em; max-width: {LINE}">{points}</ul>'
        if points
        else ""
    )


def facts(found: Mapping[str, str]) -> str:
    """What is known, a line each with its name before it; those without a text are left out."""
    rows = [(name, text) for name, text in found.items() if text]
    body = "".join(
        f'<tr style="background: none"><th scope="row" style="{CELL} text-align: left">{escape(name)}</th>'
        f'<td style="{CELL} text-align: left; max-width: {LINE}">{escape(text)}</td></tr>'
        for name, text in rows
    )
    return _table(body) if rows else ""


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[bool]) -> str:
    """Columns with titles, those of words on the left and numbers on the right."""
    sides = ["left" if one else "right" for one in words]
    head = "".join(
        f'<th scope="col" style="{CELL} text-align: {side}">{escape(title)}</th>'
        for title, side in zip(titles, sides, strict=True)
    )
    body = "".join(
        '<tr style="background: none">'
        + "".join(
            f'<td style="{CELL} text-align: {side}; white-space: nowrap">{escape(text)}</td>'
            for text, side in zip(row, sides, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return _table(f'<thead><tr style="background: none">{head}</tr></thead><tbody>{body}</tbody>')


def _table(body: str) -> str:
    style = "border-collapse: collapse; margin: 0.3em 0; background: none; font: inherit"
    return f'<div style="overflow-x: auto"><table style="{style}">{body}</table></div>'
