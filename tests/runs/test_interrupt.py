"""One rule for Ctrl-C and for crashes, of chains, temperatures, levels, particles, measurements and training."""

import signal
import warnings

import pytest
import torch

import targets
from samplers import AIS, DDS, MALA, SMC, SVGD, AnnealedLangevin, SamplingWarning, SequentialMultimeasurement
from samplers.diffusion import ResidualMLP, Training
from samplers.runs.checkpoint import Checkpoint

DOUBLE = torch.float64


class Failure(Exception):
    """Of a density."""


class Stopping(targets.Target):
    """A skewed mixture that does something at its n-th evaluation."""

    def __init__(self, at=None, what=None):
        super().__init__(2, dtype=DOUBLE, name="stopping")
        means = torch.tensor([[-1.0, 0.0], [1.5, 0.5]], dtype=DOUBLE)
        self.law = targets.GaussianMixture(means, scales=[0.6, 1.0], weights=[0.3, 0.7])
        self.calls, self.at, self.what = 0, at, what

    def log_prob(self, x):
        return self.log_prob_and_score(x)[0]

    def log_prob_and_score(self, x):
        self.calls += 1
        if self.calls == self.at:
            self.what()
        return self.law.log_prob_and_score(x)


BASE = targets.Gaussian(torch.zeros(2, dtype=DOUBLE), 2.0)
LEARNED = DDS(
    steps=3, prior=BASE, network=ResidualMLP(width=8, layers=1, features=4, local=None), training=Training(batch=8)
)
# how each is run, and what it gives when it is interrupted; None where there is nothing to give
RUNS = {
    "chains": (lambda t, **o: MALA(0.3).sample(t, chains=4, draws=12, warmup=3, **o), "after .* of 12 draws"),
    "temperatures": (lambda t, **o: SMC(MALA(0.3), base=BASE).sample(t, draws=40, **o), None),
    "temperatures, AIS": (lambda t, **o: AIS(MALA(0.3), base=BASE).sample(t, draws=40, **o), None),
    "levels": (
        lambda t, **o: AnnealedLangevin(levels=6, steps=3, sigma_max=2.0, kind="temperature").sample(t, draws=9, **o),
        None,
    ),
    "measurements": (
        lambda t, **o: SequentialMultimeasurement(sigma=1.0, m=6, steps=2, first_steps=2, denoiser="importance").sample(
            t, draws=9, init=torch.zeros(9, 2, dtype=DOUBLE), **o
        ),
        None,
    ),
    "particles": (lambda t, **o: SVGD().sample(t, draws=9, iterations=12, **o), "after .* of 12 iterations"),
    "training": (lambda t, **o: LEARNED.sample(t, draws=9, iterations=12, **o), "after .* of 12 iterations"),
}
EVERY = pytest.mark.parametrize("name", RUNS)


def whole_run(run, folder, monkeypatch):
    """What a run gives that nothing stops, the evaluations with which its last fifth and its last step begin, and how
    many there are.
    """
    target, begun = Stopping(), []
    mark = Checkpoint.mark
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "mark", lambda self: (begun.append(target.calls), mark(self)))
        whole = run(target, checkpoint=folder / "whole.pt")
    return whole, begun[8 * len(begun) // 10] + 1, begun[-1] + 1, target.calls


def same(one, other):
    assert torch.equal(one.x, other.x)
    assert (one.cost.log_prob, one.cost.score) == (other.cost.log_prob, other.cost.score)
    if one.log_weights is not None:
        assert torch.equal(one.log_weights, other.log_weights)


@pytest.fixture(autouse=True)
def quiet():
    """Short runs are rightly warned of; what is asked here is what an interruption says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        yield


@EVERY
def test_a_crash_leaves_a_run_that_continues(name, tmp_path, monkeypatch):
    run, _ = RUNS[name]

    def fail():
        raise Failure

    whole, late, _, calls = whole_run(run, tmp_path, monkeypatch)
    path = tmp_path / "run.pt"
    with pytest.raises(Failure):
        run(Stopping(late, fail), checkpoint=path)
    rest = Stopping()
    same(run(rest, checkpoint=path), whole)
    assert rest.calls < calls * 2 / 3
    saved = torch.load(path)
    saved["seconds"] = 1000.0
    torch.save(saved, path)
    again = run(Stopping(), checkpoint=path)
    same(again, whole)
    assert again.cost.seconds > 1000  # those of the calls before are in it


@EVERY
@pytest.mark.parametrize(("presses", "where"), [(1, "late"), (2, "late"), (2, "in the last step")])
def test_ctrl_c_gives_what_can_be_given(name, presses, where, tmp_path, monkeypatch):
    run, given = RUNS[name]

    def press():
        for _ in range(presses):
            signal.raise_signal(signal.SIGINT)

    whole, late, last, _ = whole_run(run, tmp_path, monkeypatch)
    path = tmp_path / "run.pt"
    target = Stopping(late if where == "late" else last, press)
    if given is None or (name == "training" and presses == 2):
        with pytest.raises(KeyboardInterrupt, match="interrupted" if presses == 1 else None):
            run(target, checkpoint=path)
    else:
        with pytest.warns(SamplingWarning, match=f"interrupted {given}"):
            part = run(target, checkpoint=path)
        assert part.x.isfinite().all()
    same(run(Stopping(), checkpoint=path), whole)


@EVERY
def test_a_checkpoint_of_another_run_is_refused(name, tmp_path):
    run, _ = RUNS[name]
    path = tmp_path / "run.pt"
    run(Stopping(), checkpoint=path)
    with pytest.raises(ValueError, match=r"checkpoint: .* belongs to another run: seed is 0 there and 1 here"):
        run(Stopping(), checkpoint=path, seed=1)
    torch.save({"header": {}, "known": {}}, path)
    with pytest.raises(ValueError, match=r"checkpoint: .* was written by another version .* Remove it"):
        run(Stopping(), checkpoint=path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match=r"checkpoint: .* is truncated or not a checkpoint"):
        run(Stopping(), checkpoint=path)
