"""Chains of measurements: sequential, localised, weighted."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from scout_cases import Hidden

import targets
from samplers import MALA, ULA, Draws, SamplingWarning
from samplers.denoisers import ClosedForm, Estimate
from samplers.denoisers.inner_chains import InnerChains
from samplers.denoisers.inner_smc import InnerSMC
from samplers.smoothing import SLIPS, SequentialMultimeasurement
from samplers.testing import statistics

MEANS = torch.tensor([[-2.0, 0.5], [1.5, -1.0], [0.0, 2.0]], dtype=torch.float64)


def mixture():
    return targets.GaussianMixture(MEANS, scales=[0.7, 0.4, 1.0], weights=[0.6, 0.3, 0.1])


def two(dim, tau=1.0, dtype=torch.float64):
    """Two Gaussians 3 to each side of the origin in every coordinate, 80 % on the left."""
    mean = torch.full((dim,), 3.0, dtype=dtype)
    return targets.GaussianMixture(torch.stack([-mean, mean]), scales=tau, weights=[0.8, 0.2], name="two Gaussians")


def from_the_right(dim):
    return lambda n, g: 3 + torch.randn(n, dim, generator=g, dtype=torch.float64)


def sliced_kolmogorov(x, fresh, directions=128):
    """Mean over random directions of the largest distance of the two empirical distribution functions."""
    g = torch.Generator().manual_seed(0)
    u = torch.nn.functional.normalize(torch.randn(x.shape[1], directions, generator=g, dtype=x.dtype), dim=0)
    a, b = (x @ u).sort(0).values, (fresh @ u).sort(0).values
    both = torch.cat([a, b]).mT.contiguous()
    below_a = torch.searchsorted(a.mT.contiguous(), both, right=True) / len(a)
    below_b = torch.searchsorted(b.mT.contiguous(), both, right=True) / len(b)
    return float((below_a - below_b).abs().amax(1).mean())


def left(x):
    return float((x.mean(-1) < 0).double().mean())


# From one mode to the weights of both


@pytest.mark.parametrize("dim", [2, 8, 32, pytest.param(128, marks=pytest.mark.slow)])
def test_the_weights_are_found_from_one_mode(dim):
    target = two(dim)
    sampler = SequentialMultimeasurement(sigma=math.sqrt(9 * dim - 1), m=16, steps=4, first_steps=64)
    draws = sampler.sample(target, draws=4096, init=from_the_right(dim), seed=3)
    x = draws.x[0]
    assert abs(left(x) - 0.8) < 0.03
    fresh = target.sample(4096, generator=torch.Generator().manual_seed(9))
    assert sliced_kolmogorov(x, fresh) < 0.05
    # the same number of scores spent on Langevin chains leaves them where they are
    steps = draws.cost.score // 4096
    for kernel in (ULA(0.05), MALA(0.05)):
        stuck = kernel.sample(target, chains=256, draws=1, warmup=0, thin=steps, init=from_the_right(dim), seed=1)
        assert left(stuck.x[:, -1]) == 0.0


@pytest.mark.parametrize("dim", [2, 8])
def test_localisation_finds_them_too(dim):
    target = two(dim)
    for update in ("posterior", "mean"):
        sampler = SLIPS(sigma=math.sqrt(9 * dim - 1), m=1000, count=64, first_steps=64, update=update)
        assert abs(left(sampler.sample(target, init=from_the_right(dim), seed=2).x[0]) - 0.8) < 0.03


# Exact where it is said to be


def same_law(x, target, seed):
    fresh = target.sample(len(x), generator=torch.Generator().manual_seed(seed))
    ties = torch.Generator().manual_seed(seed + 1)
    functions = {
        "x0": lambda v: v[:, 0],
        "x1": lambda v: v[:, 1],
        "x0 x1": lambda v: v[:, 0] * v[:, 1],
        "log_prob": target.log_prob,
    }
    values: dict[str, float] = {}
    for name, function in functions.items():
        values |= statistics.two_sample(function(x), function(fresh), name, ties)
    return min(values.values()) * len(values)


def test_localisation_is_exact_in_few_steps():
    """From exact draws, whose measurement has its own law, no number of steps is too small."""
    target = mixture()
    exact = {"init": lambda n, g: target.sample(n, generator=g), "draws": 100_000}
    for schedule in ("standard", "geometric"):
        sampler = SLIPS(sigma=2.0, m=40, count=4, first_steps=0, schedule=schedule)
        assert same_law(sampler.sample(target, seed=1, **exact).x[0], target, 5) > 1e-5
    biased = SLIPS(sigma=2.0, m=40, count=4, first_steps=0, update="mean")
    assert same_law(biased.sample(target, seed=1, **exact).x[0], target, 5) < 1e-9


@pytest.mark.slow
def test_a_sequence_that_walks_long_enough():
    target = mixture()
    start = {"init": lambda n, g: target.sample(n, generator=g), "draws": 50_000}
    good = SequentialMultimeasurement(sigma=2.0, m=4, steps=12, kernel=MALA(0.5))
    assert same_law(good.sample(target, seed=1, **start).x[0], target, 5) > 1e-5
    mean = replace(good, jump="mean")
    assert same_law(mean.sample(target, seed=1, **start).x[0], target, 5) < 1e-9


@dataclass(frozen=True, eq=False)
class OneTooMany(ClosedForm):
    """Takes the noise of k measurements for that of k + 1."""

    def estimate(self, target, y, noise, generator=None, memory=None):
        k = round(4.0 / float(noise.variances(2)[0]))
        return super().estimate(target, y, noise.scaled(k / (k + 1)), generator, memory)


def test_an_index_off_by_one_is_rejected():
    target = mixture()
    start = {"init": lambda n, g: target.sample(n, generator=g), "draws": 50_000}
    wrong = SequentialMultimeasurement(sigma=2.0, m=4, steps=12, kernel=MALA(0.5), denoiser=OneTooMany())
    assert same_law(wrong.sample(target, seed=1, **start).x[0], target, 5) < 1e-9


# Weights


def unnormalised():
    return targets.GaussianMixture(MEANS, scales=[0.7, 0.4, 1.0], weights=[0.6, 0.3, 0.1], log_z=2.0)


def test_weighted_measurements_with_an_exact_denoiser():
    target = unnormalised()
    base = targets.Gaussian(torch.zeros(2, dtype=torch.float64), 2.5)
    sampler = SequentialMultimeasurement(sigma=2.0, m=4, weighted=True, base=base)
    ratios = [math.exp(sampler.sample(target, draws=256, seed=s).log_z.value - 2.0) for s in range(60)]
    error = float(torch.tensor(ratios).std()) / math.sqrt(60)
    assert abs(sum(ratios) / 60 - 1) < 4 * error
    draws = sampler.sample(target, draws=40_000, seed=1)
    assert abs(draws.log_z.value - 2.0) < 4 * draws.log_z.standard_error
    x = draws.resample(40_000, generator=torch.Generator().manual_seed(1))
    shares = target.mode_probabilities(x).mean(0)
    torch.testing.assert_close(shares, target.mode_weights, rtol=0, atol=0.015)


FIXED = InnerSMC(8, betas=[0.0, 0.02, 0.1, 0.3, 1.0], kernel=MALA(0.15, "identity"), guide=None, floor=1.0)


def ratios(sampler, runs, draws=64):
    """Mean and standard error of Z-hat / Z, and of Z-hat / Z times the weighted share of the first mode."""
    base = targets.Gaussian(torch.zeros(2, dtype=torch.float64), 2.5)
    sampler, known = replace(sampler, base=base), unnormalised()
    ratio, share = torch.zeros(runs, dtype=torch.float64), torch.zeros(runs, dtype=torch.float64)
    for s in range(runs):
        found = sampler.sample(Hidden(known), draws=draws, seed=s)
        ratio[s] = math.exp(found.log_z.value - 2.0)
        weights = found.log_weights[0].softmax(0)
        share[s] = ratio[s] * (weights @ known.mode_probabilities(found.x[0])[:, 0])
    return [(float(v.mean()), float(v.std()) / math.sqrt(runs)) for v in (ratio, share)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_weights_are_unbiased_with_estimates_of_the_density():
    """Few particles, and so few temperatures that their estimates are poor: on average Z and the draws are right."""
    sampler = SequentialMultimeasurement(sigma=2.0, m=4, weighted=True, denoiser=FIXED)
    (mean, error), (share, share_error) = ratios(sampler, 150)
    assert max(error, share_error) < 0.03
    assert abs(mean - 1) < 4 * error
    assert abs(share - 0.6) < 4 * share_error


@dataclass(frozen=True, eq=False)
class TooFlat(InnerSMC):
    """A density of half the log."""

    def estimate(self, target, y, noise, generator, memory=None):
        found = super().estimate(target, y, noise, generator, memory)
        return replace(found, log_density=0.5 * found.log_density)


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_a_wrong_density_is_rejected():
    wrong = TooFlat(8, betas=FIXED.betas, kernel=FIXED.kernel, guide=None, floor=1.0)
    (mean, error), _ = ratios(SequentialMultimeasurement(sigma=2.0, m=4, weighted=True, denoiser=wrong), 40)
    assert abs(mean - 1) > 8 * error


@pytest.mark.parametrize("seed", range(2))
def test_weighted_measurements_without_an_exact_denoiser(seed):
    """With the defaults, and in too many dimensions for a grid."""
    target = Hidden(targets.GaussianMixture(torch.eye(3).double() * 2, scales=0.7))
    draws = SequentialMultimeasurement(sigma=2.0, m=4, weighted=True).sample(target, draws=128, seed=seed)
    assert draws.attrs["smoothing"]["denoiser"] == "InnerSMC"
    assert abs(draws.log_z.value) < 5 * draws.log_z.standard_error
    assert draws.certificate.by_annealing is not None


@pytest.mark.slow
def test_weighted_measurements_below_the_pilot_s_log_z_are_doubted(monkeypatch):
    target = Hidden(targets.GaussianMixture(torch.eye(3).double() * 2, scales=0.7))
    monkeypatch.setattr(InnerSMC, "pilot_log_z", property(lambda self: (2.0, 0.01)))
    with pytest.warns(SamplingWarning, match=r"estimates of log Z disagree: .* by the pilot 2\.000"):
        SequentialMultimeasurement(sigma=2.0, m=4, weighted=True).sample(target, draws=64)


# The run


@pytest.mark.parametrize(
    "sampler",
    [
        SequentialMultimeasurement(sigma=2.0, m=5, steps=2),
        SLIPS(sigma=2.0, m=20, count=5, update="mean"),
        SequentialMultimeasurement(sigma=2.0, m=5, steps=1, first_steps=1, denoiser=InnerChains(2, 2, first=2)),
        SequentialMultimeasurement(sigma=2.0, m=5, steps=1, first_steps=1, denoiser="quadrature"),
        SequentialMultimeasurement(sigma=0.1, m=5, steps=1, first_steps=1, denoiser="quadrature"),
        SequentialMultimeasurement(
            sigma=2.0,
            m=5,
            weighted=True,
            denoiser=FIXED,
            base=targets.Gaussian(torch.zeros(2, dtype=torch.float64), 2.5),
        ),
    ],
    ids=["sequential", "SLIPS", "with a memory", "with a grid", "with finer grids", "weighted"],
)
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_a_stopped_run_goes_on_to_the_same_bits(sampler, tmp_path, monkeypatch):
    from samplers.smoothing.chain_run import ChainRun

    target, path = mixture(), tmp_path / "run"
    whole = sampler.sample(target, draws=32, seed=3, checkpoint=tmp_path / "whole")
    original = ChainRun.step

    def crash(self):
        if self.done == 3:
            raise RuntimeError("power cut")
        return original(self)

    monkeypatch.setattr(ChainRun, "step", crash)
    with pytest.raises(RuntimeError, match="power cut"):
        sampler.sample(target, draws=32, seed=3, checkpoint=path)
    monkeypatch.setattr(ChainRun, "step", original)
    again = sampler.sample(target, draws=32, seed=3, checkpoint=path)
    assert torch.equal(whole.x, again.x)
    assert (whole.cost.log_prob, whole.cost.score) == (again.cost.log_prob, again.cost.score)
    assert whole.attrs["smoothing"] == again.attrs["smoothing"]
    if whole.log_weights is not None:
        assert torch.equal(whole.log_weights, again.log_weights)
    with pytest.raises(ValueError, match="checkpoint: .* belongs to another run: seed is 3 there and 4 here"):
        sampler.sample(target, draws=32, seed=4, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another target"):
        sampler.sample(targets.GaussianMixture(MEANS + 0.1, scales=1.0), draws=32, seed=3, checkpoint=path)


def test_memory_does_not_grow_with_the_measurements():
    """Only the running mean is kept from one measurement to the next."""
    from samplers.runs.loop import carry_out
    from samplers.smoothing.chain_run import ChainRun

    run = ChainRun(
        SequentialMultimeasurement(sigma=2.0, m=50, steps=1), mixture(), 8, lambda n, g: torch.zeros(n, 2), 0
    )
    carry_out(run, None, False)
    held = [*vars(run).values(), *vars(run.asked).values(), *vars(run.carrier).values()]
    tensors = [v for v in held if isinstance(v, torch.Tensor)]
    assert [tuple(t.shape) for t in tensors] == [(8, 2)]


def test_draws_carry_what_was_done(tmp_path):
    draws = SequentialMultimeasurement(sigma=2.0, m=3).sample(mixture(), draws=512, init=torch.zeros(512, 2), seed=1)
    assert draws.x.shape == (1, 512, 2)
    assert draws.attrs["smoothing"]["measurements"] == 3
    assert draws.attrs["smoothing"]["denoiser"] == "ClosedForm"
    assert len(draws.attrs["acceptance"]) == 3
    torch.testing.assert_close(draws.stats["lp"][0], mixture().log_prob(draws.x[0]))
    assert draws.summary().shape[0] == 2
    loaded = Draws.load(draws.save(tmp_path / "draws.nc"))
    assert torch.equal(loaded.x, draws.x)
    assert loaded.attrs["smoothing"] == draws.attrs["smoothing"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SequentialMultimeasurement(m=0), "m: got 0, expected an integer of at least 1"),
        (lambda: SequentialMultimeasurement(steps=-1), "steps: got -1, expected an integer of at least 0"),
        (lambda: SequentialMultimeasurement(noise="mrf"), "noise: got 'mrf'.*is for WalkJump"),
        (lambda: SequentialMultimeasurement(noise=torch.eye(2), sigma=1.0), "sigma, noise: got both"),
        (lambda: SequentialMultimeasurement(base=mixture()), "base: for weighted=True alone"),
        (lambda: SequentialMultimeasurement(weighted=True, kernel=MALA()), "kernel, weighted: got both"),
        (lambda: SequentialMultimeasurement(weighted=True, base=Hidden(mixture())), "base: hidden lacks log_z, draws"),
        (
            lambda: SequentialMultimeasurement(sigma=1.0, m=2, weighted=True).sample(mixture(), init=torch.zeros(2, 2)),
            "init: weighted measurements start from a law",
        ),
        (lambda: SequentialMultimeasurement(sigma=1.0, m=2).sample(mixture(), draws=0), "draws: got 0"),
        (
            lambda: SequentialMultimeasurement(sigma=1.0, m=2).sample(mixture(), draws=3, init=torch.zeros(2, 2)),
            r"init: got \(2, 2\), expected \(3, 2\)",
        ),
        (lambda: SLIPS(count=0), "count: got 0"),
        (lambda: SLIPS(update="median"), "update: got 'median'"),
        (lambda: SLIPS(schedule="cosine"), "schedule: got 'cosine'"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_denoised_points_are_counted():
    target = two(2)
    draws = SequentialMultimeasurement(sigma=4.0, m=3, steps=2, first_steps=2, kernel=MALA()).sample(
        target, draws=10, init=from_the_right(2)
    )
    # a start and two steps at each level, and the mean between levels
    assert draws.attrs["smoothing"]["points"] == 10 * (3 * 3 + 2)
    assert draws.cost.score == draws.attrs["smoothing"]["points"]
    found = ClosedForm().estimate(target, torch.zeros(1, 2, dtype=torch.float64), targets.IsotropicNoise(1.0))
    assert isinstance(found, Estimate)
