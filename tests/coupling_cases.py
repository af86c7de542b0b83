"""Couplings under test, exact laws beside them, and the checks that a seeded bug must fail."""

import math
from dataclasses import dataclass, replace

import torch
from scipy.stats import norm

import targets
from samplers import (
    HMC,
    MALA,
    ULA,
    Gibbs,
    JointMultimeasurement,
    Kernel,
    RandomWalkMetropolis,
    SwendsenWang,
    WalkJump,
)
from samplers.diagnostics.couplings import WithRandomWalk, coupling_of, gaussians
from samplers.diagnostics.couplings.base import no_info
from samplers.diagnostics.couplings.states import rows, with_rows
from samplers.runs.state import Info, State
from samplers.testing import check_invariance, statistics
from samplers.testing.invariance import features
from samplers.testing.sequential_rule import sequential

DOUBLE = torch.float64


def row(*values):
    return torch.tensor(values, dtype=DOUBLE)


PLANE = targets.GaussianMixture(row([0.0, 0.0], [1.5, 1.0]), scales=row(1.0, 0.6), weights=[0.6, 0.4])
MODES = targets.GaussianMixture(row([-2.0], [2.0]), scales=0.5, weights=[0.7, 0.3])
GRID = targets.Ising((3, 3), coupling=0.35, field=0.1)
MASS = row([1.0, 0.4], [0.4, 0.8])

CONTINUOUS = {
    "random walk": (RandomWalkMetropolis(1.2, MASS), PLANE),
    "MALA": (MALA(0.5, MASS), PLANE),
    "HMC, one leapfrog": (HMC(0.9, MASS, steps=1), PLANE),
    "HMC, jittered": (HMC(0.6, MASS, trajectory_length=1.8), PLANE),
    "HMC with a random walk": (WithRandomWalk(HMC(0.6, MASS, steps=3), scale=0.5, share=0.4), PLANE),
    "walk-jump": (WalkJump(sigma=1.5, kernel=MALA(0.7, "identity"), steps=2), MODES),
    "walk-jump by HMC": (WalkJump(sigma=1.5, steps=2), MODES),
    "joint measurements": (JointMultimeasurement(sigma=2.0, m=2, steps=2), MODES),
}
DISCRETE = {
    "Gibbs": (Gibbs(), GRID),
    "Gibbs, sequential": (Gibbs("sequential"), GRID),
    "Gibbs, random": (Gibbs("random"), GRID),
    "Gibbs on Potts": (Gibbs(), targets.Potts((3, 3), states=3, coupling=0.7)),
    "Swendsen-Wang": (SwendsenWang(), GRID),
    "Swendsen-Wang on Potts": (
        SwendsenWang(),
        targets.Potts((3, 3), states=3, coupling=0.7, fields=row(0.2, 0.0, -0.1)),
    ),
}
EXACT = CONTINUOUS | DISCRETE
ALL = EXACT | {"ULA": (ULA(0.3, MASS), PLANE)}


# One chain of a pair, as a kernel


@dataclass(frozen=True, eq=False)
class Paired(State):
    partner: State
    own: State


@dataclass(frozen=True, eq=False)
class OneOfTwo(Kernel):
    """The first or second chain of coupled pairs, the other starting beside it or far from it."""

    coupling: object
    first: bool

    def init(self, target, x, generator):
        near = (torch.arange(len(x)) % 2 == 0)[:, None]
        moved = self._moved(target, x, generator)
        own, partner = (
            self.coupling.kernel.init(target, at, generator) for at in (x, torch.where(near, moved, x.roll(1, 0)))
        )
        return Paired(own.x, own.log_prob, None, partner, own)

    @staticmethod
    def _moved(target, x, generator):
        if not target.discrete:
            return x + 0.6  # all in one direction, so that what a wrong coupling does to y does not cancel
        site = torch.randint(target.dim, (len(x), 1), generator=generator)
        value = target.values[torch.randint(len(target.values), (len(x), 1), generator=generator)]
        return x.scatter(1, site, value)

    def step(self, target, state, generator):
        pair = (state.own, state.partner) if self.first else (state.partner, state.own)
        a, b, info = self.coupling.step(target, *pair, generator)
        own, partner = (a, b) if self.first else (b, a)
        mine = slice(len(own.x)) if self.first else slice(-len(own.x), None)  # of what is told of both chains
        return Paired(own.x, own.log_prob, None, partner, own), Info(info.acceptance_rate[mine], info.diverging[mine])


def coupled(kernel, target):
    return coupling_of(kernel.prepare(target, 0)[0].placed(target))


def check_chain_is_invariant(name, first, chains=4000):
    kernel, target = EXACT[name]
    check_invariance(OneOfTwo(coupled(kernel, target), first), target, chains=chains, steps=3)


def check_law_is_the_kernels(name, first, chains=4000, steps=1):
    """From starts that are not of the target, beside the library's own kernel."""
    kernel, target = ALL[name]
    coupling = coupled(kernel, target)

    def start(n, generator):
        x = (
            target.prior.sample(n, generator=generator)
            if target.discrete
            else 0.3 * PLANE.sample(n, generator=generator)
        )
        return x[:, : target.dim]

    def p_values(stage, n):
        one, other, ties = (torch.Generator().manual_seed(s) for s in statistics.seeds(3, stage, 3))
        kernels = {"own": independent(coupling.kernel), "coupled": OneOfTwo(coupling, first)}
        ends = {
            label: _run(moved, target, start(n, generator), steps, generator)
            for (label, moved), generator in zip(kernels.items(), (one, other), strict=True)
        }
        found = {}
        for feature, function in features(target, ties).items():
            found |= statistics.two_sample(function(ends["own"]), function(ends["coupled"]), feature, ties)
        return found

    with torch.no_grad():
        sequential(f"law of {name}", chains, p_values)


@dataclass(frozen=True, eq=False)
class EachItsOwn(Kernel):
    """HMC whose chains each draw how many leapfrogs they make; those that make as many take the library's step."""

    kernel: HMC
    exact = reversible = True

    def init(self, target, x, generator):
        return self.kernel.init(target, x, generator)

    def step(self, target, state, generator):
        numbers = self.kernel.leapfrogs_for(torch.rand(len(state.x), generator=generator))
        for n in numbers.unique().tolist():
            index = (numbers == n).nonzero()[:, 0]
            kernel = replace(self.kernel, steps=n, trajectory_length=None)
            state = with_rows(state, index, kernel.step(target, rows(state, index), generator)[0])
        return state, no_info(len(state.x), state.x)


def independent(kernel):
    """The library's kernel with nothing that its chains share in a step."""
    if isinstance(kernel, HMC) and kernel.steps is None:
        return EachItsOwn(kernel)
    if isinstance(kernel, (WalkJump, JointMultimeasurement)):
        return replace(kernel, kernel=independent(kernel.kernel))
    return kernel


def _run(kernel, target, x, steps, generator):
    state = kernel.init(target, x, generator)
    for _ in range(steps):
        state, _ = kernel.step(target, state, generator)
    return state.x


def check_pairs_stay_together(name, pairs=200, steps=40):
    """Every field of the states of pairs that have met is equal to the last bit, in this step and in all later ones."""
    kernel, target = ALL[name]
    coupling, generator = coupled(kernel, target), torch.Generator().manual_seed(1)
    start = OneOfTwo(coupling, True)
    with torch.no_grad():
        x0 = target.sample(pairs, generator=generator)
        state = start.init(target, x0, generator)
        x, y = state.own, state.partner
        before = coupling.met(x, y)
        for _ in range(steps):
            x, y, _ = coupling.step(target, x, y, generator)
            met = coupling.met(x, y)
            assert bool((met | ~before).all()), "a pair parted"
            for field in vars(x):
                a, b = getattr(x, field), getattr(y, field)
                assert a is None or torch.equal(a[met], b[met]), f"{field} differs where a pair has met"
            before = met
        assert bool(met.any()), "no pair met"


def check_coupling_of_noises(pairs=4000):
    """xi and eta are standard normal whatever the gap, and lead to one point as often as the two laws overlap."""

    def p_values(stage, n):
        generator, ties = (torch.Generator().manual_seed(s) for s in statistics.seeds(11, stage, 2))
        gap = row(0.8, -1.1).expand(n, 2)
        xi, eta, same = gaussians.reflection_maximal(gap, generator)
        fresh = torch.randn(n, 2, generator=generator, dtype=DOUBLE)
        found = {}
        for label, noise in (("xi", xi), ("eta", eta)):
            for i in range(2):
                found |= statistics.two_sample(noise[:, i], fresh[:, i], f"{label}[{i}]", ties)
            found |= statistics.two_sample(noise @ gap[0], fresh @ gap[0], f"{label} along the gap", ties)
        overlap = 2 * float(norm.cdf(-0.5 * math.hypot(0.8, 1.1)))
        spread = math.sqrt(n * overlap * (1 - overlap))
        found["how often they coincide"] = 2 * float(norm.sf(abs(int(same.sum()) - n * overlap) / spread))
        torch.testing.assert_close(eta[same], xi[same] + gap[same], atol=1e-12, rtol=0)
        return found

    sequential("noises", pairs, p_values)
