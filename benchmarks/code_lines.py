"""Lines of code, without blank lines, comments and docstrings, by room; and those of the machinery that runs share.

python benchmarks/code_lines.py                 of the working tree
python benchmarks/code_lines.py REV [REV ...]   of commits, side by side
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tokenize
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORDLESS = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
# beginning, looping, stopping, saving and continuing: of chains, temperatures, levels, particles, training
SHARED = {
    "now": (
        *(f"runs/{name}.py" for name in ("job", "loop", "sampling", "checkpoint", "header", "interrupt", "progress")),
        "learning/job.py",
    ),
    "the runs themselves": (
        "runs/chains.py",
        "annealing/driver.py",
        "annealing/walk.py",
        "annealing/annealed_langevin.py",
        "particles/run.py",
        "smoothing/chain_run.py",
        "diffusion/fit.py",
    ),
    "before the rooms": (
        "chains.py",
        "chain_checkpoint.py",
        "checkpoint.py",
        "interrupt.py",
        "progress.py",
        "annealing/driver.py",
        "annealing/record.py",
        "annealing/annealed_langevin.py",
        "particles/run.py",
        "smoothing/chain_run.py",
        "diffusion/fit.py",
        "diffusion/record.py",
    ),
}


def code_lines(text: str) -> int:
    """Lines that hold a token which is no comment and no docstring."""
    words: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            words.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in WORDLESS:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - words)


def files(revision: str | None) -> dict[str, str]:
    """{path within the packages: text}."""
    if revision is None:
        paths = [path for package in ("samplers", "targets") for path in (ROOT / package).rglob("*.py")]
        return {str(path.relative_to(ROOT)): path.read_text() for path in paths}

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    names = git("ls-tree", "-r", "--name-only", revision, "samplers", "targets").split()
    return {name: git("show", f"{revision}:{name}") for name in names if name.endswith(".py")}


def counts(revision: str | None) -> Counter[str]:
    found = {name: code_lines(text) for name, text in files(revision).items()}
    rows: Counter[str] = Counter()
    for name, lines in found.items():
        package, _, rest = name.partition("/")
        rows[package] += lines
        room, slash, _ = rest.partition("/")
        rows[f"{package}/{room}" if slash else f"{package}/*.py"] += lines
    for what, names in SHARED.items():
        rows[f"machinery of runs: {what}"] = sum(found.get(f"samplers/{name}", 0) for name in names)
    return rows


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("revisions", nargs="*", metavar="REV")
    revisions: list[str | None] = command.parse_args().revisions or [None]
    columns = [counts(revision) for revision in revisions]
    width = max(len(name) for column in columns for name in column)
    print(" " * width, *(f"{revision or 'here':>10}" for revision in revisions))
    for name in sorted({name for column in columns for name in column}):
        print(f"{name:{width}}", *(f"{column[name]:>10}" for column in columns))


if __name__ == "__main__":
    main()
