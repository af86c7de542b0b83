"""The coordinates that a model sees its samples in: columns by their kinds, then standardised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Generator

from samplers.generative.columns import Column
from samplers.generative.data import Samples
from samplers.generative.regression import Regression
from samplers.generative.standardisation import Standardisation
from samplers.generative.transformations import Chain, Columns, Transformation
from targets import Gaussian, Noise

Standardise = Literal["scale", "whiten", "common", "none"]


def coordinates(
    train: Samples,
    generator: Generator,
    columns: Sequence[Column] | Transformation | None,
    standardise: Standardise,
    noise: Noise,
) -> tuple[Transformation, Gaussian, Regression | None]:
    """The coordinates of the training rows, the Gaussian of their moments there, and their regression on what they are
    given, None where they are given nothing. noise: N(0, C) of the process, which "common" measures the rows by: the
    number k that it divides by has k^2 = tr(C^-1 S) / dim, S the covariance of the rows."""
    parts: list[Transformation] = []
    seen = train
    if isinstance(columns, Transformation):
        parts.append(columns)
    elif columns is not None:
        parts.append(Columns(columns).learned(train.x, train.shares))
    if parts:
        seen = seen.seen(parts[0], generator)
    mean, covariance = seen.moments
    noise.check(len(mean), "process")
    whitened = Standardisation.of(mean, covariance)  # which says so where no density exists
    if standardise == "common":
        factor = (noise.solve(covariance).diagonal().mean().sqrt()).expand_as(mean).clone()
    else:
        factors = {"whiten": whitened.factor, "scale": covariance.diagonal().sqrt(), "none": torch.ones_like(mean)}
        factor = factors[standardise]
    parts.append(Standardisation(mean, factor))
    seen = seen.seen(parts[-1], generator)
    mean, covariance = seen.moments
    start = Gaussian(mean.to(train.x), covariance=covariance.to(train.x), name="samples")
    return Chain(parts), start, None if seen.given is None else Regression.of(seen)
