"""Products of mixtures of blocks of coordinates, against the mixtures that they are made of."""

from __future__ import annotations

import pytest
import torch

import targets
from targets.base import differentiate
from targets.mixture_blocks import Blocks
from targets.mixture_product import MixtureProduct
from targets.noise import CorrelatedNoise

F64 = torch.float64


def spd(*batch, dim, seed):
    root = torch.randn(*batch, dim, dim, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return root @ root.mT / dim + 0.3 * torch.eye(dim, dtype=F64)


def product(dtype=F64):
    """Coordinates (3), (0) with two components each, and (1, 4), (5, 2) with three."""
    g = torch.Generator().manual_seed(3)
    one = Blocks(
        torch.tensor([[3], [0]]),
        torch.tensor([[0.3, 0.7], [0.5, 0.5]], dtype=F64),
        torch.randn(2, 2, 1, generator=g, dtype=F64),
        spd(2, 2, dim=1, seed=1),
    )
    two = Blocks(
        torch.tensor([[1, 4], [5, 2]]),
        torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], dtype=F64),
        torch.randn(2, 3, 2, generator=g, dtype=F64),
        spd(2, 3, dim=2, seed=2),
    )
    return MixtureProduct([one, two], dtype=dtype)


def factors(q):
    """Of every block its coordinates and its mixture."""
    return [
        (group.index[b], targets.GaussianMixture(group.means[b], covariances=group.covariances[b], weights=w))
        for group in q.blocks
        for b, w in enumerate(group.weights)
    ]


def of_factors(q, x):
    return sum(mixture.log_prob(x[..., index]) for index, mixture in factors(q))


def test_density_and_score_are_those_of_the_factors(generator):
    q, x = product(), 2 * torch.randn(4, 5, 6, generator=generator, dtype=F64)
    value, score = q.log_prob_and_score(x)
    torch.testing.assert_close(value, of_factors(q, x))
    torch.testing.assert_close(q.log_prob(x), value)
    torch.testing.assert_close(score, differentiate(q.log_prob, x, "")[1])
    torch.testing.assert_close(score, differentiate(lambda y: of_factors(q, y), x, "")[1])


def test_it_is_a_mixture_of_all_combinations(generator):
    group = Blocks(
        torch.tensor([[0], [1]]),
        torch.tensor([[0.3, 0.7], [0.5, 0.5]], dtype=F64),
        torch.tensor([[[-2.0], [1.0]], [[0.5], [3.0]]], dtype=F64),
        torch.tensor([[[[0.4]], [[1.0]]], [[[0.2]], [[2.0]]]], dtype=F64),
    )
    pairs = [(i, j) for i in range(2) for j in range(2)]
    means = torch.stack([torch.stack([group.means[0, i, 0], group.means[1, j, 0]]) for i, j in pairs])
    scales = torch.stack(
        [torch.stack([group.covariances[0, i, 0, 0], group.covariances[1, j, 0, 0]]) for i, j in pairs]
    )
    weights = torch.stack([group.weights[0, i] * group.weights[1, j] for i, j in pairs])
    whole = targets.GaussianMixture(means, scales=scales.sqrt(), weights=weights)
    x = torch.randn(20, 2, generator=generator, dtype=F64)
    q = MixtureProduct([group])
    torch.testing.assert_close(q.log_prob(x), whole.log_prob(x))
    torch.testing.assert_close(q.covariance, whole.covariance)
    torch.testing.assert_close(q.mean, whole.mean)


def test_draws_have_the_moments_of_the_factors(generator):
    q, n = product(), 40_000
    x = q.sample(n, generator=generator)
    assert q.log_z == 0
    for index, mixture in factors(q):
        torch.testing.assert_close(q.mean[index], mixture.mean)
        torch.testing.assert_close(q.covariance[index[:, None], index], mixture.covariance)
    centred = x - q.mean
    products = centred[:, :, None] * centred[:, None, :]
    error = products.std(0) / n**0.5
    assert ((products.mean(0) - q.covariance).abs() < 5 * error).all()
    assert ((x.mean(0) - q.mean).abs() < 5 * x.std(0) / n**0.5).all()


def test_draws_have_the_modes_weights(generator):
    wide = Blocks(
        torch.tensor([[0], [1]]),
        torch.tensor([[0.1, 0.9], [0.6, 0.4]], dtype=F64),
        torch.tensor([[[-50.0], [50.0]]] * 2, dtype=F64),
        torch.ones(2, 2, 1, 1, dtype=F64),
    )
    right = (MixtureProduct([wide]).sample(20_000, generator=generator) > 0).double()
    truth = torch.tensor([0.9, 0.4], dtype=F64)
    error = (truth * (1 - truth) / 20_000).sqrt()
    assert ((right.mean(0) - truth).abs() < 5 * error).all()


@pytest.mark.parametrize("sigma", [0.7, "diagonal", "blocks"])
def test_smoothing_acts_on_each_factor(sigma, generator):
    q, x = product(), torch.randn(9, 6, generator=generator, dtype=F64)
    covariance = 0.49 * torch.eye(6, dtype=F64)
    if sigma == "diagonal":
        covariance = torch.diag(torch.arange(1.0, 7.0, dtype=F64))
        sigma = CorrelatedNoise(covariance.diagonal())
    elif sigma == "blocks":
        covariance[1, 4] = covariance[4, 1] = 0.2
        sigma = CorrelatedNoise(covariance)
    truth = 0.0
    for index, mixture in factors(q):
        matrices = mixture._exact_covariances + covariance[index[:, None], index]
        wider = targets.GaussianMixture(mixture.modes, covariances=matrices, weights=mixture.mode_weights)
        truth = truth + wider.log_prob(x[:, index])
    torch.testing.assert_close(q.smoothed(sigma).log_prob(x), truth)


def test_noise_that_couples_blocks_is_refused():
    covariance = torch.eye(6, dtype=F64)
    covariance[0, 1] = covariance[1, 0] = 0.2
    with pytest.raises(ValueError, match="couples the independent blocks"):
        product().smoothed(CorrelatedNoise(covariance))


def test_draws_given_a_measurement_are_those_of_the_law(generator):
    """With y = x + noise, x given y is distributed as x: second moments of pairs of coordinates and measurements."""
    q, n = product(), 40_000
    x = q.sample(n, generator=generator)
    y = x + 0.8 * torch.randn(x.shape, generator=generator, dtype=F64)
    again = q.sample_given(y, 0.8, generator=generator)
    for function in (
        lambda z: z,
        lambda z: z * z,
        lambda z: z * y,
        lambda z: z * z.roll(1, 1),
        lambda z: z[:, [1, 5]] * z[:, [4, 2]],
    ):
        difference = function(again) - function(x)
        assert (difference.mean(0).abs() < 5 * difference.std(0) / n**0.5).all()


def test_other_units_and_wider_spreads(generator):
    q = product()
    shift, factor = torch.arange(6.0, dtype=F64), torch.linspace(0.5, 3, 6, dtype=F64)
    u = torch.randn(7, 6, generator=generator, dtype=F64)
    torch.testing.assert_close(q.scaled(shift, factor).log_prob(u), q.log_prob(shift + factor * u) + factor.log().sum())
    means = [mixture._exact_covariances.diagonal(dim1=1, dim2=2).mT @ mixture.mode_weights for _, mixture in factors(q)]
    assert q.component_variance == pytest.approx(min(float(value.mean()) for value in means))
    wide, truth = q.widened(1.5, 0.1), 0.0
    for index, mixture in factors(q):
        means = torch.cat([mixture.modes, mixture.mean[None]])
        covariances = 2.25 * torch.cat([mixture._exact_covariances, mixture.covariance[None]])
        weights = torch.cat([0.9 * mixture.mode_weights, mixture.mode_weights.new_tensor([0.1])])
        truth = truth + targets.GaussianMixture(means, covariances=covariances, weights=weights).log_prob(u[:, index])
    torch.testing.assert_close(wide.log_prob(u), truth)


def test_dtypes_and_files(generator):
    q = product(torch.float32)
    x = q.sample(5, generator=generator)
    assert x.dtype == q.log_prob(x).dtype == q.score(x).dtype == torch.float32
    torch.testing.assert_close(q.to(dtype=F64).log_prob(x.double()), product().log_prob(x.double()))


@pytest.mark.parametrize(
    ("index", "weights", "message"),
    [([[0], [2]], 2, "each once"), ([[0], [0]], 2, "each once"), ([[0], [1]], 3, "means: got shape")],
)
def test_what_does_not_fit_is_refused(index, weights, message):
    group = Blocks(torch.tensor(index), torch.ones(2, weights), torch.zeros(2, 2, 1), torch.ones(2, 2, 1, 1))
    with pytest.raises(ValueError, match=message):
        MixtureProduct([group])
    with pytest.raises(ValueError, match="blocks: got none"):
        MixtureProduct([])
