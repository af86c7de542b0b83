"""The verb `sample` of AIS and SMC: pilot, walk, frozen rerun, bounds, cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

import torch
from torch import Generator

from samplers.annealing import evidence
from samplers.annealing.annealer import Annealer, Run
from samplers.annealing.given import as_tuple
from samplers.annealing.pilot import PILOT, Base, find_base
from samplers.annealing.reverse import upper_bound
from samplers.annealing.tails import reaching
from samplers.annealing.walk import Walk
from samplers.draws import INDEPENDENT, Cost, Draws
from samplers.draws.kept import remembering
from samplers.draws.places import file_place
from samplers.kernels import Kernel
from samplers.runs.checkpoint import check_begun
from samplers.runs.loop import carry_out
from samplers.runs.precision import lost_digits
from samplers.runs.until import refuse
from samplers.version import versions
from targets import Target
from targets.arguments import check_integer
from targets.counting import Counted
from targets.sampling_warning import warn
from targets.way_to_truth import way_to_truth


class AnnealedSampler(Annealer):
    """An annealer with the verb `sample`."""

    @remembering
    def sample(
        self,
        target: Target,
        *,
        draws: int = 4096,
        seed: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | FilePath | None = None,
        until: None = None,
    ) -> Draws:
        """`draws` particles (in each replicate) with their weights, and log Z.

        The draws have one chain; `log_weights` are unnormalised, so that their mean weight is Z-hat. `kernel` is this
        sampler frozen: the schedule and kernels that were found, whose `sample` gives an unbiased Z.
        seed: same seed, sizes, device and versions give the same bits. progress: a bar on stderr; None shows one on a
        terminal. checkpoint: a file; a run that stopped is continued by the same call and equals the whole run.
        until: refused with a ValueError, for all draws are made at once.
        """
        refuse(until, self, "expected more draws=: a run that chose its own length by its weights would bias log Z")
        check_integer(draws, "draws")
        check_integer(seed, "seed", 0)
        if self.waste_free is not None and draws % self.waste_free:
            raise ValueError(f"draws: got {draws}, expected a multiple of waste_free={self.waste_free}")
        self._check(target)
        path = None if checkpoint is None else file_place(checkpoint, "checkpoint")
        target = target.to(device, dtype)
        check_begun(path, type(self).__name__, {"draws": draws, "seed": seed}, target)
        return _Annealing(self, target, draws, seed, progress, path).draws()

    def _check(self, target: Target) -> None:
        self.kernel_for(target).check_target(target)
        kernels = as_tuple(self.kernel) or (self.kernel_for(target),)
        for kernel in kernels:
            if not kernel.exact and (type(kernel).log_ratio is Kernel.log_ratio or self.waste_free is not None):
                raise ValueError(
                    f"kernel: {type(kernel).__name__} leaves its target only approximately invariant and cannot enter "
                    "the weights here; expected an exact kernel such as HMC, or ULA without waste_free"
                )
        if self.base is not None and self.path is not None:
            raise ValueError("base, path: got both; a path starts at its own base, path(0.0)")
        if self.base is not None and target.discrete:
            raise ValueError(f"base: {target.name} is discrete, and annealing starts from its uniform law; give none")
        if self.bidirectional:
            if "sample" not in target.known:
                raise ValueError(
                    f"bidirectional: {target.name} has no exact draws to anneal backwards{way_to_truth(target)}"
                )
            if not all(kernel.reversible and kernel.exact for kernel in kernels):
                raise ValueError(f"bidirectional: {type(kernels[0]).__name__} is not reversible, so it has no way back")


@dataclass
class _Annealing:
    sampler: AnnealedSampler
    target: Target
    n: int
    seed: int
    progress: bool | None
    checkpoint: FilePath | None

    def draws(self) -> Draws:
        sampler, began, self.spent = self.sampler, time.perf_counter(), Cost()
        self.earlier = 0.0  # seconds of calls before this one, where a checkpoint tells them
        base = self._base()
        first = self._through(sampler, base, self.seed, self.checkpoint, time.perf_counter() - began)
        frozen = sampler.frozen(first)
        last = first
        if sampler.tuned and sampler.unbiased:
            again = None if self.checkpoint is None else self.checkpoint.with_name(self.checkpoint.name + ".frozen")
            last = self._through(frozen, base, self.seed + 1_000_003, again)
        log_z = evidence.estimate(last.cloud)
        if not sampler.adaptive:
            log_z = replace(log_z, lower=float(last.cloud.log_z.mean()))
        if sampler.bidirectional:
            generator = self._generator(2_000_003)
            bound, tally = upper_bound(last, frozen, self.n * sampler.replicates, generator)
            log_z = replace(log_z, upper=bound)
            self.spent += Cost(tally.log_probs, tally.scores)
        for message in evidence.complaints(last, log_z):
            warn(message)
        lost = lost_digits(self.target, last.cloud.state.x, last.cloud.state.log_prob)
        if lost is not None:
            warn(lost)
        weights = last.cloud.log_weights + last.cloud.log_z[:, None]
        shift = torch.tensor(float(self.n), dtype=torch.float64).log()
        draws = Draws(
            x=last.cloud.state.x[None],
            stats={"lp": last.cloud.state.log_prob[None], **last.cloud.families},
            log_weights=(weights + shift).reshape(1, -1),
            log_z=log_z,
            cost=replace(self.spent, seconds=self.earlier + time.perf_counter() - began),
            target=self.target,
            kernel=frozen,
            attrs=self._attrs(last) | ({} if base.points is None else {"pilot": PILOT}),
        )
        if base.points is not None and last.given.needs_score:  # the base is a pilot's, which may have missed a mode
            for message in draws.certified(base.scouted):
                warn(message)
        return draws

    def _generator(self, offset: int) -> Generator:
        return Generator(self.target.device).manual_seed(self.seed + offset)

    @torch.no_grad()
    def _base(self) -> Base:
        """The base: as given, the prior, or found by a pilot. A path of the user's brings its own."""
        sampler, target = self.sampler, self.target
        if sampler.path is not None or target.discrete:
            return Base(target)
        if isinstance(sampler.base, Target):
            return Base(sampler.base.to(target.device, target.dtype))
        if "prior" in target.known and sampler.base is None:
            return Base(target.prior)
        counted = Counted(target)
        prior = target.prior if "prior" in target.known else None
        base = reaching(find_base(sampler, counted, prior, self._generator(3_000_017)), counted)
        if not base.agreed:
            warn(
                f"the pilot's rounds did not agree on log Z: {target.name} has narrow or heavy-tailed parts that "
                "are hard to find, or is improper. Compare several seeds, or give a base="
            )
        self.spent += Cost(counted.log_probs, counted.scores)
        return base

    def _through(
        self, sampler: AnnealedSampler, base: Base, seed: int, checkpoint: FilePath | None, pilot: float = 0.0
    ) -> Run:
        """One cloud to the target; `pilot`: seconds that its base took."""
        generator = Generator(self.target.device).manual_seed(seed)
        path = sampler.make_path(self.target, base.density)
        walk = Walk(sampler, self.target, path, self.n, generator, base.regions, base.coordinates)
        walk.seed, walk.earlier = seed, pilot
        carry_out(walk, checkpoint, self.progress)
        self.earlier += walk.earlier - pilot
        self.spent += walk.cost
        return walk

    def _attrs(self, run: Run) -> dict[str, Any]:
        sampler = self.sampler
        return {
            "sampler": type(sampler).__name__,
            "kind": INDEPENDENT,
            "kernel": type(run.given).__name__,
            "base": run.path.base.name,
            "moves": sampler.moves,
            "replicates": sampler.replicates,
            "resampling": sampler.resampling if run.cloud.resamplings else None,
            "waste_free": sampler.waste_free,
            "draws": self.n,
            "seed": self.seed,
            "target": self.target.name,
            "dtype": str(self.target.dtype),
            "betas": run.betas,
            "ess": run.ess,
            "acceptance": run.acceptance,
            "divergences": run.divergences,
            "versions": versions(),
        }
