"""Nothing is made on a default device: every kernel steps on `meta`, where a stray CPU tensor is an error."""

from dataclasses import replace

import pytest
import torch
from kernels import ALL, diagonal_metric

import targets
from samplers import HMC, MALA, ULA, RiemannianLangevin
from samplers.kernels import RegionalHMC
from samplers.moments import RunningMoments
from samplers.smoothing import DiffusiveGibbs, JointMultimeasurement, WalkJump

KERNELS = ALL | {"Riemannian, adjusted": RiemannianLangevin(diagonal_metric, 0.1)}
TARGETS = {
    "product": targets.Product(targets.Gaussian(torch.zeros(1)), targets.LogExponential(1)),
    "mixture": targets.GaussianMixture(torch.zeros(3, 2), scales=[1.0, 2.0, 3.0]),
    "user's": targets.LogDensity(lambda x: -x.square().sum(-1), 2),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", KERNELS)
def test_a_step_on_meta(name, target):
    kernel, density = KERNELS[name], TARGETS[target].to("meta")
    if isinstance(getattr(kernel, "inverse_mass_matrix", None), torch.Tensor):
        factor = kernel.factor.to("meta", torch.float32)  # a matrix is checked by its values, which meta has none of
        kernel = replace(kernel)
        kernel.__dict__["factor"] = factor
    if isinstance(kernel, RegionalHMC):
        kernel = kernel.placed(density)
    generator = torch.Generator().manual_seed(0)  # meta has no generator of its own
    with torch.no_grad():
        state = kernel.init(density, torch.zeros(4, 2, device="meta"), generator)
        state, info = kernel.step(density, state, generator)
    assert state.x.device.type == info.acceptance_rate.device.type == "meta"
    assert state.x.shape == (4, 2)


def test_moments_on_meta():
    moments = RunningMoments(3, "meta", dense=True)
    moments.update(torch.zeros(5, 3, device="meta"))
    assert moments.mean.device.type == "meta"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_have_the_dtype_asked_for(dtype):
    draws = MALA(0.3).sample(TARGETS["product"], chains=4, draws=3, warmup=5, dtype=dtype)
    assert draws.x.dtype == dtype
    assert draws.stats["acceptance_rate"].dtype == torch.float64


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kernel", [ULA(), MALA(), HMC()])
def test_a_run_on_a_gpu(kernel):
    target = targets.Gaussian(torch.zeros(3), torch.tensor([1.0, 2.0, 3.0]))
    draws = kernel.sample(target, chains=256, draws=100, warmup=100, device="cuda")
    assert draws.x.device.type == "cuda"
    torch.testing.assert_close(draws.x.reshape(-1, 3).std(0).cpu(), torch.tensor([1.0, 2.0, 3.0]), rtol=0.1, atol=0)


SMOOTHING = {
    "walk-jump": WalkJump(sigma=1.0, steps=2),
    "walk-jump to the mean": WalkJump(sigma=1.0, steps=2, jump="mean"),
    "joint": JointMultimeasurement(noise=torch.tensor([1.0, 2.0]), m=3, steps=1),
    "diffusive Gibbs": DiffusiveGibbs(sigma=1.0, candidates=3),
}


@pytest.mark.parametrize("name", SMOOTHING)
def test_a_step_of_smoothing_on_meta(name):
    kernel = SMOOTHING[name].placed(TARGETS["mixture"])
    walk = getattr(kernel, "kernel", None)
    if walk is not None:  # its mass matrix has been checked by its values, which meta has none of
        moved = replace(walk)
        moved.__dict__["factor"] = walk.factor.to("meta", torch.float32)
        kernel.__dict__["kernel"] = moved
    density, generator = TARGETS["mixture"].to("meta"), torch.Generator().manual_seed(0)
    with torch.no_grad():
        state = kernel.init(density, torch.zeros(4, 2, device="meta"), generator)
        state, info = kernel.step(density, state, generator)
    assert state.x.device.type == info.acceptance_rate.device.type == "meta"
    assert state.x.shape == (4, 2)
