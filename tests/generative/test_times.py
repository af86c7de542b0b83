"""Times at which losses are estimated: densities against quantiles, unbiased integrals, the bias of truncation."""

import math

import pytest
import score_matching_cases as cases
import torch
from score_matching_cases import F64, PROCESSES, TIMES, narrow_integral, seeded

from samplers.generative import DebiasedTimes, Denoising, Implicit, LogSNRTimes, UniformTimes
from samplers.processes.linear import VE, VP, OrnsteinUhlenbeck, SubVP

LINE = {"VP": VP(), "sub-VP": SubVP(), "OU": OrnsteinUhlenbeck(horizon=2.0), "VE": VE(0.01, 5.0)}


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("times", TIMES, ids=str)
def test_density_and_quantiles(times, name):
    cases.check_times(times, PROCESSES[name])


@pytest.mark.parametrize("name", LINE)
@pytest.mark.parametrize("times", [DebiasedTimes(), DebiasedTimes(1e-4, tail=1.0)], ids=str)
def test_debiased_times_are_unbiased(times, name):
    """Against the exact integral over (0, horizon], from entropies by quadrature."""
    cases.check_unbiased(times, LINE[name])


@pytest.mark.parametrize("times", [LogSNRTimes(1e-2), UniformTimes(1e-2)], ids=str)
def test_usual_times_leave_a_part_out(times):
    """They are unbiased from `least` on, and their estimate of the whole is off by just what lies below."""
    for name in ("VP", "OU"):
        process = LINE[name]
        cases.check_unbiased(times, process)
        missing = narrow_integral(process, 0.0) - narrow_integral(process, 1e-2)
        rows = cases.estimates(Implicit(weighting="likelihood", times=times), process, 20_000)
        error = float(rows.std()) / math.sqrt(len(rows))
        bias = float(rows.mean()) + narrow_integral(process, 0.0)
        assert bias > 5 * error, (bias, error)
        assert abs(bias - missing) < 5 * error, (bias, missing, error)
        with pytest.raises(AssertionError, match="standard errors from what it should be"):
            cases.check_mean(rows, -narrow_integral(process, 0.0))


def second_moment(times, process, share):
    """int E[l^2] / p dt over the times of the first `share` of the mass, l the centred denoising row of N(0, 1).

    l = g^2 (c^2 x^2 / 2 - c x e) / v with E[e | x] = c x, E x^2 = T^2 = a^2 + v and Var(e | x) = a^2 / T^2:
    E[l^2] = (g^2 / v)^2 (3 c^4 T^4 / 4 + c^2 a^2).
    """
    edges = torch.logspace(math.log10(share), 0, 4001, dtype=F64)
    mass = 0.5 * (edges[1:] + edges[:-1])
    t = times.at(process, mass)
    a2, v, g2 = process.scale(t) ** 2, process.variance(t), process.diffusion(t) ** 2
    total = a2 + v
    c2 = v / total**2
    rows = (g2 / v) ** 2 * (0.75 * (c2 * total) ** 2 + c2 * a2)
    return float((rows / times.density(process, t) ** 2 * edges.diff()).sum())


def test_variance_is_finite_with_a_tail_below_one():
    """From a thousandth of the times to the next nothing is added with tail = 1/2; with 1 as much as before."""
    process = OrnsteinUhlenbeck(horizon=2.0)
    for tail, grows in ((0.5, False), (1.0, True)):
        first, second, third = (second_moment(DebiasedTimes(tail=tail), process, s) for s in (1e-6, 1e-9, 1e-12))
        if grows:
            assert (third - second) > 0.9 * (second - first) > 0.01
        else:
            assert (third - second) < 1e-3 * first
    rows = cases.estimates(
        Denoising(weighting="likelihood", times=DebiasedTimes(), centred=True),
        process,
        20_000,
        cases.targets.GaussianMixture(torch.zeros(1, 1, dtype=F64), scales=1.0),
    )
    cases.check_mean(rows.square(), second_moment(DebiasedTimes(), process, 1e-12), what="second moment")


def test_draws_are_seeded_and_on_the_generators_device():
    for times in TIMES:
        first, second = (times.draw(VP(), 5, seeded(1)) for _ in range(2))
        assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
        assert first[0].dtype == first[1].dtype == F64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UniformTimes(-1.0), "least: got -1.0, expected a finite number of at least 0"),
        (lambda: LogSNRTimes(0.0), "least: got 0.0, expected a positive finite number"),
        (lambda: DebiasedTimes(0.0), "knee: got 0.0, expected a positive finite number"),
        (lambda: DebiasedTimes(tail=2.0), "tail: got 2.0, expected less than 2"),
        (lambda: UniformTimes(1.0).draw(VP(), 3, seeded()), "least: got 1, expected less than the horizon, 1"),
    ],
)
def test_bad_times(make, message):
    with pytest.raises(ValueError, match=message):
        make()
