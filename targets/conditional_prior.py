"""Priors that are functions of other parameters: `prior=lambda mu, tau: Normal(mu, tau)`.

The function is written for one point. Its density at a batch of points comes from one call with singleton axes between
the batch and the parameter where that gives the same numbers (the price of a prior that depends on nothing), and else
from `torch.func.vmap`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from targets.batch_axis import BatchAxis, candidates
from targets.coordinate_priors import in_coordinates
from targets.distributions import drawing_from, holds_other, moved_distribution, without_validation
from targets.linear_algebra import is_failure
from targets.parameter import Parameter, check_numbers, sum_after
from targets.user_arguments import taken_by
from targets.user_errors import OUTSIDE, axis_of, explained, note_call, shapes_of
from targets.user_function import copies, no_validation


class ConditionalPrior:
    """The prior of the parameter `key`, a kind with `conditional`, given the values of its parents by name.

    parents: the parameters that the function takes. Values are (n, *shape) throughout, coordinates u (n, size).
    """

    def __init__(self, key: str, kinds: Mapping[str, Parameter]) -> None:
        self.key, self.kind, self.argument = key, kinds[key], f"parameters[{key!r}]: prior"
        function = self.kind.conditional
        assert function is not None
        self.function: Callable[..., Any] = function
        self.parents = taken_by(function, kinds, self.argument)
        if not self.parents:
            raise TypeError(f"{self.argument}: takes no other parameter; give the distribution that it returns")
        self.axis: BatchAxis | None = None  # of a call for all points at once, if there is one that gives the same
        self.event: tuple[int, ...] = ()  # the last axes of its shape that are one event of the law
        self.place: tuple[torch.dtype, torch.device] | None = None  # where its numbers are put, if they are elsewhere

    def to(self, dtype: torch.dtype, device: torch.device) -> ConditionalPrior:
        """The same with its numbers in another dtype and place."""
        moved = copy.copy(self)
        moved.place = (dtype, device)
        return moved

    # The law at given values

    def _law(self, parents: Mapping[str, Tensor]) -> Distribution:
        law = self.function(**copies(parents))
        return law if self.place is None else moved_distribution(law, *self.place)

    def _in_coordinates(self, law: Distribution) -> Distribution | None:
        return in_coordinates(law, self.kind.transform, numbers=False)

    # Density

    def log_prob(self, u: Tensor, value: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        """Log-density with respect to u given the others, (n,)."""
        if not len(u):
            return u.sum(-1)
        parents = {name: values[name] for name in self.parents}
        with no_validation():
            if self.axis is None:
                found = torch.func.vmap(self._log_prob_at_one)(u, value, parents)
            else:
                found = self._log_prob_at_once(u, value, parents, self.axis)
        return found.to(u.dtype)

    def _log_prob_at_once(self, u: Tensor, value: Tensor, parents: Mapping[str, Tensor], axis: BatchAxis) -> Tensor:
        law = self._law(axis.called_with(parents))
        in_u = self._in_coordinates(law)
        if in_u is None:
            return sum_after(axis.back(law.log_prob(axis.own(value))), 1) + self.kind.log_det(u, value)
        return sum_after(axis.back(in_u.log_prob(axis.own(self.kind.source(u)))), 1)

    def _log_prob_at_one(self, u: Tensor, value: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        law = self._law(parents)
        return self.kind.log_law(law, self._in_coordinates(law), u, value)

    # Draws

    def sample_coordinates(self, values: Mapping[str, Tensor], n: int, generator: Generator) -> Tensor:
        """Coordinates (n, size) of draws, one for each point of the others' values."""
        parents = {name: values[name] for name in self.parents}
        with drawing_from(generator), no_validation():
            if self.axis is None or not n:
                return self._one_by_one(parents, n)
            return self._drawn_at_once(parents, n, self.axis)

    def _drawn_at_once(self, parents: Mapping[str, Tensor], n: int, axis: BatchAxis) -> Tensor:
        law = self._law(axis.called_with(parents))
        law = law.expand(torch.Size(axis.shape(n, self._leading(law))))
        in_u = self._in_coordinates(law)
        if in_u is None:
            return self.kind.unconstrain(axis.back(law.sample()))
        return axis.back(in_u.sample()).reshape(n, self.kind.size)

    def _one_by_one(self, parents: Mapping[str, Tensor], n: int) -> Tensor:
        first = next(iter(parents.values()))
        drawn = [self._drawn(self._on_shape(self._law({name: v[i] for name, v in parents.items()}))) for i in range(n)]
        return torch.stack(drawn) if drawn else first.new_empty(0, self.kind.size)

    def _drawn(self, law: Distribution) -> Tensor:
        """Coordinates (size,) of a draw."""
        in_u = self._in_coordinates(law)
        return self.kind.unconstrain(law.sample()) if in_u is None else in_u.sample().reshape(self.kind.size)

    def _leading(self, law: Distribution) -> tuple[int, ...]:
        """The axes of the shape along which draws of a law are independent."""
        return self.kind.shape[: len(self.kind.shape) - len(law.event_shape)]

    def _on_shape(self, law: Distribution) -> Distribution:
        """The law of the whole parameter at one point."""
        if law.batch_shape + law.event_shape == self.kind.shape:
            return law
        return law.expand(torch.Size(self._leading(law)))

    # Checks

    def check(self, u: Tensor, values: Mapping[str, Tensor]) -> None:
        """One clear error for a function that gives no prior of this parameter at some points, values of all by name.

        With the checks of torch.distributions on. What is found here is how the density is evaluated from now on.
        """
        parents = {name: values[name].detach() for name in self.parents}
        good, apart, failure = [], [], None
        for i in range(len(u)):
            try:
                apart.append(self._checked(u[i], values[self.key][i], {name: v[i] for name, v in parents.items()}))
                good.append(i)
            except Exception as error:
                if not is_failure(error):
                    raise
                failure = error
        if failure is not None and not good:
            raise failure
        self._choose_form(u[good], values[self.key][good], {k: v[good] for k, v in parents.items()}, torch.stack(apart))

    def _checked(self, u: Tensor, value: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """The log-density at one point, where all is looked at."""
        try:  # as it is called for a score
            law = self.function(**copies({name: value.clone().requires_grad_() for name, value in parents.items()}))
        except Exception as error:
            better = None if is_failure(error) else explained(error, self.argument, u, advice=_ADVICE)
            said = error if better is None else better
            note_call(said, self.argument, parents, axis_of(batched=False))
            if better is None:
                raise
            raise better from error
        if not isinstance(law, Distribution):
            raise TypeError(
                f"{self.argument}: returned {type(law).__name__}, expected a torch.distributions.Distribution such as "
                "Normal(mu, tau)"
            )
        check_numbers(law, self.argument)
        law = without_validation(self.function(**copies(parents)))
        drawn, shape, event = tuple(law.batch_shape + law.event_shape), self.kind.shape, tuple(law.event_shape)
        self.event = event
        lined_up = (1,) * (len(shape) - len(drawn)) + drawn
        if (
            len(lined_up) != len(shape)
            or any(a not in (1, b) for a, b in zip(lined_up, shape, strict=True))
            or (event != shape[len(shape) - len(event) :])
        ):
            raise ValueError(
                f"{self.argument}: at one point ({shapes_of(parents)}) its {type(law).__name__} draws shape {drawn}, "
                f"expected {shape}, or what broadcasts to it"
            )
        if holds_other(law, u.dtype, u.device):
            self.place = (u.dtype, u.device)
            law = moved_distribution(law, *self.place)
        self.kind.with_prior(self._on_shape(law)).check_prior(f"parameters[{self.key!r}]", Generator().manual_seed(0))
        with no_validation():
            found, again = (self._log_prob_at_one(u, value, parents).to(u.dtype) for _ in range(2))
        if not _same(found, again):
            raise ValueError(
                f"{self.argument}: is random: at the same point ({shapes_of(parents)}) its log-density is "
                f"{found.item():.6g} and then {again.item():.6g}; expected one law for the same values"
            )
        return found

    def _choose_form(self, u: Tensor, value: Tensor, parents: Mapping[str, Tensor], apart: Tensor) -> None:
        """One call for all points where it gives what each point by itself does, else vmap.

        Batches of several lengths are tried, so that none is taken for another axis by its length.
        """
        for axis in candidates(self.kind.shape, self.event):
            try:
                fits = all(self._fits(axis, u[:n], value[:n], parents, apart[:n]) for n in range(1, len(u) + 1))
            except Exception:  # such as an index that met the batch axis
                continue
            if fits:
                self.axis = axis
                return
        try:
            together = self.log_prob(u, value, parents)
        except Exception as error:
            better = explained(error, self.argument, u, advice=_ADVICE)
            raise error if better is None else better from error
        if not _same(together, apart):
            raise ValueError(
                f"{self.argument}: gives log-densities {together.tolist()} at points together and {apart.tolist()} at "
                "the same points one by one; expected a function of torch operations on its arguments"
            )

    def _fits(self, axis: BatchAxis, u: Tensor, value: Tensor, parents: Mapping[str, Tensor], apart: Tensor) -> bool:
        """Whether one call for n points gives their log-densities `apart`, and draws."""
        n = len(u)
        parents = {name: found[:n] for name, found in parents.items()}
        with no_validation(), drawing_from(Generator().manual_seed(0)):
            same = _same(self._log_prob_at_once(u, value, parents, axis), apart)
            return same and self._drawn_at_once(parents, n, axis).shape == u.shape


_ADVICE = OUTSIDE


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two log-densities differ by rounding in another order alone."""
    limit = 1000 * torch.finfo(other.dtype).eps
    return one.shape == other.shape and torch.allclose(one.to(other), other, rtol=limit, atol=limit, equal_nan=True)
