"""What `import samplers, targets` costs beyond torch: wall time of fresh interpreters, the two kinds in turn.

    python -c "import torch"        against        python -c "import torch, samplers, targets"

One unmeasured start of each, then 7 of each alternately. The goal is 0.3 s between the two medians. Run it with an
interpreter whose environment holds unnorm; nothing else is needed.
"""

from __future__ import annotations

import subprocess
import sys

from _machine import parser, write
from _timing import alternate

GOAL_SECONDS = 0.3
STATEMENTS = ("import torch", "import torch, samplers, targets")


def start(statement: str) -> None:
    """A fresh interpreter that runs the statement and ends."""
    subprocess.run([sys.executable, "-c", statement], check=True)


def main() -> None:
    arguments = parser(__doc__).parse_args()
    repetitions = 2 if arguments.quick else 7
    base, full = alternate([lambda s=statement: start(s) for statement in STATEMENTS], repetitions)
    rows = [
        {"statement": statement, "median s": times.median, "least s": times.best, "goal s": None}
        for statement, times in zip(STATEMENTS, (base, full), strict=True)
    ]
    apart = {"median s": full.median - base.median, "least s": full.best - base.best}
    rows.append({"statement": "difference", **apart, "goal s": GOAL_SECONDS})
    settings = {"repetitions": repetitions}
    write("import_time", "Import time", {"Fresh interpreters": rows}, settings=settings, quick=arguments.quick)


if __name__ == "__main__":
    main()
