"""How far a formula's float64 values may be from its real ones: a bound for each of them.

Running error analysis: with |a' - a| <= ea for every operand, each rule bounds what an operation
makes of these errors and adds its own rounding. That of + - * / and sqrt is half a unit in the last
place (IEEE 754); the functions are taken to be good to 16 units, which the tests hold them to. A
bound that is infinite or nan says that nothing is known. This module must not know activations,
grids or how the values are computed.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embact.formula import Step
    from embact.grid import Reals

UNIT = 2.0**-53
"""Relative: what rounding to float64 changes at most."""

FUNCTION = 32 * UNIT
"""Relative: by how much a function's value may be wrong for the argument that it is given."""

TINY = 2.0**-1000
"""What underflow takes from a result at most, with room."""

SLACK = 1 + 2.0**-20
"""The bounds are computed in float64 themselves."""

Rule: TypeAlias = "Callable[[Reals, Sequence[Reals], Sequence[Reals]], Reals]"
"""The result, the operands and their bounds -> the bound of the result, its own rounding left out.
The operands and the result are what float64 gave."""


def error_bounds(steps: Sequence[Step], values: Sequence[Any], x: Reals) -> Reals:
    """Return for each x a bound on |value - real value| of a formula's last step.

    values: the float64 results of all steps at x. x itself is within half a unit of what it stands
    for, and exact if it is 0.
    """
    bounds: list[Reals] = []
    if not x.size:
        return np.zeros_like(x)
    shaped = [np.broadcast_to(np.asarray(one, dtype=np.float64), x.shape) for one in values]
    with np.errstate(all="ignore"):
        for step, value in zip(steps, shaped, strict=True):
            args, errors = ([of[i] for i in step.args] for of in (shaped, bounds))
            bounds.append(_bound(step, value, args, errors))
    return bounds[-1]


def _bound(step: Step, value: Reals, args: Sequence[Reals], errors: Sequence[Reals]) -> Reals:
    match step.op:
        case "number":
            exact = np.isfinite(value.flat[0]) and Fraction(float(value.flat[0])) == step.value
            return np.zeros_like(value) if exact else np.abs(value) * UNIT + TINY
        case "x" | "pi" | "e":
            return np.abs(value) * UNIT
        case "**":
            return _power(float(step.value), value, args[0], errors[0])
        case op if op in EXACT:
            return EXACT[op](value, args, errors)
        case op:
            rounding = UNIT if op in ROUNDED else FUNCTION
            carried = (ROUNDED | SMOOTH)[op](value, args, errors)
            return (carried + rounding * np.abs(value)) * SLACK + TINY


def _power(exponent: float, value: Reals, a: Reals, error: Reals) -> Reals:
    """Return the bound of a ** n: its relative error is exp(|n| log(1 + ea/|a|)) - 1 at most."""
    if not exponent:
        return np.zeros_like(value)
    size = np.abs(a)
    relative = np.expm1(abs(exponent) * error / (size - error))
    inexact = UNIT * abs(exponent) * np.abs(np.log(size))  # of the exponent
    known = np.abs(value) * (relative + inexact + FUNCTION) * SLACK + TINY
    nothing = (a == 0) & (error == 0) & (exponent > 0)
    bound: Reals = np.where(nothing, 0.0, np.where(size > error, known, np.inf))
    return bound


def _less(_: Reals, args: Sequence[Reals], errors: Sequence[Reals]) -> Reals:
    """Return the bound of what is chosen, if the errors cannot turn the comparison."""
    (a, b, *_rest), (ea, eb, then, other) = args, errors
    sure = (np.abs(a - b) * (1 - UNIT) > ea + eb) | ((ea == 0) & (eb == 0))
    return np.where(sure, np.where(a < b, then, other), np.inf)


def _sign(_: Reals, args: Sequence[Reals], errors: Sequence[Reals]) -> Reals:
    (a,), (error,) = args, errors
    return np.where((np.abs(a) > error) | (error == 0), 0.0, np.inf)


def _same(_: Reals, __: Sequence[Reals], errors: Sequence[Reals]) -> Reals:
    return errors[0]


def _larger(_: Reals, __: Sequence[Reals], errors: Sequence[Reals]) -> Reals:
    return np.maximum(*errors)


def _sum(_: Reals, __: Sequence[Reals], errors: Sequence[Reals]) -> Reals:
    return errors[0] + errors[1]


def _product(_: Reals, args: Sequence[Reals], errors: Sequence[Reals]) -> Reals:
    (a, b), (ea, eb) = args, errors
    crossed: Reals = np.abs(a) * eb + np.abs(b) * ea + ea * eb
    return crossed


def _quotient(value: Reals, args: Sequence[Reals], errors: Sequence[Reals]) -> Reals:
    """(a + da)/(b + db) - a/b = (da - a/b db)/(b + db)."""
    (_, b), (ea, eb) = args, errors
    room = np.abs(b) - eb
    return np.where(room > 0, (ea + np.abs(value) * eb) / room, np.inf)


def _root(value: Reals, args: Sequence[Reals], errors: Sequence[Reals]) -> Reals:
    """The square roots of a and a' differ by (a - a') / (sqrt a + sqrt a')."""
    (a,), (error,) = args, errors
    return np.where(error == 0, 0.0, np.where(a > error, error / value, np.inf))


def _lipschitz(most: float) -> Rule:
    """Return the rule of a function whose slope is nowhere steeper than ``most``."""
    return lambda _, __, errors: most * errors[0]


def _growing(more: float) -> Rule:
    """Return the rule where |f'| <= |f| + more, and within e of a at most exp(e) as much."""
    return lambda value, _, errors: (np.abs(value) + more) * np.expm1(errors[0])


def _logarithm(more: float) -> Rule:
    """Return the rule of log(more + a)."""

    def rule(_: Reals, args: Sequence[Reals], errors: Sequence[Reals]) -> Reals:
        room = (args[0] + more) * (1 - UNIT) - errors[0]
        return np.where(room > 0, errors[0] / room, np.inf)

    return rule


def _wave(_: Reals, __: Sequence[Reals], errors: Sequence[Reals]) -> Reals:
    """Return the bound of sin and cos, which is not relative: next to 0 they lose digits."""
    return errors[0] + FUNCTION


def _sigmoid(value: Reals, _: Sequence[Reals], errors: Sequence[Reals]) -> Reals:
    return np.minimum(errors[0] / 4, value * np.expm1(errors[0]))


EXACT: dict[str, Rule] = {
    "neg": _same,
    "abs": _same,
    "min": _larger,
    "max": _larger,
    "less": _less,
    "sign": _sign,
}
"""Operations that round nothing."""

ROUNDED: dict[str, Rule] = {
    "+": _sum,
    "-": _sum,
    "*": _product,
    "/": _quotient,
    "sqrt": _root,
}
"""Operations that IEEE 754 rounds correctly."""

SMOOTH: dict[str, Rule] = {
    "exp": _growing(0.0),
    "expm1": _growing(1.0),
    "sinh": _growing(1.0),
    "cosh": _growing(0.0),
    "sigmoid": _sigmoid,
    "softplus": _lipschitz(1.0),
    "tanh": _lipschitz(1.0),
    "atan": _lipschitz(1.0),
    "sin": _wave,
    "cos": _wave,
    "erf": _lipschitz(1.13),
    "erfc": _lipschitz(1.13),
    "log": _logarithm(0.0),
    "log1p": _logarithm(1.0),
}
"""The functions."""
