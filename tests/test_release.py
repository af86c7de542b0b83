"""What is released: a wheel and an sdist that work where this folder is not, and files that agree on the version."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
USED = """
import samplers, targets
draws = samplers.HMC().sample(targets.benchmark("banana"), chains=4, draws=20, warmup=20, progress=False)
assert draws.cite().count("@") > 0
assert samplers.__version__ == {version!r}, samplers.__version__
print(samplers.__file__)
"""


def test_every_file_has_the_same_version():
    version = PROJECT["version"]
    assert re.search(rf"^version: \"?{re.escape(version)}\"?$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    released = re.findall(r"^## \[?(\d+\.\d+\.\d+)\]?", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == version


def run(*words, **options):
    free = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(word) for word in words]
    return subprocess.run(words, check=True, capture_output=True, text=True, env=free, **options).stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_it_is_installed_without_this_folder(kind, tmp_path):
    """By pip from a built file; the packages that it needs are those of this environment."""
    if kind == "wheel":
        run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path / "dist", ROOT)
    else:
        run(sys.executable, "-m", "build", "--sdist", "--outdir", tmp_path / "dist", ROOT)
    (built,) = (tmp_path / "dist").iterdir()
    venv.create(tmp_path / "clean", with_pip=True)
    python = tmp_path / "clean/bin/python"
    run(python, "-m", "pip", "install", "--no-deps", built)
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # a path in a .pth file is no site folder, so that the link of an editable install there is not followed
    (own / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = run(python, "-c", USED.format(version=PROJECT["version"]), cwd=tmp_path)
    assert own in Path(where.strip()).parents
    assert "hmc" in run(tmp_path / "clean/bin/unnorm", "list", cwd=tmp_path)
    page = own / "samplers/compare/report/page"
    assert {one.name for one in page.iterdir()} == {
        one.name for one in (ROOT / "samplers/compare/report/page").iterdir()
    }
