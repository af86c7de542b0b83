"""When a pilot describes its particles by a product of mixtures, and how it finds the blocks."""

from __future__ import annotations

import pytest
import torch

import targets
from samplers import SMC
from samplers.annealing.mixture_fit import halves
from samplers.annealing.pilot import find_base
from samplers.annealing.product_fit import blocks_of, dependence, expectation_maximisation, fit_product
from samplers.diffusion.product_refinement import refine_product
from targets.counting import Counted

F64 = torch.float64


def rings(n, generator):
    """Coordinates 0 and 2 on a circle: dependent, and not correlated; 1 and 3 independent."""
    angle = 6.283185307179586 * torch.rand(n, generator=generator, dtype=F64)
    x = torch.randn(n, 4, generator=generator, dtype=F64)
    noise = 0.1 * torch.randn(n, 2, generator=generator, dtype=F64)
    x[:, [0, 2]] = torch.stack([angle.cos(), angle.sin()], 1) + noise
    return x


def found(x, generator):
    families = torch.arange(len(x))
    return fit_product(x, families, halves(families, generator), generator)


def test_dependence_without_correlation_is_seen(generator):
    x = rings(1000, generator)
    assert [block.tolist() for block in blocks_of(dependence(x, 1000))] == [[0, 2], [1], [3]]


def test_independent_coordinates_show_none(generator):
    """At a chance of 1e-6 of any dependence, however heavy the tails."""
    x = torch.randn(500, 60, generator=generator, dtype=F64)
    x[:, :20] = x[:, :20].pow(5)
    assert len(blocks_of(dependence(x, 500))) == 60


def test_points_of_one_family_are_no_independent_evidence(generator):
    x = torch.randn(20, 5, generator=generator, dtype=F64).repeat_interleave(50, 0)
    assert len(blocks_of(dependence(x, 20))) == 5
    assert len(blocks_of(dependence(x, 1000))) < 5


def test_the_units_of_coordinates_change_nothing_but_units(generator):
    """By powers of two, so that the fits of both are equal to the last bit."""
    units = torch.tensor([1.0, 2.0**12, 2.0**-9], dtype=F64)
    x = torch.randn(2, 300, 3, generator=generator, dtype=F64) @ torch.randn(2, 3, 3, generator=generator, dtype=F64)
    seeded = [torch.Generator().manual_seed(1) for _ in range(2)]
    weights, means, covariances = expectation_maximisation(x, 2, seeded[0])
    others = expectation_maximisation(x * units, 2, seeded[1])
    assert torch.equal(others[0], weights)
    assert torch.equal(others[1], means * units)
    assert torch.equal(others[2], covariances * units[:, None] * units)
    assert torch.allclose(covariances, covariances.mT, rtol=1e-12, atol=0)


def test_blocks_stay_together_and_have_their_mixtures(generator):
    x = rings(3000, generator)
    q, held_out = found(x, generator)
    assert {tuple(sorted(row.tolist())) for group in q.blocks for row in group.index} == {(0, 2), (1,), (3,)}
    y = rings(3000, generator)
    log_q = q.log_prob(y)
    assert abs(float(log_q.mean()) - held_out) < 0.15
    alone = torch.stack([y[:, i].std().log() + 1.4189385 for i in range(4)]).sum()
    assert float(log_q.mean()) > -float(alone) + 0.5  # of Gaussians alone, which know nothing of the circle


def test_coupled_coordinates_have_no_product(generator):
    x = targets.benchmark("funnel10-std3").sample(1000, generator=generator).double()
    assert found(x, generator) is None
    assert found(targets.benchmark("gmm40-fab").sample(1000, generator=generator).double(), generator) is None


@pytest.mark.slow
def test_a_pilot_on_independent_wells_takes_the_product(generator):
    target = targets.SquareWell(16, 16, 4.0)
    base = find_base(SMC(), target, None, generator)
    assert base.product is not None
    assert "product" in base.density.name
    x = target.sample(4000, generator=generator)
    ratio = target.log_prob(x).double() - target.log_z - base.product.log_prob(x).double()
    assert float(ratio.mean()) < 0.5
    right = torch.stack([(base.product.sample(4000, generator=generator) > 0).double().mean(0)])
    assert ((right - 0.5).abs() < 0.1).all()


def test_pilots_on_coupled_targets_do_not(generator):
    root = torch.randn(6, 6, generator=generator, dtype=F64)
    covariance = root @ root.mT + 0.1 * torch.eye(6, dtype=F64)
    gaussian = targets.Gaussian(torch.zeros(6, dtype=F64), covariance=covariance)
    for target in (gaussian, targets.benchmark("gmm9")):
        assert find_base(SMC(), target, None, generator).product is None


@pytest.mark.slow
def test_a_refined_product_is_close_from_both_sides(generator):
    """Its weights come near those of the target, though the points that it began with had others."""
    target = targets.ManyWell(4, dtype=F64)
    x = target.sample(4000, generator=generator)
    lopsided = x[(x[:, 0] < 0) | (torch.rand(4000, generator=generator) < 0.4)]  # too much of the first left well
    q, _ = found(lopsided, generator)
    counted = Counted(target)
    refined = refine_product(q, lopsided, counted, generator)
    assert refined.near
    assert refined.gap < 0.1
    y = refined.mixture.sample(20_000, generator=generator)
    right = (y[:, 0::2] > 0).double().mean(0)
    start = (q.sample(20_000, generator=generator)[:, 0] > 0).double().mean()
    assert abs(float(right[0]) - target.right_well_mass) < 0.4 * abs(float(start) - target.right_well_mass)
    assert ((right[1:] - target.right_well_mass).abs() < 0.03).all()


@pytest.mark.slow
def test_a_mode_that_the_product_lacks_is_missed_by_the_points(generator):
    target = targets.ManyWell(3, dtype=F64)
    x = target.sample(4000, generator=generator)
    q, _ = found(x[x[:, 0] > 0], generator)
    refined = refine_product(q, x, target, generator)
    assert refined.missed > 0.1
    assert not refined.near
