"""The report of a comparison: one page that opens offline, with its figures, the table and the draws beside it."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import quote

from samplers.compare.report.figures import pictures
from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.html import page
from samplers.compare.report.scene import scene_of
from samplers.compare.report.style import looks
from samplers.compare.results import Results
from samplers.compare.rows import by
from samplers.compare.store import Key, Store
from samplers.draws.places import as_file

__all__ = ["write_report"]

FIGURES = "figures"


def write_report(results: Results, folder: Path) -> Path:
    """Write index.html, figures/TARGET-FIGURE.png, table.csv, and the draws as cells/TARGET/SAMPLER/SEED.nc; returns
    the folder. The page holds its figures itself. In the folder of the comparison the draws stay where they are.
    """
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    results.table.to_csv(folder / "table.csv", index=False)
    links = {key: quote(_draws(results.store, key, folder)) for key in results.draws}
    seen = looks(list(by("sampler", results.rows)))
    shown: dict[str, list[Picture]] = {}
    for target in results.grid["targets"]:
        shown[target] = pictures(scene_of(results, target, seen))
        for one in shown[target]:
            (folder / _file(target, one)).write_bytes(one.png)
    files = {(target, one.kind): quote(_file(target, one)) for target, own in shown.items() for one in own}
    (folder / "index.html").write_text(page(results, shown, files, links), encoding="utf-8")
    return folder


def _file(target: str, picture: Picture) -> str:
    return f"{FIGURES}/{as_file(target)}-{picture.kind}.png"


def _draws(store: Store, key: Key, folder: Path) -> str:
    """The path of a cell's draws within the folder, where they are put if they are elsewhere."""
    source = store.draws_path(key)
    place = source.relative_to(store.folder)
    if folder.resolve() != store.folder.resolve():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / place)
    return place.as_posix()
