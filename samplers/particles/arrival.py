"""Whether particles have arrived, by what every law with score s satisfies (Stein's identity), a coordinate at a time.

    E[s_i] = 0,     -E[s_i (x_i - E x_i)] = 1

Particles on their way share a direction, |mean s| near the root mean square of s; particles that lie too widely by a
factor f have a second value of about f^2. Those of a converged method stay below 1, where variances come out too small.
"""

from __future__ import annotations

import math

from torch import Tensor

FEWEST = 10  # particles, before anything is said
ADRIFT = 0.5  # |mean score| over its root mean square; 0.05 at most where methods had converged
WIDE = 2.0  # of the second identity's 1
NARROW = 0.01  # of it, in every coordinate; 0.26 was the least of the converged methods in 10 dimensions
CERTAIN = 5.0  # standard errors, as if particles were independent


def complaint(x: Tensor, score: Tensor) -> str | None:
    """What tells that particles x (n, dim) with these scores are not where the mass is; None where all fits."""
    n = len(x)
    if n < FEWEST:
        return None
    x, score = x.double(), score.double()
    mean, rms = score.mean(0), score.square().mean(0).sqrt()
    adrift = (mean.abs() > ADRIFT * rms) & (mean.abs() > CERTAIN * score.std(0) / math.sqrt(n))
    products = -(score * (x - x.mean(0)))
    spread, error = products.mean(0), products.std(0) / math.sqrt(n)
    # a strongly correlated coordinate's product is noisy by itself; the mean over coordinates is not, in any units
    wide = (spread > WIDE) & ((spread.mean() > WIDE) | (spread - 1 > min(CERTAIN, 0.5 * math.sqrt(n)) * error))
    if bool(wide.any()):
        worst = int(spread.argmax())
        what = (
            f"in {int(wide.sum())} of {x.shape[1]} coordinates they lie too widely, in coordinate {worst} by a factor "
            f"of about {math.sqrt(float(spread[worst])):.3g}"
        )
    elif bool(adrift.any()):
        what = f"in {int(adrift.sum())} of {x.shape[1]} coordinates nearly all scores still point the same way"
    elif bool((spread < NARROW).all()):
        what = "their scores hardly change from one to the next: they are far closer together than the target is wide"
    else:
        return None
    return (
        f"the particles have not arrived: {what} (Stein's identities E[s] = 0 and -E[s (x - E x)] = 1 are far from "
        "holding). Do not use the draws; take more iterations, start nearer with init=, scale the target's "
        "coordinates, or change step_size="
    )
