"""On a Gaussian target the best control is known: what training finds is compared with it, and its bound with log Z."""

import warnings

import pytest
import torch

import targets
from samplers import DDS, DIS, PIS, SamplingWarning
from samplers.diffusion import KL, LogVariance, Training
from samplers.path_measures.simulation import simulate

MEAN, SCALE = torch.tensor([0.6, -0.4]), torch.tensor([0.6, 0.8])
TARGET = targets.Gaussian(MEAN, SCALE, name="a Gaussian elsewhere")
PRIOR = targets.Gaussian(torch.zeros(2), 1.0)
TRAINING = Training(batch=256, learning_rate=5e-3)


def best_control(measure, k, x):
    """grad log h at state k: that of the noised target over that of the free motion."""
    if type(measure.prior.mean).__name__ == "Parameter":  # Brownian motion, h by the bridge from x to its end
        left = measure.variances[-1] - measure.variances[k]
        ratio = 1 / SCALE**2 - 1 / measure.variances[-1]  # gamma over the end's law is exp(-ratio x^2 / 2 + pull x)
        pull = MEAN / SCALE**2
        return (pull - ratio * x) / (1 + left * ratio)
    a = measure.signal[k]
    return (a * MEAN - x) / (a**2 * SCALE**2 + 1 - a**2) + x


@pytest.mark.slow
@pytest.mark.parametrize("kind", [DDS, DIS, PIS])
@pytest.mark.parametrize("objective", [LogVariance(), KL()], ids=["log-variance", "KL"])
def test_training_finds_the_best_control_and_the_bound_is_tight(kind, objective):
    method = kind(steps=32, prior=PRIOR, objective=objective, training=TRAINING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        fitted = method.fit(TARGET, seed=1, iterations=250, progress=False)
    assert abs(fitted.evaluate(4000, seed=2).elbo - TARGET.log_z) < 0.01
    measure, seen = fitted.measure, fitted.space.seen(TARGET)
    paths = simulate(measure, seen, 2000, torch.Generator().manual_seed(3), keep=True)
    k = torch.arange(1, measure.steps)
    found = measure.field(measure.table(k), paths.points[1:-1])
    wanted = torch.stack([best_control(measure, int(j), paths.points.x[j]) for j in k])
    error = (found - wanted).square().mean((1, 2))
    # in units of the step's noise, which is what its share of the divergence is made of: sum of (B error / s)^2 / 2
    unit = measure.ahead_control[k] / measure.ahead_deviation[k]
    assert float(0.5 * (unit**2 * error).sum()) < 0.02


def test_an_untrained_sampler_is_not_there():
    """What the test above would say of no training at all."""
    fitted = DDS(steps=32, prior=PRIOR).fit(TARGET, iterations=0)
    assert fitted.evaluate(2000).elbo < TARGET.log_z - 0.05
