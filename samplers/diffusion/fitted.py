"""A learned sampler after training: weighted draws, log Z, corrections, and how far it is from its target."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from samplers.annealing.pilot import PILOT
from samplers.annealing.resampling import systematic
from samplers.diffusion.method import LearnedMethod
from samplers.diffusion.space import Space
from samplers.draws import INDEPENDENT, Cost, Draws, LogZ
from samplers.draws.kept import remembering
from samplers.draws.keywords import naming_ours
from samplers.draws.places import file_place
from samplers.draws.weighted import FAMILY
from samplers.identity import known
from samplers.learning.packing import packed
from samplers.path_measures.base import PathMeasure
from samplers.path_measures.evaluation import Evaluation, evaluate_weights
from samplers.path_measures.sampling import backward_weights, resampled_paths, whole_paths
from samplers.path_measures.subtrajectories import Resampling
from samplers.runs.checkpoint import write
from samplers.runs.precision import lost_digits
from samplers.scouts.certify import FANS
from samplers.scouts.regions import Regions
from samplers.scouts.search import search
from samplers.version import versions
from targets import Target
from targets.arguments import check_choice, check_integer, shown
from targets.counting import Counted
from targets.sampling_warning import warn

FORMAT = "unnorm learned sampler 4"
SCOUTS = 9_000_011  # offset of their seed


@dataclass(eq=False, repr=False)
class Fitted:
    """What `fit` returns.

    history: every ten iterations loss, elbo, log_z, ess and more, as lists. evaluation: of 2,000 paths after training,
    and of the pilot's particles run backwards; untrained: of as many paths before it. notes: what was said on the way.
    cost: of pilot and training.

    method: the LearnedSampler. target: as fitted. space: the coordinates in which paths run, and what they start from.
    measure: the trained PathMeasure. seed: of the fit. iterations: those made. log_z: the one that an objective
    learned, 0 where none did, in those coordinates. move_steps: step sizes of SCLD's moves, (subtrajectories,), or
    None.

        >>> fitted = samplers.DDS(steps=4, prior="gaussian").fit(targets.Gaussian([0.0, 0.0]), iterations=2, seed=0)
        >>> fitted.sample(draws=200, seed=1).x.shape, fitted.iterations
        (torch.Size([1, 200, 2]), 2)
    """

    method: LearnedMethod
    target: Target
    space: Space
    measure: PathMeasure
    seed: int
    iterations: int
    history: dict[str, list[float]] = field(default_factory=dict)
    move_steps: Tensor | None = None
    notes: list[str] = field(default_factory=list)
    log_z: float = 0.0
    evaluation: Evaluation | None = None
    untrained: Evaluation | None = None
    cost: Cost = field(default_factory=Cost)

    def __repr__(self) -> str:
        said, found = f"{self.method} fitted to {self.target}, {self.iterations:,} iterations", self.evaluation
        if found is None:
            return said
        log_z = LogZ(found.log_z, found.standard_error)
        return f"{said}\n{log_z}; ESS {found.ess:.1%} of {found.draws:,} paths, Pareto k-hat {found.pareto_k:.2f}"

    @property
    def network(self) -> nn.Module:
        """The control network."""
        return self.measure.control.network

    @naming_ours
    @remembering
    def sample(
        self,
        target: Target | None = None,
        *,
        draws: int = 4096,
        seed: int = 1,
        correct: Literal["smc", "resample"] | None = None,
    ) -> Draws:
        """Draws with their weights, (1, draws, dim), and log Z; E[Z-hat] = Z.

        correct: "resample" draws as many in proportion to the weights and gives them equal ones, "smc" resamples on
        the way, after subtrajectories (what SCLD does in any case), and the standard error of log Z then comes from
        the particles' families. target: None, or the one that was fitted.
        """
        check_integer(draws, "draws")
        check_integer(seed, "seed", 0)
        check_choice(correct, "correct", ("smc", "resample", None))
        if target is not None and target is not self.target:
            self._check(target)
        began = time.perf_counter()
        counted, generator = Counted(self.target), Generator(self.target.device).manual_seed(seed)
        affine = self.space.seen(counted)
        way = correct or ("weights" if self.method.resampling is None else "smc")
        if way == "smc":
            resampling = self.method.resampling or Resampling.within(self.measure.steps)
            ends = resampled_paths(self.measure, affine, draws, generator, resampling, self.move_steps)
        else:
            ends = whole_paths(self.measure, affine, draws, generator)
        u, log_prob, log_w, log_z, stats = ends.u, ends.log_prob, ends.log_w, ends.log_z, ends.stats
        if not math.isfinite(log_z.value):
            raise RuntimeError(
                f"all {draws} weights are zero: no path ends where {self.target.name} has mass. Train longer, or give "
                "a prior= that covers it"
            )
        evaluation = evaluate_weights(log_w)
        for text in evaluation.complaints():
            warn(text)
        if correct == "resample":
            index = systematic(log_w.softmax(0)[None], draws, generator)[0]
            index = index[torch.randperm(draws, generator=generator, device=index.device)]
            u, log_prob, stats = u[index], log_prob[index], {FAMILY: index[None]}
        x, log_prob = affine.to_x(u), log_prob - affine.log_det
        lost = lost_digits(self.target, x, log_prob)
        if lost is not None:
            warn(lost)
        piloted = self.space.witnesses is not None
        regions = self._scouted(counted) if piloted else None
        made = Draws(
            x=x[None],
            stats={"lp": log_prob[None], **stats},
            log_weights=None if correct == "resample" else log_w[None],
            log_z=log_z,
            cost=Cost(counted.log_probs, counted.scores, time.perf_counter() - began),
            target=self.target,
            kernel=self,
            attrs=self._attrs(draws, seed, way, evaluation),
        )
        for text in made.certified(regions, self.space.log_z) if piloted else ():
            warn(text)
        return made

    def _scouted(self, counted: Counted) -> Regions | None:
        """What scouts find that had no part in pilot and training; they are sent once."""
        if "_regions" not in self.__dict__:
            generator = Generator(self.target.device).manual_seed(self.seed + SCOUTS)
            prior = self.target.prior if "prior" in self.target.known else None
            self._regions = search(counted, prior, generator, FANS)
        return self._regions

    def _check(self, target: Target) -> None:
        """ValueError for a target other than the one that was fitted."""
        if target.name != self.target.name or target.dim != self.target.dim:
            raise ValueError(f"target: got {shown(target)}, expected the one that was fitted, {self.target!r}")
        mine = known(self.target, self.space.probes(self.target))
        other = mine.other(target.to(self.target.device, self.target.dtype))
        if other is not None:
            raise ValueError(
                f"target: got another {target.name} than the one that was fitted: {other}. For another density take "
                "with_target(target)"
            )

    def evaluate(self, draws: int = 2000, *, seed: int = 1, witnesses: Tensor | Draws | None = None) -> Evaluation:
        """ELBO, log Z, ESS and k-hat of fresh paths; with draws of the target (n, dim), exact ones or those of another
        sampler, also EUBO, forward ESS and the share of them that this sampler misses.
        """
        check_integer(draws, "draws", 2)
        if isinstance(witnesses, Draws):
            witnesses = witnesses.unweighted().x.reshape(-1, self.target.dim)
        if witnesses is not None and witnesses.shape[1:] != (self.target.dim,):
            raise ValueError(f"witnesses: got shape {tuple(witnesses.shape)}, expected (n, {self.target.dim})")
        generator = Generator(self.target.device).manual_seed(seed)
        return self.examine(Counted(self.target), draws, generator, witnesses)

    def examine(self, counted: Counted, n: int, generator: Generator, witnesses: Tensor | None) -> Evaluation:
        """`evaluate` with a generator and a counter of one's own."""
        affine, backward = self.space.seen(counted), None
        log_w = whole_paths(self.measure, affine, n, generator).log_w
        if witnesses is not None:
            u = affine.to_u(witnesses.to(device=self.target.device, dtype=self.target.dtype))
            backward = backward_weights(self.measure, affine, u, generator)
        return evaluate_weights(log_w, backward)

    def _attrs(self, draws: int, seed: int, correct: str, evaluation: Evaluation) -> dict[str, Any]:
        learned = self.evaluation
        bound = {} if learned is None or learned.eubo is None else {"eubo": learned.eubo}
        piloted = {} if self.space.witnesses is None else {"pilot": PILOT}
        return {
            **bound,
            **piloted,
            **self.method.describe(),
            "objective": repr(self.method.objective_for(self.space)),
            "kind": INDEPENDENT,
            "draws": draws,
            "seed": seed,
            "fit_seed": self.seed,
            "iterations": self.iterations,
            "correct": correct,
            "elbo": evaluation.elbo,
            # of independent paths, which resampled ones are not
            "elbo_standard_error": math.nan if correct == "smc" else evaluation.elbo_standard_error,
            "ess": evaluation.ess,
            "pareto_k": evaluation.pareto_k,
            "space": self.space.source,
            "target": self.target.name,
            "dtype": str(self.target.dtype),
            "notes": list(self.notes),
            "versions": versions(),
        }

    def save(self, path: str | Path) -> Path:
        """Write everything but the target to a file that `samplers.load(path, target)` reads."""
        path = file_place(path, "path")
        content = {
            "format": FORMAT,
            "method": packed(self.method),
            "target": {"name": self.target.name, "dim": self.target.dim, "dtype": str(self.target.dtype)},
            "space": self.space.state(),
            "known": known(self.target, self.space.probes(self.target)).state_dict(),
            "measure": self.measure.state_dict(),
            "flow": self.measure.flow is not None,
            "move_steps": self.move_steps,
            "numbers": {"seed": self.seed, "iterations": self.iterations, "log_z": self.log_z},
            "history": self.history,
            "notes": self.notes,
            "evaluation": None if self.evaluation is None else asdict(self.evaluation),
            "untrained": None if self.untrained is None else asdict(self.untrained),
            "cost": asdict(self.cost),
        }
        write(path, content)
        return path

    def with_target(self, target: Target) -> Fitted:
        """The same sampler for another density, such as the next of a sweep; its weights say whether it fits."""
        return replace(self, target=target)
