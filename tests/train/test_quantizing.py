"""What `embact quantize` finds out without TensorFlow: mistakes, samples, and what it was told."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embact.errors import EmbactError
from embact.train import quantize
from embact.train.quantize import Asked, quantise
from embact.train.samples import Input, load_arrays, samples_of
from embact.train.worker import Job, _names, _refused, _unreadable

FLOAT = Input("x", (None, 3), "float32")
CORPUS = Path(__file__).parents[1] / "tflite" / "corpus"


def program(*words):
    return subprocess.run(
        [sys.executable, "-m", "embact", "quantize", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_mistakes_are_found_before_tensorflow_is_looked_for(tmp_path):
    network, out = tmp_path / "m.keras", tmp_path / "m.tflite"
    network.write_bytes(b"")
    (tmp_path / "there.tflite").write_bytes(b"")
    for words, message in (
        ((CORPUS / "relu_bare__int8.tflite", "--out", out), "SavedModel, that it was made from"),
        ((tmp_path / "none.keras", "--out", out), "no trained network: got nothing there"),
        ((network, "--out", tmp_path), "--out: got"),
        ((network, "--out", tmp_path / "there.tflite"), "a model is there; allowed: --force"),
        ((network, "--out", out, "--convert", tmp_path), "exists; allowed: a new folder"),
        ((network, "--out", out, "--dtype", "int4"), "dtype: got 'int4'; allowed: int8, int16x8"),
        ((network, "--out", out, "--samples", 0), "samples: got 0"),
    ):
        done = program(*words, "--data", tmp_path / "x.npz")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert message in done.stderr
    assert not out.exists()


def test_without_tensorflow_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    network = tmp_path / "m.keras"
    network.write_bytes(b"")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbactError, match=r'allowed: pip install "embact\[train\]"'):
        quantise(Asked(network, tmp_path / "x.npz"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(quantize, "run_child", lambda *_: None)
    with pytest.raises(EmbactError, match=r"took too long: got 7 s"):
        quantise(Asked(network, tmp_path / "x.npz"), 7)


@pytest.mark.parametrize(("there", "most", "used"), [(10, 4, [0, 2, 5, 7]), (3, 500, [0, 1, 2])])
def test_samples_are_evenly_spaced_over_all_there_are(there, most, used):
    x = np.arange(there * 3).reshape(there, 3) / 2
    (chosen,) = samples_of({"x": x}, [FLOAT], most, "d")
    assert chosen.dtype == np.float32
    assert np.array_equal(chosen, x[used])


def test_a_batch_that_the_network_fixes_is_kept():
    (chosen,) = samples_of({"x": np.zeros((11, 3))}, [Input("x", (4, 3), "float32")], 500, "d")
    assert len(chosen) == 8
    with pytest.raises(EmbactError, match=r"number of samples.*at least 4"):
        samples_of({"x": np.zeros((3, 3))}, [Input("x", (4, 3), "float32")], 500, "d")


def test_several_inputs_are_taken_by_number_or_by_name():
    inputs = [Input("b", (None, 2), "float32"), Input("a", (None, None, 1), "int32")]
    x0, x1 = np.ones((5, 2)), np.arange(20).reshape(5, 4, 1)
    for arrays in ({"x0": x0, "x1": x1}, {"a": x1, "b": x0}):
        first, second = samples_of(arrays, inputs, 5, "d")
        assert (first.shape, second.dtype) == ((5, 2), np.int32)
        assert np.array_equal(second, x1)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "without the array x: got nothing"),
        ({"x": np.zeros((4, 2))}, r"shape of x: got \(4, 2\); allowed: \(samples, 3\)"),
        ({"x": np.zeros(3)}, "shape of x"),
        ({"x": np.zeros((4, 3), np.int8)}, "meaning of x is not clear: got int8"),
        ({"x": np.zeros((4, 3)), "x_scale": 0.5}, "not clear: got float64 with x_scale"),
        ({"x": np.zeros((4, 3), np.int8), "x_scale": 0.0}, "x_scale: got 0.0"),
        ({"x": np.zeros((4, 3), np.int8), "x_scale": [1.0, 2.0]}, "x_scale: got"),
        ({"x": np.full((4, 3), np.nan)}, "values of x: got nan or inf"),
        ({"x": np.full((4, 3), 1e300)}, "values of x: got nan or inf"),
        ({"x": np.full((4, 3), "a")}, "not clear"),
        ({"x": np.zeros((0, 3))}, "number of samples"),
    ],
)
def test_samples_that_do_not_fit_are_refused(arrays, message):
    with pytest.raises(EmbactError, match=message):
        samples_of(arrays, [FLOAT], 500, "d")


def test_integers_with_a_scale_are_real_values():
    (chosen,) = samples_of({"x": np.full((2, 3), 8), "x_scale": 0.25}, [FLOAT], 5, "d")
    assert np.array_equal(chosen, np.full((2, 3), 2.0))


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    for content in (b"", b"PK\3\4 no zip", b"\x93NUMPY"):
        path.write_bytes(content)
        with pytest.raises(EmbactError, match="cannot read the data"):
            load_arrays(path)
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(EmbactError, match="got a single array"):
        load_arrays(tmp_path / "x.npy")


def test_names_for_the_signature_are_distinct_and_can_be_written_in_python():
    assert _names((Input("a-b", (1,), "float32"),)) == ["a_b"]
    assert _names((Input("1/x", (1,), "float32"),)) == ["x"]
    several = _names((Input("a-b", (1,), "float32"), Input("a/b", (1,), "float32")))
    assert len(set(several)) == 2
    assert all(name.isidentifier() for name in several)


JOB = Job("m", "m.keras", "x", "x.npz", "int16x8", 500, False, "o", "r")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("Quantization to 16x8-bit not yet supported for op: 'ELU'.", "no int16 form.*got ELU"),
        ("Some ops are not supported\nFlex ops: Erf, Round\n", "no TFLite operator.*Erf, Round"),
        ("line 1\nline 2", "refuses: got line 1$"),
        ("", "refuses: got no reason"),
    ],
)
def test_what_the_converter_says_becomes_one_line(said, message):
    with pytest.raises(EmbactError, match=message):
        raise _refused(said, JOB)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("Could not locate class 'Own'. Make sure", "of its own.*got Own"),
        ("Unknown layer: 'pkg>Own'. Please", "got pkg>Own"),
        ("Requested the deserialization of a `Lambda` layer ... safe_mode=False", "Lambda layer"),
        ("something else\nat line 7", "cannot read the network: got something else;"),
    ],
)
def test_what_keras_says_becomes_one_line(said, message):
    with pytest.raises(EmbactError, match=message) as error:
        raise _unreadable(said, "m.keras")
    assert "model.export(DIR)" in str(error.value)
