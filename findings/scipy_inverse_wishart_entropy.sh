#!/bin/sh
# The entropy of a law is minus the mean of its log-density. Of the inverse Wishart it is larger by
# (p + 1) (p - 1) / 2 log 2 in p dimensions: 1.04 for p = 2, 2.77 for p = 3. It is right for p = 1, where it is that of an
# inverse gamma variable, and so is the entropy of the Wishart law at any p, with the same scale.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import sys

import numpy
import scipy
from scipy.stats import invwishart, wishart

print("scipy", scipy.__version__, "numpy", numpy.__version__)
seen = True
for p in (1, 2, 3):
    scale = numpy.eye(p) + 0.3
    for family in (wishart, invwishart):
        law = family(p + 6, scale)
        draws = law.rvs(20_000, random_state=numpy.random.default_rng(0)).reshape(-1, p, p)
        density = law.logpdf(numpy.moveaxis(draws, 0, -1))
        right, error = -density.mean(), density.std() / math.sqrt(len(density))
        excess = float(law.entropy() - right)
        print(f"{type(law).__name__}, p = {p}: entropy {law.entropy():.3f}, expected {right:.3f} +- {error:.3f}")
        known = (p + 1) * (p - 1) / 2 * math.log(2) if family is invwishart else 0.0
        seen = seen and abs(excess - known) < 5 * error
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
