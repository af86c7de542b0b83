"""The page itself: what stands on it, put into the template."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from samplers.compare.columns import COLUMNS, WAYS, topics
from samplers.compare.published import QUANTITIES
from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.standings import single_runs, standings
from samplers.compare.results import Results
from samplers.compare.rows import by, counted, joined
from samplers.compare.store import Key
from samplers.compare.table import shown_columns

MOST_NAMES = 12


def page(
    results: Results,
    pictures: Mapping[str, Sequence[Picture]],
    files: Mapping[tuple[str, str], str],
    links: Mapping[Key, str],
) -> str:
    """The page as HTML. files: of the figures by (target, kind); links: to the draws by cell."""
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("samplers.compare.report", "page")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    rows, targets = results.rows, list(results.grid["targets"])
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    environment.filters["anchor"] = lambda name: f"target-{targets.index(name)}"
    without = () if results.grid.get("budget") else ("budget_share", "search_share")
    every = shown_columns(results.table, brief=False)
    columns = {name: column for name, column in every.items() if column.topic and name not in without}
    several = len(by("seed", rows)) > 1
    samplers = list(by("sampler", rows))
    return environment.get_template("page.html").render(
        style=loader.get_source(environment, "page.css")[0],
        script=loader.get_source(environment, "sort.js")[0],
        title=f"{counted(len(samplers), 'sampler')} on {counted(len(targets), 'target')}",
        summary=_summary(results, samplers),
        results=results,
        targets=targets,
        topics=topics(columns),
        columns=COLUMNS,
        ways=WAYS,
        explained=list({(c.title, c.help): c for c in reversed(columns.values()) if c.help}.values())[::-1],
        standings=standings(rows, columns, results.verdicts),
        singles=single_runs(rows, columns) if several else {},
        several=several,
        quantities=QUANTITIES,
        pictures=pictures,
        files=files,
        links=links,
    )


def _summary(results: Results, samplers: Sequence[str]) -> str:
    """What was compared, in a few sentences."""
    rows, seeds = results.rows, list(by("seed", results.rows))
    failed = sum(bool(row["error"]) for row in rows)
    names = joined(samplers) if len(samplers) <= MOST_NAMES else f"{len(samplers)} samplers"
    runs = f"{len(rows)} runs" if len(rows) != 1 else "One run"
    budget = results.grid.get("budget")
    return (
        f"{runs}: {names} on {joined(results.grid['targets'])}, "
        + (f"with seed {seeds[0]}. " if len(seeds) == 1 else f"with {len(seeds)} seeds each. ")
        + (f"Each run had a budget of {budget}. " if budget else "")
        + ("" if not failed else f"{failed} of them failed, and say so in the table.")
    ).rstrip()
