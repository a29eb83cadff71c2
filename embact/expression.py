"""User-defined activations: a formula in x over a closed set of functions, or a Python callable.

A formula's steps are evaluated in float64 and as enclosures, so that cancellation is noticed
and met with more digits. This module must not know grids, kernels or how a thing is approximated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from embact.activations import CATALOGUE, Activation, Symmetry
from embact.enclosure import (
    ENCLOSED,
    EXACT,
    FLOOR,
    MOST_BITS,
    Enclosure,
    constant,
    magnitude,
    mp,
    number,
    power,
    raw,
)
from embact.errors import EmbactError
from embact.float_error import error_bounds
from embact.formula import Step, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from embact.activations import Tail
    from embact.grid import Reals

DEFAULT_NAME = "expr"
MOST_NAME = 40
"""With the prefix and the widths a function's name stays within the 63 characters of C99."""


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


def _float_values(steps: tuple[Step, ...], x: Reals) -> list[Any]:
    """Return the results of all steps in float64."""
    values: list[Any] = []
    with np.errstate(all="ignore"):
        for step in steps:
            values.append(_float_step(step, [values[arg] for arg in step.args], x))
    return values


@dataclass(frozen=True)
class _Errors:
    """Bounds on the distance of the float64 results from the real ones; inf or nan is no bound."""

    steps: tuple[Step, ...]

    def __call__(self, x: Reals) -> Reals:
        return error_bounds(self.steps, _float_values(self.steps, x), x)


@dataclass(frozen=True)
class _Values:
    """The steps in float64; where that gives nan, as inf - inf does, the oracle answers."""

    steps: tuple[Step, ...]

    def __call__(self, x: Reals) -> Reals:
        last = _float_values(self.steps, x)[-1]
        result = np.array(np.broadcast_to(last, x.shape), dtype=np.float64)
        oracle = _Oracle(self.steps)
        for place in np.flatnonzero(np.isnan(result)):
            result.flat[place] = float(oracle(mp().mpf(float(x.flat[place]))))
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


def _rule(step: Step) -> Callable[..., Enclosure]:
    """Return bits, enclosures of the arguments -> the enclosure of a step other than x."""
    match step.op:
        case "number":
            return partial(number, step.value)
        case "pi" | "e":
            return partial(constant, step.op)
        case "**":
            return partial(power, step.value)
        case _:
            return ENCLOSED[step.op]


def _nan_among(args: list[Enclosure]) -> Enclosure | None:
    for arg in args:
        if not raw(arg.value)[1] and arg.value != arg.value:
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
        digits = mp().prec
        bits, most = digits + 32, min(4 * digits + 800, MOST_BITS)
        while True:
            found = self.enclose(x, bits)
            excess = found.error - max(magnitude(found.value), FLOOR) + digits
            if excess <= 0 or bits >= most:
                return +found.value
            bits = min(max(bits + excess + 8, 2 * bits) // 64 * 64 + 64, most)

    def enclose(self, x: Any, bits: int) -> Enclosure:
        """Return the enclosure of the formula's value at x, computed with that many bits."""
        with mp().workprec(bits):
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
        for place, (op, needs, _) in enumerate(self.steps):
            if place in known or (x is None and not (op != "x" and results.keys() >= set(needs))):
                continue
            if op == "x":
                results[place] = Enclosure(x, EXACT)
                continue
            args = [results[need] for need in needs]
            undefined = _nan_among(args[:2] if op == "less" else args)
            results[place] = undefined or self._rules[place](bits, *args)
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
    formula, steps = read(text)
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
        float_error=_Errors(steps),
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
