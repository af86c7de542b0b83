"""Whether what samplers say of log Z can be trusted: errors against stated errors, misses, and false alarms.

Targets with exact log Z (benchmarks/_calibration_targets.py) of which samplers see density and score alone. A run
misses where |error| is over max(5 stated errors, 0.1); the miss is silent where nothing was warned of. A false alarm is
a warning on a run whose error is within 3 stated errors and whose k-hat is below 0.7. The same is asked of means and of
mode weights, where they are exactly known. Every run is a process of its own, with one thread; its row is appended to
rows.jsonl in the folder as it ends, so that the same call continues an interrupted run.

    python benchmarks/calibration.py --workers 2
    python benchmarks/calibration.py --samplers SMC AIS --targets gmm9 --seeds 0 1     (these pairs, whatever they cost)
    python benchmarks/calibration.py --table                 the tables alone, from the rows that are there

The learned samplers, which take longest, have a table and rows of their own, where further seeds may go:

    python benchmarks/calibration.py --name calibration-learned --folder benchmarks/results/calibration-learned
        --samplers DDS PIS DIS MCD CMCD SCLD --timeout 6000
"""

from __future__ import annotations

from pathlib import Path

import torch
from _calibration_runs import DRAWS, ITERATIONS, LEARNED, SAMPLERS, Job, read, run_all
from _calibration_tables import notes, tables
from _calibration_targets import CASES
from _machine import parser, write

FOLDER = Path(__file__).resolve().parents[1] / "build/calibration"
TIMEOUT = 400.0
QUICK_TARGETS, QUICK_SAMPLERS = ["gmm9", "dirichlet, d = 6"], ["SMC", "HMC"]

PLAIN = tuple(name for name, case in CASES.items() if case.narrow is None)
FOR_LEARNED = (
    "gaussian-autoregressive-0.95, d = 16",
    "gmm9-unequal",
    "two-gaussians-unequal-d8",
    "many-well5-delta4",
    "half N(0, 1), half N(20, 0.1^2)",
    "funnel10-std1",
    "student-product-5, d = 20",
    "light-and-heavy, d = 6",
    "banana",
    "cauchy-location, d = 1",
)
FOR_SMOOTHING = (
    *FOR_LEARNED,
    "gmm40-jax",
    "double-well, d = 2",
    "sd 1 at -2.5, sd 0.3 at 2.5, d = 8",
    "rings3-nearest",
    "flat-top, d = 5",
    "linear-regression, d = 7",
    "funnel10-std3",
)
# what each sampler runs on is every target, but for these
ONLY: dict[str, tuple[str, ...]] = {
    "SequentialMultimeasurement": FOR_SMOOTHING,
    **dict.fromkeys(LEARNED, FOR_LEARNED),
    "HMC": PLAIN,
    "MALA": PLAIN,
    "WalkJump": FOR_LEARNED[:6],
}
WHY = (
    f"Of what costs most a part was run: training ({ITERATIONS} iterations of it) and the smoothing samplers, on the "
    "targets chosen beforehand in benchmarks/calibration.py. Narrow modes are for the samplers that search for them."
)


def jobs(names: list[str], samplers: list[str], seeds: list[int], only: dict[str, tuple[str, ...]]) -> list[Job]:
    """Seed by seed, so that a run that is stopped early has seen every target."""
    return [
        (name, sampler, seed)
        for seed in seeds
        for sampler in samplers
        for name in names
        if name in only.get(sampler, names)
    ]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--targets", nargs="*", choices=list(CASES), metavar="NAME", help="all where none are given")
    arguments.add_argument("--samplers", nargs="*", choices=list(SAMPLERS), help="all where none are given")
    arguments.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2, 3, 4])
    arguments.add_argument("--workers", type=int, default=1, help="processes at a time")
    arguments.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds that a run may take")
    arguments.add_argument("--folder", type=Path, default=FOLDER, help="where rows.jsonl is")
    arguments.add_argument("--name", default="calibration", help="of the tables in benchmarks/results")
    arguments.add_argument("--table", action="store_true", help="run nothing, print the tables of what was run")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    path = options.folder / ("rows-quick.jsonl" if options.quick else "rows.jsonl")
    names = options.targets or (QUICK_TARGETS if options.quick else list(CASES))
    samplers = options.samplers or (QUICK_SAMPLERS if options.quick else list(SAMPLERS))
    if not options.table:
        seeds = options.seeds[:1] if options.quick else options.seeds
        run_all(
            jobs(names, samplers, seeds, {} if options.targets and options.samplers else ONLY),
            path,
            workers=options.workers,
            timeout=options.timeout,
            quick=options.quick,
        )
    rows = read(path)
    write(
        options.name,
        "What samplers say of log Z beside its exact value",
        tables(rows),
        settings={
            "draws": DRAWS,
            "iterations of training": ITERATIONS,
            "torch threads": 1,
            "seeds": len({row["seed"] for row in rows}),
        },
        notes=[*notes(rows), WHY],
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
