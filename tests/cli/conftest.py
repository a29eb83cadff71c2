"""The program under test, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.fixture
def embact(tmp_path):
    """Run embact in an empty folder; the result has stdout, stderr and returncode.

    Without COLUMNS, which would fold tables, unless it is given.
    """

    def run(*words, **variables):
        plain = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
        command = [sys.executable, "-c", "from embact.cli import main; main()", *map(str, words)]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=plain | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run
