"""Time grids of a noising process: (steps + 1,) in float64, strictly increasing from 0, the data, to the noise.

    uniform   t_j = horizon j / steps
    cosine    t_j - t_{j-1} proportional to sin((j / steps) / (1 + offset) pi / 2)^4
    log_snr   t_0 = 0, then equal steps of log(a_t^2 / v_t) from t_1 = least to the horizon
    rho       t_0 = 0, then equal steps of t^(1 / rho) from t_1 = least to t_steps = most
    arctan    t_0 = 0, then equal steps of arctan((sigma_t / centre)^power) from t_1 = least, sigma_t = sqrt(v_t) / a_t

A sampler runs through a grid from its end.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from samplers.processes.linear import Process
from targets.arguments import check_integer, not_negative, positive


def uniform(steps: int, horizon: float = 1.0) -> Tensor:
    """`steps` equal steps from 0 to `horizon`."""
    check_integer(steps, "steps")
    return torch.linspace(0.0, positive(horizon, "horizon"), steps + 1, dtype=torch.float64)


def cosine(steps: int, horizon: float = 1.0, offset: float = 0.008) -> Tensor:
    """The cos^2 schedule of DDS: large steps at the noise, the smallest at the data.

    In the order of sampling, i = 0 .. steps - 1 from the noise, the increments are proportional to cos(phase_i)^4 with
    phase_i = (i / steps + offset) / (1 + offset) pi / 2. The published schedule divides i by steps - 1: its last phase
    is pi / 2 and its last step has no length, so that its n steps are these n - 1 and one that does nothing.
    Vargas et al. 2023; Nichol and Dhariwal 2021.
    """
    check_integer(steps, "steps")
    horizon, offset = positive(horizon, "horizon"), not_negative(offset, "offset")
    index = torch.arange(steps + 1, dtype=torch.float64)  # cos(phase_i) = sin(pi/2 - phase_i), j = steps - i
    times = torch.sin(index / steps / (1 + offset) * (0.5 * math.pi)).pow(4).cumsum(0)
    return _ending(times * (horizon / times[-1]), horizon)


def log_snr(process: Process, steps: int, least: float = 1e-3) -> Tensor:
    """Equal steps of the process's log signal-to-noise ratio between `least` and its horizon, after one from 0.

    The spacing of DPM-Solver. Lu et al. 2022.
    """
    check_integer(steps, "steps", 2)
    _check_less(positive(least, "least"), process.horizon, "the horizon")
    first, last = float(process.log_snr(least)), float(process.log_snr(process.horizon))
    times = process.time_of(torch.linspace(first, last, steps, dtype=torch.float64))
    return _after_zero(times, least, process.horizon)


def rho(steps: int, least: float, most: float, rho: float = 7.0) -> Tensor:
    """Equal steps of t^(1 / rho) between `least` and `most`, after one from 0; more of them early for a larger rho.

    Karras et al. 2022, whose sigma(t) = t.
    """
    check_integer(steps, "steps", 2)
    rho, most = positive(rho, "rho"), positive(most, "most")
    _check_less(positive(least, "least"), most, "most")
    roots = torch.linspace(least ** (1 / rho), most ** (1 / rho), steps, dtype=torch.float64)
    return _after_zero(roots.pow(rho), least, most)


def arctan(process: Process, steps: int, least: float = 1e-3, *, centre: float = 1.0, power: float = 2 / 3) -> Tensor:
    """Equal steps of arctan((sigma / centre)^power), sigma = sqrt(v_t) / a_t, from `least` to the horizon, after one
    from 0: few far out, where the noise hides the data, and few where it is small.

    For data N(0, C) a step of DPM-Solver-2, of length h in log sigma, is off by h^3 / 8 times sigma^2 where sigma is
    small and sigma^-2 where it is large, as seen at the data. Steps whose number falls like sigma^(2/3) to both sides
    of 1 are off alike, and these do. power: 1/2 for a solver of order 3, off by h^4 sigma^2 where sigma is small.
    centre: the deviation of the data, where steps are shortest, and twice that for EDM, whose steps in sigma are off by
    more far out. `log_snr` serves data better that are much wider or narrower than `centre`.
    """
    check_integer(steps, "steps", 2)
    _check_less(positive(least, "least"), process.horizon, "the horizon")
    centre, power = positive(centre, "centre"), positive(power, "power")
    ends = [-0.5 * float(process.log_snr(t)) - math.log(centre) for t in (least, process.horizon)]
    first, last = (math.atan(math.exp(power * end)) for end in ends)
    log_sigma = torch.linspace(first, last, steps, dtype=torch.float64)[1:-1].tan().log() / power + math.log(centre)
    within = process.time_of(-2 * log_sigma)
    return _after_zero(torch.nn.functional.pad(within, (1, 1)), least, process.horizon)


def _after_zero(times: Tensor, least: float, most: float) -> Tensor:
    """0 and the times, whose ends are known exactly."""
    times[0] = least
    return _ending(torch.nn.functional.pad(times, (1, 0)), most)


def _ending(times: Tensor, most: float) -> Tensor:
    times[-1] = most
    return times


def _check_less(least: float, most: float, name: str) -> None:
    if least >= most:
        raise ValueError(f"least: got {least:.6g}, expected less than {name}, {most:.6g}")
