import math

import numpy as np
import pytest
import torch
from scipy import stats

import targets

F64 = torch.float64
STDS = [1.0, math.sqrt(3), 3.0]


@pytest.mark.parametrize("std", STDS)
def test_density_is_the_product_of_the_neck_and_the_conditionals(std):
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=F64).numpy()
    expected = stats.norm(0, std).logpdf(x[:, 0])
    expected += stats.norm(0, np.exp(x[:, :1] / 2)).logpdf(x[:, 1:]).sum(-1)
    np.testing.assert_allclose(targets.Funnel(4, std).log_prob(torch.from_numpy(x)).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("std", STDS)
def test_exact_draws_have_the_neck_and_the_conditionals(std, generator):
    x = targets.Funnel(10, std, dtype=F64).sample(2000, generator=generator)
    assert stats.kstest((x[:, 0] / std).numpy(), "norm").pvalue > 1e-5
    assert stats.kstest((x[:, 1:] * torch.exp(-x[:, :1] / 2)).flatten().numpy(), "norm").pvalue > 1e-5


@pytest.mark.parametrize("std", STDS)
def test_the_mode_is_a_stationary_maximum(std):
    target = targets.Funnel(5, std, dtype=F64)
    assert target.score(target.modes).abs().max() < 1e-12
    near = target.modes + 1e-3 * torch.randn(50, 5, generator=torch.Generator().manual_seed(0), dtype=F64) * math.exp(
        -5
    )
    assert (target.log_prob(near) <= target.log_prob(target.modes)).all()


def test_a_plane_funnel_integrates_to_one():
    target = targets.Funnel(2, 1.0, dtype=F64)
    v = torch.arange(-9, 9, 0.05, dtype=F64)
    u = torch.arange(-9, 9, 0.05, dtype=F64)  # x = u exp(v / 2)
    grid = torch.cartesian_prod(v, u)
    x = torch.stack([grid[:, 0], grid[:, 1] * torch.exp(grid[:, 0] / 2)], -1)
    mass = (target.log_prob(x).exp() * torch.exp(grid[:, 0] / 2)).sum() * 0.05**2
    assert mass.item() == pytest.approx(1, abs=1e-12)


def test_moments_are_those_of_the_lognormal_variance():
    sd = targets.Funnel(10, 3.0, dtype=F64).moments["x"].sd
    assert sd.tolist() == pytest.approx([3.0] + [math.exp(9 / 4)] * 9)
