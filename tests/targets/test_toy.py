import math

import numpy as np
import pytest
import torch
from scipy import stats

import targets

F64 = torch.float64


def test_log_exponential_is_the_gumbel_density_reflected():
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    target = targets.LogExponential(3, dtype=F64)
    np.testing.assert_allclose(target.log_prob(x).numpy(), stats.gumbel_l.logpdf(x.numpy()).sum(-1), rtol=1e-12)


def test_log_exponential_has_the_moments_of_the_gumbel_law():
    moments = targets.LogExponential(2, dtype=F64).moments["x"]
    assert moments.mean.tolist() == pytest.approx([stats.gumbel_l.mean()] * 2)
    assert moments.sd.tolist() == pytest.approx([stats.gumbel_l.std()] * 2)


def test_draws_of_log_exponential_are_logs_of_exponentials(generator):
    x = targets.LogExponential(2, dtype=F64).sample(5000, generator=generator)
    for column in x.exp().numpy().T:
        assert stats.kstest(column, "expon").pvalue > 1e-5


@pytest.mark.parametrize(("scale", "curvature"), [(10.0, 0.03), (2.0, 0.5), (1.0, 0.0)])
def test_banana_is_a_gaussian_in_straightened_coordinates(scale, curvature, generator):
    target = targets.Banana(scale, curvature, dtype=F64)
    x = target.sample(5000, generator=generator)
    first, straight = x[:, 0] / scale, x[:, 1] - curvature * (x[:, 0] ** 2 - scale**2)
    assert stats.kstest(first.numpy(), "norm").pvalue > 1e-5
    assert stats.kstest(straight.numpy(), "norm").pvalue > 1e-5
    expected = stats.norm.logpdf(first.numpy()) - math.log(scale) + stats.norm.logpdf(straight.numpy())
    np.testing.assert_allclose(target.log_prob(x).numpy(), expected, rtol=1e-12)


def test_banana_has_the_published_spread():
    sd = targets.Banana(dtype=F64).moments["x"].sd
    assert sd.tolist() == pytest.approx([10.0, math.sqrt(1 + 2 * 0.03**2 * 1e4)])


@pytest.mark.parametrize("target", [targets.Banana(dtype=F64), targets.LogExponential(3, dtype=F64)], ids=repr)
def test_the_mode_is_the_maximum(target):
    assert target.score(target.modes).abs().max() < 1e-12
    around = target.modes + torch.randn(200, target.dim, generator=torch.Generator().manual_seed(0), dtype=F64)
    assert (target.log_prob(around) < target.log_prob(target.modes)).all()


@pytest.mark.parametrize(
    "target", [targets.Banana(2.0, 0.2, dtype=F64), targets.LogExponential(2, dtype=F64)], ids=repr
)
def test_the_density_integrates_to_one(target):
    first, second = torch.arange(-34, 16, 0.1, dtype=F64), torch.arange(-34, 40, 0.1, dtype=F64)
    mass = target.log_prob(torch.cartesian_prod(first, second)).exp().sum() * 0.1**2
    assert mass.item() == pytest.approx(1, abs=1e-9)
