#!/bin/sh
# The derivative of x -> (t A)^-1 x is (t A)^-1. `jacfwd` and `jacrev` of torch.func agree on it point by point, and
# under `vmap` over x and t the reverse mode still does. The forward mode under `vmap` gives other numbers, and no error
# or warning: twice the inverse or much further off, depending on the place in the batch. The documentation says that
# the transforms compose.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys

import torch
from torch.func import jacfwd, jacrev, vmap

matrix = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
x = torch.tensor([[1.0, 2.0], [-1.0, 0.5], [0.3, -2.0]], dtype=torch.float64)
t = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)


def solved(point, time):
    return torch.linalg.solve(matrix * time, point)


exact = torch.stack([torch.linalg.inv(matrix * time) for time in t])
print("torch", torch.__version__)
errors = {}
for name, jacobian in (("jacfwd", jacfwd), ("jacrev", jacrev)):
    alone = torch.stack([jacobian(solved)(point, time) for point, time in zip(x, t)])
    together = vmap(jacobian(solved))(x, t)
    errors[name] = [float((found - exact).abs().max()) for found in (alone, together)]
    print(f"{name}: largest error point by point {errors[name][0]:.3g}, under vmap {errors[name][1]:.3g}, expected 0")
seen = errors["jacfwd"][0] < 1e-12 and errors["jacfwd"][1] > 0.1 and max(errors["jacrev"]) < 1e-12
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
