"""Where the package's own C sources and data files are, installed or in a checkout.

This module must not know what the files are for.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def c_source(name: str) -> str:
    """Return the text of a file of ``c_src``: in the wheel, or beside the package in a checkout."""
    installed = PACKAGE / "c_src" / name
    path = installed if installed.exists() else PACKAGE.parent / "c_src" / name
    return path.read_text("utf-8")


def data_file(name: str) -> Path:
    """Return the path of a packaged data file."""
    return PACKAGE / "data" / name
