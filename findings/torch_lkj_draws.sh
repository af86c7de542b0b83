#!/bin/sh
# Under LKJ(1) in n dimensions (r + 1) / 2 of each correlation r is Beta(n/2, n/2), whichever the pair: variance
# 1 / (n + 1). Draws have it for n = 2, and for the first pair alone for n = 3.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch

torch.manual_seed(0)
print("torch", torch.__version__)
found = {}
for n in (2, 3):
    factor = torch.distributions.LKJCholesky(n, 1.0).sample((200_000,)).double()
    matrix = factor @ factor.mT
    for i in range(n):
        for j in range(i):
            found[n, i, j] = float(matrix[:, i, j].var())
            print(f"n = {n}: variance of correlation {i}, {j}: {found[n, i, j]:.4f}, expected {1 / (n + 1):.4f}")
right = abs(found[2, 1, 0] - 1 / 3) < 0.005 and abs(found[3, 1, 0] - 1 / 4) < 0.005
seen = right and all(abs(found[3, 2, j] - 0.3) < 0.005 for j in (0, 1))
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
