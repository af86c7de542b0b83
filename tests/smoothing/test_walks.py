"""Walk-jump, joint multimeasurement and diffusive Gibbs sampling leave their target invariant."""

from dataclasses import dataclass, replace

import pytest
import torch
from scout_cases import Hidden

import targets
from samplers import HMC, MALA, MAMS, MCLMC, SamplingWarning, UnderdampedLangevin
from samplers.denoisers import Auto, ClosedForm, Denoiser, Estimate
from samplers.smoothing import DiffusiveGibbs, JointMultimeasurement, WalkJump
from samplers.testing import check_invariance, check_moves, check_reversible

MEANS = torch.tensor([[-2.0, 0.5], [1.5, -1.0], [0.0, 2.0]], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.5, 0.6], [0.6, 0.7]], dtype=torch.float64)


def mixture():
    return targets.GaussianMixture(MEANS, scales=[0.7, 0.4, 1.0], weights=[0.6, 0.3, 0.1])


def dense_mixture():
    shapes = torch.stack([COVARIANCE, 0.3 * COVARIANCE, torch.eye(2, dtype=torch.float64)])
    return targets.GaussianMixture(MEANS, covariances=shapes, weights=[0.6, 0.3, 0.1])


WALKS = {
    "walk-jump": WalkJump(sigma=1.2, steps=2),
    "walk-jump by MALA": WalkJump(sigma=0.8, kernel=MALA(0.4), steps=2),
    "walk-jump by MAMS": WalkJump(sigma=1.2, kernel=MAMS(), steps=1),
    "walk-jump, correlated noise": WalkJump(noise=COVARIANCE, steps=1),
    "walk-jump, variances": WalkJump(noise=torch.tensor([0.5, 2.0]), steps=1),
    "three measurements": JointMultimeasurement(sigma=1.5, m=3, steps=1),
    "two measurements, correlated noise": JointMultimeasurement(noise=COVARIANCE, m=2, steps=1),
}
GIBBS = {
    "diffusive Gibbs": DiffusiveGibbs(sigma=1.0, step_size=0.2),
    "candidates alone": DiffusiveGibbs(sigma=1.0, candidates=4, steps=0),
    "MALA alone": DiffusiveGibbs(sigma=0.5, candidates=0, steps=2, step_size=0.2),
    "several noises": DiffusiveGibbs(sigma=(0.3, 1.0, 3.0), candidates=4, steps=1, step_size=0.1),
}


def ready(kernel, target):
    return kernel.placed(target)


@pytest.mark.parametrize("name", WALKS | GIBBS)
def test_the_target_is_left_invariant(name):
    kernel, target = (WALKS | GIBBS)[name], mixture()
    kernel = ready(kernel, target)
    assert kernel.exact
    check_invariance(kernel, target, seed=1, steps=2, chains=20_000)


def test_dense_components():
    target = dense_mixture()
    check_invariance(ready(WALKS["walk-jump, correlated noise"], target), target, seed=2, steps=2, chains=20_000)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "three measurements" else name
        for name in [*WALKS, "candidates alone", "MALA alone"]
    ],
)
def test_reversible_ones_are_reversible(name):
    target = mixture()
    kernel = ready((WALKS | GIBBS)[name], target)
    assert kernel.reversible
    check_reversible(kernel, target, seed=3)


LONG = (
    "diffusive Gibbs",
    "two measurements, correlated noise",
    "walk-jump, correlated noise",
    "three measurements",
    "walk-jump by MALA",
    "walk-jump, variances",
    "walk-jump by MAMS",
    "several noises",
    "candidates alone",
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in WALKS | GIBBS]
)
def test_chains_move(name):
    target = mixture()
    check_moves(ready((WALKS | GIBBS)[name], target), target)


# Mistakes


@dataclass(frozen=True, eq=False)
class NoiseOfOne(ClosedForm):
    """Forgets that the mean of m measurements has a smaller noise."""

    def draw(self, target, y, noise, generator, memory=None):
        return super().draw(target, y, noise.scaled(3.0), generator, memory)


@dataclass(frozen=True, eq=False)
class HalfTweedie(ClosedForm):
    """Loses half of Tweedie's correction in the density's gradient and value."""

    def estimate(self, target, y, noise, generator=None, memory=None):
        found = super().estimate(target, y, noise, generator, memory)
        return Estimate(found.mean, 0.9 * found.log_density)


@dataclass(frozen=True, eq=False)
class MeanAsDraw(ClosedForm):
    """Takes the mean for a draw."""

    def draw(self, target, y, noise, generator, memory=None):
        return self.estimate(target, y, noise).mean


@dataclass(frozen=True, eq=False)
class StaleNoise(DiffusiveGibbs):
    """Measures without noise."""

    def step(self, target, state, generator):
        quiet = replace(self, sigma=(1e-3,))
        before = super(StaleNoise, quiet).step(target, state, generator)[0]
        return super().step(target, replace(before, x=state.x + 0.05), generator)


BUGS = {
    "the noise of one measurement for that of three": JointMultimeasurement(
        sigma=1.5, m=3, steps=1, denoiser=NoiseOfOne()
    ),
    "a density that is too flat": WalkJump(sigma=0.8, kernel=MALA(0.4), denoiser=HalfTweedie()),
    "the mean for a draw": WalkJump(sigma=0.8, denoiser=MeanAsDraw()),
    "jump='mean'": WalkJump(sigma=0.8, jump="mean"),
    "no Metropolis test": WalkJump(sigma=1.2, kernel=UnderdampedLangevin(1.5), steps=4),
    "no Metropolis test, at constant speed": WalkJump(sigma=1.2, kernel=MCLMC(1.5), steps=4),
    "a state that is not where x is": StaleNoise(sigma=1.0, step_size=0.2),
}


@pytest.mark.parametrize("name", BUGS)
def test_mistakes_are_rejected(name):
    target = mixture()
    with pytest.raises(AssertionError, match="invariance"):
        check_invariance(ready(BUGS[name], target), target, seed=4, steps=4, chains=50_000)


def test_declarations():
    target = mixture()
    assert not ready(WalkJump(sigma=1.0, jump="mean"), target).exact
    assert not ready(WalkJump(sigma=1.0, kernel=UnderdampedLangevin()), target).exact
    assert not DiffusiveGibbs(sigma=1.0).reversible


def test_spins_are_redrawn_exactly():
    model = targets.Ising((3, 3), 0.3, dtype=torch.float64)
    kernel = DiffusiveGibbs(noise="mrf").placed(model)
    assert kernel.reversible
    check_invariance(kernel, model, seed=1, steps=2, chains=20_000)
    check_reversible(kernel, model, seed=2)
    draws = DiffusiveGibbs(noise="mrf").sample(model, chains=256, draws=200, warmup=20, seed=3)
    energies = model.log_prob(draws.x).mean(1)
    exact = float(model.log_prob(model.enumerate()).softmax(0) @ model.log_prob(model.enumerate()))
    assert abs(float(energies.mean()) - exact) < 4 * float(energies.std()) / 16
    assert set(draws.x.unique().tolist()) == {-1.0, 1.0}


# The run


def test_draws_carry_what_was_done():
    target = mixture()
    draws = WalkJump(sigma=1.5, steps=2).sample(target, chains=8, draws=5, warmup=2, seed=1)
    assert draws.x.shape == (8, 5, 2)
    found = draws.attrs["smoothing"]
    assert found["denoiser"] == "ClosedForm"
    assert found["fallbacks"] == 0
    assert "1.5" in found["noise"]
    torch.testing.assert_close(draws.stats["lp"], target.log_prob(draws.x))
    assert draws.cost.score > 8 * 7 * 2


@pytest.mark.parametrize("stop", [1, 9])
@pytest.mark.parametrize(
    ("sampler", "target"),
    [
        (WalkJump(sigma=1.5, steps=2), mixture()),
        (WalkJump(sigma=1.5, steps=2, denoiser="quadrature"), mixture()),
        (WalkJump(sigma=0.03, steps=1, denoiser="quadrature"), mixture()),
        (JointMultimeasurement(sigma=1.5, m=2, steps=2), Hidden(mixture())),
        (WalkJump(sigma=1.5, steps=1, denoiser=Auto()), Hidden(targets.Gaussian(torch.zeros(3).double()))),
    ],
    ids=["closed form", "grid", "finer grid", "grid that is found", "pilot"],
)
def test_a_stopped_run_goes_on_to_the_same_bits(sampler, target, stop, tmp_path, monkeypatch):
    """And to the same cost: what is found once for the target is found again, and counted once."""
    path = tmp_path / "run"
    whole = sampler.sample(target, chains=4, draws=12, warmup=3, seed=7)
    original, calls = type(sampler).step, []

    def crash(self, *args):
        calls.append(1)
        if len(calls) == stop:
            raise RuntimeError("power cut")
        return original(self, *args)

    monkeypatch.setattr(type(sampler), "step", crash)
    with pytest.raises(RuntimeError, match="power cut"):
        sampler.sample(target, chains=4, draws=12, warmup=3, seed=7, checkpoint=path)
    monkeypatch.setattr(type(sampler), "step", original)
    again = sampler.sample(target, chains=4, draws=12, warmup=3, seed=7, checkpoint=path)
    assert torch.equal(whole.x, again.x)
    assert (whole.cost.log_prob, whole.cost.score) == (again.cost.log_prob, again.cost.score)
    assert whole.attrs["smoothing"] == again.attrs["smoothing"]


def test_warmup_tunes_the_step_of_diffusive_gibbs():
    target = mixture()
    draws = DiffusiveGibbs(sigma=4.0).sample(target, chains=64, draws=200, warmup=200, seed=1)
    assert float(draws.stats["acceptance_rate"].mean()) == pytest.approx(0.574, abs=0.08)
    by_chain = draws.x.mean(1)
    error = by_chain.std(0) / 8
    assert bool(((by_chain.mean(0) - target.mean).abs() < 4 * error).all())


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (lambda: WalkJump(sigma=-1.0).placed(mixture()), "sigma: got -1.0, expected a positive finite number"),
        (lambda: WalkJump(sigma=1.0, jump="leap"), "jump: got 'leap', expected 'posterior' or 'mean'"),
        (lambda: WalkJump(noise="pink"), "noise: got 'pink', expected 'isotropic', 'mrf', a covariance"),
        (lambda: WalkJump(noise=COVARIANCE, sigma=1.0), "sigma, noise: got both"),
        (lambda: WalkJump(sigma=1.0, steps=0), "steps: got 0, expected an integer of at least 1"),
        (lambda: WalkJump(noise=torch.eye(3)).placed(mixture()), r"noise: got shape \(3, 3\), expected a covariance"),
        (lambda: WalkJump(noise=-torch.eye(2)).placed(mixture()), "covariance: got a matrix that is not positive"),
        (lambda: WalkJump().placed(mixture()), "sigma: left to `sample`"),
        (lambda: JointMultimeasurement(sigma=1.0, m=0), "m: got 0, expected an integer of at least 1"),
        (lambda: JointMultimeasurement(sigma=1.0).placed(mixture()), "m: left to `sample`"),
        (lambda: DiffusiveGibbs(sigma=0.0), "sigma: got 0.0, expected a positive finite number"),
        (lambda: DiffusiveGibbs(sigma=()), "sigma: got none"),
        (lambda: DiffusiveGibbs(sigma=1.0, candidates=0, steps=0), "candidates, steps: got 0 for both"),
        (lambda: DiffusiveGibbs(sigma=1.0, noise="mrf"), "sigma, noise: got both"),
        (lambda: DiffusiveGibbs(noise="pink"), "noise: got 'pink', expected 'isotropic' or 'mrf'"),
        (lambda: DiffusiveGibbs().step(mixture(), None, torch.Generator()), "sigma: left to `sample`"),
    ],
)
def test_bad_arguments_are_named(sampler, message):
    with pytest.raises(ValueError, match=message):
        sampler()


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match="kernel: got the class HMC, expected a kernel such as"):
        WalkJump(sigma=1.0, kernel=HMC)
    with pytest.raises(TypeError, match="noise: 'mrf' is for a PairwiseMRF"):
        WalkJump(noise="mrf").sample(mixture(), chains=2, draws=2, warmup=0)
    with pytest.raises(TypeError, match="noise: 'mrf' is for a PairwiseMRF"):
        DiffusiveGibbs(noise="mrf").sample(mixture(), chains=2, draws=2, warmup=0)
    with pytest.raises(TypeError, match="target: got function"):
        WalkJump(sigma=1.0).sample(lambda x: x, chains=2, draws=2, warmup=0)
    with pytest.raises(TypeError, match="denoiser"):
        WalkJump(sigma=1.0, denoiser=3).placed(mixture())


@dataclass(frozen=True, eq=False)
class Blind(Denoiser):
    """Gives no density, and does not believe itself."""

    def estimate(self, target, y, noise, generator, memory=None):
        n = len(y)
        return Estimate(y, None, ess=torch.ones(n), trusted=torch.zeros(n, dtype=torch.bool))

    def draw(self, target, y, noise, generator, memory=None):
        return y


def test_a_denoiser_that_does_not_believe_itself_stops_the_run():
    from samplers.denoisers.base import UntrustedEstimate

    with pytest.raises(UntrustedEstimate, match=r"Blind does not believe 100% of its estimates of E\[X \| y\]"):
        WalkJump(sigma=1.0, denoiser=Blind()).sample(mixture(), chains=2, draws=2, warmup=0)


def test_a_metropolis_test_needs_a_density():
    with pytest.raises(ValueError, match="kernel: MALA tests by the density of the measurements, which Blind"):
        WalkJump(sigma=1.0, kernel=MALA(), denoiser=Blind()).placed(mixture())
    assert issubclass(SamplingWarning, UserWarning)


@dataclass(frozen=True, eq=False)
class EveryThird(ClosedForm):
    """Says that another has answered every third row."""

    def estimate(self, target, y, noise, generator=None, memory=None):
        found = super().estimate(target, y, noise, generator, memory)
        return replace(found, fallback=torch.arange(len(y)) % 3 == 0)


def test_fallbacks_are_counted_row_by_row():
    sampler = WalkJump(sigma=1.0, kernel=MALA(0.4), steps=4, denoiser=EveryThird())
    found = sampler.sample(mixture(), chains=7, draws=5, warmup=0, seed=1).attrs["smoothing"]
    assert found["points"] == 7 * (1 + 5 * 4)
    assert found["fallbacks"] == 3 * (1 + 5 * 4)


def test_diffusive_gibbs_evaluates_nothing_twice():
    for candidates, steps, log_probs, scores in ((4, 2, 4 + 3, 3), (4, 0, 4, 0), (0, 2, 2, 2)):
        kernel = DiffusiveGibbs(sigma=1.0, candidates=candidates, steps=steps, step_size=0.1)
        cost = kernel.sample(mixture(), chains=3, draws=10, warmup=0, seed=1).cost
        first = 1 if steps else 0
        assert (cost.log_prob, cost.score) == (3 * (1 + 10 * log_probs), 3 * (first + 10 * scores))


def test_a_density_that_begins_to_fail_leaves_diffusive_gibbs_where_it_stands():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 2, generator=generator, dtype=torch.float64)
    failing = targets.LogDensity(lambda x: x.sum(-1) * torch.nan, 2, dtype=torch.float64)
    kernel = DiffusiveGibbs(sigma=1.0)
    state = kernel.init(targets.Gaussian(torch.zeros(2, dtype=torch.float64)), x, generator)
    after, info = kernel.step(failing, state, generator)
    for name in ("x", "log_prob", "score"):
        assert torch.equal(getattr(after, name), getattr(state, name))
    assert info.diverging.all()
