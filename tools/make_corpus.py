"""Convert one tiny network for each activation with TFLite's converter, for the tests.

Each is a layer of a few channels and then the activation, as people write it, with its inputs and
the range before the activation about [-6, 6]. What the converter refuses is printed and not
written. The tests read index.json: what each file computes.

Run it with `python tools/make_corpus.py`; it needs the extra `train` and takes two minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

OUT = Path(__file__).resolve().parents[1] / "tests" / "tflite" / "corpus"
MAX_TOTAL_BYTES = 200_000
RANGE = 6.0
SAMPLES = 64
SHAPE = (1, 4, 4, 4)
STEPS, FEATURES = 2, 4
MACHINE = (b"/tmp", b"/home", b"/root", b"/usr", b"/opt", b"site-packages", b".py")
"""What would be the place of a machine, and so has no place in a file of ours."""

OPS = {
    "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int16x8": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}
CODES = {"int8": tf.int8, "int16x8": tf.int16}

BEFORE = {"keras": "conv", "saved": "bare"}
"""The same layer in front, by another way into the converter."""

A, NN = keras.activations, tf.nn


@dataclass(frozen=True)
class Case:
    """An activation as somebody writes it, after a layer.

    activation, settings: the catalogue's entry that it is, or embact's name of the layer; "" where
    it has none. before: the layer. kind: elementwise, layer (softmax and such), or gates (inside a
    recurrent network). dtypes: those to convert to.
    """

    name: str
    function: Callable[[Any], Any]
    activation: str = ""
    settings: dict[str, float] = field(default_factory=dict)
    before: str = "conv"
    kind: str = "elementwise"
    dtypes: tuple[str, ...] = ("int8", "int16x8")


def _tanh_gelu(x: Any) -> Any:
    return 0.5 * x * (1.0 + tf.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


def _erf_gelu(x: Any) -> Any:
    return 0.5 * x * (1.0 + tf.math.erf(x / 1.4142135624))


def _slopes(shape: Sequence[int]) -> NDArray[np.float32]:
    """Slopes of PReLU: some negative, one above 1."""
    return np.linspace(-0.25, 1.25, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def _prelu(shared: Sequence[int]) -> Callable[[Any], Any]:
    """PReLU whose slopes do not vary along the shared axes, as a layer of Keras."""

    def made(x: Any) -> Any:
        layer = keras.layers.PReLU(shared_axes=list(shared) or None, name="prelu")
        layer.build(x.shape)
        layer.alpha.assign(_slopes(layer.alpha.shape))
        return layer(x)

    return made


def _halves(x: Any) -> Any:
    return tf.split(x, 2, axis=-1)


def _gated(gate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def unit(x: Any) -> Any:
        a, b = _halves(x)
        return a * gate(b)

    return unit


def _swiglu(x: Any) -> Any:
    a, b = _halves(x)
    return a * (b * tf.sigmoid(b))


def _glu_gate_first(x: Any) -> Any:
    a, b = _halves(x)
    return tf.sigmoid(a) * b


_AS_ONE_OPERATOR = {
    "api_implements": "lstm_cell",
    "api_preferred_device": "CPU",
    "time_major": False,
    "go_backwards": False,
}
"""By these attributes of a function the converter knows an LSTM, whose gates it then fuses."""


def _lstm_layer(*arguments: Any) -> Any:
    x, h, c, kernel, recurrent, bias = arguments
    outputs = []
    for step in range(STEPS):
        gates = tf.matmul(x[:, step], kernel) + tf.matmul(h, recurrent) + bias
        i, f, g, o = tf.split(gates, 4, axis=1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        outputs.append(h)
    return h, tf.stack(outputs, 1), h, c, tf.constant(1.0)


def _lstm(x: Any) -> Any:
    random = np.random.default_rng(1)
    kernel, recurrent = random.uniform(-0.5, 0.5, (2, FEATURES, 4 * FEATURES)).astype(np.float32)
    zeros = tf.zeros((1, FEATURES))
    layer = tf.function(_lstm_layer, autograph=False, experimental_attributes=_AS_ONE_OPERATOR)
    return layer(x, zeros, zeros, kernel, recurrent, tf.zeros(4 * FEATURES))[1]


def _gru(x: Any) -> Any:
    keras.utils.set_random_seed(1)
    return keras.layers.GRU(FEATURES, unroll=True, name="gru")(x[:, 0, :STEPS])


def _elementwise() -> list[Case]:
    """The functions of one number, by the names that embact has for them."""
    case = Case
    return [
        case("relu", NN.relu, "relu"),
        case("relu_bare", NN.relu, "relu", before="bare"),
        case("relu_add", NN.relu, "relu", before="add"),
        case("relu_reshape", NN.relu, "relu", before="reshape"),
        case("relu6", NN.relu6, "relu6"),
        case("relu6_bare", NN.relu6, "relu6", before="bare"),
        case("relu6_reshape", NN.relu6, "relu6", before="reshape"),
        case("relu_n1_to_1", lambda x: tf.clip_by_value(x, -1.0, 1.0), "relu_n1_to_1"),
        case("hard_tanh_bare", A.hard_tanh, "hard_tanh", before="bare"),
        case("clipped_relu", lambda x: A.relu(x, max_value=1.0), "clipped_relu", {"max": 1.0}),
        case("leaky_relu", lambda x: A.leaky_relu(x, 0.2), "leaky_relu", {"alpha": 0.2}),
        case("relu_slope", lambda x: A.relu(x, 0.125), "leaky_relu", {"alpha": 0.125}),
        case("relu_slope_max", lambda x: A.relu(x, 0.125, max_value=2.0)),
        case("leaky_by_max", lambda x: tf.maximum(x, 0.25 * x), "leaky_relu", {"alpha": 0.25}),
        case("sigmoid", A.sigmoid, "sigmoid"),
        case("sigmoid_dense", A.sigmoid, "sigmoid", before="dense"),
        case("tanh", A.tanh, "tanh"),
        case("tanh_bare", A.tanh, "tanh", before="bare"),
        case("log_sigmoid", A.log_sigmoid, "log_sigmoid"),
        case("elu", A.elu, "elu", {"alpha": 1.0}),
        case("elu_alpha", lambda x: A.elu(x, alpha=0.5), "elu", {"alpha": 0.5}),
        case("selu", A.selu, "selu"),
        case("celu", A.celu, "celu", {"alpha": 1.0}),
        case("celu_alpha", lambda x: A.celu(x, alpha=0.5), "celu", {"alpha": 0.5}),
        case("gelu", lambda x: A.gelu(x, approximate=False), "gelu"),
        case("gelu_tanh", lambda x: A.gelu(x, approximate=True), "gelu_tanh"),
        case("gelu_tanh_by_hand", _tanh_gelu, "gelu_tanh"),
        case("gelu_by_hand", _erf_gelu, "gelu"),
        case("gelu_sigmoid", lambda x: x * tf.sigmoid(1.702 * x), "gelu_sigmoid"),
        case("silu", A.silu, "silu"),
        case("swish", lambda x: x * tf.sigmoid(1.5 * x), "swish", {"beta": 1.5}),
        case("softplus", A.softplus, "softplus", {"beta": 1.0}),
        case("softplus_beta", lambda x: NN.softplus(2.0 * x) / 2.0, "softplus", {"beta": 2.0}),
        case("mish", A.mish, "mish"),
        case("squareplus", A.squareplus, "squareplus", {"b": 4.0}),
        case("softsign", A.softsign, "softsign"),
        case("isru", lambda x: x * tf.math.rsqrt(1.0 + x * x), "isru", {"alpha": 1.0}),
        case("exponential", A.exponential, "exp"),
        case("tanh_shrink", A.tanh_shrink, "tanh_shrink"),
        case("soft_shrink", A.soft_shrink, "soft_shrink", {"lambd": 0.5}),
        case("hard_shrink", A.hard_shrink, "hard_shrink", {"lambd": 0.5}),
        case("sparse_plus", A.sparse_plus),
        *_hard(),
    ]


def _hard() -> list[Case]:
    """The clamps and thresholds, which are written in many ways."""
    case, theta = Case, {"theta": 1.0}
    at_half = {"threshold": 0.0, "value": 0.5}
    return [
        case("hard_sigmoid", A.hard_sigmoid, "hard_sigmoid"),
        case("hard_sigmoid_bare", A.hard_sigmoid, "hard_sigmoid", before="bare"),
        case(
            "hard_sigmoid_02",
            lambda x: tf.clip_by_value(0.2 * x + 0.5, 0.0, 1.0),
            "hard_sigmoid_02",
        ),
        case(
            "hard_sigmoid_05",
            lambda x: tf.clip_by_value(0.5 * x + 0.5, 0.0, 1.0),
            "hard_sigmoid_05",
        ),
        case("hard_silu", A.hard_silu, "hard_swish"),
        case("hard_silu_over_6", lambda x: x * NN.relu6(x + 3.0) / 6.0, "hard_swish"),
        case("hard_silu_times", lambda x: x * (NN.relu6(x + 3.0) * 0.16666667), "hard_swish"),
        case("threshold", lambda x: A.threshold(x, 0.0, 0.5), "threshold", at_half),
        case("thresholded_relu", lambda x: A.relu(x, threshold=1.0), "thresholded_relu", theta),
        case(
            "thresholded_times",
            lambda x: x * tf.cast(x > 1.0, tf.float32),
            "thresholded_relu",
            theta,
        ),
    ]


def _layers() -> list[Case]:
    """What is computed over rows or channels, and gates inside recurrent networks."""
    return [
        Case(name, function, activation, before=before, kind="layer")
        for name, function, activation, before in (
            ("softmax", A.softmax, "softmax", "conv"),
            ("softmax_dense", A.softmax, "softmax", "dense"),
            ("log_softmax", A.log_softmax, "log_softmax", "conv"),
            ("prelu_channel", _prelu((1, 2)), "prelu", "keras"),
            ("prelu_element", _prelu(()), "prelu", "keras"),
            ("prelu_one", _prelu((1, 2, 3)), "prelu", "keras"),
            ("glu", _gated(tf.sigmoid), "glu", "conv"),
            ("glu_gate_first", _glu_gate_first, "glu", "conv"),
            ("reglu", _gated(NN.relu), "reglu", "conv"),
            ("swiglu", _swiglu, "swiglu", "conv"),
            ("geglu", _gated(lambda b: A.gelu(b, approximate=False)), "geglu", "conv"),
        )
    ] + [
        Case("lstm", _lstm, before="saved", kind="gates"),
        Case("gru_unrolled", _gru, before="keras", kind="gates", dtypes=("int16x8",)),
    ]


def weights(channels: int) -> NDArray[np.float32]:
    """Return a (channels, channels) matrix whose outputs stay within [-6, 6] if its inputs do."""
    random = np.random.default_rng(channels)
    mixed = np.eye(channels)[random.permutation(channels)] * random.choice([-1.0, 1.0], channels)
    mixed += random.uniform(-0.05, 0.05, mixed.shape)
    scaled: NDArray[np.float32] = (mixed / np.abs(mixed).sum(axis=0)).astype(np.float32)
    return scaled


def samples(shape: Sequence[int]) -> Iterator[list[NDArray[np.float32]]]:
    """Yield what the converter calibrates with: uniform on [-6, 6], and what ends there."""
    random = np.random.default_rng(0)
    for _ in range(SAMPLES):
        yield [random.uniform(-RANGE, RANGE, shape).astype(np.float32)]
    # each output channel of the layer in front sees both ends
    for column in weights(shape[-1]).T:
        for end in (-RANGE, RANGE):
            yield [np.broadcast_to(np.float32(end) * np.sign(column), shape)]


def converter_of(case: Case, folder: str) -> tuple[Any, tuple[int, ...]]:
    """Return the converter of a case's network, and the shape of its input.

    folder: an empty one, which must be there until it has converted.
    """
    if case.before == "keras":
        source = keras.Input(SHAPE[1:], batch_size=1, name="x")
        conv = keras.layers.Conv2D(SHAPE[3], 1, name="conv")
        network = keras.Model(source, case.function(conv(source)))
        conv.set_weights([weights(SHAPE[3])[np.newaxis, np.newaxis], np.zeros(SHAPE[3])])
        return tf.lite.TFLiteConverter.from_keras_model(network), SHAPE
    shape = {"dense": (1, 8), "saved": (1, STEPS, FEATURES)}.get(case.before, SHAPE)
    matrix = weights(shape[-1])

    def network_of(x: Any) -> Any:
        match case.before:
            case "bare" | "saved":
                before = x
            case "add":
                before = x + NN.conv2d(x, matrix[np.newaxis, np.newaxis], 1, "SAME", name="conv")
            case "reshape":
                before = tf.reshape(x, (1, 8, 8))
            case "dense":
                before = tf.matmul(x, matrix, name="dense")
            case _:
                before = NN.conv2d(x, matrix[np.newaxis, np.newaxis], 1, "SAME", name="conv")
        return case.function(before)

    spec = tf.TensorSpec(shape, tf.float32, name="x")
    function = tf.function(network_of, input_signature=[spec])
    concrete = function.get_concrete_function()
    if case.before == "saved":  # only in a saved model do functions survive until the converter
        module = tf.Module()
        module.function = function
        tf.saved_model.save(module, folder, signatures=concrete)
        return tf.lite.TFLiteConverter.from_saved_model(folder), shape
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], function), shape


class Refused(Exception):  # noqa: N818 - what the converter did, not a fault of ours
    """The converter does not convert a case; the text says why."""


def converted(case: Case, dtype: str) -> bytes:
    """Return the file of a case; Refused if the converter lacks an operator for it."""
    keras.utils.clear_session()  # names count from there
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        converter, shape = converter_of(case, folder)
        converter.target_spec.supported_ops = [OPS[dtype]]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: samples(shape)
        converter.inference_input_type = converter.inference_output_type = CODES[dtype]
        try:
            content = bytes(converter.convert())
        except RuntimeError as error:
            if "not yet supported for op" not in str(error):
                raise
            raise Refused(str(error)) from error
    found = [word.decode() for word in MACHINE if word in content]
    if found:
        msg = f"{case.name}: the file has {', '.join(found)} in it"
        raise SystemExit(msg)
    return content


def operators(content: bytes) -> list[str]:
    """Return the operators of all subgraphs in order; A+B where B is fused into A."""
    from tensorflow.lite.python import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(content, 0)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"}
    fused = {code: name for name, code in vars(schema.ActivationFunctionType).items()}
    found = []
    for graph in tree.subgraphs:
        for one in graph.operators:
            code = tree.operatorCodes[one.opcodeIndex]
            name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            inside = getattr(one.builtinOptions, "fusedActivationFunction", 0)
            found.append(f"{name}+{fused[inside]}" if inside else name)
    return found


def readme(refused: Sequence[str]) -> str:
    """Return the text of the folder's README.md."""
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("tensorflow", "keras"))
    rows = "\n".join(f"- {line}" for line in refused)
    return f"""\
# Models for the tests

Written by `python tools/make_corpus.py` with {versions};
do not edit by hand. Each file is a tiny layer and then the activation of its name, untrained, as
TFLite's converter writes it for int8 or for int16 activations with int8 weights. Inputs are uniform
on [-6, 6] at calibration. Two runs on one machine give the same bytes.

`index.json` says for each file what it computes: `activation` and `settings` are the catalogue's
(null: no entry), `before` the layer in front (conv, dense, add, reshape, bare: none), `kind`
elementwise, layer or gates, and `operators` what the converter wrote.

The converter refused:

{rows}
"""


def index_text(index: dict[str, Any]) -> str:
    """Return index.json: one line for each file."""
    lines = (f"{json.dumps(file)}: {json.dumps(facts)}" for file, facts in index.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def make_all(out: Path, names: Sequence[str]) -> int:
    """Write the files; returns the exit status."""
    index: dict[str, Any] = {}
    refused: list[str] = []
    files: dict[str, bytes] = {}
    for case in (*_elementwise(), *_layers()):
        if names and case.name not in names:
            continue
        for dtype in case.dtypes:
            try:
                content = converted(case, dtype)
            except Refused as error:
                refused.append(f"{case.name} {dtype}")
                print(f"{case.name:20} {dtype:8} refused: {error}", flush=True)
                continue
            file = f"{case.name}__{dtype}.tflite"
            files[file] = content
            index[file] = {
                "activation": case.activation or None,
                "settings": case.settings,
                "kind": case.kind,
                "before": BEFORE.get(case.before, case.before),
                "dtype": dtype,
                "operators": operators(content),
            }
            listed = " ".join(index[file]["operators"])
            print(f"{case.name:20} {dtype:8} {len(content):6} bytes  {listed}", flush=True)
    total = sum(map(len, files.values()))
    print(f"{len(files)} files, {total} bytes, {len(refused)} refused")
    if total > MAX_TOTAL_BYTES:
        print(f"make_corpus: {total} bytes; want <= {MAX_TOTAL_BYTES}", file=sys.stderr)
        return 1
    out.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (out / file).write_bytes(content)
    (out / "index.json").write_text(index_text(index), encoding="utf-8")
    (out / "README.md").write_text(readme(refused), encoding="utf-8")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help="default: %(default)s")
    parser.add_argument("names", nargs="*", help="only these activations")
    args = parser.parse_args(argv)
    return make_all(args.out, args.names)


if __name__ == "__main__":
    sys.exit(main())
