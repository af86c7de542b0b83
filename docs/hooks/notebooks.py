"""Notebooks of examples/notebooks, made from pages of docs/: run this file after one of PAGES has changed."""

import ast
import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "examples/notebooks"
PAGES = ("tutorial_posterior", "tutorial_kernel")
BLOCK = re.compile(r"^```python\n(.*?)^```$\n?", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(\[[^\]]*\]\()(?![a-z]+:|#)([^)\s]+\))")  # to another page


def notebook(page: str) -> nbformat.NotebookNode:
    """The page docs/PAGE.md with a cell for each block of Python; what a block prints last is shown as notebooks do."""
    pieces = BLOCK.split((ROOT / f"docs/{page}.md").read_text())
    cells = []
    for place, piece in enumerate(pieces):
        text = piece.strip("\n")
        if not text:
            continue
        if place % 2:
            cells.append(nbformat.v4.new_code_cell(shown(text), id=f"cell-{len(cells)}"))
        else:
            cells.append(nbformat.v4.new_markdown_cell(LINK.sub(r"\1../../docs/\2", text), id=f"cell-{len(cells)}"))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def shown(code: str) -> str:
    """The code, with its last line `value` where that is `print(value)`."""
    last = ast.parse(code).body[-1]
    call = last.value if isinstance(last, ast.Expr) else None
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != "print" or len(call.args) != 1 or call.keywords:
        return code
    lines = code.splitlines()
    return "\n".join([*lines[: last.lineno - 1], ast.get_source_segment(code, call.args[0]) or ""])


def main() -> None:
    """Write all of them."""
    NOTEBOOKS.mkdir(exist_ok=True)
    for page in PAGES:
        nbformat.write(notebook(page), NOTEBOOKS / f"{page}.ipynb")


if __name__ == "__main__":
    main()
