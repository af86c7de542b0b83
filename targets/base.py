"""The base of every density: an unnormalised log-density and what is exactly known about it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn, Self

import torch
from torch import Generator, Tensor

from targets.arguments import check_dtype, check_integer, with_shapes
from targets.noise import Noise
from targets.way_to_truth import FOUND, way_to_truth

KNOWLEDGE = (
    "log_z",
    "sample",
    "smoothed",
    "sample_given",
    "modes",
    "mode_weights",
    "mean",
    "covariance",
    "moments",
    "prior",
)


@dataclass(frozen=True)
class Variable:
    """A named quantity of a target: its shape for one draw, and its dimension names and labels for ArviZ.

    shape: () by default. dims: a name an axis; None numbers them. coords: labels by dim, none by default.

        >>> targets.Variable((2,), dims=("side",), coords={"side": ["left", "right"]}).shape
        (2,)
    """

    shape: tuple[int, ...] = ()
    dims: tuple[str, ...] | None = None
    coords: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Moments:
    """Exact mean and standard deviation of one variable, each of the variable's shape.

    mean, sd: tensors of that shape.

        >>> targets.Gaussian([1.0, 2.0], scale=3.0).moments["x"].sd
        tensor([3., 3.])
    """

    mean: Tensor
    sd: Tensor


class Target:
    """A density p(x) = exp(log_prob(x)) / Z on R^dim.

    Shapes: `log_prob` maps (*batch, dim) to (*batch,), `score` = grad log_prob maps (*batch, dim) to (*batch, dim).

    A subclass writes `log_prob`; the score then comes from automatic differentiation. A subclass that has the
    score in closed form overrides `log_prob_and_score`. What is exactly known (`log_z`, an exact sampler,
    Gaussian smoothing, modes, moments, the prior) is overridden as well; whatever is not raises
    NotImplementedError and is absent from `known`. Nothing is estimated.

    dim: of x. dtype: of what it computes in; None is torch's default dtype. device: None is the CPU. name: in tables,
    records and checkpoints; None is the class's. TypeError for a dtype that holds no real numbers, or too few of their
    digits.

        >>> class Laplace(targets.Target):
        ...     def log_prob(self, x):
        ...         return -x.abs().sum(-1)
        >>> target = Laplace(2)
        >>> target.score(torch.tensor([1.0, -3.0])), target.known
        (tensor([-1.,  1.]), frozenset())
    """

    discrete: ClassVar[bool] = False
    score_is_given: bool = False  # as a function of its own beside that of the density: the two may disagree

    def __init__(
        self,
        dim: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        self.dim = check_integer(dim, "dim")
        self.dtype = torch.get_default_dtype() if dtype is None else check_dtype(dtype)
        self._check_digits(self.dtype)
        self.device = torch.device("cpu" if device is None else device)
        self.name = type(self).__name__ if name is None else name

    # The density

    def log_prob(self, x: Tensor) -> Tensor:
        """Unnormalised log-density, (*batch, dim) -> (*batch,)."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob")

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density and its gradient from one evaluation; by automatic differentiation unless overridden."""
        return differentiate(self.log_prob, x, self.name)

    def score(self, x: Tensor) -> Tensor:
        """Gradient of the log-density, (*batch, dim) -> (*batch, dim)."""
        return self.log_prob_and_score(x)[1]

    @property
    def has_density(self) -> bool:
        """Whether `log_prob` is known; where only a score is, draws are recorded without "lp"."""
        return True

    # What is exactly known

    @property
    def known(self) -> frozenset[str]:
        """The names among `KNOWLEDGE` that this target states exactly."""
        known = {name for name in KNOWLEDGE if getattr(type(self), name) is not getattr(Target, name)}
        if {"mean", "covariance"} <= known and self.variables.keys() == {"x"}:
            known.add("moments")
        return frozenset(known - self._unknown)

    @property
    def _unknown(self) -> frozenset[str]:
        """Names that the class can state in general but this instance cannot."""
        return frozenset()

    @property
    def log_z(self) -> float:
        """Log of the normalising constant Z, the integral of exp(log_prob)."""
        self._raise_unknown("log_z")

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        """Independent exact draws, (n, dim)."""
        self._raise_unknown("sample")

    def smoothed(self, sigma: float | Noise) -> Target:
        """The law of x + sigma * xi with xi standard normal, or of x + noise; its Z is that of x."""
        self._raise_unknown("smoothed")

    def sample_given(self, y: Tensor, noise: float | Noise, *, generator: Generator) -> Tensor:
        """For every measurement y = x + noise, (n, dim), an exact draw of x given y, (n, dim)."""
        self._raise_unknown("sample_given")

    @property
    def modes(self) -> Tensor:
        """Centres of the modes, (modes, dim)."""
        self._raise_unknown("modes")

    @property
    def mode_weights(self) -> Tensor:
        """Probability that belongs to each mode, (modes,)."""
        self._raise_unknown("mode_weights")

    def mode_probabilities(self, x: Tensor) -> Tensor:
        """Share of each mode at each point, (*batch, dim) -> (*batch, modes): all of it to the nearest centre here.

        Centres that are equally near but for rounding share alike.
        """
        points, centres = x.reshape(-1, self.dim), self.modes.to(x)
        squares = torch.cdist(points, centres).square()
        rounding = points.square().sum(-1, keepdim=True) + centres.square().sum(-1).max()
        nearest = squares <= squares.min(-1, keepdim=True).values + 8 * torch.finfo(x.dtype).eps * rounding
        return (nearest / nearest.sum(-1, keepdim=True)).to(x.dtype).reshape(*x.shape[:-1], -1)

    @property
    def mean(self) -> Tensor:
        """Mean of x, (dim,)."""
        self._raise_unknown("mean")

    @property
    def covariance(self) -> Tensor:
        """Covariance of x, (dim, dim)."""
        self._raise_unknown("covariance")

    @property
    def moments(self) -> dict[str, Moments]:
        """Mean and standard deviation of every variable of `constrain`, by name."""
        if {"mean", "covariance"} <= self.known and self.variables.keys() == {"x"}:
            return {"x": Moments(self.mean, self.covariance.diagonal().sqrt())}
        return self._raise_unknown("moments")

    @property
    def prior(self) -> Target:
        """The normalised prior of a posterior, with an exact sampler."""
        self._raise_unknown("prior")

    def log_likelihood(self, x: Tensor) -> Tensor:
        """log_prob less the prior's, (*batch, dim) -> (*batch,), where a posterior can tell the two apart."""
        raise NotImplementedError(f"{self.name} has no likelihood apart from its log_prob")

    def log_likelihood_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The log-likelihood and its gradient; by automatic differentiation unless overridden."""
        return differentiate(self.log_likelihood, x, self.name)

    @property
    def has_likelihood(self) -> bool:
        """Whether `log_prob` is `prior.log_prob` plus `log_likelihood`."""
        return "prior" in self.known and type(self).log_likelihood is not Target.log_likelihood

    def _raise_unknown(self, name: str) -> NoReturn:
        raise NotImplementedError(
            f"{self.name}: {name} is not known exactly; known here: {sorted(self.known)}"
            + (way_to_truth(self) if name in FOUND else "")
        )

    # Names

    @property
    def variables(self) -> dict[str, Variable]:
        """The named variables that `constrain` returns."""
        return {"x": Variable((self.dim,))}

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        """Named, constrained variables, (*batch, dim) -> {name: (*batch, *shape)}."""
        return {"x": x}

    # Placement

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """A copy on another device or in another floating-point dtype; the target itself where nothing changes."""
        device = self.device if device is None else torch.device(device)
        dtype = self.dtype if dtype is None else check_dtype(dtype)
        if (device, dtype) == (self.device, self.dtype):
            return self
        self._check_digits(dtype)
        moved = copy.copy(self)
        moved.__dict__ = {
            name: value if name == "_exact" else _moved(value, device, dtype) for name, value in self.__dict__.items()
        }
        moved.device, moved.dtype = device, dtype
        moved._place()
        return moved

    def _check_digits(self, dtype: torch.dtype) -> None:
        """TypeError for a density in 16 bits; configurations of discrete targets are exact in any.

        Of a target around another one `discrete` is a property: the one within has been asked.
        """
        if type(self).discrete is False and torch.finfo(dtype).bits < 32:
            raise TypeError(
                f"dtype: got {dtype}, expected torch.float64 or torch.float32: in 16 bits the difference of two "
                "log-densities, by which points are accepted and weighted, has too few digits"
            )

    def _place(self) -> None:
        """Make the tensors that evaluation works with, in the present dtype and device, from `_exact` ones."""

    def _check(self, x: Tensor) -> None:
        if x.shape[-1:] != (self.dim,):
            raise ValueError(f"x: got shape {tuple(x.shape)}, expected (*batch, {self.dim}) for {self.name}")
        if not x.is_floating_point():
            raise TypeError(f"x: got {x.dtype}, expected floating-point numbers such as {self.dtype} for {self.name}")

    def __repr__(self) -> str:
        variables = self.variables
        if variables.keys() == {"x"}:
            return f"{self.name}(dim={self.dim})"
        return f"{self.name}(dim={self.dim}: {with_shapes(variables)})"


def differentiate(log_prob: Any, x: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Value and gradient of a batched log-density by one backward pass."""
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        value = log_prob(point)
        if not value.requires_grad:
            raise TypeError(
                f"{name}: the log-density is not differentiable with respect to x (its result has no gradient); "
                "expected a function of torch operations. Pass its gradient (`score=`, or `grad=` of `from_numpy`), "
                "or use what needs none: RandomWalkMetropolis(), or SMC(kernel=RandomWalkMetropolis()) and likewise "
                "AIS or ParallelTempering"
            )
        (gradient,) = torch.autograd.grad(value.sum(), point)
    return value.detach(), gradient


def _moved(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(device=device, dtype=dtype if value.is_floating_point() else None)
    if isinstance(value, Target):
        return value.to(device, dtype)
    if isinstance(value, Moments):
        return Moments(_moved(value.mean, device, dtype), _moved(value.sd, device, dtype))
    if isinstance(value, dict):
        return {key: _moved(item, device, dtype) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_moved(item, device, dtype) for item in value)
    return value
