#!/bin/sh
# A normal variable kept between 6 and 7 is the mirror image of one kept between -7 and -6: the same density, mean and
# variance. The source says that an interval above `loc` is reflected "for a more numerically stable formula". Draws are
# right in both tails. Density, mean and variance are right in the lower one alone: above, they take the difference of
# two logarithms that are both near 0. At [5, 6] the mean lies outside the interval and the variance exceeds 1; at
# [6, 7] the density is infinite.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    numpyro==0.22.0 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 scipy==1.17.1
JAX_PLATFORMS=cpu "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import sys

import jax
import numpyro
from numpyro.distributions import TruncatedNormal
from scipy.stats import truncnorm

print("numpyro", numpyro.__version__, "jax", jax.__version__)
found = {}
for low, high in ((-6.0, -5.0), (5.0, 6.0), (-7.0, -6.0), (6.0, 7.0)):
    law, exact = TruncatedNormal(0.0, 1.0, low=low, high=high), truncnorm(low, high)
    middle = (low + high) / 2
    found[low] = [float(law.mean), float(law.variance), float(law.log_prob(middle))]
    right = [float(exact.mean()), float(exact.var()), float(exact.logpdf(middle))]
    for name, value, expected in zip(("mean", "variance", "log-density in the middle"), found[low], right):
        print(f"[{low:g}, {high:g}]: {name} {value:.4f}, expected {expected:.4f}")
    found[-low, "draws"] = float(law.sample(jax.random.key(0), (20_000,)).mean()) - right[0]
    found[low, "error"] = max(abs(value - expected) for value, expected in zip(found[low], right))
lower = found[-6.0, "error"] < 1e-3 and found[-7.0, "error"] < 1e-3
drawn = all(abs(found[edge, "draws"]) < 0.01 for edge in (6.0, -5.0, 7.0, -6.0))
seen = lower and drawn and found[5.0][0] < 5 and found[5.0][1] > 1 and found[6.0][2] == math.inf
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
