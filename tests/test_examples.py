"""Every script of examples/ runs as it is, and prints what its docstring promises. `demo.py` has `make demo`."""

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "demo.py")
PRINTED = {
    "chain_of_measurements.py": ["left, mean", "   1          8.426", " 400          0.421", "0.800 2.600"],
    "custom_posterior.py": ["r_hat", "theta[H]", "middle_rate", "logits that made the counts:"],
    "digits.py": [
        "mixture of Gaussians   2.",
        "kernel density ",
        "one Gaussian           2.1",
        "diffusion model        2.",
    ],
    "evidence.py": ["plain      -525.", "-525.158", "-531.711", "log Bayes factor of curved over plain: -6."],
    "hierarchical.py": ["spread of intercepts: median 0.", "intercept[L]", "rate[A]", "log evidence -46"],
    "ising.py": ["8 x 8 torus: coupling, exact energy per site", "Swendsen-Wang", "0.4407  -0.6573", "0.6000  -1.1454"],
    "custom_energy.py": [
        "the score of ring and blob comes from automatic differentiation",
        "log Z by a grid               3.039",
        "log Z by SMC along the paths",
        "saved and loaded, the same draws: True",
    ],
    "large_run.py": [
        "stopped: the power went out",
        "bit for bit: True",
        "loaded (64, 150, 2)",
        "moments of 9600 draws",
    ],
    "latent.py": [
        "latent, untrained                  2.",
        "pixels, untrained                  2.1",
        "latent diffusion                   2.",
        "diffusion of the pixels            2.",
    ],
    "mcmc_to_model.py": [
        "log Z by model  -108.",
        "log Z by SMC    -108.3",
        "of the model's draws are effective",
        "Log Z -108.",
    ],
    "mixing_time.py": [
        "evaluations to a total variation of 0.25 in [4, 12] dimensions; to (0.5, 0.25, 0.1, 0.05) in 8",
        "random walk ",
        "theory d^0.33 log d",
    ],
    "mrf_scores.py": [
        "weights ",
        "belief propagation   16 rounds, noise 0.5, 2, 8: 0.0",
        "learned               6 rounds, noise 0.5, 2, 8: 0.",
    ],
    "multimodal_traps.py": [
        "default starts: largest R-hat 1.0",
        "R-hat warns of nothing; mass is missed\n  mode weights 0.00 0.00 0.00 0.00 1.00 0.00 0.00 0.00 0.00",
        "scattered starts: largest R-hat 2.",
    ],
    "posterior_predictive.py": [
        "variance of the counts 29.1",
        "Poisson                          1.5             1",
        "  0.000\nnegative binomial ",
        "negative binomial     0 ",
        "Poisson               1 -278.",
        "  67.",
    ],
    "score_diffusion.py": [
        "KL of the Gaussian of the samples' moments 1.",
        "KL of the model ",
        "bound of the log-density -",
    ],
    "schroedinger_bridge.py": ["noise  E|x - y|^2 / 2", "\n  0.1 ", "\n  8.0 ", "log Z of the eight "],
    "super_resolution.py": ["mean squared difference", "nine pixels, as reported ", "49 pixels, cured  "],
    "train_dds.py": ["trained in", "log Z ", "weights of the modes from 0.0"],
    "walk_jump.py": ["exact      0.300  0.200  0.150", "walk-jump", "largest error of a weight 0.0"],
    "own_kernel.py": [
        "invariance of TamedMALA on skewed passed",
        "reversibility of TamedMALA on skewed passed",
        "invariance of TamedMALAWithoutCorrection on skewed FAILED",
    ],
}
ARGUMENTS = {
    "chain_of_measurements.py": ["500"],
    "custom_energy.py": ["8"],
    "digits.py": ["10"],
    "evidence.py": ["60"],
    "ising.py": ["8", "8", "20"],
    "latent.py": ["5"],
    "mcmc_to_model.py": ["100"],
    "mixing_time.py": ["12", "40"],
    "mrf_scores.py": ["3"],
    "score_diffusion.py": ["30"],
    "schroedinger_bridge.py": ["20"],
    "super_resolution.py": ["5"],
    "train_dds.py": ["20"],
}  # smaller than by default
OF_ITS_OWN = "own_kernel.py"
WRITTEN = {
    "chain_of_measurements.py": {"chain_of_measurements.png"},
    "digits.py": {"digits.png"},
    "ising.py": {"ising.png"},
    "latent.py": {"latent.png"},
    "mcmc_to_model.py": {"mcmc_to_model.png"},
    "mixing_time.py": {"mixing_time.png"},
    "mrf_scores.py": {"mrf_scores.png"},
    "posterior_predictive.py": {"posterior_predictive.png"},
    "score_diffusion.py": {"score_diffusion.png"},
    "schroedinger_bridge.py": {"schroedinger_bridge.png"},
    "super_resolution.py": {"super_resolution.png"},
    "train_dds.py": {"train_dds.png"},
    "walk_jump.py": {"walk_jump.png"},
}


LONG = {
    f"{name}.py"
    for name in (
        "chain_of_measurements",
        "custom_energy",
        "custom_posterior",
        "digits",
        "evidence",
        "hierarchical",
        "ising",
        "latent",
        "mcmc_to_model",
        "mixing_time",
        "mrf_scores",
        "posterior_predictive",
        "schroedinger_bridge",
        "super_resolution",
    )
}


@pytest.mark.parametrize("name", [pytest.param(one, marks=pytest.mark.slow) if one in LONG else one for one in SCRIPTS])
def test_example(name, tmp_path, monkeypatch, capsys):
    """In this process, where a SamplingWarning is an error: a new one would import for as long as most of them run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *ARGUMENTS.get(name, [])])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    shown = capsys.readouterr().out
    for text in PRINTED[name]:
        assert text in shown
    assert {path.name for path in tmp_path.iterdir()} == WRITTEN.get(name, set())


def test_an_example_runs_in_a_process_of_its_own(tmp_path):
    """As a newcomer runs it."""
    command = [sys.executable, str(EXAMPLES / OF_ITS_OWN)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert all(text in done.stdout for text in PRINTED[OF_ITS_OWN])
    assert "SamplingWarning" not in done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_is_short_and_says_what_it_shows(name):
    text = (EXAMPLES / name).read_text()
    assert len(text.splitlines()) < 70
    assert ast.get_docstring(ast.parse(text))
    assert '\nif __name__ == "__main__":\n' in text
