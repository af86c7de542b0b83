"""Annealed Langevin dynamics.

    x' = x + h_i s_i(x) + sqrt(2 h_i) xi,    `steps` times at each level i = 1 .. L, from x ~ N(m, sigma_1^2 I)
    kind="noise":        s_i = grad log (p * N(0, sigma_i^2 I)),   h_i = step_size sigma_i^2
    kind="temperature":  s_i = grad [(1 - b_i) log q + b_i log p],
                         step_size / h_i = (1 - b_i) / sigma_1^2 + b_i / sigma_L^2

sigma_1 > ... > sigma_L geometric,   b_i = sigma_L^2 / sigma_i^2,   q = N(m, sigma_1^2 I). Song and Ermon 2019.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path as FilePath
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from samplers.annealing.paths import Bridge
from samplers.draws import INDEPENDENT, Cost, Draws
from samplers.draws.places import file_place
from samplers.identity import POINTS, known
from samplers.kernels import ULA
from samplers.runs import checkpoint as checkpoints
from samplers.runs.interrupt import deferred_interrupt
from samplers.runs.progress import Progress
from samplers.runs.starts import Init, check_starts, positions
from samplers.runs.state import evaluate
from samplers.version import versions
from targets import Gaussian, Target
from targets.arguments import check_integer, positive
from targets.counting import Counted, Tally
from targets.sampling_warning import warn

RANGE = 100.0  # sigma_max / sigma_min where the latter is not given
WIDE = 2.0  # sigma_max against the target's largest standard deviation where it is not given


@dataclass(frozen=True, eq=False)
class AnnealedLangevin:
    """Annealed Langevin dynamics: independent, unweighted, biased draws.

    kind: "noise" follows the exact scores of the target smoothed by Gaussian noise of falling size, for targets that
    know their smoothing; "temperature" follows powers of any target, rising from a wide Gaussian.
    levels, steps: number of levels, and unadjusted Langevin steps at each.
    sigma_max: the first noise, which should reach across the target. None takes twice the target's largest standard
    deviation, or twice the largest distance of its modes from their centre, where it states them.
    sigma_min: the last noise, or for "temperature" the finest standard deviation of the target, which sets the step
    size; None takes sigma_max / 100.
    step_size: h_i in units of the squared width of level i, as above. The steps of Song and Ermon,
    x + (a_i / 2) s + sqrt(a_i) xi with a_i = e sigma_i^2 / sigma_L^2, are these with e = 2 step_size sigma_L^2.
    denoise: the draws of "noise" end at x + sigma_L^2 s_L(x), the mean of what lies under the noise.

    Nothing corrects the bias. Of a Gaussian with variance t^2 the draws have, with infinitely many small steps, the
    variance t^2 + sigma_L^2, denoised t^4 / (t^2 + sigma_L^2); finite steps add O(h); and levels that end before their
    law is reached leave the weights of separate modes where an earlier level had them, for "temperature" at those of
    p^b, which differ where modes differ in width or weight. m is the target's mean where known, else the centre of its
    modes, else the origin. One score a step and one a level, one more at the start and where the draws are denoised,
    and a log-density for "lp".

    Raises ValueError for "noise" on targets without smoothing, and where sigma_max is not given and nothing tells it.
    A step to a point without finite density is not taken and is counted. Song and Ermon 2019,
    https://arxiv.org/abs/1907.05600.

        >>> target = targets.GaussianMixture([[-3.0], [3.0]], scales=0.5)
        >>> samplers.AnnealedLangevin(levels=5, steps=10).sample(target, draws=100, seed=0).x.shape
        torch.Size([1, 100, 1])
    """

    levels: int = 10
    steps: int = 100
    sigma_max: float | None = None
    sigma_min: float | None = None
    step_size: float = 0.1
    kind: Literal["noise", "temperature"] = "noise"
    denoise: bool = True

    def __post_init__(self) -> None:
        for name, least in (("levels", 2), ("steps", 1)):
            check_integer(getattr(self, name), name, least)
        for name in ("sigma_max", "sigma_min", "step_size"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, positive(getattr(self, name), name))
        if self.kind not in ("noise", "temperature"):
            raise ValueError(f"kind: got {self.kind!r}, expected 'noise' or 'temperature'")
        if None not in (self.sigma_max, self.sigma_min) and self.sigma_min >= self.sigma_max:  # type: ignore[operator]
            raise ValueError(f"sigma_min: got {self.sigma_min}, expected less than sigma_max={self.sigma_max}")

    def sigmas(self, target: Target) -> tuple[float, ...]:
        """sigma_1 > ... > sigma_L."""
        first = widest(target) if self.sigma_max is None else self.sigma_max
        last = first / RANGE if self.sigma_min is None else self.sigma_min
        if last >= first:
            raise ValueError(f"sigma_min: got {last}, expected less than the target's sigma_max, {first:.6g}")
        ratio = last / first
        return tuple(first * ratio ** (i / (self.levels - 1)) for i in range(self.levels))

    def densities(self, target: Target) -> list[tuple[Target, float]]:
        """The density whose score is followed at each level, and its h_i."""
        sigmas = self.sigmas(target)
        if self.kind == "noise":
            tally = target.tally if isinstance(target, Counted) else Tally()
            inner = target.inner if isinstance(target, Counted) else target
            return [(Counted(inner.smoothed(s), tally), self.step_size * s**2) for s in sigmas]
        first, last = sigmas[0], sigmas[-1]
        wide = Gaussian(centre(target), first)
        betas = [last**2 / s**2 for s in sigmas[:-1]] + [1.0]
        return [(Bridge(wide, target, b), self.step_size / ((1 - b) / first**2 + b / last**2)) for b in betas]

    def sample(
        self,
        target: Target,
        *,
        draws: int = 4096,
        seed: int = 0,
        init: Init = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | FilePath | None = None,
    ) -> Draws:
        """`draws` independent draws, as one chain.

        init: (draws, dim), a function (n, generator) -> (n, dim), or None for N(m, sigma_1^2 I).
        seed: same seed, sizes, device and versions give the same bits. progress: a bar on stderr; None shows one on a
        terminal. checkpoint: a file, written after each level; the same call continues a run that stopped.
        """
        check_integer(draws, "draws")
        check_integer(seed, "seed", 0)
        ULA().check_target(target)
        path = None if checkpoint is None else file_place(checkpoint, "checkpoint")
        target = target.to(device, dtype)
        if self.kind == "noise" and "smoothed" not in target.known:
            raise ValueError(
                f"target: {target.name} does not know its smoothing by noise; expected one that does, or "
                "AnnealedLangevin(kind='temperature')"
            )
        run = _Run(self, target, draws, seed, path)
        with torch.no_grad():
            result = run.finish(init, progress)
        if run.divergences:
            warn(
                f"{run.divergences} of {self.levels * self.steps * draws} steps led to a point without finite density "
                "or score and were not taken: the step size is too large"
            )
        return result


class _Run:
    def __init__(
        self, sampler: AnnealedLangevin, target: Target, draws: int, seed: int, checkpoint: FilePath | None
    ) -> None:
        self.sampler, self.n, self.seed, self.checkpoint = sampler, draws, seed, checkpoint
        self.target = Counted(target)
        self.generator = Generator(target.device).manual_seed(seed)
        self.level, self.divergences, self.seconds = 0, 0, 0.0
        self.x: Tensor | None = None

    def finish(self, init: Init, progress: bool | None) -> Draws:
        """All levels that are left."""
        began = time.perf_counter()
        self._restore()
        levels = self.sampler.densities(self.target)
        if self.x is None:
            self.x = self._start(init)
            check_starts(evaluate(levels[0][0], self.x), "draw")
            if self.checkpoint is not None:
                self.known = known(self.target, self.x[:POINTS]).state_dict()
        self._mark()
        bar = Progress(len(levels), self.level, progress, f"AnnealedLangevin on {self.target.name}")
        earlier = self.seconds
        try:
            with deferred_interrupt() as pressed:
                while self.level < len(levels):
                    if pressed.is_set():
                        raise KeyboardInterrupt(f"interrupted after level {self.level} of {len(levels)}")
                    self._climb(*levels[self.level])
                    self.seconds = earlier + time.perf_counter() - began
                    self._mark()
                    self._save()
                    bar.advance(lambda: f"level {self.level}, divergences {self.divergences}")
        except BaseException:
            checkpoints.save_quietly(self._save)
            raise
        finally:
            bar.close()
        x = self.x
        if self.sampler.kind == "noise" and self.sampler.denoise:
            x = x + self.sampler.sigmas(self.target.inner)[-1] ** 2 * levels[-1][0].score(x)
        log_prob = self.target.log_prob(x)
        cost = Cost(self.target.log_probs, self.target.scores, earlier + time.perf_counter() - began)
        attrs = {
            **self._header(),
            "kind": INDEPENDENT,
            "sigmas": list(self.sampler.sigmas(self.target.inner)),
            "step_sizes": [h for _, h in levels],
            "divergences": self.divergences,
            "versions": versions(),
        }
        return Draws(x[None], stats={"lp": log_prob[None]}, cost=cost, target=self.target.inner, attrs=attrs)

    def _start(self, init: Init) -> Tensor:
        target = self.target.inner
        if init is None:
            wide = Gaussian(centre(target), self.sampler.sigmas(target)[0])
            return wide.sample(self.n, generator=self.generator)
        return positions(init, self.n, target, self.generator)

    def _climb(self, density: Target, h: float) -> None:
        kernel, generator = ULA(h, "identity"), self.generator
        assert self.x is not None
        state = kernel.init(density, self.x, generator)
        for _ in range(self.sampler.steps):
            state, info = kernel.step(density, state, generator)
            self.divergences += int(info.diverging.sum())
        self.x, self.level = state.x, self.level + 1

    # Checkpoints

    def _header(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be continued."""
        target = self.target.inner
        return {
            "sampler": "AnnealedLangevin",
            **asdict(self.sampler),
            "draws": self.n,
            "seed": self.seed,
            **checkpoints.of_target(target),
        }

    def _mark(self) -> None:
        """Remember what to go back to when the level that begins fails halfway."""
        if self.checkpoint is None:
            return
        self.content = {
            "header": self._header(),
            "x": self.x,
            "known": self.known,
            "level": self.level,
            "divergences": self.divergences,
            "seconds": self.seconds,
            "generator": self.generator.get_state(),
            "tally": asdict(self.target.tally),
        }

    def _save(self) -> None:
        """Write the run as it is after its last whole level."""
        if self.checkpoint is not None:
            checkpoints.save(self.checkpoint, self.content)

    def _restore(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        saved = checkpoints.load(self.checkpoint, self._header())
        self.x = saved["x"].to(self.target.device)
        self.known = saved["known"]
        checkpoints.check_density(self.checkpoint, self.target.inner, self.known)
        for name in ("level", "divergences", "seconds"):
            setattr(self, name, saved[name])
        self.generator.set_state(saved["generator"].cpu())
        self.target.tally.__dict__.update(saved["tally"])


def widest(target: Target) -> float:
    """Twice the largest standard deviation, or distance of a mode from the modes' centre; ValueError where unknown."""
    inner = target.inner if isinstance(target, Counted) else target
    if "covariance" in inner.known:
        return WIDE * float(torch.linalg.eigvalsh(inner.covariance.double())[-1].sqrt())
    if "modes" in inner.known and len(inner.modes) > 1:
        return WIDE * float((inner.modes - inner.modes.mean(0)).norm(dim=-1).max())
    raise ValueError(
        f"sigma_max: {inner.name} states neither its covariance nor several modes; expected a number that reaches "
        "across it"
    )


def centre(target: Target) -> Tensor:
    """The target's mean, else the centre of its modes, else the origin, (dim,)."""
    inner = target.inner if isinstance(target, Counted) else target
    if "mean" in inner.known:
        return inner.mean
    if "modes" in inner.known:
        return inner.modes.mean(0)
    return torch.zeros(inner.dim, dtype=inner.dtype, device=inner.device)
