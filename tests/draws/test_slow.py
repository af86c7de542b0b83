"""The error of log Z where a coordinate mixes more slowly than the energy."""

from __future__ import annotations

import pytest
import torch

import targets
from samplers import ParallelTempering
from samplers.draws import Draws, LogZ
from samplers.draws.slow import widened

CHAINS, DRAWS = 8, 4000


def autoregressive(correlation, generator):
    noise = torch.randn(CHAINS, DRAWS, generator=generator, dtype=torch.float64)
    x = noise.clone()
    for t in range(1, DRAWS):
        x[:, t] = correlation * x[:, t - 1] + (1 - correlation**2) ** 0.5 * noise[:, t]
    return x


def error(x, lp, target=None):
    draws = Draws(
        x[..., None], stats={} if lp is None else {"lp": lp}, target=target or targets.Gaussian(torch.zeros(1))
    )
    found = widened(LogZ(1.0, 0.1), draws)
    assert found.value == 1.0
    return found.standard_error


def test_a_slow_coordinate_widens(generator):
    """By the root of the ratio of both times: that of |x| is about (1 + r^2) / (1 - r^2) = 19.5 at r = .95."""
    slow, fast = autoregressive(0.95, generator), autoregressive(0.0, generator)
    assert error(slow, fast) == pytest.approx(0.1 * 19.5**0.5, rel=0.2)


def test_what_mixes_as_fast_as_the_energy_does_not(generator):
    slow, fast = autoregressive(0.95, generator), autoregressive(0.0, generator)
    assert error(fast, slow) == 0.1
    assert error(fast, None) == 0.1


def test_modes_that_are_each_other_s_image_do_not(generator):
    side, fast = autoregressive(0.9, generator).sign(), autoregressive(0.0, generator)
    assert error(side * (3 + fast), autoregressive(0.0, generator)) < 0.15
    assert error(side, fast, targets.Ising((3, 3), coupling=0.0)) == 0.1


def test_too_few_draws_tell_nothing(generator):
    x = autoregressive(0.95, generator)[:, :3]
    assert error(x, x) == 0.1


@pytest.mark.parametrize("kept", ["draws", "moments", "stream"])
def test_tempering_states_it(kept, tmp_path, monkeypatch):
    """However draws are kept; running moments tell nothing of mixing."""
    target = targets.Gaussian(torch.zeros(2))
    how = {"draws": {}, "moments": {"keep": "moments"}, "stream": {"stream": tmp_path / "draws"}}[kept]
    seen = []
    monkeypatch.setattr(
        "samplers.runs.chains.widened", lambda log_z, draws: seen.append(draws) or widened(log_z, draws)
    )
    sampler = ParallelTempering(base=targets.Gaussian(torch.zeros(2), 2.0), temperatures=3)
    draws = sampler.sample(target, chains=4, draws=50, warmup=20, progress=False, **how)
    assert len(seen) == 1
    assert draws.log_z.standard_error > 0
