import pytest
import torch
from scipy import stats

import targets
from targets.base import differentiate

F64 = torch.float64


def factors():
    return (
        targets.SquareWell(1, 2, 4.0, dtype=F64),
        targets.Gaussian(torch.tensor([1.0], dtype=F64), torch.tensor(2.0, dtype=F64)),
        targets.LogExponential(2, dtype=F64),
    )


def test_density_and_score_are_those_of_the_parts():
    product = targets.Product(*factors())
    x = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0), dtype=F64)
    parts = x.split([2, 1, 2], -1)
    value, score = product.log_prob_and_score(x)
    torch.testing.assert_close(value, sum(f.log_prob(p) for f, p in zip(factors(), parts, strict=True)))
    torch.testing.assert_close(value, product.log_prob(x))
    torch.testing.assert_close(score, differentiate(product.log_prob, x, "")[1])


def test_log_z_adds_up_and_moments_are_joined():
    product = targets.Product(*factors())
    assert product.log_z == pytest.approx(sum(f.log_z for f in factors()))
    torch.testing.assert_close(product.mean, torch.cat([f.mean for f in factors()]))
    torch.testing.assert_close(product.covariance, torch.block_diag(*(f.covariance for f in factors())))
    assert product.known == {"log_z", "sample", "mean", "covariance", "moments"}


def test_draws_of_the_parts_are_exact_and_independent(generator):
    x = targets.Product(targets.LogExponential(1, dtype=F64), targets.LogExponential(1, dtype=F64))
    x = x.sample(5000, generator=generator).exp().numpy()
    assert stats.kstest(x[:, 0], "expon").pvalue > 1e-5
    assert stats.kstest(x[:, 1], "expon").pvalue > 1e-5
    assert stats.spearmanr(x[:, 0], x[:, 1]).pvalue > 1e-5


def test_smoothing_acts_on_each_part():
    gaussian = targets.Gaussian(torch.zeros(1, dtype=F64))
    mixture = targets.GaussianMixture(torch.zeros(1, 2, dtype=F64), scales=torch.tensor(2.0, dtype=F64))
    smooth = targets.Product(gaussian, mixture).smoothed(1.0)
    torch.testing.assert_close(smooth.covariance.diagonal(), torch.tensor([2.0, 5.0, 5.0], dtype=F64))


@pytest.mark.parametrize("item", ["smoothed", "covariance", "moments", "modes", "mode_weights", "prior"])
def test_what_one_part_does_not_know_the_product_does_not(item):
    heavy = targets.StudentMixture(torch.zeros(1, 1, dtype=F64), dof=1.5)
    product = targets.Product(targets.Gaussian(torch.zeros(2, dtype=F64)), heavy)
    assert product.known == {"log_z", "sample", "mean"}
    with pytest.raises(NotImplementedError, match=f"{item} is not known exactly"):
        product.smoothed(1.0) if item == "smoothed" else getattr(product, item)


def test_a_copy_moves_the_parts():
    product = targets.Product(*factors()).to(dtype=torch.float32)
    assert {f.dtype for f in product.factors} == {torch.float32}
    assert product.log_prob(torch.zeros(2, 5)).dtype == torch.float32
    meta = targets.Product(*factors()).to("meta")
    assert meta.log_prob_and_score(torch.zeros(2, 5, dtype=F64, device="meta"))[1].device.type == "meta"
