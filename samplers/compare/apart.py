"""A cell in a process of its own: `run_apart(job)`, which any executor can call, on this machine or another.

The process is the child of a server (`samplers.compare.server`) that has imported what cells need and has computed
nothing: a fork of it starts in milliseconds, where a new interpreter takes seconds to import. A cell that crashes, is
killed for memory or outlives its time takes nothing with it.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import targets

JOB, ROW, OUTPUT = "job.pickle", "row.json", "output.txt"
LINES = 3  # of what a crashed process has said


@dataclass(frozen=True)
class Outcome:
    """row: the measures, or {"error": ...}; files: what the cell has written beside it, by name."""

    row: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)


def interpreter(words: str) -> list[str]:
    """The command of a new interpreter that knows these packages, where they are here, and then runs the words.

    A folder or file `targets` of the user is not ours, wherever its place on the path; what is ours is imported first.
    """
    places = Path(__file__).parents[2], Path(str(targets.__file__)).parents[1]
    roots = list(dict.fromkeys(str(place.resolve()) for place in places))
    first = f"import sys; sys.path[:0] = {roots!r}; import samplers, targets; del sys.path[:{len(roots)}]; "
    return [sys.executable, "-P", "-c", first + words]


class Server:
    """One server process, started when it is first needed and again where it has gone; one cell at a time."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._process: subprocess.Popen[str] | None = None

    def run(self, folder: Path, timeout: float | None) -> str:
        """Have the job in a folder run; returns what ended its process."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            environment = dict(os.environ) | {"OMP_NUM_THREADS": str(self.threads)}
            job = {"folder": str(folder), "timeout": timeout, "cwd": os.getcwd(), "environment": environment}
            print(json.dumps(job), file=process.stdin, flush=True)
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        except BaseException:  # Ctrl-C: the cell must not go on
            self.close()
            raise
        if not answer:
            self.close()
            return "the process that runs cells has died"
        return str(json.loads(answer)["end"])

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            environment = os.environ | {"OMP_NUM_THREADS": str(self.threads)}
            self._process = subprocess.Popen(
                interpreter("from samplers.compare.server import main; main()"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
                start_new_session=True,  # Ctrl-C is for the process that waits; it ends the others
            )
        return self._process

    def close(self) -> None:
        """End the server, and the cell that it runs."""
        process, self._process = self._process, None
        if process is not None:
            with process:  # which closes its pipes, and waits for its end
                try:
                    process.communicate(timeout=5)
                except subprocess.TimeoutExpired:
                    process.kill()


_idle: list[Server] = []
_lock = threading.Lock()


def run_apart(
    job: bytes, *, timeout: float | None = None, threads: int = 1, busy: set[Server] | None = None
) -> Outcome:
    """Run a pickled cell (`samplers.compare.cell`) in a process of its own; its failure is an outcome.

    busy: the servers that a comparison has in use, which the one that runs it is among meanwhile; it then waits for the
    next cell, of whichever comparison.
    """
    busy = set() if busy is None else busy
    with tempfile.TemporaryDirectory(prefix="unnorm-") as name:
        folder = Path(name)
        (folder / JOB).write_bytes(job)
        with _lock:
            server = next((one for one in _idle if one.threads == threads), None) or Server(threads)
            _idle[:] = [one for one in _idle if one is not server]
            busy.add(server)
        try:
            said = server.run(folder, timeout)
        finally:
            with _lock:
                busy.discard(server)
                _idle.append(server)
        return _outcome(folder, said)


def close_busy(busy: set[Server]) -> None:
    """End servers in use, and what they run."""
    with _lock:
        servers = list(busy)
    for server in servers:
        server.close()


def close_idle(but: int = 0) -> None:
    """End the servers that wait, but so many: each holds some 400 MB, most of it shared."""
    with _lock:
        surplus = _idle[but:]
        del _idle[but:]
    for server in surplus:
        server.close()


atexit.register(close_idle)


def _outcome(folder: Path, said: str) -> Outcome:
    if (folder / ROW).exists():
        row = json.loads((folder / ROW).read_text())
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in (JOB, ROW, OUTPUT)}
        return Outcome(row, files)
    output = folder / OUTPUT
    last = output.read_text(errors="replace").strip().splitlines()[-LINES:] if output.exists() else []
    return Outcome({"error": ": ".join([said, *last])})
