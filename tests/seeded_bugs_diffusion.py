"""Learned diffusion samplers with one mistake each, of the kinds that are really made. `check_unbiased_z` rejects all.

Each bug is a function of pytest's `monkeypatch` that returns the sampler and the target on which it shows, and in some
cases arguments of the check. All have random networks: no training is needed for a weight to be right, or wrong.
"""

import math
from dataclasses import dataclass, replace

import torch
from annealing_cases import HalfNormal, gaussian
from bug_register import Bugs
from diffusion_cases import LINE, SKEWED, Weights, by_run, method, untrained

from samplers import Draws
from samplers.annealing.cloud import Cloud
from samplers.diffusion import SubTrajectoryBalance
from samplers.diffusion.controlled_langevin import LangevinMeasure
from samplers.diffusion.gbs import TwoFields
from samplers.path_measures import simulation, subtrajectories
from samplers.path_measures.base import PathMeasure
from samplers.path_measures.prior import GaussianPrior
from samplers.path_measures.simulation import increments, simulate
from samplers.processes.linear import VP
from targets.affine import Affine

BUGS = Bugs()
bug = BUGS.add


def dds(where="line", **options):
    return method("DDS", where, start="reference", **options)


# Integrals in continuous time


@dataclass
class Girsanov(Weights):
    """The weight of DIS as it is usually written, along an Euler path of the network's own control.

    dX = (beta X / 2 + sqrt(beta) u) dt + sqrt(beta) dW,   u = sqrt(beta) score
    log w = log gamma(X_1) - log N(X_0; 0, 1) + int d beta / 2 dt - int |u|^2 / 2 dt - int u dW
    """

    @torch.no_grad()
    def sample(self, target, *, draws, seed):
        measure, seen = self.fitted.measure, self.fitted.space.seen(target)
        generator = torch.Generator().manual_seed(seed)
        at = simulation.evaluate(seen, measure.prior.sample(self.replicates * draws, generator))
        log_w = -measure.prior.log_prob(at.x[0])
        process, dt = VP(self.fitted.method.beta_min, self.fitted.method.beta_max), 1 / measure.steps
        table = measure.table(torch.arange(measure.steps + 1))
        for k in range(measure.steps):
            beta = float(process.beta_min + (process.beta_max - process.beta_min) * (1 - k * dt))
            score = measure.field(table[k : k + 1], at)[0] - at.x[0]
            u = math.sqrt(beta) * score
            noise = math.sqrt(dt) * torch.randn(u.shape, generator=generator, dtype=u.dtype)
            log_w = log_w + 0.5 * target.dim * beta * dt - 0.5 * dt * u.square().sum(-1) - (u * noise).sum(-1)
            at = simulation.evaluate(seen, at.x[0] + 0.5 * beta * at.x[0] * dt + math.sqrt(beta) * (u * dt + noise))
        return Draws(seen.to_x(at.x), log_z=by_run(log_w + at.log_prob[0], self.replicates))


@bug("integrals of Girsanov's formula along an Euler path")
def girsanov(patch):
    return Girsanov(untrained(method("DIS", start="reference", beta_max=5.0), LINE)), LINE


# The two kernels


@bug("the normalisers of two unequal scales left out")
def normalisers(patch):
    right = PathMeasure.log_ratio

    def log_ratio(self, forward, new, backward, old):
        return right(self, forward, new, backward, old) - (forward.log_det - backward.log_det)

    patch.setattr(PathMeasure, "log_ratio", log_ratio)
    return Weights(untrained(dds(), LINE)), LINE


@bug("the normaliser of one coordinate in place of all")
def one_coordinate(patch):
    right = PathMeasure.log_ratio

    def log_ratio(self, forward, new, backward, old):
        scales = (forward.scale.log() - backward.scale.log()).double()
        return right(self, forward, new, backward, old) - (self.dim - 1) * scales[..., 0]

    patch.setattr(PathMeasure, "log_ratio", log_ratio)
    return Weights(untrained(method("PIS", "plane", learn_scale=False), SKEWED)), SKEWED


@bug("the step size of the backward kernel off by one, and its normaliser that of the right one")
def step_off_by_one(patch):
    right = PathMeasure.log_ratio

    def log_ratio(self, forward, new, backward, old):
        return right(self, forward, new, replace(backward, log_det=forward.log_det), old)

    patch.setattr(PathMeasure, "log_ratio", log_ratio)
    patch.setattr(LangevinMeasure, "_sides", lambda self, k: (k.clamp_max(self.steps - 1), k.clamp_max(self.steps - 1)))
    return Weights(untrained(method("CMCD"), LINE)), LINE


@bug("a backward kernel around the state where it should lead")
def backward_at_the_old_state(patch):
    right = PathMeasure.log_ratio

    def log_ratio(self, forward, new, backward, old):
        return right(self, forward, new, replace(backward, mean=backward.mean + 0.2 * (old - new)), old)

    patch.setattr(PathMeasure, "log_ratio", log_ratio)
    return Weights(untrained(method("MCD"), LINE)), LINE


@bug("noise wider than the weights know")
def noise(patch):
    right = simulation.draw
    patch.setattr(simulation, "draw", lambda step, generator, noise_scale: right(step, generator, 1.2))
    return Weights(untrained(dds(), LINE)), LINE


@bug("the backward field of the state before, of two fields")
def field_of_the_state_before(patch):
    right, held = LangevinMeasure.backward, {}

    def backward(self, table, at, field):
        before, held["field"] = held.get("field", field), field
        before = before if before.shape == field.shape else field  # the first step of another run
        return right(self, table, at, torch.stack([field[:, 0], before[:, 2]], 1))

    patch.setattr(TwoFields, "backward", backward)
    return Weights(untrained(method("GBS"), LINE)), LINE


# The ends


@bug("the determinant of the coordinates left out")
def determinant(patch):
    def log_prob_and_score(self, u):
        value, score = self.target.log_prob_and_score(self.to_x(u))
        return value, self.score_to_u(score)

    patch.setattr(Affine, "log_prob_and_score", log_prob_and_score)
    return Weights(untrained(method("CMCD", "plane"), SKEWED)), SKEWED


@bug("the prior's learned scale not in its density")
def prior_scale(patch):
    def log_prob(self, x):
        return -0.5 * (x - self.mean).square().sum(-1) - 0.5 * self.dim * math.log(2 * math.pi)

    patch.setattr(GaussianPrior, "log_prob", log_prob)
    fitted = untrained(method("CMCD"), LINE)
    fitted.measure.prior.log_scale.data.fill_(0.2)
    return Weights(fitted), LINE


@bug("the mean over paths that end at a finite energy")
def survivors(patch):
    @dataclass
    class Survivors(Weights):
        def sample(self, target, *, draws, seed):
            found = self.fitted.sample(target, draws=self.replicates * draws, seed=seed)
            log_w = found.log_weights.reshape(self.replicates, -1)
            gain = log_w.isfinite().double().mean(1, keepdim=True).log()
            return Draws(found.x, log_z=by_run((log_w - gain).reshape(-1), self.replicates))

    half = HalfNormal()
    return Survivors(untrained(dds("plane"), half)), half


@bug("the bound in place of log Z")
def bound(patch):
    @dataclass
    class Bound(Weights):
        def sample(self, target, *, draws, seed):
            found = self.fitted.sample(target, draws=self.replicates * draws, seed=seed)
            means = found.log_weights.reshape(self.replicates, -1).mean(1)
            return Draws(found.x, log_z=by_run(means, self.replicates))

    return Bound(untrained(method("PIS"), LINE)), LINE


# Paths that are evaluated again


@dataclass
class Again(Weights):
    """Weights of simulated paths, evaluated again by `judged`, a function of measure and points."""

    judged: object = None

    def sample(self, target, *, draws, seed):
        measure, seen = self.fitted.measure, self.fitted.space.seen(target)
        generator = torch.Generator().manual_seed(seed)
        paths = simulate(measure, seen, self.replicates * draws, generator, keep=True)
        log_w = paths.end - paths.start + self.judged(measure, paths.points)
        return Draws(seen.to_x(paths.last_point.x), log_z=by_run(log_w, self.replicates))


@bug("the time grid off by one where paths are evaluated again")
def grid_off_by_one(patch):
    def judged(measure, points):
        shifted = increments(measure, points[:-1], 1).sum(0)
        return shifted + increments(measure, points[-2:], measure.steps - 1).sum(0)

    return Again(untrained(method("PIS"), LINE), judged=judged), LINE, {"draws": 128}


@bug("the first step left out")
def first_step(patch):
    return Again(untrained(dds(), LINE), judged=lambda measure, points: increments(measure, points[1:], 1).sum(0)), LINE


@bug("another clip where paths are evaluated again")
def clip(patch):
    def judged(measure, points):
        measure.set_clip(0.3)
        found = increments(measure, points, 0).sum(0)
        measure.set_clip(math.inf)
        return found

    return Again(untrained(method("PIS"), LINE), judged=judged), LINE


@bug("the ratio the wrong way round")
def turned(patch):
    judged = lambda measure, points: -increments(measure, points, 0).sum(0)  # noqa: E731
    return Again(untrained(method("CMCD"), LINE), judged=judged), LINE


# Pieces

RUNS = {"runs": 200, "draws": 40}


def scld(step_size=0.06, **options):
    fitted = untrained(method("SCLD", **({"steps": 3, "ess_threshold": 1.0} | options)), LINE)
    fitted.measure.log_steps.data.fill_(math.log(step_size))
    return fitted


def hardly_moving():
    """Increments of successive subtrajectories that are nearly the same, from a prior that is wrong."""
    return scld(1e-3, steps=5, subtrajectories=5, moves=0, prior=gaussian(1, 2.0, -0.8))


@bug("resampling without a reset of the weights")
def weights_kept(patch):
    right = Cloud.resample

    def resample(self, scheme, needed, generator):
        weights = self.log_weights
        right(self, scheme, needed, generator)
        self.log_weights = weights

    patch.setattr(Cloud, "resample", resample)
    return hardly_moving(), LINE, RUNS


@bug("scores and densities left where they were when ancestors were drawn")
def stale_points(patch):
    def take(state, index):
        return replace(state, x=state.x[index])

    patch.setattr("samplers.annealing.cloud.take", take)
    return scld(steps=4, subtrajectories=4, moves=0, prior=gaussian(1, 2.0, -0.8)), LINE, RUNS


@bug("moves at the temperature with which the piece began")
def moves_lag(patch):
    right = subtrajectories.Between
    patch.setattr(subtrajectories, "Between", lambda measure, target, k: right(measure, target, k - 1))
    fitted = scld(1e-3, steps=2, subtrajectories=2)
    fitted.move_steps.fill_(0.4)
    return fitted, LINE, RUNS


@bug("moves that do not know the flow")
def moves_without_flow(patch):
    class Between(subtrajectories.Between):
        def state(self, x, value, score):
            flow, self._measure.flow = self._measure.flow, None
            try:
                return super().state(x, value, score)
            finally:
                self._measure.flow = flow

    patch.setattr(subtrajectories, "Between", Between)
    fitted = scld(steps=2, subtrajectories=2, objective=SubTrajectoryBalance())
    fitted.move_steps.fill_(0.4)
    fitted.measure.flow.out.weight.data.mul_(3)
    return fitted, LINE, RUNS


@bug("a piece that begins at another density than the last one ended at")
def broken_telescope(patch):
    right = PathMeasure.log_density

    def log_density(self, k, at):
        return right(self, torch.where((k > 0) & (k < self.steps), k - 1, k), at)

    walk = simulation._walk

    def lagging(measure, target, start, begin, *rest, **more):
        paths = walk(measure, target, start, begin, *rest, **more)
        first = torch.full((1,), begin)
        return replace(paths, start=log_density(measure, first, start)[0])

    patch.setattr(simulation, "_walk", lagging)
    return scld(), LINE, RUNS
