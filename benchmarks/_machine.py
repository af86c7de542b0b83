"""What every benchmark shares: the machine in words, the command line, and the files that hold a result.

A result is a pair of files, results/NAME.md to read and results/NAME.json to compute with. Neither holds a path or the
name of a machine. A `--quick` run writes NAME-quick, so that a smoke test never replaces a measurement.
Nothing heavy is imported here: `memory.py` and `import_time.py` measure fresh processes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("unnorm", "torch", "numpy", "arviz", "zarr", "jax", "blackjax", "numpyro")

Row = dict[str, Any]


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, and versions of what takes part."""
    return {
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "date": datetime.date.today().isoformat(),
    }


def parser(docstring: str | None) -> argparse.ArgumentParser:
    """A command line with `--quick`, described by the script's own docstring."""
    made = argparse.ArgumentParser(description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="a short smoke run; its figures mean nothing")
    return made


def write(
    name: str,
    title: str,
    tables: dict[str, list[Row]],
    *,
    settings: dict[str, Any],
    notes: Sequence[str] = (),
    quick: bool = False,
    numbers: dict[str, list[Row]] | None = None,
) -> None:
    """Print the tables, each a list of rows with equal keys, and write them to results/NAME.md and NAME.json.

    numbers: what stands in the latter for tables whose cells are words.
    """
    name, title = (f"{name}-quick", f"{title} (smoke run, figures mean nothing)") if quick else (name, title)
    here = machine()
    parts = [f"# {title}", _in_words(here), ", ".join(f"{key}: {value}" for key, value in settings.items())]
    for heading, rows in tables.items():
        parts += [f"## {heading}", _markdown(rows)]
    parts += ["\n".join(f"- {note}" for note in notes)] if notes else []
    text = "\n\n".join(parts) + "\n"
    record = {
        "title": title,
        "machine": here,
        "settings": settings,
        "tables": tables | (numbers or {}),
        "notes": list(notes),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    print(text)


def recorded(name: str) -> dict[str, list[Row]]:
    """The tables of results/NAME.json, none where there is no such file."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text())["tables"] if path.exists() else {}


def _in_words(here: dict[str, Any]) -> str:
    versions = ", ".join(f"{package} {version}" for package, version in here["versions"].items())
    return (
        f"{here['cpu']}, {here['cores']} cores, {here['memory_gb']} GB, {here['system']}; "
        f"Python {here['python']}, {versions}; {here['date']}"
    )


def _markdown(rows: list[Row]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "" if value is None else str(value)


def _field(path: Path, key: str) -> str | None:
    if not path.exists():
        return None
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == key), None)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
