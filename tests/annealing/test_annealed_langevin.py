"""Annealed Langevin: its law on a Gaussian is computed exactly; its bias elsewhere is the one that is stated."""

import math
from dataclasses import replace

import pytest
import torch

import targets
from samplers import AnnealedLangevin, SamplingWarning
from samplers.annealing import annealed_langevin
from samplers.denoisers import ClosedForm, InnerChains
from targets.counting import Counted

MEAN, SPREAD = torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([0.5, 1.5], dtype=torch.float64)
GAUSSIAN = targets.Gaussian(MEAN, SPREAD)
DRAWS = 20_000


def law(sampler, mean, variance):
    """Mean and variance of each coordinate after all levels, from N(mean, variance): the recursion of affine maps."""
    sigmas = sampler.sigmas(GAUSSIAN)
    first, last = sigmas[0], sigmas[-1]
    for sigma in sigmas:
        if sampler.kind == "noise":
            precision, centre = 1 / (SPREAD**2 + sigma**2), MEAN
            h = sampler.step_size * sigma**2
        else:
            b = last**2 / sigma**2
            precision = (1 - b) / first**2 + b / SPREAD**2
            centre = ((1 - b) * MEAN / first**2 + b * MEAN / SPREAD**2) / precision
            h = sampler.step_size / ((1 - b) / first**2 + b / last**2)
        shrink = 1 - h * precision
        for _ in range(sampler.steps):
            mean = centre + shrink * (mean - centre)
            variance = shrink**2 * variance + 2 * h
    if sampler.kind == "noise" and sampler.denoise:
        shrink = 1 - last**2 / (SPREAD**2 + last**2)
        mean, variance = MEAN + shrink * (mean - MEAN), shrink**2 * variance
    return mean, variance


@pytest.mark.parametrize(
    "sampler",
    [
        AnnealedLangevin(levels=4, steps=3, sigma_max=3.0, sigma_min=0.5),
        AnnealedLangevin(levels=4, steps=3, sigma_max=3.0, sigma_min=0.5, denoise=False, step_size=0.4),
        AnnealedLangevin(levels=3, steps=5, sigma_max=3.0, sigma_min=0.5, kind="temperature"),
        AnnealedLangevin(levels=5, steps=10),
    ],
)
def test_the_law_on_a_gaussian(sampler):
    start = torch.tensor([4.0, 3.0], dtype=torch.float64)
    mean, variance = law(sampler, start, torch.full((2,), 0.49, dtype=torch.float64))
    draws = sampler.sample(
        GAUSSIAN,
        draws=DRAWS,
        seed=1,
        init=lambda n, g: start + 0.7 * torch.randn(n, 2, generator=g, dtype=torch.float64),
    )
    x = draws.x[0]
    assert bool(((x.mean(0) - mean).abs() < 4 * (variance / DRAWS).sqrt()).all())
    assert bool(((x.var(0) - variance).abs() < 4 * variance * math.sqrt(2 / DRAWS)).all())
    torch.testing.assert_close(draws.stats["lp"], GAUSSIAN.log_prob(draws.x))


def test_the_stated_limit_of_many_small_steps():
    """Variance t^2 + sigma^2 with the noise, t^4 / (t^2 + sigma^2) without: by the recursion, up to O(h)."""
    noisy = SPREAD**2 + 0.25
    for denoise, limit in ((True, SPREAD**4 / noisy), (False, noisy)):
        _, variance = law(AnnealedLangevin(2, 1000, 0.51, 0.5, step_size=0.01, denoise=denoise), MEAN, noisy)
        torch.testing.assert_close(variance, limit, rtol=4e-3, atol=0)


def test_steps_are_those_of_song_and_ermon():
    sampler = AnnealedLangevin(levels=3, sigma_max=4.0, sigma_min=1.0, step_size=0.05)
    epsilon = 2 * 0.05 * 1.0**2
    steps = [h for _, h in sampler.densities(GAUSSIAN)]
    assert steps == pytest.approx([0.5 * epsilon * s**2 / 1.0**2 for s in (4.0, 2.0, 1.0)])


@pytest.mark.parametrize("kind", ["noise", "temperature"])
def test_every_mode_is_found_at_the_weight_of_equal_modes(kind):
    """Nine equal modes of one width: by symmetry an even share each, but for the outer ones' few per cent."""
    target = targets.benchmark("gmm9")
    draws = AnnealedLangevin(kind=kind, sigma_min=0.3).sample(target, draws=4000, seed=2)
    weights = target.mode_probabilities(draws.x[0]).mean(0)
    assert float((weights - 1 / 9).abs().max()) < 0.05
    assert float(weights.min()) > 0.05


def test_cost_is_what_was_evaluated():
    draws = AnnealedLangevin(levels=4, steps=5).sample(GAUSSIAN, draws=100)
    assert draws.cost.score == 100 * (1 + 4 * (5 + 1) + 1)
    assert draws.cost.log_prob == draws.cost.score - 100 + 100
    draws = AnnealedLangevin(levels=4, steps=5, kind="temperature").sample(GAUSSIAN, draws=100)
    assert draws.cost.score == 100 * (1 + 4 * (5 + 1))
    assert draws.cost.log_prob == draws.cost.score + 100


def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    sampler, path = AnnealedLangevin(levels=4, steps=5), tmp_path / "run"
    whole = sampler.sample(GAUSSIAN, draws=50, seed=3)
    own, calls = Counted.log_prob_and_score, []

    def stopping(self, x):
        calls.append(1)
        if len(calls) == 16:
            raise RuntimeError("stopped")
        return own(self, x)

    monkeypatch.setattr(Counted, "log_prob_and_score", stopping)
    with pytest.raises(RuntimeError, match="stopped"):
        sampler.sample(GAUSSIAN, draws=50, seed=3, checkpoint=path)
    draws = sampler.sample(GAUSSIAN, draws=50, seed=3, checkpoint=path)
    assert len(calls) < 16 + 20  # two of the four levels were not gone through again
    assert torch.equal(draws.x, whole.x)
    assert (draws.cost.log_prob, draws.cost.score) == (whole.cost.log_prob, whole.cost.score)
    again = sampler.sample(GAUSSIAN, draws=50, seed=3, checkpoint=path)
    assert torch.equal(again.x, whole.x)
    with pytest.raises(ValueError, match="belongs to another run: seed is 3 there and 4 here"):
        sampler.sample(GAUSSIAN, draws=50, seed=4, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another target"):
        sampler.sample(targets.Gaussian(MEAN + 1, SPREAD), draws=50, seed=3, checkpoint=path)


def test_steps_that_diverge_are_said():
    target = targets.LogDensity(lambda x: -(x**4).sum(-1), 1)
    sampler = AnnealedLangevin(2, 50, 10.0, 5.0, step_size=1.0, kind="temperature")
    with pytest.warns(SamplingWarning, match="steps led to a point without finite density"):
        sampler.sample(target, draws=20)


def test_sigma_max_from_what_the_target_states():
    assert AnnealedLangevin().sigmas(GAUSSIAN)[0] == pytest.approx(3.0)
    assert AnnealedLangevin().sigmas(GAUSSIAN)[-1] == pytest.approx(0.03)
    assert AnnealedLangevin(levels=3, sigma_max=4, sigma_min=1).sigmas(GAUSSIAN) == pytest.approx((4, 2, 1))


def test_bad_arguments_are_named():
    unknown = targets.LogDensity(lambda x: -x.square().sum(-1), 2)
    with pytest.raises(ValueError, match=r"does not know its smoothing .*kind='temperature'"):
        AnnealedLangevin(sigma_max=1.0).sample(unknown)
    with pytest.raises(ValueError, match="sigma_max: .* states neither its covariance nor several modes"):
        AnnealedLangevin(kind="temperature").sample(unknown)
    with pytest.raises(ValueError, match="kind: got 'noisy'"):
        AnnealedLangevin(kind="noisy")
    with pytest.raises(ValueError, match="levels: got 1"):
        AnnealedLangevin(levels=1)
    with pytest.raises(ValueError, match="steps: got 0"):
        AnnealedLangevin(steps=0)
    with pytest.raises(ValueError, match="sigma_min: got 2.0, expected less than sigma_max=1.0"):
        AnnealedLangevin(sigma_max=1.0, sigma_min=2.0)
    with pytest.raises(ValueError, match="sigma_min: got 5.0, expected less than the target's"):
        AnnealedLangevin(sigma_min=5.0).sample(GAUSSIAN)
    with pytest.raises(ValueError, match="step_size: got -1"):
        AnnealedLangevin(step_size=-1)
    with pytest.raises(ValueError, match="draws: got 0"):
        AnnealedLangevin().sample(GAUSSIAN, draws=0)
    with pytest.raises(TypeError, match="is discrete"):
        AnnealedLangevin().sample(targets.Ising((3, 3), coupling=0.2))
    with pytest.raises(ValueError, match="density is not finite where draw 0 starts"):
        AnnealedLangevin().sample(GAUSSIAN, draws=2, init=torch.full((2, 2), math.nan))


class Doubtful(ClosedForm):
    def estimate(self, target, y, noise, generator=None, memory=None):
        found = super().estimate(target, y, noise)
        return replace(found, trusted=torch.arange(len(y)) > 1)


def test_an_exact_denoiser_gives_the_draws_of_the_smoothed_target():
    target = targets.GaussianMixture(torch.tensor([[-2.0, 0.0], [1.5, 1.0]], dtype=torch.float64), scales=0.7)
    sampler = AnnealedLangevin(levels=5, steps=10)
    exact = sampler.sample(target, draws=200, seed=4)
    found = replace(sampler, denoiser=ClosedForm()).sample(target, draws=200, seed=4)
    torch.testing.assert_close(found.x, exact.x, rtol=1e-9, atol=1e-9)
    assert found.cost.score == exact.cost.score
    assert found.attrs["denoiser"] == "ClosedForm"


def test_a_denoiser_that_draws_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    target = targets.LogDensity(lambda x: -0.5 * x.square().sum(-1), 2)
    sampler = AnnealedLangevin(4, 2, 3.0, 0.5, denoiser=InnerChains(chains=2, steps=3))
    whole = sampler.sample(target, draws=5, seed=3)
    path, own, levels = tmp_path / "run", annealed_langevin._Levels.step, []

    def stopping(self):
        levels.append(1)
        if len(levels) == 3:
            raise RuntimeError("stopped")
        own(self)

    monkeypatch.setattr(annealed_langevin._Levels, "step", stopping)
    with pytest.raises(RuntimeError, match="stopped"):
        sampler.sample(target, draws=5, seed=3, checkpoint=path)
    assert torch.equal(sampler.sample(target, draws=5, seed=3, checkpoint=path).x, whole.x)
    assert len(levels) == 5


def test_bad_denoisers_are_named():
    with pytest.raises(TypeError, match="denoiser: got 'auto', expected a samplers.denoisers.Denoiser"):
        AnnealedLangevin(denoiser="auto")
    with pytest.raises(ValueError, match="denoiser: kind='temperature' takes none"):
        AnnealedLangevin(kind="temperature", denoiser=ClosedForm())
    unknown = targets.LogDensity(lambda x: -x.square().sum(-1), 2)
    with pytest.raises(ValueError, match="denoiser: .* does not know its"):
        AnnealedLangevin(sigma_max=1.0, denoiser=ClosedForm()).sample(unknown)
    with pytest.raises(RuntimeError, match="denoiser: Doubtful does not believe 2 of 10 estimates"):
        AnnealedLangevin(denoiser=Doubtful()).sample(GAUSSIAN, draws=10)
