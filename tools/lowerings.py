"""Convert every activation with TFLite's converter, and compare with what embact.tflite.ops says.

Each function is Keras's of that name, or else the formula, with the catalogue's default parameters.
It is converted as float, to int8 and to int16, and the operators are read from the file. Prints a
line for each, and exits with status 1 if one is not as embact.tflite.ops has it.

Run it with `python tools/lowerings.py`; it needs embact and tensorflow, and takes two minutes.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from embact.tflite.ops import BOTH, LOWERED, OPERATORS, operators_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

keras_ = keras.activations
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "identity": tf.identity,
    "relu": keras_.relu,
    "relu6": keras_.relu6,
    "relu_n1_to_1": lambda x: tf.clip_by_value(x, -1.0, 1.0),
    "clipped_relu": lambda x: keras_.relu(x, max_value=1.0),
    "thresholded_relu": lambda x: keras_.relu(x, threshold=1.0),
    "sparse_relu": lambda x: tf.nn.relu(x - 1.0),
    "leaky_relu": lambda x: keras_.leaky_relu(x, 0.2),
    "rrelu": lambda x: keras_.leaky_relu(x, (1 / 8 + 1 / 3) / 2),
    "hard_tanh": keras_.hard_tanh,
    "hard_sigmoid": keras_.hard_sigmoid,
    "hard_sigmoid_02": lambda x: tf.clip_by_value(0.2 * x + 0.5, 0.0, 1.0),
    "hard_sigmoid_05": lambda x: tf.clip_by_value(0.5 * x + 0.5, 0.0, 1.0),
    "hard_swish": keras_.hard_silu,
    "sigmoid": keras_.sigmoid,
    "log_sigmoid": keras_.log_sigmoid,
    "tanh": keras_.tanh,
    "elu": keras_.elu,
    "selu": keras_.selu,
    "celu": keras_.celu,
    "gelu": lambda x: keras_.gelu(x, approximate=False),
    "gelu_tanh": lambda x: keras_.gelu(x, approximate=True),
    "gelu_sigmoid": lambda x: x * tf.sigmoid(1.702 * x),
    "silu": keras_.silu,
    "swish": lambda x: x * tf.sigmoid(1.5 * x),
    "mish": keras_.mish,
    "softplus": keras_.softplus,
    "squareplus": keras_.squareplus,
    "sparse_plus": keras_.sparse_plus,
    "softsign": keras_.softsign,
    "sqnl": lambda x: _sqnl(tf.clip_by_value(x, -2.0, 2.0)),
    "isru": lambda x: x / tf.sqrt(1.0 + x * x),
    "isrlu": lambda x: tf.where(x >= 0, x, x * tf.math.rsqrt(1.0 + x * x)),
    "exp": keras_.exponential,
    "erf": tf.math.erf,
    "soft_shrink": keras_.soft_shrink,
    "hard_shrink": keras_.hard_shrink,
    "tanh_shrink": keras_.tanh_shrink,
    "threshold": lambda x: keras_.threshold(x, 0.0, 0.5),
    "apl": lambda x: tf.nn.relu(x) + 0.3 * tf.nn.relu(1.5 - x),
    "softmax": keras_.softmax,
    "log_softmax": keras_.log_softmax,
    "glu": keras_.glu,
}
"""What people write. swish has another beta than 1, which would be silu; apl has one hinge."""

LAYERS = {"prelu": keras.layers.PReLU}
"""What is a layer, since it has weights."""

SETS = {
    "float32": tf.lite.OpsSet.TFLITE_BUILTINS,
    "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int16": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}
AROUND = {"QUANTIZE", "DEQUANTIZE"}
FUSED = {0: "", 1: "+RELU", 2: "+RELU_N1_TO_1", 3: "+RELU6"}
LENGTH = 16


def _sqnl(x: Any) -> Any:
    return x - x * tf.abs(x) * 0.25


def converted(name: str, dtype: str) -> list[tuple[str, bool]] | None:
    """Return a function's operators, and whether each is in float; None if it is refused."""
    if name in LAYERS:
        model = keras.Sequential([keras.Input((LENGTH,), batch_size=1), LAYERS[name]()])
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
    else:
        function = tf.function(
            FUNCTIONS[name], input_signature=[tf.TensorSpec((1, LENGTH), tf.float32)]
        )
        concrete = function.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], function)
    converter.target_spec.supported_ops = [SETS[dtype]]
    if dtype != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = _samples
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(dtype)
    try:
        return operators(converter.convert())
    except Exception as error:  # it raises many kinds
        said = str(error)
        if "not yet supported" in said or "Flex" in said or "failed" in said:
            return None
        raise


def _samples() -> Iterator[list[Any]]:
    random = np.random.default_rng(0)
    for _ in range(20):
        yield [random.uniform(-6, 6, (1, LENGTH)).astype(np.float32)]


def operators(model: bytes) -> list[tuple[str, bool]]:
    """Return the operators of a model in order, but for QUANTIZE and DEQUANTIZE."""
    from tensorflow.lite.python import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"}
    graph, found = tree.subgraphs[0], []
    for one in graph.operators:
        code = tree.operatorCodes[one.opcodeIndex]
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        fused = FUSED[getattr(one.builtinOptions, "fusedActivationFunction", 0)]
        tensors = [graph.tensors[i].type for i in (*one.inputs, *one.outputs)]
        if name not in AROUND:
            found.append((name + fused, schema.TensorType.FLOAT32 in tensors))
    return found


def expected(name: str, dtype: str) -> list[tuple[str, bool]] | None:
    """Return what ``converted`` returns if embact.tflite.ops is right."""
    written = operators_of(name)
    if written is None:
        return None
    in_float = [
        not all(dtype in OPERATORS[part].converted for part in op.split("+")) for op in written
    ]
    if dtype == "int16" and any(in_float):
        return None
    return list(zip(written, in_float, strict=True))


def main() -> int:
    """Print each function's operators; returns the exit status."""
    wrong = 0
    for name in {**FUNCTIONS, **LAYERS}:
        for dtype in ("float32", *BOTH.split()):
            with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet):  # noqa: PTH123
                found = converted(name, dtype)
            wanted = expected(name, dtype)
            same = found == wanted
            wrong += not same
            shown = "refused" if found is None else " ".join(op + " (float)" * f for op, f in found)
            print(f"{name:16} {dtype:8} {'' if same else 'WRONG '}{shown}", flush=True)
    missing = LOWERED.keys() - FUNCTIONS.keys() - LAYERS.keys()
    print(f"{wrong} not as in embact.tflite.ops; not tried: {', '.join(missing) or 'none'}")
    return int(bool(wrong or missing))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
