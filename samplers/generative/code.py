"""Data by their codes: the coordinates of a latent diffusion model.

    u = z ~ q(z | x),   c = log p(x | z) - log q(z | x)
    log p(x) >= E_q[ log p(z) + c ] = E_q[log p(x | z)] + E_q[log p(z)] + entropy of q(z | x)

The mean of exp(log p(z) + c) is p(x) itself, as it is for noise that spreads an integer over a cell: an encoder is the
same thing with a cell that it has learned. Vahdat, Kreis and Kautz 2021, https://arxiv.org/abs/2106.05931.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Generator, Tensor

from samplers.generative.autoencoder import AutoencoderNetwork, drawn
from samplers.generative.columns import Column, needed
from samplers.generative.transformations import Columns, Transformation


@dataclass(frozen=True, eq=False)
class Code(Transformation):
    """An autoencoder that has been trained, as a transformation; c is a bound, by the noise of the encoder.

    kinds: of the columns of x. size, width, blocks: as of `Autoencoder`. weights: of the network, with the moments that
    standardise what it sees. `inverse` gives the middle of p(x | z), `draw` a draw of it.

        >>> from samplers.generative import Autoencoder, LatentDiffusion
        >>> rows = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
        >>> fitted = LatentDiffusion(Autoencoder(size=2, iterations=0)).fit(rows, iterations=0, progress=False)
        >>> code = fitted.transformation.parts[0]
        >>> code.forward(rows, torch.Generator().manual_seed(1))[0].shape
        torch.Size([100, 2])
    """

    kinds: Sequence[Column]
    size: int
    width: int
    blocks: int
    weights: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(self.kinds))

    def __repr__(self) -> str:
        digest = hashlib.sha256()
        for value in self.weights.values():
            digest.update(value.cpu().contiguous().numpy().tobytes())
        return f"Code({len(self.kinds)} columns, size={self.size}, weights={digest.hexdigest()[:16]})"

    @classmethod
    def of(cls, kinds: Sequence[Column], network: AutoencoderNetwork, width: int, blocks: int) -> Code:
        """That of a network."""
        return cls(kinds, network.size, width, blocks, dict(network.state_dict()))

    @cached_property
    def network(self) -> AutoencoderNetwork:
        """With these weights, not to be trained."""
        like = self.weights["log_sigma"]
        generator = Generator(like.device).manual_seed(0)
        made = AutoencoderNetwork(self.kinds, self.size, self.width, self.blocks, like, generator)
        made.load_state_dict(dict(self.weights))
        return made.requires_grad_(False).eval()

    @property
    def random(self) -> bool:
        """Always."""
        return True

    def seen(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """z."""
        return self._drawn(x, generator)[0]

    def forward(self, x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """z and c."""
        Columns(self.kinds).check(x)
        z, log_q = self._drawn(x, generator)
        return z, self.network.log_likelihood(x, z) - log_q

    def _drawn(self, x: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        return drawn(*self.network.encode(x), needed(generator))

    def inverse(self, u: Tensor) -> Tensor:
        """The middle of p(x | z)."""
        return self.network.columns.at(self.network.decoder(u))

    def draw(self, u: Tensor, generator: Generator) -> Tensor:
        """x ~ p(x | z)."""
        network = self.network
        return network.columns.draw(network.decoder(u), network.log_sigma, generator)
