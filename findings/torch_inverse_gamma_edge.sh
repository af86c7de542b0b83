#!/bin/sh
# The log-density of InverseGamma(a, b), a log b - log Gamma(a) - (a + 1) log x - b / x, goes to minus infinity as x
# goes to 0; at x = 1e-30 it is finite in float32. It comes out as plus infinity, so that a sampler would be drawn there.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import sys

import torch

law = torch.distributions.InverseGamma(torch.tensor(2.0), torch.tensor(1.0))
print("torch", torch.__version__)
found = {x: float(law.log_prob(torch.tensor(x))) for x in (0.1, 1e-20, 1e-30)}
for x, value in found.items():
    print(f"InverseGamma(2, 1).log_prob({x:g}) = {value:g}, expected {-3 * math.log(x) - 1 / x:g}")
seen = abs(found[0.1] - (3 * math.log(10) - 10)) < 1e-4 and found[1e-30] == math.inf
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
