"""A cell in a process of its own: `run_apart(job)`, which any executor can call, on this machine or another.

The process is the child of a server (`samplers.compare.server`) that has imported what cells need and has computed
nothing: a fork of it starts in milliseconds, where a new interpreter takes seconds to import. A cell that crashes, is
killed for memory or outlives its time takes nothing with it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

JOB, ROW, OUTPUT = "job.pickle", "row.json", "output.txt"
LINES = 3  # of what a crashed process has said


@dataclass(frozen=True)
class Outcome:
    """row: the measures, or {"error": ...}; files: what the cell has written beside it, by name."""

    row: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)


def run_apart(job: bytes, *, timeout: float | None = None, threads: int = 1) -> Outcome:
    """Run a pickled cell (`samplers.compare.cell`) in a process of its own; its failure is an outcome."""
    with tempfile.TemporaryDirectory(prefix="unnorm-") as name:
        folder = Path(name)
        (folder / JOB).write_bytes(job)
        server = _take(threads)
        try:
            said = server.run(folder, timeout)
        finally:
            _give_back(server)
        if (folder / ROW).exists():
            row = json.loads((folder / ROW).read_text())
            files = {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in (JOB, ROW, OUTPUT)}
            return Outcome(row, files)
        output = folder / OUTPUT
        last = output.read_text(errors="replace").strip().splitlines()[-LINES:] if output.exists() else []
        return Outcome({"error": ": ".join([said, *last])})


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
            print(json.dumps({"folder": str(folder), "timeout": timeout}), file=process.stdin, flush=True)
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
                [sys.executable, "-m", "samplers.compare.server"],
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
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


_idle: list[Server] = []
_all: weakref.WeakSet[Server] = weakref.WeakSet()
_lock = threading.Lock()


def _take(threads: int) -> Server:
    with _lock:
        for server in _idle:
            if server.threads == threads:
                _idle.remove(server)
                return server
        server = Server(threads)
        _all.add(server)
        return server


def _give_back(server: Server) -> None:
    with _lock:
        _idle.append(server)


@atexit.register
def close_all() -> None:
    """End all servers of this process and what they run; new ones start when they are needed."""
    for server in list(_all):
        server.close()
