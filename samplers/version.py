"""The version of the installed distribution."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("unnorm")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "unknown"
