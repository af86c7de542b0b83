import numpy as np
import pytest
import torch
from scipy import integrate, stats

import targets

F64 = torch.float64
X = torch.tensor([[1.0, -1.0], [1.0, 0.5], [1.0, 2.0], [1.0, 0.1], [1.0, -0.7]], dtype=F64)
Y = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0], dtype=F64)


def formula(w, prior_scale, prior_mean=0.0):
    z = X.numpy() @ w
    value = (Y.numpy() * z - np.logaddexp(0, z)).sum()
    return value if prior_scale is None else value + stats.norm(prior_mean, prior_scale).logpdf(w).sum()


@pytest.mark.parametrize("prior_scale", [1.0, 10.0, [0.5, 2.0], None])
def test_log_prob_is_the_formula_at_any_size_of_the_logits(prior_scale):
    scale = None if prior_scale is None else torch.as_tensor(prior_scale, dtype=F64)
    target = targets.LogisticRegression(X, Y, prior_scale=scale)
    for size in (0.1, 1.0, 300.0):
        w = size * torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
        expected = [formula(point, prior_scale) for point in w.numpy()]
        np.testing.assert_allclose(target.log_prob(w).numpy(), expected, rtol=1e-12)
        assert target.score(w).isfinite().all()


def test_the_prior_can_be_centred_elsewhere():
    target = targets.LogisticRegression(X, Y, prior_mean=torch.tensor([3.0, -1.0], dtype=F64))
    w = torch.tensor([0.3, 0.4], dtype=F64)
    expected = formula(w.numpy(), 1.0, np.array([3.0, -1.0]))
    assert target.log_prob(w).item() == pytest.approx(expected, rel=1e-12)


def test_likelihood_and_prior_add_up():
    target = targets.LogisticRegression(X, Y)
    w = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    torch.testing.assert_close(target.log_prob(w), target.log_likelihood(w) + target.prior.log_prob(w))
    assert target.known == {"prior"}


def test_without_a_prior_there_is_none_to_know():
    target = targets.LogisticRegression(X, Y, prior_scale=None)
    assert target.known == frozenset()
    with pytest.raises(NotImplementedError, match="LogisticRegression: prior is not known exactly"):
        _ = target.prior


def test_the_prior_is_normalised_with_the_given_spread(generator):
    prior = targets.LogisticRegression(X, Y, prior_scale=torch.tensor([0.5, 2.0], dtype=F64)).prior
    w = prior.sample(5000, generator=generator)
    assert prior.log_z == 0
    assert stats.kstest((w[:, 0] / 0.5).numpy(), "norm").pvalue > 1e-5
    assert stats.kstest((w[:, 1] / 2.0).numpy(), "norm").pvalue > 1e-5


def test_one_weight_and_its_evidence_by_quadrature_agree_with_the_formula():
    target = targets.LogisticRegression(X[:, 1:], Y)
    w = torch.arange(-12, 12, 0.01, dtype=F64)[:, None]
    evidence = integrate.quad(
        lambda v: (
            np.exp((Y.numpy() * X[:, 1].numpy() * v - np.logaddexp(0, X[:, 1].numpy() * v)).sum()) * stats.norm.pdf(v)
        ),
        -12,
        12,
        epsabs=1e-14,
    )[0]
    assert (target.log_prob(w).exp().sum() * 0.01).item() == pytest.approx(evidence, rel=1e-10)


def test_weights_are_named():
    target = targets.LogisticRegression(X, Y, names=["intercept", "slope"])
    w = torch.zeros(3, 2, dtype=F64)
    assert target.constrain(w)["w"] is w
    assert target.variables["w"].dims == ("feature",)
    assert target.variables["w"].coords == {"feature": ["intercept", "slope"]}
    assert targets.LogisticRegression(X, Y).variables["w"].coords == {}
