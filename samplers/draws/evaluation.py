"""Functions of named values over all draws, some at a time: predictions, log-likelihoods of each observation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.draws.points import LOAD, PointSet
from targets.arguments import check_integer
from targets.parametrised import Parametrised
from targets.posterior import Posterior
from targets.predictive import ALONE, Predictive
from targets.predictive_check import check_model
from targets.sampling_warning import warn
from targets.user_function import no_validation
from targets.with_truth import without_truth

BLOCK = 1024  # points at once, as many as a long run has chains
BLOCK_BYTES = 2**24  # of results at once
MOST_BYTES = 2**31  # of results, unless thin= is given

Values = dict[str, Tensor]


def predict(
    draws: PointSet, fn: Any, *, seed: int, thin: int | None, block: int | None, batched: bool | None
) -> Values | Tensor:
    """See `Draws.predict`."""
    equal = _read(draws)
    model = _own(equal) if fn is None else _asked(equal, fn, batched)
    if not model.predicts:
        raise NotImplementedError(f"{_lacks(draws)} predictive=; give a function, draws.predict(fn){_or_load(draws)}")
    generator = Generator().manual_seed(seed)
    found = _over_draws(
        equal, model.wanted, lambda values: model.draw(values, generator), model.shapes, thin, block, "predict"
    )
    for name, value in found.items():
        if bad := int((~value.isfinite()).sum()) if value.is_floating_point() else 0:
            warn(f"{bad} of {value.numel()} predictions{f' of {name}' if name else ''} are not finite")
    return found.get(ALONE, found)


def evaluate(draws: PointSet, fn: Any, *, thin: int | None, block: int | None, batched: bool | None) -> Values | Tensor:
    """See `Draws.evaluate`."""
    equal = _read(draws)
    model = _asked(equal, fn, batched)
    if model.random:
        raise ValueError("fn: is random, or returns torch distributions; expected values. predict(fn, seed=) is for it")
    found = _over_draws(equal, model.wanted, model.values, model.shapes, thin, block, "evaluate")
    return found.get(ALONE, found)


def pointwise(draws: PointSet, *, thin: int | None = None, block: int | None = None) -> Values:
    """The log-likelihood of each observation, {name: (chains, draws, *shape)}."""
    equal = _read(draws)
    model = _own(equal)
    if not model.has_terms:
        raise NotImplementedError(
            f"{_lacks(draws)} log-likelihood of each observation; make it by Posterior(predictive=, observed=) "
            f"or Posterior(pointwise=){_or_load(draws)}"
        )
    return _over_draws(equal, model.wanted, model.terms, model.term_shapes, thin, block, "log_likelihood")


def _over_draws(
    draws: PointSet,
    names: list[str],
    function: Callable[[Values], Mapping[str, Tensor]],
    shapes: Mapping[str, tuple[int, ...]],
    thin: int | None,
    block: int | None,
    verb: str,
) -> Values:
    """function at all draws, values (n, *shape) to (n, ...), as (chains, draws, ...); shapes: of its results.

    At most `block` points at once, fewer where results are large: the memory that is taken beside the results is that
    of a block. ValueError where results would take more than 2 GiB and `thin` is not given.
    """
    every = 1 if thin is None else check_integer(thin, "thin")
    steps = range(0, draws.sizes[1], every)
    chains = len(draws.part(slice(0, 1)))
    row = 8 * sum(math.prod(shape) for shape in shapes.values())
    points = check_integer(BLOCK if block is None else block, "block")
    points = max(1, min(points, BLOCK_BYTES // max(row, 1)))
    size = row * chains * len(steps)
    if thin is None and size > MOST_BYTES:
        raise ValueError(
            f"{verb}: the results of {chains * len(steps)} draws take {size / 2**30:.1f} GiB; expected "
            f"thin={math.ceil(size / MOST_BYTES)} or more, to take one in so many, or thin=1 for all of them"
        )
    found: Values = {}
    together = max(1, points // chains)
    with torch.no_grad(), no_validation():
        for start in range(0, len(steps), together):
            stop = min(len(steps), start + together)
            values = named_values(draws, names, slice(steps[start], steps[stop - 1] + 1, every))
            parts = [function(dict(zip(values, split, strict=True))) for split in _split(values, points)]
            for name in parts[0]:
                part = torch.cat([one[name] for one in parts]).unflatten(0, (chains, stop - start))
                if name not in found:
                    found[name] = part.new_empty((chains, len(steps), *part.shape[2:]))
                found[name][:, start:stop] = part
    return found


def _split(values: Values, points: int) -> zip[tuple[Tensor, ...]]:
    return zip(*(value.split(points) for value in values.values()), strict=True)


def named_values(draws: PointSet, names: list[str], which: slice) -> Values:
    """Constrained values of some draws of every chain, (chains x some, *shape)."""
    target = draws.target
    if target is None:
        return {name: draws.constrained_points[name][:, which].flatten(0, 1) for name in names}
    x = draws.part(which).flatten(0, 1)
    if isinstance(target, Parametrised) and set(names) <= target.parameters.keys():
        found = target.parameter_values(x)  # without the work that derived quantities take
    else:
        found = target.constrain(x)
    return {name: found[name] for name in names}


def _read(draws: PointSet) -> PointSet:
    """The draws that are read, equally weighted."""
    if not draws.sizes[1]:
        raise ValueError("draws: there are none")
    return draws.unweighted()


def _own(draws: PointSet) -> Predictive:
    target = without_truth(draws.target)
    return target.predictive if isinstance(target, Posterior) else Predictive(None, ["x"])


def _asked(draws: PointSet, fn: Any, batched: bool | None) -> Predictive:
    """A function that is given now, looked at at up to three draws."""
    target = without_truth(draws.target)
    if batched is None:
        batched = target.predictive.batched if isinstance(target, Posterior) else True
    known = list(draws.constrained_points if target is None else target.variables)
    names = list(target.parameters) if isinstance(target, Parametrised) else known
    more = [name for name in known if name not in names]
    model = Predictive(fn, names, batched=batched, more=more, argument="fn", later=True)
    with torch.no_grad(), no_validation():
        values = named_values(draws, model.wanted, slice(0, None, max(1, draws.sizes[1] // 3)))
        check_model(model, {name: value[:: max(1, len(value) // 3)][:3] for name, value in values.items()})
    return model


def _lacks(draws: PointSet) -> str:
    return (
        "draws: came without a target, which would have the" if draws.target is None else f"{draws.target.name}: has no"
    )


def _or_load(draws: PointSet) -> str:
    return f", or {LOAD}" if draws.target is None else ""
