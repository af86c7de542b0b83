"""Iterative proportional fitting: each direction is fitted to the reversal of the other, in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from samplers.generative.bridges.energy import GROUP, log_variance
from samplers.generative.bridges.iterative import IterativeMethod
from samplers.generative.bridges.method import End
from samplers.generative.bridges.simulation import paths
from samplers.generative.bridges.steps import BridgeSteps
from targets import Target
from targets.arguments import check_choice, check_integer


@dataclass(frozen=True)
class ProportionalFitting(IterativeMethod):
    """Iterative proportional fitting, the Diffusion Schroedinger Bridge.

        P^{j+1} = argmin KL(P | P^j) over P with the right law at one end, at each end in turn
        behind:  B_{k+1}(x) = E[X_k | X_{k+1} = x] over paths ahead from the start,    and ahead the other way

    Steps N(B, s^2 L L') that maximise the likelihood of simulated paths are their reversal as far as Gaussian steps
    can be. The published mean matching regresses X_{k+1} + F_k(X_k) - F_k(X_{k+1}) in place of X_k, whose mean given
    X_{k+1} is that up to the square of the step's length; X_k itself needs no second evaluation, and leaves no error
    where ends are Gaussian. `matching="mean"` takes it all the same.

    One end may be an energy without draws. The half that leads there is then learned from its own paths
    (`samplers.generative.bridges.energy`); the Gaussian of the energy's moments, where the target does not know them,
    is that of 2,000 draws of SMC.

    The start is the bridge between the Gaussians of the moments, of the same form f(x_0) R g(x_1) as every iterate over
    Brownian motion R: what follows are the iterates of the exact algorithm, from there. They are biased by what is not
    learned, which adds up over the halves; the laws at the ends are those of the last halves.

    matching: "state" or "mean". energy_paths: an iteration, of halves that lead to an energy.
    steps, halves, network, batch, paths, refresh, learning_rate: as of `samplers.generative.bridges.IterativeMethod`.
    ValueError for numbers out of range and another word. De Bortoli, Thornton, Heng and Doucet 2021,
    https://arxiv.org/abs/2106.01357; Vargas, Thodoroff, Lamacraft and Lawrence 2021, https://arxiv.org/abs/2106.02081.

        >>> from samplers.generative.bridges import ProportionalFitting
        >>> method = ProportionalFitting(steps=8, halves=2, batch=64, paths=64)
        >>> ends = targets.Gaussian([0.0]), targets.GaussianMixture([[-2.0], [2.0]], scales=0.3)
        >>> fitted = samplers.SchroedingerBridge(0.5, method).fit(*ends, iterations=4, progress=False)
        >>> fitted.iterations
        4
    """

    matching: Literal["state", "mean"] = "state"
    energy_paths: int = 128

    energies = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self.energy_paths, "energy_paths", GROUP)
        check_choice(self.matching, "matching", ("state", "mean"))

    def rule(self, start: End, end: End, noise: float, energy: Target) -> StepRegression:
        return StepRegression(start, end, self.paths, self.batch, self.matching, energy, self.energy_paths)


@dataclass(frozen=True)
class StepRegression:
    """The next state of a path is regressed on the present one.

    start, end: of which one may be an energy, counted in `energy`.
    """

    start: End
    end: End
    paths: int
    batch: int
    matching: str = "state"
    energy: Target | None = None
    energy_paths: int = GROUP

    def led_to(self, half: int) -> End:
        """Where the steps that are trained lead."""
        return self.end if half % 2 else self.start

    def cache(self, half: int, trained: BridgeSteps, other: BridgeSteps, generator: Generator) -> tuple[Tensor, ...]:
        """Paths in the order of the steps that are trained, (K + 1, n, dim); with "mean" what is regressed, too."""
        led_to = self.led_to(half)
        if led_to.samples is None:
            return ()
        states = paths(other, led_to.draw(self.paths, generator), generator).flip(0)
        return (states,) if self.matching == "state" else (states, self.wanted(states, other))

    @torch.no_grad()
    def wanted(self, states: Tensor, other: BridgeSteps) -> Tensor:
        """X_k + F(X_{k+1}) - F(X_k), (K, n, dim), F the mean of the step of `other` from state k + 1 to k."""
        found = torch.empty_like(states[1:])
        for k in range(other.steps):
            index = torch.tensor([other.steps - 1 - k], device=states.device)
            there, here = other.mean(index, states[k + 1 : k + 2]), other.mean(index, states[k : k + 1])
            found[k] = states[k] + (there - here)[0]
        return found

    def loss(
        self, half: int, cache: tuple[Tensor, ...], trained: BridgeSteps, other: BridgeSteps, generator: Generator
    ) -> Tensor:
        """That of random paths, others for each step; or the variance against the energy."""
        if not cache:
            assert self.energy is not None
            x = self.led_to(half + 1).draw(self.energy_paths // GROUP, generator)
            return log_variance(trained, other, self.energy, x, generator)
        states, *wanted = cache
        k = torch.arange(trained.steps, device=states.device)[:, None]
        rows = max(1, self.batch // trained.steps)
        which = torch.randint(states.shape[1], (len(k), rows), generator=generator, device=states.device)
        return self.error(trained, states[k, which], wanted[0][k, which] if wanted else states[k + 1, which])

    def error(self, trained: BridgeSteps, x: Tensor, y: Tensor) -> Tensor:
        """The squared error of D for steps from x to y, (K, n, dim), in units of its deviation and of the noise that a
        step adds to it."""
        k = torch.arange(trained.steps, device=x.device)
        found, share = trained.at(k), trained.share
        gaussian, learned = trained.ends(found, trained.grid[k], x)
        wanted = ((y - x) / share + x - gaussian) / found.unit
        noise = trained.deviations / (share * found.unit)
        return ((learned - wanted).square() / (1 + noise.square())).mean()

    def finish(
        self, half: int, cache: tuple[Tensor, ...], trained: BridgeSteps, other: BridgeSteps, generator: Generator
    ) -> None:
        """By the same paths; against an energy they have been learned."""
        if cache:
            trained.calibrate(cache[0])

    def learned(self, half: int, trained: BridgeSteps) -> list[Tensor]:
        """Those of the network; all, against an energy."""
        return list((trained if self.led_to(half).samples is None else trained.network).parameters())
