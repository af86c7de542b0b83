"""Models of x given y: the exact law of each condition, guidance, losses and networks, what is kept and continued."""

import copy
import math

import conditional_cases as cases
import pytest
import torch
from conditional_cases import CONDITIONS, F64, SMALL, TINY, conditional, gaussian_model, gaussian_rows, seeded, tiny
from seeded_bugs_conditional import BUGS

import samplers
import targets
from samplers import ScoreDiffusion
from samplers.denoisers import ClosedForm
from samplers.generative import (
    ConditionalDiffusion,
    Denoising,
    Explicit,
    HessianMatching,
    Implicit,
    Karras,
    KarrasInputs,
    Levels,
    Real,
    ScoreMLP,
    ScoreModel,
    Sliced,
    Sum,
    TraceGradientMatching,
    TraceMatching,
    Training,
    load,
)
from samplers.generative.conditions import conditioned_model
from samplers.generative.guidance import classifier_free, conditioned
from samplers.generative.regression import Regression
from samplers.generative.solvers import DPMSolver2M
from samplers.learning.descent import Descent
from samplers.processes import VE, VP, OrnsteinUhlenbeck
from targets import CorrelatedNoise, IsotropicNoise


def same(a, b):
    for one, other in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    y = CONDITIONS[1]
    assert torch.equal(a.given(y).sample(draws=10).x, b.given(y).sample(draws=10).x)
    assert torch.equal(a.given(None).sample(draws=10).x, b.given(None).sample(draws=10).x)
    rows = gaussian_rows(3)
    assert torch.equal(a.elbo(rows[0], given=rows[1], times=4).value, b.elbo(rows[0], given=rows[1], times=4).value)


# The law of x given y


@pytest.mark.parametrize(
    "check",
    [
        cases.check_gaussian,
        cases.check_start,
        pytest.param(cases.check_without, marks=pytest.mark.slow),
        pytest.param(cases.check_parabola, marks=pytest.mark.slow),
        pytest.param(cases.check_labels, marks=pytest.mark.slow),
        pytest.param(cases.check_contexts, marks=pytest.mark.slow),
        cases.check_pairs,
        pytest.param(cases.check_rows, marks=pytest.mark.slow),
    ],
)
def test_against_what_is_known(check):
    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_seeded_bugs_are_rejected(name, monkeypatch):
    check = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError):
        check()


NOISE = CorrelatedNoise(torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=F64))


@pytest.mark.parametrize(
    "options",
    [
        {"process": VE(0.01, 30.0)},
        {"process": OrnsteinUhlenbeck(horizon=4.0)},
        {"process": VP(noise=NOISE)},
        {"standardise": "whiten"},
        {"standardise": "none"},
    ],
    ids=str,
)
def test_every_process_starts_at_the_law_given_y(options):
    fitted = gaussian_model(0, **options)
    for y in CONDITIONS[1:3]:
        assert cases.kl(conditional(y), fitted.given(y).log_prob) < 0.01  # of 3,600 rows .001 to .003


def test_rows_count_by_their_weights():
    """Two halves of the rows, of which the first alone has weight: two slopes."""
    y = torch.randn(2000, 1, dtype=F64, generator=seeded())
    x = torch.where(torch.arange(2000)[:, None] < 1000, 2 * y, -y)
    x = x + 0.5 * torch.randn(2000, 1, dtype=F64, generator=seeded(1))
    weights = torch.where(torch.arange(2000) < 1000, 0.0, -30.0).double()
    draws = samplers.Draws(x[None], log_weights=weights[None])
    fitted = ScoreDiffusion(network=SMALL).fit(draws, given=y, iterations=0, progress=False)
    for y0 in (-1.0, 2.0):
        found = fitted.given(torch.tensor([y0])).sample(draws=2000).x.mean()
        assert float(found) == pytest.approx(2 * y0, abs=0.1)


def test_conditions_that_say_nothing_cost_little():
    """Of regression without a ridge the divergence is about dim k / (2 n) nats for k conditions; also of k > n."""
    law = targets.Gaussian([0.0, 0.0])
    for n, k in ((300, 30), (60, 100)):
        x, y = law.sample(n, generator=seeded()), torch.randn(n + 20, k, generator=seeded(1))
        fitted = ScoreDiffusion(network=SMALL, training=Training(validation=0)).fit(
            x, given=y[:n], iterations=0, progress=False
        )
        at = law.sample(20, generator=seeded(2))
        lost = law.log_prob(at) - fitted.log_prob(at, given=y[n:])
        assert float(lost.mean()) < 2 * k / n


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
@pytest.mark.slow
def test_weights_give_log_z():
    y = CONDITIONS[3]
    exact = conditional(y)
    target = targets.LogDensity(lambda x: exact.log_prob(x) + 1.5, dim=2, dtype=F64)
    for correct in (None, "smc"):
        draws = gaussian_model().given(y).weigh(target, draws=4000, seed=3, correct=correct)
        assert draws.log_z.value == pytest.approx(1.5, abs=5 * draws.log_z.standard_error)
        assert draws.log_z.standard_error < 0.05
        assert draws.attrs["given"] == y.tolist()


def test_as_a_denoiser_and_as_a_target():
    y = CONDITIONS[2]
    one, exact = gaussian_model(0, standardise="none").given(y), conditional(y)
    at, noise = exact.sample(50, generator=seeded()), IsotropicNoise(0.7)
    found = one.denoiser().bind(exact, noise).estimate(exact, at, noise).mean
    wanted = ClosedForm().estimate(exact, at, noise).mean
    assert float((found - wanted).norm() / wanted.norm()) < 0.02
    density = one.as_target()
    torch.testing.assert_close(density.log_prob(at[:3]), one.log_prob(at[:3]))
    assert density.sample(20, generator=seeded()).shape == (20, 2)


# Guidance


def test_classifier_free_guidance():
    fitted, y = tiny(), CONDITIONS[0]
    x = torch.randn(20, 2, dtype=F64, generator=seeded())
    for t in (0.1, 0.7):
        given = conditioned(fitted.conditional_score, y)(x, t)
        assert torch.equal(given, fitted.given(y).score(x, t))
        assert torch.equal(given, fitted.conditional_score(x, t, y.expand(20, -1)))
        assert torch.equal(classifier_free(fitted.conditional_score, y, None, 0.0)(x, t), given)
        free = fitted.conditional_score(x, t, None)
        torch.testing.assert_close(classifier_free(fitted.conditional_score, y, None, -1.0)(x, t), free)
        assert not torch.allclose(given, free)


def test_guided_draws_go_further_than_the_condition():
    """For Gaussians of one covariance the law at weight w has its mean at m_y + w (m_y - m); and is narrower."""
    fitted, y = cases.labelled_model(0), cases.LABELS[0]
    one, means = fitted.given(y), []
    for weight in (0.0, 1.0):
        score = classifier_free(fitted.conditional_score, y, None, weight)
        u = one.prior.sample(500, generator=seeded())
        means.append(one.transformation.inverse(DPMSolver2M(steps=50).solve(score, one.process, u)).mean(0))
    assert float(means[0][0]) == pytest.approx(3.0, abs=0.1)
    assert float(means[1][0]) > 3.2


# Losses and networks


@pytest.mark.parametrize(
    "loss",
    [
        Denoising(),
        Implicit(),
        Sliced(),
        Explicit(score=lambda x, t: -x),
        HessianMatching(),
        TraceMatching(),
        TraceGradientMatching(),
        Sum([(1.0, Denoising()), (0.1, TraceMatching(weighting="noise level"))]),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_every_loss_takes_each_row_with_its_condition(loss):
    fitted = tiny()
    x = torch.randn(4, 2, dtype=F64, generator=seeded())
    context = fitted.conditions.context(CONDITIONS, x)
    together = loss(conditioned_model(fitted.model, context), x, seeded(1))
    for row, one in enumerate(context):
        alone = loss(conditioned_model(fitted.model, one), x, seeded(1))
        torch.testing.assert_close(together[row], alone[row])
        assert not torch.allclose(together, alone)


@pytest.mark.parametrize("loss", [Implicit(), Sliced(), HessianMatching(probes=1)], ids=str)
def test_other_losses_train(loss):
    assert all(math.isfinite(value) for value in tiny(5, loss=loss).history["loss"])


class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layers = [torch.nn.Linear(6, 32), torch.nn.SiLU(), torch.nn.Linear(32, 32), torch.nn.SiLU()]
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(32, 2)).double()

    def forward(self, x, c_noise, context):
        assert context.shape == (*x.shape[:-1], 3)
        return self.layers(torch.cat([x, c_noise[..., None], context], -1))


@pytest.mark.slow
def test_a_network_of_ones_own():
    network = KarrasInputs(Own(), VP(beta_max=10.0))
    training = Training(batch=256, learning_rate=1e-2, average=0.99)
    fitted = gaussian_model(400, network=network, training=training)
    for y in CONDITIONS:
        exact = conditional(y)
        assert cases.kl(exact, fitted.given(y).log_prob) < cases.kl(exact, cases.ALL.log_prob)
    with pytest.raises(ValueError, match="path: a network of one's own cannot be written"):
        fitted.save("model.pt")


def test_nothing_is_made_on_a_default_device():
    process, regression = VP(noise=NOISE), Regression(torch.ones(3, 2, dtype=F64), torch.eye(2, dtype=F64))
    mean, covariance = torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64)
    network = ScoreMLP(width=8, blocks=1).make(process, Karras(), mean, covariance, seeded(), regression)
    model = ScoreModel(network, process, Karras()).to("meta")
    for context in (torch.zeros(3, dtype=F64, device="meta"), torch.zeros(4, 3, dtype=F64, device="meta")):
        x = torch.zeros(5, 4, 2, dtype=F64, device="meta")
        assert conditioned_model(model, context).score(x, 0.5).is_meta


def test_columns_of_other_kinds():
    x, y = gaussian_rows(300)
    x = torch.stack([x[:, 0], x[:, 1].round()], 1)
    model = ScoreDiffusion(**TINY, columns=[Real(), Levels(-9, 9)])
    fitted = model.fit(x, given=y, iterations=10, progress=False)
    found = fitted.elbo(x[:5], given=y[:5], times=4)
    assert found.value.shape == (5,)
    drawn = fitted.given(y[0]).sample(draws=20).x[0]
    assert torch.equal(drawn[:, 1], drawn[:, 1].round())


# Kept, continued, repeated


@pytest.mark.slow
def test_same_seed_same_bits():
    same(tiny(seed=1), tiny(seed=1))
    assert tiny(seed=1).history["loss"] != tiny(seed=2).history["loss"]
    assert tiny(dtype=torch.float32).given(CONDITIONS[0]).sample(draws=3).x.dtype == torch.float32


def test_saved_and_loaded_it_is_the_same(tmp_path):
    fitted = tiny()
    found = load(fitted.save(tmp_path / "model.pt"))
    assert isinstance(found, ConditionalDiffusion)
    same(found, fitted)
    assert found.conditions.dropped == 0.2
    for name in ("settings", "iterations", "history", "notes", "cost", "validation"):
        assert getattr(found, name) == getattr(fitted, name)
    same(copy.deepcopy(found), fitted)
    draws = fitted.given(CONDITIONS[0]).sample(draws=4)
    draws.save(tmp_path / "draws.nc")
    assert samplers.Draws.load(tmp_path / "draws.nc").attrs["given"] == CONDITIONS[0].tolist()


class Failure(Exception):
    pass


@pytest.mark.slow
def test_a_crash_is_continued_to_the_same_bits(tmp_path, monkeypatch):
    path, step = tmp_path / "run.pt", Descent.step

    def stepping(self, loss):
        if self.taken == 6:
            raise Failure
        return step(self, loss)

    whole = tiny()
    with monkeypatch.context() as patch:
        patch.setattr(Descent, "step", stepping)
        with pytest.raises(Failure):
            tiny(checkpoint=path)
    assert torch.load(path)["done"] == 6
    same(tiny(checkpoint=path), whole)
    x, y = gaussian_rows(300)
    for given in (y.flip(0), None):
        model = ScoreDiffusion(**TINY | ({} if given is not None else {"training": Training(batch=32)}))
        with pytest.raises(ValueError, match="belongs to another run: samples is|training is"):
            model.fit(x, given=given, iterations=10, progress=False, checkpoint=path)
