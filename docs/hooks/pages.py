"""Files of the site that stand outside docs/: the examples, the notebooks, the tables of benchmarks/results,
CONTRIBUTING.md.

In the repository the pages link to these files; on the site each is a page of its own (a notebook: a file to download),
and the links lead there. Pictures beside the tables come along. An entry of the nav that ends in `/*` becomes the pages
of that folder.
"""

import ast
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(\.\./([^)#\s]+)(#[^)\s]*)?\)")


def sources() -> dict[str, Path]:
    """The files outside docs/, by their path on the site."""
    found = {"contributing.md": ROOT / "CONTRIBUTING.md"}
    found |= {f"examples/{path.stem}.md": path for path in (ROOT / "examples").glob("*.py")}
    found |= {f"examples/notebooks/{path.name}": path for path in (ROOT / "examples/notebooks").glob("*.ipynb")}
    for suffix in (".md", ".png"):
        found |= {f"benchmarks/{path.name}": path for path in (ROOT / "benchmarks/results").glob(f"*{suffix}")}
    return {place: path for place, path in sorted(found.items()) if not path.stem.endswith("-quick")}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in the folders of the nav."""
    config.nav = _filled(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file outside docs/."""
    for place, path in sources().items():
        content = _example(path) if path.suffix == ".py" else path.read_bytes()
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links that leave docs/ into links to the pages above."""
    if page.file.generated_by is not None:
        return markdown
    places = {path.relative_to(ROOT).as_posix(): place for place, path in sources().items()}
    up = "../" * page.file.src_uri.count("/")
    return LINK.sub(lambda link: f"]({up}{places[link[1]]}{link[2] or ''})" if link[1] in places else link[0], markdown)


def _filled(entry: object) -> object:
    if isinstance(entry, dict):
        return {title: _filled(below) for title, below in entry.items()}
    if not isinstance(entry, list):
        return entry
    filled = []
    for item in entry:
        if isinstance(item, str) and item.endswith("/*"):
            filled += [place for place in sources() if place.startswith(item[:-1]) and place.endswith(".md")]
        else:
            filled.append(_filled(item))
    return filled


def _example(path: Path) -> str:
    """A page that shows a script and, where docs/pictures has one of its name, what it draws."""
    text = path.read_text()
    picture = ROOT / "docs/pictures" / f"{path.stem}.png"
    said = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0]
    shown = f"\n![What {path.name} draws](../pictures/{picture.name})\n" if picture.exists() else ""
    return f"# {path.name}\n\n{said}\n\n    python examples/{path.name}\n{shown}\n```python\n{text}```\n"
