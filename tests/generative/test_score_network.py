"""The network of a score model: exact for a Gaussian from the start, whatever its output means; Karras' inputs."""

import pytest
import score_matching_cases as cases
import torch
from score_matching_cases import F64, GAUSSIAN, PARAMETRISATIONS, PROCESSES, seeded
from torch import nn

from samplers.generative import (
    CleanOf,
    Control,
    Denoising,
    Example,
    HessianMatching,
    Implicit,
    Karras,
    KarrasInputs,
    LogSNRTimes,
    NoiseOf,
    NoisyState,
    ScoreMLP,
    ScoreModel,
    TraceGradientMatching,
    TraceMatching,
    Velocity,
)
from samplers.processes.linear import VP
from targets import GaussianMixture

MEAN, COVARIANCE = torch.tensor([0.5, -0.2], dtype=F64), torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=F64)


def made(process, parametrisation, dtype=F64, **options):
    spec = ScoreMLP(width=8, blocks=1, **options)
    network = spec.make(process, parametrisation, MEAN.to(dtype), COVARIANCE.to(dtype), seeded())
    return ScoreModel(network, process, parametrisation)


@pytest.mark.parametrize("sigma", [0.05, 0.7, 5.0])
def test_what_enters_is_the_denoised_point_of_the_gaussian_with_mean_square_one(sigma):
    """As a linear map of y: that of E[X | y], turned to the principal axes and divided by one number."""
    body, level = made(VP(), Karras()).network.body, torch.full((2,), sigma, dtype=F64)
    linear = body.inputs(MEAN + torch.eye(2, dtype=F64), level)  # a row for each coordinate of y
    total = COVARIANCE + sigma**2 * torch.eye(2, dtype=F64)
    gain = torch.linalg.solve(total, COVARIANCE)
    torch.testing.assert_close((linear.mT @ total @ linear).trace(), torch.tensor(2.0, dtype=F64))
    ratio = (linear @ linear.mT).trace() / (gain @ gain).trace()
    torch.testing.assert_close(linear @ linear.mT, ratio * gain @ gain)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS, ids=str)
def test_exact_for_a_gaussian_at_first(parametrisation, name):
    process = PROCESSES[name]
    model, exact = made(process, parametrisation), cases.exact_score(GAUSSIAN, process)
    x = 2 * torch.randn(6, 2, dtype=F64, generator=seeded(1))
    for t in (1e-7, 1e-4, 0.3, process.horizon):
        # by way of the clean state there is a difference of numbers that are close near the data
        rounding = 1e-14 / float(process.variance(t)) if isinstance(parametrisation, (CleanOf, Velocity)) else 0.0
        found = model.score(x, t)
        torch.testing.assert_close(found, exact(x, torch.full((6,), t, dtype=F64)), rtol=1e-7, atol=1e-7 + rounding)


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS, ids=str)
def test_what_is_learned_is_added_to_the_output(parametrisation):
    """N is an error of F: with another last layer the denoising loss changes by the regression on what is left."""
    process = PROCESSES["VP, correlated"]
    model = made(process, parametrisation)
    example = cases.example_of(GAUSSIAN, process, 16)
    with torch.no_grad():
        before = model.output(example.state)
        model.network.body.out.bias.fill_(0.5)
        after = model.output(example.state)
    learned = torch.full((16, 2), 0.5, dtype=F64) @ model.network.body.axes.mT
    torch.testing.assert_close(after - before, learned)


def test_float32_at_the_ends():
    """At the horizon, that float32 may round up, and next to the data, all is finite."""
    process = VP(horizon=0.1)
    model = made(process, Karras(), torch.float32)
    for t in (1e-12, 1e-5, 0.1):
        assert bool(model.score(torch.ones(3, 2), t).isfinite().all())


def test_a_few_steps_lower_the_loss():
    """Of a mixture that is far from its Gaussian, by the loss that is reported."""
    process, parametrisation = VP(), Karras()
    mixture = GaussianMixture(torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), scales=0.2)
    x = mixture.sample(2_000, generator=seeded(2))
    mean, covariance = x.mean(0), torch.cov(x.mT)
    network = ScoreMLP(width=32, blocks=1).make(process, parametrisation, mean, covariance, seeded())
    model, loss = ScoreModel(network, process, parametrisation), Denoising(weighting="output", times=LogSNRTimes(1e-3))
    optimiser, generator = torch.optim.Adam(model.parameters(), lr=1e-2), seeded(3)
    with torch.no_grad():
        before = loss(model, x, seeded(4))
    for _ in range(120):
        optimiser.zero_grad()
        loss(model, x[torch.randint(2_000, (256,), generator=generator)], generator).mean().backward()
        optimiser.step()
    with torch.no_grad():
        difference = loss(model, x, seeded(4)) - before
    assert difference.mean() < -5 * difference.std() / len(x) ** 0.5


class Seen(nn.Module):
    def forward(self, x, c_noise):
        self.x, self.c_noise = x, c_noise
        return 0 * x


@pytest.mark.parametrize("name", PROCESSES)
def test_inputs_of_karras(name):
    process, seen = PROCESSES[name], Seen()
    x, t = torch.randn(4, 2, dtype=F64, generator=seeded()), torch.tensor([1e-3, 0.1, 0.5, 1.0], dtype=F64)
    sigma = (process.variance(t).sqrt() / process.scale(t))[:, None]
    y = x / process.scale(t)[:, None]
    model = ScoreModel(KarrasInputs(seen, process, deviation=0.7), process, Karras(0.7))
    clean = model.clean(x, t)
    torch.testing.assert_close(seen.x, y / (sigma**2 + 0.49).sqrt())
    torch.testing.assert_close(seen.c_noise, 0.25 * sigma[:, 0].log())
    torch.testing.assert_close(clean, 0.49 / (sigma**2 + 0.49) * y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScoreMLP(width=0), "width: got 0, expected an integer of at least 1"),
        (lambda: ScoreMLP(least_time=0.0), "least_time: got 0.0, expected a positive finite number"),
        (lambda: made(VP(), NoiseOf(), least_time=1.0), "least_time: got 1, expected less than the horizon"),
        (
            lambda: ScoreMLP().make(VP(), NoiseOf(), torch.zeros(2), torch.eye(3), seeded()),
            r"mean, covariance: got shapes \(2,\) and \(3, 3\), expected \(dim,\) and \(dim, dim\)",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("parametrisation", [Karras(), Control()], ids=str)
def test_nothing_is_made_on_a_default_device(parametrisation):
    """On the meta device a stray tensor of the CPU is an error: the network, the score, every loss, times."""
    process = VP(noise=cases.NOISE)
    model = made(process, parametrisation).to("meta")
    x, t = torch.zeros(4, 2, dtype=F64, device="meta"), torch.full((4,), 0.5, dtype=F64, device="meta")
    example = Example(x, x, NoisyState.at(process, t, x))
    for loss in (Denoising(), Denoising(centred=True), Implicit(), HessianMatching(), TraceMatching(),
                 TraceGradientMatching()):  # fmt: skip
        rows = loss.weighted(model, example, t, seeded())
        assert rows.is_meta
        assert rows.shape == (4,)
    for times in cases.TIMES:
        assert times.density(process, t).is_meta
        assert times.at(process, t).is_meta
    assert KarrasInputs(Seen(), process)(x, t).is_meta
