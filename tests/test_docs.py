"""The pages of docs/, run as printed: Python blocks in order, the commands of command.md, every link."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import seeded_bugs

import samplers
import targets
from samplers.cli import main

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
# the second runs as a notebook as well; README, an example or the command does much of the others
SLOW = {"tutorial_comparison.md", "tutorial_posterior.md"} | {
    f"{name}.md"
    for name in (
        "bridges",
        "compare",
        "diagnostics",
        "diffusion",
        "generative",
        "own_sampler",
        "random_fields",
        "smoothing",
    )
}
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")  # of a picture too
NEEDS = re.compile(r"# needs (\w+)")  # the first line of a block for those who have the package
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def blocks(page, language):
    """(line number, text) of each fenced block."""
    text = page.read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


def without_code(text):
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page):
    headings = re.findall(r"^#+ (.*)$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] if page.name in SLOW else []) for page in PAGES],
    ids=lambda page: page.relative_to(DOCS).as_posix(),
)
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning", "ignore:Estimated shape parameter of Pareto")
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": f"docs_{page.stem}"}
    for line, text in blocks(page, "python"):
        needed = NEEDS.match(text)
        if needed and importlib.util.find_spec(needed[1]) is None:
            continue
        # newlines in front, so that a traceback gives the line of the page
        exec(compile("\n" * line + text, str(page), "exec"), namespace)
    for name, value in list(namespace.items()):
        if name.startswith("test_"):
            value()


@EVERY_PAGE
def test_relative_links_lead_somewhere(page):
    for link in LINK.findall(without_code(page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(goal), f"{page.name}: {link}"


def test_links_that_leave_the_pages_lead_to_files_of_the_site():
    text = (DOCS / "hooks/pages.py").read_text()
    folders = set(re.findall(r'ROOT / "([^"]+)"\)\.glob', text))
    for page in PAGES:
        for link in LINK.findall(without_code(page.read_text())):
            path = (page.parent / link.partition("#")[0]).resolve()
            if link.startswith("../") and DOCS not in path.parents:
                place = path.relative_to(DOCS.parent)
                assert place.parent.as_posix() in folders or place.name == "CONTRIBUTING.md", f"{page.name}: {link}"


def test_every_page_is_in_the_index():
    linked = set(LINK.findall((DOCS / "index.md").read_text()))
    assert {page.relative_to(DOCS).as_posix() for page in PAGES} - {"index.md"} <= linked


def test_pictures_are_small_and_shown():
    shown = {(page.parent / link).resolve() for page in PAGES for link in LINK.findall(page.read_text())}
    for picture in (DOCS / "pictures").iterdir():
        assert picture in shown, picture.name
        assert picture.stat().st_size < 150_000, picture.name


def test_every_table_of_benchmarks_is_listed():
    linked = {(DOCS / link).resolve() for link in LINK.findall((DOCS / "benchmarks.md").read_text())}
    tables = set((DOCS.parent / "benchmarks/results").glob("*.md"))
    assert {table for table in tables if not table.stem.endswith("-quick")} <= linked


def test_figures_of_which_stand_in_the_tables_that_they_link_to():
    rows = [line for line in (DOCS / "which.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 10
    for row in rows[1:]:
        measured = row.split(" | ")[2]
        links = LINK.findall(measured)
        there = set(NUMBER.findall(" ".join((DOCS / link.partition("#")[0]).read_text() for link in links)))
        figures = set(NUMBER.findall(LINK.sub("", re.sub(r"`[^`]*`", "", measured))))
        assert links, row
        assert figures, row
        assert figures <= there, f"{sorted(figures - there)} of {row}"


def test_every_public_name_is_in_the_reference():
    pages = "".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    named = {tuple(name.split(".")) for name in re.findall(r"^::: (.*)$", pages, re.MULTILINE)}
    for package in (samplers, targets):
        missing = set(package.__all__) - {path[-1] for path in named if path[0] == package.__name__}
        assert not missing, f"docs/api has no ::: {package.__name__}. with {sorted(missing)}"


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_the_commands_run(tmp_path, monkeypatch, capsys):
    page = DOCS / "command.md"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(blocks(page, "python")[0][1])
    lines = [line for _, text in blocks(page, "sh") for line in text.splitlines()]
    assert {line.split()[1] for line in lines} == {"list", "sample", "fit", "cite", "compare", "report"}
    for line in lines:
        name, *arguments = shlex.split(line)
        assert name == "unnorm"
        assert main(arguments) == 0, capsys.readouterr().err
    assert (tmp_path / "line.nc").exists()
    assert {"table.csv", "index.html", "figures"} <= {path.name for path in (tmp_path / "compared").iterdir()}
    assert "R-hat" in capsys.readouterr().out


def test_nothing_is_left_out():
    kinds = {name: getattr(samplers, name) for name in samplers.__all__ if isinstance(getattr(samplers, name), type)}
    kernels = [
        name for name, kind in kinds.items() if issubclass(kind, samplers.Kernel) and kind is not samplers.Kernel
    ]
    page = (DOCS / "kernels.md").read_text()
    assert all(f"| `{name}` |" in page for name in kernels)

    kinds = {name: getattr(targets, name) for name in targets.__all__ if isinstance(getattr(targets, name), type)}
    parameters = [name for name, kind in kinds.items() if issubclass(kind, targets.Parameter)]
    page = (DOCS / "targets.md").read_text()
    assert all(f"| `{name}(" in page for name in parameters if name != "Parameter")

    page = (DOCS / "testing.md").read_text()
    listed = re.findall(r"^\| (.*?) \|", page.partition("## Mistakes that the kit rejects")[2], re.MULTILINE)[1:]
    named = [name for name in listed if not name.startswith("`")]
    assert set(named) <= set(seeded_bugs.KERNELS)
    assert len(named) > 15
