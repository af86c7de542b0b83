"""Divergent steps of HMC with its defaults, and what an effective draw costs, beside an older commit.

    python benchmarks/divergences.py 4b88943

Counts, not times: 64 chains, 500 steps of warmup, 1000 draws of each, seeds 0, 1, 2 ... on both sides. Evaluations are
all gradients of a run, warmup and starts included; the effective draws are the least of the bulk and the tail ESS over
all parameters, by ArviZ; the figure is the median over the seeds, and the ratio that of this tree to the commit.

    counts          twelve groups of twenty Poisson counts with a group effect, as a newcomer writes them
    eight schools   non-centred, the first block of the README; centred, of which no step size reaches the neck
    patients        fifteen of them, seen six times: centred intercepts, or lines with an LKJ prior, Student errors
    the others      regressions of posteriordb; their data lie beside the project, or in the folder UNNORM_DATA
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

from _beside import ROOT, measured, older
from _divergences_once import MODELS
from _machine import Row, parser, write

ONCE = Path(__file__).with_name("_divergences_once.py")
MOST = 1e-4  # divergent steps
DEAREST = 1.2  # times the evaluations


def row(model: str, past: Path, seeds: int, draws: int) -> Row | None:
    """One model on both sides; None where its data are not there."""
    before, after = (measured(tree, ONCE, model, seeds, draws) for tree in (past, ROOT))
    if not after:
        return None
    costs = [median(run["evaluations"] / run["ess"] for run in side) for side in (before, after)]
    steps = sum(run["steps"] for run in after)
    count = [sum(run["divergences"] for run in side) for side in (before, after)]
    return {
        "model": model,
        "seeds": seeds,
        "steps": steps,
        "divergent steps before": count[0],
        "now": count[1],
        "now, in 10,000": 1e4 * count[1] / steps,
        "runs with one, before": sum(run["divergences"] > 0 for run in before),
        "runs with one, now": sum(run["divergences"] > 0 for run in after),
        "evaluations an effective draw, before": costs[0],
        "evaluations, now": costs[1],
        "ratio": costs[1] / costs[0],
        "acceptance now": median(run["acceptance"] for run in after),
    }


def main() -> None:
    command = parser(__doc__)
    command.add_argument("commit", nargs="?", default="4b88943", help="the older side, as git names it")
    command.add_argument("--models", nargs="*", choices=list(MODELS), help="some of them; all by default")
    arguments = command.parse_args()
    rows: list[Row] = []
    with older(arguments.commit) as past:
        for model in arguments.models or MODELS:
            found = row(model, past, *((1, 100) if arguments.quick else (MODELS[model], 1000)))
            if found is not None:
                rows.append(found)
                print(found, flush=True)
    write(
        "divergences",
        f"Divergent steps of HMC with its defaults, beside commit {arguments.commit}",
        {"Runs": rows},
        settings={"chains": 64, "draws": 1000, "warmup": 500, "most": f"{MOST:g} of the steps, {DEAREST} evaluations"},
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
