"""Walk-jump sampling: walk on the law of one noisy measurement, jump from there to the target."""

from __future__ import annotations

from dataclasses import dataclass

from samplers.smoothing.measurement_walk import MeasurementWalk


@dataclass(frozen=True, eq=False)
class WalkJump(MeasurementWalk):
    """Walk-jump sampling: y moves on the smoothed density q(y) of Y = X + N(0, C), and x is read from it.

        score of y: P (E[X | y] - y),     x ~ p(x | y)  or  x = E[X | y]

    noise: "isotropic" with standard deviation `sigma`; a covariance (dim, dim), variances (dim,) or a targets.Noise;
    "mrf" on a PairwiseMRF: noise of precision A = J + D, D diagonal. Then q is a continuous density with the exact
    denoiser tanh(b + Ay), given y the spins are independent, and the jump returns exact spins from a walk in R^n.
    sigma: None leaves it to `samplers.smoothing.plan`, which looks for the noise from which q is log-concave.
    kernel, steps, denoiser: of the walk between two jumps, as for JointMultimeasurement, of which this is the case of
    one measurement. The walk does not depend on the jumps.
    jump: "posterior" draws X given y; "mean" takes E[X | y], whose law is off by a Wasserstein distance of up to
    sigma sqrt(dim).

    Invariant: the target, with an exact kernel, an exact denoiser and jump="posterior"; reversible where the kernel is.
    A start x gets noise of its own. attrs["smoothing"] tells the noise, what denoised, how many points, and how often
    a fallback was needed. Saremi and Hyvarinen 2019 (with jump="mean"), https://arxiv.org/abs/1903.02334; Saremi and
    Srivastava 2022, https://arxiv.org/abs/2112.09822.

        >>> modes = targets.GaussianMixture([[-3.0], [3.0]], scales=0.5)
        >>> draws = samplers.WalkJump(sigma=2.0, steps=2).sample(modes, chains=4, draws=20, warmup=10, seed=0)
        >>> draws.x.shape, draws.attrs["smoothing"]["denoiser"]
        (torch.Size([4, 20, 1]), 'ClosedForm')
    """

    @property
    def measurements(self) -> int:
        return 1
