"""Jumps, walls, wrong scores and lost digits: what a run does about them and says; what is sound is left alone."""

import math
import warnings

import numpy as np
import pytest
import torch

import targets
from samplers import HMC, MALA, SMC, ULA, RandomWalkMetropolis, SamplingWarning
from samplers.adaptation.smaller_steps import FEW, do_not_help
from samplers.kernels import RegionalHMC

DOUBLE = torch.float64
SMALL = {"chains": 16, "draws": 20, "warmup": 60, "seed": 0}


def said(kernel, target, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        draws = kernel.sample(target, **SMALL | options)
    return draws, " ".join(str(one.message) for one in caught if one.category is SamplingWarning)


def bounded(inside, fn, dim):
    return targets.LogDensity(lambda x: torch.where(inside(x).all(-1), fn(x), -torch.inf), dim, dtype=DOUBLE)


def stairs(x):
    """A change point in the first coordinate, smooth in the other."""
    return -torch.floor(2 * x[:, 0]).abs() - 0.05 * x[:, 0].square() - 0.5 * x[:, 1].square()


JUMPS = {
    "box": bounded(lambda x: (x > 0) & (x < 1), lambda x: 0.0 * x.sum(-1), 2),
    "wall in ten dimensions": bounded(lambda x: x > 0, lambda x: -x.sum(-1), 10),
    "stairs": targets.LogDensity(stairs, 2, dtype=DOUBLE),
}


@pytest.mark.parametrize("name", JUMPS)
def test_hmc_at_a_jump_is_bounded_and_says_so(name):
    target = JUMPS[name]
    draws, text = said(HMC(), target, init=torch.full((16, target.dim), 0.5))
    assert "looks as if it jumped" in text
    assert "RandomWalkMetropolis or MALA suit" in text
    assert int(draws.stats["n_steps"].max()) <= FEW
    assert float(draws.stats["acceptance_rate"].mean()) > 0.5


def test_leaving_a_region_is_no_jump():
    """Rejected because the region is another at the end of the trajectory, however small its steps are."""
    regions = targets.GaussianMixture(torch.tensor([[-1.0], [1.0]], dtype=DOUBLE), scales=0.3)
    kernel, target = RegionalHMC(0.5, steps=4, regions=regions), targets.Gaussian(torch.zeros(1, dtype=DOUBLE))
    generator = torch.Generator().manual_seed(0)
    state = kernel.init(target, target.sample(64, generator=generator), generator)
    _, info = kernel.step(target, state, generator)
    rejected, by_energy = 1 - float(info.acceptance_rate.mean()), 1 - float(info.by_step_size.mean())
    assert rejected > 0.1 > 4 * by_energy
    assert not do_not_help(kernel, target, state, 0.1)


def test_what_diverges_is_no_reason_for_longer_steps():
    """Also where the energy error is of the sign that a test would accept."""
    regions = targets.GaussianMixture(torch.tensor([[0.0], [3.0]], dtype=DOUBLE), scales=1.0)
    kernel = RegionalHMC(1.0, steps=2, regions=regions)
    target = targets.LogDensity(lambda x: torch.where(x[:, 0] > 1, 1e5, 0.0) + 0 * x[:, 0], 1, dtype=DOUBLE)
    generator = torch.Generator().manual_seed(0)
    state = kernel.init(target, torch.zeros(64, 1, dtype=DOUBLE), generator)
    _, info = kernel.step(target, state, generator)
    assert bool(info.diverging.any())
    assert bool((info.by_step_size[info.diverging] == 0).all())


def test_a_trajectory_length_that_is_given_stays():
    draws, text = said(HMC(trajectory_length=0.5), JUMPS["box"])
    assert draws.kernel.trajectory_length == 0.5
    assert "looks as if it jumped" in text
    assert float(draws.stats["n_steps"].double().mean()) < 200


def normal(grad, dim=3):
    return targets.from_numpy(lambda x: -0.5 * (x**2).sum(-1), grad=grad, dim=dim)


WRONG = {
    "its sign": (lambda x: x, "everywhere it is -1 times the differences"),
    "half of it": (lambda x: -x / 2, "everywhere it is 0.5 times the differences"),
    "a coordinate missing": (lambda x: np.concatenate([-x[:, :2], 0 * x[:, 2:]], 1), "its coordinate 2 is 0,"),
    "that of the neighbour": (lambda x: -np.roll(x, 1, 0), "is not the gradient of log_prob"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_score_is_named(name):
    grad, message = WRONG[name]
    for kernel, warmup in ((HMC(), 60), (MALA(), 60), (ULA(0.01), 0)):
        draws, text = said(kernel, normal(grad), warmup=warmup)
        assert message in text
        if isinstance(kernel, HMC):
            assert int(draws.stats["n_steps"].max()) <= FEW
    assert said(RandomWalkMetropolis(), normal(grad))[1] == ""


def kinked(x):
    return -x.abs().sum(-1)


SOUND = {
    "right score": normal(lambda x: -x),
    "right score in float32": targets.LogDensity(lambda x: -0.5 * x.square().sum(-1) - 3000, 4, score=lambda x: -x),
    "right score, large numbers": targets.LogDensity(
        lambda x: -0.5e6 * (x - 1e3).square().sum(-1), 2, score=lambda x: -1e6 * (x - 1e3), dtype=DOUBLE
    ),
    "a score with kinks": targets.LogDensity(kinked, 4, score=lambda x: -x.sign(), dtype=DOUBLE),
    "kinks": targets.LogDensity(kinked, 4, dtype=DOUBLE),
    "scales 1 to 10,000": targets.Gaussian(torch.zeros(5).double(), covariance=10.0 ** torch.arange(0, 10, 2).diag()),
    "funnel": targets.benchmark("funnel10-std3"),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_is_left_alone(name):
    init = torch.full((16, 2), 1e3) if "large" in name else None
    text = said(HMC(), SOUND[name], init=init)[1]
    for words in ("gradient", "leapfrog", "digits"):
        assert words not in text


def test_a_step_size_that_is_small_for_good_reason_is_not_held():
    """Scales 1 and 1,000 with the mass matrix of neither: trajectories of 300 leapfrogs, accepted as tuned."""
    target = targets.Gaussian(torch.zeros(2).double(), covariance=torch.diag(torch.tensor([1.0, 1e6]).double()))
    kernel = HMC(inverse_mass_matrix="identity", trajectory_length=300.0)
    draws, text = said(kernel, target, init=lambda n, g: target.sample(n, generator=g), draws=10)
    assert text == ""
    assert float(draws.stats["n_steps"].double().mean()) > 60
    assert float(draws.stats["acceptance_rate"].mean()) > 0.7


# Digits


def shifted(constant, dtype, inside=False):
    def log_density(x):
        value = -0.5 * x.square().sum(-1) + constant
        return value - constant if inside else value

    return targets.LogDensity(log_density, 1, dtype=dtype)


@pytest.mark.parametrize(
    ("target", "lost"),
    [
        (shifted(1e8, torch.float32), "numbers are 8 apart"),
        (shifted(-1e8, torch.float32), "numbers are 8 apart"),
        (shifted(1e8, torch.float32, inside=True), "compared with float64"),
        (shifted(1e16, DOUBLE), "numbers are 2 apart"),
        (shifted(1e5, torch.float32), None),
        (shifted(1e8, DOUBLE), None),
        (targets.LogDensity(lambda x: 0.0 * x.sum(-1) - (x.abs() > 1).sum(-1) * 1e9, 1, dtype=torch.float32), None),
    ],
)
def test_lost_digits_are_said(target, lost):
    draws, text = said(RandomWalkMetropolis(), target, chains=64, init=torch.zeros(64, 1))
    assert (lost in text) if lost else ("digits" not in text)
    if lost is None and target.name == "log_density":
        assert abs(float(draws.x[:, -1].std()) - 1) < 4 / math.sqrt(2 * 64)


def test_weighted_draws_say_it_too():
    with pytest.warns(SamplingWarning, match="numbers are 8 apart"):
        SMC(base=targets.Gaussian(torch.zeros(1)), betas=4, kernel=RandomWalkMetropolis(0.5)).sample(
            shifted(1e8, torch.float32), draws=64
        )
