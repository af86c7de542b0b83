"""Annealed Langevin dynamics.

    x' = x + h_i s_i(x) + sqrt(2 h_i) xi,    `steps` times at each level i = 1 .. L, from x ~ N(m, sigma_1^2 I)
    kind="noise":        s_i = grad log (p * N(0, sigma_i^2 I)),   h_i = step_size sigma_i^2;   s_i(y) is also
                         (E[X | y] - y) / sigma_i^2 of a denoiser
    kind="temperature":  s_i = grad [(1 - b_i) log q + b_i log p],
                         step_size / h_i = (1 - b_i) / sigma_1^2 + b_i / sigma_L^2

sigma_1 > ... > sigma_L geometric,   b_i = sigma_L^2 / sigma_i^2,   q = N(m, sigma_1^2 I). Song and Ermon 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path as FilePath
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from samplers.annealing.denoised import Denoised, Denoising
from samplers.annealing.paths import Bridge
from samplers.draws import INDEPENDENT, Draws
from samplers.draws.brief import Brief
from samplers.draws.places import file_place
from samplers.kernels import ULA
from samplers.runs.sampling import Sampling
from samplers.runs.starts import Init, check_starts, positions
from samplers.runs.state import evaluate
from samplers.runs.until import refuse
from samplers.version import versions
from targets import Gaussian, IsotropicNoise, Target
from targets.arguments import check_choice, check_integer, positive, shown

RANGE = 100.0  # sigma_max / sigma_min where the latter is not given
WIDE = 2.0  # sigma_max against the target's largest standard deviation where it is not given


@dataclass(frozen=True, eq=False)
class AnnealedLangevin(Brief):
    """Annealed Langevin dynamics: independent, unweighted, biased draws.

    kind: "noise" follows the scores of the target smoothed by Gaussian noise of falling size, for targets that know
    their smoothing, and for others by a denoiser; "temperature" follows powers of any target, rising from a wide
    Gaussian.
    levels, steps: number of levels, and unadjusted Langevin steps at each.
    sigma_max: the first noise, which should reach across the target. None takes twice the target's largest standard
    deviation, or twice the largest distance of its modes from their centre, where it states them.
    sigma_min: the last noise, or for "temperature" the finest standard deviation of the target, which sets the step
    size; None takes sigma_max / 100.
    step_size: h_i in units of the squared width of level i, as above. The steps of Song and Ermon,
    x + (a_i / 2) s + sqrt(a_i) xi with a_i = e sigma_i^2 / sigma_L^2, are these with e = 2 step_size sigma_L^2.
    denoise: the draws of "noise" end at x + sigma_L^2 s_L(x), the mean of what lies under the noise.
    denoiser: a `samplers.denoisers.Denoiser`, whose E[X | y] the scores of "noise" come from; its errors are theirs. Of
    a model learned from samples, `fitted.denoiser()`, with `fitted.as_target(density=False)` in the target's place.
    None takes the target's own smoothing.

    Nothing corrects the bias. Of a Gaussian with variance t^2 the draws have, with infinitely many small steps, the
    variance t^2 + sigma_L^2, denoised t^4 / (t^2 + sigma_L^2); finite steps add O(h); and levels that end before their
    law is reached leave the weights of separate modes where an earlier level had them, for "temperature" at those of
    p^b, which differ where modes differ in width or weight. m is the target's mean where known, else the centre of its
    modes, else the origin. One score a step and one a level, one more at the start and where the draws are denoised,
    and a log-density for "lp", which is left out where the target has none; with a denoiser what that takes for each.

    Raises ValueError for "noise" on targets without smoothing or denoiser, where sigma_max is not given and nothing
    tells it, and for a denoiser with "temperature"; TypeError for what is no denoiser; RuntimeError where one does not
    believe its estimates. A step to a point without finite density is not taken and is counted. Song and Ermon 2019,
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
    denoiser: Denoising | None = None

    def __post_init__(self) -> None:
        for name, least in (("levels", 2), ("steps", 1)):
            check_integer(getattr(self, name), name, least)
        for name in ("sigma_max", "sigma_min", "step_size"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, positive(getattr(self, name), name))
        check_choice(self.kind, "kind", ("noise", "temperature"))
        if self.denoiser is not None:
            if not isinstance(self.denoiser, Denoising):
                raise TypeError(
                    f"denoiser: got {shown(self.denoiser)}, expected a samplers.denoisers.Denoiser, such as a learned "
                    "model's fitted.denoiser()"
                )
            if self.kind != "noise":
                raise ValueError("denoiser: kind='temperature' takes none; expected kind='noise'")
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

    def densities(self, target: Target, generator: Generator | None = None) -> list[tuple[Target, float]]:
        """The density whose score is followed at each level, and its h_i. generator: of a denoiser that draws."""
        sigmas = self.sigmas(target)
        if self.kind == "noise":
            return [(self._noised(target, s, generator), self.step_size * s**2) for s in sigmas]
        first, last = sigmas[0], sigmas[-1]
        wide = Gaussian(centre(target), first)
        betas = [last**2 / s**2 for s in sigmas[:-1]] + [1.0]
        return [(Bridge(wide, target, b), self.step_size / ((1 - b) / first**2 + b / last**2)) for b in betas]

    def _noised(self, target: Target, sigma: float, generator: Generator | None) -> Target:
        if self.denoiser is None:
            return target.smoothed(sigma)
        return Denoised(target, self.denoiser, IsotropicNoise(sigma), generator)

    def hyperparameters(self) -> dict[str, Any]:
        """The fields as plain numbers and strings, for records."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {"denoiser": None if self.denoiser is None else self.denoiser.describe()}

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
        until: None = None,
    ) -> Draws:
        """`draws` independent draws, as one chain.

        init: (draws, dim), a function (n, generator) -> (n, dim), or None for N(m, sigma_1^2 I).
        seed: same seed, sizes, device and versions give the same bits. progress: a bar on stderr; None shows one on a
        terminal. checkpoint: a file, written after each level; the same call continues a run that stopped.
        until: refused with a ValueError, for all draws are made at once.
        """
        refuse(until, self, "its draws are independent, so that draws= is their effective sample size")
        check_integer(draws, "draws")
        check_integer(seed, "seed", 0)
        ULA().check_target(target)
        path = None if checkpoint is None else file_place(checkpoint, "checkpoint")
        target = target.to(device, dtype)
        if self.kind == "noise" and self.denoiser is None and "smoothed" not in target.known:
            raise ValueError(
                f"target: {target.name} does not know its smoothing by noise; expected one that does, a denoiser=, or "
                "AnnealedLangevin(kind='temperature')"
            )
        with torch.no_grad():
            return _Levels(self, target, draws, seed, init).draws(path, progress)


class _Levels(Sampling):
    unit = "levels"
    x: Tensor

    def __init__(self, sampler: AnnealedLangevin, target: Target, draws: int, seed: int, init: Init) -> None:
        generator = Generator(target.device).manual_seed(seed)
        super().__init__("AnnealedLangevin", target, generator, sampler.levels)
        self.sampler, self.n, self.seed, self.init = sampler, draws, seed, init
        self.levels = sampler.densities(self.counted, generator)
        self.divergences = 0

    def begin(self) -> Tensor:
        if self.init is None:
            wide = Gaussian(centre(self.target), self.sampler.sigmas(self.target)[0])
            self.x = wide.sample(self.n, generator=self.generator)
        else:
            self.x = positions(self.init, self.n, self.target, self.generator)
        check_starts(evaluate(self.levels[0][0], self.x), "draw", init=self.init)
        return self.x

    def step(self) -> None:
        density, h = self.levels[self.done]
        kernel = ULA(h, "identity")
        state = kernel.init(density, self.x, self.generator)
        diverged = 0
        for _ in range(self.sampler.steps):
            state, info = kernel.step(density, state, self.generator)
            diverged += int(info.diverging.sum())
        self.x, self.divergences = state.x, self.divergences + diverged

    def figures(self) -> str:
        return f"level {self.done}, divergences {self.divergences}"

    def settings(self) -> dict[str, Any]:
        return {**self.sampler.hyperparameters(), "draws": self.n, "seed": self.seed}

    def state_dict(self) -> dict[str, Any]:
        return {"x": self.x, "divergences": self.divergences}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.x, self.divergences = saved["x"].to(self.target.device), saved["divergences"]

    def result(self) -> Draws:
        """The draws, denoised where that is asked for."""
        x, sigmas = self.x, self.sampler.sigmas(self.target)
        if self.sampler.kind == "noise" and self.sampler.denoise:
            x = x + sigmas[-1] ** 2 * self.levels[-1][0].score(x)
        stats = {"lp": self.counted.log_prob(x)[None]} if self.target.has_density else {}
        attrs = {
            **self.header(),
            "kind": INDEPENDENT,
            "sigmas": list(sigmas),
            "step_sizes": [h for _, h in self.levels],
            "divergences": self.divergences,
            "versions": versions(),
        }
        return Draws(x[None], stats=stats, cost=self.cost, target=self.target, attrs=attrs)

    def complaints(self, draws: Draws) -> Iterator[str]:
        """Steps that were not taken."""
        if self.divergences:
            yield (
                f"{self.divergences} of {self.done * self.sampler.steps * self.n} steps led to a point without finite "
                "density or score and were not taken: the step size is too large"
            )


def widest(target: Target) -> float:
    """Twice the largest standard deviation, or distance of a mode from the modes' centre; ValueError where unknown."""
    if "covariance" in target.known:
        return WIDE * float(torch.linalg.eigvalsh(target.covariance.double())[-1].sqrt())
    if "modes" in target.known and len(target.modes) > 1:
        return WIDE * float((target.modes - target.modes.mean(0)).norm(dim=-1).max())
    raise ValueError(
        f"sigma_max: {target.name} states neither its covariance nor several modes; expected a number that reaches "
        "across it"
    )


def centre(target: Target) -> Tensor:
    """The target's mean, else the centre of its modes, else the origin, (dim,)."""
    if "mean" in target.known:
        return target.mean
    if "modes" in target.known:
        return target.modes.mean(0)
    return torch.zeros(target.dim, dtype=target.dtype, device=target.device)
