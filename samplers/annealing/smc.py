"""Sequential Monte Carlo along a path of densities.

log w_i += log pi_b'(x_i) - log pi_b(x_i);   log Z += log sum_i W_i exp(increment_i)
where ESS = 1 / sum W_i^2 < threshold n:  ancestors drawn in proportion to W, weights made equal
x_i moves by a kernel that leaves pi_b' invariant
"""

from __future__ import annotations

from dataclasses import dataclass

from samplers.annealing.driver import AnnealedSampler
from samplers.annealing.resampling import SCHEMES, Scheme
from targets.arguments import check_choice, check_integer, shown


@dataclass(frozen=True, eq=False)
class SMC(AnnealedSampler):
    """Sequential Monte Carlo; gives weighted draws and log Z. With schedule and kernels fixed, E[Z-hat] = Z exactly.

    kernel: any exact kernel, or ULA (whose moves then enter the weights); None is HMC, or Gibbs on discrete targets.
    Fields that it leaves open (step size, mass matrix) are found from the particles at each temperature. A sequence of
    kernels gives one to each temperature.
    base: a normalised Target with exact draws; None takes the target's prior, else what a pilot run finds; "pilot" has
    the pilot run even where there is a prior, from which a posterior given many data is far.
    path: a function b -> Target, or a Path, in place of the geometric path base^(1-b) target^b.
    betas: temperatures from 0 to 1, or a number of equal steps; None takes each new one as far away as a conditional
    ESS of `conditional_ess` allows.
    moves: kernel steps a temperature.
    resampling: "systematic", "stratified" or "multinomial", where the ESS falls below `ess_threshold` of n:
    1 is at every temperature, which is best where the moves mix.
    waste_free: P keeps all states of chains of length P from n / P ancestors at every temperature, in place of
    `moves` steps from n (Dau and Chopin 2022, https://arxiv.org/abs/2011.02328).
    replicates: independent runs in one batch, whose spread gives the standard error of log Z; with one replicate it
    comes from the genealogy.
    unbiased: an adaptive run, whose Z is consistent but not unbiased, is followed by a frozen one on fresh particles,
    whose Z is unbiased. `draws.kernel` is the frozen sampler in any case.
    bidirectional: exact draws of the target are annealed backwards and give `log_z.upper`, which with `log_z.lower`
    brackets log Z (Grosse et al. 2015, https://arxiv.org/abs/1511.02543).

    Raises ValueError when all weights vanish, and when they diverge, as with an improper target.
    Del Moral, Doucet and Jasra 2006, https://doi.org/10.1111/j.1467-9868.2006.00553.x; Zhou, Johansen and Aston 2016
    (adaptive temperatures), https://arxiv.org/abs/1303.3123.

        >>> base, target = targets.Gaussian([0.0]), targets.Gaussian([3.0], scale=0.5)
        >>> draws = samplers.SMC(samplers.MALA(), base=base, moves=2).sample(target, draws=500, seed=0)
        >>> draws.x.shape, abs(draws.log_z.value) < 4 * draws.log_z.standard_error
        (torch.Size([1, 500, 1]), True)
    """

    resampling: Scheme = "systematic"
    ess_threshold: float = 1.0
    waste_free: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.resampling, "resampling", SCHEMES)
        if not 0 <= self.ess_threshold <= 1:
            raise ValueError(f"ess_threshold: got {shown(self.ess_threshold)}, expected a share between 0 and 1")
        if self.waste_free is not None:
            check_integer(self.waste_free, "waste_free", 2)
