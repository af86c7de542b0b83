"""The process that cells are forked from: it reads one job a line, forks, waits, and says what ended the child.

It imports what cells need and computes nothing, so that its children start at once and in a clean state. Where there is
no safe fork (Windows, macOS) each job gets a new interpreter. It ends with its standard input, and its child with it.

    {"folder": ..., "timeout": seconds or null, "cwd": ..., "environment": {...}}  ->  {"end": words}
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from samplers.compare.apart import OUTPUT, interpreter

FORKS = sys.platform.startswith("linux")


def main() -> None:
    """Serve until standard input ends."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a cell prints is no reply
    if FORKS:
        _import_what_cells_need()
    while line := _line():
        job = json.loads(line)
        end = (_forked if FORKS else _spawned)(job, replies.fileno())
        print(json.dumps({"end": end}), file=replies, flush=True)


def _line() -> str:
    """A line of standard input, read byte by byte: nothing may be left in a buffer that `select` does not see."""
    found = bytearray()
    while (byte := os.read(0, 1)) and byte != b"\n":
        found += byte
    return found.decode()


def _import_what_cells_need() -> None:
    import samplers.annealing
    import samplers.compare.cell
    import samplers.diffusion
    import samplers.particles
    import samplers.smoothing  # noqa: F401
    from samplers.draws import records
    from samplers.draws.pot import import_pot

    records.import_arviz()
    import_pot()
    records.warm_up()


def _forked(job: Mapping[str, Any], replies: int) -> str:
    child = os.fork()
    if child == 0:
        os.close(replies)
        _child(job)
    ended, timeout = os.pidfd_open(child), job["timeout"]
    try:
        readable = select.select([0, ended], [], [], timeout)[0]
    finally:
        os.close(ended)
        _kill_group(child)  # what it has started goes with it
        status = os.waitpid(child, 0)[1]
    if 0 in readable:  # nobody waits for an answer any more
        sys.exit()
    return _words(os.waitstatus_to_exitcode(status) if readable else None, timeout)


def _child(job: Mapping[str, Any]) -> NoReturn:
    """The rest of the life of a forked child: a group of its own, the caller's place and environment, the cell."""
    code = 1
    try:
        os.setsid()
        with open(Path(job["folder"]) / OUTPUT, "w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(job["environment"])
        with contextlib.suppress(OSError):  # on another machine there may be no such place
            os.chdir(job["cwd"])
        _run(job["folder"])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _kill_group(child: int) -> None:
    for kill, number in ((os.killpg, child), (os.kill, child)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(number, signal.SIGKILL)


def _spawned(job: Mapping[str, Any], replies: int) -> str:
    del replies  # is not inherited
    folder, timeout = job["folder"], job["timeout"]
    with open(Path(folder) / OUTPUT, "w") as output:
        try:
            code: int | None = subprocess.run(
                interpreter(f"from samplers.compare.server import _run; _run({folder!r})"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=job["environment"] | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")},
                cwd=job["cwd"],
                timeout=timeout,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:  # and killed
            code = None
    return _words(code, timeout)


def _run(folder: str | Path) -> None:
    from samplers.compare.cell import run_job

    run_job(Path(folder))


def _words(code: int | None, timeout: float | None) -> str:
    if code is None:
        return f"timed out after {timeout:g} s"
    if code < 0:
        name = signal.Signals(-code).name
        more = ", as for want of memory" if name == "SIGKILL" else ""
        return f"the process was killed by {name}{more}"
    return f"the process ended with exit code {code}"
