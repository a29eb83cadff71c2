"""What TFLite and TFLM have of each activation: facts as data, and what follows from them.

The operators are those that TensorFlow 2.21's converter writes for the Keras 3.15 function of that
name, or else for the formula, with the catalogue's default parameters. What the converter quantises
was seen by converting each with a representative dataset, to int8 and to int16 (with int8 weights).
What TFLM runs is what the prepare and eval of its kernels accept, and which operators its resolver
can add, in tflite-micro of August 2026 (commit 90b983c). This module must not know models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from embact.errors import unknown_name

Dtype = Literal["int8", "int16"]

InTflm = Literal["yes", "in float", "no"]
"""yes: in integers. in float: some operators run in float32, between DEQUANTIZE and QUANTIZE."""


@dataclass(frozen=True)
class Operator:
    """What is known of a builtin operator.

    converted: the dtypes at which the converter writes it in integers. A model for int8 keeps any
    other operator in float32; one for int16 is refused.
    tflm: the dtypes that TFLM's kernel takes; none if its resolver lacks the operator.
    """

    converted: frozenset[str]
    tflm: frozenset[str]


def _operator(converted: str, tflm: str) -> Operator:
    return Operator(frozenset(converted.split()), frozenset(tflm.split()))


BOTH = "int8 int16"
ALL = "float32 int8 int16"
OPERATORS: dict[str, Operator] = {
    "ABS": _operator(BOTH, ALL),
    "ADD": _operator(BOTH, ALL),
    "DIV": _operator("int8", "float32 int8"),
    "ELU": _operator("", "float32 int8"),
    "EXP": _operator(BOTH, "float32"),
    "GELU": _operator(BOTH, ""),
    "GREATER": _operator("int8", ALL),
    "GREATER_EQUAL": _operator("int8", "float32 int8"),
    "HARD_SWISH": _operator("int8", "float32 int8"),
    "LEAKY_RELU": _operator(BOTH, ALL),
    "LESS": _operator("int8", "float32 int8"),
    "LESS_EQUAL": _operator("int8", "float32 int8"),
    "LOG": _operator(BOTH, "float32"),
    "LOGISTIC": _operator(BOTH, ALL),
    "LOG_SOFTMAX": _operator("int8", "float32 int8"),
    "MAXIMUM": _operator(BOTH, ALL),
    "MINIMUM": _operator(BOTH, ALL),
    "MUL": _operator(BOTH, ALL),
    "NEG": _operator("", "float32"),
    "PRELU": _operator("int8", ALL),
    "RELU": _operator(BOTH, ALL),
    "RELU6": _operator(BOTH, ALL),
    "RELU_N1_TO_1": _operator("int8", ""),
    "RSQRT": _operator(BOTH, "float32 int8"),
    "SELECT": _operator("int8", ""),
    "SELECT_V2": _operator("int8", ALL),
    "SOFTMAX": _operator(BOTH, ALL),
    "SPLIT": _operator(BOTH, ALL),
    "SQRT": _operator("int8", "float32"),
    "SQUARE": _operator("", "float32"),
    "SUB": _operator(BOTH, ALL),
    "TANH": _operator(BOTH, ALL),
}
"""The builtin operators that activations are converted to.

SELECT is not SELECT_V2: the converter writes the former where all shapes are equal, and TFLM's
resolver has the latter alone."""

LOWERED: dict[str, str] = {
    "identity": "",
    "relu": "RELU",
    "relu6": "RELU6",
    "relu_n1_to_1": "RELU_N1_TO_1",
    "clipped_relu": "RELU MINIMUM RELU",
    "thresholded_relu": "GREATER SELECT_V2",
    "sparse_relu": "SUB+RELU",
    "leaky_relu": "LEAKY_RELU",
    "rrelu": "LEAKY_RELU",
    "hard_tanh": "RELU_N1_TO_1",
    "hard_sigmoid": "ADD+RELU6 MUL",
    "hard_sigmoid_02": "MUL ADD MINIMUM RELU",
    "hard_sigmoid_05": "MUL ADD MINIMUM RELU",
    "hard_swish": "HARD_SWISH",
    "sigmoid": "LOGISTIC",
    "log_sigmoid": "NEG EXP ADD LOG NEG",
    "tanh": "TANH",
    "elu": "ELU",
    "selu": "GREATER MUL EXP SUB MUL SELECT",
    "celu": "RELU MINIMUM EXP SUB ADD",
    "gelu": "GELU",
    "gelu_tanh": "GELU",
    "gelu_sigmoid": "MUL LOGISTIC MUL",
    "silu": "LOGISTIC MUL",
    "swish": "MUL LOGISTIC MUL",
    "mish": "EXP ADD LOG TANH MUL",
    "softplus": "EXP ADD LOG",
    "squareplus": "SQUARE ADD SQRT ADD MUL",
    "sparse_plus": "LESS LESS_EQUAL ADD MUL MUL SELECT SELECT_V2",
    "softsign": "ABS ADD DIV",
    "sqnl": "MINIMUM MAXIMUM ABS MUL MUL SUB",
    "isru": "MUL ADD RSQRT MUL",
    "isrlu": "GREATER_EQUAL MUL ADD RSQRT MUL SELECT",
    "exp": "EXP",
    "soft_shrink": "GREATER LESS ADD SUB SELECT_V2 SELECT",
    "hard_shrink": "ABS GREATER SELECT_V2",
    "tanh_shrink": "TANH SUB",
    "threshold": "GREATER SELECT_V2",
    "apl": "RELU SUB+RELU MUL ADD",
    "softmax": "SOFTMAX",
    "log_softmax": "LOG_SOFTMAX",
    "prelu": "PRELU",
    "glu": "SPLIT LOGISTIC MUL",
}
"""What the converter writes for a function, in the order it runs; A+B is A with a fused B.

identity leaves nothing. What is not listed has no operators: the converter refuses it (erf), or
nobody has written it in TensorFlow.
"""

NOTES: dict[str, str] = {
    "relu6": "TFLM clamps and does not rescale, so its results are wrong where the scales differ",
    "apl": "SUB+RELU MUL ADD for each hinge",
    "swish": "with beta 1 it is LOGISTIC MUL",
    "elu": "with another alpha it is ELU MUL GREATER SELECT, which TFLM does not run",
    "erf": "the converter refuses it",
    "prelu": "TFLM has int16 with int8 slopes, but the converter refuses int16",
}
"""What the operators, or a yes or no, leave out."""


def operators_of(name: str) -> tuple[str, ...] | None:
    """Return the operators of a function in order, or None if the converter has none for it."""
    return tuple(LOWERED[name].split()) if name in LOWERED else None


def in_tflm(name: str, dtype: Dtype) -> InTflm | None:
    """Return whether TFLM runs what the converter writes; None where it writes nothing at all.

    Raises EmbactError for another dtype.
    """
    if dtype not in BOTH.split():
        raise unknown_name("dtype", dtype, BOTH.split())
    written = operators_of(name)
    if written is None:
        return "no"
    known = [OPERATORS[part] for op in written for part in op.split("+")]
    if not known:
        return None
    in_integers = [dtype in one.converted for one in known]
    if not all(in_integers) and dtype == "int16":
        return "no"  # the converter refuses
    types = [dtype if integer else "float32" for integer in in_integers]
    if not all(type_ in one.tflm for type_, one in zip(types, known, strict=True)):
        return "no"
    return "yes" if all(in_integers) else "in float"
