"""What embact.tflite.ops says of the converter is what the converter does.

Skipped where TensorFlow is not installed: it is in the extra ``train``.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "lowerings.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is None, reason="no TensorFlow: extra `train`"
    ),
]

CHANGED = """
import runpy
from embact.tflite import ops
for name in ops.LOWERED.keys() - {"relu"}:
    del ops.LOWERED[name]
ops.LOWERED["relu"] = "RELU6"
tool = runpy.run_path(%r)
functions, layers = tool["FUNCTIONS"], tool["LAYERS"]
for name in functions.keys() - {"relu"}:
    del functions[name]
layers.clear()
raise SystemExit(tool["main"]())
"""


def run(*words):
    path = os.pathsep.join(sys.path)
    environment = dict(os.environ, PYTHONPATH=path, TF_CPP_MIN_LOG_LEVEL="3")
    return subprocess.run(
        [sys.executable, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_every_activation_is_converted_to_the_operators_that_are_listed():
    done = run(str(TOOL))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 not as in embact.tflite.ops; not tried: none" in done.stdout


def test_an_operator_that_is_listed_wrongly_would_be_noticed():
    done = run("-c", CHANGED % str(TOOL))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "3 not as in embact.tflite.ops" in done.stdout
