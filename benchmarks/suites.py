"""The named suites of `unnorm compare`: the verdicts, and our best beside published figures.

Cells run one at a time, so that seconds compare. Results of a suite that was stopped are found again in --folder.

    python benchmarks/suites.py quick spins bayes --peers
    python benchmarks/suites.py standard --seeds 3 --folder standard
"""

from __future__ import annotations

import math
from typing import Any

from _machine import Row, parser, write

from samplers.compare import Comparison, run_suite
from samplers.compare.published import QUANTITIES
from samplers.compare.suites import SUITES
from samplers.compare.table import COLUMNS as TABLE

COLUMNS = (
    "r_hat", "ess_bulk", "mode_ess", "shape_error_se", "log_z", "log_z_se", "log_z_true", "pareto_k", "evaluations",
    "ess_per_1000_evaluations", "ess_per_second", "seconds",
)  # fmt: skip
PEERS = (
    "Seconds of peers hold compilation by JAX, and a call to torch for each evaluation.",
    "BlackJAX's tempered SMC brings no tuning of the step size: 0.2 deviations of the particles everywhere.",
)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("suites", nargs="+", choices=list(SUITES))
    arguments.add_argument("--seeds", type=int, default=1)
    arguments.add_argument("--peers", action="store_true")
    arguments.add_argument("--workers", type=int, default=1)
    arguments.add_argument("--timeout", type=float, default=1800.0)
    arguments.add_argument("--retry", action="store_true", help="run again what failed or ran out of time")
    arguments.add_argument("--note", action="append", default=[], help="what else a reader must know of the run")
    arguments.add_argument("--folder", help="where results go, NAME of the suite below it")
    options = arguments.parse_args()
    for name in options.suites:
        folder = None if options.folder is None else f"{options.folder}/{name}"
        result = run_suite(
            name,
            folder=folder,
            seeds=options.seeds,
            peers=options.peers,
            workers=options.workers,
            timeout=options.timeout,
            retry=options.retry,
        )
        report(name, result, options)


def report(name: str, result: Comparison, options: Any) -> None:
    """The tables of one suite."""
    tables: dict[str, list[Row]] = {"Runs": [runs_row(row) for row in result.rows]}
    numbers = {"Runs": [{column: known(row.get(column)) for column in tables["Runs"][0]} for row in result.rows]}
    verdicts = []
    for target, one in result.verdicts.items():
        said = [f"{sampler}: {'; '.join(texts)}" for sampler, texts in one.faults.items() if texts]
        verdicts.append({"target": target, "verdict": one.conclusion, "faults": " / ".join([*said, *one.remarks])})
    tables["Verdicts"] = verdicts
    if result.beside:
        tables["Beside published figures"] = [
            {
                "target": one.published.target,
                "quantity": QUANTITIES[one.published.quantity].title,
                "ours": one.here,
                "by": one.sampler,
                "runs": one.runs,
                "published": f"{one.published.value:g}",
                "of": f"{one.published.method} ({one.published.variant})",
                "source": one.published.source,
                "we are": one.place,
            }
            for one in result.beside
        ]
    write(
        f"{name}-suite",  # NAME-quick is a smoke run
        f"The suite `{name}`: {SUITES[name]().description}",
        tables,
        settings={"torch threads": 1, "seeds": options.seeds, "cells at a time": options.workers},
        notes=[*PEERS * options.peers, *options.note],
        quick=options.quick,
        numbers=numbers,
    )


def runs_row(row: Row) -> Row:
    """A run's line; a failed one has its error."""
    shown: Row = {"target": row["target"], "sampler": row["sampler"], "seed": row["seed"]}
    for column in COLUMNS:
        value = row.get(column)
        told = value is not None and not (isinstance(value, float) and math.isnan(value))
        shown[column] = TABLE[column].show(value) if told else None
    return shown | {"error": row["error"]}


def known(value: Any) -> Any:
    """None for a number that JSON has no word for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
