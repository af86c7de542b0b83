"""Latent diffusion: an autoencoder, and a diffusion model of its codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack, overload

from torch import Generator, Tensor

from samplers.draws import Cost, Draws
from samplers.draws.brief import Brief, in_full
from samplers.generative.autoencoder import Autoencoder, AutoencoderNetwork, loss_of_rows
from samplers.generative.code import Code
from samplers.generative.column_likelihood import check_columns
from samplers.generative.columns import Column, Real
from samplers.generative.conditional import ConditionalDiffusion
from samplers.generative.data import Samples
from samplers.generative.fitted import FittedDiffusion
from samplers.generative.score_diffusion import ScoreDiffusion
from samplers.generative.score_learning import SPLIT, ScoreLearning
from samplers.generative.score_model import check_kinds
from samplers.generative.training import FitOptions
from samplers.generative.transformations import Chain, Columns
from targets import Gaussian, Target
from targets.arguments import did_you_mean
from targets.sampling_warning import warn

ENCODER = 16_000_057  # offset of the seed


@dataclass(frozen=True)
class LatentDiffusion(Brief):
    """A diffusion model of codes of the data, with a bound on the log-probability of the data themselves.

        z ~ q(z | x) = N(m(x), s(x)^2)      the encoder        p(x | z)      the decoder
        log p(x) >= E_q[log p(x | z)] + E_q[bound of log p(z)] + entropy of q(z | x)

    The autoencoder is trained first, for codes that are N(0, I) where they fit, then a `ScoreDiffusion` on draws of its
    codes, anew in each batch. What is fitted is a `FittedDiffusion` in the coordinates of the code: `elbo(x)` is the
    bound of the whole, its parts by the same draws of the code; `sample` draws a code, and x given it; `save` and
    `samplers.generative.load` keep both networks. The bound loses what q differs from the posterior of the code, beside
    what the diffusion's loses. Columns are independent given the code: what the decoder cannot say of them, no
    diffusion of the codes adds.

    autoencoder: an `Autoencoder`. diffusion: a `ScoreDiffusion`, without columns of its own. columns: kinds of the
    columns, `Real` ones, `Ordinal` and `Levels`; None: real. An integer's probability is that of its cell, so that bits
    are comparable with those of `ScoreDiffusion(columns=)`.
    TypeError for arguments of another kind, ValueError for a diffusion that has columns.
    Vahdat, Kreis and Kautz 2021, https://arxiv.org/abs/2106.05931; Rombach, Blattmann, Lorenz, Esser and Ommer 2022,
    https://arxiv.org/abs/2112.10752.

        >>> from samplers.generative import Autoencoder, LatentDiffusion
        >>> rows = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
        >>> model = LatentDiffusion(Autoencoder(size=2, width=8, iterations=10))
        >>> fitted = model.fit(rows, iterations=10, progress=False)
        >>> fitted.sample(draws=4).x.shape, fitted.elbo(rows[:3], repetitions=2).value.shape
        (torch.Size([1, 4, 5]), torch.Size([3]))
    """

    autoencoder: Autoencoder = field(default_factory=Autoencoder)
    diffusion: ScoreDiffusion = field(default_factory=ScoreDiffusion)
    columns: Sequence[Column] | None = None

    def __post_init__(self) -> None:
        check_kinds(self, autoencoder=(Autoencoder,), diffusion=(ScoreDiffusion,))
        if self.diffusion.columns is not None:
            raise ValueError("diffusion: got one with columns=, expected none: it sees codes; give columns= here")
        if self.columns is not None:
            object.__setattr__(self, "columns", tuple(self.columns))
            check_columns(self.columns)

    @overload
    def fit(self, samples: Tensor | Draws, *, given: None = None, **options: Unpack[FitOptions]) -> FittedDiffusion: ...

    @overload
    def fit(self, samples: Tensor | Draws, *, given: Tensor, **options: Unpack[FitOptions]) -> ConditionalDiffusion: ...

    def fit(
        self, samples: Tensor | Draws, *, given: Tensor | None = None, **options: Unpack[FitOptions]
    ) -> FittedDiffusion | ConditionalDiffusion:
        """Learn from a tensor (n, dim), or draws: the autoencoder, then the diffusion, which has the options.

        Arguments and errors as of `ScoreDiffusion.fit`. The autoencoder learns from x alone, whatever is given; rows
        held out are the same for both. iterations, max_minutes: of the diffusion. checkpoint: a file; the autoencoder's
        stands beside it, with `.autoencoder` at the end of its name. The cost counts both. TypeError for a target,
        whose draws are what is learned from, and for an option that is none: all is checked before any training.
        """
        if unknown := set(options) - FitOptions.__annotations__.keys():
            name = min(unknown)
            raise TypeError(f"{name}: is no option of fit{did_you_mean(name, FitOptions.__annotations__)}")
        if isinstance(samples, Target):
            raise TypeError(
                f"samples: got {samples.name}, a target; expected a tensor (n, dim) or samplers.Draws of it"
            )
        self.diffusion.check_run(given, **options)
        code, cost, notes = self._code(samples, given, options)
        diffusion = replace(self.diffusion, columns=code)
        fitted = diffusion.fit(samples, **options) if given is None else diffusion.fit(samples, given=given, **options)
        fitted.cost, fitted.notes = fitted.cost + cost, notes + fitted.notes
        return fitted

    def _code(self, samples: Tensor | Draws, given: Tensor | None, options: FitOptions) -> tuple[Code, Cost, list[str]]:
        spec, seed = self.autoencoder, options.get("seed", 0)
        data = Samples.of(samples, given=given, constant=self.columns is not None)
        data = data.to(options.get("device"), options.get("dtype"))
        kinds = [Real()] * data.x.shape[1] if self.columns is None else self.columns
        train, held = data, None
        if self.diffusion.training.validation:
            generator = Generator(data.x.device).manual_seed(seed + SPLIT)
            train, held = data.split(self.diffusion.training.validation, generator)
        kinds = Columns(kinds).learned(train.x, train.shares).kinds
        generator = Generator(data.x.device).manual_seed(seed + ENCODER)
        network = AutoencoderNetwork(kinds, spec.size, spec.width, spec.blocks, train.x[0], generator)
        network.begin(train.x, train.shares)
        checkpoint, progress = options.get("checkpoint"), options.get("progress")
        if checkpoint is not None:
            checkpoint = Path(checkpoint).with_name(f"{Path(checkpoint).name}.autoencoder")
        learning = AutoencoderLearning(
            network,
            loss_of_rows,
            spec.training,
            self.describe(),
            train,
            held,
            Chain([]),
            Gaussian(train.x.new_zeros(spec.size)),
            seed=seed,
            total=spec.iterations,
            minutes=None,
            log_dir=None,
        )
        learning.carry_out(checkpoint, progress)
        learning.judge()
        for text in learning.complaints():
            learning.notes.append(text)
            warn(text)
        return Code.of(kinds, learning.learned(), spec.width, spec.blocks), learning.cost, learning.notes

    def describe(self) -> dict[str, Any]:
        """The settings, as words and numbers."""
        return {name: in_full(getattr(self, name)) for name in self.__dataclass_fields__}


class AutoencoderLearning(ScoreLearning[AutoencoderNetwork]):
    """Training of an autoencoder: that of a score model, with another loss."""

    def complaints(self) -> Iterator[str]:
        """Where the held-out loss has risen from the start on."""
        if self.skipped:
            yield f"{self.skipped} of {self.done} iterations of the autoencoder were skipped: not finite"
        if self.held is not None and self.done and self.least_at == 0:
            yield (
                f"training raised the autoencoder's held-out loss, from {self.held_out('least'):.5g} to "
                f"{self.held_out('last'):.5g}: it is that of principal components. Lower Training(learning_rate=)"
            )
