"""A diffusion model as a target: the normalised law of its probability flow."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from samplers.generative.likelihood import ContinuousFlow
from samplers.generative.score_model import ScoreModel
from samplers.generative.transformations import Transformation
from targets import Target


class DiffusionDensity(Target):
    """The law of x = T^-1(u), u of the probability flow at its first time: log_z = 0, with exact draws.

        log p(x) = log p(u) + c(x),   score(x) = (du/dx)' S(u, t_min) + grad c

    A density costs an integration of the flow, the score one call of the network: it is that of the reverse process at
    t_min, which is the flow's where the network's score is exact. Kernels that compare densities with scores (MALA,
    HMC) then remain exact for the flow's law, as any score will do for a proposal.

    flow: of u. model: the `ScoreModel`. transformation: of real columns alone, which draw no noise. density: False
    leaves score and draws alone, for samplers that take nothing else: `log_prob` then raises NotImplementedError, and
    draws are recorded without log-densities, which no integration has to find.

        >>> from samplers.generative import ScoreMLP
        >>> samples = targets.Gaussian([0.0]).sample(2000, generator=torch.Generator().manual_seed(0))
        >>> model = samplers.ScoreDiffusion(network=ScoreMLP(width=8, blocks=1))
        >>> density = model.fit(samples, iterations=0, progress=False).as_target()
        >>> density.log_z, density.log_prob(torch.zeros(3, 1)).shape
        (0.0, torch.Size([3]))
    """

    def __init__(
        self, flow: ContinuousFlow, model: ScoreModel, transformation: Transformation, density: bool = True
    ) -> None:
        prior = flow.prior
        super().__init__(prior.dim, dtype=prior.dtype, device=prior.device, name="diffusion model")
        self.flow, self.model, self.transformation, self.density = flow, model, transformation, density

    @property
    def has_density(self) -> bool:
        return self.density

    def log_prob(self, x: Tensor) -> Tensor:
        """(*batch, dim) -> (*batch,), in the dtype of x."""
        if not self.density:
            raise NotImplementedError(
                f"{self.name}: has no log_prob, as density=False was asked for; expected WalkJump or AnnealedLangevin "
                "with the model's denoiser(), or as_target(), whose log_prob integrates the flow"
            )
        u, c = self.transformation.forward(x.reshape(-1, self.dim))
        return (self.flow.log_prob(u) + c).to(x).reshape(x.shape[:-1])

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both; the score from the network."""
        return self.log_prob(x), self.score(x)

    def score(self, x: Tensor) -> Tensor:
        """By the chain rule through the transformation."""
        with torch.enable_grad():
            at = x.detach().reshape(-1, self.dim).requires_grad_()
            u, c = self.transformation.forward(at)
            pull = self.model.score(u.detach(), self.flow.t_min)
            (found,) = torch.autograd.grad((u * pull.detach()).sum() + c.sum(), at)
        return found.reshape(x.shape)

    @property
    def log_z(self) -> float:
        return 0.0

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        u = self.flow.transport(self.flow.prior.sample(n, generator=generator), to_prior=False)
        return self.transformation.inverse(u)
