"""Where the package's own C sources and data files are, installed or in a checkout.

This module must not know what the files are for.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def c_source(name: str) -> str:
    """Return the text of a file of ``c_src``: in the wheel, or beside the package in a checkout."""
    return _path(name).read_text("utf-8")


def find_c_source(name: str) -> str | None:
    """Return the same, or None if there is no such file."""
    path = _path(name)
    return path.read_text("utf-8") if path.is_file() else None


def _path(name: str) -> Path:
    installed = PACKAGE / "c_src" / name
    return installed if installed.exists() else PACKAGE.parent / "c_src" / name


def data_file(name: str) -> Path:
    """Return the path of a packaged data file."""
    return PACKAGE / "data" / name
