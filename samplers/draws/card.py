"""Draws in two lines, and as a notebook shows them: how many, of what, and what speaks against them.

Nothing is computed for it: what is not known yet, such as R-hat, is not said.
"""

from __future__ import annotations

import textwrap

from samplers.draws import html
from samplers.draws.points import INDEPENDENT, PARTICLES, PointSet
from targets.arguments import with_shapes

LINE = 100  # characters


def in_two_lines(draws: PointSet) -> str:
    """The `repr` of draws."""
    first = f"{_title(draws)}: {_sizes(draws)} of {with_shapes(draws.variables)}"
    known = [str(draws.log_z)] if draws.log_z is not None else []
    second = "; ".join([*known, *_verdict(draws)])
    return f"{_cut(first)}\n{_cut(second)}" if second else _cut(first)


def as_html(draws: PointSet) -> str:
    """The same with cost, warnings and certificate in full."""
    found = {
        "points": _sizes(draws),
        "variables": with_shapes(draws.variables),
        "log Z": "" if draws.log_z is None else str(draws.log_z).removeprefix("log Z "),
        "divergences": "" if draws.divergences is None else f"{int(draws.divergences.sum()):,}",
        "cost": f"{draws.cost.log_prob:,} log-densities, {draws.cost.score:,} scores, {draws.cost.seconds:.1f} s",
    }
    parts = [html.facts(found), html.listed(draws.warnings, "The run has warned:")]
    made = draws.__dict__.get("certificate")
    if made is not None:
        parts.append(html.paragraph(str(made)))
    return html.block(_title(draws), *parts)


def _title(draws: PointSet) -> str:
    sampler = draws.attrs.get("sampler")
    target = draws.attrs.get("target") or (None if draws.target is None else draws.target.name)
    return "Draws" + (f" by {sampler}" if sampler else "") + (f" from {target}" if target else "")


def _sizes(draws: PointSet) -> str:
    chains, count, _ = draws.sizes
    if draws.moments is not None and draws.moments.count > chains * count:
        return f"running moments of {draws.moments.count:,} draws, and the last of {chains:,} chains,"
    if draws.log_weights is not None:
        return f"{count:,} weighted points"
    kind = draws.attrs.get("kind")
    if chains == 1 and kind in (INDEPENDENT, PARTICLES):
        return f"{count:,} {'particles' if kind == PARTICLES else 'draws'}"
    return f"{chains:,} chain{'' if chains == 1 else 's'} x {count:,} draws"


def _verdict(draws: PointSet) -> list[str]:
    """What is known to speak against them."""
    found = []
    if draws.divergences is not None:
        count = int(draws.divergences.sum())
        found.append("no divergences" if not count else f"{count:,} divergence{'' if count == 1 else 's'}")
    made = draws.__dict__.get("certificate")
    doubts = () if made is None else made.doubts
    against = list(dict.fromkeys([*doubts, *draws.warnings]))
    if against:
        return [*found, f"{len(against)} warning{'' if len(against) == 1 else 's'}: {against[0]}"]
    if made is not None:
        return [*found, "no warnings", f"certificate: {made.verdict}"]
    return [*found, "no warnings", "summary() tells more"]


def _cut(line: str) -> str:
    return textwrap.shorten(line, LINE, placeholder=" ...")
