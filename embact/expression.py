"""User-defined activations: a formula in x over a closed set of functions, or a Python callable.

A formula becomes a short list of steps, never Python code. The same steps are evaluated in float64
and as enclosures: mpmath numbers with a bound on their error, so that cancellation is noticed and
met with more digits. This module must not know grids, kernels or how a thing is approximated.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np

from embact.activations import CATALOGUE, Activation, Symmetry
from embact.errors import EmbactError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from embact.activations import Tail
    from embact.grid import Reals

MOST_CHARACTERS = 500
MOST_STEPS = 200
MOST_NESTED = 40
MOST_EXPONENT = 1000
DEFAULT_NAME = "expr"
MOST_NAME = 40
"""With the prefix and the widths a function's name stays within the 63 characters of C99."""


class Step(NamedTuple):
    """One operation on the results of earlier steps; ``value`` is its number or its exponent."""

    op: str
    args: tuple[int, ...] = ()
    value: Fraction = Fraction(0)


# Reading a formula

ARGUMENTS = {"min": 2, "max": 2, "clip": 3, "where": 3, "relu": 1}
UNARY = (
    *("exp", "expm1", "log", "log1p", "sqrt", "abs", "sign", "sin", "cos", "tanh", "sinh", "cosh"),
    *("atan", "erf", "erfc", "sigmoid", "softplus"),
)
CONSTANTS = ("pi", "e")
NAMES = ("x", *CONSTANTS, *UNARY, *ARGUMENTS)
TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<mark>\*\*|<=|>=|[-+*/(),<>])"
)


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


def _refused(what: str, token: _Token, allowed: str) -> EmbactError:
    got = "the end" if token.kind == "end" else ascii(token.text[:20])
    return EmbactError(
        what, got=got, allowed=allowed, where=f"formula, character {token.position + 1}"
    )


def _tokens(text: str) -> list[_Token]:
    if len(text) > MOST_CHARACTERS:
        raise EmbactError("length of a formula", got=len(text), allowed=f"1..{MOST_CHARACTERS}")
    found, position = [], 0
    while position < len(text):
        if text[position] in " \t\r\n":
            position += 1
            continue
        match = TOKEN.match(text, position)
        if match is None:
            allowed = f"numbers, + - * / ** ( ) , and {', '.join(NAMES)}"
            if text[position] == "^":
                allowed = "** for a power"
            raise _refused("character", _Token("", text[position], position), allowed)
        found.append(_Token(str(match.lastgroup), match.group(), position))
        position = match.end()
    return [*found, _Token("end", "", len(text))]


class _Reader:
    """A recursive-descent parser; ``steps`` maps each distinct step to its number, in order."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.next = 0
        self.nested = 0
        self.steps: dict[Step, int] = {}

    def read(self) -> tuple[Step, ...]:
        """Return the steps of the whole formula, the last one being its result."""
        root = self.sum()
        token = self.token
        if token.text in {"<", "<=", ">", ">="}:
            raise _refused("comparison", token, "one in the first argument of where(a < b, c, d)")
        if token.kind != "end":
            raise _refused("formula goes on", token, "an operator, or the end")
        return _needed(tuple(self.steps), root)

    @property
    def token(self) -> _Token:
        return self.tokens[self.next]

    def take(self, *texts: str) -> _Token | None:
        """Return the next token and go past it, if it is one of these."""
        token = self.token
        if token.kind != "mark" or token.text not in texts:
            return None
        self.next += 1
        return token

    def demand(self, *texts: str) -> str:
        token = self.take(*texts)
        if token is None:
            raise _refused("formula", self.token, " ".join(texts))
        return token.text

    def step(self, op: str, *args: int, value: Fraction = Fraction(0)) -> int:
        """Return the number of a step; an operation on numbers is the number that it gives."""
        numbers = [tuple(self.steps)[arg] for arg in args]
        if op in RATIONAL and all(number.op == "number" for number in numbers):
            a, b = numbers[0].value, numbers[-1].value
            if op != "/" or b:
                op, args, value = "number", (), RATIONAL[op](a, b)
        made = Step(op, args, value)
        if made not in self.steps and len(self.steps) == MOST_STEPS:
            raise EmbactError("operations in a formula", allowed=f"at most {MOST_STEPS}")
        return self.steps.setdefault(made, len(self.steps))

    def sum(self) -> int:
        left = self.product()
        while token := self.take("+", "-"):
            left = self.step(token.text, left, self.product())
        return left

    def product(self) -> int:
        left = self.signed()
        while token := self.take("*", "/"):
            left = self.step(token.text, left, self.signed())
        return left

    def signed(self) -> int:
        negative = False
        while token := self.take("+", "-"):
            negative ^= token.text == "-"
        base = self.atom()
        if power := self.take("**"):
            self.enter(power)
            number = self.signed()
            exponent = tuple(self.steps)[number]
            self.nested -= 1
            if exponent.op != "number" or abs(exponent.value) > MOST_EXPONENT:
                raise _refused(
                    "exponent after",
                    power,
                    f"a number of -{MOST_EXPONENT}..{MOST_EXPONENT}, without x or a power; "
                    "a to the b is exp(b*log(a))",
                )
            base = self.step("**", base, value=exponent.value)
        return self.step("neg", base) if negative else base

    def enter(self, token: _Token) -> None:
        self.nested += 1
        if self.nested > MOST_NESTED:
            raise _refused("nesting", token, f"at most {MOST_NESTED} levels")

    def atom(self) -> int:
        token = self.token
        if token.kind == "number":
            self.next += 1
            return self.step("number", value=_number(token))
        if token.kind == "name":
            self.next += 1
            return self.named(token)
        if self.take("("):
            self.enter(token)
            inner = self.sum()
            self.demand(")")
            self.nested -= 1
            return inner
        raise _refused("formula", token, "a number, x, a function or (")

    def named(self, token: _Token) -> int:
        name = token.text
        where = f"formula, character {token.position + 1}"
        if name not in NAMES:
            raise unknown_name("name", name[:20], NAMES, where=where)
        if name == "x" or name in CONSTANTS:
            return self.step(name)
        self.demand("(")
        self.enter(token)
        compared = None
        args = [self.sum()]
        if name == "where":
            compared = self.demand("<", "<=", ">", ">=")
            args.append(self.sum())
        while self.take(","):
            args.append(self.sum())
        self.demand(")")
        self.nested -= 1
        wanted, got = ARGUMENTS.get(name, 1), len(args) - (name == "where")
        if got != wanted:
            raise EmbactError(f"arguments of {name}", got=got, allowed=str(wanted), where=where)
        return self.call(name, args, compared)

    def call(self, name: str, args: list[int], compared: str | None) -> int:
        match name:
            case "relu":
                return self.step("max", args[0], self.step("number"))
            case "clip":
                return self.step("min", self.step("max", args[0], args[1]), args[2])
            case "where":
                a, b, then, other = args
                if compared in {">", "<="}:  # a > b is b < a
                    a, b = b, a
                if compared in {"<=", ">="}:  # a >= b is not a < b
                    then, other = other, then
                return self.step("less", a, b, then, other)
            case _:
                return self.step(name, *args)


def _needed(steps: tuple[Step, ...], root: int) -> tuple[Step, ...]:
    """Return the steps that one of them needs, in order; that one is the last."""
    needed = {root}
    for number in range(root, -1, -1):
        if number in needed:
            needed.update(steps[number].args)
    places = {number: place for place, number in enumerate(sorted(needed))}
    return tuple(
        steps[number]._replace(args=tuple(places[arg] for arg in steps[number].args))
        for number in places
    )


RATIONAL: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "neg": lambda a, _: -a,
}


def _number(token: _Token) -> Fraction:
    exponent = token.text.lower().partition("e")[2].lstrip("+-").lstrip("0")
    value = Fraction(token.text) if len(exponent) <= 3 else None
    if value is None or (value and not 1e-300 <= value <= 1e300):
        raise _refused("number", token, "0, or 1e-300..1e300")
    return value


# Float64

NUMPY: dict[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "neg": np.negative,
    "less": lambda a, b, then, other: np.where(
        np.isnan(a) | np.isnan(b), np.nan, np.where(a < b, then, other)
    ),
    "min": np.minimum,
    "max": np.maximum,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sign": np.sign,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "atan": np.arctan,
    "erf": lambda a: np.asarray(np.frompyfunc(math.erf, 1, 1)(a), dtype=np.float64),
    "erfc": lambda a: np.asarray(np.frompyfunc(math.erfc, 1, 1)(a), dtype=np.float64),
    "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
    "softplus": lambda a: np.logaddexp(0.0, a),
}


def _as_float(value: Fraction) -> np.float64:
    try:
        return np.float64(value.numerator / value.denominator)
    except OverflowError:
        return np.float64(math.inf if value > 0 else -math.inf)


def _float_step(step: Step, args: list[Any], x: Reals) -> Any:
    match step.op:
        case "x":
            return x
        case "number":
            return _as_float(step.value)
        case "pi":
            return np.float64(math.pi)
        case "e":
            return np.float64(math.e)
        case "**":
            return np.power(args[0], _as_float(step.value))
        case _:
            return NUMPY[step.op](*args)


@dataclass(frozen=True)
class _Values:
    """The steps in float64; where that gives nan, as inf - inf does, the oracle answers."""

    steps: tuple[Step, ...]

    def __call__(self, x: Reals) -> Reals:
        values: list[Any] = []
        with np.errstate(all="ignore"):
            for step in self.steps:
                values.append(_float_step(step, [values[arg] for arg in step.args], x))
        result = np.array(np.broadcast_to(values[-1], x.shape), dtype=np.float64)
        oracle = _Oracle(self.steps)
        for place in np.flatnonzero(np.isnan(result)):
            result.flat[place] = float(oracle(_mp().mpf(float(x.flat[place]))))
        return result


@dataclass(frozen=True)
class _Slopes:
    """Central differences over x +- 2**-18 max(1, |x|)."""

    function: Callable[[Reals], Reals]

    def __call__(self, x: Reals) -> Reals:
        step = 2.0**-18 * np.maximum(1.0, np.abs(x))
        left, right = x - step, x + step
        with np.errstate(all="ignore"):
            slopes: Reals = (self.function(right) - self.function(left)) / (right - left)
        return slopes


# Enclosures

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


def _mp() -> Any:
    import mpmath

    return mpmath.mp


_raw = attrgetter("_mpf_")
"""sign, mantissa, exponent, bit count of an mpmath number; its properties take ten times longer."""


def _magnitude(value: Any) -> int:
    """Return m with 2**(m-1) <= abs(value) < 2**m; for 0 and infinities far below and above."""
    _, mantissa, exponent, count = _raw(value)
    if mantissa:
        return int(exponent + count)
    return LOST // 2 if exponent else EXACT


def _bounded(value: Any, error: int, bits: int) -> Enclosure:
    """Return a value computed at ``bits`` from enclosures that account for ``error``."""
    magnitude = _magnitude(value)
    if magnitude == EXACT and error < EXACT // 2:
        return Enclosure(value, EXACT)
    if magnitude > LIMIT:
        infinite = value if magnitude == LOST // 2 else _mp().sign(value) * _mp().inf
        return Enclosure(infinite, LOST if error > LOST * 3 // 4 else EXACT)
    if EXACT < magnitude < -LIMIT:
        value, error = value * 0, max(error, -LIMIT)
    error = max(error, magnitude - bits + 3) + 1
    return Enclosure(value, LOST if error > 2 * LIMIT else error)


def _sure(a: Enclosure) -> Enclosure:
    """Return the enclosure with 0 for what cannot be told from it, and then with no bound.

    What is LOST is evaluated again with more bits; with the most it is taken to be 0 indeed.
    """
    if EXACT < a.error < LOST and a.error >= _magnitude(a.value) - 4:
        near = a.error >= _magnitude(a.value) - 1
        return Enclosure(a.value * 0 if near else a.value, LOST)
    return a


def _add(bits: int, a: Enclosure, b: Enclosure) -> Enclosure:
    return _bounded(a.value + b.value, max(a.error, b.error) + 1, bits)


def _negative(_: int, a: Enclosure) -> Enclosure:
    return Enclosure(-a.value, a.error)


def _multiply(bits: int, a: Enclosure, b: Enclosure) -> Enclosure:
    crossed = max(_magnitude(a.value) + b.error, _magnitude(b.value) + a.error, a.error + b.error)
    return _bounded(a.value * b.value, crossed + 2, bits)


def _divide(bits: int, a: Enclosure, b: Enclosure) -> Enclosure:
    b = _sure(b)
    if b.value == 0:
        a = _sure(a)
        return Enclosure(_mp().sign(a.value) * _mp().inf, max(a.error, b.error))  # 0 * inf: nan
    size = _magnitude(b.value) - 1
    share = max(_magnitude(a.value) + b.error - 2 * size, a.error - size) + 2
    return _bounded(a.value / b.value, LOST if b.error == LOST else share, bits)


def _power(exponent: Fraction, bits: int, a: Enclosure) -> Enclosure:
    mp, whole = _mp(), exponent.denominator == 1
    if exponent == 0:
        return Enclosure(mp.mpf(1), EXACT)
    a = _sure(a)
    if a.value == 0:
        return Enclosure(a.value if exponent > 0 else mp.inf, a.error)
    if a.value < 0 and not whole:
        return Enclosure(mp.nan, a.error)
    width = abs(exponent.numerator // exponent.denominator).bit_length() + 1
    with mp.workprec(bits + width + 16):  # the logarithm is below 2**14
        power = exponent.numerator if whole else mp.mpf(exponent.numerator) / exponent.denominator
        value = a.value**power
    relative = a.error - _magnitude(a.value) + width + 1
    if relative > -2:
        return Enclosure(value, LOST)
    return _bounded(+value, _magnitude(value) + relative + 2, bits)


def _less(_: int, a: Enclosure, b: Enclosure, then: Enclosure, other: Enclosure) -> Enclosure:
    gap = a.value - b.value if a.value != b.value else _mp().mpf(0)
    error = max(a.error, b.error)
    if error > EXACT and error + 1 >= _magnitude(gap) - 1:
        return Enclosure(other.value, LOST)  # equal, for all that is known
    return then if a.value < b.value else other


def _extreme(sign: int, _: int, a: Enclosure, b: Enclosure) -> Enclosure:
    return Enclosure((a if sign * (a.value - b.value) >= 0 else b).value, max(a.error, b.error))


def _sign(_: int, a: Enclosure) -> Enclosure:
    a = _sure(a)
    return Enclosure(_mp().sign(a.value), LOST if a.error == LOST else EXACT)


def _absolute(_: int, a: Enclosure) -> Enclosure:
    return Enclosure(abs(a.value), a.error)


def _exp(a: Any) -> Any:
    if abs(a) <= EXP_LIMIT:
        return _mp().exp(a)
    return _mp().inf if a > 0 else _mp().mpf(2) ** (-2 * LIMIT)


def _expm1(a: Any) -> Any:
    mp, small = _mp(), -min(_magnitude(a), 0)
    if small > mp.prec:
        return a
    with mp.extraprec(small + 5):
        value = _exp(a) - 1
    return +value


def _log1p(a: Any) -> Any:
    mp, small = _mp(), -min(_magnitude(a), 0)
    if small > mp.prec:
        return a
    with mp.extraprec(small + 5):
        value = mp.log(1 + a)
    return +value


def _erf(a: Any) -> Any:
    return _mp().erf(a) if abs(a) < 110 else _mp().sign(a)


def _erfc(a: Any) -> Any:
    if abs(a) < 110:  # from 106.6 on it is below 2**-16384
        return _mp().erfc(a)
    return _mp().mpf(2) if a < 0 else _mp().mpf(2) ** (-2 * LIMIT)


def _hyperbolic(name: str, a: Any) -> Any:
    if abs(a) <= EXP_LIMIT:
        return getattr(_mp(), name)(a)
    return _mp().inf if name == "cosh" else _mp().sign(a) * _mp().inf


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
    "sin": _Smooth(lambda a: _mp().sin(a), lambda _, __: 0, lambda _: LIMIT),
    "cos": _Smooth(lambda a: _mp().cos(a), lambda _, __: 0, lambda _: LIMIT),
    "tanh": _Smooth(lambda a: _mp().tanh(a), lambda _, __: 0, lambda _: LIMIT),
    "atan": _Smooth(lambda a: _mp().atan(a), lambda _, __: 0, lambda _: LIMIT),
}


def _smooth(rule: _Smooth, bits: int, a: Enclosure) -> Enclosure:
    size = _magnitude(a.value)
    value = rule.function(a.value)
    if a.error > rule.room(size):
        return Enclosure(value, LOST)
    return _bounded(value, a.error + rule.growth(size, _magnitude(value)), bits)


def _log(bits: int, a: Enclosure) -> Enclosure:
    a = _sure(a)
    if a.value < 0:
        return Enclosure(_mp().nan, a.error)
    error = LOST if a.error == LOST else a.error - _magnitude(a.value) + 2
    return _bounded(_mp().log(a.value) if a.value else -_mp().inf, error, bits)


def _log_of_one_more(bits: int, a: Enclosure) -> Enclosure:
    more = _sure(_add(bits, Enclosure(_mp().mpf(1), EXACT), a))
    if more.value <= 0:
        return _log(bits, more)
    error = LOST if more.error == LOST else a.error - _magnitude(more.value) + 2
    return _bounded(_log1p(a.value), error, bits)


def _sqrt(bits: int, a: Enclosure) -> Enclosure:
    a = _sure(a)
    if a.value <= 0:
        return Enclosure(_mp().nan if a.value else a.value, a.error)
    value = _mp().sqrt(a.value)
    return _bounded(value, LOST if a.error == LOST else a.error - _magnitude(value) + 2, bits)


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


def _number_enclosed(value: Fraction, bits: int) -> Enclosure:
    exact = not value.denominator & (value.denominator - 1)
    exact &= value.numerator.bit_length() <= bits
    quotient = _mp().mpf(value.numerator) / value.denominator
    return Enclosure(quotient, EXACT) if exact else _bounded(quotient, EXACT + 1, bits)


def _constant_enclosed(name: str, bits: int) -> Enclosure:
    return _bounded(+getattr(_mp(), name), EXACT, bits)


def _rule(step: Step) -> Callable[..., Enclosure]:
    """Return bits, enclosures of the arguments -> the enclosure of a step other than x."""
    match step.op:
        case "number":
            return partial(_number_enclosed, step.value)
        case "pi" | "e":
            return partial(_constant_enclosed, step.op)
        case "**":
            return partial(_power, step.value)
        case _:
            return ENCLOSED[step.op]


def _nan_among(args: list[Enclosure]) -> Enclosure | None:
    for arg in args:
        if not _raw(arg.value)[1] and arg.value != arg.value:
            return arg
    return None


@dataclass(frozen=True)
class _Oracle:
    """The steps at an mpmath number, good to the working precision of max(|f(x)|, 2**-126).

    Bits are added until the enclosure is that narrow. What some 1600 bits (at 60 digits) cannot
    tell from 0, as an argument of sign, sqrt or log, a divisor or the difference in a comparison,
    is taken to be 0.
    """

    steps: tuple[Step, ...]

    def __call__(self, x: Any) -> Any:
        digits = _mp().prec
        bits, most = digits + 32, min(4 * digits + 800, MOST_BITS)
        while True:
            found = self.enclose(x, bits)
            excess = found.error - max(_magnitude(found.value), FLOOR) + digits
            if excess <= 0 or bits >= most:
                return +found.value
            bits = min(max(bits + excess + 8, 2 * bits) // 64 * 64 + 64, most)

    def enclose(self, x: Any, bits: int) -> Enclosure:
        """Return the enclosure of the formula's value at x, computed with that many bits."""
        with _mp().workprec(bits):
            if bits not in self._constants:
                self._constants[bits] = self._evaluate(None, bits, {})
            return self._evaluate(x, bits, self._constants[bits])[len(self.steps) - 1]

    @cached_property
    def _constants(self) -> dict[int, dict[int, Enclosure]]:
        """By bits, the results of the steps that do not need x."""
        return {}

    @cached_property
    def _rules(self) -> dict[int, Callable[..., Enclosure]]:
        return {n: _rule(step) for n, step in enumerate(self.steps) if step.op != "x"}

    def _evaluate(self, x: Any, bits: int, known: dict[int, Enclosure]) -> dict[int, Enclosure]:
        """Return the results of all steps by number; without an x of those that do not need it."""
        results = dict(known)
        for number, (op, needs, _) in enumerate(self.steps):
            if number in known or (x is None and not (op != "x" and results.keys() >= set(needs))):
                continue
            if op == "x":
                results[number] = Enclosure(x, EXACT)
                continue
            args = [results[need] for need in needs]
            undefined = _nan_among(args[:2] if op == "less" else args)
            results[number] = undefined or self._rules[number](bits, *args)
        return results


# What users call


def _no_asymptotes() -> tuple[Tail | None, Tail | None]:
    return None, None


def check_name(name: str) -> None:
    """Raise EmbactError unless a user's activation may have that name."""
    if name in CATALOGUE:
        raise EmbactError(
            "name of a user's activation", got=repr(name), allowed="one that `embact list` lacks"
        )
    if len(name) > MOST_NAME:
        raise EmbactError(
            "length of an activation's name", got=len(name), allowed=f"1..{MOST_NAME}"
        )


def parse(text: str, name: str = DEFAULT_NAME) -> Activation:
    """Return the activation that a formula in x means.

    Numbers are exact; the operators are ``+ - * / **`` (with a constant exponent) and the functions
    those of NAMES; ``where(a < b, c, d)`` and <=, >, >= choose. What is not real (log(-1), 0/0) is
    nan. The derivative is a central difference, no asymptotes are known, and the formula is kept
    without its spaces. Raises EmbactError, naming the character, for any other text.

    >>> parse("x * tanh(log1p(exp(x)))", "mish2")(np.array([0.0, 20.0]))
    array([ 0., 20.])
    """
    check_name(name)
    reader = _Reader(text)
    steps = reader.read()
    # no valid formula changes its meaning without spaces: two words never meet
    formula = "".join(token.text for token in reader.tokens)
    values = _Values(steps)
    return Activation(
        name,
        formula,
        "user expression",
        values,
        _Slopes(values),
        _Oracle(steps),
        _no_asymptotes,
        tested=False,
        expression=formula,
    )


@dataclass(frozen=True, eq=False)
class _Checked:
    """A user's function, held to its promise: float64 in, real numbers of the same shape out."""

    function: Callable[[Reals], Any]
    name: str

    def __call__(self, x: Reals) -> Reals:
        with np.errstate(all="ignore"):
            result = np.asarray(self.function(x.copy()))
        if result.shape != x.shape:
            raise EmbactError(f"shape of {self.name}(x)", got=result.shape, allowed=str(x.shape))
        if result.dtype.kind not in "fiu":
            raise EmbactError(
                f"dtype of {self.name}(x)", got=result.dtype, allowed="a float or an integer"
            )
        return result.astype(np.float64)


def user_activation(  # noqa: PLR0913 - all but the name may be left out
    function: Callable[[Reals], Any],
    *,
    name: str,
    formula: str = "",
    oracle: Callable[[Any], Any] | None = None,
    derivative: Callable[[Reals], Any] | None = None,
    symmetry: Symmetry = "none",
) -> Activation:
    """Return the activation that a vectorised Python callable computes.

    function, derivative: a float64 array -> real numbers of the same shape; without a derivative it
    is a central difference. oracle: mpmath number -> mpmath number, good to mpmath's working
    precision; with it every input's truth is the oracle's, without it certificates say "float64".
    symmetry: what holds for the function; a wrong one costs a better fit, never a wrong proof.
    Raises EmbactError for a name or a formula that a C header could not hold.
    """
    check_name(name)
    if symmetry not in get_args(Symmetry):
        raise EmbactError("symmetry", got=repr(symmetry), allowed=", ".join(get_args(Symmetry)))
    values = _Checked(function, name)
    return Activation(
        name,
        formula or f"{name}(x), a Python callable",
        "user callable",
        values,
        _Slopes(values)
        if derivative is None
        else _Checked(derivative, f"the derivative of {name}"),
        oracle,
        _no_asymptotes,
        symmetry=symmetry,
        tested=False,
    )
