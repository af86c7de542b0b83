"""Speed of this tree beside an older commit of it: fresh interpreters of the two in turn, on one thread.

    python benchmarks/against_commit.py 5cfb095

The commit is checked out into a temporary folder. In a round both sides are measured once, the older one first in every
other round. Seconds are the processor's, of the process: what else a machine does only slows, so that the best of all
rounds is each side's rate, and the ratio of the two the figure; the median of the rounds' ratios stands beside it. A
ratio above one means that this tree is faster. Steps are those of sampling, after warmup.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

from _beside import both, older
from _machine import Row, parser, write

GOAL = 0.97

MEASURE = Path(__file__).with_name("_rates.py")


def main() -> None:
    command = parser(__doc__)
    command.add_argument("commit", help="the older side, as git names it")
    command.add_argument("--rounds", type=int, default=9)
    arguments = command.parse_args()
    rounds, steps = (1, 80) if arguments.quick else (arguments.rounds, 2000)
    with older(arguments.commit) as past:
        pairs = [both(past, MEASURE, steps, turned=bool(i % 2)) for i in range(rounds)]
    rows: list[Row] = [
        {
            "what": what,
            "older, a second": max(old[what] for old, _ in pairs),
            "this tree, a second": max(new[what] for _, new in pairs),
            "ratio": max(new[what] for _, new in pairs) / max(old[what] for old, _ in pairs),
            "median of ratios": median(new[what] / old[what] for old, new in pairs),
            "goal": GOAL,
        }
        for what in pairs[0][0]
    ]
    write(
        "against_commit",
        f"This tree beside commit {arguments.commit}",
        {"Rates": rows},
        settings={"rounds": rounds, "steps": steps, "threads": 1},
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
