"""Every benchmark starts from a fresh process as its first lines say: `python benchmarks/NAME.py`."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
PEERS = {"blackjax", "jax", "numpyro", "nutpie", "pymc"}


def imported(script):
    """The packages that its first level imports."""
    for node in ast.parse(script.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("[!_]*.py")))
def test_it_prints_its_help(name, tmp_path):
    missing = [each for each in PEERS & {*imported(FOLDER / name)} if importlib.util.find_spec(each) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} of the extra `peers` is not installed")
    ran = subprocess.run(
        [sys.executable, FOLDER / name, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "usage:" in ran.stdout
