"""One cell of a comparison: a sampler on a target with a seed; run, measured, and written down."""

from __future__ import annotations

import json
import math
import pickle
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samplers.compare import measures
from samplers.compare.apart import JOB, ROW
from samplers.compare.budget import Budget, Spent, spend
from samplers.compare.filled import ENOUGH
from samplers.compare.shape import with_log_density
from samplers.draws import Cost, Draws, Sampler, SamplingWarning
from samplers.draws.places import whole
from samplers.draws.signature import taken_by
from targets import Target

DRAWS = "draws.nc"


@dataclass(frozen=True)
class Cell:
    """What a process needs to run it. truth: moments to compare with; distances: whether to measure them."""

    target_name: str
    sampler_name: str
    seed: int
    target: Target
    sampler: Sampler
    options: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    truth: measures.Truth | None = None
    distances: bool = True

    @property
    def key(self) -> tuple[str, str, int]:
        """What the cell is called."""
        return self.target_name, self.sampler_name, self.seed

    def draw(self) -> tuple[Draws, list[str], Cost]:
        """The draws, what their run has warned of, and what the search for its length has cost."""
        known = taken_by(self.sampler).names
        given = dict(self.options) | {"seed": self.seed} | ({"progress": False} if "progress" in known else {})
        said: dict[int, list[str]] = {}

        def once(options: Mapping[str, Any]) -> Draws:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", SamplingWarning)
                draws = self.sampler.sample(self.target, **options)
            texts = [str(one.message) for one in caught if issubclass(one.category, SamplingWarning)]
            said[id(draws)] = list(dict.fromkeys(texts))
            return draws

        spent = spend(once, self.sampler, given, self.budget) if self.budget else Spent(once(given), Cost())
        return spent.draws, said[id(spent.draws)], spent.search

    def run(self) -> tuple[dict[str, Any], Draws | None]:
        """The row, and the draws where there are any; a failure is a row with the error's text."""
        row: dict[str, Any] = {"target": self.target_name, "sampler": self.sampler_name, "seed": self.seed}
        draws = None
        try:
            draws, said, search = self.draw()
            row["warnings"] = said
            row |= {"budget_share": math.nan, "search_share": math.nan}
            if self.budget:
                row["budget_share"], row["search_share"] = map(self.budget.share, (draws.cost, search))
                share = row["budget_share"]
                if share < ENOUGH:
                    said.append(f"no length was found that uses more than {share:.0%} of the budget of {self.budget}")
            row |= measures.all_of(with_log_density(draws), self.truth, distances=self.distances)
            said += [f"{name} is not known: {why}" for name, why in row.get("unmeasured", {}).items()]
            row["error"] = ""
        except Exception as error:  # a cell's failure is its result
            row["error"] = f"{type(error).__name__}: {error}"
        return row, draws


def to_job(cell: Cell) -> bytes:
    """The cell as bytes; functions and classes that no other process can import go along by value."""
    import cloudpickle

    try:
        return pickle.dumps((sys.path, cloudpickle.dumps(cell)))
    except Exception as error:
        raise ValueError(
            f"{cell.target_name}, {cell.sampler_name}: cannot be sent to another process ({type(error).__name__}: "
            f"{error}); expected functions without open files, locks or generators in them"
        ) from error


def run_job(folder: Path) -> None:
    """Run the cell whose bytes are in the folder, and write its row and draws there; the row comes last."""
    places, job = pickle.loads((folder / JOB).read_bytes())
    sys.path += [place for place in places if place not in sys.path]
    cell: Cell = pickle.loads(job)
    row, draws = cell.run()
    if draws is not None:
        try:
            draws.save(folder / DRAWS)
        except Exception as error:
            row["error"] = row["error"] or f"{type(error).__name__}: {error}"
    with whole(folder / ROW) as partial:
        partial.write_text(json.dumps(row))
