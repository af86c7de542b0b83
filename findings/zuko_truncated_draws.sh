#!/bin/sh
# Truncated(Normal(0, 1), 5, 6) has density 0 outside [5, 6), as its documentation says: draws lie inside, with mean
# 5.183. All draws lie below 5, in double precision, and all above -5 on the mirrored side. Draws move probabilities by up
# to 1e-6 to keep off 0 and 1, also where an interval lies between, and the whole interval holds 2.9e-7. Of [4, 5) and
# of its mirror image 3 % of draws are outside; their own log-density is -inf.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 zuko==1.6.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import sys
from importlib.metadata import version

import torch
from torch.distributions import Normal
from zuko.distributions import Truncated

torch.manual_seed(0)
print("zuko", version("zuko"), "torch", torch.__version__)
base = Normal(*torch.tensor([0.0, 1.0]).double())


def density(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def mass(low, high):
    return (math.erfc(low / math.sqrt(2)) - math.erfc(high / math.sqrt(2))) / 2


found = {}
for low, high in ((1.0, 2.0), (4.0, 5.0), (5.0, 6.0), (-5.0, -4.0), (-6.0, -5.0)):
    draws = Truncated(base, *torch.tensor([low, high]).double()).sample((100_000,))
    found[low] = float(((draws < low) | (draws >= high)).double().mean())
    right = math.copysign((density(low) - density(high)) / mass(low, high), low)
    if low < 0:
        right = -(density(high) - density(low)) / mass(-high, -low)
    print(f"[{low:g}, {high:g}): share of draws outside {found[low]:.4f}, expected 0;", end=" ")
    print(f"mean {float(draws.mean()):.3f}, expected {right:.3f}")
seen = found[1.0] == 0 and all(0.02 < found[low] < 0.05 for low in (4.0, -5.0))
seen = seen and all(found[low] == 1 for low in (5.0, -6.0))
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
