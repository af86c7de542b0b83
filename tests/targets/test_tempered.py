import math

import pytest
import torch

import targets

F64 = torch.float64


def test_log_prob_and_score_are_divided_by_the_temperature():
    base = targets.Banana(dtype=F64)
    target = targets.Tempered(base, 3.0)
    x = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    torch.testing.assert_close(target.log_prob(x), base.log_prob(x) / 3)
    torch.testing.assert_close(target.log_prob_and_score(x), (base.log_prob(x) / 3, base.score(x) / 3))


def test_a_boltzmann_density_is_the_one_at_the_product_of_the_temperatures():
    base = targets.MuellerBrown(10.0, dtype=F64)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    torch.testing.assert_close(targets.Tempered(base, 3.0).log_prob(x), base.at(30.0).log_prob(x))


def test_modes_stay_and_their_weights_are_unknown():
    mixture = targets.benchmark("gmm9-unequal")
    target = targets.Tempered(mixture, 2.0)
    assert target.known == {"modes"}
    assert torch.equal(target.modes, mixture.modes)
    assert torch.equal(target.mode_probabilities(mixture.modes), mixture.mode_probabilities(mixture.modes))
    with pytest.raises(NotImplementedError, match="at 2: mode_weights is not known exactly"):
        target.mode_weights  # noqa: B018


@pytest.mark.parametrize("item", ["log_z", "mean", "covariance", "modes", "sample"])
def test_nothing_else_is_known_of_a_density_in_general(item):
    target = targets.Tempered(targets.LogDensity(lambda x: -x.square().sum(-1), 2), 2.0)
    assert target.known == frozenset()
    call = {"sample": lambda: target.sample(1, generator=torch.Generator())}.get(item, lambda: getattr(target, item))
    with pytest.raises(NotImplementedError, match=f"{item} is not known exactly"):
        call()


GAUSSIANS = {
    "diagonal": targets.Gaussian(torch.tensor([1.0, -2.0], dtype=F64), [0.5, 2.0]),
    "dense": targets.Gaussian(torch.tensor([1.0, -2.0], dtype=F64), covariance=[[2.0, 0.6], [0.6, 1.0]]),
}


@pytest.mark.parametrize("temperature", [0.3, 4.0])
@pytest.mark.parametrize("name", GAUSSIANS)
def test_a_gaussian_stays_one(name, temperature, generator):
    base = GAUSSIANS[name]
    target = targets.Tempered(base, temperature)
    wider = targets.Gaussian(base.mean, covariance=temperature * base.covariance)
    x = torch.randn(5, 2, generator=generator, dtype=F64)
    torch.testing.assert_close(target.log_prob(x) - target.log_z, wider.log_prob(x), rtol=1e-12, atol=1e-12)
    assert target.known == {"log_z", "sample", "mean", "covariance", "moments", "modes"}
    torch.testing.assert_close(target.moments["x"].sd, wider.moments["x"].sd)
    z = (target.sample(20_000, generator=generator) - wider.mean) @ torch.linalg.inv(
        torch.linalg.cholesky(wider.covariance)
    ).mT
    assert (z.mean(0) * math.sqrt(20_000)).abs().max() < 4.5
    assert ((z.square().mean(0) - 1) * math.sqrt(20_000 / 2)).abs().max() < 4.5


def test_a_copy_moves_the_density_inside():
    target = targets.Tempered(targets.Banana(dtype=F64), 2.0).to(dtype=torch.float32)
    assert target.target.dtype == target.dtype == torch.float32
    assert target.log_prob(torch.zeros(3, 2)).dtype == torch.float32


def test_variables_are_those_of_the_density():
    base = targets.EightSchools()
    target = targets.Tempered(base, 2.0)
    assert target.variables.keys() == base.variables.keys()
    x = torch.zeros(1, base.dim, dtype=base.dtype)
    assert target.constrain(x).keys() == base.constrain(x).keys()


def test_configurations_are_refused():
    spins = targets.DiscreteLogDensity(lambda x: x.sum(-1), 3)
    with pytest.raises(TypeError, match=r"target: got .*, a law on configurations; .* Use its annealed\(\)"):
        targets.Tempered(spins, 2.0)


def test_a_temperature_is_positive():
    with pytest.raises(ValueError, match="temperature: got 0.0, expected a positive finite number"):
        targets.Tempered(targets.Banana(), 0.0)
