"""The wheel: it installs into an empty environment and works there without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_sources_data_and_no_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = [path for path in (ROOT / "c_src").rglob("*") if path.is_file()]
    assert {f"embact/{path.relative_to(ROOT).as_posix()}" for path in sources} <= names
    assert "embact/c_src/nn/embact_nn.h" in names
    assert {f"embact/data/{p.name}" for p in (ROOT / "embact" / "data").iterdir()} <= names
    assert "embact/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "tools/", "c_src/"))]


def test_the_packaged_samples_are_small(wheel):
    sizes = [
        entry.file_size
        for entry in zipfile.ZipFile(wheel).infolist()
        if entry.filename.startswith("embact/data/")
    ]
    assert 0 < sum(sizes) < 300_000


@pytest.mark.slow
def test_the_wheel_fits_and_emits_in_an_empty_environment_with_the_newest_numpy(wheel, tmp_path):
    venv.create(tmp_path / "env", with_pip=True)
    python = next((tmp_path / "env").glob("*/python"))
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))
    }

    def run(*words):
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(python, "-m", "pip", "install", "--quiet", f"{wheel}", "numpy>=2")
    assert int(run(python, "-c", "import numpy; print(numpy.__version__)").split(".")[0]) >= 2
    embact = python.with_name("embact")
    run(embact, "fit", "gelu", "--range", "-4:4", "--out", "gelu.json")
    listed = json.loads(run(embact, "emit", "gelu.json", "--out", "include", "--json"))
    header = Path(tmp_path, listed["headers"][0]["header"]).read_text("utf-8")
    assert "static inline void embact_gelu_s8(const int8_t *input, int8_t *output" in header
    run(embact, "verify", "gelu.json", "--header", listed["headers"][0]["header"])
    run(embact, "library", "--out", "library")
    assert Path(tmp_path, "library", "embact_prelu_s8.c").is_file()
