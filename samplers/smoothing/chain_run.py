"""The run of a chain of measurements; a step is a level."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from torch import Generator, Tensor

from samplers.annealing.pilot import PILOT
from samplers.denoisers import Auto, Denoiser, InnerSMC, as_denoiser
from samplers.draws import INDEPENDENT, Cost, Draws
from samplers.runs.sampling import Sampling
from samplers.runs.starts import Init
from samplers.smoothing.chain import Chain
from samplers.smoothing.measurements import Asked, Noisy, record
from samplers.smoothing.noise import noise_of
from samplers.smoothing.walks import Walks
from samplers.smoothing.weights import Weights
from samplers.version import versions
from targets import Target
from targets.counting import Tally


class ChainRun(Sampling):
    """All that a run depends on: running means (n, dim), their carrier, the denoiser, generator and counters."""

    unit, whole = "levels", False
    mean: Tensor  # before the first level the points (n, dim) where chains start

    def __init__(self, chain: Chain, target: Target, n: int, init: Init, seed: int) -> None:
        began = time.perf_counter()
        self.given, self.n, self.init, self.seed = chain, n, init, seed
        self.chain, self.found = chain.prepared(target, seed, init)
        spent = Cost() if self.found is None else self.found.cost
        self.noise = noise_of(self.chain.noise, self.chain.sigma, target)
        self.noises = self.chain.levels(self.noise)
        generator, tally = Generator(target.device).manual_seed(seed), Tally(spent.log_prob, spent.score)
        super().__init__(type(chain).__name__, target, generator, len(self.noises), tally)
        self.earlier = time.perf_counter() - began
        # bound now, so that a run that is continued counts once what is found for the target
        self.denoiser = self._chosen().bind(self.counted, self.noises[0])
        self.asked = Asked()
        self.carrier: Walks | Weights
        if self.chain.weighted:
            self.carrier = Weights(self.chain.base_for(self.found, target), self.law(1), self.chain.jump)
        else:
            self.carrier = Walks(self.chain, self.law(1), init, self.found)

    def _chosen(self) -> Denoiser:
        """The denoiser that is given, or the one that fits; Auto keeps no particles, by which weights are made."""
        found = as_denoiser(self.chain.denoiser, self.counted, self.noises[0])
        piloted = self.chain.weighted and self.chain.denoiser == "auto" and isinstance(found, Auto)
        return InnerSMC() if piloted else found

    def law(self, level: int) -> Noisy:
        """That of the running mean at a level, counted from 1."""
        noise = self.noises[level - 1]
        return Noisy(self.counted, noise, denoiser=self.denoiser, generator=self.generator, asked=self.asked)

    # Levels

    def begin(self) -> Tensor:
        self.mean = self.carrier.starts(self.n, self.target, self.generator)
        return self.mean

    def step(self) -> None:
        if self.done == 0:
            self.mean = self.carrier.first(self.mean, self.law(1))
        else:
            self.mean = self.carrier.advance(self.done, self.mean, self.law(self.done))

    def figures(self) -> str:
        return f"level {self.done}, denoised {self.asked.points:.3g}, fallbacks {self.asked.fallbacks}"

    # Checkpoints

    def settings(self) -> dict[str, Any]:
        return {"hyperparameters": self.chain.hyperparameters(), "draws": self.n, "seed": self.seed}

    def state_dict(self) -> dict[str, Any]:
        asked = dict(vars(self.asked))
        if self.done == 0:
            return {"start": self.mean, "mean": None, "asked": asked, "carrier": None}
        return {"start": None, "mean": self.mean, "asked": asked, "carrier": self.carrier.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        device, begun = self.target.device, saved["mean"] is not None
        self.mean = saved["mean" if begun else "start"].to(device)
        for name, value in saved["asked"].items():
            setattr(self.asked, name, value.to(device) if isinstance(value, Tensor) else value)
        if begun:
            self.carrier.load_state_dict(saved["carrier"], self.mean)

    # What it gives

    def result(self) -> Draws:
        """The draws, from the means at the last level."""
        x = self.carrier.jump(self.mean, self.law(self.done))
        stats = {"lp": self.counted.log_prob(x)[None]} if self.target.has_density else {}
        attrs = {
            **self.header(),
            "kind": INDEPENDENT,
            "plan": None if self.found is None else str(self.found),
            "versions": versions(),
            **record(self.noise, len(self.noises), self.denoiser, self.asked.points, self.asked.fallbacks),
        }
        piloted = self.found is not None and self.found.spread.draws is not None
        if piloted and self.given.starts_planned(self.target, self.init):
            attrs["pilot"] = PILOT  # of the starts, or of the base
        draws = Draws(x[None], stats=stats, cost=self.cost, target=self.target, attrs=attrs)
        return self.carrier.finished(draws)

    def complaints(self, draws: Draws) -> Iterator[str]:
        """What the carrier has met, and where a pilot found the base what a certificate says."""
        yield from self.carrier.complaints()
        if draws.log_z is not None and "pilot" in draws.attrs:
            yield from draws.certified(by_annealing=self.denoiser.pilot_log_z)
