"""Chains of measurements: y_1, y_2, .. y_m one after the other, of which only the running mean is kept.

    y_1 ~ p(y_1),   y_k ~ p(y_k | ybar_{k-1}),   at last x ~ p(x | ybar_m),  or  E[X | ybar_m]

ybar_k is the mean of k measurements: X + N(0, C_k) with falling C_k.

What such chains share: the fields, the verb `sample`, and the run, whose steps are the levels k.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from torch import Generator, Tensor

from samplers.denoisers import Denoiser
from samplers.draws import Cost, Draws
from samplers.draws.places import file_place
from samplers.kernels import Kernel
from samplers.kernels.base import check_kernel
from samplers.runs.checkpoint import check_begun
from samplers.runs.checks import check_target
from samplers.runs.starts import Init, positions
from samplers.smoothing.jump import Jump, check_jump
from targets import Gaussian, Noise, Target
from targets.arguments import check_integer
from targets.noise import as_noise
from targets.sampling_warning import warn

if TYPE_CHECKING:
    from samplers.smoothing.chain_run import ChainRun
    from samplers.smoothing.plan import Plan


@dataclass(frozen=True, eq=False)
class MeasurementChain(ABC):
    """Independent draws, each from a chain of measurements of its own; see SequentialMultimeasurement and SLIPS."""

    noise: Literal["isotropic"] | Tensor | Noise = "isotropic"
    sigma: float | None = None
    m: int | None = None
    kernel: Kernel | None = None
    steps: int = 8
    first_steps: int | None = None
    denoiser: Denoiser | str = "auto"
    jump: Jump = "posterior"

    def __post_init__(self) -> None:
        check_jump(self.jump)
        for name, least in (("m", 1), ("steps", 0), ("first_steps", 0)):
            if getattr(self, name) is not None:
                check_integer(getattr(self, name), name, least)
        if isinstance(self.noise, str) and self.noise != "isotropic":
            hint = "; noise='mrf' is for WalkJump, whose single measurement makes spins independent"
            raise ValueError(
                f"noise: got {self.noise!r}, expected 'isotropic', a covariance or a targets.Noise"
                f"{hint if self.noise == 'mrf' else ''}"
            )
        if self.sigma is not None and not isinstance(self.noise, str):
            raise ValueError("sigma, noise: got both; sigma is the standard deviation of isotropic noise")
        if self.kernel is not None:
            check_kernel(self.kernel)

    # What a chain is

    @abstractmethod
    def levels(self, noise: Noise) -> list[Noise]:
        """The noise C_k of the running mean at every level."""

    @abstractmethod
    def advance(self, run: ChainRun) -> Tensor:
        """The running means at the next level, (n, dim)."""

    def make_run(self, **arguments: Any) -> ChainRun:
        """What goes through the levels."""
        from samplers.smoothing.chain_run import ChainRun

        return ChainRun(self, **arguments)

    # The verb

    def sample(
        self,
        target: Target,
        *,
        draws: int = 4096,
        init: Init = None,
        seed: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | FilePath | None = None,
    ) -> Draws:
        """`draws` chains side by side, each of which gives one draw; `Draws.x` is (1, draws, dim).

        init: (draws, dim), a function (n, generator) -> (n, dim), or None: draws of the prior, else of the pilot run
            of `samplers.smoothing.plan`, else of a Gaussian with the centre and spread that it knows. A start gets
            noise, then walks `first_steps`.
        seed: same seed, sizes, device and versions give the same bits. progress: a bar on stderr; None shows one on a
        terminal. checkpoint: a file, written after each level; the same call continues a run that stopped.
        Raises UntrustedEstimate where the denoiser does not believe its own estimate.
        """
        check_integer(draws, "draws")
        check_integer(seed, "seed", 0)
        check_target(target)
        path = None if checkpoint is None else file_place(checkpoint, "checkpoint")
        target = target.to(device, dtype)
        check_begun(path, type(self).__name__, {"draws": draws, "seed": seed}, target)
        with torch.no_grad():
            run = self.make_run(target=target, n=draws, init=init, seed=seed)
            result = run.finish(path, progress)
        piloted = result.log_z is not None and "pilot" in result.attrs
        doubts = result.certified(by_annealing=run.denoiser.pilot_log_z) if piloted else ()
        for message in (*run.complaints(), *doubts):
            warn(message)
        return result

    # What is left open

    def prepared(self, target: Target, seed: int, init: Init) -> tuple[Self, Plan | None]:
        """This sampler with sigma and m, and the plan that they and the starts come from, if one was needed."""
        wanted = (isinstance(self.noise, str) and self.sigma is None) or self.m is None
        if not (wanted or self.starts_planned(target, init)):
            return self, None
        from samplers.smoothing.plan import plan

        found = plan(target, jump=self.jump, seed=seed)
        sigma = found.sigma if isinstance(self.noise, str) and self.sigma is None else self.sigma
        return replace(self, sigma=sigma, m=self.m or found.m), found

    def starts_planned(self, target: Target, init: Init) -> bool:
        """Whether chains start where the plan says."""
        return init is None and "prior" not in target.known

    def noise_for(self, target: Target) -> Noise:
        """The noise that levels are built from."""
        if not isinstance(self.noise, str):
            return as_noise(self.noise, target.dim)
        assert self.sigma is not None
        return as_noise(self.sigma, target.dim, "sigma")

    def hyperparameters(self) -> dict[str, Any]:
        """The fields as plain numbers and strings, for records."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {k: v if isinstance(v, (int, float, str, type(None))) else repr(v) for k, v in values.items()}


def starts(init: Init, n: int, target: Target, found: Plan | None, generator: Generator) -> Tensor:
    """Where chains start before they get noise, (n, dim)."""
    if init is not None or found is None:
        return positions(init, n, target, generator)
    known = found.spread.draws
    if known is None:
        return gaussian_of(found, target).sample(n, generator=generator)
    which = torch.randint(len(known), (n,), generator=generator, device=target.device)
    return known.to(device=target.device, dtype=target.dtype)[which]


def gaussian_of(found: Plan, target: Target) -> Gaussian:
    """The Gaussian of the plan's centre and spread."""
    covariance = found.covariance.to(device=target.device, dtype=torch.float64)
    return Gaussian(found.center.to(covariance), covariance=covariance).to(dtype=target.dtype)


def cost_of(found: Plan | None) -> Cost:
    """What the plan took."""
    return Cost() if found is None else found.cost
