"""Peak memory of long runs, each in a fresh process: resident set by `resource.getrusage` when the run has ended.

Running moments: 1,000,000 chains of a 100-dimensional Gaussian in float32, 50 ULA steps, keep="moments"; under 3 GB.
One copy of the positions alone is 400 MB.
Streaming: 20 GB of positions of the same Gaussian (10,000 chains, 5,000 draws) to a temporary folder, which is deleted
afterwards; under 1 GB, with the speed in MB of files a second (until the disk has taken them), beside that of plain
writes of zeros to the same disk. Where less than 25 GB are free the run is made shorter and says so.
Baseline: the packages imported and one short run, so that the others can be read against it.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _machine import Row, parser, write
from _timing import timed

DIM = 100
ITEM_BYTES = 4
SPARE_BYTES = 5e9  # left free on the disk
PROBE_BYTES = 64 * 2**20


def run_case(chains: int, draws: int, folder: Path | None) -> dict[str, Any]:
    """One run in this process: to the folder where there is one, else moments; what it took."""
    import torch

    import samplers
    import targets

    target = targets.Gaussian(torch.zeros(DIM, dtype=torch.float32))
    kernel = samplers.ULA(step_size=0.1, inverse_mass_matrix="identity")
    where: dict[str, Any] = {"keep": "moments"} if folder is None else {"stream": folder / "run"}

    def run() -> samplers.Draws:
        result = kernel.sample(target, chains=chains, draws=draws, warmup=0, progress=False, **where)
        if folder is not None:
            os.sync()
        return result

    result, seconds = timed(run)
    variance = float(result.moments.variance.mean())  # of all draws from a start on [-2, 2], so near one and not one
    assert 0.5 < variance < 2.0, f"the chains went wrong: mean variance {variance}"
    written = 0 if folder is None else sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"seconds": seconds, "peak_bytes": peak, "written_bytes": written}


def in_fresh_process(chains: int, draws: int, folder: Path | None = None) -> dict[str, Any]:
    """`run_case` in a new interpreter."""
    case = json.dumps({"chains": chains, "draws": draws, "folder": None if folder is None else str(folder)})
    command = [sys.executable, __file__, "--case", case]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def plain_writes(folder: Path, size: int) -> float:
    """Bytes a second of plain writes of zeros, until the disk has them."""
    block = bytes(PROBE_BYTES)

    def run() -> None:
        with (folder / "probe").open("wb") as file:
            for _ in range(max(1, size // PROBE_BYTES)):
                file.write(block)
        os.sync()

    seconds = timed(run)[1]
    written = (folder / "probe").stat().st_size
    (folder / "probe").unlink()
    return written / seconds


def moments_row(chains: int, draws: int, goal: float | None, case: str) -> Row:
    taken = in_fresh_process(chains, draws)
    return row(case, chains, draws, taken, goal)


def row(case: str, chains: int, draws: int, taken: dict[str, Any], goal: float | None) -> Row:
    written = taken["written_bytes"]
    return {
        "case": case,
        "chains": chains,
        "dim": DIM,
        "draws": draws,
        "peak GB": taken["peak_bytes"] / 1e9,
        "goal GB": goal,
        "seconds": taken["seconds"],
        "GB written": written / 1e9 if written else None,
        "MB/s": written / taken["seconds"] / 1e6 if written else None,
    }


def streaming_row(size: float, parent: str | None, notes: list[str]) -> Row:
    """The streamed run in a folder of its own, deleted whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="unnorm-memory-", dir=parent))
    try:
        free = shutil.disk_usage(folder).free
        if free < size + SPARE_BYTES:
            size = max(0.0, free - SPARE_BYTES)
            notes.append(f"only {free / 1e9:.0f} GB were free: the streamed run was scaled down to {size / 1e9:.1f} GB")
            print(notes[-1])
        chains = 10_000
        draws = int(size / (chains * DIM * ITEM_BYTES))
        if draws < 1:
            raise SystemExit(f"only {free / 1e9:.1f} GB of disk are free, too little for a streamed run")
        speed = plain_writes(folder, int(size / 20))
        notes.append(f"plain writes of zeros to the same disk: {speed / 1e6:.0f} MB/s")
        return row("streamed to disk", chains, draws, in_fresh_process(chains, draws, folder), 1.0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument("--folder", help="where the temporary folder is made; by default the system's")
    command_line.add_argument("--case", help="JSON of one run, for the fresh processes that this script starts itself")
    arguments = command_line.parse_args()
    if arguments.case:
        case = json.loads(arguments.case)
        folder = None if case["folder"] is None else Path(case["folder"])
        print(json.dumps(run_case(case["chains"], case["draws"], folder)))
        return
    notes = ["the figures include the interpreter and the libraries, not the system's cache of written files"]
    million, size = (20_000, 0.2e9) if arguments.quick else (1_000_000, 20e9)
    rows = [
        moments_row(10, 2, None, "baseline"),
        moments_row(million, 50, 3.0, "running moments"),
        streaming_row(size, arguments.folder, notes),
    ]
    settings = {"kernel": "ULA, step size 0.1", "dtype": "float32"}
    write("memory", "Peak memory", {"Peak resident set": rows}, settings=settings, notes=notes, quick=arguments.quick)


if __name__ == "__main__":
    main()
