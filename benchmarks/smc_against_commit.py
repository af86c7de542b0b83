"""What SMC() costs and how far off its log Z is, beside an older commit: fresh interpreters of the two in turn.

    python benchmarks/smc_against_commit.py f7ff105

f7ff105 is the last commit without scouts and certificates. A round is a seed; both sides run it once, the older one
first in every other round. Seconds are the processor's, of `sample` alone. Ratios are of sums over all rounds, this
tree over the older one: below one it is cheaper. Errors are root mean squares over the rounds; times the root of the
evaluations (in millions) they say what the same accuracy costs.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from _beside import both, older
from _machine import Row, parser, write

TARGETS = ("gmm9", "sonar", "eight-schools", "two-modes-d32")
MOST_EVALUATIONS, MOST_SECONDS = 1.5, 1.3
SCRIPT = Path(__file__).with_name("_smc_once.py")


def row(name: str, pairs: list[tuple[Any, Any]]) -> Row:
    """One target's."""
    import targets

    target = targets.benchmark(name)
    truth = target.log_z if "log_z" in target.known else None
    past, now = (list(side) for side in zip(*pairs, strict=True))
    sums = {key: (sum(run[key] for run in past), sum(run[key] for run in now)) for key in ("evaluations", "seconds")}
    # where none is known the mean over both sides stands in for it
    middle = sum(run["log_z"] for run in past + now) / (2 * len(pairs)) if truth is None else truth
    errors = [math.sqrt(sum((run["log_z"] - middle) ** 2 for run in side) / len(pairs)) for side in (past, now)]
    costs = [
        error * math.sqrt(spent / len(pairs) / 1e6) for error, spent in zip(errors, sums["evaluations"], strict=True)
    ]
    return {
        "target": name,
        "evaluations, ratio": sums["evaluations"][1] / sums["evaluations"][0],
        "at most": MOST_EVALUATIONS,
        "seconds, ratio": sums["seconds"][1] / sums["seconds"][0],
        "at most ": MOST_SECONDS,
        "seconds, older": sums["seconds"][0] / len(pairs),
        "seconds": sums["seconds"][1] / len(pairs),
        "error, older": errors[0],
        "error": errors[1],
        "error x root of evaluations, older": costs[0],
        "error x root of evaluations": costs[1],
        "log Z known": "no" if truth is None else "yes",
    }


def main() -> None:
    command = parser(__doc__)
    command.add_argument("commit", help="the older side, as git names it")
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--particles", type=int, default=4096)
    arguments = command.parse_args()
    rounds, particles = (1, 64) if arguments.quick else (arguments.rounds, arguments.particles)
    rows = []
    with older(arguments.commit) as past:
        for name in TARGETS:
            rows.append(
                row(name, [both(past, SCRIPT, name, particles, seed, turned=bool(seed % 2)) for seed in range(rounds)])
            )
    write(
        "smc_against_commit",
        f"SMC() beside commit {arguments.commit}",
        {"Cost and error": rows},
        settings={"rounds": rounds, "particles": particles, "threads": 1},
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
