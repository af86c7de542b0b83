"""Denoising score matching of second and third order: least at the true derivatives, and not moved by a wrong score."""

import pytest
import score_matching_cases as cases
import torch
from score_matching_cases import F64, GAUSSIAN, MIXTURE, PROCESSES

EVERY = pytest.mark.parametrize("name", PROCESSES)


@EVERY
@pytest.mark.parametrize("target", [GAUSSIAN, MIXTURE], ids=["Gaussian", "mixture"])
def test_minimum_at_the_true_derivatives(target, name):
    cases.check_high_order(PROCESSES[name], target)


@EVERY
def test_derivatives_of_the_model(name):
    cases.check_high_order_of_models(PROCESSES[name])


def test_derivatives_of_a_gaussian():
    """What the cases call exact: H = -Sigma_t^-1, and no third derivative."""
    process = PROCESSES["VE, correlated"]
    state = cases.example_of(GAUSSIAN, process, 8).state
    _, _, covariances = cases.moments_of(GAUSSIAN)
    total = covariances + process.variance(state.t)[:, None, None] * process.noise.covariance(2)
    hessian, third = cases.derivatives(GAUSSIAN, process, state.x, state.t)
    torch.testing.assert_close(hessian, -torch.linalg.inv(total))
    torch.testing.assert_close(third, torch.zeros(8, 2, dtype=F64), atol=1e-10, rtol=0.0)


@pytest.mark.parametrize("kind", [cases.HessianMatching, cases.TraceMatching, cases.TraceGradientMatching])
def test_gradients_reach_the_network(kind):
    process = PROCESSES["VP, correlated"]
    network = cases_network(process)
    model = cases.ScoreModel(network, process, cases.NoiseOf())
    x = MIXTURE.sample(32, generator=cases.seeded(1))
    rows = kind()(model, x, cases.seeded(2))
    assert rows.shape == (32,)
    rows.mean().backward()
    found = network.body.out.weight.grad
    assert bool(found.isfinite().all())
    assert bool((found != 0).any())


def cases_network(process):
    from samplers.generative import ScoreMLP

    return ScoreMLP(width=8, blocks=1).make(
        process, cases.NoiseOf(), torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64), cases.seeded()
    )
