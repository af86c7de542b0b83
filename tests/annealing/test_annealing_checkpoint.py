"""A run that stopped, continued by the same call, is the uninterrupted run bit for bit."""

import os
import signal

import pytest
import torch
from annealing_cases import F64, PLAIN, gaussian

import targets
from samplers import HMC, MALA, ULA, Gibbs, RiemannianLangevin
from samplers.annealing import AIS, SMC


class Failure(Exception):
    """What a density may raise."""


class Fragile(targets.LogDensity):
    """A skewed density that does something at its `at`-th evaluation."""

    def __init__(self, at=None, action=None):
        self.at, self.action, self.calls = at, action, 0
        super().__init__(self.density, 2, dtype=F64, name="fragile")

    def density(self, x):
        self.calls += 1
        if self.calls == self.at:
            self.action()
        return (x - x.exp()).sum(-1)


def fail():
    raise Failure


def press():
    os.kill(os.getpid(), signal.SIGINT)


BASE = gaussian(2, 1.5)
SAMPLERS = {
    "AIS": AIS(MALA(0.2, PLAIN), BASE, betas=6, moves=2),
    "AIS with ULA": AIS(ULA(0.1, PLAIN), BASE, betas=6, moves=2),
    "SMC": SMC(HMC(0.3, PLAIN, trajectory_length=1.0), BASE, betas=6, moves=2, resampling="multinomial", replicates=2),
    "waste-free": SMC(MALA(0.2, PLAIN), BASE, betas=6, waste_free=4),
    "adaptive": SMC(HMC(), BASE, moves=2, conditional_ess=0.8),
    "adaptive AIS": AIS(MALA(), BASE, conditional_ess=0.9, unbiased=False),
    "AIS in two runs": AIS(MALA(), BASE, conditional_ess=0.9),
    "unbiased": SMC(MALA(), BASE, moves=2, unbiased=True, conditional_ess=0.8),
    "kernels": SMC([MALA(0.2, PLAIN), HMC(0.3, PLAIN, steps=2), MALA(0.1, PLAIN)], BASE, betas=3, moves=2),
    "a metric": SMC(RiemannianLangevin(lambda x: 1 + x.square()), BASE, betas=3, moves=2),
    "pilot": SMC(MALA(), moves=1, conditional_ess=0.6),
}


def equal(a, b):
    assert torch.equal(a.x, b.x)
    assert torch.equal(a.log_weights, b.log_weights)
    assert torch.equal(a.stats["lp"], b.stats["lp"])
    assert a.log_z == b.log_z
    for name in ("betas", "ess", "acceptance", "divergences"):
        assert a.attrs[name] == b.attrs[name]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "pilot"])
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_a_run_that_failed_is_continued(name, share, tmp_path):
    sampler, path = SAMPLERS[name], tmp_path / "run.pt"
    whole = Fragile()
    expected = sampler.sample(whole, draws=80, seed=4)
    broken = Fragile(max(2, int(share * whole.calls)), fail)
    with pytest.raises(Failure):
        sampler.sample(broken, draws=80, seed=4, checkpoint=path)
    assert path.exists() or share == 0.1  # nothing is there to keep before the first particles are evaluated
    equal(sampler.sample(Fragile(), draws=80, seed=4, checkpoint=path), expected)
    equal(sampler.sample(Fragile(), draws=80, seed=4, checkpoint=path), expected)  # and once more when it has ended


@pytest.mark.parametrize("name", ["SMC", "adaptive", "unbiased"])
def test_an_interrupt_waits_for_the_step_and_is_continued(name, tmp_path):
    sampler, path = SAMPLERS[name], tmp_path / "run.pt"
    whole = Fragile()
    expected = sampler.sample(whole, draws=80, seed=5)
    with pytest.raises(KeyboardInterrupt, match="interrupted at b = .*, before the target at b = 1"):
        sampler.sample(Fragile(whole.calls // 3, press), draws=80, seed=5, checkpoint=path)
    assert path.exists()
    equal(sampler.sample(Fragile(), draws=80, seed=5, checkpoint=path), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_a_run_with_a_pilot_is_continued(tmp_path):
    """Which stopped while it annealed; of a density that fails in the search after it the certificate says so."""
    sampler, path = SAMPLERS["pilot"], tmp_path / "run.pt"
    whole = Fragile()
    expected = sampler.sample(whole, draws=80, seed=6)

    class Stopping(Fragile):
        """Once there is something to continue."""

        def density(self, x):
            if path.exists():
                fail()
            return super().density(x)

    with pytest.raises(Failure):
        sampler.sample(Stopping(), draws=80, seed=6, checkpoint=path)
    equal(sampler.sample(Fragile(), draws=80, seed=6, checkpoint=path), expected)
    draws = sampler.sample(Fragile(whole.calls, fail), draws=80, seed=6)  # the last call is of the search
    assert draws.certificate.searched.startswith("fragile failed")
    equal(draws, expected)


def test_discrete_runs_are_continued(tmp_path):
    ising = targets.Ising((3, 2), 0.4, field=0.3, periodic=False, dtype=F64)
    sampler, path = SMC(Gibbs(), betas=4, moves=2), tmp_path / "run.pt"
    expected = sampler.sample(ising, draws=64, seed=1)
    equal(sampler.sample(ising, draws=64, seed=1, checkpoint=path), expected)
    equal(sampler.sample(ising, draws=64, seed=1, checkpoint=path), expected)


def test_cost_of_an_interrupted_run_is_that_of_the_whole(tmp_path):
    sampler, path = SAMPLERS["SMC"], tmp_path / "run.pt"
    whole = Fragile()
    expected = sampler.sample(whole, draws=80, seed=4)
    with pytest.raises(Failure):
        sampler.sample(Fragile(whole.calls // 2, fail), draws=80, seed=4, checkpoint=path)
    resumed = sampler.sample(Fragile(), draws=80, seed=4, checkpoint=path)
    # the first evaluation of a run is made anew before the file is read, and not counted twice
    assert resumed.cost.log_prob == expected.cost.log_prob
    assert resumed.cost.score == expected.cost.score


def test_checkpoints_of_other_runs_are_refused(tmp_path):
    sampler, path = SAMPLERS["SMC"], tmp_path / "run.pt"
    sampler.sample(Fragile(), draws=80, seed=4, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another run: seed is 4 there and 5 here"):
        sampler.sample(Fragile(), draws=80, seed=5, checkpoint=path)
    with pytest.raises(ValueError, match="draws is 80 there and 40 here"):
        sampler.sample(Fragile(), draws=40, seed=4, checkpoint=path)
    with pytest.raises(ValueError, match="target is 'fragile' there and 'LogExponential' here"):
        sampler.sample(targets.LogExponential(2, dtype=F64), draws=80, seed=4, checkpoint=path)
    same_name = targets.LogDensity(lambda x: -x.square().sum(-1), 2, dtype=F64, name="fragile")
    with pytest.raises(ValueError, match="belongs to another target: at the first points of that run"):
        sampler.sample(same_name, draws=80, seed=4, checkpoint=path)
    with pytest.raises(ValueError, match="resampling is 'multinomial' there and 'systematic' here"):
        SMC(HMC(0.3, PLAIN, trajectory_length=1.0), BASE, betas=6, moves=2, replicates=2).sample(
            Fragile(), draws=80, seed=4, checkpoint=path
        )


def test_checkpoints_of_other_kernels_and_bases_are_refused(tmp_path):
    path = tmp_path / "run.pt"
    AIS(MALA(0.2, PLAIN), BASE, betas=3).sample(Fragile(), draws=20, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another run: kernel is .*0.2.* there and .*0.3.* here"):
        AIS(MALA(0.3, PLAIN), BASE, betas=3).sample(Fragile(), draws=20, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another base: at the first points of that run"):
        AIS(MALA(0.2, PLAIN), gaussian(2, 2.0), betas=3).sample(Fragile(), draws=20, checkpoint=path)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is truncated or not a checkpoint"):
        SAMPLERS["AIS"].sample(Fragile(), draws=20, checkpoint=path)
