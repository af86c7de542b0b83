"""What a column of data may be: x (n,) -> u (n, size) on R^size with c (n,), as `transformations` in this folder says.

    Real           u = x                                        c = 0
    Positive       u = log x                                    c = -log x
    Bounded        u = logit((x - low) / (high - low))          c = log du/dx
    Categorical    u ~ N(0, I) given that u_x is the largest    c = -log q(u | x),   q = k N(u; 0, I) on the cell

Categories have no order. Their cells are {argmax u = x} (Hoogeboom et al. 2021), and with this noise categories of
equal probability make u standard normal, with no edge at all. An embedding by one-hot or bits of -1 and 1 without such
a cell has no density to speak of: what a model of it gives at t = 0 is no log-probability.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Generator, Tensor

from targets.arguments import check_integer, shown
from targets.end_transforms import IntervalTransform, PositiveTransform


class Column(ABC):
    """A kind of column: a frozen dataclass. size: the columns that it has in u. hint: what helps against bad values.
    random: it draws noise.

    A subclass writes `takes`, `encode`, `decode` and `domain`.

        >>> from samplers.generative import Categorical, Column
        >>> kind: Column = Categorical(3)
        >>> kind.size, kind.domain
        (3, 'one of 0, .., 2')
    """

    hint: ClassVar[str] = ""
    random: ClassVar[bool] = False

    @property
    def size(self) -> int:
        """The number of columns in u."""
        return 1

    @property
    @abstractmethod
    def domain(self) -> str:
        """What values are expected, for messages."""

    @abstractmethod
    def takes(self, x: Tensor) -> Tensor:
        """Which values x (n,) are such."""

    def learned(self, x: Tensor, shares: Tensor | None) -> Self:
        """The kind with what it takes from the training rows x (n,) of these weights, (n,) or None for equal ones."""
        del x, shares
        return self

    @abstractmethod
    def encode(self, x: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """u (n, size) and c (n,) of x (n,), all in float64."""

    @abstractmethod
    def decode(self, u: Tensor) -> Tensor:
        """x (n,) of u (n, size)."""


@dataclass(frozen=True)
class Real(Column):
    """Any number: u = x, and c = 0. It is what a column is where nothing else is said.

    c is zero: no Jacobian is needed.

        >>> from samplers.generative import Real
        >>> Real().domain
        'a finite number'
    """

    domain: ClassVar[str] = "a finite number"

    def takes(self, x: Tensor) -> Tensor:
        """All that are finite."""
        return x.isfinite()

    def encode(self, x: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """x."""
        return x[:, None], torch.zeros_like(x)

    def decode(self, u: Tensor) -> Tensor:
        """u."""
        return u[:, 0]


@dataclass(frozen=True)
class Positive(Column):
    """Positive numbers: u = log x, and c = -log x.

    The log-density of x is then exact, as far as that of u is.

        >>> from samplers.generative import Positive
        >>> Positive().encode(torch.tensor([1.0], dtype=torch.float64), None)
        (tensor([[0.]], dtype=torch.float64), tensor([-0.], dtype=torch.float64))
    """

    domain: ClassVar[str] = "a positive number"

    def takes(self, x: Tensor) -> Tensor:
        """Those above zero."""
        return (x > 0) & x.isfinite()

    def encode(self, x: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """log x."""
        u = x.log()
        return u[:, None], -u

    def decode(self, u: Tensor) -> Tensor:
        """exp(u)."""
        return PositiveTransform()(u[:, 0])


@dataclass(frozen=True)
class Bounded(Column):
    """Numbers between two ends: u = logit((x - low) / (high - low)), c = log du/dx.

    low, high: the ends, which no value may reach, since u is infinite there. Data that do reach an end have a
    probability of it, and no density; a wider interval, such as by 5% at either side, takes them in, and the density is
    then one on the wider interval. ValueError unless low < high, both finite.

        >>> from samplers.generative import Bounded
        >>> Bounded(0.0, 2.0).encode(torch.tensor([1.0], dtype=torch.float64), None)
        (tensor([[0.]], dtype=torch.float64), tensor([0.6931], dtype=torch.float64))
    """

    low: float
    high: float

    hint: ClassVar[str] = "; for data that reach an end give a wider interval"

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"low, high: got {shown(self.low)} and {self.high!r}, expected finite numbers, low < high")

    @property
    def domain(self) -> str:
        """Inside the ends."""
        return f"a number inside ({self.low:.6g}, {self.high:.6g})"

    def takes(self, x: Tensor) -> Tensor:
        """Those inside."""
        return (x > self.low) & (x < self.high)

    def encode(self, x: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """The logit."""
        interval = IntervalTransform(self.low, self.high)
        u = interval.inv(x)
        return u[:, None], -interval.log_abs_det_jacobian(u, x)

    def decode(self, u: Tensor) -> Tensor:
        """low + (high - low) sigmoid(u)."""
        return IntervalTransform(self.low, self.high)(u[:, 0])


@dataclass(frozen=True)
class Categorical(Column):
    """Integers from 0 to categories - 1 without an order: u ~ N(0, I) given that u_x is the largest of `categories`.

    c = -log categories - log N(u; 0, I). log p(u) + c has a mean over the noise that is a lower bound of log P(x),
    tight where the density of u is a multiple of the normal on each cell. Hoogeboom, Nielsen, Jaini, Forre and Welling
    2021, https://arxiv.org/abs/2102.05379, with a fixed noise.

    categories: how many, 2 or more.

        >>> from samplers.generative import Categorical
        >>> kind = Categorical(4)
        >>> u, c = kind.encode(torch.tensor([0.0, 3.0]).double(), torch.Generator().manual_seed(0))
        >>> u.shape, kind.decode(u)
        (torch.Size([2, 4]), tensor([0., 3.], dtype=torch.float64))
    """

    random: ClassVar[bool] = True

    categories: int

    def __post_init__(self) -> None:
        check_integer(self.categories, "categories", 2)

    @property
    def size(self) -> int:
        """One column for each category."""
        return self.categories

    @property
    def domain(self) -> str:
        """One of the categories."""
        return f"one of 0, .., {self.categories - 1}"

    def takes(self, x: Tensor) -> Tensor:
        """The integers below `categories`."""
        return (x >= 0) & (x < self.categories) & (x == x.round())

    def encode(self, x: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """Normal numbers, of which the largest and that of the category have changed places: by symmetry it is q."""
        shape = (len(x), self.categories)
        u = torch.randn(shape, generator=needed(generator), dtype=torch.float64, device=x.device)
        here, top = x.long()[:, None], u.argmax(-1, keepdim=True)
        largest, replaced = u.gather(-1, top), u.gather(-1, here)
        u = u.scatter(-1, top, replaced).scatter(-1, here, largest)
        log_q = math.log(self.categories) - 0.5 * (u.square() + math.log(2 * math.pi)).sum(-1)
        return u, -log_q

    def decode(self, u: Tensor) -> Tensor:
        """The largest."""
        return u.argmax(-1).to(u.dtype)


def needed(generator: Generator | None) -> Generator:
    """The generator of the noise; ValueError for None."""
    if generator is None:
        raise ValueError("generator: got None, expected one: ordinal and categorical columns are spread by noise")
    return generator


def shares_of(x: Tensor, shares: Tensor | None) -> Tensor:
    """The weights of the rows of x, (n,) in float64: equal ones for None."""
    return x.new_full((len(x),), 1 / len(x), dtype=torch.float64) if shares is None else shares
