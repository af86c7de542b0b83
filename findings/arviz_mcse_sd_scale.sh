#!/bin/sh
# The Monte Carlo error of a standard deviation has the unit of the draws: that of c x should be c times that of x.
# It is, down to c = 1e-8, and is not at c = 1e-10. The error of the mean scales at both. Most seen in slow chains.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check arviz==0.23.4 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import arviz
import numpy

noise = numpy.random.default_rng(0).standard_normal((2000, 4))
steps = [noise[0]]
for step in noise[1:]:
    steps.append(0.95 * steps[-1] + step)
draws = numpy.array(steps).T  # four chains, slow ones
print("arviz", arviz.__version__, "numpy", numpy.__version__)
ratio = {}
for method in ("mean", "sd"):
    whole = float(arviz.mcse(draws, method=method))
    for scale in (1e-8, 1e-10):
        ratio[method, scale] = float(arviz.mcse(scale * draws, method=method)) / scale / whole
        print(f"mcse(c x, method={method!r}) / (c mcse(x, method={method!r})) at c = {scale:g}: {ratio[method, scale]:.6f}")
right = [abs(value - 1) < 1e-6 for key, value in ratio.items() if key != ("sd", 1e-10)]
seen = all(right) and abs(ratio["sd", 1e-10] - 1) > 0.2
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
