"""What TFLite's element-wise operators mean for real numbers, as terms; their rounding left out.

Source: the reference kernels of TFLite, and the schema for fused activations and options. This
module must not know graphs or activations.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from embact.tflite.find.constants import float_number
from embact.tflite.model import names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embact.tflite.find.terms import Terms
    from embact.tflite.model import Tree

Means: TypeAlias = "Callable[[Terms, Sequence[int], Tree], int | None]"
"""Terms, the operands' terms, the operator's options -> the result's term, None if unknown."""

CLAMPS: dict[str, tuple[int, int | None]] = {
    "RELU": (0, None),
    "RELU6": (0, 6),
    "RELU_0_TO_1": (0, 1),
    "RELU_N1_TO_1": (-1, 1),
}
"""The lower and the upper end of the rectifiers, fused or not; None is infinity."""

GELU_CUBIC = Fraction("0.044715")


def _one(op: str) -> Means:
    return lambda terms, args, _: terms.make(op, args[0])


def _two(op: str) -> Means:
    """Return the meaning of a binary operator with a fused activation, if it has one."""

    def mean(terms: Terms, args: Sequence[int], options: Tree) -> int | None:
        result = terms.make(op, args[0], args[1])
        fused = fused_name(options)
        if not fused:
            return result
        if fused == "TANH":
            return terms.make("tanh", result)
        return clamp(terms, result, *CLAMPS[fused]) if fused in CLAMPS else None

    return mean


def fused_name(options: Tree) -> str:
    """Return the name of the activation fused into an operator with these options, or ""."""
    kind = getattr(options, "fusedActivationFunction", 0)
    return names_of("ActivationFunctionType").get(kind, str(kind)) if kind else ""


def clamp(terms: Terms, value: int, low: int, high: int | None) -> int:
    """Return min(high, max(low, value)); without a high end max(low, value)."""
    result = terms.make("max", value, terms.number(low))
    return result if high is None else terms.make("min", result, terms.number(high))


def _clamped(name: str) -> Means:
    return lambda terms, args, _: clamp(terms, args[0], *CLAMPS[name])


def _elu(terms: Terms, args: Sequence[int], _: Tree) -> int:
    below = terms.make("expm1", args[0])
    return terms.less(args[0], terms.number(0), below, args[0])


def _gelu(terms: Terms, args: Sequence[int], options: Tree) -> int | None:
    """Return x/2 erfc(-x/sqrt 2), or x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3))."""
    (x,), two = args, terms.number(2)
    if not getattr(options, "approximate", False):
        scaled = terms.make("/", x, terms.make("sqrt", two))
        half = terms.make("/", x, two)
        return terms.make("*", half, terms.make("erfc", terms.make("neg", scaled)))
    cube = terms.power(x, Fraction(3))
    if cube is None:
        return None
    inner = terms.make("+", x, terms.make("*", cube, terms.number(GELU_CUBIC)))
    root = terms.make("sqrt", terms.make("/", terms.number(8), terms.pi()))
    return terms.make("*", x, terms.make("sigmoid", terms.make("*", inner, root)))


def _hard_swish(terms: Terms, args: Sequence[int], _: Tree) -> int:
    gate = clamp(terms, terms.make("+", args[0], terms.number(3)), 0, 6)
    return terms.make("/", terms.make("*", args[0], gate), terms.number(6))


def _leaky_relu(terms: Terms, args: Sequence[int], options: Tree) -> int | None:
    alpha = float_number(np.float32(getattr(options, "alpha", 0.0)))
    return None if alpha is None else _sloped(terms, args[0], terms.number(alpha))


def _prelu(terms: Terms, args: Sequence[int], _: Tree) -> int | None:
    return _sloped(terms, *args) if terms.value(args[1]) is not None else None


def _sloped(terms: Terms, x: int, alpha: int) -> int:
    return terms.less(x, terms.number(0), terms.make("*", x, alpha), x)


def _power(terms: Terms, args: Sequence[int], _: Tree) -> int | None:
    exponent = terms.value(args[1])
    return None if exponent is None else terms.power(args[0], exponent)


def _rsqrt(terms: Terms, args: Sequence[int], _: Tree) -> int | None:
    return terms.make("/", terms.number(1), terms.make("sqrt", args[0]))


def _squared_difference(terms: Terms, args: Sequence[int], _: Tree) -> int | None:
    return terms.power(terms.make("-", *args), Fraction(2))


def _same(terms: Terms, args: Sequence[int], _: Tree) -> int:
    """Return the operand: what is only quantised, or turned into another type."""
    del terms
    return args[0]


def _equal(terms: Terms, a: int, b: int) -> int:
    one, zero = terms.number(1), terms.number(0)
    return terms.less(a, b, zero, terms.less(b, a, zero, one))


def _negation(terms: Terms, condition: int) -> int:
    return terms.choose(condition, terms.number(0), terms.number(1))


def _compared(rule: Callable[[Terms, int, int], int]) -> Means:
    return lambda terms, args, _: rule(terms, args[0], args[1])


COMPARISONS: dict[str, Means] = {
    "EQUAL": _compared(_equal),
    "GREATER": _compared(lambda terms, a, b: terms.truth(b, a)),
    "GREATER_EQUAL": _compared(lambda terms, a, b: _negation(terms, terms.truth(a, b))),
    "LESS": _compared(lambda terms, a, b: terms.truth(a, b)),
    "LESS_EQUAL": _compared(lambda terms, a, b: _negation(terms, terms.truth(b, a))),
    "NOT_EQUAL": _compared(lambda terms, a, b: _negation(terms, _equal(terms, a, b))),
}
"""Operators on numbers with a bool result, which is 0 or 1."""

LOGICAL: dict[str, Means] = {
    "LOGICAL_AND": _compared(lambda terms, a, b: terms.choose(a, b, terms.number(0))),
    "LOGICAL_NOT": lambda terms, args, _: _negation(terms, args[0]),
    "LOGICAL_OR": _compared(lambda terms, a, b: terms.choose(a, terms.number(1), b)),
}
"""Operators on bools."""

SELECTS: dict[str, Means] = {
    "SELECT": lambda terms, args, _: terms.choose(*args),
    "SELECT_V2": lambda terms, args, _: terms.choose(*args),
}
"""Operators on a bool and two numbers."""

ROUNDED: dict[str, Means] = {"CAST": _same, "DEQUANTIZE": _same, "QUANTIZE": _same}
"""Operators that change a number's type, and no more than its rounding."""

NUMERIC: dict[str, Means] = {
    "ABS": _one("abs"),
    "ADD": _two("+"),
    "COS": _one("cos"),
    "DIV": _two("/"),
    "ELU": _elu,
    "EXP": _one("exp"),
    "GELU": _gelu,
    "HARD_SWISH": _hard_swish,
    "LEAKY_RELU": _leaky_relu,
    "LOG": _one("log"),
    "LOGISTIC": _one("sigmoid"),
    "MAXIMUM": _two("max"),
    "MINIMUM": _two("min"),
    "MUL": _two("*"),
    "NEG": _one("neg"),
    "POW": _power,
    "PRELU": _prelu,
    "RELU": _clamped("RELU"),
    "RELU6": _clamped("RELU6"),
    "RELU_0_TO_1": _clamped("RELU_0_TO_1"),
    "RELU_N1_TO_1": _clamped("RELU_N1_TO_1"),
    "RSQRT": _rsqrt,
    "SIGN": _one("sign"),
    "SIN": _one("sin"),
    "SQRT": _one("sqrt"),
    "SQUARE": lambda terms, args, _: terms.power(args[0], Fraction(2)),
    "SQUARED_DIFFERENCE": _squared_difference,
    "SUB": _two("-"),
    "TANH": _one("tanh"),
}
"""Operators on numbers with a number as the result."""

MEANING: dict[str, Means] = COMPARISONS | LOGICAL | SELECTS | ROUNDED | NUMERIC
"""Every operator whose result at an element depends on its operands at that element alone."""

OPERANDS: dict[str, int] = {
    **dict.fromkeys(
        "ADD DIV MAXIMUM MINIMUM MUL POW PRELU SQUARED_DIFFERENCE SUB".split()  # noqa: SIM905
        + list(COMPARISONS)
        + ["LOGICAL_AND", "LOGICAL_OR"],
        2,
    ),
    **dict.fromkeys(SELECTS, 3),
}
"""How many operands an operator has, where it is not one."""
