"""Annealing with one mistake each, of the kinds that are really made. `check_unbiased_z` must reject every one.

Each bug is a function of pytest's `monkeypatch` that returns the sampler and the target on which it shows, and in some
cases arguments of the check.
"""

import math
from dataclasses import dataclass, replace

import torch
from annealing_cases import PLAIN, HalfNormal, Unnormalised, gaussian, skewed
from bug_register import Bugs

from samplers import HMC, ULA, RandomWalkMetropolis
from samplers.annealing import AIS, SMC, cloud, resampling
from samplers.annealing.annealer import Run
from samplers.annealing.cloud import Cloud
from samplers.annealing.paths import GeometricPath
from samplers.kernels import Info, Kernel, evaluate, noise_like

BUGS = Bugs()
bug = BUGS.add


def smc(**options):
    given = {"betas": 6, "moves": 2, "ess_threshold": 1.0, "base": gaussian(2, 2.0)} | options
    return SMC(given.pop("kernel", HMC(0.5, PLAIN, steps=3)), **given)


def ais(**options):
    return AIS(HMC(0.5, PLAIN, steps=3), **{"base": gaussian(2, 2.0), "betas": 6, "moves": 2} | options)


# The incremental weight


@bug("weight at the new state in place of the old")
def weight_after_the_move(patch):
    def step(run):
        old, new = run.betas[-1], run.sampler.betas[len(run.betas)]
        run.betas.append(new)
        run.cloud.state = run.path.moved(run.cloud.state, new, run.given, run.generator)
        run._move(run.sampler.moves, keep=False)
        run.cloud.reweight(run.path.increments(run.cloud.state, old)(new).reshape(run.rows, run.n))

    patch.setattr(Run, "step", step)
    return ais(), skewed()


def with_increments(patch, increments):
    patch.setattr(GeometricPath, "increments", increments)


@bug("temperatures swapped in the weight")
def swapped_betas(patch):
    right = GeometricPath.increments
    with_increments(patch, lambda path, state, beta: lambda new: -right(path, state, beta)(new))
    return ais(), skewed()


@bug("weights one temperature behind the moves")
def off_by_one_betas(patch):
    right = GeometricPath.increments

    def increments(path, state, beta):
        ratio = right(path, state, 0.0)(1.0)
        return lambda new: (beta - max(2 * beta - new, 0.0)) * ratio

    with_increments(patch, increments)
    return ais(betas=10), skewed()


@bug("the base's log-density left out of the weight")
def no_base_in_the_weight(patch):
    with_increments(patch, lambda path, state, beta: lambda new: (new - beta) * state.target_log_prob)
    return ais(), skewed()


def starting_at(patch, change):
    right = Cloud.start.__func__
    patch.setattr(Cloud, "start", classmethod(lambda cls, state, rows, log_z: right(cls, state, rows, change(log_z))))


@bug("the base's normaliser left out")
def no_base_normaliser(patch):
    starting_at(patch, lambda log_z: 0.0)
    return smc(base=Unnormalised(1.5, 2.0)), skewed()


@bug("the base's normaliser with the wrong sign")
def base_normaliser_turned(patch):
    starting_at(patch, lambda log_z: -log_z)
    return smc(base=Unnormalised(1.5, 2.0)), skewed()


@bug("mean of log-weights in place of the log of the mean")
def mean_log(patch):
    def reweight(self, increment):
        raised = self.log_weights + increment
        self.log_z = self.log_z + (self.log_weights.exp() * increment).sum(-1)
        self.log_weights = raised - torch.logsumexp(raised, -1, keepdim=True)

    patch.setattr(Cloud, "reweight", reweight)
    return smc(), skewed()


@bug("the mean over particles of positive weight only")
def survivors_only(patch):
    def reweight(self, increment):
        raised = self.log_weights + increment
        total = torch.logsumexp(raised, -1)
        self.log_z = self.log_z + total - (increment > -torch.inf).double().mean(-1).log()
        self.log_weights = raised - total[:, None]

    patch.setattr(Cloud, "reweight", reweight)
    return smc(), HalfNormal()


@bug("plain mean of the increments under unequal weights")
def unweighted_mean(patch):
    def reweight(self, increment):
        raised = self.log_weights + increment
        self.log_z = self.log_z + torch.logsumexp(increment, -1) - math.log(increment.shape[1])
        self.log_weights = raised - torch.logsumexp(raised, -1, keepdim=True)

    patch.setattr(Cloud, "reweight", reweight)
    return smc(ess_threshold=0.5), skewed()


# The moves


@bug("moves at the temperature before")
def moves_lag(patch):
    right = Run._move

    def move(run, moves, keep):
        run.betas.append(run.betas[-2])
        right(run, moves, keep)
        run.betas.pop()

    patch.setattr(Run, "_move", move)
    return ais(), skewed()


@bug("moves at the target's temperature throughout")
def moves_at_the_target(patch):
    right = Run._move

    def move(run, moves, keep):
        run.betas.append(1.0)
        right(run, moves, keep)
        run.betas.pop()

    patch.setattr(Run, "_move", move)
    return ais(), skewed()


@bug("log-density of the last temperature kept in the state")
def stale_temperature(patch):
    patch.setattr(GeometricPath, "moved", lambda path, state, beta, kernel, generator: state)
    return smc(betas=3), skewed()


def ula(kernel, **options):
    """Scale 1/2 in units of which the step is not small."""
    return smc(kernel=kernel, base=gaussian(2, 1.0), betas=4, **options), gaussian(2, 0.5, 0.5)


@dataclass(frozen=True, eq=False)
class ULATakenForExact(ULA):
    """Its moves do not enter the weights."""

    exact = True


@bug("ULA without its log-ratio")
def ula_taken_for_exact(patch):
    return ula(ULATakenForExact(0.08, PLAIN))


@bug("ULA with the sign of its log-ratio turned")
def ula_turned(patch):
    right = ULA.log_ratio
    patch.setattr(ULA, "log_ratio", lambda kernel, old, new: -right(kernel, old, new))
    return ula(ULA(0.08, PLAIN))


# Resampling


def scheme(patch, function):
    patch.setitem(resampling.SCHEMES, "systematic", function)
    return hardly_moving(), skewed(), {"draws": 4}


def hardly_moving():
    """Moves that mix would hide what resampling does to the particles."""
    return smc(kernel=RandomWalkMetropolis(0.05, PLAIN), betas=3, moves=1)


@bug("the largest weights survive")
def largest(patch):
    def best_half(weights, n, generator):
        order = weights.argsort(-1, descending=True)
        return order[:, : max(1, n // 2)].repeat_interleave(2, 1)[:, :n]

    return scheme(patch, best_half)


@bug("offspring numbers rounded without chance")
def middle_of_every_stratum(patch):
    def middle(weights, n, generator):
        points = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        return resampling._inverse(weights, points.expand(len(weights), n))

    return (*scheme(patch, middle)[:2], {"draws": 2})


@bug("ancestors off by one")
def off_by_one(patch):
    right = resampling.systematic
    return scheme(patch, lambda weights, n, generator: (right(weights, n, generator) + 1) % weights.shape[1])


@bug("ancestors in proportion to the square roots of the weights")
def square_roots(patch):
    right = resampling.systematic
    return scheme(patch, lambda weights, n, generator: right(weights.sqrt(), n, generator))


@bug("ancestors in proportion to nothing")
def uniform(patch):
    def function(weights, n, generator):
        return torch.randint(weights.shape[1], (len(weights), n), generator=generator)

    return scheme(patch, function)


@bug("weights not made equal after resampling")
def weights_kept(patch):
    def resample(self, scheme, needed, generator):
        ancestors = resampling.SCHEMES[scheme](self.log_weights.exp(), self.shape[1], generator)
        self._take(ancestors)
        kept = self.log_weights.gather(1, ancestors)
        self.log_weights = kept - kept.logsumexp(-1, keepdim=True)

    patch.setattr(Cloud, "resample", resample)
    return hardly_moving(), skewed()


@bug("weights made equal without resampling")
def weights_forgotten(patch):
    def resample(self, scheme, needed, generator):
        self.log_weights = torch.full_like(self.log_weights, -math.log(self.shape[1]))

    patch.setattr(Cloud, "resample", resample)
    return hardly_moving(), skewed()


@bug("cached densities left where they were when the particles were resampled")
def stale_cache(patch):
    right = cloud.take

    def take(state, index):
        new = right(state, index)
        return replace(new, target_log_prob=state.target_log_prob, base_log_prob=state.base_log_prob)

    patch.setattr(cloud, "take", take)
    return smc(kernel=RandomWalkMetropolis(2.0, PLAIN), betas=3, moves=1), skewed()


@bug("ancestors of every replicate taken from the first")
def rows_leak(patch):
    def take(self, ancestors):
        self.state = cloud.take(self.state, ancestors.reshape(-1))
        self.eves = self.eves.gather(1, ancestors)

    patch.setattr(Cloud, "_take", take)
    return smc(), skewed()


# Waste-free


@bug("waste-free: weights divided by the number of ancestors")
def divided_by_ancestors(patch):
    right = Cloud.spread

    def spread(self, states):
        right(self, states)
        self.log_weights = self.log_weights + math.log(len(states))

    patch.setattr(Cloud, "spread", spread)
    return smc(waste_free=4), skewed()


@bug("waste-free: the first particles in place of drawn ancestors")
def first_ancestors(patch):
    def thin(self, n, scheme, generator):
        self._take(torch.arange(n).expand(len(self.log_weights), n))
        self.log_weights = self.log_weights.new_full((len(self.log_weights), n), -math.log(n))

    patch.setattr(Cloud, "thin", thin)
    return smc(waste_free=4), skewed()


@bug("waste-free: weights kept when ancestors are drawn")
def weights_kept_when_thinned(patch):
    def thin(self, n, scheme, generator):
        ancestors = resampling.SCHEMES[scheme](self.log_weights.exp(), n, generator)
        self._take(ancestors)
        self.log_weights = self.log_weights.gather(1, ancestors)

    def spread(self, states):
        self.state = cloud.interleave(states)
        self.eves = self.eves.repeat_interleave(len(states), 1)
        kept = self.log_weights.repeat_interleave(len(states), 1)
        self.log_weights = kept - kept.logsumexp(-1, keepdim=True)

    patch.setattr(Cloud, "thin", thin)
    patch.setattr(Cloud, "spread", spread)
    return smc(waste_free=4), skewed()


# Adaptation


@dataclass(frozen=True, eq=False)
class FreshDraws(Kernel):
    """Independent draws of the bridge between two centred Gaussians of equal scale in every direction."""

    reversible = exact = True
    needs_score = False

    def init(self, target, x, generator):
        return evaluate(target, x, score=False)

    def step(self, target, state, generator):
        variances = target.base.covariance[0, 0], target.target.inner.covariance[0, 0]
        precision = (1 - target.beta) / variances[0] + target.beta / variances[1]
        new = self.init(target, noise_like(state.x, generator) / precision.sqrt(), generator)
        always = torch.ones_like(new.log_prob)
        return new, Info(always, always < 0)


@bug("a schedule found from the particles that it serves")
def unfrozen_schedule(patch):
    return (
        AIS(FreshDraws(), gaussian(1, 1.0), conditional_ess=0.95, unbiased=False),
        gaussian(1, 0.2),
        {"draws": 3, "runs": 300},
    )


SLOW = {"a schedule found from the particles that it serves"}  # run by run
