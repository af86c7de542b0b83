"""docs/columns.md, made from the list of columns: run this file after `samplers/compare/` has a new one."""

from pathlib import Path

from samplers.compare.described import as_markdown

PAGE = Path(__file__).parents[1] / "columns.md"
HEAD = """# The columns of a comparison

`result.table` of [`samplers.compare`](compare.md) is a pandas data frame with one row for each target, sampler and
seed. These are its columns. A number that a run or a target does not tell is NaN. The distances are missing with
`distances=False`, and columns that no run of a comparison has are missing too.

A standard error in "errors" is that of the draws and of the true value together. A share is a number from 0 to 1, nats
are natural logarithms. Which measures make a fault, and from where on, is said in
[the verdict](compare.md#the-verdict).

"""


def page() -> str:
    """The text of the page."""
    return HEAD + as_markdown()


if __name__ == "__main__":
    PAGE.write_text(page())
