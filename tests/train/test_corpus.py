"""The models in tests/tflite/corpus are what tools/make_corpus.py makes.

Skipped where TensorFlow is not installed: it is in the extra ``train``.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "tflite" / "corpus"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is None, reason="no TensorFlow: extra `train`"
    ),
]

NAMES = ("relu_bare", "gelu", "prelu_channel", "glu", "lstm", "elu")
"""One of each way into the converter, and one that int16x8 refuses."""


def test_the_converter_still_writes_what_the_index_says(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_corpus.py"), "--out", str(tmp_path), *NAMES],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "index.json").read_text("utf-8"))
    kept = json.loads((CORPUS / "index.json").read_text("utf-8"))
    assert made == {file: kept[file] for file in made}
    assert sorted(made) == sorted(f for f in kept if f.split("__")[0] in NAMES)
    assert "- elu int16x8" in (tmp_path / "README.md").read_text("utf-8")


def test_no_file_of_the_corpus_names_a_place_on_a_machine():
    places = (b"/tmp", b"/home", b"/root", b"/usr", b"site-packages")
    for path in CORPUS.iterdir():
        content = path.read_bytes()
        assert not [place for place in places if place in content], path.name
    assert sum(path.stat().st_size for path in CORPUS.glob("*.tflite")) <= 200_000
