"""What twenty evaluations reach, by exact W2 on mixtures on the line."""

import pytest
import torch
from few_steps_cases import MIXTURES, PROCESSES, exact_w2

from samplers.generative.solvers import EDM, DPMSolver2, DPMSolver3, Euler
from samplers.processes import grids
from samplers.processes.linear import Brownian

GRIDS = {DPMSolver2: {}, EDM: {"centre": 2.0}, DPMSolver3: {"power": 0.5}}
VP, VE = PROCESSES.values()
every_mixture = pytest.mark.parametrize("mixture", MIXTURES)


def spaced(kind, process, evaluations):
    """On the arctan grid, with as many evaluations at most."""
    a_step = {DPMSolver2: 2, EDM: 2, DPMSolver3: 3}[kind]
    steps = (evaluations - 1) // a_step + 1
    solver = kind(steps, grid=grids.arctan(process, steps, **GRIDS[kind]))
    assert solver.evaluations <= evaluations
    return solver


@every_mixture
def test_many_steps_have_no_error(mixture):
    for process in PROCESSES.values():
        solver = DPMSolver3(60, grid=grids.log_snr(process, 60, 1e-6))
        assert exact_w2(solver, process, mixture) < 1e-3


@every_mixture
@pytest.mark.parametrize("kind", GRIDS)
def test_twenty_evaluations_reach_two_hundred_of_euler_on_ve(kind, mixture):
    assert exact_w2(spaced(kind, VE, 20), VE, mixture) < exact_w2(Euler(200), VE, mixture)


@every_mixture
@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("evaluations", [20, 50])
def test_the_arctan_grid_halves_the_error_of_a_solvers_own(kind, mixture, evaluations):
    for process in PROCESSES.values():
        solver = spaced(kind, process, evaluations)
        assert exact_w2(solver, process, mixture) < 0.5 * exact_w2(kind(solver.steps), process, mixture)


def spread(power):
    """Deviation over mean of the errors of DPM-Solver-2's steps, where sigma is small or large, whichever is more.

    On N(0, 1) the flow of y = x / a is y_s = y_t sqrt((1 + s) / (1 + t)) at sigma^2 = t, and an error at sigma is
    divided by sqrt(1 + sigma^2) by the time it is at 0.
    """
    times = grids.arctan(Brownian(horizon=1e5), 1000, 1e-5, power=power)
    found = []
    for region in ((times > 1e-5) & (times < 1e-4), (times > 1e4) & (times < 1e5)):
        errors = []
        for k in region.nonzero()[:, 0].tolist():
            s, t = times[k - 1 : k + 1].tolist()
            path = DPMSolver2(2, grid=torch.tensor([0.0, s, t], dtype=torch.float64)).solve(
                lambda x, t: -x / (1 + t),
                Brownian(horizon=t),
                torch.ones(1, 1, dtype=torch.float64) * (1 + t) ** 0.5,
                trajectory=True,
            )
            errors.append(float(path[1]) / (1 + s) ** 0.5 - 1)
        found.append(torch.tensor(errors).abs())
    return max(float(errors.std() / errors.mean()) for errors in found)


def test_its_steps_err_alike_far_out_and_far_in():
    assert spread(2 / 3) < 0.1 < min(spread(0.5), spread(1.0))
