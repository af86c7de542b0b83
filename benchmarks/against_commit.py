"""Speed of this tree beside an older commit of it: fresh interpreters of the two in turn, on one thread.

    python benchmarks/against_commit.py 5cfb095

The commit is checked out into a temporary folder. In a round both sides are measured once, the older one first in every
other round. Seconds are the processor's, of the process: what else a machine does only slows, so that the best of all
rounds is each side's rate, and the ratio of the two the figure; the median of the rounds' ratios stands beside it. A
ratio above one means that this tree is faster. Steps are those of sampling, after warmup.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from _machine import Row, parser, write

ROOT = Path(__file__).resolve().parent.parent
GOAL = 0.97

MEASURE = Path(__file__).with_name("_rates.py")


def measured(folder: Path, steps: int) -> dict[str, float]:
    """What a fresh interpreter finds with the packages of that folder: rates, larger is better."""
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(MEASURE), str(steps)]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    command = parser(__doc__)
    command.add_argument("commit", help="the older side, as git names it")
    command.add_argument("--rounds", type=int, default=9)
    arguments = command.parse_args()
    rounds, steps = (1, 80) if arguments.quick else (arguments.rounds, 2000)
    with tempfile.TemporaryDirectory() as folder:
        older = Path(folder) / "older"
        git = ["git", "-C", str(ROOT)]
        subprocess.run([*git, "worktree", "add", "--detach", "--quiet", str(older), arguments.commit], check=True)
        try:
            pairs = [_round(older, steps, turned=bool(i % 2)) for i in range(rounds)]
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(older)], check=True)
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


def _round(older: Path, steps: int, turned: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Both sides once; `turned`: this tree first."""
    found = {folder: measured(folder, steps) for folder in ((ROOT, older) if turned else (older, ROOT))}
    return found[older], found[ROOT]


if __name__ == "__main__":
    main()
