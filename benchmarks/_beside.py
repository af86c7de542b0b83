"""This tree and an older commit of it, each measured in fresh interpreters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def older(commit: str) -> Iterator[Path]:
    """A temporary folder with the tree of a commit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "older"
        git = ["git", "-C", str(ROOT)]
        subprocess.run([*git, "worktree", "add", "--detach", "--quiet", str(path), commit], check=True)
        try:
            yield path
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(path)], check=True)


def measured(folder: Path, script: Path, *arguments: object) -> Any:
    """What a script of this folder prints as JSON, run with the packages of a tree on one thread."""
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(script), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def both(past: Path, script: Path, *arguments: object, turned: bool) -> tuple[Any, Any]:
    """(of the older tree, of this one); `turned`: this one is measured first."""
    found = {folder: measured(folder, script, *arguments) for folder in ((ROOT, past) if turned else (past, ROOT))}
    return found[past], found[ROOT]
