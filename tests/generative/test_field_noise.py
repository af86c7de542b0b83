"""Diffusion models whose noise has the shape of a random field, from training to files."""

import functools

import field_noise_cases as cases
import pytest
import torch
from field_noise_cases import FIELD, NOISE, SHIFT, model, seeded
from seeded_bugs_field_noise import BUGS

import targets
from samplers.denoisers.spins import Enumeration
from samplers.generative import ScoreDiffusion, as_score, solvers
from samplers.processes.linear import VP

CHECKS = [value for name, value in vars(cases).items() if name.startswith("check_") and name != "check_files"]
pytestmark = pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")  # a few iterations are meant


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_field_noise(check):
    check()


def test_files(tmp_path):
    cases.check_files(tmp_path)


@pytest.mark.parametrize("name", BUGS)
def test_seeded_bugs_are_rejected(name, monkeypatch, tmp_path):
    check = BUGS[name](monkeypatch)
    check = functools.partial(check, tmp_path) if check is cases.check_files else check
    with pytest.raises(AssertionError):
        check()


def test_training_keeps_what_is_exact_and_is_continued(tmp_path):
    x = FIELD.sample(500, generator=seeded(0))
    whole = model().fit(x, iterations=6, progress=False)
    with_file = model().fit(x, iterations=6, progress=False, checkpoint=tmp_path / "run")
    assert torch.equal(whole.sample(draws=10).x, with_file.sample(draws=10).x)
    assert whole.settings["noise"] != model(NOISE.scaled(2.0)).describe()["noise"]
    with pytest.raises(ValueError, match="checkpoint: .*noise"):
        model(targets.MRFNoise(NOISE.mrf, SHIFT + 1)).fit(x, iterations=6, checkpoint=tmp_path / "run")


def test_without_noise_of_a_shape_settings_are_as_before():
    assert "noise" not in ScoreDiffusion().describe()
    x = FIELD.sample(500, generator=seeded(0))
    common, none = (
        ScoreDiffusion(**cases.SMALL, standardise=word).fit(x, iterations=0, progress=False)
        for word in ("common", "none")
    )
    factor = common.transformation.affine[1]
    assert bool((factor == factor[0]).all())
    assert bool((none.transformation.affine[1] == 1).all())


def test_spins_with_noise_of_their_shape_are_denoised_exactly():
    """The score of spins noised by MRFNoise of their own couplings, at a level where these do not cancel."""
    ising = targets.Ising((3, 3), 0.3, dtype=torch.float64)
    process = VP(beta_max=10.0, noise=targets.MRFNoise(ising))
    score, x, t = (
        as_score(Enumeration(), process, ising),
        torch.randn(4, 9, generator=seeded(0), dtype=torch.float64),
        0.3,
    )
    scale, variance = (float(value) for value in process.transition(0.0, t))
    spins = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 9)
    covariance = variance * torch.linalg.inv(ising.couplings_matrix() + torch.diag(process.noise.shift))
    law = torch.distributions.MultivariateNormal(scale * spins, covariance)
    weights = ising.log_prob(spins).log_softmax(0)
    at = x.clone().requires_grad_()
    log_density = torch.logsumexp(law.log_prob(at[:, None]) + weights, 1)
    torch.testing.assert_close(score(x, t), torch.autograd.grad(log_density.sum(), at)[0])
    drawn = solvers.DPMSolver2M(steps=30).solve(score, process, process.noise.sample_like(x, seeded(1)))
    torch.testing.assert_close(drawn.abs(), torch.ones_like(drawn), rtol=0, atol=0.2)


WRONG = {
    "process: got noise in 6 dimensions, expected 2": lambda: model().fit(torch.randn(50, 2, generator=seeded(0))),
    "standardise: got 'shape', expected 'scale', 'whiten', 'common' or 'none'": lambda: model(standardise="shape"),
    "noise: got 0.3, expected a targets.noise.Noise": lambda: VP(noise=0.3),
    "noise: got IsotropicNoise.*, expected a multiple of the covariance": lambda: (
        model()
        .fit(FIELD.sample(50, generator=seeded(0)), iterations=0, progress=False)
        .denoiser()
        .check(FIELD, targets.IsotropicNoise(1.0))
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_input_is_told(message):
    with pytest.raises(ValueError, match=message):
        WRONG[message]()
