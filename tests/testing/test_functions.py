"""The kit on plain functions of any library: right ones pass, planted faults and unusable ones are named."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import seeded_bugs
import torch
from kernel_cases import skewed

import targets
from samplers import HMC, MALA
from samplers.testing import check_invariance, check_moves, check_reversible

DOUBLE = torch.float64


def log_prob(x):
    """`skewed()` in NumPy: N(0, 1) beside log-Exponential."""
    return -0.5 * x[:, 0] ** 2 + x[:, 1] - np.exp(x[:, 1])


def metropolis(x, rng, width=0.8, share=1.0):
    y = x + width * rng.standard_normal(x.shape)
    accepted = np.log(rng.uniform(size=len(x))) < share * (log_prob(y) - log_prob(x))
    return np.where(accepted[:, None], y, x)


def as_function(kernel, target):
    """One step of a kernel as a user's function in torch, without the state that it caches."""

    def step(x, generator):
        with torch.no_grad():
            return kernel.step(target, kernel.init(target, x, generator), generator)[0].x

    return step


# What passes


def test_numpy_metropolis_in_one_line():
    report = check_invariance(metropolis, skewed(), seed=1, chains=5_000)
    assert report.passed
    assert report.check == "invariance of metropolis on skewed"
    assert check_reversible(metropolis, skewed(), seed=2, chains=2_000).passed
    assert check_moves(metropolis, skewed(), seed=3, steps=100).gap < 0.2


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_positions_keep_the_dtype_of_the_target(dtype):
    target = targets.Gaussian(torch.zeros(2, dtype=dtype))
    seen = []

    def refresh(x, rng):
        seen.append(x.dtype)
        return rng.standard_normal(x.shape)

    check_invariance(refresh, target, chains=500, steps=2)
    assert set(seen) == {np.dtype(np.float64)}


@pytest.mark.parametrize("kernel", [MALA(0.3), HMC(0.5, "identity", steps=3)], ids=lambda kernel: type(kernel).__name__)
def test_torch_functions(kernel):
    step = as_function(kernel, skewed())
    check_invariance(step, skewed(), seed=4, chains=5_000)
    check_reversible(step, skewed(), seed=5, chains=2_000)


def test_the_second_parameter_tells_the_library():
    def legacy(x, random_state):
        return x + 0 * random_state.randn(*x.shape)

    def annotated(x, g: np.random.Generator):
        return x + 0 * g.standard_normal(x.shape)

    def old(x, g: np.random.RandomState):
        return x + 0 * g.rand(*x.shape)

    def named_alone(x, *, rng):
        return x + 0 * rng.standard_normal(x.shape)

    class Mover:
        def __call__(self, x, rng):
            return metropolis(x, rng)

    def torch_by_default(x, g):
        return x + 0 * torch.rand(x.shape, generator=g, dtype=x.dtype)

    functions = {
        "legacy": legacy,
        "annotated": annotated,
        "old": old,
        "named_alone": named_alone,
        "Mover": Mover(),
        "torch_by_default": torch_by_default,
        "<lambda>": lambda x, rng: metropolis(x, rng, 0.3),
        "metropolis": functools.partial(metropolis, width=0.3),
    }
    for name, function in functions.items():
        assert name in check_invariance(function, skewed(), chains=500, steps=1).check
    check_invariance(lambda x, g: metropolis(x, g), skewed(), chains=500, steps=1, backend="numpy")


def test_a_function_may_write_into_what_it_gets_and_keep_what_it_returns():
    kept = np.empty((5_000, 2))

    def in_place(x, rng):
        x += 0  # its own copy
        kept[:] = metropolis(x, rng)
        x[:] = np.nan
        return kept

    check_invariance(in_place, skewed(), seed=6, chains=5_000)

    def in_place_torch(x, generator):
        x.copy_(x.roll(1, 0))
        return x

    check_invariance(in_place_torch, skewed(), seed=6, chains=500)


def test_a_function_may_differentiate():
    def drift(x, generator):
        x.requires_grad_()
        (score,) = torch.autograd.grad(skewed().log_prob(x).sum(), x)
        return x + 0 * score

    check_invariance(drift, skewed(), chains=200, steps=1)


def test_an_ensemble_that_keeps_the_product_law_passes():
    """The stretch move of emcee: halves move by one another, and together keep independent draws independent."""

    def stretch(x, rng, power=1):
        x, half, dim = x.copy(), len(x) // 2, x.shape[1]
        for first, second in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
            others = x[second][rng.integers(len(x[second]), size=len(x[first]))]
            z = (1 + rng.uniform(size=len(others))) ** 2 / 2
            y = others + z[:, None] * (x[first] - others)
            ratio = power * (dim - 1) * np.log(z) + log_prob(y) - log_prob(x[first])
            accepted = np.log(rng.uniform(size=len(others))) < ratio
            x[first] = np.where(accepted[:, None], y, x[first])
        return x

    check_invariance(stretch, skewed(), seed=7, chains=10_000)
    with pytest.raises(AssertionError, match="invariance of stretch on skewed FAILED"):
        check_invariance(functools.partial(stretch, power=0), skewed(), seed=7, chains=10_000)


# Planted faults


@pytest.mark.parametrize(
    "name",
    [
        "MALA without the Hastings term",
        "MALA accepted by its neighbour",
        "ULA in place of MALA",
        "HMC without kinetic energy",
        "random walk with shared noise",
    ],
)
def test_faults_are_found_in_plain_functions(name):
    step = as_function(seeded_bugs.KERNELS[name], skewed())
    with pytest.raises(AssertionError, match="invariance of step on skewed FAILED"):
        check_invariance(step, skewed(), seed=8, chains=20_000)


def test_faults_in_numpy_are_found():
    with pytest.raises(AssertionError, match="FAILED"):
        check_invariance(functools.partial(metropolis, share=0.5), skewed(), seed=9, chains=10_000)
    with pytest.raises(AssertionError, match="reversibility of metropolis on skewed FAILED"):
        check_reversible(functools.partial(metropolis, share=0.5), skewed(), seed=9, chains=10_000)
    with pytest.raises(AssertionError, match="1000 of 1000 chains have not moved"):
        check_moves(lambda x, rng: x, skewed(), steps=3)


# What cannot be used, in words


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda x, rng: (x, {}), TypeError, "returned tuple, expected .* return the positions alone"),
        (lambda x, rng: None, TypeError, "returned NoneType, expected positions as it was given, ndarray"),
        (lambda x, rng: x.tolist(), TypeError, "returned list"),
        (lambda x, rng: x[0], ValueError, r"returned shape \(2,\), expected .* \(50, 2\)"),
        (lambda x, rng: x.T, ValueError, r"returned shape \(2, 50\)"),
        (lambda x, rng: x.astype(np.float32), TypeError, "returned float32, expected .* in float64"),
        (lambda x, generator: x.float(), TypeError, "returned torch.float32, expected .* in torch.float64"),
        (lambda x, generator: x.numpy(), TypeError, "returned ndarray, expected positions as it was given, Tensor"),
        (lambda x: x, TypeError, "cannot be called with two arguments"),
        (lambda x, rng, width: x, TypeError, "cannot be called with two arguments"),
        (lambda rng, x: x, TypeError, "takes rng first, expected positions first"),
        (lambda x, rng: x * np.nan, AssertionError, "returned positions that are not finite for 50 of 50 chains"),
        (3, TypeError, "kernel: got int, expected a kernel"),
        (MALA, TypeError, "kernel: got the class MALA, expected a kernel"),
    ],
)
@pytest.mark.parametrize("check", [check_invariance, check_reversible, check_moves])
def test_one_message(check, function, error, words):
    with pytest.raises(error, match=words):
        check(function, skewed(), chains=50)


def test_a_library_that_does_not_fit_is_named():
    with pytest.raises(AttributeError) as caught:
        check_invariance(lambda x, g: x + g.standard_normal(x.shape), skewed(), chains=50)
    said = "was called with a torch.Tensor and a torch.Generator. The second parameter's name tells the library"
    assert said in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="backend: got 'jx', expected 'torch'"):
        check_invariance(metropolis, skewed(), backend="jx")
    with pytest.raises(ValueError, match="backend: got 'torch' for the kernel MALA, expected None"):
        check_invariance(MALA(0.3), skewed(), backend="torch")


def test_randomness_from_elsewhere_and_what_is_kept_between_calls_are_refused():
    hidden = np.random.default_rng(0)
    with pytest.raises(ValueError, match="it draws from another generator, or keeps something between calls"):
        check_invariance(lambda x, rng: metropolis(x, hidden), skewed(), chains=500)

    width = [0.8]

    def tuned(x, rng):
        y = metropolis(x, rng, width[0])
        width[0] *= math.exp((y != x).mean() - 0.234)
        return y

    for check in (check_invariance, check_reversible, check_moves):
        with pytest.raises(ValueError, match="kernel: tuned called twice with the same positions and randomness"):
            check(tuned, skewed(), chains=500)


# JAX


def jax_metropolis(jax, share=1.0, log_prob=None):
    log_prob = log_prob or (lambda x: -0.5 * x[0] ** 2 + x[1] - jax.numpy.exp(x[1]))

    def point(key, x):
        first, second = jax.random.split(key)
        y = x + 0.8 * jax.random.normal(first, x.shape)
        accepted = jax.numpy.log(jax.random.uniform(second)) < share * (log_prob(y) - log_prob(x))
        return jax.numpy.where(accepted, y, x)

    return jax.jit(lambda x, key: jax.vmap(point)(jax.random.split(key, len(x)), x))


@pytest.fixture
def jax():
    return pytest.importorskip("jax", reason="JAX is not installed (extra `peers`)")


def test_jax_in_its_float32_on_a_target_in_float64(jax):
    check_invariance(jax_metropolis(jax), skewed(), seed=10, chains=5_000)
    check_reversible(jax_metropolis(jax), skewed(), seed=11, chains=2_000)
    with pytest.raises(AssertionError, match="FAILED"):
        check_invariance(jax_metropolis(jax, share=0.5), skewed(), seed=10, chains=10_000)


def test_rounding_to_float32_is_no_fault(jax):
    """A spread of two steps of float32: exact draws that were not rounded would stand between the chains' points."""
    target = targets.Gaussian(torch.tensor([1000.0], dtype=DOUBLE), torch.tensor([1e-4], dtype=DOUBLE))
    check_invariance(lambda x, key: x, target, seed=12, chains=5_000)
    with pytest.raises(AssertionError, match="chains have not moved"):
        check_moves(lambda x, key: x, target, steps=2)


def test_jax_with_x64(jax):
    seen = []

    def step(x, key):
        seen.append(x.dtype)
        return x

    with jax.enable_x64(True):
        check_invariance(step, skewed(), chains=100, steps=1)
    check_invariance(step, skewed(), chains=100, steps=1)
    assert {str(dtype) for dtype in seen} == {"float64", "float32"}


def test_jax_functions_of_one_point_are_told_of_vmap(jax):
    with pytest.raises(ValueError, match=r"a function of one point, \(dim,\), is vectorised by jax.vmap"):
        check_invariance(lambda x, key: x[0], skewed(), chains=50)


# The libraries themselves


def skewed_at(jax, x):
    return -0.5 * x[0] ** 2 + x[1] - jax.numpy.exp(x[1])


@pytest.mark.parametrize("algorithm", ["hmc", "mala", "nuts"])
def test_blackjax(jax, algorithm):
    blackjax = pytest.importorskip("blackjax", reason="BlackJAX is not installed (extra `peers`)")
    log_density = functools.partial(skewed_at, jax)
    options = {
        "hmc": {"step_size": 0.5, "inverse_mass_matrix": np.ones(2), "num_integration_steps": 4},
        "mala": {"step_size": 0.3},
        "nuts": {"step_size": 0.5, "inverse_mass_matrix": np.ones(2)},
    }
    kernel = getattr(blackjax, algorithm)(log_density, **options[algorithm])

    @jax.jit
    def step(x, key):
        return jax.vmap(lambda key, x: kernel.step(key, kernel.init(x))[0].position)(jax.random.split(key, len(x)), x)

    check_invariance(step, skewed(), seed=13, chains=5_000)
    with pytest.raises(TypeError, match="kernel: got SamplingAlgorithm, expected a samplers.Kernel or a function"):
        check_invariance(kernel, skewed())


def test_numpyro(jax):
    infer = pytest.importorskip("numpyro.infer", reason="NumPyro is not installed (extra `peers`)")
    kernel = infer.HMC(
        potential_fn=lambda x: -skewed_at(jax, x),
        step_size=0.5,
        num_steps=4,
        adapt_step_size=False,
        adapt_mass_matrix=False,
    )

    @jax.jit
    def step(x, key):
        def point(key, x):
            return kernel.sample(kernel.init(key, 0, x, (), {}), (), {}).z

        return jax.vmap(point)(jax.random.split(key, len(x)), x)

    check_invariance(step, skewed(), seed=14, chains=5_000)


def test_emcee():
    emcee = pytest.importorskip("emcee", reason="emcee is not installed (extra `peers`)")
    from emcee.model import Model

    def step(x, random_state):
        def values(points):
            return log_prob(points), None

        model = Model(log_prob, values, map, random_state)
        state, _ = emcee.moves.StretchMove().propose(model, emcee.State(x, log_prob=log_prob(x)))
        return state.coords

    check_invariance(step, skewed(), seed=15, chains=5_000)
