"""Solvers step by step beside the schedulers of diffusers, with the same model, the same times and the same noise."""

import warnings

import numpy as np
import pytest
import torch
from solver_cases import F64, mixture_score, seeded

from samplers.generative import solvers
from samplers.processes.linear import VP, Brownian

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own imports
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed (extra `schedulers`)")

# raised by numpy inside diffusers
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

KNOTS = 1000  # of the training schedule
BETAS = np.linspace(1e-4, 0.02, KNOTS)
VPS = VP(beta_min=0.1, beta_max=24.0, horizon=1.2)


def on_schedule(knots):
    """The times of VP at which a_t^2 is the cumulated product of 1 - beta at the knots."""
    kept = torch.from_numpy(np.cumprod(1 - BETAS)[list(knots)])
    return VPS.time_of(kept.log() - torch.log1p(-kept))


def grid_and_process(knots):
    """A grid from 0 through the knots, and VP cut at the last of them."""
    times = on_schedule(knots)
    horizon = float(times[-1])
    slope = (VPS.beta_max - VPS.beta_min) / VPS.horizon
    process = VP(beta_min=VPS.beta_min, beta_max=VPS.beta_min + slope * horizon, horizon=horizon)
    return torch.cat([torch.zeros(1, dtype=F64), times]), process


def noise_of(process, x, t):
    """The prediction that a scheduler asks its model for, from the exact score."""
    return solvers.Reversal(mixture_score(process), process, None).noise(x, t)


def follow(scheduler, process, grid, x, predict, **step):
    """The states of a scheduler, given what it asks for at the times of the grid."""
    path = [x]
    for k, t in zip(scheduler.timesteps, grid.flip(0)[:-1].tolist(), strict=True):
        path.append(scheduler.step(predict(process, path[-1], t), k, path[-1], **step).prev_sample)
    return torch.stack(path)


def compare(solver, scheduler, knots, predict=noise_of, generators=(None, None), **step):
    grid, process = grid_and_process(knots)
    x = torch.randn(5, 2, dtype=F64, generator=seeded(1))
    assert scheduler.timesteps.tolist() == list(knots)[::-1]
    theirs = follow(scheduler, process, grid, x, predict, **step)
    ours = solver(len(knots), grid=grid).solve(mixture_score(process), process, x, generators[0], trajectory=True)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)  # theirs has coefficients in float32


SCHEDULE = {"num_train_timesteps": KNOTS, "trained_betas": BETAS.tolist(), "clip_sample": False}


@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_ddim(eta):
    scheduler = diffusers.DDIMScheduler(**SCHEDULE, set_alpha_to_one=True, timestep_spacing="leading")
    scheduler.set_timesteps(20)
    ours, theirs = seeded(2), seeded(2)
    step = {"eta": eta, "generator": theirs}
    compare(
        lambda n, grid: solvers.DDIM(n, grid=grid, eta=eta),
        scheduler,
        range(0, KNOTS, 50),
        generators=(ours, theirs),
        **step,
    )


def test_ancestral():
    scheduler = diffusers.DDPMScheduler(**SCHEDULE, variance_type="fixed_small", timestep_spacing="leading")
    scheduler.set_timesteps(20)
    compare(solvers.Ancestral, scheduler, range(0, KNOTS, 50), generators=(seeded(2), None), generator=seeded(2))


def test_multistep():
    scheduler = diffusers.DPMSolverMultistepScheduler(
        num_train_timesteps=KNOTS,
        trained_betas=BETAS.tolist(),
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        final_sigmas_type="zero",
        lower_order_final=True,
        timestep_spacing="linspace",
    )
    scheduler.set_timesteps(20)
    compare(solvers.DPMSolver2M, scheduler, sorted(scheduler.timesteps.tolist()))


def test_edm():
    """EDM without churn on Brownian motion, of sigma(t) = sqrt(t), beside Heun's steps in sigma."""
    scheduler = diffusers.HeunDiscreteScheduler(
        num_train_timesteps=KNOTS, trained_betas=BETAS.tolist(), timestep_spacing="linspace"
    )
    scheduler.set_timesteps(10)
    sigmas = scheduler.sigmas.double()
    levels = torch.cat([sigmas[:1], sigmas[1:-1:2], sigmas[-1:]])  # each inner one is there twice
    grid = levels.square().flip(0)
    process = Brownian(horizon=float(grid[-1]))
    x = float(sigmas[0]) * torch.randn(5, 2, dtype=F64, generator=seeded(1))
    state, path = x, [x]
    for place, k in enumerate(scheduler.timesteps):
        sigma = float(sigmas[place])
        state = scheduler.step(noise_of(process, state, sigma**2), k, state).prev_sample
        if place % 2 == 1 or sigmas[place + 1] == 0:  # both halves of a step are made
            path.append(state)
    ours = solvers.EDM(len(grid) - 1, grid=grid).solve(mixture_score(process), process, x, trajectory=True)
    torch.testing.assert_close(ours, torch.stack(path), rtol=1e-4, atol=1e-4)
