"""The package POT, for transport, loaded when it is used."""

from __future__ import annotations

import os
from typing import Any


def import_pot() -> Any:
    """The package POT, which would import every array library that is installed."""
    for library in ("JAX", "TENSORFLOW", "CUPY", "PYTORCH"):
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{library}", "1")
    try:
        import ot
    except ImportError as error:
        raise ModuleNotFoundError("transport needs the package POT: pip install POT") from error
    return ot
