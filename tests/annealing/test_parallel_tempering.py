"""Parallel tempering: exact on finite spaces, by ranks from exact draws elsewhere; bugs; log Z; resume; errors."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from every_outcome import Forced

import samplers
import targets
from samplers import HMC, MALA, ULA, Gibbs, ParallelTempering, RandomWalkMetropolis, RiemannianLangevin, SamplingWarning
from samplers.annealing import FunctionPath, GeometricPath
from samplers.annealing.ladder import equal_increments
from samplers.annealing.rungs import DiscreteRungs, GeometricRungs
from samplers.annealing.tempering_pilot import pilot
from samplers.annealing.tempering_record import TemperingState
from samplers.kernels import _choices
from samplers.testing import check_invariance, check_stationary, sequential, transition_matrix
from samplers.testing.statistics import seeds, two_sample

# A joint law that can be enumerated: two spins at three temperatures, 64 states

BETAS = (0.0, 0.3, 1.0)
PAIR = targets.DiscreteLogDensity(
    lambda x: 0.9 * x[..., 0] * x[..., 1] + 0.4 * x[..., 0] - 0.2 * x[..., 1], 2, [-1.0, 1.0], dtype=torch.float64
)


class Enumerated(ParallelTempering):
    """Base draws by choices that can be forced."""

    def base_draws(self, rungs, n, generator):
        return PAIR.values[_choices.one_of(2, (n, PAIR.dim), generator, PAIR.device)]


def joint_states():
    """(64, 3, 2) and the log of prod_k pi_k there."""
    single = PAIR.enumerate()
    index = torch.cartesian_prod(*[torch.arange(4)] * 3)
    return single[index], (torch.tensor(BETAS, dtype=torch.float64) * PAIR.log_prob(single)[index]).sum(-1)


def placed_at(kernel, target, positions, parity=0):
    """The state of replicas at given points, (chains, levels, dim)."""
    rungs = kernel.rungs(target)
    states = [rungs.at_base(positions[:, 0], scores=not target.discrete)]
    for k, inner in enumerate(kernel.kernels_for(target), start=1):
        states.append(inner.init(rungs.densities[k], positions[:, k], torch.Generator()))
    state = TemperingState.start(positions, states[-1].log_prob, rungs.ends(states))
    return replace(state, steps=state.steps + parity)


def joint_matrix(kernel, parity):
    positions, _ = joint_states()
    flat = positions.flatten(1)

    def outcomes(states):
        expected, forced = 0, Forced(torch.zeros(len(states), dtype=torch.long))
        while expected != forced.outcomes:
            expected = forced.outcomes
            forced = Forced(torch.arange(expected).repeat(len(states)))
            rows = states.repeat_interleave(expected, 0).reshape(-1, 3, 2)
            with forced.in_place_of_chance(kernel):
                new, _ = kernel.step(PAIR, placed_at(kernel, PAIR, rows, parity), None)
        if type(kernel) is Enumerated:
            torch.testing.assert_close(new.target_log_prob, PAIR.log_prob(new.positions))
        probability = forced.probability.reshape(len(states), -1)
        following = new.positions.flatten(1).reshape(len(states), expected, -1)
        for k in range(expected):
            yield probability[:, k], following[:, k]

    return transition_matrix(outcomes, flat)


@pytest.mark.parametrize("parity", [0, 1])
def test_joint_law_is_invariant_exactly(parity):
    _, log_prob = joint_states()
    assert check_stationary(joint_matrix(Enumerated(Gibbs(), temperatures=BETAS), parity), log_prob) < 1e-12


def mutated(change):
    """A kernel whose rungs are changed."""

    class Mutated(Enumerated):
        def rungs(self, target):
            rungs = DiscreteRungs(target, self.betas)
            change(rungs)
            return rungs

    return Mutated(Gibbs(), temperatures=BETAS)


def with_ratios(function):
    def change(rungs):
        own = rungs.ratios
        rungs.ratios = lambda states, ends: function(*own(states, ends))

    return change


def at_another_temperature(rungs):
    rungs.densities[1] = rungs.densities[2]


BUGS = {
    "sign of the swap": with_ratios(lambda here, there, top: (there, here, top)),
    "the own point's ratio alone": with_ratios(lambda here, there, top: (here, 0 * there, top)),
    "swaps without a test": with_ratios(lambda here, there, top: (0 * here, 0 * there, top)),
    "temperature steps in the wrong order": with_ratios(
        lambda here, there, top: (here * torch.tensor([7 / 3, 3 / 7]), there * torch.tensor([7 / 3, 3 / 7]), top)
    ),
    "a level moved at its neighbour's temperature": at_another_temperature,
}


@pytest.mark.parametrize("bug", BUGS)
def test_seeded_bugs_break_the_joint_law(bug):
    _, log_prob = joint_states()
    matrices = [joint_matrix(mutated(BUGS[bug]), parity) for parity in (0, 1)]
    with pytest.raises(AssertionError, match="differs from pi"):
        check_stationary((matrices[0] + matrices[1]) / 2, log_prob)


# Gaussians, whose bridges are Gaussian: all replicas start at exact draws of their own densities

BASE = targets.Gaussian(torch.zeros(2, dtype=torch.float64), 3.0)
GOAL = targets.Gaussian(torch.tensor([2.0, -1.0], dtype=torch.float64), torch.tensor([0.5, 1.0], dtype=torch.float64))
STEPS = (0.0, 0.05, 0.3, 1.0)


def bridge_draws(beta, n, generator):
    precision = (1 - beta) / 9 + beta / GOAL.covariance.diagonal()
    mean = beta * GOAL.mean / GOAL.covariance.diagonal() / precision
    return mean + torch.randn(n, 2, dtype=torch.float64, generator=generator) / precision.sqrt()


def bridge_of_gaussians(beta):
    precision = (1 - beta) / 9 + beta / GOAL.covariance.diagonal()
    return targets.Gaussian(beta * GOAL.mean / GOAL.covariance.diagonal() / precision, precision.rsqrt())


class Started(ParallelTempering):
    """Replicas at exact draws, in place of all at one point; the last at the chain's."""

    def init(self, target, x, generator):
        return placed_at(self, target, torch.stack([bridge_draws(b, len(x), generator) for b in STEPS[:-1]] + [x], 1))


def metric(x):
    return 1 + 0.1 * x.square()


INNER = {
    "HMC": HMC(0.4, "identity", steps=3),
    "MALA": MALA(0.3),
    "random walk": RandomWalkMetropolis(0.8),
    "Riemannian": RiemannianLangevin(metric, 0.3),
    "three kinds": (RandomWalkMetropolis(2.0), HMC(0.4, "identity", steps=2), MALA(0.3)),
}
KERNELS = {name: Started(kernel, BASE, temperatures=STEPS) for name, kernel in INNER.items()} | {
    "two moves a step": Started(MALA(0.3), BASE, temperatures=STEPS, swaps_every=2),
    "a path of one's own": Started(MALA(0.3), path=bridge_of_gaussians, temperatures=STEPS),
}


@pytest.mark.parametrize("name", KERNELS)
def test_exact_draws_stay_exact_at_every_level(name):
    kernel = KERNELS[name]

    @torch.no_grad()
    def p_values(stage, draws):
        first, second, third = (torch.Generator().manual_seed(s) for s in seeds(11, stage, 3))
        state = kernel.init(GOAL, GOAL.sample(draws, generator=first), first)
        for _ in range(4):
            state, _ = kernel.step(GOAL, state, first)
        found = {}
        fresh = torch.stack([bridge_draws(b, draws, second) for b in STEPS], 1)
        for k in range(len(STEPS)):
            for i in range(2):
                found |= two_sample(state.positions[:, k, i], fresh[:, k, i], f"x[{k}][{i}]", third)
        for k in range(len(STEPS) - 1):  # replicas of one chain are independent of each other
            pairs = [x[:, k, 0] * x[:, k + 1, 0] for x in (state.positions, fresh)]
            found |= two_sample(*pairs, f"x[{k}] x[{k + 1}]", third)
        return found

    sequential(name, 6_000, p_values)


def test_the_kit_takes_it_as_any_kernel():
    check_invariance(KERNELS["HMC"], GOAL, chains=10_000, steps=3)


class StaleRungs(GeometricRungs):
    """Positions change places; what is remembered of them does not."""

    def recall(self, k, x, ends, kernel, generator):
        own = super().recall(k, x, ends, kernel, generator)
        return replace(own, x=x.roll(1, 0))


def test_a_stale_cache_is_rejected():
    class Stale(Started):
        def rungs(self, target):
            return StaleRungs(BASE, target, self.betas)

    with pytest.raises(AssertionError, match="FAILED"):
        check_invariance(Stale(MALA(0.3), BASE, temperatures=STEPS), GOAL, chains=10_000, steps=3)


@pytest.mark.parametrize("name", KERNELS)
def test_what_is_remembered_is_what_would_be_evaluated(name):
    kernel, generator = KERNELS[name], torch.Generator().manual_seed(1)
    state = kernel.init(GOAL, GOAL.sample(50, generator=generator), generator)
    start = state.walker
    for _ in range(6):
        state, _ = kernel.step(GOAL, state, generator)
    assert not torch.equal(state.walker, start)
    assert torch.equal(state.walker.sort(-1).values, start)
    torch.testing.assert_close(state.log_prob, GOAL.log_prob(state.x))
    torch.testing.assert_close(state.x, state.positions[:, -1])
    if state.target_log_prob is not None:
        torch.testing.assert_close(state.target_log_prob, GOAL.log_prob(state.positions))
        torch.testing.assert_close(state.base_log_prob, BASE.log_prob(state.positions))
    if state.target_score is not None:
        torch.testing.assert_close(state.target_score, GOAL.score(state.positions))
        torch.testing.assert_close(state.base_score, BASE.score(state.positions))


def test_round_trips_by_hand():
    """One replica goes up a ladder of three levels and down again; the others' partial ways do not count."""
    ends = DiscreteRungs(PAIR, BETAS).at_once(PAIR_STATE, 3)
    state = TemperingState.start(PAIR_STATE.x[:, None].expand(-1, 3, -1), PAIR_STATE.log_prob, ends)
    trips, walkers = [], []
    for swap in ([0, 0], [1, 0], [0, 1], [1, 0], [0, 1], [1, 0], [0, 1], [1, 0]):
        state = state.swapped(torch.tensor([swap]).bool(), state.positions, ends)
        trips.append(int(state.trips))
        walkers.append(state.walker[0].tolist())
    assert walkers == [[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 1, 0], [2, 0, 1], [0, 2, 1], [0, 1, 2], [1, 0, 2]]
    assert trips == [0, 0, 0, 0, 0, 1, 1, 2]


PAIR_STATE = Gibbs().init(PAIR, PAIR.enumerate()[:1], torch.Generator())

# Whole runs


def shares(draws):
    """Weight of each mode and its standard error over the chains."""
    target = draws.target
    each = target.mode_probabilities(draws.x.reshape(-1, target.dim)).reshape(*draws.x.shape[:2], -1).mean(1)
    return each.mean(0), each.std(0) / math.sqrt(len(each))


@pytest.mark.slow
def test_nine_modes_from_one_corner():
    target = targets.benchmark("gmm9-unequal")
    base = targets.Gaussian(torch.zeros(2), 6.0)
    start = torch.full((48, 2), -5.0)
    draws = ParallelTempering(HMC(steps=3), base).sample(target, chains=48, draws=250, warmup=128, init=start, seed=1)
    weights, error = shares(draws)
    assert bool(((weights - target.mode_weights).abs() < 4 * error).all())
    assert float(error.max()) < 0.03
    assert abs(draws.log_z.value - target.log_z) < 4 * draws.log_z.standard_error < 0.2
    found = draws.attrs["tempering"]
    assert found["round_trips"] > 100
    assert max(found["rejection"]) - min(found["rejection"]) < 0.05
    torch.testing.assert_close(draws.stats["lp"], target.log_prob(draws.x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_two_modes_by_default_settings():
    target = targets.benchmark("two-modes-d8")
    draws = ParallelTempering().sample(target, seed=2)
    weights, error = shares(draws)
    assert bool(((weights - target.mode_weights).abs() < 4 * error).all())
    assert abs(draws.log_z.value - target.log_z) < 4 * draws.log_z.standard_error


def test_spins_below_the_critical_temperature():
    """Magnetisation of both signs from starts of one, and log Z by enumeration."""
    target = targets.Ising((4, 4), coupling=0.8).to(dtype=torch.float64)
    draws = ParallelTempering().sample(target, chains=64, draws=200, warmup=64, seed=3, init=torch.ones(64, 16))
    up = (target.magnetisation(draws.x).sign() + 1).div(2).mean(1)
    assert abs(float(up.mean()) - 0.5) < 4 * float(up.std()) / 8
    assert abs(draws.log_z.value - target.log_z) < 4 * draws.log_z.standard_error < 0.1
    square = target.magnetisation(draws.x).square().mean(1)
    exact = float((target.enumerate().mean(-1).square() * target._enumerated_log_prob.softmax(0)).sum())
    assert abs(float(square.mean()) - exact) < 4 * float(square.std()) / 8


def test_log_z_is_covered_by_its_error():
    """Scores of 8 runs on a Gaussian whose log Z is known: their mean square is that of a standard normal."""
    target = targets.LogDensity(lambda x: GOAL.log_prob(x) + 1.7, 2, dtype=torch.float64)
    kernel = Started(HMC(0.8, "identity", steps=2), BASE, temperatures=STEPS)
    scores = []
    for seed in range(8):
        start = GOAL.sample(32, generator=torch.Generator().manual_seed(seed))
        log_z = kernel.sample(target, chains=32, draws=40, warmup=0, init=start, seed=seed).log_z
        scores.append((log_z.value - 1.7) / log_z.standard_error)
    # chi-square with 8 degrees of freedom, its 0.9999 point
    assert sum(s * s for s in scores) < 31.8


def test_the_prior_is_the_base_of_a_posterior():
    target = targets.Posterior(
        log_likelihood=lambda mu: -((mu - 1.5) ** 2) / 0.08,
        parameters={"mu": targets.Real(prior=torch.distributions.Normal(0.0, 3.0))},
        dtype=torch.float64,
    )
    draws = ParallelTempering(MALA()).sample(target, chains=16, draws=100, warmup=48, seed=5)
    assert draws.kernel.base.name == target.prior.name
    variance = 1 / (1 / 9 + 1 / 0.04)
    mean = draws.x[..., 0].mean(1)
    assert abs(float(mean.mean()) - 1.5 * variance / 0.04) < 4 * float(mean.std()) / 4
    exact = 0.5 * math.log(variance / 9) - 0.5 * 1.5**2 / (9 + 0.04)
    assert abs(draws.log_z.value - exact) < 4 * draws.log_z.standard_error


def test_path_and_function_agree_with_the_geometric_default():
    small = {"chains": 8, "draws": 20, "warmup": 0, "seed": 4, "init": torch.zeros(8, 2)}
    inner, steps = MALA(0.3), (0.0, 0.2, 1.0)
    plain = ParallelTempering(inner, BASE, temperatures=steps).sample(GOAL, **small)
    path = ParallelTempering(inner, path=GeometricPath(BASE, GOAL), temperatures=steps).sample(GOAL, **small)
    assert torch.equal(plain.x, path.x)
    bridges = ParallelTempering(inner, path=bridge_of_gaussians, temperatures=steps)
    wrapped = replace(bridges, path=FunctionPath(bridge_of_gaussians, GOAL))
    first, second = bridges.sample(GOAL, **small), wrapped.sample(GOAL, **small)
    assert torch.equal(first.x, second.x)
    torch.testing.assert_close(first.x, plain.x)  # the same densities up to constants, so the same decisions


class Observed(targets.Target):
    """Counts the points it is asked for, as itself and in copies."""

    def __init__(self, at=None):
        super().__init__(2, dtype=torch.float64, name="observed")
        self.count, self.at = [0, 0], at

    def log_prob(self, x):
        self._see(len(x), 0)
        return GOAL.log_prob(x)

    def log_prob_and_score(self, x):
        self._see(len(x), 1)
        return GOAL.log_prob_and_score(x)

    def _see(self, points, score):
        self.count[0] += points
        self.count[1] += points * score
        if self.at is not None and self.count[0] >= self.at:
            self.at = None
            raise RuntimeError("stopped")


@pytest.mark.parametrize(
    "kernel",
    [
        ParallelTempering(HMC(steps=2), BASE, temperatures=STEPS),
        ParallelTempering(HMC(steps=2), BASE, temperatures=5),
        ParallelTempering(RandomWalkMetropolis(), BASE),
        ParallelTempering(MALA(), path=bridge_of_gaussians, temperatures=STEPS),
    ],
)
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_cost_is_what_was_evaluated(kernel):
    target = Observed()
    draws = kernel.sample(target, chains=8, draws=10, warmup=16)
    if callable(kernel.path):  # the densities of such a path below b = 1 are evaluations too
        assert draws.cost.log_prob > target.count[0]
    else:
        assert [draws.cost.log_prob, draws.cost.score] == target.count
    if kernel.kernel == RandomWalkMetropolis():
        assert target.count[1] == 0


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
@pytest.mark.parametrize("kernel", [ParallelTempering(HMC(), BASE), ParallelTempering(MALA(), BASE, temperatures=4)])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, kernel, share):
    small = {"chains": 8, "draws": 30, "warmup": 32, "seed": 3}
    whole = Observed()
    expected = kernel.sample(whole, **small)
    path = tmp_path / "run"
    _, spent = pilot(kernel, GOAL, small["seed"])
    stopping = Observed(at=int(spent.log_prob + share * (whole.count[0] - spent.log_prob)))
    with pytest.raises(RuntimeError, match="stopped"):
        kernel.sample(stopping, checkpoint=path, **small)
    assert path.exists()
    draws = kernel.sample(Observed(), checkpoint=path, **small)
    assert torch.equal(draws.x, expected.x)
    assert draws.attrs["tempering"] == expected.attrs["tempering"]
    assert draws.log_z == expected.log_z
    assert (draws.cost.log_prob, draws.cost.score) == (expected.cost.log_prob, expected.cost.score)


def test_the_frozen_kernel_runs_as_it_is():
    kernel = ParallelTempering(HMC(steps=2), BASE)
    first = kernel.sample(GOAL, chains=8, draws=60, warmup=48)
    again = first.kernel.sample(GOAL, chains=8, draws=60, warmup=20)
    assert again.attrs["tempering"]["betas"] == first.attrs["tempering"]["betas"]
    assert not first.kernel.adapts
    assert [k.step_size for k in again.kernel.kernel] == [k.step_size for k in first.kernel.kernel]


def test_draws_are_saved_with_their_report(tmp_path):
    draws = ParallelTempering(MALA(), BASE).sample(GOAL, chains=8, draws=100, warmup=32)
    loaded = samplers.Draws.load(draws.save(tmp_path / "draws.nc"))
    assert loaded.attrs["tempering"] == draws.attrs["tempering"]
    assert loaded.log_z == draws.log_z


def test_no_round_trip_is_said():
    far = targets.Gaussian(torch.full((2,), 60.0, dtype=torch.float64))
    kernel = ParallelTempering(MALA(0.5), BASE, temperatures=(0.0, 0.5, 1.0))
    with pytest.warns(SamplingWarning, match=r"no replica went from base to target and back in 20 steps"):
        kernel.sample(far, chains=4, draws=20, warmup=0, init=torch.full((4, 2), 60.0))


def test_log_z_that_rests_on_one_chain_is_said():
    """One of eight chains stays where the density is nothing: its step size is of no use there."""

    def hole(x):
        return torch.where(x[:, 0] > 50.0, -1e4, -0.5 * x.square().sum(-1))

    target = targets.LogDensity(hole, 1, score=lambda x: torch.where(x > 50.0, 0.0, -x))
    kernel = ParallelTempering(
        kernel=RandomWalkMetropolis(step_size=0.5), base=targets.Gaussian(torch.zeros(1), 2.0), temperatures=(0.0, 1.0)
    )
    apart = torch.zeros(8, 1)
    apart[3] = 60.0
    with pytest.warns(SamplingWarning, match="log Z rests on one chain of 8"):
        kernel.sample(target, chains=8, draws=20, warmup=0, init=apart, seed=0)


def test_temperatures_at_equal_increments():
    """From a barrier that is known: L(b) = b^(1/3) at 30 temperatures."""
    betas = [(k / 29) ** 3 for k in range(30)]
    found = torch.tensor(equal_increments(betas, [b ** (1 / 3) for b in betas], 6))
    torch.testing.assert_close(found, (torch.arange(6) / 5) ** 3, rtol=0, atol=2e-4)
    assert equal_increments([0.0, 1.0], [0.0, 0.0], 3) == (0.0, 0.5, 1.0)
    kept = equal_increments([0.0, 0.1, 0.5, 1.0], [0.0, 1.0, 1.0, 2.0], 5)
    assert all(a < b for a, b in pairwise(kept))


def test_a_step_on_meta():
    base = targets.Gaussian(torch.zeros(2)).to("meta")
    target = targets.GaussianMixture(torch.zeros(3, 2), scales=[1.0, 2.0, 3.0]).to("meta")
    generator = torch.Generator().manual_seed(0)
    for inner in (HMC(0.3, steps=2), RandomWalkMetropolis(0.5)):
        kernel = ParallelTempering(inner, base, temperatures=4)
        with torch.no_grad():
            state = kernel.init(target, torch.zeros(3, 2, device="meta"), generator)
            state, info = kernel.step(target, state, generator)
        assert state.positions.shape == (3, 4, 2)
        assert state.x.device.type == info.acceptance_rate.device.type == "meta"


def test_bad_arguments_are_named():
    for values in ([0.0, 0.5], [0.1, 1.0], [0.0, 0.6, 0.5, 1.0], [1.0]):
        with pytest.raises(ValueError, match=r"temperatures: got .*, expected increasing values from 0 to 1"):
            ParallelTempering(temperatures=values)
    for number in (1, True, 0):
        with pytest.raises(ValueError, match="temperatures: got"):
            ParallelTempering(temperatures=number)
    with pytest.raises(ValueError, match="kernel: ULA leaves its target only approximately invariant"):
        ParallelTempering(ULA(0.1))
    with pytest.raises(TypeError, match="kernel: got str"):
        ParallelTempering("hmc")
    with pytest.raises(ValueError, match="kernel: a sequence of kernels needs temperatures"):
        ParallelTempering([HMC(), HMC()], temperatures=[0, 0.5, 0.7, 1])
    with pytest.raises(ValueError, match="swaps_every: got 0"):
        ParallelTempering(swaps_every=0)
    with pytest.raises(ValueError, match=r"base: .* has no log_z and no sample"):
        ParallelTempering(base=targets.LogDensity(lambda x: -x.square().sum(-1), 2)).sample(GOAL)
    with pytest.raises(ValueError, match="base: got dim 3, expected 2"):
        ParallelTempering(base=targets.Gaussian(torch.zeros(3))).sample(GOAL)
    with pytest.raises(ValueError, match="base, path: got both"):
        ParallelTempering(base=BASE, path=bridge_of_gaussians).sample(GOAL)
    with pytest.raises(ValueError, match="base: .* is discrete"):
        ParallelTempering(base=BASE).sample(PAIR)
    with pytest.raises(TypeError, match="is discrete and HMC"):
        ParallelTempering(HMC()).sample(PAIR)
    with pytest.raises(ValueError, match="base: none is given"):
        ParallelTempering(temperatures=3).init(GOAL, torch.zeros(1, 2).double(), torch.Generator())
    with pytest.raises(ValueError, match="temperatures: left to `sample`"):
        ParallelTempering(base=BASE).init(GOAL, torch.zeros(1, 2).double(), torch.Generator())


def vague(sd):
    """One unknown mean, far better known from four data than beforehand, and its log Z."""
    y = torch.tensor([1.0, 4.0, 3.5, 2.0], dtype=torch.float64)
    target = targets.Posterior(
        log_likelihood=lambda mu: torch.distributions.Normal(mu[:, None], 1.0).log_prob(y).sum(-1),
        parameters={"mu": targets.Real(prior=torch.distributions.Normal(0.0, sd))},
    ).to(dtype=torch.float64)
    noise = sd**2 * torch.ones(4, 4, dtype=torch.float64) + torch.eye(4, dtype=torch.float64)
    law = torch.distributions.MultivariateNormal(torch.zeros(4, dtype=torch.float64), noise)
    return target, float(law.log_prob(y))


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")  # so few steps see no round trip
def test_a_vague_prior_makes_no_step_long():
    target, _ = vague(1e6)
    run = ParallelTempering()
    spent = run.prepare(target, 0)[1].score
    draws = run.sample(target, chains=4, draws=4, warmup=11)
    levels = len(draws.attrs["tempering"]["betas"])
    assert (draws.cost.score - spent) / (15 * 4 * levels) < 12  # leapfrogs a move; hundreds where steps had collapsed


@pytest.mark.slow
def test_log_z_from_a_vague_prior():
    target, right = vague(1e4)
    log_z = ParallelTempering().sample(target, chains=8, draws=200, warmup=60).log_z
    assert abs(log_z.value - right) < 6 * log_z.standard_error
