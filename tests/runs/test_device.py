"""Nothing is made on a default device: every kernel steps on `meta`, where a stray CPU tensor is an error."""

from dataclasses import replace

import pytest
import torch
from diffusion_cases import METHODS
from kernel_cases import ALL, diagonal_metric

import targets
from samplers import HMC, MALA, ULA, RiemannianLangevin
from samplers.adaptation.metrics import LowRank
from samplers.diffusion import SubTrajectoryBalance
from samplers.diffusion.objectives import LogVariance
from samplers.diffusion.space import Space
from samplers.draws.moments import RunningMoments
from samplers.kernels import RegionalHMC
from samplers.networks.flow import FlowNetwork
from samplers.path_measures.simulation import increments, simulate, simulate_backward
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
    if isinstance(getattr(kernel, "inverse_mass_matrix", None), (torch.Tensor, LowRank)):
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


LEARNED = {name: kind(steps=4, **({"subtrajectories": 2} if name == "SCLD" else {})) for name, kind in METHODS.items()}
FACTOR = torch.tensor([[1.0, 0.0], [0.5, 2.0]])


def on_meta(method, target, mixture=None):
    """The measure, made on the CPU, and the target in its coordinates, both on meta."""
    space = Space(torch.zeros(2), FACTOR, mixture)
    measure = method.build(space, space.seen(target), torch.Generator().manual_seed(0))
    if isinstance(method.objective, SubTrajectoryBalance):
        measure.flow = FlowNetwork(2, torch.Generator().manual_seed(1))
    density = getattr(measure.prior, "density", None)
    measure.to("meta", target.dtype)
    if density is not None:  # its weights are checked by their values, which meta has none of
        measure.prior._made = density.to("meta")
    return measure, space.seen(target).to("meta")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", LEARNED)
def test_paths_and_their_gradient_on_meta(name, target):
    measure, density = on_meta(LEARNED[name], TARGETS[target])
    check_paths(measure, density)


@pytest.mark.parametrize("name", [name for name, method in LEARNED.items() if method.takes_mixture])
def test_paths_from_a_mixture_and_with_a_flow_on_meta(name):
    mixture = targets.GaussianMixture(torch.tensor([[-1.0, 0.0], [1.0, 1.0]]), scales=[1.0, 2.0])
    method = replace(LEARNED[name], objective=SubTrajectoryBalance())
    check_paths(*on_meta(method, TARGETS["mixture"], mixture))


def check_paths(measure, density):
    generator = torch.Generator().manual_seed(0)  # meta has no generator of its own
    paths = simulate(measure, density, 6, generator, keep=True)
    back = simulate_backward(measure, density, torch.zeros(6, 2, device="meta"), generator, keep=True)
    index = torch.arange(5, device="meta")
    for found in (paths, back):
        assert found.points.x.device.type == found.log_weights.device.type == "meta"
        assert found.points.x.shape == (5, 6, 2)
        steps = increments(measure, found.points, 0)
        ends = measure.log_density(index, found.points)
        assert steps.shape == (4, 6)
        potentials = torch.stack([ends[0], ends[-1] + steps.sum(0)])
        LogVariance()(potentials, torch.zeros((), device="meta")).backward()
    gradients = [p.grad for name, p in measure.named_parameters() if "control" in name]
    assert all(g is not None and g.device.type == "meta" for g in gradients)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_a_learned_sampler_on_a_gpu(name, tmp_path):
    import samplers

    target = targets.Gaussian(torch.tensor([1.0, -1.0, 0.0]), torch.tensor([1.0, 2.0, 0.5]))
    path = tmp_path / "run.pt"
    fitted = replace(LEARNED[name], steps=16).fit(target, iterations=60, device="cuda", checkpoint=path)
    draws = fitted.sample(draws=4096)
    assert draws.x.device.type == draws.log_weights.device.type == "cuda"
    assert abs(draws.log_z.value) < 6 * draws.log_z.standard_error + 1e-3
    again = replace(LEARNED[name], steps=16).fit(target, iterations=60, device="cuda", checkpoint=path)
    assert torch.equal(again.sample(draws=64).x, fitted.sample(draws=64).x)
    loaded = samplers.load(fitted.save(tmp_path / "sampler.pt"), target.to("cuda"))
    assert torch.equal(loaded.sample(draws=64).x, fitted.sample(draws=64).x)
    assert fitted.sample(draws=64, correct="smc").x.device.type == "cuda"
    assert samplers.load(tmp_path / "sampler.pt", target).sample(draws=64).x.device.type == "cpu"
