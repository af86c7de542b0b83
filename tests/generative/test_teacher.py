"""A model that is learned from another sampler's draws of an energy, and weighed for it."""

import pytest
import torch
from scout_cases import Hidden

import samplers
import targets
from samplers import HMC, SMC, SamplingWarning, ScoreDiffusion
from samplers.generative import ScoreMLP
from samplers.generative.teacher import SEED, teach

SMALL = {"network": ScoreMLP(width=8, blocks=1)}


class Counting:
    """Exact draws, and what was asked for."""

    def __init__(self):
        self.asked = []

    def sample(self, target, *, draws=7, seed=0):
        self.asked.append((draws, seed))
        x = torch.randn(1, draws, target.dim, generator=torch.Generator().manual_seed(seed))
        return samplers.Draws(
            x, cost=samplers.Cost(log_prob=draws, score=2, seconds=1.0), attrs={"kind": "independent"}
        )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_log_z_of_an_energy_is_unbiased_whatever_the_teacher_and_the_training():
    """exp(log Z) of 40 runs of untrained models, each learned from draws of its own: a z-test at 4 standard errors."""
    energy = targets.LogDensity(lambda x: 1.5 - 0.5 * ((x - 0.3) ** 2).sum(-1) / 0.8, dim=2)
    log_z = 1.5 + torch.log(torch.tensor(2 * torch.pi * 0.8))
    model = ScoreDiffusion(**SMALL, teacher=Counting())
    ratios = torch.tensor(
        [
            model.sample(energy, draws=200, samples=100, iterations=0, seed=seed).log_z.value - float(log_z)
            for seed in range(40)
        ]
    ).exp()
    assert abs(float(ratios.mean()) - 1) < 4 * float(ratios.std()) / 40**0.5


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")  # 20 draws tell little
def test_the_teacher_is_asked_for_as_many_draws_as_are_learned_from():
    teacher = Counting()
    ScoreDiffusion(**SMALL, teacher=teacher).sample(targets.Gaussian([0.0]), draws=20, samples=90, iterations=0, seed=3)
    assert teacher.asked == [(90, 3 + SEED)]
    assert teach(None, targets.Gaussian([0.0]), samples=100, progress=False).x.shape == (64, 2, 1)
    assert teach((HMC(), {"chains": 10}), targets.Gaussian([0.0]), samples=95, progress=False).x.shape == (10, 10, 1)
    assert teach(SMC(), targets.Gaussian([0.0]), samples=95, progress=False).x.shape == (1, 95, 1)


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_exact_draws_are_for_fit_alone_and_the_cost_counts_the_teacher():
    teacher, target = Counting(), targets.Gaussian([0.0])
    model = ScoreDiffusion(**SMALL, teacher=teacher)
    assert model.fit(target, iterations=0, progress=False).cost.log_prob == 0
    assert not teacher.asked
    fitted = model.fit(Hidden(target), iterations=0, progress=False)
    assert (fitted.cost.log_prob, fitted.cost.score) == (16_000, 2)
    weighed = fitted.weigh(target, draws=20)
    drawn = model.sample(target, draws=20, iterations=0, samples=16_000)
    assert drawn.cost.score == 2 + weighed.cost.score
    assert drawn.cost.log_prob == 16_000 + weighed.cost.log_prob
    assert drawn.cost.seconds > 1


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
@pytest.mark.parametrize(("correct", "recorded"), [(None, "weights"), ("smc", "smc")])
def test_how_a_model_is_weighed_is_a_choice(correct, recorded):
    model = ScoreDiffusion(**SMALL, teacher=Counting())
    drawn = model.sample(targets.Gaussian([0.0]), draws=20, iterations=0, samples=90, correct=correct, progress=False)
    assert drawn.attrs["correct"] == recorded


class Guarded(targets.Gaussian):
    """Has exact draws, which nobody is to take."""

    def sample(self, n, *, generator):
        raise AssertionError("exact draws were taken")


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_a_comparison_s_model_sees_no_exact_draws():
    target = Guarded([0.0])
    assert "sample" in target.known
    ScoreDiffusion(**SMALL, teacher=Counting()).sample(target, draws=20, samples=90, iterations=0)


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
@pytest.mark.slow
def test_the_same_seed_gives_the_same_draws_and_a_checkpoint_changes_nothing(tmp_path):
    model, target = ScoreDiffusion(**SMALL), targets.GaussianMixture([[-2.0], [2.0]], scales=1.0)
    options = {"draws": 50, "samples": 128, "iterations": 3, "progress": False, "seed": 5}
    first = model.sample(target, **options, checkpoint=tmp_path / "run")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "run.teacher"}
    again = model.sample(target, **options, checkpoint=tmp_path / "run")
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.log_weights, again.log_weights)
    assert torch.equal(first.x, model.sample(target, **options).x)
    assert not torch.equal(first.x, model.sample(target, **options | {"seed": 6}).x)


@pytest.mark.filterwarnings("ignore:the weights are not")
def test_a_mode_that_the_teacher_has_missed_is_told_of():
    """The teacher's draws are N(0, 1); half of the mass lies at 20."""
    target = Hidden(targets.GaussianMixture([[0.0], [20.0]], scales=1.0))
    with pytest.warns(SamplingWarning, match="mass is missed.*teacher="):
        drawn = ScoreDiffusion(**SMALL, teacher=Counting()).sample(target, draws=500, iterations=0, progress=False)
    assert drawn.certificate.doubts


@pytest.mark.parametrize("teacher", [HMC, "hmc", (HMC(),), 3])
def test_what_is_no_sampler_is_refused(teacher):
    with pytest.raises(TypeError, match="teacher: got .*, expected a sampler such as HMC"):
        ScoreDiffusion(teacher=teacher)
