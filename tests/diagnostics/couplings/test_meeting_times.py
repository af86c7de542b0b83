"""Meeting times as a user asks for them: words, warnings, errors, reproducibility."""

import math
import signal

import pytest
import torch
from coupling_answers import check_unmet_pairs_are_told
from coupling_cases import DOUBLE, MODES, row

import samplers
import targets
from samplers import HMC, MALA, ULA, Gibbs, UnderdampedLangevin, WalkJump, diagnostics
from samplers.denoisers import Importance
from samplers.diagnostics.couplings import Coupling, WithRandomWalk, couples, coupling_of
from samplers.diagnostics.couplings.base import _known
from samplers.diagnostics.couplings.meetings import MeetingTimes
from samplers.diagnostics.couplings.pairs import Pairs
from samplers.draws import Cost

NORMAL = targets.Gaussian(row(0.0, 1.0))


def of_times(*times, lag):
    """Meeting times as if found."""
    return MeetingTimes(row(*map(float, times)), lag, 1000, 0, Cost(), 0, MALA(), NORMAL, None)


def test_bounds_by_hand():
    """tau - L is 0, 1, 5, 6 with L = 5: lags until the meeting, rounded up."""
    found = of_times(5, 6, 10, 11, lag=5)
    bound = found.upper_bound([0, 1, 5, 6])
    assert bound.value.tolist() == [1.0, 0.5, 0.25, 0.0]  # (0 + 1 + 1 + 2) / 4, (0 + 0 + 1 + 1) / 4, ..
    assert bound.standard_error[1] == pytest.approx(row(0.0, 0.0, 1.0, 1.0).std() / 2)
    assert [found.mixing_time(e) for e in (0.9, 0.5, 0.25, 0.2)] == [1, 1, 5, 6]
    assert found.upper_bound(1).value.shape == ()


@pytest.mark.filterwarnings("ignore:.*have not met:samplers.SamplingWarning")
def test_chains_that_are_stuck_apart_say_so():
    check_unmet_pairs_are_told()


def test_pairs_that_have_not_met_are_warned_of():
    apart = targets.GaussianMixture(row([-20.0], [20.0]), scales=1.0)
    with pytest.warns(samplers.SamplingWarning, match=r"\d+ of 40 pairs of chains have not met within 60 steps"):
        diagnostics.meeting_times(
            MALA(0.5), apart, lag=5, pairs=40, max_steps=60, init=lambda n, g: apart.sample(n, generator=g)
        )


@pytest.mark.filterwarnings("ignore:.*have not met:samplers.SamplingWarning")
def test_what_r_hat_of_one_mode_does_not_see():
    """Chains that start in one of two modes agree with one another; pairs that start in either never meet."""
    apart = targets.GaussianMixture(row([-6.0], [6.0]), scales=1.0)
    draws = MALA(0.5).sample(apart, chains=4, draws=400, warmup=0, init=torch.full((4, 1), -6.0), seed=0)
    assert diagnostics.agreement({"a": draws, "b": draws}).agree
    found = diagnostics.meeting_times(
        MALA(0.5), apart, lag=10, pairs=40, max_steps=100, init=lambda n, g: apart.sample(n, generator=g)
    )
    assert found.mixing_time() == math.inf
    assert "have not met" in str(found)


@pytest.mark.filterwarnings("ignore:.*have not met:samplers.SamplingWarning")
def test_no_unbiased_estimate_of_pairs_that_have_not_met():
    apart = targets.GaussianMixture(row([-20.0], [20.0]), scales=1.0)
    found = diagnostics.meeting_times(
        MALA(0.5), apart, lag=5, pairs=40, max_steps=60, init=lambda n, g: apart.sample(n, generator=g)
    )
    none = found.unbiased(lambda x: x[:, 0], k=5, m=20)
    assert 0 < int(none.estimates.isnan().sum()) < 40
    assert math.isnan(none.mean)
    assert [float(end) for end in none.interval] == [-math.inf, math.inf]
    assert "have not met" in str(none)
    with pytest.raises(ValueError, match="k: left open, and .* of 40 pairs have not met"):
        found.unbiased(lambda x: x[:, 0])


@pytest.mark.parametrize("at", [5, 12])
@pytest.mark.filterwarnings("ignore:.*have not met:samplers.SamplingWarning")
def test_ctrl_c_gives_what_there_is(at, monkeypatch):
    step = Pairs.step

    def stopped(self, *, everyone):
        step(self, everyone=everyone)
        if self.t == at:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Pairs, "step", stopped)
    if at < 10:
        with pytest.raises(KeyboardInterrupt):
            diagnostics.meeting_times(MALA(0.5), NORMAL, lag=10, pairs=50)
        return
    found = diagnostics.meeting_times(MALA(0.5), NORMAL, lag=10, pairs=50)
    assert found.max_steps == at
    assert 0 < found.unmet < 50


def test_words_of_pairs_that_have_met():
    found = diagnostics.meeting_times(MALA(0.5), NORMAL, lag=20, pairs=50)
    assert str(found).startswith("all 50 pairs of MALA on Gaussian met, after ")
    assert "a larger lag" not in str(found)
    assert "a larger lag sharpens it" in str(diagnostics.meeting_times(MALA(0.05), NORMAL, lag=1, pairs=50))


def test_same_seed_same_bits_and_evaluations_are_counted():
    one, again, other = (diagnostics.meeting_times(MALA(0.5), NORMAL, lag=10, pairs=50, seed=s) for s in (3, 3, 4))
    assert torch.equal(one.times, again.times)
    assert not torch.equal(one.times, other.times)
    # both chains start, X makes `lag` steps, then each pair makes tau - lag of both
    expected = 2 * 50 + 10 * 50 + 2 * int((one.times - 10).sum())
    assert (one.cost.log_prob, one.cost.score) == (expected, expected)


def test_pairs_go_on_alone_once_they_have_met():
    """Cost of unbiased estimates: max(m, tau) steps of X and tau - L of Y."""
    found = diagnostics.meeting_times(MALA(0.5), NORMAL, lag=10, pairs=50).unbiased(lambda x: x, k=5, m=30)
    assert found.estimates.shape == (50, 2)
    assert found.cost.score == 2 * 50 + int(found.steps.sum())


def test_the_kernel_that_a_run_has_tuned():
    draws = HMC().sample(NORMAL, chains=16, draws=10, warmup=100, seed=0)
    found = diagnostics.meeting_times(draws.kernel, NORMAL, lag=50, pairs=50)
    assert found.all_met
    assert found.kernel.step_size == draws.kernel.step_size


def test_hmc_with_a_random_walk_is_a_kernel_like_any_other():
    draws = WithRandomWalk(HMC(0.5, steps=3), scale=0.1).sample(NORMAL, chains=4, draws=20, warmup=10, seed=0)
    assert draws.kernel.share == 0.1
    assert draws.kernel.hyperparameters()["scale"] == 0.1
    assert draws.cost.score > 3 * 4 * 20 * 0.7


def test_divergences_are_counted_and_told():
    walls = targets.LogDensity(
        lambda x: torch.where(x[:, 0] < 1.5, -0.5 * x[:, 0] ** 2, torch.nan), dim=1, dtype=DOUBLE
    )
    found = diagnostics.meeting_times(ULA(0.5), walls, lag=10, pairs=50, init=row(0.0))
    assert found.divergences > 0
    assert f"{found.divergences} steps diverged" in str(found)


def test_a_coupling_of_a_kernel_of_ones_own():
    class Independent(MALA):
        """MALA whose second chain jumps to the first where both accept: a wrong coupling, registered all the same."""

    class Joined(Coupling):
        def together(self, target, x, y, generator):
            x, info = self.kernel.step(target, x, generator)
            return x, x, info

    try:
        couples(Independent)(Joined)
        assert diagnostics.meeting_times(Independent(0.5), NORMAL, lag=3, pairs=4).times.tolist() == [4.0] * 4
    finally:
        _known.pop(Independent)
    with pytest.raises(TypeError, match="kernel: got Independent, which has no coupling; expected one of Gibbs, HMC"):
        coupling_of(Independent(0.5))


REFUSED = {
    "lag: got 0, expected an integer of at least 1": {"lag": 0},
    "lag: got 2.5, expected an integer of at least 1": {"lag": 2.5},
    "pairs: got 1, expected an integer of at least 2": {"pairs": 1},
    "max_steps: got 50, expected more than lag=60": {"max_steps": 50, "lag": 60},
    "init: got shape (3,), expected (2,), one point where all chains start": {"init": torch.zeros(3)},
    "init: got 'wide', expected one point (2,) or a function": {"init": "wide"},
    "seed: got -1, expected an integer of at least 0": {"seed": -1},
    "seed: got 1.5, expected an integer of at least 0": {"seed": 1.5},
    "kernel: got HMC with steps=4, two chains of which never meet; expected jittered": {"kernel": HMC(0.5, steps=4)},
    "kernel: got UnderdampedLangevin, which has no coupling": {"kernel": UnderdampedLangevin()},
    "kernel: got the class MALA, expected a kernel such as": {"kernel": MALA},
    "target: Gaussian lives in R^2 and Gibbs moves among configurations": {"kernel": Gibbs()},
    "denoiser: got .*, whose estimates are random or learned": {
        "kernel": WalkJump(sigma=1.0, denoiser=Importance()),
        "target": MODES,
    },
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_named(message):
    given = {"kernel": MALA(0.5), "target": NORMAL, "lag": 5, "pairs": 4} | REFUSED[message]
    with pytest.raises(
        (TypeError, ValueError), match=message.replace("(", r"\(").replace(")", r"\)").replace("^", r"\^")
    ):
        diagnostics.meeting_times(given.pop("kernel"), given.pop("target"), **given)


FOUND = of_times(5, 6, 10, 11, lag=5)
REFUSED_LATER = {
    "t: got -1, expected numbers of steps": lambda: FOUND.upper_bound(-1),
    "t: got 0.5, expected numbers of steps": lambda: FOUND.upper_bound(0.5),
    "t: got 'soon', expected numbers of steps": lambda: FOUND.upper_bound("soon"),
    "seed: got -2, expected an integer of at least 0": lambda: FOUND.unbiased(lambda x: x, 4, 8, seed=-2),
    r"fn: returned \[nan\] at x = \[.*\], expected finite numbers": lambda: FOUND.unbiased(
        lambda x: x[:, 0] * math.nan, 0, 8
    ),
    "epsilon: got 1.5, expected a total variation": lambda: FOUND.mixing_time(1.5),
    "k: got -1, expected an integer of at least 0": lambda: FOUND.unbiased(lambda x: x, -1),
    "m: got 3, expected an integer of at least 4": lambda: FOUND.unbiased(lambda x: x, 4, 3),
    "pairs: got 1, expected an integer of at least 2": lambda: FOUND.unbiased(lambda x: x, 4, 8, pairs=1),
    r"fn: returned \(4, 2, 1\) for x of shape \(4, 2\), expected \(4,\) or \(4, size\)": lambda: FOUND.unbiased(
        lambda x: x[..., None], 0, 8
    ),
    "fn: returned float for x": lambda: FOUND.unbiased(lambda x: 1.0, 0, 8),
    "scale: got 0, expected a positive": lambda: WithRandomWalk(HMC(), scale=0),
    "share: got 1.0, expected a probability between 0 and 1": lambda: WithRandomWalk(HMC(), scale=0.1, share=1.0),
    "kernel: got MALA, expected samplers.HMC": lambda: WithRandomWalk(MALA(), scale=0.1),
}


@pytest.mark.parametrize("message", REFUSED_LATER)
def test_bad_input_is_named_later(message):
    with pytest.raises((TypeError, ValueError), match=message):
        REFUSED_LATER[message]()
