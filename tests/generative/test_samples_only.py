"""Walk-jump and annealed Langevin with a model that was learned from samples, and no energy."""

import copy

import pytest
import torch
from samples_only_cases import PROCESSES, check_annealed, check_walk, untrained
from seeded_bugs_samples_only import BUGS

import samplers
from samplers.generative.likelihood import ContinuousFlow


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("check", [check_annealed, check_walk])
def test_the_exact_law_of_a_gaussian_model(check, process):
    check(process)


@pytest.mark.parametrize("name", BUGS)
def test_seeded_bugs_are_rejected(name, monkeypatch):
    check = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError, match="standard errors from the exact mean or variance"):
        check()


SAMPLERS = {
    "annealed": lambda d, t, **o: samplers.AnnealedLangevin(3, 2, 4.0, 0.5, denoiser=d).sample(t, draws=9, **o),
    "walk-jump": lambda d, t, **o: samplers.WalkJump(sigma=1.0, steps=2, jump="mean", denoiser=d).sample(
        t, chains=3, draws=4, warmup=2, **o
    ),
    "sequential": lambda d, t, **o: samplers.SequentialMultimeasurement(
        sigma=2.0, m=4, steps=2, jump="mean", denoiser=d
    ).sample(t, draws=5, init=lambda n, g: torch.zeros(n, 2), **o),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_density_is_evaluated(name, monkeypatch, tmp_path):
    """Nor recorded; with a checkpoint the model is known again by its score."""
    fitted = untrained()

    def never(self, x):
        raise AssertionError("the flow was integrated")

    monkeypatch.setattr(ContinuousFlow, "log_prob", never)
    draws = SAMPLERS[name](fitted.denoiser(), fitted.as_target(density=False), checkpoint=tmp_path / "run")
    assert "lp" not in draws.stats
    assert (draws.cost.log_prob, draws.cost.score) == (0, 0)
    again = SAMPLERS[name](fitted.denoiser(), fitted.as_target(density=False), checkpoint=tmp_path / "run")
    assert torch.equal(again.x, draws.x)
    other = untrained("VE")
    with pytest.raises(ValueError, match="belongs to another target"):
        SAMPLERS[name](fitted.denoiser(), other.as_target(density=False), checkpoint=tmp_path / "run")


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_checkpoint_is_not_continued_with_another_model(name, tmp_path):
    """Of the same target: the denoiser is told apart by what it has learned."""
    fitted = untrained()
    other = copy.deepcopy(fitted)
    next(iter(other.model.parameters())).data.add_(1e-3)
    target = fitted.as_target(density=False)
    SAMPLERS[name](fitted.denoiser(), target, checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match="belongs to another run: .*DiffusionDenoiser"):
        SAMPLERS[name](other.denoiser(), target, checkpoint=tmp_path / "run")


def test_a_target_without_a_density_says_so():
    target = untrained().as_target(density=False)
    assert not target.has_density
    for sampler in (samplers.HMC(), samplers.ULA(0.1)):
        with pytest.raises(NotImplementedError, match=r"has no log_prob, as density=False .* or as_target\(\)"):
            sampler.sample(target, chains=2, draws=2, warmup=0, init=torch.zeros(2, 2))
    draws = SAMPLERS["annealed"](untrained().denoiser(), target)
    assert draws.certificate.searched == "diffusion model has no log-density"


def test_the_density_is_recorded_where_there_is_one():
    fitted = untrained()
    draws = SAMPLERS["annealed"](fitted.denoiser(), fitted.as_target())
    torch.testing.assert_close(draws.stats["lp"][0], fitted.log_prob(draws.x[0]).to(draws.x))
