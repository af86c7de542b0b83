"""The page itself: what stands on it, put into the template."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from samplers.compare.conclusion import joined
from samplers.compare.published import QUANTITIES
from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.standings import single_runs, standings
from samplers.compare.report.topics import topics
from samplers.compare.store import Key
from samplers.compare.table import COLUMNS, shown_columns

if TYPE_CHECKING:
    from samplers.compare.comparison import Comparison

MOST_NAMES = 12


def page(
    comparison: Comparison,
    pictures: Mapping[str, Sequence[Picture]],
    files: Mapping[tuple[str, str], str],
    links: Mapping[Key, str],
) -> str:
    """The page as HTML. files: of the figures by (target, kind); links: to the draws by cell."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("samplers.compare.report", "page"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    environment.filters["anchor"] = lambda name: "target-" + str(list(comparison.grid["targets"]).index(name))
    columns = shown_columns(comparison.table, brief=False)
    if not comparison.grid.get("budget"):
        columns.pop("budget_share", None)
    parts = topics(columns)
    several = any(row["seed"] != comparison.rows[0]["seed"] for row in comparison.rows)
    samplers = list(dict.fromkeys(row["sampler"] for row in comparison.rows))
    return environment.get_template("page.html").render(
        style=environment.loader.get_source(environment, "page.css")[0],  # type: ignore[union-attr]
        script=environment.loader.get_source(environment, "sort.js")[0],  # type: ignore[union-attr]
        title=f"{_count(samplers, 'sampler')} on {_count(comparison.grid['targets'], 'target')}",
        summary=_summary(comparison, samplers),
        versions=comparison.grid.get("versions", {}),
        targets=comparison.grid["targets"],
        facts=comparison.facts,
        verdicts=comparison.verdicts,
        topics=parts,
        columns=COLUMNS,
        explained=list({(c.title, c.hint): name for name, c in reversed(columns.items()) if c.hint}.values())[::-1],
        standings=standings(comparison.rows, columns, comparison.verdicts),
        singles=single_runs(comparison.rows, columns) if several else {},
        several=several,
        beside=comparison.beside,
        quantities=QUANTITIES,
        pictures=pictures,
        files=files,
        links=links,
        said=[row for row in comparison.rows if row.get("warnings")],
        certificates=[row for row in comparison.rows if row.get("certificate")],
    )


def _count(names: Sequence[Any], what: str) -> str:
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'}"


def _summary(comparison: Comparison, samplers: Sequence[str]) -> str:
    """What was compared, in a few sentences."""
    rows = comparison.rows
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    failed = sum(bool(row["error"]) for row in rows)
    names = joined(samplers) if len(samplers) <= MOST_NAMES else f"{len(samplers)} samplers"
    runs = f"{len(rows)} runs" if len(rows) != 1 else "One run"
    budget = comparison.grid.get("budget")
    return (
        f"{runs}: {names} on {joined(comparison.grid['targets'])}, "
        + (f"with seed {seeds[0]}. " if len(seeds) == 1 else f"with {len(seeds)} seeds each. ")
        + (f"Each run had a budget of {budget}. " if budget else "")
        + ("" if not failed else f"{failed} of them failed, and say so in the table.")
    ).rstrip()
