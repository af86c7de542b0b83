"""The run of a chain of measurements: level by level, with checkpoints between them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Generator, Tensor

from samplers.annealing.pilot import PILOT
from samplers.denoisers import Auto, Denoiser, InnerSMC, as_denoiser
from samplers.draws import INDEPENDENT, Cost, Draws
from samplers.identity import POINTS, known
from samplers.runs import checkpoint as checkpoints
from samplers.runs.interrupt import deferred_interrupt
from samplers.runs.progress import Progress
from samplers.runs.starts import Init
from samplers.smoothing.chain import Chain
from samplers.smoothing.measurements import Asked, Noisy, record
from samplers.smoothing.walks import Walks
from samplers.smoothing.weights import Weights
from samplers.version import versions
from targets import Target
from targets.counting import Counted, Tally


class ChainRun:
    """All that a run depends on: level, running means (n, dim), their carrier, the denoiser, generator and counters."""

    def __init__(
        self, chain: Chain, target: Target, n: int, init: Init, seed: int, checkpoint: Path | None = None
    ) -> None:
        self.began = time.perf_counter()
        self.given, self.n, self.init, self.seed, self.checkpoint = chain, n, init, seed, checkpoint
        self.chain, self.found = chain.prepared(target, seed, init)
        spent = Cost() if self.found is None else self.found.cost
        self.target = Counted(target, Tally(spent.log_prob, spent.score))
        self.generator = Generator(target.device).manual_seed(seed)
        self.noise = self.chain.noise_for(target)
        self.noises = self.chain.levels(self.noise)
        # bound now, so that a run that is continued counts once what is found for the target
        self.denoiser = self._chosen().bind(self.target, self.noises[0])
        self.asked = Asked()
        self.carrier = self._carrier()
        self.level, self.seconds = 0, 0.0
        self.mean: Tensor | None = None
        self.known: dict[str, Any] | None = None

    def _chosen(self) -> Denoiser:
        """The denoiser that is given, or the one that fits; Auto keeps no particles, by which weights are made."""
        found = as_denoiser(self.chain.denoiser, self.target, self.noises[0])
        piloted = self.chain.weighs and self.chain.denoiser == "auto" and isinstance(found, Auto)
        return InnerSMC() if piloted else found

    def _carrier(self) -> Walks | Weights:
        law = self.law(1)
        if not self.chain.weighs:
            return Walks(self.chain, law, self.init, self.found)
        base = self.chain.base_for(self.found, self.target.inner)
        return Weights(base, law, self.chain.jump)

    def law(self, level: int) -> Noisy:
        """That of the running mean at a level, counted from 1."""
        noise = self.noises[level - 1]
        return Noisy(self.target, noise, denoiser=self.denoiser, generator=self.generator, asked=self.asked)

    # The job: its steps, what it is known by, what it gives

    def step(self) -> None:
        """To the next level."""
        if self.mean is None:
            x = self.carrier.starts(self.n, self.target.inner, self.generator)
            if self.checkpoint is not None:
                self.known = self.saved["known"] = known(self.target, x[:POINTS]).state_dict()
            self.mean = self.carrier.first(x, self.law(1))
        else:
            self.mean = self.carrier.advance(self.level, self.mean, self.law(self.level))
        self.level += 1

    def header(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be continued."""
        return {
            "sampler": type(self.given).__name__,
            "hyperparameters": self.chain.hyperparameters(),
            "draws": self.n,
            "seed": self.seed,
            **checkpoints.of_target(self.target.inner),
        }

    def state_dict(self) -> dict[str, Any]:
        """The run as it is after its last whole level."""
        return {
            "mean": self.mean,
            "known": self.known,
            "level": self.level,
            "asked": dict(vars(self.asked)),
            "carrier": None if self.mean is None else self.carrier.state_dict(),
            "seconds": self.seconds,
            "generator": self.generator.get_state(),
            "tally": asdict(self.target.tally),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from there."""
        self.known = saved["known"]
        if saved["mean"] is None:
            return
        device = self.target.device
        self.mean = mean = saved["mean"].to(device)
        self.level, self.seconds = saved["level"], saved["seconds"]
        for name, value in saved["asked"].items():
            setattr(self.asked, name, value.to(device) if isinstance(value, Tensor) else value)
        self.carrier.load_state_dict(saved["carrier"], mean)
        self.generator.set_state(saved["generator"].cpu())
        vars(self.target.tally).update(saved["tally"])

    def result(self, seconds: float) -> Draws:
        """The draws, from the means at the last level; seconds: of the run before them."""
        assert self.mean is not None
        began = time.perf_counter()
        x = self.carrier.jump(self.mean, self.law(self.level))
        log_prob = self.target.log_prob(x)
        cost = Cost(self.target.log_probs, self.target.scores, seconds + time.perf_counter() - began)
        attrs = {
            **self.header(),
            "kind": INDEPENDENT,
            "plan": None if self.found is None else str(self.found),
            "versions": versions(),
            **record(self.noise, len(self.noises), self.denoiser, self.asked.points, self.asked.fallbacks),
        }
        piloted = self.found is not None and self.found.spread.draws is not None
        if piloted and self.given.starts_planned(self.target.inner, self.init):
            attrs["pilot"] = PILOT  # of the starts, or of the base
        draws = Draws(x[None], stats={"lp": log_prob[None]}, cost=cost, target=self.target.inner, attrs=attrs)
        return self.carrier.finished(draws)

    def complaints(self) -> Iterator[str]:
        """What a reader must know."""
        return self.carrier.complaints()

    def says(self) -> str:
        """Beside the progress bar."""
        return f"level {self.level}, denoised {self.asked.points:.3g}, fallbacks {self.asked.fallbacks}"

    # The loop

    def finish(self, progress: bool | None) -> Draws:
        """All levels that are left, and the jump; what fails within a level goes back to its beginning when saved."""
        path, began = self.checkpoint, self.began
        if path is not None and path.exists():
            saved = checkpoints.load(path, self.header())
            checkpoints.check_density(path, self.target.inner, saved["known"])
            self.load_state_dict(saved)
        self.saved = self.state_dict()
        earlier, total = self.seconds, len(self.noises)
        bar = Progress(total, self.level, progress, f"{type(self.given).__name__} on {self.target.name}")
        try:
            with deferred_interrupt() as pressed:
                while self.level < total:
                    if pressed.is_set():
                        raise KeyboardInterrupt(f"interrupted after level {self.level} of {total}")
                    self.step()
                    self.seconds = earlier + time.perf_counter() - began
                    self.saved = self.state_dict()
                    self._save()
                    bar.advance(self.says)
        except BaseException:
            checkpoints.save_quietly(self._save)
            raise
        finally:
            bar.close()
        return self.result(earlier + time.perf_counter() - began)

    def _save(self) -> None:
        if self.checkpoint is not None and self.known is not None:
            checkpoints.save(self.checkpoint, {"header": self.header(), **self.saved})
