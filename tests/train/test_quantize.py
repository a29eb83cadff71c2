"""`embact quantize`: from a trained network to a model of integers, or one line that says why not.

Skipped where TensorFlow is not installed: it is in the extra ``train``.
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from embact.errors import CheckFailed, EmbactError
from embact.tflite.find.sites import find_sites
from embact.tflite.host.data import input_ports, output_ports
from embact.tflite.model import read, schema
from embact.train.quantize import Asked, _check_ends, quantise

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # whatever it deprecates is its own affair
    tensorflow = pytest.importorskip("tensorflow", reason="no TensorFlow: extra `train`")
    keras = pytest.importorskip("keras", reason="no Keras: extra `train`")

pytestmark = pytest.mark.slow

HERE = Path(__file__)
LAYERS = keras.layers


class Own(LAYERS.Layer):
    def call(self, x):
        return tensorflow.math.erf(x)


def sequence(*layers):
    return keras.Sequential([keras.Input((8,)), LAYERS.Dense(8), *layers, LAYERS.Dense(3)])


def silenced(save, *words, **named):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(*words, **named)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with networks and data."""
    folder = tmp_path_factory.mktemp("networks")
    keras.utils.set_random_seed(3)
    for name, layer in (
        ("gelu", LAYERS.Activation("gelu")),
        ("elu", LAYERS.Activation("elu")),
        ("own", Own()),
        ("lambda", LAYERS.Lambda(lambda x: 2 * x)),
    ):
        silenced(sequence(layer).save, folder / f"{name}.keras")
    silenced(sequence(LAYERS.Activation("tanh")).export, folder / "saved", verbose=False)
    silenced(sequence(Own()).export, folder / "own_saved", verbose=False)
    first, second = keras.Input((4,), name="z-last"), keras.Input((2, 2), name="a")
    joined = LAYERS.Concatenate()([first, LAYERS.Flatten()(second)])
    silenced(
        keras.Model([first, second], LAYERS.Dense(3, "silu")(joined)).save, folder / "two.keras"
    )
    steps = keras.Input((5, 4))
    silenced(keras.Model(steps, LAYERS.LSTM(4)(steps)).save, folder / "loop.keras")
    random = np.random.default_rng(0)
    np.savez(folder / "x.npz", x=random.uniform(-6, 6, (100, 8)))
    np.savez(
        folder / "two.npz",
        x0=random.uniform(-1, 1, (100, 4)),
        x1=random.uniform(-100, 100, (100, 2, 2)),
    )
    np.savez(folder / "codes.npz", x=random.integers(-60, 60, (100, 8)))
    np.savez(folder / "scaled.npz", x=random.integers(-60, 60, (100, 8)), x_scale=0.1)
    np.savez(folder / "steps.npz", x=random.uniform(-1, 1, (20, 5, 4)))
    return folder


def real(folder, name, dtype):
    """The outputs of the quantised model, as real numbers, and those of the network."""
    done = quantise(Asked(folder / name, folder / "x.npz", dtype))
    x = np.load(folder / "x.npz")["x"].astype(np.float32)[:20]
    interpreter = tensorflow.lite.Interpreter(model_content=done.model.content)
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = source["quantization"]
    limits = np.iinfo(source["dtype"])
    rows = []
    for row in np.clip(np.rint(x / scale) + zero, limits.min, limits.max).astype(source["dtype"]):
        interpreter.set_tensor(source["index"], row[np.newaxis])
        interpreter.invoke()
        codes = interpreter.get_tensor(sink["index"])[0].astype(np.float64)
        rows.append((codes - sink["quantization"][1]) * sink["quantization"][0])
    network = keras.models.load_model(folder / name)
    return np.array(rows), network.predict(x, verbose=0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("dtype", "share"), [("int8", 0.05), ("int16x8", 0.01)])
def test_a_keras_file_is_quantised_and_computes_what_the_network_does(place, dtype, share):
    ours, theirs = real(place, "gelu.keras", dtype)
    span = np.ptp(theirs)
    assert np.abs(ours - theirs).max() < share * span
    assert np.abs(ours[::-1] - theirs).max() > share * span, "the samples look all alike"


def test_a_saved_model_is_quantised_and_its_activation_found(place):
    done = quantise(Asked(place / "saved", place / "x.npz"))
    (site,) = find_sites(done.model).sites
    assert (site.activation.name, site.spec.input.bits) == ("tanh", 8)
    assert done.operators == {"FULLY_CONNECTED": 2, "TANH": 1}
    assert done.in_float == {}
    assert [p.shape for p in input_ports(done.model)] == [(1, 8)]


def test_the_inputs_of_the_model_are_in_the_order_of_the_data(place):
    done = quantise(Asked(place / "two.keras", place / "two.npz", samples=30))
    assert done.inputs == ("z-last", "a")
    assert done.samples == 30
    first, second = input_ports(done.model)
    assert (first.shape, second.shape) == ((1, 4), (1, 2, 2))
    assert ("z_last" in first.name, "_a" in second.name) == (True, True)


def test_what_stays_in_float_is_listed(place):
    done = quantise(Asked(place / "elu.keras", place / "x.npz"))
    assert done.in_float == {"ELU": 1}
    assert {p.dtype for p in (*input_ports(done.model), *output_ports(done.model))} == {"int8"}


def test_integers_with_a_scale_are_real_values(place):
    done = quantise(Asked(place / "gelu.keras", place / "scaled.npz"))
    assert input_ports(done.model)[0].scale == pytest.approx(12 / 255, rel=0.05)


@pytest.mark.parametrize(
    ("name", "data", "dtype", "message"),
    [
        ("elu.keras", "x.npz", "int16x8", "no int16 form of an operator: got ELU"),
        ("own.keras", "x.npz", "int8", r"custom_objects\): got Own; allowed: a SavedModel"),
        ("own_saved", "x.npz", "int8", "no TFLite operator for it: got Erf"),
        ("lambda.keras", "x.npz", "int8", "Lambda layer, whose Python code is not run"),
        ("loop.keras", "steps.npz", "int8", "converter crashed: got SIG.*unroll=True"),
        ("gelu.keras", "steps.npz", "int8", r"shape of x: got \(20, 5, 4\); allowed: \(samples, 8"),
        ("gelu.keras", "codes.npz", "int8", "meaning of x is not clear"),
        ("gelu.keras", "two.npz", "int8", "without the array x: got x0, x1"),
        ("gelu.keras", "gelu.keras", "int8", "data"),
        ("gelu.keras", "none.npz", "int8", "cannot read the data: got No such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(place, name, data, dtype, message):
    with pytest.raises(EmbactError, match=message) as error:
        quantise(Asked(place / name, place / data, dtype))
    assert "\n" not in str(error.value)


def test_a_converter_that_takes_too_long_is_ended(place):
    with pytest.raises(EmbactError, match=r"took too long: got 0\.01 s"):
        quantise(Asked(place / "gelu.keras", place / "x.npz"), 0.01)


def test_a_model_whose_input_is_float_does_not_pass():
    corpus = HERE.parents[1] / "tflite" / "corpus" / "relu_bare__int8.tflite"
    model = read(corpus)
    _check_ends(model, "int8")
    tree = model.tree
    tree.subgraphs[0].tensors[tree.subgraphs[0].inputs[0]].type = schema().TensorType.FLOAT32
    with pytest.raises(CheckFailed, match="an input of the converted model: got float32"):
        _check_ends(model, "int8")


def program(*words):
    path = os.pathsep.join(sys.path)
    environment = dict(os.environ, PYTHONPATH=path)
    return subprocess.run(
        [sys.executable, "-m", "embact", "quantize", *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_the_program_writes_the_model_and_says_what_comes_next(place, tmp_path):
    out = tmp_path / "new" / "m.tflite"
    words = (place / "gelu.keras", "--data", place / "x.npz", "--dtype", "int8", "--out", out)
    done = program(*words)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "TensorFlow's noise stays out"
    assert f"next: embact sites {out}" in done.stdout
    assert "operators: FULLY_CONNECTED x 2, GELU" in done.stdout
    again = program(*words)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "a model is there; allowed: --force" in again.stderr
    told = program(*words, "--force", "--json", "--samples", "10")
    facts = json.loads(told.stdout)
    assert facts["sha256"] == read(out).sha256
    assert (facts["samples"], facts["in_float"]) == (10, {})


def test_the_program_goes_on_with_the_conversion(place, tmp_path):
    out, folder = tmp_path / "m.tflite", tmp_path / "converted"
    words = (place / "gelu.keras", "--data", place / "x.npz", "--out", out, "--convert", folder)
    done = program(*words)
    assert done.returncode == 0, done.stderr
    assert read(folder / "m.tflite").sha256 != read(out).sha256
    assert (folder / "report.json").is_file()
    again = program(*words, "--force")
    assert again.returncode == 2
    assert "--convert: got" in again.stderr
