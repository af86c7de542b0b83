#!/bin/sh
# GaussianPCA(dim, latent_dim, sigma) maps latent normal draws by W and adds noise of scale sigma: its log_prob is that
# of N(loc, W^T W + sigma^2 I), and draws have this covariance. Its density integrates to 3.27 (W = 1, sigma = 1), as
# log_prob adds dim / 2 log(2 pi), where it should take it off, and takes the determinant where its logarithm belongs.
# Draws have variance 1 and not 2: they come without the noise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 normflows==1.7.3 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import normflows
import torch

torch.manual_seed(0)
print("normflows", version("normflows"), "torch", torch.__version__)
law = normflows.distributions.GaussianPCA(dim=1, latent_dim=1, sigma=1.0).double()
with torch.no_grad():
    law.W.fill_(1.0)
    x = torch.linspace(-20.0, 20.0, 4001).double()[:, None]
    density = law.log_prob(x).exp()
    mass = float(density.sum() * 0.01)
    inside = float((density * x[:, 0] ** 2).sum() / density.sum())
    variance = float(law.sample(200_000).var())
print(f"the density integrates to {mass:.3f}, expected 1; its variance is {inside:.3f}, expected 2")
print(f"draws have variance {variance:.3f}, expected 2")
seen = abs(mass - 3.268) < 0.01 and abs(inside - 2) < 0.01 and abs(variance - 1) < 0.02
print("as seen before" if seen else "this has changed")
sys.exit(not seen)
PYTHON
