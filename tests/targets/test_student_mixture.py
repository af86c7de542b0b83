import numpy as np
import pytest
import torch
from scipy import special, stats

import targets
from targets.base import differentiate

F64 = torch.float64
MEANS = torch.tensor([[0.0, 1.0], [4.0, -3.0]], dtype=F64)


def mixture(dof):
    return targets.StudentMixture(MEANS, dof=dof, scale=0.8, weights=torch.tensor([0.3, 0.7], dtype=F64))


@pytest.mark.parametrize("dof", [0.7, 1.0, 2.0, 5.0])
def test_density_is_that_of_scipy_and_the_score_its_gradient(dof):
    x = 5 * torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    terms = stats.t(dof, MEANS.numpy(), 0.8).logpdf(x.numpy()[:, None]).sum(-1)
    expected = special.logsumexp(terms + np.log([0.3, 0.7]), axis=-1)
    value, score = mixture(dof).log_prob_and_score(x)
    np.testing.assert_allclose(value.numpy(), expected, rtol=1e-11)
    torch.testing.assert_close(score, differentiate(mixture(dof).log_prob, x, "")[1], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dof", [0.7, 2.0, 5.0])
def test_exact_draws_follow_the_marginals(dof, generator):
    x = mixture(dof).sample(5000, generator=generator).numpy()
    for i in range(2):
        law = stats.t(dof, MEANS[:, i].numpy(), 0.8)
        assert stats.kstest(x[:, i], lambda t, law=law: law.cdf(t[:, None]) @ [0.3, 0.7]).pvalue > 1e-5


@pytest.mark.parametrize(
    ("dof", "known"),
    [
        (1.0, {"log_z", "sample", "modes", "mode_weights"}),
        (2.0, {"log_z", "sample", "modes", "mode_weights", "mean"}),
        (2.5, {"log_z", "sample", "modes", "mode_weights", "mean", "covariance", "moments"}),
    ],
)
def test_moments_are_known_where_they_exist(dof, known):
    assert mixture(dof).known == known


@pytest.mark.parametrize(("dof", "item"), [(1.0, "mean"), (2.0, "covariance"), (2.0, "moments")])
def test_moments_that_do_not_exist_raise(dof, item):
    with pytest.raises(NotImplementedError, match=f"StudentMixture: {item} is not known exactly"):
        getattr(mixture(dof), item)


def test_covariance_is_the_one_within_plus_the_one_between():
    within = stats.t(5, 0, 0.8).var()
    between = 0.3 * 0.7 * torch.outer(MEANS[1] - MEANS[0], MEANS[1] - MEANS[0])
    torch.testing.assert_close(mixture(5.0).covariance, within * torch.eye(2, dtype=F64) + between)


def test_the_published_scale_is_one_and_the_degrees_of_freedom_two():
    target = targets.benchmark("mos10-d2", dtype=F64)
    assert (target.dof, target.scale, len(target.modes)) == (2.0, 1.0, 10)
