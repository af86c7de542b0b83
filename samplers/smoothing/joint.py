"""Joint multimeasurement sampling: several measurements walk together."""

from __future__ import annotations

from dataclasses import dataclass

from samplers.smoothing.measurement_walk import MeasurementWalk
from targets.arguments import check_integer


@dataclass(frozen=True, eq=False)
class JointMultimeasurement(MeasurementWalk):
    """m measurements of the target walk together; after every `steps` steps of the walk x is read from them.

        score of y_t: P (E[X | ybar; C / m] - y_t),     ybar their mean,  C = P^-1 the covariance of one

    noise: "isotropic" with standard deviation `sigma`; a covariance (dim, dim), variances (dim,) or a targets.Noise.
    sigma, m: None leaves them to `samplers.smoothing.plan`, which looks for the noise from which the measurements
    are log-concave. The joint law is the harder to walk on the more measurements there are: for a Gaussian its
    condition number is 1 + m var / sigma^2. See SequentialMultimeasurement.
    kernel: of the walk, which moves in units of the noise (`samplers.smoothing.walk`) unless it has a mass matrix;
    None is HMC with a step of 1.2 (m dim)^(-1/4), or UnderdampedLangevin where the denoiser is not exact.
    denoiser: a samplers.denoisers.Denoiser or its name; "auto" takes the closed form where there is one.
    jump: "posterior" draws X given the measurements, exact where the denoiser is; "mean" takes E[X | ybar], whose law
    is off by a Wasserstein distance of up to sigma sqrt(dim / m). The walk does not depend on the jumps.

    Invariant: the target, with an exact kernel, an exact denoiser and jump="posterior"; reversible where the kernel is.
    A start x gets noise of its own. attrs["smoothing"] tells the noise, what denoised, how many points, and how often
    a fallback was needed. Saremi, Srivastava and Bach 2023, https://arxiv.org/abs/2303.11669.

        >>> modes = targets.GaussianMixture([[-3.0], [3.0]], scales=0.5)
        >>> sampler = samplers.JointMultimeasurement(sigma=2.0, m=4, steps=2)
        >>> draws = sampler.sample(modes, chains=4, draws=20, warmup=10, seed=0)
        >>> draws.x.shape, draws.attrs["smoothing"]["measurements"]
        (torch.Size([4, 20, 1]), 4)
    """

    m: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.m is not None:
            check_integer(self.m, "m")

    @property
    def measurements(self) -> int:
        if self.m is None:
            raise ValueError("m: left to `sample`, which finds it; give it to use init and step alone")
        return self.m

    @property
    def left_open(self) -> list[str]:
        return super().left_open + (["m"] if self.m is None else [])
