"""Named benchmarks of physics and their data; the contract that all benchmarks keep is in test_targets_benchmarks."""

import numpy as np
import pytest
import torch

import targets

F64 = torch.float64


def test_without_the_folder_the_error_says_where_the_points_belong(monkeypatch):
    monkeypatch.delenv("UNNORM_DATA", raising=False)
    with pytest.raises(
        FileNotFoundError, match=r"finpines\.csv .* environment variable UNNORM_DATA names; it is not set"
    ):
        targets.benchmark("lgcp-finpines-40x40")


def test_a_folder_without_the_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("UNNORM_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"it is {tmp_path}, which has no such file"):
        targets.benchmark("lgcp-finpines-32x32")


def test_another_file_of_that_name_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("UNNORM_DATA", str(tmp_path))
    np.savetxt(tmp_path / "finpines.csv", np.full((127, 2), 0.5), delimiter=",", header="x,y")
    with pytest.raises(ValueError, match=r"finpines\.csv: got a table of shape \(127, 2\), expected \(126, 2\)"):
        targets.benchmark("lgcp-finpines-32x32")


@pytest.mark.parametrize("particles", [13, 55])
def test_dem_counts_every_pair_twice(particles):
    once, twice = (targets.benchmark(f"lj{particles}{end}", dtype=F64) for end in ("", "-dem"))
    x = torch.randn(4, once.dim, generator=torch.Generator().manual_seed(0), dtype=F64)
    trap = x.square().sum(-1) / 2
    torch.testing.assert_close(twice.energy(x) - trap, 2 * (once.energy(x) - trap), rtol=1e-12, atol=1e-9)
