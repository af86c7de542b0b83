#!/bin/sh
# Smaller steps of a convergent method bring the solution nearer. y' = -y, y(0) = 1, to time 2 by `explicit_adams`, whose
# `order` is 4: with steps of .4 the answer is right to .01; with steps of .1 it is 1.75 and with steps of .0125 more than
# 1e9, where .135 is right. By default the method goes on to order 12, which is not stable at these steps, and says nothing.
# With max_order=4, and by `implicit_adams`, each halving of the step divides the error.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    torch==2.13.0 torchdiffeq==0.2.5 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import sys
from importlib.metadata import version

import torch
from torchdiffeq import odeint

print("torchdiffeq", version("torchdiffeq"), "torch", torch.__version__)
start, times = torch.ones(1).double(), torch.tensor([0.0, 2.0]).double()
error = {}
for steps in (5, 20, 40, 160):
    options = {"step_size": 2 / steps}
    for name, method, more in (
        ("explicit_adams", "explicit_adams", {}),
        ("explicit_adams, max_order=4", "explicit_adams", {"max_order": 4}),
        ("implicit_adams", "implicit_adams", {}),
    ):
        end = odeint(lambda t, y: -y, start, times, method=method, options=options | more, rtol=1e-9, atol=1e-9)[-1]
        error[name, steps] = abs(float(end) - math.exp(-2))
        print(f"{steps} steps, {name}: {float(end):.6g}, expected {math.exp(-2):.6g}")
falls = all(error["explicit_adams, max_order=4", n] < 0.1 * error["explicit_adams, max_order=4", 5] for n in (20, 40, 160))
falls = falls and all(error["implicit_adams", n] < 1e-4 for n in (20, 40, 160))
seen = falls and error["explicit_adams", 5] < 0.02 and error["explicit_adams", 20] > 1 and error["explicit_adams", 160] > 1e6
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
