"""Samples as data: rows with weights, in a training and a validation part, in batches.

Weights are kept, and every batch is drawn in proportion to them, so that the mean of a loss over batches is its
weighted mean over the rows. Resampling once would do so too, but leaves copies of one row, which a split puts into
both parts: the validation loss would then be low for what is known by heart. For the same reason draws of Markov
chains are split by blocks of a chain, as neighbours, and copies after a rejection, are alike, and copies among
other draws, such as of particles that were resampled, stay together. Rows of a tensor are taken for independent ones.
Conditions, where there are some, go with their rows everywhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Generator, Tensor

from samplers.draws import Draws
from samplers.draws.points import INDEPENDENT, PARTICLES
from samplers.draws.weighted import in_proportion
from samplers.generative.columns import shares_of
from samplers.generative.conditions import check_finite, check_values
from samplers.generative.transformations import Transformation
from targets import Target
from targets.arguments import check_dtype, check_integer, shown
from targets.way_to_truth import way_to_truth

ROWS = 10_000
BLOCKS = 10  # of each chain


@dataclass(frozen=True, eq=False)
class Samples:
    """Rows x (n, dim) of which a model is learned.

    x: as said. shares: (n,) in float64, the normalised weights, or None for equal ones. groups: (n,) integers; rows
    that share one stay together in a split; None: each for itself. given: (n, c), what each row is given, or None.

        >>> from samplers.generative import Samples
        >>> generator = torch.Generator().manual_seed(0)
        >>> samples = Samples.of(targets.Gaussian([0.0, 1.0]), rows=100, generator=generator)
        >>> train, held = samples.split(0.1, generator)
        >>> train.x.shape, held.x.shape, train.batch(8, generator).shape
        (torch.Size([90, 2]), torch.Size([10, 2]), torch.Size([8, 2]))
    """

    x: Tensor
    shares: Tensor | None = None
    groups: Tensor | None = None
    given: Tensor | None = None

    @classmethod
    def of(
        cls,
        samples: Tensor | Draws | Target,
        *,
        given: Tensor | None = None,
        rows: int = ROWS,
        generator: Generator | None = None,
        constant: bool = False,
        few: bool = False,
    ) -> Samples:
        """From a tensor (n, dim), draws, by their weights where they have some, or a target with exact draws.

        given: conditions (n, c), one for each row; of draws in their order, or (chains, draws, c). rows, generator: of
        draws of a target. constant: columns may be, as ordinal ones that get noise. few: rows may be as few as they
        are, where no density is learned. Of draws it is x, in unconstrained coordinates, that is taken, and points
        without weight are left out. TypeError for anything else, and for integers; ValueError for another shape, values
        that are not finite, not more rows than dimensions (by the effective number of weighted ones), constant columns,
        weights that are none, and a target without exact draws or with conditions.
        """
        if isinstance(samples, Target):
            if given is not None:
                raise ValueError(f"given: got conditions beside the target {samples.name}, expected a tensor or draws")
            found = cls(_of_target(samples, rows, generator))
        elif isinstance(samples, Draws):
            found = _of_draws(samples, given)
        elif isinstance(samples, Tensor):
            found = cls(samples.detach(), given=None if given is None else _conditions(given, samples, 1))
        else:
            raise TypeError(
                f"samples: got {type(samples).__name__}, expected a tensor (n, dim), samplers.Draws or a target with "
                "exact draws"
            )
        found._check(constant, few)
        return found

    def _check(self, may_be_constant: bool, may_be_few: bool) -> None:
        x = self.x
        if x.ndim != 2 or 0 in x.shape:
            raise ValueError(f"samples: got shape {tuple(x.shape)}, expected (n, dim)")
        if not x.is_floating_point():
            raise TypeError(f"samples: got dtype {x.dtype}, expected a floating-point dtype; integers too as such")
        check_finite(x, "samples")
        if not may_be_few and self.effective <= x.shape[1]:
            number = f"{len(x)} rows" if self.shares is None else f"weights worth {self.effective:.3g} rows"
            raise ValueError(f"samples: got {number} in {x.shape[1]} dimensions, expected more rows than dimensions")
        if not may_be_constant:
            _check_varied(x, "samples", "no density exists")
        if self.given is not None:
            _check_varied(self.given, "given", "nothing is learned from it")

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """In another place and precision, which is that of x; None keeps what is."""
        x = self.x.to(device=device, dtype=None if dtype is None else check_dtype(dtype))
        shares, groups, given = (_moved(values, x) for values in (self.shares, self.groups, self.given))
        return replace(self, x=x, shares=shares, groups=groups, given=given)

    def seen(self, transformation: Transformation, generator: Generator) -> Self:
        """The rows in other coordinates, with noise where the transformation draws some."""
        return replace(self, x=transformation.seen(self.x, generator))

    def digest(self) -> str:
        """By which rows, weights and conditions are known again."""
        rows = hashlib.sha256()
        for values in (self.x, self.shares, self.given):
            if values is not None:
                rows.update(values.cpu().contiguous().numpy().tobytes())
        return rows.hexdigest()[:16]

    @property
    def effective(self) -> float:
        """The effective number of rows, 1 / sum of squared shares."""
        return float(len(self.x)) if self.shares is None else float(1 / self.shares.square().sum())

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (dim,) and covariance (dim, dim) by the weights, in float64."""
        x = self.x.double()
        shares = shares_of(x, self.shares)
        mean = shares @ x
        centred = x - mean
        return mean, (shares[:, None] * centred).mT @ centred

    def split(self, share: float, generator: Generator) -> tuple[Samples, Samples]:
        """Training and validation rows: groups, or rows, are drawn for the latter until they are this share of them.

        ValueError for a share that is not inside (0, 1), and where one part would be empty.
        """
        if not 0 < share < 1:
            raise ValueError(f"share: got {shown(share)}, expected a number inside (0, 1)")
        device = self.x.device
        groups = torch.arange(len(self.x), device=device) if self.groups is None else self.groups
        count = int(groups.max()) + 1
        held = max(1, round(share * count))
        if held >= count:
            raise ValueError(
                f"share: got {shown(share)} of {count} groups of rows, expected one that leaves some to train on"
            )
        out = torch.zeros(count, dtype=torch.bool, device=device)
        out[torch.randperm(count, generator=generator, device=device)[:held]] = True
        return self._rows(~out[groups]), self._rows(out[groups])

    def _rows(self, which: Tensor) -> Self:
        shares = None if self.shares is None else self.shares[which] / self.shares[which].sum()
        groups = None if self.groups is None else self.groups[which].unique(return_inverse=True)[1]
        return type(self)(self.x[which], shares, groups, None if self.given is None else self.given[which])

    def batch(self, size: int, generator: Generator) -> Tensor:
        """`size` rows, with replacement, in proportion to the weights; (size, dim)."""
        return self.pairs(size, generator)[0]

    def pairs(self, size: int, generator: Generator) -> tuple[Tensor, Tensor | None]:
        """The same with what these rows are given, (size, c)."""
        size = check_integer(size, "size")
        if self.shares is None:
            which = torch.randint(len(self.x), (size,), generator=generator, device=self.x.device)
        else:
            which = in_proportion(self._cumulative, size, generator)
        return self.x[which], None if self.given is None else self.given[which]

    @cached_property
    def _cumulative(self) -> Tensor:
        assert self.shares is not None
        return self.shares.cumsum(0)


def _check_varied(x: Tensor, argument: str, harm: str) -> None:
    constant = (x == x[0]).all(0)
    if bool(constant.any()):
        column = int(constant.nonzero()[0])
        raise ValueError(
            f"{argument}: column {column} is {float(x[0, column]):.6g} in every row, expected values that differ: "
            f"{harm}; leave it out"
        )


def _moved(values: Tensor | None, x: Tensor) -> Tensor | None:
    return None if values is None else values.to(x.device)


def _of_target(target: Target, rows: int, generator: Generator | None) -> Tensor:
    if "sample" not in target.known:
        raise ValueError(
            f"samples: got {target.name}, which has no exact draws; expected a target that has, or draws of a sampler"
            + way_to_truth(target)
        )
    if generator is None:
        raise ValueError("generator: got None, expected one: exact draws of a target are random")
    return target.sample(check_integer(rows, "rows"), generator=generator)


def _of_draws(draws: Draws, given: Tensor | None) -> Samples:
    x = draws.x.flatten(0, 1)
    y = None if given is None else _conditions(given, draws.x, 2)
    if draws.log_weights is None:
        markov = draws.attrs.get("kind") not in (INDEPENDENT, PARTICLES)
        return Samples(x, groups=_blocks(draws) if markov else _copies(draws, x), given=y)
    shares = draws.log_weights.reshape(-1).double().softmax(0)
    if not bool(shares.isfinite().all()):
        raise ValueError("samples: got log_weights that are not a number or infinite, expected some that are finite")
    kept = shares > 0
    return Samples(x[kept], shares[kept], _copies(draws, x[kept]), None if y is None else y[kept])


def _conditions(given: Tensor, x: Tensor, axes: int) -> Tensor:
    """(n, c) where x is, of as many as its rows, which have one axis, or two as draws have."""
    check_values(given, "given")
    rows = x.shape[:axes]
    if given.ndim == axes + 1 and given.shape[:axes] == rows:
        given = given.flatten(0, axes - 1)
    if given.ndim != 2 or not given.shape[1]:
        raise ValueError(f"given: got shape {tuple(given.shape)}, expected (n, c)")
    if len(given) != rows.numel():
        raise ValueError(f"given: got {len(given)} rows of conditions, expected {rows.numel()}, those of samples")
    return given.detach().to(x.device)


def _copies(draws: Draws, x: Tensor) -> Tensor | None:
    """Groups of equal rows; None where all differ, and for configurations, which are equal by themselves."""
    if draws.target is not None and draws.target.discrete:
        return None
    different, groups = x.unique(dim=0, return_inverse=True)
    return None if len(different) == len(x) else groups


def _blocks(draws: Draws) -> Tensor:
    """Of each Markov chain ten blocks of equal length."""
    chains, length = draws.x.shape[:2]
    count = min(BLOCKS, length)
    within = torch.arange(length, device=draws.x.device) * count // length
    return (torch.arange(chains, device=draws.x.device)[:, None] * count + within).flatten()
