"""Score-based diffusion models: the score of noised data, learned from samples."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Unpack, get_args, overload

import torch
from torch import Generator, Tensor, nn

from samplers.draws import Cost, Draws
from samplers.draws.brief import Brief, in_full
from samplers.draws.kept import remembering
from samplers.draws.signature import Choice
from samplers.generative.columns import Column
from samplers.generative.conditional import ConditionalDiffusion
from samplers.generative.conditions import Conditions
from samplers.generative.coordinates import Standardise, coordinates
from samplers.generative.data import Samples
from samplers.generative.fitted import FittedDiffusion
from samplers.generative.losses import Denoising, Loss
from samplers.generative.network import ScoreMLP
from samplers.generative.parametrisation import Karras, Parametrisation
from samplers.generative.regression import Regression
from samplers.generative.score import noise_of
from samplers.generative.score_learning import SPLIT, ScoreLearning
from samplers.generative.score_model import ScoreModel, check_kinds
from samplers.generative.score_spec import ScoreSpec
from samplers.generative.teacher import SAMPLES, check_teacher, teach
from samplers.generative.training import FitOptions, Training
from samplers.generative.transformations import Columns, Transformation
from samplers.identity.contents import digest
from samplers.learning.packing import packed
from samplers.processes.base import Process
from samplers.processes.linear import VP
from samplers.runs.checks import check_continuous
from targets import Gaussian, Target
from targets.arguments import check_choice, check_integer, positive
from targets.sampling_warning import warn

NETWORK = 13_000_027  # offset of the seed
BETA = 10.0  # noise of 12 deviations at the end, beyond which the Gaussian of the moments leaves nothing to learn
ROWS = 50_000  # exact draws of a target, where that is what is learned from


@dataclass(frozen=True)
class ScoreDiffusion(Brief):
    """A diffusion model: the score of the data with noise, learned from samples by score matching.

        x_t = a_t X + s_t e,   e ~ N(0, C)              the noising process
        S(x, t) ~ grad log p_t(x) = -C^-1 E[e | x_t = x] / s_t    what is learned

    The reverse of the process from its end to t = 0 draws from the model (`samplers.generative.solvers`). It is biased
    by what the network has not learned, by the data being finitely many, and by the solver's steps; weights correct all
    of it where an energy is given.

    process: the noising, in coordinates in which the data have mean 0 and variances of one; by default
    `VP(beta_max=10)`, whose noise ends at 12 deviations. Its `noise` is the shape of e, such as a `CorrelatedNoise`, or
    the `MRFNoise` of a field: the same in x where `standardise` is "common" or "none".
    network: a `ScoreSpec`, such as `ScoreMLP`, or `LocalScore` of images and fields; or a module called with x (n, dim)
    and t (n,), and the context (n, c + 1) of `ConditionalDiffusion` where there are conditions, of which a copy is
    trained. parametrisation: what its output means. loss: a `samplers.generative.Loss`. training: of the optimiser.
    columns: the kinds of the data's columns, where some are not real numbers (`Positive`, `Bounded`, `Ordinal`,
    `Levels`, `Categorical`), or a `Transformation` of them all, such as a `Code`. standardise: "scale" by the
    deviations, "whiten" by the covariance as well, which suits posteriors that are nearly Gaussian and hides from the
    network what images and the like are made of, "common" by one number for all columns, the deviation in units of the
    noise, which keeps the shape of that; "none" only moves the mean to 0. teacher: the sampler whose draws are learned
    from where a target is given that has no exact ones, or a pair (sampler, options of its `sample`); None is `HMC()`.
    TypeError for arguments of another kind, ValueError for another word. Song, Sohl-Dickstein, Kingma, Kumar, Ermon and
    Poole 2021, https://arxiv.org/abs/2011.13456; Karras, Aittala, Aila and Laine 2022,
    https://arxiv.org/abs/2206.00364.

        >>> model = samplers.ScoreDiffusion(network=samplers.generative.ScoreMLP(width=8, blocks=1))
        >>> samples = targets.Gaussian([0.0, 1.0]).sample(200, generator=torch.Generator().manual_seed(0))
        >>> fitted = model.fit(samples, iterations=10, progress=False)
        >>> fitted.sample(draws=5, seed=1).x.shape
        torch.Size([1, 5, 2])
    """

    process: Process = field(default_factory=lambda: VP(beta_max=BETA))
    network: ScoreSpec | nn.Module = field(default_factory=ScoreMLP)
    parametrisation: Parametrisation = field(default_factory=Karras)
    loss: Loss = field(default_factory=lambda: Denoising(weighting="output"))
    training: Training = field(default_factory=Training)
    columns: Sequence[Column] | Transformation | None = None
    standardise: Standardise = "scale"
    teacher: Choice | None = None

    def __post_init__(self) -> None:
        check_kinds(self, process=(Process,), network=(ScoreSpec, nn.Module), parametrisation=(Parametrisation,))
        check_kinds(self, loss=(Loss,), training=(Training,))
        check_choice(self.standardise, "standardise", get_args(Standardise))
        check_teacher(self.teacher)
        if self.columns is not None and not isinstance(self.columns, Transformation):
            object.__setattr__(self, "columns", tuple(self.columns))
            Columns(self.columns)

    def check_run(self, given: Tensor | None, **options: Unpack[FitOptions]) -> None:
        """ValueError for arguments of `fit` out of range, whatever is learned from."""
        check_integer(options.get("seed", 0), "seed", 0)
        check_integer(options.get("iterations", 0), "iterations", 0)
        if (minutes := options.get("max_minutes")) is not None:
            positive(minutes, "max_minutes")
        if given is None and self.training.drop_condition:
            raise ValueError(
                f"training: got drop_condition={self.training.drop_condition!r} without given=, expected conditions"
            )

    @overload
    def fit(
        self, samples: Tensor | Draws | Target, *, given: None = None, **options: Unpack[FitOptions]
    ) -> FittedDiffusion: ...

    @overload
    def fit(self, samples: Tensor | Draws, *, given: Tensor, **options: Unpack[FitOptions]) -> ConditionalDiffusion: ...

    def fit(
        self,
        samples: Tensor | Draws | Target,
        *,
        given: Tensor | None = None,
        seed: int = 0,
        iterations: int = 4000,
        max_minutes: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
        log_dir: str | Path | None = None,
    ) -> FittedDiffusion | ConditionalDiffusion:
        """Learn from a tensor (n, dim), draws, by their weights where they have some, or a target.

        Of a target 50,000 exact draws are taken where it has them, else 16,000 of the teacher, whose cost counts.

        given: conditions y (n, c), a row for each of the samples (of draws also (chains, draws, c)): the model is then
        one of x given y, for all y. Labels go in as 0 and 1, `torch.nn.functional.one_hot(labels).float()`.
        iterations=0 gives the Gaussian of the samples' moments, that of x and y given y where there are conditions.
        max_minutes: of wall time; the learning rate follows `iterations` all the same. device, dtype: of the model; by
        default those of the samples, integers aside.
        progress, checkpoint, log_dir: as of the other learned samplers; Ctrl-C ends the training after its iteration
        and gives what was learned. Same seed, sizes, device and versions give the same bits.

        Raises what `Samples.of` does for samples that no density can be learned from, and for conditions; ValueError
        for a checkpoint of another run, and for `Training(drop_condition=)` without conditions. Warns
        (SamplingWarning) where the held-out loss has risen again, or is above that of the Gaussian.
        """
        self.check_run(given, seed=seed, iterations=iterations, max_minutes=max_minutes)
        taught = Cost()
        if isinstance(samples, Target) and "sample" not in samples.known and given is None:
            samples = teach(
                self.teacher, samples.to(device, dtype), seed=seed, progress=progress, checkpoint=checkpoint
            )
            taught = samples.cost
        home = samples.x if isinstance(samples, Draws) else samples
        generator = Generator(home.device).manual_seed(seed + SPLIT)
        data = Samples.of(samples, given=given, rows=ROWS, generator=generator, constant=self.columns is not None).to(
            device, dtype
        )
        conditions = None
        if data.given is not None:
            conditions = Conditions.of(data.given, data.shares, self.training.drop_condition)
            data = replace(data, given=conditions.context(data.given, data.x))
        generator = Generator(data.x.device).manual_seed(seed + SPLIT)
        train, held = data, None
        if self.training.validation:
            train, held = data.split(self.training.validation, generator)
        transformation, start, regression = coordinates(
            train, generator, self.columns, self.standardise, noise_of(self.process)
        )
        model = self._model(start, regression, Generator(data.x.device).manual_seed(seed + NETWORK))
        learning = ScoreLearning(
            model,
            self.loss,
            self.training,
            self.describe(),
            train,
            held,
            transformation,
            start,
            seed=seed,
            total=iterations,
            minutes=max_minutes,
            log_dir=log_dir,
        )
        learning.carry_out(checkpoint, progress)
        learning.judge()
        for text in learning.complaints():
            learning.notes.append(text)
            warn(text)
        found: dict[str, Any] = {
            "settings": self.describe(),
            "spec": self.network if isinstance(self.network, ScoreSpec) else None,
            "model": learning.learned(),
            "transformation": transformation,
            "start": start,
            "seed": seed,
            "iterations": learning.done,
            "history": learning.history,
            "validation": learning.held_out("least"),
            "untrained": learning.held_out("untrained"),
            "notes": learning.notes,
            "cost": learning.cost + taught,
        }
        return FittedDiffusion(**found) if conditions is None else ConditionalDiffusion(**found, conditions=conditions)

    @remembering
    def sample(
        self,
        target: Target,
        *,
        draws: int = 4096,
        seed: int = 0,
        samples: int = SAMPLES,
        iterations: int = 4000,
        max_minutes: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
        correct: Literal["smc"] | None = None,
    ) -> Draws:
        """`fit` to `samples` draws of the teacher, then `FittedDiffusion.weigh`: weighted draws and log Z of an energy.

        Exact draws of the target are not used. The weights correct what the model has not learned and what the teacher
        has weighted wrongly, not a mode that it has missed; the certificate's scouts know nothing of either. The cost
        counts teacher, training and weights. max_minutes: of the training. checkpoint: a file; the teacher's stands
        beside it. correct: as of `FittedDiffusion.weigh`. ValueError for columns that are not real, and for arguments
        out of range, before the teacher begins.
        """
        check_continuous(target, self)
        check_integer(draws, "draws")
        check_choice(correct, "correct", ("smc", None))
        self.check_run(None, seed=seed, iterations=iterations, max_minutes=max_minutes)
        if self.columns is not None:
            raise ValueError("columns: expected real numbers alone for weights")
        learned = teach(
            self.teacher, target.to(device, dtype), samples=samples, seed=seed, progress=progress, checkpoint=checkpoint
        )
        fitted = self.fit(
            learned, seed=seed, iterations=iterations, max_minutes=max_minutes, progress=progress, checkpoint=checkpoint
        )
        drawn = fitted.weigh(target, draws=draws, seed=seed + 1, correct=correct)
        drawn.cost += fitted.cost + learned.cost
        return drawn

    def describe(self) -> dict[str, Any]:
        """The settings, as words and numbers; of noise of a shape the first digits of a digest of it as well."""
        settings: dict[str, Any] = {name: in_full(getattr(self, name)) for name in self.__dataclass_fields__}
        noise = self.process.noise
        return settings if noise is None else settings | {"noise": digest([packed(noise)])[:8]}

    def _model(self, start: Gaussian, regression: Regression | None, generator: Generator) -> ScoreModel:
        network = self.network
        if isinstance(network, ScoreSpec):
            made = network.make(self.process, self.parametrisation, start.mean, start.covariance, generator, regression)
        else:
            if not any(p.requires_grad for p in network.parameters()):
                raise ValueError(f"network: {type(network).__name__} has no parameters to train")
            made = copy.deepcopy(network).to(device=start.device, dtype=start.dtype)
        return ScoreModel(made, self.process, self.parametrisation)
