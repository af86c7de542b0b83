"""Make the pictures of the pages: run the examples that draw one, and keep 256 colours of each, in docs/pictures.

    python docs/hooks/pictures.py [name ...]

Run it where an example has changed, and look at what comes out. It takes some minutes.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
NAMES = (
    "posterior_predictive",
    "walk_jump",
    "chain_of_measurements",
    "ising",
    "train_dds",
    "score_diffusion",
    "schroedinger_bridge",
    "digits",
    "super_resolution",
    "latent",
    "mixing_time",
    "mrf_scores",
)
COLOURS = 256


def main(*names: str) -> None:
    """The pictures of these examples, by default of all."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names or NAMES:
            subprocess.run([sys.executable, ROOT / f"examples/{name}.py"], cwd=folder, check=True)
            few = Image.open(f"{folder}/{name}.png").convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            few.save(ROOT / f"docs/pictures/{name}.png", optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
