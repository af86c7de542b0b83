import pytest
import torch
from stand_in_compiler import stand_in_compiler
from torch.distributions import Normal

import samplers
import targets
from samplers.adaptation.metrics import LowRank
from samplers.kernels import RegionalHMC, evaluate
from samplers.testing import check_invariance

DOUBLE = torch.float64
MATRIX = torch.tensor([[1.0, 0.3], [0.3, 2.0]], dtype=DOUBLE)
LOW_RANK = LowRank(
    torch.ones(2, dtype=DOUBLE), torch.tensor([[0.6], [0.8]], dtype=DOUBLE), torch.tensor([3.0]).double()
)


def density(x):
    return -0.5 * (x[..., 0].square() + (x[..., 1] - 1).square() / 4) - 0.1 * x[..., 0].square() * x[..., 1].square()


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """What is compiled; the graph is the function itself, so that nothing is."""
    return stand_in_compiler(monkeypatch)


@pytest.mark.parametrize(
    "mass", ["identity", MATRIX.diagonal(), MATRIX, LOW_RANK], ids=["identity", "diagonal", "dense", "low-rank"]
)
@pytest.mark.parametrize("chains", [5, 16])
def test_a_run_by_graphs_is_the_run_without_them(mass, chains):
    kernel = samplers.HMC(step_size=0.4, trajectory_length=2.0, inverse_mass_matrix=mass)
    x = torch.randn(chains, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    runs = [
        kernel.sample(
            targets.LogDensity(density, 2, dtype=DOUBLE, compile=compile),
            chains=chains,
            draws=30,
            warmup=0,
            init=x,
            seed=4,
            progress=False,
        )
        for compile in (False, True)
    ]
    eager, fused = runs
    torch.testing.assert_close(fused.x, eager.x, rtol=1e-9, atol=1e-9)
    for name, values in eager.stats.items():
        torch.testing.assert_close(fused.stats[name], values, rtol=1e-9, atol=1e-9)
    assert (fused.cost.log_prob, fused.cost.score) == (eager.cost.log_prob, eager.cost.score)


def test_a_form_of_hmc_in_other_coordinates_keeps_them():
    regions = targets.GaussianMixture(
        torch.tensor([[-1.0, 0.0], [1.0, 2.0]], dtype=DOUBLE), scales=torch.tensor([0.3, 2.0], dtype=DOUBLE)
    )
    kernel = RegionalHMC(step_size=0.3, steps=3, regions=regions)
    eager, compiled = (targets.LogDensity(density, 2, dtype=DOUBLE, compile=one) for one in (False, True))
    x = torch.randn(16, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    one, other = (
        kernel.step(target, evaluate(target, x), torch.Generator().manual_seed(1))[0] for target in (eager, compiled)
    )
    torch.testing.assert_close(one.x, other.x, rtol=1e-9, atol=1e-9)


def test_a_leapfrog_alone_makes_no_graph_for_each_number_of_chains(made):
    target = targets.LogDensity(density, 2, dtype=DOUBLE, compile=True)
    for chains in range(1, 6):
        state = evaluate(target, torch.zeros(chains, 2, dtype=DOUBLE))
        samplers.HMC(step_size=0.1).leapfrog(target, state, torch.ones_like(state.x), 2)
    assert made == [[(8, 2)]]


def test_the_number_of_leapfrogs_makes_no_further_graph(made):
    target = targets.LogDensity(density, 2, dtype=DOUBLE, compile=True)
    generator = torch.Generator().manual_seed(0)
    state = evaluate(target, torch.zeros(16, 2, dtype=DOUBLE))
    for n in (1, 2, 7):
        samplers.HMC(step_size=0.1, steps=n).step(target, state, generator)
    samplers.HMC(step_size=0.3, steps=2).step(target, state, generator)
    assert len(made) == 3  # of the density, a leapfrog and a test


def test_a_divergence_is_rejected_and_counted():
    target = targets.LogDensity(lambda x: -(x**4).sum(-1), 2, dtype=DOUBLE, compile=True)
    state = evaluate(target, torch.ones(8, 2, dtype=DOUBLE))
    new, info = samplers.HMC(step_size=50.0, steps=4).step(target, state, torch.Generator().manual_seed(0))
    assert info.diverging.all()
    assert (info.acceptance_rate == 0).all()
    assert torch.equal(new.x, state.x)
    assert torch.equal(new.score, state.score)


def test_steps_by_graphs_leave_the_target_invariant():
    exact = targets.Gaussian(torch.tensor([0.0, 3.0], dtype=DOUBLE), scale=2.0)

    class Compiled(targets.LogDensity):
        def sample(self, n, *, generator):
            return exact.sample(n, generator=generator)

    law = Normal(torch.tensor([0.0, 3.0], dtype=DOUBLE), 2.0)
    target = Compiled(lambda x: law.log_prob(x).sum(-1), 2, dtype=DOUBLE, compile=True)
    check_invariance(samplers.HMC(step_size=1.5, steps=3), target, seed=0)
