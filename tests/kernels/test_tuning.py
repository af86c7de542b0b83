"""What warmup and annealing change between the steps of a chain is in force at the next step: no state holds it."""

from dataclasses import fields, replace

import pytest
import torch
from kernel_cases import DENSE_REGIONS, DIAGONAL_REGIONS, LOW_RANK, MASS, TUNED, dense_metric, diagonal_metric, skewed

import samplers
import targets
from samplers import (
    HMC,
    MALA,
    MAMS,
    MCLMC,
    ULA,
    Barker,
    DiffusiveGibbs,
    DiscreteLangevin,
    ParallelTempering,
    RandomWalkMetropolis,
    RiemannianLangevin,
    UnderdampedLangevin,
    WalkJump,
)
from samplers.kernels import Kernel, RegionalHMC
from samplers.runs.state import put_back, values

F64 = torch.float64
BASE = targets.Gaussian(torch.zeros(2, dtype=F64), 2.0)
SPINS = targets.Ising((3, 3), 0.3, 0.1)
OTHER = {"step_size": 0.7}
WITH_MASS = OTHER | {"inverse_mass_matrix": MASS}


def tempered(kernel, beta=0.4):
    return ParallelTempering(kernel, BASE, temperatures=(0.0, beta, 1.0))


# a kernel, and what warmup or annealing changes of it
TUNABLE = {
    "random walk": (RandomWalkMetropolis(0.2), WITH_MASS),
    "MALA": (MALA(0.2), WITH_MASS),
    "MALA, low-rank": (MALA(0.2), OTHER | {"inverse_mass_matrix": LOW_RANK}),
    "Barker": (Barker(0.2), WITH_MASS),
    "HMC": (HMC(0.2, trajectory_length=0.5), WITH_MASS | {"trajectory_length": 2.0}),
    "MAMS": (MAMS(0.2, trajectory_length=0.5), WITH_MASS | {"trajectory_length": 2.0}),
    "HMC by regions": (RegionalHMC(0.2, steps=2, regions=DIAGONAL_REGIONS), OTHER | {"regions": DENSE_REGIONS}),
    "Riemannian, diagonal": (RiemannianLangevin(diagonal_metric, 0.2), OTHER),
    "Riemannian, dense": (RiemannianLangevin(dense_metric, 0.2), OTHER),
    "Riemannian, unadjusted": (RiemannianLangevin(diagonal_metric, 0.2, adjusted=False), OTHER),
    "ULA": (ULA(0.2), WITH_MASS),
    "underdamped": (UnderdampedLangevin(0.2), WITH_MASS),
    "MCLMC": (MCLMC(0.2), WITH_MASS | {"decoherence_length": 2.0}),
    "discrete Langevin": (DiscreteLangevin(1.0), {"step_size": 3.0}),
    "discrete Langevin, unadjusted": (DiscreteLangevin(1.0, adjusted=False), {"step_size": 3.0}),
    "diffusive Gibbs": (DiffusiveGibbs(sigma=1.0, step_size=0.2), OTHER),
    "tempering": (tempered(MALA(0.2)), {"kernel": (MALA(0.7, MASS),) * 2, "temperatures": (0.0, 0.6, 1.0)}),
    "tempering, Riemannian": (
        tempered(RiemannianLangevin(diagonal_metric, 0.2)),
        {"kernel": (RiemannianLangevin(diagonal_metric, 0.7),) * 2, "temperatures": (0.0, 0.6, 1.0)},
    ),
    "walk-jump": (WalkJump(sigma=1.0, kernel=HMC(0.2, "identity", steps=2)), {"kernel": HMC(0.7, MASS, steps=2)}),
}
# their states remember more than x (a velocity, a direction, the points of other temperatures, measurements), so that
# after a step they cannot be made anew from it
WITH_MEMORY = {"underdamped", "MCLMC", "tempering", "tempering, Riemannian", "walk-jump"}


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_every_kernel_with_a_step_size_is_in_the_list():
    public = [getattr(samplers, name) for names in samplers.PLACES.values() for name in names.split()]
    kernels = {kind for kind in public if isinstance(kind, type) and issubclass(kind, Kernel)}
    tunable = {kind for kind in kernels if "step_size" in {field.name for field in fields(kind)}}
    assert tunable <= {type(kernel) for kernel, _ in TUNABLE.values()}


@pytest.mark.parametrize(
    ("name", "after"),
    [(name, "init") for name in TUNABLE] + [(name, "step") for name in TUNABLE if name not in WITH_MEMORY],
)
@torch.no_grad()
def test_a_state_holds_nothing_of_what_is_tuned(name, after):
    """A step from the state of a kernel before it was tuned and from one that the tuned kernel makes: the same bits."""
    kernel, changes = TUNABLE[name]
    tuned = replace(kernel, **changes)
    target = SPINS if kernel.discrete else skewed()
    x = (target.prior if kernel.discrete else target).sample(20, generator=generator(1))
    state = kernel.init(target, x, generator(2))
    if after == "step":
        state, _ = kernel.step(target, state, generator(3))
    fresh = tuned.init(target, state.x, generator(2))
    kept, anew, before = (
        one.step(target, start, generator(4))[0] for one, start in ((tuned, state), (tuned, fresh), (kernel, state))
    )
    assert not torch.equal(kept.x, before.x)  # what was changed matters
    for field, value in values(anew).items():
        torch.testing.assert_close(values(kept)[field], value, rtol=0, atol=0, equal_nan=True, msg=field)


def test_a_saved_state_of_another_version_is_refused():
    x = torch.zeros(3, 2, dtype=F64)
    state = TUNABLE["Riemannian, diagonal"][0].init(skewed(), x, generator(0))
    with pytest.raises(ValueError, match="checkpoint: its state has mean, which a RiemannianState lacks"):
        put_back(state, values(state) | {"mean": x})


def test_every_exact_kernel_that_warmup_tunes_to_an_acceptance_is_in_the_list():
    tuned = {type(kernel) for kernel, _ in TUNABLE.values() if kernel.exact and kernel.target_acceptance is not None}
    assert tuned == {type(kernel) for kernel in TUNED.values()}


def test_an_unadjusted_metric_is_tuned_as_ula_is():
    """With G = I the warmups are the same MALA at an acceptance of 0.95, and the variances come out as 1/(1 - h/2)."""
    target = targets.Gaussian(torch.zeros(2, dtype=F64))
    run = {"chains": 64, "draws": 2, "warmup": 100, "seed": 0}
    kernel = RiemannianLangevin(torch.ones_like, adjusted=False)
    assert (kernel.target_acceptance, RiemannianLangevin(torch.ones_like).target_acceptance) == (0.95, 0.574)
    found = kernel.sample(target, **run).kernel
    assert not found.adjusted
    assert found.step_size == pytest.approx(ULA(None, "identity").sample(target, **run).kernel.step_size, rel=1e-6)
    assert replace(kernel, target_acceptance=0.8).sample(target, **run).kernel.step_size > 1.5 * found.step_size
