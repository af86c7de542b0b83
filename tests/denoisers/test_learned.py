"""The denoising network: preconditioning, training on draws and on the energy, saving."""

import io
import math

import pytest
import torch

import targets
from samplers.denoisers import ClosedForm, Denoiser, Estimate, Learned
from samplers.denoisers.network import DenoisingNetwork
from samplers.smoothing.measurements import Noisy
from targets import CorrelatedNoise, IsotropicNoise

F64 = torch.float64


def two(dim, dtype=torch.float32):
    centres = torch.full((2, dim), 3.0, dtype=dtype) * torch.tensor([[1.0], [-1.0]], dtype=dtype)
    return targets.GaussianMixture(centres, scales=1.0, weights=[0.8, 0.2])


def relative_error(learned, target, noise, n=4000):
    """RMSE of the mean over the root mean square of x - E[X | y], at measurements of exact draws."""
    generator = torch.Generator().manual_seed(99)
    x = target.sample(n, generator=generator)
    y = x + noise.sample_like(x, generator)
    exact = ClosedForm().estimate(target, y, noise).mean
    found = learned.estimate(target, y, noise).mean
    return float((found - exact).square().mean().sqrt() / (x - exact).square().mean().sqrt())


def untrained(target, low, high, shape=None):
    network = DenoisingNetwork(target.mean, target.covariance, low, high, torch.Generator().manual_seed(0), 8, 1)
    return Learned(network, shape)


@pytest.mark.parametrize("sigma", [0.1, 0.7, 3.0])
def test_without_training_it_is_exact_for_a_gaussian(sigma):
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(3, 3, dtype=F64, generator=generator)
    target = targets.Gaussian(torch.tensor([1.0, -2.0, 0.5], dtype=F64), covariance=root @ root.mT)
    y = 3 * torch.randn(20, 3, dtype=F64, generator=generator)
    noise = IsotropicNoise(sigma)
    found = untrained(target, 0.1, 3.0).estimate(target, y, noise)
    torch.testing.assert_close(found.mean, ClosedForm().estimate(target, y, noise).mean, rtol=0, atol=1e-10)
    assert found.log_density is None


def test_the_wanted_residual_gives_back_what_is_denoised():
    network = untrained(two(3, F64), 0.1, 3.0).network
    generator = torch.Generator().manual_seed(1)
    y, x = torch.randn(2, 5, 3, dtype=F64, generator=generator)
    sigma = torch.tensor([0.1, 0.5, 1.0, 2.0, 3.0], dtype=F64)
    skip, out, _ = network.coefficients(sigma)
    z = skip * ((y - network.mean) @ network.axes) + out * network.wanted(y, sigma, x)
    torch.testing.assert_close(network.mean + z @ network.axes.mT, x)


def test_the_residual_has_inputs_and_outputs_of_unit_size():
    """Of a Gaussian target: c_in z and the wanted residual have variance one at every level."""
    target = targets.Gaussian(torch.zeros(2, dtype=F64), torch.tensor([0.1, 5.0], dtype=F64))
    network = untrained(target, 0.05, 10.0).network
    generator = torch.Generator().manual_seed(2)
    for level in (0.05, 1.0, 10.0):
        x = target.sample(40_000, generator=generator)
        y = x + level * torch.randn(x.shape, dtype=F64, generator=generator)
        sigma = torch.full((40_000,), level, dtype=F64)
        inputs = network.coefficients(sigma)[2] * ((y - network.mean) @ network.axes)
        for values in (inputs, network.wanted(y, sigma, x)):
            # the standard error of a variance is sqrt(2 / n)
            assert (values.var(0) - 1).abs().max() < 4 * math.sqrt(2 / 40_000)


def fitted_on_draws(iterations=300, seed=0):
    target = two(2)
    draws = target.sample(4000, generator=torch.Generator().manual_seed(3))
    return Learned.fit(target, (0.5, 4.0), draws=draws, seed=seed, iterations=iterations, width=32, blocks=2, batch=256)


def test_training_on_draws_learns_and_costs_no_evaluations():
    before = torch.random.get_rng_state()
    learned, target = fitted_on_draws(), two(2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (learned.cost.log_prob, learned.cost.score) == (0, 0)
    assert learned.own_error is None
    gaussian = untrained(target, 0.5, 4.0)
    for sigma in (0.5, 1.0, 2.0):
        noise = IsotropicNoise(sigma)
        assert relative_error(learned, target, noise) < 0.5 * relative_error(gaussian, target, noise)


def test_the_same_seed_gives_the_same_network():
    first, second, third = fitted_on_draws(20), fitted_on_draws(20), fitted_on_draws(20, seed=1)
    parameters = [list(learned.network.parameters()) for learned in (first, second, third)]
    assert all(torch.equal(a, b) for a, b in zip(parameters[0], parameters[1], strict=True))
    assert not torch.equal(parameters[0][0], parameters[2][0])


def test_training_on_the_energy_is_regression_on_another_denoiser():
    """Estimates without error: what is left of the loss is the network's, and the cost is counted."""
    target = two(2)
    learned = Learned.fit(
        target, (0.5, 4.0), denoiser=ClosedForm(), iterations=300, width=32, blocks=2, batch=256, rounds=3, pool=1024
    )
    assert learned.own_error == 0.0
    assert learned.cost.score == 3 * 1024
    assert learned.validation_loss < 0.05  # F = 0, a Gaussian's answer, is at 0.3
    assert relative_error(learned, target, IsotropicNoise(1.0)) < 0.25


def test_correlated_noise_of_one_shape():
    target = two(2)
    shape = torch.tensor([[1.0, 0.8], [0.8, 2.0]])
    learned = Learned.fit(
        target, (0.5, 4.0), shape=shape, denoiser=ClosedForm(), iterations=300, width=32, blocks=2, batch=256,
        rounds=3, pool=1024,
    )  # fmt: skip
    assert relative_error(learned, target, CorrelatedNoise(1.44 * shape)) < 0.25
    with pytest.raises(ValueError, match="expected a multiple of the covariance it was trained on"):
        learned.check(target, IsotropicNoise(1.0))


def test_saved_and_made_again():
    learned, target = fitted_on_draws(5), two(2)
    file = io.BytesIO()
    torch.save(learned.state_dict(), file)
    file.seek(0)
    again = Learned.from_state_dict(torch.load(file, weights_only=True))
    y = torch.randn(7, 2, generator=torch.Generator().manual_seed(4))
    noise = IsotropicNoise(1.5)
    assert torch.equal(learned.estimate(target, y, noise).mean, again.estimate(target, y, noise).mean)
    assert again.validation_loss == learned.validation_loss
    assert again.cost == learned.cost


def test_it_serves_a_law_of_measurements_without_a_density():
    learned, target = fitted_on_draws(5), two(2)
    law = Noisy(target, 1.0, denoiser=learned)
    assert law.score(torch.zeros(3, 2)).shape == (3, 2)
    with pytest.raises(NotImplementedError, match="estimates the score alone"):
        law.log_prob(torch.zeros(3, 2))


def test_refusals():
    learned, target, y = fitted_on_draws(5), two(2), torch.zeros(1, 2)
    with pytest.raises(ValueError, match="noise: got a standard deviation of 5, expected one between 0.5 and 4"):
        learned.estimate(target, y, IsotropicNoise(5.0))
    with pytest.raises(ValueError, match="expected isotropic noise"):
        learned.check(target, CorrelatedNoise(torch.tensor([1.0, 2.0])))
    with pytest.raises(ValueError, match="target: got dimension 3, expected the network's 2"):
        learned.check(two(3), IsotropicNoise(1.0))
    with pytest.raises(NotImplementedError, match="cannot draw X"):
        learned.draw(target, y, IsotropicNoise(1.0), torch.Generator())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": (2.0, 1.0)}, "noise: got"),
        ({"iterations": 0}, "iterations: got 0, expected an integer of at least 1"),
        ({"lr": -1.0}, "lr: got -1.0"),
        ({"draws": torch.zeros(20, 3)}, r"draws: got shape \(20, 3\), expected \(n, 2\)"),
        ({"shape": torch.eye(3)}, r"shape: got \(3, 3\), expected a covariance \(2, 2\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Learned.fit(two(2), arguments.pop("noise", (0.5, 2.0)), **arguments)


class Doubting(Denoiser):
    """Believes nothing."""

    def estimate(self, target, y, noise, generator, memory=None):
        return Estimate(y, ess=torch.zeros_like(y[:, 0]), trusted=torch.zeros(len(y), dtype=torch.bool))

    def draw(self, target, y, noise, generator, memory=None):
        return y


def test_estimates_that_are_not_trusted_are_not_learned():
    with pytest.raises(RuntimeError, match="believes 0 of 8 of its estimates at noise"):
        Learned.fit(two(2), (0.5, 2.0), denoiser=Doubting(), pool=64, levels=8, iterations=8)


@pytest.mark.slow
@pytest.mark.parametrize("dim", [2, 8])
@pytest.mark.parametrize("source", ["draws", "energy"])
def test_the_denoiser_of_two_modes_is_learned(dim, source):
    """Modes at +-3 in every coordinate, weights 0.8 and 0.2, noise from 0.3 to sqrt(9 dim - 1)."""
    target, highest = two(dim), math.sqrt(9 * dim - 1)
    draws = target.sample(20_000, generator=torch.Generator().manual_seed(5)) if source == "draws" else None
    learned = Learned.fit(target, (0.3, highest), draws=draws, iterations=2000)
    for sigma in (0.3, 1.0, highest / 4, highest / 2, highest):
        assert relative_error(learned, target, IsotropicNoise(sigma)) < 0.1


def test_spins_are_learned_from_draws_alone():
    """Their density is no function on R^n, and draws are enough."""
    target = targets.Ising((2, 3), 0.3, periodic=False)
    draws = target.sample(200, generator=torch.Generator().manual_seed(6))
    learned = Learned.fit(target, (0.5, 2.0), draws=draws, iterations=2, width=8, blocks=1)
    assert learned.estimate(target, torch.ones(3, 6), IsotropicNoise(1.0)).mean.shape == (3, 6)
    with pytest.raises(TypeError, match="is discrete, and training starts from points in R\\^6; expected draws"):
        Learned.fit(target, (0.5, 2.0))
