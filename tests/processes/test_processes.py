"""Noising processes and their time grids: against their SDEs, Gaussian conditioning and arithmetic of 50 digits."""

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from samplers.processes import grids
from samplers.processes.linear import VE, VP, Brownian, OrnsteinUhlenbeck, SubVP
from targets.noise import CorrelatedNoise, IsotropicNoise

F64 = torch.float64
COVARIANCE = torch.tensor([[2.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 0.5]], dtype=F64)


def beta_integral(t):
    return 0.2 * t + (9.0 - 0.2) * t**2 / (2 * 1.5)


def beta(t):
    return 0.2 + (9.0 - 0.2) * t / 1.5


# name: process, a(t), g(t)^2, log a_t, v_t, as the papers state them; of floats or of numbers of mpmath
CASES = {
    "vp": (
        VP(0.2, 9.0, 1.5),
        lambda t: -beta(t) / 2,
        beta,
        lambda t: -beta_integral(t) / 2,
        lambda t: 1 - mpmath.exp(-beta_integral(t)),
    ),
    "sub-vp": (
        SubVP(0.2, 9.0, 1.5),
        lambda t: -beta(t) / 2,
        lambda t: beta(t) * (1 - math.exp(-2 * beta_integral(t))),
        lambda t: -beta_integral(t) / 2,
        lambda t: (1 - mpmath.exp(-beta_integral(t))) ** 2,
    ),
    "ve": (
        VE(0.05, 8.0, 1.5),
        lambda t: 0.0,
        lambda t: 0.05**2 * (8 / 0.05) ** (2 * t / 1.5) * 2 * math.log(8 / 0.05) / 1.5,
        lambda t: 0 * t,
        lambda t: mpmath.mpf(0.05) ** 2 * ((8 / mpmath.mpf(0.05)) ** (2 * t / 1.5) - 1),
    ),
    "ou": (
        OrnsteinUhlenbeck(0.7, 1.8, 1.5),
        lambda t: -0.7,
        lambda t: 2 * 0.7 * 1.8**2,
        lambda t: -0.7 * t,
        lambda t: mpmath.mpf(1.8) ** 2 * (1 - mpmath.exp(-2 * mpmath.mpf(0.7) * t)),
    ),
    "brownian": (
        Brownian(1.3, 1.5),
        lambda t: 0.0,
        lambda t: 1.3**2,
        lambda t: 0 * t,
        lambda t: mpmath.mpf(1.3) ** 2 * t,
    ),
}
every_process = pytest.mark.parametrize("case", CASES)


def ordered_times(count, n=40):
    times = 1.5 * torch.rand(n, count, generator=torch.Generator().manual_seed(3), dtype=F64)
    return times.sort(-1).values.unbind(-1)


@every_process
def test_drift_and_diffusion_are_those_of_the_sde(case):
    process, drift, squared_diffusion, _, _ = CASES[case]
    t = torch.linspace(0, 1.5, 12, dtype=F64)
    expected = torch.tensor([[drift(float(u)), squared_diffusion(float(u))] for u in t], dtype=F64)
    torch.testing.assert_close(process.drift_coefficient(t), expected[:, 0], rtol=1e-13, atol=0)
    torch.testing.assert_close(process.diffusion(t).square(), expected[:, 1], rtol=1e-13, atol=0)


@every_process
@pytest.mark.parametrize(("s", "t"), [(0.0, 1.5), (0.0, 0.01), (0.4, 0.9), (1.3, 1.5)])
def test_a_transition_solves_the_equations_of_mean_and_variance(case, s, t):
    process, drift, squared_diffusion, _, _ = CASES[case]

    def slopes(u, moments):
        return [drift(u) * moments[0], 2 * drift(u) * moments[1] + squared_diffusion(u)]

    end = solve_ivp(slopes, (s, t), [1.0, 0.0], method="DOP853", rtol=1e-10, atol=1e-14).y[:, -1]
    np.testing.assert_allclose([float(c) for c in process.transition(s, t)], end, rtol=1e-8)
    if s == 0:
        np.testing.assert_allclose([float(process.scale(t)), float(process.variance(t))], end, rtol=1e-8)


@every_process
def test_transitions_compose(case):
    process = CASES[case][0]
    s, r, t = ordered_times(3)
    first, before = process.transition(s, r)
    second, after = process.transition(r, t)
    scale, variance = process.transition(s, t)
    torch.testing.assert_close(scale, second * first, rtol=1e-12, atol=0)
    torch.testing.assert_close(variance, second.square() * before + after, rtol=1e-12, atol=0)


@every_process
def test_a_bridge_is_the_joint_law_conditioned_on_both_ends(case):
    process = CASES[case][0]
    for s, r, t in zip(*ordered_times(3), strict=True):
        times = torch.stack([s, r, t])
        low, high = torch.minimum(times[:, None], times), torch.maximum(times[:, None], times)
        joint = process.variance(low) * process.transition(low, high)[0]
        expected = torch.linalg.solve(joint[::2, ::2], joint[1, ::2])
        left = joint[1, 1] - expected @ joint[1, ::2]
        found = torch.stack(process.bridge(s, r, t))
        # what is expected is a difference of close numbers where the ends are near each other
        torch.testing.assert_close(found, torch.stack([*expected, left]), rtol=1e-6, atol=1e-9)


@every_process
def test_a_bridge_at_its_ends(case):
    process = CASES[case][0]
    s, r, t = (
        torch.tensor(times, dtype=F64) for times in ([0.3, 0.3, 0.3, 0.0], [0.3, 0.9, 0.3, 0.0], [0.9, 0.9, 0.3, 0])
    )
    expected = torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=F64)
    torch.testing.assert_close(torch.stack(process.bridge(s, r, t)), expected, rtol=0, atol=1e-15)


@every_process
def test_tiny_times_keep_their_relative_precision(case):
    process, _, _, log_scale, variance = CASES[case]
    pairs = [(0.0, 1e-12), (0.0, 1e-5), (1e-9, 1.1e-9), (0.6, 0.6 + 1e-12), (1.4, 1.4 + 1e-9), (0.3, 1.2)]
    with mpmath.workdps(60):
        for s, t in pairs:
            low, high = mpmath.mpf(s), mpmath.mpf(t)
            # the constants of a case are floats: their sums and products with mpmath's numbers are not rounded again
            scale = mpmath.exp(log_scale(high) - log_scale(low))
            expected = variance(high) - scale**2 * variance(low)
            found = process.transition(s, t)
            assert abs(mpmath.mpf(float(found[0])) / scale - 1) < 1e-14
            assert abs(mpmath.mpf(float(found[1])) / expected - 1) < 1e-13
            if s == 0:
                snr = 2 * log_scale(high) - mpmath.log(variance(high))
                assert abs(mpmath.mpf(float(process.log_snr(t))) - snr) < 1e-13 * abs(snr)


@every_process
def test_time_of_inverts_log_snr(case):
    process = CASES[case][0]
    t = torch.cat([torch.logspace(-12, 0, 40, dtype=F64), torch.tensor([1.2, 1.5])]).reshape(6, 7)
    torch.testing.assert_close(process.time_of(process.log_snr(t)), t, rtol=1e-12, atol=0)
    assert float(process.time_of(process.log_snr(0.0))) == 0
    assert float(process.time_of(process.log_snr(1.5))) <= 1.5
    assert bool((process.log_snr(t).flatten().diff() < 0).all())


def test_time_of_where_next_to_nothing_of_the_data_is_left():
    for process in (VP(0.1, 5000.0), SubVP(0.1, 5000.0), OrnsteinUhlenbeck(horizon=2000.0)):
        t = torch.linspace(0.005, 1, 400, dtype=F64) * process.horizon
        torch.testing.assert_close(process.time_of(process.log_snr(t)), t, rtol=1e-12, atol=0)


def test_what_is_stationary():
    limits = {name: case[0].stationary_variance for name, case in CASES.items()}
    assert limits == {"vp": 1.0, "sub-vp": 1.0, "ve": None, "ou": 1.8**2, "brownian": None}
    for process in (VP(horizon=30.0), SubVP(horizon=30.0), OrnsteinUhlenbeck(sigma=1.8, horizon=30.0)):
        assert float(process.variance(30.0)) == pytest.approx(process.stationary_variance, rel=1e-12)
    for process in (VP(), OrnsteinUhlenbeck(0.7, 1.8)):
        scale, variance = process.transition(0.2, 0.7)
        assert float(scale**2 * process.stationary_variance + variance) == pytest.approx(process.stationary_variance)


@every_process
def test_coefficients_are_float64_in_the_shape_of_the_times(case):
    process = CASES[case][0]
    s, t = torch.zeros(2, 1), torch.ones(3, dtype=torch.float32)
    for result in (*process.transition(s, t), *process.bridge(s, 0.5, t)):
        assert result.dtype == F64
        assert result.shape == (2, 3)
    for method in (process.scale, process.variance, process.log_snr, process.drift_coefficient, process.diffusion):
        assert method(t).dtype == method(1.0).dtype == F64
        assert method(t).shape == (3,)
        assert method(1.0).shape == ()


@every_process
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_draw_is_the_scaled_point_and_white_noise(case, dtype, generator):
    process = CASES[case][0]
    x = torch.randn(4, 3, generator=generator, dtype=dtype)
    t = torch.tensor([0.3, 0.5, 1.0, 1.5], dtype=F64)
    found = process.diffuse(x, 0.3, t, torch.Generator().manual_seed(5))
    white = torch.randn(4, 3, generator=torch.Generator().manual_seed(5), dtype=dtype)
    scale, variance = process.transition(0.3, t)
    expected = scale[:, None].to(dtype) * x + variance.sqrt()[:, None].to(dtype) * white
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[0], x[0])


@pytest.mark.parametrize(
    "noise", [CorrelatedNoise(COVARIANCE), CorrelatedNoise(COVARIANCE.diagonal()), IsotropicNoise(2)]
)
def test_the_covariance_of_a_draw(noise):
    process = SubVP(noise=noise)
    map_of_white = noise.colour(torch.eye(3, dtype=F64))
    torch.testing.assert_close(map_of_white.mT @ map_of_white, noise.covariance(3))
    found = process.diffuse(torch.zeros(50, 3, dtype=F64), 0.2, 0.7, torch.Generator().manual_seed(5))
    white = torch.randn(50, 3, generator=torch.Generator().manual_seed(5), dtype=F64)
    torch.testing.assert_close(found, process.transition(0.2, 0.7)[1].sqrt() * (white @ map_of_white))


@every_process
@pytest.mark.parametrize("noise", [None, CorrelatedNoise(COVARIANCE)])
def test_the_conditional_score_is_the_gradient_of_the_log_density(case, noise, generator):
    process = replace(CASES[case][0], noise=noise)
    x_s, x_t = torch.randn(2, 2, 5, 3, generator=generator, dtype=F64)
    x_t.requires_grad_()
    s, t = torch.tensor(0.1), torch.linspace(0.2, 1.5, 5, dtype=F64)
    scale, variance = process.transition(s, t)
    covariance = torch.eye(3, dtype=F64) if noise is None else COVARIANCE
    law = torch.distributions.MultivariateNormal(scale[:, None] * x_s, variance[:, None, None] * covariance)
    (expected,) = torch.autograd.grad(law.log_prob(x_t).sum(), x_t)
    torch.testing.assert_close(process.conditional_score(x_t.detach(), x_s, s, t), expected)


@every_process
def test_on_meta(case):
    process = CASES[case][0]
    x, t = torch.zeros(4, 3, device="meta"), torch.ones(4, device="meta")
    tensors = [*process.bridge(0.0, 0.5, t), process.log_snr(t), process.time_of(t), process.diffusion(t)]
    tensors += [process.diffuse(x, 0.0, t, torch.Generator()), process.conditional_score(x, x, 0.0, t)]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


BAD_PROCESSES = [
    (lambda: VP(horizon=0.0), "horizon: got 0.0, expected a positive finite number"),
    (lambda: Brownian(horizon=math.inf), "horizon: got inf, expected a positive finite number"),
    (lambda: VP(beta_min=0.0), "beta_min: got 0.0, expected a positive finite number"),
    (lambda: SubVP(beta_min=3.0, beta_max=2.0), "beta_min: got 3, expected at most beta_max = 2"),
    (lambda: VE(2.0, 2.0), "sigma_min: got 2, expected less than sigma_max = 2"),
    (lambda: OrnsteinUhlenbeck(rate=-1.0), "rate: got -1.0, expected a positive finite number"),
    (lambda: Brownian(sigma=True), "sigma: got True, expected a positive finite number"),
    (lambda: VP(noise=0.3), "noise: got 0.3, expected a targets.noise.Noise, or None for the identity"),
]
X = torch.zeros(4, 2)
BAD_CALLS = [
    (lambda p: p.scale(1.2), r"t: got 1.2, expected a time in \[0, 1\]"),
    (lambda p: p.diffusion(torch.tensor([0.5, -0.1])), r"t: got -0.1, expected a time in \[0, 1\]"),
    (lambda p: p.variance(-1e-9), r"t: got -1e-09, expected a time in \[0, 1\]"),
    (lambda p: p.transition(0.0, torch.tensor(math.nan)), r"t: got nan, expected a time in \[0, 1\]"),
    (lambda p: p.transition(math.nan, 0.5), r"s: got nan, expected a time in \[0, 1\]"),
    (lambda p: p.transition(torch.tensor([0.1, 0.6]), 0.5), "s, t: got s - t = 0.1, expected s <= t"),
    (lambda p: p.bridge(0.1, 0.75, 0.5), "r, t: got r - t = 0.25, expected r <= t"),
    (
        lambda p: p.transition(torch.zeros(2), torch.zeros(3)),
        r"s, t: got shapes \(2,\) and \(3,\), expected shapes that",
    ),
    (lambda p: p.time_of(-50.0), "log_snr: got -50, expected at least -10.05, its value at the horizon"),
    (lambda p: p.time_of(math.nan), "log_snr: got nan, expected at least"),
    (
        lambda p: p.diffuse(X, 0.0, torch.ones(4, 1), torch.Generator()),
        r"s, t: got shape \(4, 1\), expected one that broadcasts to \(4,\), the rows of x",
    ),
    (lambda p: p.diffuse(X, 0.0, 1.0, torch.Generator()), "noise: got noise in 3 dimensions, expected 2"),
    (lambda p: p.conditional_score(X, X, 0.0, 1.0), "noise: got noise in 3 dimensions, expected 2"),
    (lambda p: p.conditional_score(X, X[0], 0.0, 1.0), r"x_s: got shape \(2,\), expected that of x_t, \(4, 2\)"),
    (lambda p: p.conditional_score(X, X, 0.5, 0.5), r"s, t: got Var\(x_t \| x_s\) = 0, expected s < t"),
]
BAD_GRIDS = [
    (lambda: grids.uniform(0), "steps: got 0, expected an integer of at least 1"),
    (lambda: grids.uniform(3, -1.0), "horizon: got -1.0, expected a positive"),
    (lambda: grids.cosine(2.0), "steps: got 2.0, expected an integer of at least 1"),
    (lambda: grids.cosine(2, math.inf), "horizon: got inf, expected a positive"),
    (lambda: grids.cosine(2, offset=-0.1), "offset: got -0.1, expected a finite number of at least 0"),
    (lambda: grids.log_snr(VP(), 1), "steps: got 1, expected an integer of at least 2"),
    (lambda: grids.log_snr(VP(), 4, 1.0), "least: got 1, expected less than the horizon, 1"),
    (lambda: grids.log_snr(VP(), 4, 0.0), "least: got 0.0, expected a positive"),
    (lambda: grids.arctan(VP(), 1), "steps: got 1, expected an integer of at least 2"),
    (lambda: grids.arctan(VP(), 4, 1.0), "least: got 1, expected less than the horizon, 1"),
    (lambda: grids.arctan(VP(), 4, centre=0.0), "centre: got 0.0, expected a positive"),
    (lambda: grids.arctan(VP(), 4, power=-1.0), "power: got -1.0, expected a positive"),
    (lambda: grids.rho(1, 0.1, 1.0), "steps: got 1, expected an integer of at least 2"),
    (lambda: grids.rho(4, 0.0, 1.0), "least: got 0.0, expected a positive"),
    (lambda: grids.rho(4, 0.1, math.nan), "most: got nan, expected a positive"),
    (lambda: grids.rho(4, 2.0, 1.0), "least: got 2, expected less than most, 1"),
    (lambda: grids.rho(4, 0.1, 1.0, rho=0), "rho: got 0, expected a positive"),
]


@pytest.mark.parametrize(("make", "message"), BAD_PROCESSES + BAD_GRIDS)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("call", "message"), BAD_CALLS)
def test_bad_times_and_points(call, message):
    with pytest.raises(ValueError, match=message):
        call(VP(noise=CorrelatedNoise(COVARIANCE)))


@pytest.mark.parametrize("steps", [2, 3, 64, 512])
def test_grids_increase_from_zero_to_their_exact_end(steps):
    made = {
        "uniform": (grids.uniform(steps, 3.1), 3.1),
        "cosine": (grids.cosine(steps, 0.05 * steps), 0.05 * steps),
        "rho": (grids.rho(steps, 0.002, 80.0), 80.0),
        **{name: (grids.log_snr(case[0], steps, 1e-4), 1.5) for name, case in CASES.items()},
        **{f"arctan, {name}": (grids.arctan(case[0], steps, 1e-4), 1.5) for name, case in CASES.items()},
    }
    for times, end in made.values():
        assert times.dtype == F64
        assert times.shape == (steps + 1,)
        assert times[0] == 0
        assert times[-1] == end
        assert bool((times.diff() > 0).all())


def test_one_step():
    assert grids.uniform(1, 2.5).tolist() == grids.cosine(1, 2.5).tolist() == [0.0, 2.5]


def test_uniform_steps_are_equal():
    torch.testing.assert_close(grids.uniform(4, 2.0), torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0], dtype=F64))


def test_cosine_increments_in_the_order_of_sampling():
    increments = grids.cosine(63, 3.2).diff().flip(0)
    phase = (torch.arange(63, dtype=F64) / 63 + 0.008) / 1.008 * math.pi / 2
    ratio = phase.cos().pow(4)
    torch.testing.assert_close(increments, 3.2 * ratio / ratio.sum(), rtol=1e-11, atol=0)
    assert bool((increments.diff() < 0).all())
    published = torch.cos((torch.linspace(0, 1, 64, dtype=F64) + 0.008) / 1.008 * math.pi / 2).pow(4)
    assert published[-1] < 1e-60
    torch.testing.assert_close(increments, 3.2 * published[:-1] / published.sum(), rtol=1e-11, atol=0)


@every_process
def test_log_snr_grid_has_equal_steps_of_log_snr(case):
    process = CASES[case][0]
    values = process.log_snr(grids.log_snr(process, 20, 1e-5)[1:])
    expected = torch.linspace(float(process.log_snr(1e-5)), float(process.log_snr(1.5)), 20, dtype=F64)
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=1e-12)


@every_process
def test_arctan_grid_has_equal_steps_of_the_angle(case):
    process = CASES[case][0]
    sigma = torch.exp(-0.5 * process.log_snr(grids.arctan(process, 20, 1e-4, centre=2.0, power=0.5)[1:]))
    angle = torch.atan((sigma / 2).sqrt())
    torch.testing.assert_close(angle, torch.linspace(float(angle[0]), float(angle[-1]), 20, dtype=F64))


@pytest.mark.parametrize("exponent", [1.0, 7.0])
def test_rho_grid_is_that_of_karras(exponent):
    n, low, high = 18, 0.002 ** (1 / exponent), 80 ** (1 / exponent)
    expected = [((1 - i / (n - 1)) * high + i / (n - 1) * low) ** exponent for i in range(n)] + [0.0]
    np.testing.assert_allclose(grids.rho(n, 0.002, 80.0, exponent).flip(0).numpy(), expected, rtol=1e-12)
