"""The notebooks of examples/notebooks are their pages of docs/, and run as they are, without ipywidgets."""

import importlib.util
from pathlib import Path

import pytest

nbformat, nbclient = (pytest.importorskip(name) for name in ("nbformat", "nbclient"))
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "examples/notebooks"
SHOWN = {
    "tutorial_posterior": ["ess_bulk", "rate[Clemente]", "15 of 18 players", "HMC on varying rates"],
    "tutorial_kernel": ["invariance of first on Product FAILED", "invariance of second on Product passed"],
}

spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs/hooks/notebooks.py")
pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pages)


def test_there_is_one_for_each_page():
    assert {path.stem for path in NOTEBOOKS.iterdir()} == set(pages.PAGES) == SHOWN.keys()


@pytest.mark.parametrize("page", SHOWN)
def test_a_notebook_is_its_page(page):
    written = (NOTEBOOKS / f"{page}.ipynb").read_text()
    made = pages.notebook(page)
    nbformat.validate(made)
    assert written == nbformat.writes(made) + "\n", "run docs/hooks/notebooks.py"


@pytest.mark.filterwarnings("default")  # of Jupyter's own packages
@pytest.mark.parametrize("page", SHOWN)
def test_a_notebook_runs(page, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # beside other tests, spinning threads cost many times one
    notebook = nbformat.read(NOTEBOOKS / f"{page}.ipynb", 4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert all(output.output_type != "error" for output in outputs)
    results = [data for output in outputs for data in output.get("data", {}).values()]
    said = "".join([*results, *(output.text for output in outputs if output.output_type == "stream")])
    assert all(text in said for text in SHOWN[page])
    assert "IProgress" not in said


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("x = 1\nprint(x)  # one", "x = 1\nx"),
        ("print(\n    x\n)", "x"),
        ("print(x, y)", "print(x, y)"),
        ("print(x, end='')", "print(x, end='')"),
        ("x = print(x)", "x = print(x)"),
        ("print(x)\ny", "print(x)\ny"),
    ],
)
def test_what_a_block_prints_last_is_shown(code, shown):
    assert pages.shown(code) == shown
