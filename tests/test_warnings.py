"""Warnings stand at the line that the user wrote, whatever lies between."""

from __future__ import annotations

import warnings

import pytest
import torch

import samplers
import targets


def nowhere(x):
    """A density that fails away from the origin, so that every move diverges."""
    return torch.where(x.abs().sum(-1) < 1e-12, -x.square().sum(-1), torch.nan)


def diverging():
    samplers.RandomWalkMetropolis(1.0).sample(
        targets.LogDensity(nowhere, 2), chains=2, draws=5, warmup=0, init=torch.zeros(2, 2), progress=False
    )


def poor_weights():
    narrow = targets.Gaussian(torch.full((6,), 5.0), 0.05)
    wide = targets.Gaussian(torch.zeros(6), 3.0)
    samplers.AIS(samplers.MALA(0.01), wide, betas=2, unbiased=False).sample(narrow, draws=50, progress=False)


def short_chains():
    samplers.HMC().sample(targets.Gaussian(torch.zeros(2)), chains=2, draws=10, warmup=20, progress=False).summary()


@pytest.mark.parametrize("run", [diverging, poor_weights, short_chains])
def test_a_warning_names_the_line_of_the_user(run):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", samplers.SamplingWarning)
        run()
    said = [one for one in caught if issubclass(one.category, samplers.SamplingWarning)]
    assert said
    assert {one.filename for one in said} == {__file__}
