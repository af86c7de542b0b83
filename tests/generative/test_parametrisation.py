"""What a network's output means: formulas, inverses, one score and one loss through all, bad input."""

import pytest
import score_matching_cases as cases
import torch
from score_matching_cases import F64, PARAMETRISATIONS, PROCESSES, seeded
from torch import nn

from samplers.generative import CleanOf, Karras, NoiseOf, NoisyState, ScoreModel, Velocity
from samplers.processes.linear import VE, VP, Brownian


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS, ids=str)
def test_formulas(parametrisation, name):
    cases.check_parametrisation(parametrisation, PROCESSES[name])


@pytest.mark.parametrize("name", PROCESSES)
def test_karras_of_a_gaussian(name):
    cases.check_karras_of_a_gaussian(PROCESSES[name])


def test_karras_with_unit_deviation_is_minus_the_velocity():
    state = cases.example_of(cases.MIXTURE, VE(0.02, 10.0), 32).state
    noise = torch.randn(32, 2, dtype=F64, generator=seeded(1))
    torch.testing.assert_close(Karras().output(noise, state), -Velocity().output(noise, state))


def test_noise_is_precise_near_the_data():
    """At s = 3e-5 in float32 the noise comes back through Karras' output; through the clean state it cannot."""
    x, noise = torch.ones(1, 1), torch.tensor([[0.7]])
    state = NoisyState.at(Brownian(), 1e-9, x)
    torch.testing.assert_close(Karras().noise(Karras().output(noise, state), state), noise, rtol=1e-6, atol=0.0)
    assert abs(CleanOf().noise(CleanOf().output(noise, state), state) - noise) > 1e-4


class Half(nn.Module):
    def forward(self, x, t):
        assert t.shape == x.shape[:-1]
        assert t.dtype == x.dtype
        return x / 2


def test_a_time_for_all_or_one_for_each():
    model, x = ScoreModel(Half(), VP(), NoiseOf()), torch.randn(4, 3, generator=seeded())
    torch.testing.assert_close(model.score(x, 0.3), model(x, torch.full((4,), 0.3, dtype=F64)))
    torch.testing.assert_close(model.score(x.reshape(2, 2, 3), 0.3).reshape(4, 3), model.score(x, 0.3))
    state = NoisyState.at(VP(), 0.3, x)
    a, s = state.a[:, None].float(), state.s[:, None].float()
    torch.testing.assert_close(model.clean(x, 0.3), (x - s * x / 2) / a)


@pytest.mark.parametrize("name", PROCESSES)
def test_moved_states_have_the_coefficients_of_their_times(name):
    process, t = PROCESSES[name], torch.tensor([0.1, 0.4], dtype=F64) * PROCESSES[name].horizon
    x, y = torch.randn(2, 2, 2, dtype=F64, generator=seeded())
    moved, fresh = NoisyState(process, t, x).moved(y), NoisyState(process, t, y)
    for found, expected in ((moved.x, y), (moved.a, process.scale(t)), (moved.s, process.variance(t).sqrt())):
        assert torch.equal(found, expected)
    noise = torch.randn(2, 2, dtype=F64, generator=seeded(1))
    assert torch.equal(moved.marginal.score_of_noise(noise), fresh.marginal.score_of_noise(noise))


class Wrong(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.of = output

    def forward(self, x, t):
        return self.of(x)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda x: x[:, :1], r"network: returned shape \(4, 1\), expected \(4, 3\), that of x"),
        (lambda x: x.sum(-1), r"network: returned shape \(4,\), expected \(4, 3\), that of x"),
        (lambda x: (x, x), r"network: returned tuple, expected \(4, 3\), that of x"),
    ],
)
def test_network_of_a_wrong_shape(output, message):
    with pytest.raises(ValueError, match=message):
        ScoreModel(Wrong(output), VP(), NoiseOf()).score(torch.ones(4, 3), 0.5)


def test_bad_times():
    model = ScoreModel(Half(), VP(), NoiseOf())
    with pytest.raises(ValueError, match=r"t: got shape \(3,\), expected one that broadcasts to \(4,\)"):
        model.score(torch.ones(4, 3), torch.full((3,), 0.5))
    with pytest.raises(ValueError, match="t: got 0, expected a time above 0"):
        model.score(torch.ones(4, 3), 0.0)
    with pytest.raises(ValueError, match=r"t: got 1.5, expected a time in \[0, 1\]"):
        model.score(torch.ones(4, 3), 1.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((lambda x, t: x, VP(), NoiseOf()), "network: got .*, expected a torch.nn.Module"),
        ((Half(), "vp", NoiseOf()), "process: got 'vp', expected a Process"),
        ((Half(), VP(), "noise"), "parametrisation: got 'noise', expected a Parametrisation"),
    ],
)
def test_bad_parts_of_a_model(arguments, message):
    with pytest.raises(TypeError, match=message):
        ScoreModel(*arguments)


def test_bad_deviation():
    with pytest.raises(ValueError, match="deviation: got 0"):
        Karras(0)
