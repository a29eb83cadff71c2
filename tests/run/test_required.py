"""A missing compiler or emulator is a skip that names it, and a failure where they are required."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TEST = "test_cross.py::test_a_program_is_of_its_core_and_has_the_compilers_helpers"


@pytest.mark.parametrize(("options", "status"), [((), 0), (("--require-emulators",), 1)])
def test_what_is_missing_is_skipped_by_name_or_fails(options, status, tmp_path):
    words = ["-q", "-p", "no:cacheprovider", "--no-cov", "-rs", *options]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, f"{HERE / TEST}[cortex-m55-zig]"],
        env={**os.environ, "PATH": str(tmp_path)},
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
    assert "no emulator of cortex-m55; allowed: qemu-system-arm" in done.stdout
    assert ("1 skipped" in done.stdout) == (status == 0)
