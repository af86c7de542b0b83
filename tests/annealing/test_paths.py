"""Paths: their densities, scores and increments against plain formulas, and what a change of temperature costs."""

import math
from itertools import pairwise

import pytest
import torch
from annealing_cases import F64, HalfNormal, Unnormalised, gaussian, skewed

import targets
from samplers import HMC, MALA, Gibbs
from samplers.annealing import AIS, SMC, FunctionPath, GeometricPath
from samplers.annealing.paths import DiscretePath
from samplers.kernels import evaluate

BETAS = [0.0, 0.17, 0.5, 1.0]


def points(n=12):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(1), dtype=F64)


@pytest.fixture
def path():
    return GeometricPath(gaussian(2, 2.0, 0.3), skewed())


@pytest.mark.parametrize("beta", BETAS)
def test_geometric_density_and_score(path, beta):
    x, target = points(), skewed()
    expected = (1 - beta) * path.base.log_prob(x) + beta * target.log_prob(x)
    score = (1 - beta) * path.base.score(x) + beta * target.score(x)
    density = path.at(beta)
    torch.testing.assert_close(density.log_prob(x), expected)
    for found in density.log_prob_and_score(x), (lambda s: (s.log_prob, s.score))(evaluate(density, x)):
        torch.testing.assert_close(found[0], expected)
        torch.testing.assert_close(found[1], score)


def every_path():
    ising = targets.Ising((2, 2), 0.4, field=0.3, periodic=False, dtype=F64)
    widths = FunctionPath(lambda b: targets.Tempered(skewed(), 2 - b) if b > 0 else gaussian(2, 2.0), skewed())
    return {
        "geometric": (GeometricPath(gaussian(2, 2.0), skewed()), HMC(0.3), points()),
        "function": (widths, MALA(0.3), points()),
        "discrete": (DiscretePath(ising), Gibbs(), ising.enumerate()),
    }


@pytest.mark.parametrize("name", every_path())
@pytest.mark.parametrize(("old", "new"), [(0.0, 0.1), (0.2, 0.7), (0.7, 1.0), (0.0, 1.0)])
def test_increments_are_differences_of_log_densities(name, old, new):
    path, kernel, x = every_path()[name]
    generator = torch.Generator().manual_seed(0)
    state = kernel.init(path.at(old), x, generator)
    expected = path.at(new).log_prob(x) - path.at(old).log_prob(x)
    if name == "discrete" and old == 0:
        expected = path.at(new).log_prob(x) - path.base.log_prob(x)  # the normalised end
    found = path.increments(state, old)(new)
    assert found.dtype == F64
    torch.testing.assert_close(found, expected)
    moved, fresh = path.moved(state, new, kernel, generator), kernel.init(path.at(new), x, generator)
    torch.testing.assert_close(moved.log_prob, fresh.log_prob)
    if fresh.score is not None:
        torch.testing.assert_close(moved.score, fresh.score)


def test_products_of_mean_weights_are_z_by_enumeration():
    """prod_k E_{pi_k}[pi_{k+1} / pi_k] = Z, with perfect moves."""
    target = targets.Potts((2, 2), 3, 0.6, periodic=False, dtype=F64)
    path = DiscretePath(target)
    x, betas, log_z = target.enumerate(), [0.0, 0.3, 0.8, 1.0], 0.0
    for old, new in pairwise(betas):
        state = Gibbs().init(path.at(old), x, torch.Generator())
        law = path.at(old).log_prob(x).log_softmax(0)
        log_z += float((law + path.increments(state, old)(new)).logsumexp(0))
    assert log_z == pytest.approx(target.log_z, abs=1e-12)


def test_products_of_mean_weights_are_z_by_quadrature():
    """The same from a base whose own Z is not one."""
    path = GeometricPath(Unnormalised(1.5, 2.0), skewed())
    axis = torch.arange(-26, 14, 0.05, dtype=F64)
    x = torch.cartesian_prod(axis, axis)
    betas, log_z = [0.0, 0.3, 0.8, 1.0], path.base.log_z
    for old, new in pairwise(betas):
        state = evaluate(path.at(old), x, score=False)
        law = path.at(old).log_prob(x).log_softmax(0)
        log_z += float((law + path.increments(state, old)(new)).logsumexp(0))
    assert log_z == pytest.approx(skewed().log_z, abs=1e-10)


def test_an_end_of_weight_zero_has_no_say_where_it_is_infinite():
    path = GeometricPath(gaussian(2, 1.0), HalfNormal())
    x = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=F64)
    assert torch.equal(path.at(0.0).log_prob(x), path.base.log_prob(x))
    assert path.at(0.5).log_prob(x).isfinite().tolist() == [False, True]
    assert path.at(1.0).log_prob(x)[0] == -math.inf


def test_a_change_of_temperature_evaluates_nothing(path):
    kernel, generator = HMC(0.3), torch.Generator().manual_seed(0)
    state = kernel.init(path.at(0.2), points(), generator)
    before = path.tally.log_probs, path.tally.scores
    path.increments(state, 0.2)(0.6)
    path.moved(state, 0.6, kernel, generator)
    assert (path.tally.log_probs, path.tally.scores) == before == (12, 12)


def test_increments_are_in_float64_whatever_the_target():
    path = GeometricPath(gaussian(2, 2.0).to(dtype=torch.float32), skewed().to(dtype=torch.float32))
    state = evaluate(path.at(0.0), points().float())
    assert path.increments(state, 0.0)(0.5).dtype == F64


class NoSampler(targets.LogDensity):
    """A normalised density without exact draws."""

    log_z = 0.0


class Improper(targets.Gaussian):
    """Claims a Z that is not finite."""

    log_z = math.inf


def test_bases_that_cannot_start_a_path_are_named():
    def flat(x):
        return -0.5 * x.square().sum(-1)

    with pytest.raises(ValueError, match="base: flat has no log_z and no sample, expected a normalised density"):
        GeometricPath(targets.LogDensity(flat, 2), skewed())
    with pytest.raises(ValueError, match="base: flat has no sample, expected"):
        GeometricPath(NoSampler(flat, 2), skewed())
    with pytest.raises(ValueError, match=r"base: .* has log_z inf, expected a density that can be normalised"):
        GeometricPath(Improper(torch.zeros(2)), skewed())
    with pytest.raises(ValueError, match="base: got dim 3, expected 2 like skewed"):
        GeometricPath(gaussian(3, 1.0), skewed())
    with pytest.raises(TypeError, match=r"path: path\(0.0\) is a float, expected a targets.Target"):
        FunctionPath(lambda b: b, skewed())
    with pytest.raises(ValueError, match="base, path: got both"):
        AIS(MALA(0.1), gaussian(2, 1.0), path=lambda b: gaussian(2, 1.0)).sample(skewed())


def test_the_dtype_of_base_and_path_follows_the_target():
    base = gaussian(2, 2.0)
    for sampler in (SMC(MALA(0.3), base, betas=3), SMC(MALA(0.3), path=lambda b: base, betas=3)):
        draws = sampler.sample(gaussian(2, 1.0).to(dtype=torch.float32), draws=64)
        assert draws.x.dtype == torch.float32
        assert draws.log_weights.dtype == F64
