"""What a model says of data: laws by name, whose draws are predictions and whose densities are the likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from targets.distributions import drawing_from
from targets.labels import check_name
from targets.named_function import NamedFunction
from targets.user_function import over_values

ALONE = ""  # the name of what a function returns by itself, in place of a dict
UNNAMED = "log_likelihood"  # the name of such terms, where there is not one observed name to take


class Predictive:
    """Data of a model by name, given its parameters.

        y ~ law(parameters),     log p(y | parameters) = sum of the terms,     a term an observation

    function: of the parameters, to a dict from names to torch distributions, or to tensors for quantities without a
    law; batch axis first, or `batched=False`: of one point. observed: the data, by the same names. pointwise: of the
    parameters, to terms (batch, *shape) or a dict of them, which replace log_prob at the observed data of their name,
    and join those of other names.
    names: of the parameters; more: of further values that the function may take, derived: of some that it may not.
    argument: for messages.
    later: whether it is asked of draws, after the run, and free to choose its precision.
    wanted: the names of values that the methods are to be given.

    A law that has one number where the data have many says that these are independent: Normal(mu[:, None], 1) of
    shape (batch, 1) beside y of (n,) is expanded to (batch, n). What the function draws from torch's global generator
    is seeded as its laws are, and the generator is left as it was.
    """

    def __init__(
        self,
        function: Any,
        names: Sequence[str],
        *,
        observed: Mapping[str, Any] | None = None,
        pointwise: Any = None,
        batched: bool = True,
        more: Sequence[str] = (),
        derived: Sequence[str] = (),
        argument: str = "predictive",
        later: bool = False,
    ) -> None:
        self.argument, self.batched, self.later = argument, batched, later
        self.observed = _read(observed)
        self._moved: dict[str, Tensor] = {}
        self._function = (
            None
            if function is None
            else NamedFunction(function, argument, (*names, *more), batched=batched, derived=derived)
        )
        self._pointwise = (
            None
            if pointwise is None
            else NamedFunction(pointwise, "pointwise", names, batched=batched, derived=derived)
        )
        wanted = [one.wanted for one in (self._function, self._pointwise) if one is not None]
        self.wanted = [name for name in (*names, *more) if any(name in taken for taken in wanted)] or [names[0]]
        self.shapes: dict[str, tuple[int, ...]] = {}  # of one draw; `check_model` finds them
        self.term_shapes: dict[str, tuple[int, ...]] = {}
        self.given: frozenset[str] = frozenset()  # the names of the terms that `pointwise` returns
        self.random: frozenset[str] = frozenset()  # of the predictions
        self.draws_itself: frozenset[str] = frozenset(["?"])  # of what the function returns, laws by their densities

    @property
    def predicts(self) -> bool:
        """Whether there is a function to draw from."""
        return self._function is not None

    def in_words(self) -> str:
        """The terms and where they are from, "time (law) + rest (pointwise)"."""
        return " + ".join(f"{name} ({'pointwise' if name in self.given else 'law'})" for name in self.term_shapes)

    @property
    def by_pointwise(self) -> bool:
        """Whether there is a function that returns terms."""
        return self._pointwise is not None

    @staticmethod
    def can_weigh(function: Any, observed: Any, pointwise: Any) -> bool:
        """Whether arguments give the log-likelihood of each observation."""
        return pointwise is not None or not (function is None or observed is None)

    @property
    def has_terms(self) -> bool:
        """Whether the log-likelihood of each observation is known, or to be looked for."""
        return self.can_weigh(self._function, self.observed or None, self._pointwise)

    # Draws

    def draw(self, values: Mapping[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """A prediction for each of values (n, *shape), {name: (n, ...)}; a function of one point is called n times."""
        first = next(iter(values.values()))
        with torch.no_grad(), drawing_from(generator, first.device):
            if self.batched:
                return {name: self._drawn(name, law, (len(first),)) for name, law in self.laws(values).items()}
            rows = [{name: value[i] for name, value in values.items()} for i in range(len(first))]
            drawn = [{name: self._drawn(name, law, ()) for name, law in self.laws(row).items()} for row in rows]
        if not drawn:
            return {name: first.new_empty((0, *shape)) for name, shape in self.shapes.items()}
        return {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}

    def values(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What a function that returns no laws gives at values (n, *shape), {name: (n, ...)}."""

        def alone(**row: Tensor) -> dict[str, Tensor]:
            found = self.laws(row)
            for name, value in found.items():
                if isinstance(value, Distribution):
                    raise TypeError(
                        f"{self.of(name)}: got a torch distribution, expected a tensor; predict draws from laws"
                    )
            return {name: value.clone() for name, value in found.items()}

        return alone(**values) if self.batched else over_values(alone)(**values)

    def _drawn(self, name: str, law: Any, batch: tuple[int, ...]) -> Tensor:
        return self.over_data(name, law, batch).sample() if isinstance(law, Distribution) else law.clone()

    def over_data(self, name: str, law: Distribution, batch: tuple[int, ...]) -> Distribution:
        """The law of all data of a name, independent where it is that of one."""
        shape = self.shape_of(name, law, batch)
        return law if shape == law.batch_shape else law.expand(torch.Size(shape))

    def laws(self, values: Mapping[str, Tensor]) -> dict[str, Any]:
        """What the function returns at values, distributions and tensors by name."""
        assert self._function is not None
        found = self._function(values)
        if isinstance(found, (Tensor, Distribution)):
            found = {ALONE: found}
        if not isinstance(found, Mapping):
            raise TypeError(
                f"{self.argument}: returned {type(found).__name__}, expected a dict from names to torch distributions "
                "or tensors"
            )
        for name, law in found.items():
            if not isinstance(law, (Tensor, Distribution)):
                raise TypeError(f"{self.of(name)}: got {type(law).__name__}, expected a torch distribution or a tensor")
        return dict(found)

    def of(self, name: str) -> str:
        """A result in messages."""
        return self.argument if name == ALONE else f"{self.argument}[{name!r}]"

    def shape_of(self, name: str, law: Distribution, batch: tuple[int, ...]) -> tuple[int, ...]:
        """The batch shape that a law is to have: its own, or where data are observed theirs, after the batch axis."""
        own = tuple(law.batch_shape)
        if name not in self.observed:
            return own
        y, events = self.observed[name], len(law.event_shape)
        inner = tuple(y.shape[: y.ndim - events])
        fits = tuple(y.shape[y.ndim - events :]) == tuple(law.event_shape) and y.ndim >= events
        mine = own[len(batch) :]
        aligned = inner[len(inner) - len(mine) :] if not self.batched else inner
        if not (
            fits
            and own[: len(batch)] == batch
            and len(mine) == len(aligned)
            and all(n in (1, m) for n, m in zip(mine, aligned, strict=True))
        ):
            advice = "; index scalars as mu[:, None], the first axis is the batch" if self.batched else ""
            raise ValueError(
                f"{self.of(name)}: got a law of batch shape {own} and event shape {tuple(law.event_shape)}, expected "
                f"one that fits {(*batch, *y.shape)}, as observed[{name!r}] has the shape {tuple(y.shape)}{advice}"
            )
        return (*batch, *inner)

    # The likelihood

    def terms(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Log-likelihood of each observation at values (n, *shape), {name: (n, ...)}.

        Random numbers of the function, which are those of other names, are the same ones in every call, so that the
        global generator is left alone.
        """
        first = next(iter(values.values()))
        with drawing_from(Generator().manual_seed(0), first.device) if self.draws_itself else nullcontext():
            if self.batched:
                return self._terms(values, 1)
            return over_values(lambda **row: self._terms(row, 0), random=True)(**values)

    def _terms(self, values: Mapping[str, Tensor], axes: int) -> dict[str, Tensor]:
        batch = next(iter(values.values())).shape[:axes]
        given = {} if self._pointwise is None else self._named(self._pointwise(values))
        found: dict[str, Tensor] = {}
        if self.predicts and not self.observed.keys() <= given.keys():
            for name, law in self.laws(values).items():
                if name in self.observed and name not in given and isinstance(law, Distribution):
                    self.shape_of(name, law, tuple(batch))
                    found[name] = law.log_prob(self._data(name, next(iter(values.values()))))
        return found | given

    def names_given(self, values: Mapping[str, Tensor]) -> frozenset[str]:
        """The names of the terms that `pointwise` returns, none without it."""
        if self._pointwise is None:
            return frozenset()
        at = values if self.batched else {name: value[0] for name, value in values.items()}
        return frozenset(self._named(self._pointwise(at)))

    def _named(self, terms: Any) -> dict[str, Tensor]:
        if isinstance(terms, Tensor):
            terms = {next(iter(self.observed)) if len(self.observed) == 1 else UNNAMED: terms}
        if not isinstance(terms, Mapping) or not all(isinstance(term, Tensor) for term in terms.values()):
            raise TypeError(
                f"pointwise: returned {type(terms).__name__}, expected a tensor (batch, n) or a dict of such by name"
            )
        return dict(terms)

    def _data(self, name: str, like: Tensor) -> Tensor:
        """What is observed, where the parameters are and in their dtype, whole numbers too."""
        held = self._moved.get(name, self.observed[name])
        if (held.dtype, held.device) != (like.dtype, like.device):
            held = self._moved[name] = self.observed[name].to(device=like.device, dtype=like.dtype)
        return held

    def log_likelihood(self, **values: Tensor) -> Tensor:
        """The sum of the terms at values (n, *shape), (n,)."""
        terms = self.terms(values).values()
        return torch.stack([term.flatten(1).sum(-1) if term.ndim > 1 else term for term in terms]).sum(0)


def _read(observed: Mapping[str, Any] | None) -> dict[str, Tensor]:
    """Data as tensors, by name."""
    if observed is None:
        return {}
    if not isinstance(observed, Mapping) or not observed:
        raise TypeError(f'observed: got {type(observed).__name__}, expected a non-empty dict such as {{"y": y}}')
    found = {}
    for name, value in observed.items():
        check_name(name, "observed")
        try:
            data = value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"observed[{name!r}]: got {type(value).__name__}, expected an array of numbers; "
                "number strings by numpy.unique(..., return_inverse=True)"
            ) from error
        if data.is_complex():
            raise ValueError(f"observed[{name!r}]: holds complex values, expected real numbers")
        if bool(data.isnan().any()):
            raise ValueError(
                f"observed[{name!r}]: {int(data.isnan().sum())} of {data.numel()} values are missing (nan), expected "
                "real numbers; leave these entries out, here and in what `predictive` returns (an index array of the "
                "observed entries), and predict them afterwards with draws.predict(fn)"
            )
        found[name] = data
    return found
