"""Tails that fall as a power of the distance: seen, and reached by the base."""

import math

import pytest
import torch
from annealing_cases import F64, gaussian
from scipy import integrate, stats

import targets
from samplers import SMC, RandomWalkMetropolis
from samplers.annealing.heavy_tails import EllipticStudent, Mixed, StudentProduct
from samplers.annealing.pilot import Base
from samplers.annealing.tails import reaching

INFINITE = math.inf


def vector(*values):
    return torch.tensor(values, dtype=F64)


def density(function, dim):
    return targets.LogDensity(function, dim, dtype=F64)


def cauchy(x):
    return -torch.log1p(x.square())


def pilot_base(dim, generator):
    return Base(gaussian(dim, 1.0), points=torch.randn(500, dim, generator=generator, dtype=F64))


LIGHT = {
    "Gaussian": density(lambda x: -0.5 * x.square().sum(-1), 2),
    "Laplace": density(lambda x: -x.abs().sum(-1), 2),
    "half-Cauchy on the log scale": density(lambda u: (u - torch.log1p((2 * u).exp())).sum(-1), 2),
    "improper": density(lambda x: -0.5 * torch.log1p(x.square()).sum(-1), 2),
    "plus infinity far out": density(
        lambda x: torch.where(x.abs().amax(-1) > 500, torch.inf, -0.5 * x.square().sum(-1)), 2
    ),
}


@pytest.mark.parametrize("name", LIGHT)
def test_a_base_that_suffices_stays_as_it_is(name, generator):
    base = pilot_base(2, generator)
    assert reaching(base, LIGHT[name]) is base


def test_tail_indices_are_those_of_the_target(generator):
    both = density(lambda x: cauchy(x[..., 0]) - 0.5 * x[..., 1].square(), 2)
    found = reaching(pilot_base(2, generator), both).density
    assert isinstance(found, Mixed)
    _, product = found.parts
    # a centre that is off by 0.1 spreads changes a slope at a hundred of them by that much in a hundred
    torch.testing.assert_close(product._dof, vector(1.0, INFINITE), rtol=0, atol=0.01)
    # (1 + |x|^2 / 2)^(-(2 + 3) / 2): index 2 in every direction, of which an axis shows 2 + 3 - 1
    round_one = density(lambda x: -2.5 * torch.log1p(x.square().sum(-1) / 2), 3)
    *_, elliptic = reaching(pilot_base(3, generator), round_one).density.parts
    assert isinstance(elliptic, EllipticStudent)
    assert elliptic._dof == pytest.approx(2.0, abs=0.01)


PARTS = [
    StudentProduct(vector(1.0, -2.0), vector(0.5, 2.0), vector(1.5, INFINITE)),
    EllipticStudent(vector(0.5, 1.0), torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=F64), 3.0),
]


@pytest.mark.parametrize("part", [*PARTS, Mixed(PARTS, [0.3, 0.7], "both")], ids=["product", "elliptic", "mixture"])
def test_scores_are_gradients(part, generator):
    x = 3 * torch.randn(20, 2, generator=generator, dtype=F64)
    value, score = part.log_prob_and_score(x)
    point = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(part.log_prob(point).sum(), point)
    torch.testing.assert_close(score, gradient)
    torch.testing.assert_close(value, part.log_prob(x))


def test_densities_are_those_of_scipy(generator):
    x = 3 * torch.randn(20, 2, generator=generator, dtype=F64)
    product = stats.t(1.5, 1.0, 0.5).logpdf(x[:, 0]) + stats.norm(-2.0, 2.0).logpdf(x[:, 1])
    torch.testing.assert_close(PARTS[0].log_prob(x), torch.from_numpy(product))
    elliptic = stats.multivariate_t([0.5, 1.0], [[1.0, 0.6], [0.6, 1.0]], 3.0).logpdf(x)
    torch.testing.assert_close(PARTS[1].log_prob(x), torch.from_numpy(elliptic))


def test_draws_follow_the_mixture(generator):
    one = Mixed([gaussian(1, 1.0), StudentProduct(vector(2.0), vector(3.0), vector(1.0))], [0.4, 0.6], "both")
    x = one.sample(4000, generator=generator)[:, 0].numpy()
    law = 0.4 * stats.norm().cdf(x) + 0.6 * stats.cauchy(2.0, 3.0).cdf(x)
    assert stats.kstest(law, "uniform").pvalue > 1e-5
    total = integrate.quad(lambda v: float(one.log_prob(vector(v)).exp()), -math.inf, math.inf)[0]
    assert total == pytest.approx(1.0, abs=1e-6)
    two = PARTS[1].sample(4000, generator=generator)
    assert stats.kstest((two[:, 1] - 1.0).numpy(), stats.t(3.0).cdf).pvalue > 1e-5


def test_smc_reaches_the_tails_of_a_cauchy(generator):
    target = density(lambda x: cauchy(x).sum(-1), 1)
    base = reaching(pilot_base(1, generator), target).density
    draws = SMC(RandomWalkMetropolis(1.5), base, betas=4, moves=2, replicates=20).sample(target, draws=1000)
    assert abs(draws.log_z.value - math.log(math.pi)) < 5 * draws.log_z.standard_error
    far = (draws.x[0, :, 0].abs() > 100).double().reshape(20, -1)
    shares = (draws.log_weights.reshape(20, -1).softmax(1) * far).sum(1)
    right = 2 / math.pi * math.atan(1 / 100)
    assert abs(float(shares.mean()) - right) < 5 * float(shares.std()) / math.sqrt(20)
    assert float(far.sum()) > 50
