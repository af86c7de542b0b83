"""docs/columns.md names every column that a table has, and every column in it is one."""

import importlib.util
from pathlib import Path

import pytest
import torch
from compare_cases import Exact
from report_cases import KINDS, stored

import targets
from samplers.compare.budget import Budget
from samplers.compare.cell import Cell
from samplers.compare.columns import COLUMNS
from samplers.compare.described import described

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_every_column_is_described(tmp_path):
    given = {"modes": targets.GaussianMixture(torch.tensor([[-1.0], [1.0]]), scales=0.5)}
    kinds = {name: KINDS[name] for name in ("exact", "failed")}
    table = stored(tmp_path, given, kinds, draws=8, distances=True).table
    measured = set(table.columns) | {"search_share"}  # of a budget
    assert measured == set(described())
    assert set(COLUMNS) <= set(described())
    assert all(one.unit and one.meaning for one in described().values())


def test_a_row_of_a_run_has_no_other_columns():
    cell = Cell("g", "exact", 0, targets.Gaussian([0.0]), Exact(), budget=Budget(2000), distances=False)
    row, _ = cell.run()
    assert row["error"] == ""
    assert set(row) <= set(described()), set(row) - set(described())


def test_the_page_is_made_of_the_list():
    spec = importlib.util.spec_from_file_location("columns_page", DOCS / "hooks/columns.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    assert (DOCS / "columns.md").read_text() == hook.page(), "run docs/hooks/columns.py"
