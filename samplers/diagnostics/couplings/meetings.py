"""How fast a kernel mixes, from the times at which two chains with lag meet."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from samplers.diagnostics.couplings.base import coupling_of
from samplers.diagnostics.couplings.pairs import Pairs, unmet_in_words
from samplers.diagnostics.couplings.unbiased import Unbiased, unbiased
from samplers.draws import Cost
from samplers.kernels import Kernel
from samplers.kernels.base import check_kernel
from samplers.runs.interrupt import deferred_interrupt
from samplers.runs.starts import Init
from targets import Target
from targets.arguments import check_integer, positive, shown
from targets.counting import Counted
from targets.sampling_warning import warn

SHARP = 1.1  # mean number of lags until a meeting, beside one for a lag beyond all meetings


@dataclass(frozen=True, eq=False)
class Bound:
    """An upper bound of the total variation between the law of X_t and the invariant law.

        E max(0, ceil((tau - L - t) / L)),   estimated by the mean over pairs, and no more than 1

    t: steps. value: the bound at each, 1 where pairs have not met. standard_error: of the mean; 0 where no pair met
    after t + L, which happens to fewer than 3 / pairs of them (95 %), and where pairs have not met: 1 is always true.

        >>> found = samplers.diagnostics.meeting_times(samplers.MALA(0.5), targets.Gaussian([0.0]), lag=10, pairs=50)
        >>> found.upper_bound([0, 100]).value
        tensor([1., 0.], dtype=torch.float64)
    """

    t: Tensor
    value: Tensor
    standard_error: Tensor


@dataclass(frozen=True, eq=False)
class MeetingTimes:
    """When pairs of chains met, X being `lag` steps ahead of Y, and what follows for how fast the kernel mixes.

    times: tau of each pair, the first t >= lag with X_t = Y_{t - lag}; infinite where they had not met when X had made
    max_steps steps, (pairs,) in float64. cost: evaluations by all pairs, and seconds. divergences: steps that were not
    taken because they led to no finite density.
    kernel: as placed on the target. target, init, lag, max_steps, seed: as given.

        >>> found = samplers.diagnostics.meeting_times(samplers.MALA(0.5), targets.Gaussian([0.0]), lag=10, pairs=50)
        >>> found.times.shape, found.all_met, found.mixing_time() < 20
        (torch.Size([50]), True, True)
    """

    times: Tensor
    lag: int
    max_steps: int
    seed: int
    cost: Cost
    divergences: int
    kernel: Kernel = field(repr=False)
    target: Target = field(repr=False)
    init: Init = field(repr=False)

    @property
    def unmet(self) -> int:
        """How many pairs had not met."""
        return int(self.times.isinf().sum())

    @property
    def all_met(self) -> bool:
        """Whether every pair met."""
        return self.unmet == 0

    def upper_bound(self, t: int | Sequence[int] | Tensor) -> Bound:
        """The bound after t steps, of the shape of t."""
        try:
            steps = torch.as_tensor(t)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"t: got {shown(t)}, expected numbers of steps, integers of at least 0") from None
        if steps.is_floating_point() or steps.dtype == torch.bool or bool((steps < 0).any()):
            raise ValueError(f"t: got {shown(t)}, expected numbers of steps, integers of at least 0")
        each = self._each(steps.to(self.times.device))
        mean = each.mean(-1)
        error = each.std(-1) / math.sqrt(len(self.times))
        known = mean.isfinite()
        return Bound(steps, mean.clamp_max(1.0), torch.where(known, error, 0.0))

    def _each(self, t: Tensor) -> Tensor:
        """Of each pair, (*t, pairs)."""
        return ((self.times - self.lag - t[..., None]) / self.lag).ceil().clamp_min(0.0)

    def mixing_time(self, epsilon: float = 0.25) -> float:
        """The first t after which the bound is at most epsilon, infinite where pairs have not met."""
        if not 0 < positive(epsilon, "epsilon") < 1:
            raise ValueError(f"epsilon: got {shown(epsilon)}, expected a total variation between 0 and 1")
        if not self.all_met:
            return math.inf
        low, high = -1, int(self.times.max())  # the bound falls with t, and is zero at the largest time
        while high - low > 1:
            middle = (low + high) // 2
            if float(self._each(torch.tensor(middle)).mean()) <= epsilon:
                high = middle
            else:
                low = middle
        return float(high)

    def unbiased(
        self,
        fn: Callable[[Tensor], Tensor],
        k: int | None = None,
        m: int | None = None,
        *,
        pairs: int | None = None,
        seed: int | None = None,
    ) -> Unbiased:
        """Unbiased estimates of E fn(x) under the invariant law, from fresh pairs; see `Unbiased`.

        fn: (n, dim) -> (n,) or (n, size). k, m: averaged over the steps k .. m of X; None is the 90 % quantile of
        tau - L, and the larger of 5 k and L. pairs, seed: None is as many as here, and the next seed. ValueError where
        k is left open and too few pairs have met to tell, and for values of fn that are not finite.
        """
        if k is None:
            k = self._late()
        return unbiased(
            self.kernel,
            self.target,
            fn,
            check_integer(k, "k", 0),
            max(5 * k, self.lag) if m is None else check_integer(m, "m", k),
            lag=self.lag,
            init=self.init,
            max_steps=self.max_steps,
            pairs=len(self.times) if pairs is None else check_integer(pairs, "pairs", 2),
            seed=self.seed + 1 if seed is None else check_integer(seed, "seed", 0),
        )

    def _late(self) -> int:
        late = float(self.times.quantile(0.9, interpolation="higher"))
        if math.isinf(late):
            raise ValueError(
                f"k: left open, and {self.unmet} of {len(self.times)} pairs have not met; expected a number"
            )
        return int(late) - self.lag

    def __str__(self) -> str:
        whose = f"{type(self.kernel).__name__} on {self.target.name}"
        lost = f"; {self.divergences} steps diverged" if self.divergences else ""
        if not self.all_met:
            return f"{unmet_in_words(self.unmet, len(self.times), self.max_steps)} ({whose}, lag {self.lag}){lost}"
        mean, most = float(self.times.mean()) - self.lag, int(self.times.max()) - self.lag
        wide = "; a larger lag sharpens it" if float(self._each(torch.tensor(0)).mean()) > SHARP else ""
        return (
            f"all {len(self.times)} pairs of {whose} met, after {mean:.4g} steps on average and {most} at most "
            f"(lag {self.lag}): the total variation to the invariant law is at most 0.25 after "
            f"{self.mixing_time():.0f} steps{wide}{lost}"
        )


def meeting_times(
    kernel: Kernel,
    target: Target,
    *,
    lag: int = 100,
    pairs: int = 500,
    max_steps: int = 10_000,
    seed: int = 0,
    init: Init = None,
) -> MeetingTimes:
    """Run pairs of coupled chains until they meet, X being `lag` steps ahead of Y, and see when.

        | law of X_t - invariant law |_TV  <=  E max(0, ceil((tau - L - t) / L)),     tau = first t with X_t = Y_{t - L}

    Each chain alone has exactly the kernel's law. The bound holds for any lag L, is useless for one far below the
    mixing time, and gets no sharper above it. It is about chains that start from `init`, a law that must reach all of
    the target: chains that all start in one mode may meet there before one of them has seen another.

    kernel: RandomWalkMetropolis, MALA, ULA, HMC, Gibbs, SwendsenWang, WalkJump, JointMultimeasurement or
        `couplings.WithRandomWalk`, as it is: no warmup; `draws.kernel` is what a run has tuned. Others by `couples`.
    pairs: independent ones, all at once. max_steps: of X. Pairs that have not met by then stay in, with infinite time.
    init: (dim,), one point; a function (n, generator) -> (n, dim); None as of `Kernel.sample`, without Pathfinder.

    Ctrl-C ends the run as max_steps does. Warns (SamplingWarning) of pairs that have not met. Raises TypeError for a
    kernel without a coupling and ValueError, naming the argument, for bad ones. Biswas, Jacob and Vanetti 2019,
    https://arxiv.org/abs/1905.09971; Jacob, O'Leary and Atchade 2020, https://arxiv.org/abs/1708.03625.
    """
    lag, pairs = check_integer(lag, "lag"), check_integer(pairs, "pairs", 2)
    if check_integer(max_steps, "max_steps") <= lag:
        raise ValueError(f"max_steps: got {max_steps}, expected more than lag={lag}")
    check_integer(seed, "seed", 0)
    check_kernel(kernel)
    kernel.check_target(target)
    began = time.perf_counter()
    ready, spent = kernel.prepare(target, seed)
    counted = Counted(target)
    with torch.no_grad():
        placed = ready.placed(counted)
        assert isinstance(placed, Kernel)
        coupling = coupling_of(placed)
        generator = Generator(target.device).manual_seed(seed)
        found = Pairs(coupling, counted, lag, pairs, init, generator)
        with deferred_interrupt() as pressed:
            while not pressed.is_set() and (found.t < lag or (found.t < max_steps and len(found.apart))):
                found.step(everyone=False)
        if pressed.is_set():
            if found.t <= lag:
                raise KeyboardInterrupt  # nothing is known yet
            max_steps = found.t
    cost = spent + Cost(counted.log_probs, counted.scores, time.perf_counter() - began)
    result = MeetingTimes(found.times.cpu(), lag, max_steps, seed, cost, found.divergences, placed, target, init)
    if not result.all_met:
        warn(str(result))
    return result
