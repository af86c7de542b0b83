"""Couplings under test, exact laws beside them, and the checks that a seeded bug must fail."""

import math
from dataclasses import dataclass, replace

import torch
from every_outcome import Forced, matrix_of
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
    diagnostics,
)
from samplers.diagnostics.couplings import WithRandomWalk, coupling_of, gaussians
from samplers.diagnostics.couplings.base import no_info
from samplers.diagnostics.couplings.states import rows, with_rows
from samplers.runs.state import State
from samplers.testing import check_invariance, statistics, transition_matrix
from samplers.testing.invariance import features
from samplers.testing.sequential import sequential

DOUBLE = torch.float64


def row(*values):
    return torch.tensor(values, dtype=DOUBLE)


PLANE = targets.GaussianMixture(row([0.0, 0.0], [1.5, 1.0]), scales=row(1.0, 0.6), weights=[0.6, 0.4])
MODES = targets.GaussianMixture(row([-2.0], [2.0]), scales=0.5, weights=[0.7, 0.3])
CHAIN = targets.Ising((3,), coupling=0.4, field=row(0.3, -0.2, 0.1), periodic=False, dtype=DOUBLE)
FRUSTRATED = targets.PairwiseMRF(row([0.0, 0.6, -0.4], [0.6, 0.0, 0.5], [-0.4, 0.5, 0.0]), row(0.2, 0.0, -0.3))
COLOURS = targets.Potts((2,), states=3, coupling=0.7, periodic=False, dtype=DOUBLE)
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
    "Swendsen-Wang on Potts": (SwendsenWang(), targets.Potts((3, 3), states=3, coupling=0.7, fields=row(0.2, 0.0, -0.1))),
}
EXACT = CONTINUOUS | DISCRETE
ALL = EXACT | {"ULA": (ULA(0.3, MASS), PLANE)}
SMALL = {  # few enough states for the matrix of the pair
    "Gibbs": (Gibbs(), CHAIN),
    "Gibbs, sequential, frustrated": (Gibbs("sequential"), FRUSTRATED),
    "Gibbs on Potts": (Gibbs(), COLOURS),
    "Swendsen-Wang": (SwendsenWang(), CHAIN),
    "Swendsen-Wang, frustrated": (SwendsenWang(), FRUSTRATED),
    "Swendsen-Wang on Potts": (SwendsenWang(), COLOURS),
}


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
        own, partner = (self.coupling.kernel.init(target, at, generator) for at in (x, torch.where(near, moved, x.roll(1, 0))))
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
        return Paired(own.x, own.log_prob, None, partner, own), info


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
        x = target.prior.sample(n, generator=generator) if target.discrete else 0.3 * PLANE.sample(n, generator=generator)
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


# Exact laws of pairs


def pair_matrix(name):
    """The matrix of the coupled step on pairs of states (n^2, n^2), by forcing every outcome; and that of the kernel."""
    kernel, target = SMALL[name]
    coupling, states = coupled(kernel, target), target.enumerate()
    n = len(states)
    pairs = torch.cat([states.repeat_interleave(n, 0), states.repeat(n, 1)], 1)

    def outcomes(given):
        expected, forced = 0, Forced(torch.zeros(len(given), dtype=torch.long))
        while expected != forced.outcomes:
            expected = forced.outcomes
            forced = Forced(torch.arange(expected).repeat(len(given)))
            at = given.repeat_interleave(expected, 0)
            with torch.no_grad(), forced.in_place_of_chance(kernel):
                x, y = (kernel.init(target, part, None) for part in at.chunk(2, 1))
                x, y, _ = coupling.together(target, x, y, None)
        possible = forced.probability > 0
        probability = torch.where(possible, forced.probability, 0.0).reshape(len(given), -1)
        after = torch.where(possible[:, None], torch.cat([x.x, y.x], 1), at).reshape(len(given), -1, given.shape[1])
        for k in range(expected):
            yield probability[:, k], after[:, k]

    return transition_matrix(outcomes, pairs), matrix_of(kernel, target)


def check_marginals_are_exact(name):
    pair, alone = pair_matrix(name)
    n = len(alone)
    of_x = pair.reshape(n, n, n, n).sum(3)  # from (x, y), by x'
    of_y = pair.reshape(n, n, n, n).sum(2)
    torch.testing.assert_close(of_x, alone[:, None].expand(n, n, n), atol=1e-12, rtol=0)
    torch.testing.assert_close(of_y, alone[None].expand(n, n, n), atol=1e-12, rtol=0)
    diagonal = torch.arange(n) * (n + 1)
    kept = pair[diagonal][:, diagonal].sum(1)
    torch.testing.assert_close(kept, torch.ones(n, dtype=DOUBLE), atol=1e-12, rtol=0)


def survival(pair, alone, start, lag, longest):
    """P(tau - L > s) for s = 0 .. longest of pairs from the law `start` (n,)."""
    n = len(alone)
    ahead = start @ torch.linalg.matrix_power(alone, lag)
    law, apart = (ahead[:, None] * start).reshape(-1), (~torch.eye(n, dtype=torch.bool)).reshape(-1)
    found = []
    for _ in range(longest + 1):
        found.append(float(law[apart].sum()))
        law = law @ pair
    return torch.tensor(found, dtype=DOUBLE)


def exact_bound(alive, lag, t):
    """E max(0, ceil((tau - L - t) / L)) = sum over j >= 0 of P(tau - L > t + j L)."""
    return float(alive[t::lag].sum())


def total_variation(start, alone, stationary, longest):
    """Of the law after t = 0 .. longest steps from the stationary one, (longest + 1,)."""
    found, law = [], start
    for _ in range(longest + 1):
        found.append(0.5 * float((law - stationary).abs().sum()))
        law = law @ alone
    return torch.tensor(found, dtype=DOUBLE)


def check_mean_of_bounds(lag=3, pairs=4000):
    """upper_bound, beside its exact expectation from the law of the pair, at every t."""
    kernel, target = SMALL["Gibbs"]
    pair, alone = pair_matrix("Gibbs")
    states = target.enumerate()
    alive = survival(pair, alone, torch.full((len(states),), 1 / len(states), dtype=DOUBLE), lag, 400)

    def p_values(stage, n):
        seed = statistics.seeds(5, stage, 1)[0]
        found = diagnostics.meeting_times(kernel, target, lag=lag, pairs=n, seed=seed)
        each = {}
        for t in range(8):
            exact, bound = exact_bound(alive, lag, t), found.upper_bound(t)
            if n * exact < 200 or exact > 0.9:  # too few pairs for the normal law; capped at 1
                continue
            each[f"bound at {t}"] = 2 * float(norm.sf(abs(float(bound.value) - exact) / float(bound.standard_error)))
        return each

    sequential("mean of the bounds", pairs, p_values)


def check_no_bias(name="MALA", k=1, m=6, lag=2, runs=1000):
    """z-tests of unbiased estimates, of functions whose expectation is known, in `runs` independent runs."""
    kernel, target, init = {
        "MALA": (MALA(0.4), targets.Gaussian(row(1.0, -1.0)), row(4.0, 1.0)),
        "Gibbs": (Gibbs(), GRID, row(*[1.0] * 9)),
        "walk-jump": (WalkJump(sigma=1.5, kernel=MALA(0.7, "identity"), steps=1), MODES, row(2.0)),
    }[name]
    exact = torch.cat([target.mean, (target.covariance.diagonal() + target.mean**2)[:1]]).double()
    if target.discrete:
        exact = exact[:2]

    def fn(x):
        return x[:, :2] if target.discrete else torch.cat([x, x[:, :1] ** 2], 1)

    def p_values(stage, n):
        seed = statistics.seeds(7, stage, 1)[0]
        met = diagnostics.meeting_times(kernel, target, lag=lag, pairs=2, seed=seed, init=init)
        found = met.unbiased(fn, k, m, pairs=n, seed=seed)
        z = (found.mean - exact) / found.standard_error
        return {f"mean of {i}": 2 * float(norm.sf(abs(float(value)))) for i, value in enumerate(z)}

    sequential(f"unbiased estimates of {name}", runs, p_values)


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


def check_unmet_pairs_are_told():
    """Two modes between which no chain moves, chains in both: bounds stay at 1, and words say why."""
    apart = targets.GaussianMixture(row([-20.0], [20.0]), scales=1.0)
    found = diagnostics.meeting_times(
        MALA(0.5), apart, lag=5, pairs=40, max_steps=60, init=lambda n, g: apart.sample(n, generator=g)
    )
    assert 0 < found.unmet < len(found.times) == 40
    assert found.mixing_time() == math.inf
    assert found.upper_bound([0, 50, 10**6]).value.tolist() == [1.0, 1.0, 1.0]
    assert "have not met within 60 steps" in str(found)
    return found
