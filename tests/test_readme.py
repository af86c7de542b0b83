"""The code of the README, run as printed."""

import re
import textwrap
import warnings
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = [
    textwrap.dedent(block)
    for block in re.findall(r"^ *```python\n(.*?)^ *```", README.read_text(), re.DOTALL | re.MULTILINE)
]


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in BLOCKS:
        exec(block, namespace)
    shown = " ".join(capsys.readouterr().out.split())
    assert "r_hat" in shown
    assert "tau" in shown
    assert "mixture: SMC agrees with what is exactly known; the others do not" in shown
    assert "mass is missed" in shown
    assert (tmp_path / "report" / "index.html").exists()


def test_the_first_block_is_at_most_fifteen_lines():
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 15


def test_every_sampler_is_in_the_table():
    import samplers

    kernels = [name for name in samplers.__all__ if isinstance(getattr(samplers, name), type)]
    kernels = [name for name in kernels if issubclass(getattr(samplers, name), samplers.Kernel) and name != "Kernel"]
    assert all(f"| `{name}` |" in README.read_text() for name in kernels)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_the_first_block_prints_no_warning(seed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(BLOCKS[0].replace("seed=1", f"seed={seed}"), {})
