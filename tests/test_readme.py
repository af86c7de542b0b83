"""The code of the README, run as printed."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_the_readme_runs(capsys):
    namespace = {}
    for block in BLOCKS:
        exec(block, namespace)
    shown = capsys.readouterr().out
    assert "r_hat" in shown
    assert "tau" in shown


def test_the_first_block_is_at_most_fifteen_lines():
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 15


def test_every_sampler_is_in_the_table():
    import samplers

    kernels = [name for name in samplers.__all__ if isinstance(getattr(samplers, name), type)]
    kernels = [name for name in kernels if issubclass(getattr(samplers, name), samplers.Kernel) and name != "Kernel"]
    assert all(f"| `{name}` |" in README.read_text() for name in kernels)
