"""Real numbers known to within a power of two: every operation bounds its own rounding.

Sources of the bounds are the derivatives, stated at SMOOTH. This module must not know formulas.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

LIMIT = 1 << 14
"""A magnitude from 2**16384 on is infinite and one below 2**-16384 is 0, as in a quadruple float;
so no chain of exponentials and no sine of a vast number takes time or memory."""
EXP_LIMIT = 11356
"""The exponential of it is below 2**16384."""
FLOOR = -126
"""The smallest scale is 2**-126: digits far below it decide nothing."""
MOST_BITS = 4096
EXACT = -(1 << 40)
LOST = 1 << 40


class Enclosure(NamedTuple):
    """A real number within ``2**error`` of ``value``: EXACT is no error, LOST is no bound."""

    value: Any
    error: int


def mp() -> Any:
    """Return mpmath's context, imported when it is first needed."""
    import mpmath

    return mpmath.mp


raw = attrgetter("_mpf_")
"""sign, mantissa, exponent, bit count of an mpmath number; its properties take ten times longer."""


def magnitude(value: Any) -> int:
    """Return m with 2**(m-1) <= abs(value) < 2**m; for 0 and infinities far below and above."""
    _, mantissa, exponent, count = raw(value)
    if mantissa:
        return int(exponent + count)
    return LOST // 2 if exponent else EXACT


def _bounded(value: Any, error: int, bits: int) -> Enclosure:
    """Return a value computed at ``bits`` from enclosures that account for ``error``."""
    size = magnitude(value)
    if size == EXACT and error < EXACT // 2:
        return Enclosure(value, EXACT)
    if size > LIMIT:
        infinite = value if size == LOST // 2 else mp().sign(value) * mp().inf
        return Enclosure(infinite, LOST if error > LOST * 3 // 4 else EXACT)
    if EXACT < size < -LIMIT:
        value, error = value * 0, max(error, -LIMIT)
    error = max(error, size - bits + 3) + 1
    return Enclosure(value, LOST if error > 2 * LIMIT else error)


def _sure(a: Enclosure) -> Enclosure:
    """Return the enclosure with 0 for what cannot be told from it, and then with no bound.

    What is LOST is evaluated again with more bits; with the most it is taken to be 0 indeed.
    """
    if EXACT < a.error < LOST and a.error >= magnitude(a.value) - 4:
        near = a.error >= magnitude(a.value) - 1
        return Enclosure(a.value * 0 if near else a.value, LOST)
    return a


def _add(bits: int, a: Enclosure, b: Enclosure) -> Enclosure:
    return _bounded(a.value + b.value, max(a.error, b.error) + 1, bits)


def _negative(_: int, a: Enclosure) -> Enclosure:
    return Enclosure(-a.value, a.error)


def _multiply(bits: int, a: Enclosure, b: Enclosure) -> Enclosure:
    crossed = max(magnitude(a.value) + b.error, magnitude(b.value) + a.error, a.error + b.error)
    return _bounded(a.value * b.value, crossed + 2, bits)


def _divide(bits: int, a: Enclosure, b: Enclosure) -> Enclosure:
    b = _sure(b)
    if b.value == 0:
        a = _sure(a)
        return Enclosure(mp().sign(a.value) * mp().inf, max(a.error, b.error))  # 0 * inf: nan
    size = magnitude(b.value) - 1
    share = max(magnitude(a.value) + b.error - 2 * size, a.error - size) + 2
    return _bounded(a.value / b.value, LOST if b.error == LOST else share, bits)


def power(exponent: Fraction, bits: int, a: Enclosure) -> Enclosure:
    """Return a power with a constant exponent."""
    context, whole = mp(), exponent.denominator == 1
    if exponent == 0:
        return Enclosure(context.mpf(1), EXACT)
    a = _sure(a)
    if a.value == 0:
        return Enclosure(a.value if exponent > 0 else context.inf, a.error)
    if a.value < 0 and not whole:
        return Enclosure(context.nan, a.error)
    width = abs(exponent.numerator // exponent.denominator).bit_length() + 1
    with context.workprec(bits + width + 16):  # the logarithm is below 2**14
        index = (
            exponent.numerator if whole else context.mpf(exponent.numerator) / exponent.denominator
        )
        value = a.value**index
    relative = a.error - magnitude(a.value) + width + 1
    if relative > -2:
        return Enclosure(value, LOST)
    return _bounded(+value, magnitude(value) + relative + 2, bits)


def _less(_: int, a: Enclosure, b: Enclosure, then: Enclosure, other: Enclosure) -> Enclosure:
    gap = a.value - b.value if a.value != b.value else mp().mpf(0)
    error = max(a.error, b.error)
    if error > EXACT and error + 1 >= magnitude(gap) - 1:
        return Enclosure(other.value, LOST)  # equal, for all that is known
    return then if a.value < b.value else other


def _extreme(sign: int, _: int, a: Enclosure, b: Enclosure) -> Enclosure:
    return Enclosure((a if sign * (a.value - b.value) >= 0 else b).value, max(a.error, b.error))


def _sign(_: int, a: Enclosure) -> Enclosure:
    a = _sure(a)
    return Enclosure(mp().sign(a.value), LOST if a.error == LOST else EXACT)


def _absolute(_: int, a: Enclosure) -> Enclosure:
    return Enclosure(abs(a.value), a.error)


def _exp(a: Any) -> Any:
    if abs(a) <= EXP_LIMIT:
        return mp().exp(a)
    return mp().inf if a > 0 else mp().mpf(2) ** (-2 * LIMIT)


def _expm1(a: Any) -> Any:
    context, small = mp(), -min(magnitude(a), 0)
    if small > context.prec:
        return a
    with context.extraprec(small + 5):
        value = _exp(a) - 1
    return +value


def _log1p(a: Any) -> Any:
    context, small = mp(), -min(magnitude(a), 0)
    if small > context.prec:
        return a
    with context.extraprec(small + 5):
        value = context.log(1 + a)
    return +value


def _erf(a: Any) -> Any:
    return mp().erf(a) if abs(a) < 110 else mp().sign(a)


def _erfc(a: Any) -> Any:
    if abs(a) < 110:  # from 106.6 on it is below 2**-16384
        return mp().erfc(a)
    return mp().mpf(2) if a < 0 else mp().mpf(2) ** (-2 * LIMIT)


def _hyperbolic(name: str, a: Any) -> Any:
    if abs(a) <= EXP_LIMIT:
        return getattr(mp(), name)(a)
    return mp().inf if name == "cosh" else mp().sign(a) * mp().inf


def _sigmoid(a: Any) -> Any:
    small = _exp(-abs(a))
    return (small if a < 0 else 1) / (1 + small)


def _softplus(a: Any) -> Any:
    return max(a, 0) + _log1p(_exp(-abs(a)))


class _Smooth(NamedTuple):
    """A function with a bound 2**growth on its derivative, where the argument's error <= room."""

    function: Callable[[Any], Any]
    growth: Callable[[int, int], int]
    room: Callable[[int], int] = lambda _: -2


# growth and room are functions of the magnitudes: of the argument, and of the result. The bounds:
# exp' = exp; expm1', sinh', cosh' <= |f| + 1; sigmoid', softplus' <= f; erf' < 2; and for
# arguments > 0 erfc' <= erfc (2 a + 2), which no error within the room changes by more than twice.
SMOOTH: dict[str, _Smooth] = {
    "exp": _Smooth(_exp, lambda _, f: f + 1),
    "expm1": _Smooth(_expm1, lambda _, f: max(f, 0) + 2),
    "sinh": _Smooth(partial(_hyperbolic, "sinh"), lambda _, f: max(f, 0) + 2),
    "cosh": _Smooth(partial(_hyperbolic, "cosh"), lambda _, f: f + 2),
    "sigmoid": _Smooth(_sigmoid, lambda _, f: f + 1),
    "softplus": _Smooth(_softplus, lambda _, f: f + 1),
    "erfc": _Smooth(_erfc, lambda a, f: f + max(a, 0) + 3, lambda a: -max(a, 0) - 5),
    "erf": _Smooth(_erf, lambda _, __: 1, lambda _: LIMIT),
    "sin": _Smooth(lambda a: mp().sin(a), lambda _, __: 0, lambda _: LIMIT),
    "cos": _Smooth(lambda a: mp().cos(a), lambda _, __: 0, lambda _: LIMIT),
    "tanh": _Smooth(lambda a: mp().tanh(a), lambda _, __: 0, lambda _: LIMIT),
    "atan": _Smooth(lambda a: mp().atan(a), lambda _, __: 0, lambda _: LIMIT),
}


def _smooth(rule: _Smooth, bits: int, a: Enclosure) -> Enclosure:
    size = magnitude(a.value)
    value = rule.function(a.value)
    if a.error > rule.room(size):
        return Enclosure(value, LOST)
    return _bounded(value, a.error + rule.growth(size, magnitude(value)), bits)


def _log(bits: int, a: Enclosure) -> Enclosure:
    a = _sure(a)
    if a.value < 0:
        return Enclosure(mp().nan, a.error)
    error = LOST if a.error == LOST else a.error - magnitude(a.value) + 2
    return _bounded(mp().log(a.value) if a.value else -mp().inf, error, bits)


def _log_of_one_more(bits: int, a: Enclosure) -> Enclosure:
    more = _sure(_add(bits, Enclosure(mp().mpf(1), EXACT), a))
    if more.value <= 0:
        return _log(bits, more)
    error = LOST if more.error == LOST else a.error - magnitude(more.value) + 2
    return _bounded(_log1p(a.value), error, bits)


def _sqrt(bits: int, a: Enclosure) -> Enclosure:
    a = _sure(a)
    if a.value <= 0:
        return Enclosure(mp().nan if a.value else a.value, a.error)
    value = mp().sqrt(a.value)
    return _bounded(value, LOST if a.error == LOST else a.error - magnitude(value) + 2, bits)


ENCLOSED: dict[str, Callable[..., Enclosure]] = {
    "+": _add,
    "-": lambda bits, a, b: _add(bits, a, Enclosure(-b.value, b.error)),
    "*": _multiply,
    "/": _divide,
    "neg": _negative,
    "less": _less,
    "min": partial(_extreme, -1),
    "max": partial(_extreme, 1),
    "abs": _absolute,
    "sign": _sign,
    "log": _log,
    "log1p": _log_of_one_more,
    "sqrt": _sqrt,
    **{name: partial(_smooth, rule) for name, rule in SMOOTH.items()},
}


def number(value: Fraction, bits: int) -> Enclosure:
    """Return a rational number."""
    exact = not value.denominator & (value.denominator - 1)
    exact &= value.numerator.bit_length() <= bits
    quotient = mp().mpf(value.numerator) / value.denominator
    return Enclosure(quotient, EXACT) if exact else _bounded(quotient, EXACT + 1, bits)


def constant(name: str, bits: int) -> Enclosure:
    """Return pi or e."""
    return _bounded(+getattr(mp(), name), EXACT, bits)
