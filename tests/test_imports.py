"""Heavy packages load when they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "arviz",
    "matplotlib",
    "zarr",
    "xarray",
    "pandas",
    "tqdm",
    "hypothesis",
    "pyro",
    "sklearn",
    "scipy",
    "torchsde",
    "ot",
)


def loaded(statement):
    code = f"{statement}; import sys; print(','.join(m for m in {HEAVY!r} if m in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return set(filter(None, found.split(",")))


def test_importing_loads_nothing_heavy():
    """The time of it is measured in benchmarks/import_time.py; here only what would cost it."""
    assert loaded("import samplers, targets") <= loaded("import torch")


def test_the_kit_loads_hypothesis_only_for_its_strategies():
    assert "hypothesis" not in loaded("import samplers.testing")


MODULES = (
    "samplers",
    "targets",
    *(f"samplers.{name}" for name in ("annealing", "compare", "diagnostics", "particles", "testing")),
)


@pytest.mark.parametrize("module", MODULES)
def test_public_names_exist(module):
    imported = __import__(module, fromlist=["__all__"])
    assert all(hasattr(imported, name) for name in imported.__all__)


def test_type_checkers_see_the_names_of_the_one_list():
    """The block that mypy and editors read states each name of PLACES at its place, and exports it."""
    import samplers

    (block,) = (node for node in ast.parse(Path(samplers.__file__).read_text()).body if isinstance(node, ast.If))
    seen = {node.module: {(alias.name, alias.asname) for alias in node.names} for node in block.body}
    assert seen == {module: {(name, name) for name in names.split()} for module, names in samplers.PLACES.items()}


@pytest.mark.parametrize(
    ("old", "new"),
    [("samplers.smoothing.denoisers", "samplers.denoisers"), ("samplers.diffusion.networks", "samplers.networks")],
)
def test_former_paths_lead_to_the_same_names(old, new):
    former, present = (__import__(module, fromlist=["__all__"]) for module in (old, new))
    assert set(former.__all__) >= {name for name in present.__all__ if name[0].isupper()}
    assert all(getattr(former, name) is getattr(present, name) for name in former.__all__)


ROOT = Path(__file__).parents[1]
LOOSE = {
    "benchmarks_calibration",
    "benchmarks_start",
    "circles",
    "cli",
    "contributing",
    "docs",
    "docstrings",
    "examples",
    "imports",
    "notebooks",
    "readme",
    "release",
    "warnings",
}


def test_tests_stand_in_the_room_of_what_they_test():
    rooms = {one.parent.name for one in (ROOT / "samplers").glob("*/__init__.py")} | {"targets"}
    tested = {one.parent.name for one in (ROOT / "tests").glob("*/test_*.py")}
    assert tested == rooms
    assert {one.stem.removeprefix("test_") for one in (ROOT / "tests").glob("test_*.py")} == LOOSE


def test_folders_are_attributes_without_an_import_statement():
    import samplers

    code = "import samplers; print(*[getattr(samplers, name).__name__ for name in samplers.FOLDERS])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert shown == [f"samplers.{name}" for name in samplers.FOLDERS]
