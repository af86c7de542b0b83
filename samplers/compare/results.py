"""What a comparison has found: a row a cell, the draws behind it, what agrees, and the verdict in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from samplers.compare.agreements import Together, together
from samplers.compare.facts import Facts
from samplers.compare.published import AgainstPublished, Published, against_published
from samplers.compare.rows import has
from samplers.compare.store import Key, Store
from samplers.compare.verdict import Verdict, verdicts
from samplers.compare.witnesses import Examined
from samplers.draws import Draws
from targets import Target

if TYPE_CHECKING:
    import pandas as pd

FACTS = "targets"


class Results:
    """What is stored of a comparison, and what follows from it; its fields are explained at `Comparison`."""

    def __init__(self, store: Store, grid: Mapping[str, Any], targets: Mapping[str, Target] | None = None) -> None:
        self.store, self.grid = store, grid
        keys = [tuple(key) for key in grid["cells"]]
        self.rows = [store.saved_row(key) for key in keys]
        self.draws: Mapping[Key, Draws] = StoredDraws(store, keys, targets or {})
        self.facts = {name: Facts.load(store.folder / FACTS, name) for name in grid["targets"]}

    @cached_property
    def table(self) -> pd.DataFrame:
        """The rows as a data frame."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    @cached_property
    def agreements(self) -> dict[str, Together]:
        """Of every target that several samplers were run on: `agree`, and who disagrees on what; by the limit that the
        verdict goes by, with R-hat between them beside it.
        """
        return together(self.draws)

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """Of every target: which samplers to believe, and what is wrong with the others."""
        shaped = {row["target"] for row in self.rows if has(row, "shape_error_se")}
        # only where no shape is known do the samplers judge one another
        between = together(self.draws, [name for name in self.grid["targets"] if name not in shaped])
        return verdicts(self.rows, self.facts, between, self.examined)

    @cached_property
    def examined(self) -> dict[str, Examined]:
        """Of every target that witnesses were given for: which runs lack the mass around them."""
        return {name: Examined.from_record(one) for name, one in self.grid.get("witnesses", {}).items()}

    @property
    def beside(self) -> list[AgainstPublished]:
        """Published figures, where a suite has brought some, beside our best."""
        published = [Published(**one) for one in self.grid.get("published", ())]
        return against_published(self.rows, published, peers=self.grid.get("peers", ()))


class StoredDraws(Mapping[Key, Draws]):
    """Draws on disk by cell, read when they are asked for."""

    def __init__(self, store: Store, keys: Collection[Any], targets: Mapping[str, Target]) -> None:
        self._store = store  # whose temporary folder lives as long as this does
        self._paths = {tuple(key): path for key in keys if (path := store.draws_path(tuple(key))).exists()}
        self._targets = targets

    def __getitem__(self, key: Key) -> Draws:
        if key not in self._paths:
            there = [tuple(dict.fromkeys(names)) for names in zip(*self._paths, strict=True)] or [(), (), ()]
            raise KeyError(
                f"draws: got {key!r}, expected (target, sampler, seed) of a run that gave draws: targets {there[0]}, "
                f"samplers {there[1]}, seeds {there[2]}"
            )
        return Draws.load(self._paths[key], self._targets.get(key[0]))

    def __contains__(self, key: object) -> bool:
        return key in self._paths  # without reading it

    def __iter__(self) -> Iterator[Key]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)
