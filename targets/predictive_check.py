"""Whether functions of a model's data give what can be drawn, weighed and labelled: looked at once, at a few points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from targets.arguments import did_you_mean
from targets.counted_twice import check_counted_once
from targets.distributions import drawing_from
from targets.labels import check_name
from targets.predictive import Predictive
from targets.user_errors import axis_of, note_call

# of a point, and seeds: a coin that falls alike for all copies, and otherwise for all of them with another seed, is one
COPIES, SEEDS = 16, 8

Values = Mapping[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def _generator(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def check_model(model: Predictive, values: Values) -> None:
    """Look at the functions of a model at a few points, and tell it the shapes that they give.

    An error that names the argument for what cannot be used.
    """
    argument = model.argument if model.predicts else "pointwise"
    try:
        if model.predicts:
            model.shapes, model.random = check_draws(model, values)
            if not model.by_pointwise:
                check_observed(model)
        if model.has_terms:
            argument = "pointwise" if model.by_pointwise else argument
            model.term_shapes, model.given = check_terms(model, values), model.names_given(values)
        if model.predicts and model.by_pointwise:
            check_observed(model)
            check_counted_once(model)
    except Exception as error:
        note_call(error, argument, values, axis_of(model.batched))
        raise


def check_draws(model: Predictive, values: Values) -> tuple[Shapes, frozenset[str]]:
    """The shapes of one draw by name, and which are random; an error where a draw is not one of its own parameters."""
    n = len(next(iter(values.values())))
    drawn = model.draw(values, _generator(0))
    for name, value in drawn.items():
        _check_draw(model, name, value, n)
        if not model.later:
            _check_dtype(model.of(name), value, values)
    copies = {name: value[:1].expand(COPIES, *value.shape[1:]) for name, value in values.items()}
    fixed = {name: value[:1].expand(COPIES, *value.shape[1:]) for name, value in drawn.items()}
    random = _differ(model, [model.draw(copies, _generator(seed)) for seed in range(SEEDS)])
    model.draws_itself = _differ(model, [_described(model, copies, fixed, seed) for seed in range(SEEDS)])
    if model.batched and n > 1:
        rows = [_described(model, _row(values, i), _row(drawn, i), 0) for i in range(n)]
        whole = _described(model, values, drawn, 0)
        _check_rows(model.of, {name: whole[name] for name in whole.keys() - model.draws_itself}, rows)
    return {name: tuple(value.shape[1:]) for name, value in drawn.items()}, random


def _differ(model: Predictive, by_seed: list[dict[str, Tensor]]) -> frozenset[str]:
    """What differs from seed to seed, of copies of a point; ValueError where all copies share their numbers."""
    random = set()
    for name, first in by_seed[0].items():
        others = [one[name] for one in by_seed[1:]]
        if all(_same(first, other) for other in others):
            continue
        random.add(name)
        alike = torch.stack([(one == one[:1]).all(0) for one in (first, *others)]).all(0)
        changed = torch.stack([one[0] != first[0] for one in others]).any(0)
        if bool((alike & changed).any()):
            raise ValueError(
                f"{model.of(name)}: has random numbers that all draws share; expected numbers of its own for each: "
                "make them of shape (batch, ...), or return a torch distribution"
            )
    return frozenset(random)


def _described(model: Predictive, values: Values, at: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Laws by their log-density at data (n, ...), and tensors as they are; random numbers of the function seeded."""
    with torch.no_grad(), drawing_from(_generator(seed), next(iter(values.values())).device):
        if model.batched:
            return dict(_densities(model, values, at, (len(next(iter(values.values()))),)))
        count = range(len(next(iter(values.values()))))
        rows = [dict(_densities(model, _point(values, i), _point(at, i), ())) for i in count]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _densities(
    model: Predictive, values: Values, at: Mapping[str, Tensor], batch: tuple[int, ...]
) -> Iterator[tuple[str, Tensor]]:
    for name, law in model.laws(values).items():
        if not isinstance(law, Distribution):
            yield name, law
            continue
        # what can be drawn from and no more has no density to look at
        with suppress(NotImplementedError):
            yield name, model.over_data(name, law, batch).log_prob(at[name])


def check_observed(model: Predictive) -> None:
    """ValueError for data that no function of the model speaks of, with both lists of names."""
    spoken = dict.fromkeys([*model.shapes, *model.term_shapes])
    returned = [model.argument] if model.predicts else []
    returned += ["pointwise"] if model.by_pointwise else []
    for name in model.observed.keys() - spoken.keys():
        names = ", ".join(one or "a law without a name" for one in spoken)
        raise ValueError(
            f"observed: has the names {', '.join(model.observed)}, and {' and '.join(returned)} returned {names}: "
            f"nothing for {name!r}{did_you_mean(name, filter(None, spoken))} Return a dict from the names of "
            "the data to torch "
            "distributions, or give the log-likelihood of the rest by pointwise="
        )


def _check_draw(model: Predictive, name: str, value: Tensor, n: int) -> None:
    if name:
        check_name(name, model.argument)
    if value.is_complex():
        raise TypeError(f"{model.of(name)}: got {value.dtype}, expected real numbers")
    if value.shape[:1] != (n,):
        raise ValueError(
            f"{model.of(name)}: got shape {tuple(value.shape)} for {n} points, expected ({n}, ...): the first axis is "
            "the batch"
        )
    if name in model.observed and value.shape[1:] != model.observed[name].shape:
        raise ValueError(
            f"{model.of(name)}: got shape {tuple(value.shape)} for {n} points, expected "
            f"{(n, *model.observed[name].shape)}, the batch and then the shape of observed[{name!r}]"
        )


def _check_dtype(what: str, value: Tensor, values: Values) -> None:
    """TypeError for real numbers in another precision than the parameters', as of every other function of a model."""
    dtype = next(iter(values.values())).dtype
    if value.is_floating_point() and value.dtype != dtype:
        raise TypeError(
            f"{what}: got {value.dtype} for parameters in {dtype}, expected their dtype; convert the data that the "
            f"function closes over and the numbers of its laws, or pass dtype={value.dtype} to the target"
        )


def check_terms(model: Predictive, values: Values) -> Shapes:
    """The shapes of the terms of one draw, by name."""
    n = len(next(iter(values.values())))
    terms = model.terms(values)

    def of(name: str) -> str:
        return f"the terms of {name!r}"

    if not terms:
        raise ValueError(
            f"{model.argument}: returned {', '.join(model.shapes)} as tensors, which have no density; the names "
            f"observed are {', '.join(model.observed)}: return torch distributions by these names, or give their "
            "log-likelihood by pointwise="
        )
    for name, term in terms.items():
        check_name(name, "pointwise")
        if term.shape[:1] != (n,) or not term.is_floating_point():
            raise ValueError(
                f"pointwise: {of(name)} have shape {tuple(term.shape)} in {term.dtype} for {n} points, expected real "
                f"numbers ({n}, ...): the first axis is the batch"
            )
        _check_dtype(
            f"{model.argument if name in model.shapes and not model.by_pointwise else 'pointwise'}: {of(name)}",
            term,
            values,
        )
        if name in model.observed:
            _check_one_a_datum(model, name, term, n)
    if model.batched and n > 1:
        _check_rows(of, terms, [model.terms(_row(values, i)) for i in range(n)])
    return {name: tuple(term.shape[1:]) for name, term in terms.items()}


def _check_one_a_datum(model: Predictive, name: str, term: Tensor, n: int) -> None:
    """One for each observation, whose axes are the first ones of the data; of a joint law of all there is one."""
    shape, mine = tuple(model.observed[name].shape), tuple(term.shape[1:])
    joint = model._pointwise is None and not mine
    if shape[: len(mine)] != mine or (shape and not mine and not joint):
        summed = ": are they summed over the observations?" if not mine else ""
        raise ValueError(
            f"pointwise: the terms of {name!r} have shape {tuple(term.shape)} for {n} points, expected {(n, *shape)}, "
            f"one for each of observed[{name!r}]{summed}"
        )


def check_sum(model: Predictive, values: Values, log_likelihood: Callable[[], Tensor]) -> None:
    """ValueError where the terms do not sum to the log-likelihood (n,) that is given beside them."""
    total, given = model.log_likelihood(**values), log_likelihood()
    exact = 1e-6 if given.dtype == torch.float64 else 1e-3  # rounding in another order apart
    if torch.allclose(total.to(given), given, rtol=exact, atol=exact, equal_nan=True):
        return
    apart = (given - total).tolist()
    constant = max(apart) - min(apart) <= exact * max(1.0, float(given.abs().max()))
    raise ValueError(
        f"log_likelihood: gives {given.tolist()} at three points, where the terms of "
        f"{'pointwise' if model._pointwise is not None else model.argument} sum to {total.tolist()}: it is larger by "
        f"{apart}{', a constant that one of them leaves out' if constant else ''}. Give predictive= and observed= "
        "without log_likelihood=, which is then the sum of the terms. If the term of an observation is not its law's "
        "log_prob (censoring, truncation), return it under the same name, "
        f'pointwise=lambda ...: {{"{next(iter(model.observed), "y")}": terms}}; what the likelihood holds beside the '
        'data is a term of its own, pointwise=lambda ...: {"rest": ...}'
    )


def _row(values: Values, i: int) -> dict[str, Tensor]:
    return {name: value[i : i + 1] for name, value in values.items()}


def _point(values: Values, i: int) -> dict[str, Tensor]:
    return {name: value[i] for name, value in values.items()}


def _check_rows(of: Callable[[str], str], together: Mapping[str, Tensor], one_by_one: list[dict[str, Tensor]]) -> None:
    for name, value in together.items():
        for i, row in enumerate(one_by_one):
            single = row.get(name)
            if single is None or single.shape[1:] != value.shape[1:] or not _close(value[i], single[0]):
                raise ValueError(
                    f"{of(name)}: differ for {len(one_by_one)} points together and one by one; the function mixes its "
                    "batch axis with another. Index scalars as mu[:, None], or use batched=False"
                )


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.double(), other.double(), rtol=1e-3, atol=1e-3, equal_nan=True)


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.double(), other.double(), rtol=0, atol=0, equal_nan=True)
