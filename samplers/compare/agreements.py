"""Which samplers agree on which target: R-hat between them, over the draws of all seeds."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from samplers.diagnostics import Agreement, agreement
from samplers.diagnostics.agreement import PARTS
from samplers.draws import Draws


def agreements(draws: Mapping[tuple[str, str, int], Draws]) -> dict[str, Agreement]:
    """Of every target that two samplers or more were run on, from draws by (target, sampler, seed).

    Runs too short to be cut into PARTS chains of two are left out: they have no R-hat.
    """
    grouped: dict[str, dict[str, list[Draws]]] = {}
    for (target, sampler, _), one in draws.items():
        if one.x.shape[1] >= 2 * PARTS:
            grouped.setdefault(target, {}).setdefault(sampler, []).append(one.unweighted())
    return {
        target: agreement({sampler: pooled(runs) for sampler, runs in by_sampler.items()})
        for target, by_sampler in grouped.items()
        if len(by_sampler) > 1
    }


def pooled(runs: list[Draws]) -> Draws:
    """The chains of several runs side by side, as long as the shortest."""
    length = min(run.x.shape[1] for run in runs)
    return Draws(torch.cat([run.x[:, :length] for run in runs]), target=runs[0].target)


def in_words(found: Mapping[str, Agreement]) -> list[str]:
    """One line a target."""
    return [f"{target}: {one}" for target, one in found.items()]
