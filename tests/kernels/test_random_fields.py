"""Spins on square tori beside their exact answers: cluster and local kernels, SMC, and HMC on the relaxed density.

Standard errors come from independent chains or replicates; every difference is given in them, and 4 is the limit.
"""

import math

import pytest
import torch

import targets
from samplers import HMC, SMC, DiscreteLangevin, Gibbs, GibbsWithGradients, SwendsenWang, Wolff
from targets.kaufman import CRITICAL_COUPLING

SIDES = (8, 16, 32, 64)
COUPLINGS = (0.2, CRITICAL_COUPLING, 0.6)
EXACT_SQUARE = 8  # E[m^2] is known by transfer matrix up to this side
QUIET = {"seed": 0, "progress": False}


def mean_and_error(values, weights=None):
    """Mean over (runs, n) and its standard error from the runs, which are independent of each other."""
    of_runs = values.double().mean(-1) if weights is None else (values.double() * weights).sum(-1)
    return float(of_runs.mean()), float(of_runs.std() / math.sqrt(len(of_runs)))


def errors(target, spins, weights=None):
    """(estimate - truth) / standard error of the energy per site and, where it is known, of E[m^2]."""
    known = {"energy": (target.energy, target.energy_per_site(spins))}
    if max(target.shape) <= EXACT_SQUARE:
        known["m^2"] = target.mean_square_magnetisation, target.magnetisation(spins).square()
    found = {}
    for name, (truth, values) in known.items():
        mean, error = mean_and_error(values, weights)
        found[name] = (mean - truth) / error
    return found


def by_chains(kernel, side, coupling, *, chains=64, draws=200, warmup=50):
    target = targets.Ising((side, side), coupling)
    run = kernel.sample(target, chains=chains, draws=draws, warmup=warmup, **QUIET)
    return errors(target, run.x), run


def by_smc(kernel, side, coupling, *, replicates=8, draws=128, moves=3):
    target = targets.Ising((side, side), coupling)
    sampler = SMC(kernel, moves=moves, replicates=replicates, ess_threshold=0.8)
    run = sampler.sample(target, draws=draws, **QUIET)
    weights = run.log_weights.reshape(replicates, draws).softmax(-1)
    found = errors(target, run.x.reshape(replicates, draws, -1), weights)
    return found | {"log Z": (run.log_z.value - target.log_z) / run.log_z.standard_error}, run


def by_relaxed(side, coupling, *, chains=64, draws=500, warmup=300):
    target = targets.Ising((side, side), coupling)
    relaxed = target.relaxed()
    run = HMC().sample(relaxed, chains=chains, draws=draws, warmup=warmup, **QUIET)
    return errors(target, relaxed.spins(run.x, generator=torch.Generator().manual_seed(1))), run


def agree(found):
    assert all(abs(error) < 4 for error in found.values()), found


def large_ones_slow(sides):
    return [side if side <= 16 else pytest.param(side, marks=pytest.mark.slow) for side in sides]


@pytest.mark.parametrize("coupling", COUPLINGS)
@pytest.mark.parametrize("side", large_ones_slow(SIDES))
def test_swendsen_wang_agrees_with_kaufman(side, coupling):
    agree(by_chains(SwendsenWang(), side, coupling)[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "warmup"),
    [(Gibbs(), 200), (Wolff(), 200), (GibbsWithGradients(flips=8), 100), (DiscreteLangevin(), 200)],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else "",
)
def test_local_kernels_and_wolff_agree_at_weak_coupling(kernel, warmup):
    agree(by_chains(kernel, 8, 0.2, warmup=warmup)[0])


@pytest.mark.slow
@pytest.mark.parametrize("coupling", COUPLINGS)
@pytest.mark.parametrize("side", SIDES)
def test_smc_agrees_with_kaufman(side, coupling):
    agree(by_smc(SwendsenWang(), side, coupling)[0])


@pytest.mark.slow
@pytest.mark.parametrize(("side", "coupling"), [(8, 0.2), (16, 0.2), (32, 0.2), (8, CRITICAL_COUPLING)])
def test_smc_by_gibbs_agrees_with_kaufman(side, coupling):
    agree(by_smc(Gibbs(), side, coupling, moves=5)[0])


@pytest.mark.slow
@pytest.mark.parametrize("coupling", [0.2, CRITICAL_COUPLING])
def test_hmc_on_the_relaxed_density_gives_the_spins_back(coupling):
    agree(by_relaxed(8, coupling)[0])


@pytest.mark.slow
@pytest.mark.parametrize("coupling", [0.2, CRITICAL_COUPLING])
def test_gibbs_and_swendsen_wang_agree_on_what_is_not_known(coupling):
    """E[m^2] on a torus too wide for the transfer matrix."""
    target = targets.Ising((16, 16), coupling)
    found = []
    for kernel, draws in ((SwendsenWang(), 300), (Gibbs(), 1500)):
        run = kernel.sample(target, chains=32, draws=draws, warmup=draws, thin=2, **QUIET)
        found.append(mean_and_error(target.magnetisation(run.x).square()))
    (mean, error), (other, its_error) = found
    assert abs(mean - other) < 4 * math.hypot(error, its_error)


@pytest.mark.parametrize("sites", [torch.arange(0, 42, 2), torch.tensor([0, 5, 41])])
def test_many_sites_and_few_have_the_fields_of_the_whole_lattice(sites, generator):
    field = torch.randn(6, 7, generator=generator, dtype=torch.float64)
    target = targets.Ising((6, 7), [0.3, -0.8], field, dtype=torch.float64)
    x = target.prior.sample(5, generator=generator)
    torch.testing.assert_close(
        target.conditional_logits(x, sites)[..., 1], target.local_fields(x)[:, sites], rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(
    ("target", "wrong", "words"),
    [
        (targets.Ising((3, 3), 0.3), [0.0, 1.0], r"x: got 0.0 at a site, expected one of \[-1.0, 1.0\]"),
        (targets.PairwiseMRF(torch.zeros(3, 3)), [1.0, 2.0], "x: got 2.0 at a site"),
        (targets.Potts((3, 3), 3, 0.4), [0.0, 3.0], "x: got 3.0 at a site"),
        (targets.Potts((3, 3), 3, 0.4), [-1.0, 0.0], "x: got -1.0 at a site"),
        (targets.Potts((2, 2), 3, 0.4, periodic=False), [0.5, 1.0], "x: got 0.5 at a site"),
        (targets.Ising((3, 3), 0.3), [math.nan], "x: got nan at a site"),
        (targets.DiscreteLogDensity(lambda x: x.sum(-1), 2), [0.0, 1.0], "x: got 0.0 at a site"),
        (targets.Ising((3, 3), 0.3).prior, [0.0, 1.0], "x: got 0.0 at a site"),
    ],
)
def test_values_that_no_site_has_are_refused(target, wrong, words):
    x = torch.tensor(wrong).repeat(target.dim)[: target.dim].expand(2, -1)
    with pytest.raises(ValueError, match=words):
        target.log_prob(x)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_integer_spins_are_refused_in_words(dtype):
    with pytest.raises(
        TypeError, match="x: got torch.(int64|bool), expected floating-point numbers such as torch.float"
    ):
        targets.Ising((3, 3), coupling=0.2).log_prob(torch.ones(2, 9, dtype=dtype))
