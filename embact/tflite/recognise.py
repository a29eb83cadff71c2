"""Which activation of the catalogue a region computes, with its parameters; else its formula.

Parameters are guessed from a few values of the region's function and settled on its constants. A
guess counts if the two real functions agree on every input code and on numbers far beyond. This
module must not know graphs.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.activations import CATALOGUE, Activation
from embact.errors import EmbactError
from embact.expression import parse
from embact.tflite.terms import as_float

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from embact.grid import QuantSpec, Reals
    from embact.tflite.terms import Terms

FAR = 4096.0
"""Where every function with constants of usual size has reached its asymptote."""

RELATIVE = 1e-6
"""Constants are float32, or codes of float32 scales: 6e-8 of each, some of them multiplied."""

ABSOLUTE_CODES = 1e-4
ABSOLUTE = 1e-6
"""Differences that count for nothing, in output codes and as real numbers; the smaller one."""

SETTLED = 4e-6
"""Relative distance of a guess to the constant, or product of constants, that it is taken for."""

MOST_CONSTANTS = 8
"""Constants of which products are tried; no activation has more."""

PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)
NEAR: Reals = np.array(sorted({s * p / d for p in PRIMES for d in (64.0, 5.0) for s in (-1, 1)}))
ENDS: Reals = np.array([-FAR, -FAR / 2, -1.0, 0.0, 1.0, FAR / 2, FAR])
SPREAD: Reals = np.concatenate([ENDS, NEAR, np.linspace(-20.0, 20.0, 641)])
"""Real numbers at which functions are compared, whatever the input codes are; ENDS come first."""


@dataclass(frozen=True)
class Values:
    """What is known of a region's function: its values at SPREAD, and its constants."""

    spread: Reals
    constants: tuple[float, ...]

    def at(self, x: float) -> float:
        """Return the value at one of ENDS."""
        return float(self.spread[int(np.flatnonzero(x == ENDS)[0])])

    def flat(self, end: float) -> bool:
        """Return whether the function is constant and finite from half an end on."""
        return math.isfinite(self.at(end)) and self.at(end) == self.at(end / 2)

    def settled(self, guess: float) -> float:
        """Return the constant, or the product or quotient of two, that a guess is nearest to.

        It is the guess as a float32 if none is near.
        """
        found = min(self._derived, key=lambda one: abs(one - guess), default=math.inf)
        if abs(found - guess) <= SETTLED * abs(guess):
            return found
        return float(str(np.float32(guess)))

    @functools.cached_property
    def _derived(self) -> tuple[float, ...]:
        """The constants, 1, and their products and quotients, of both signs."""
        few = (1.0, *self.constants[:MOST_CONSTANTS])
        products = {a * b for a in few for b in few} | {a / b for a in few for b in few if b}
        return tuple(sorted(products | {-one for one in products}))


Guess = Callable[[Values], "Iterator[tuple[float, ...]]"] if TYPE_CHECKING else Any
"""Values -> parameters in the entry's order."""


def _none(_: Values) -> Iterator[tuple[float, ...]]:
    yield ()


def _one(of: Callable[[Values], float]) -> Guess:
    """Return the guess of a single parameter that a formula in the values gives."""

    def guess(values: Values) -> Iterator[tuple[float, ...]]:
        try:
            found = of(values)
        except (ValueError, ZeroDivisionError, OverflowError):  # the function is another one
            return
        if math.isfinite(found):
            yield (values.settled(found),)

    return guess


def _clipped(values: Values) -> Iterator[tuple[float, ...]]:
    if values.flat(FAR):
        yield (values.settled(values.at(FAR)),)


def _hard_tanh(values: Values) -> Iterator[tuple[float, ...]]:
    if values.flat(-FAR) and values.flat(FAR):
        yield values.settled(values.at(-FAR)), values.settled(values.at(FAR))


def _at_constants(values: Values) -> Iterator[tuple[float, ...]]:
    for constant in dict.fromkeys(abs(one) for one in values.constants):
        yield (constant,)


def _threshold(values: Values) -> Iterator[tuple[float, ...]]:
    below = values.at(-FAR)
    if values.flat(-FAR):
        for constant in dict.fromkeys((*values.constants, 0.0)):
            yield constant, values.settled(below) if below else 0.0


def _log_odds(share: float) -> float:
    return math.log(share / (1.0 - share))


GUESSES: dict[str, Guess] = {
    # without parameters, the more usual one of equal functions first
    **dict.fromkeys(
        (
            *("relu", "relu6", "relu_n1_to_1", "sigmoid", "tanh", "silu", "gelu_tanh", "gelu"),
            *("gelu_sigmoid", "mish", "hard_sigmoid", "hard_sigmoid_02", "hard_sigmoid_05"),
            *("hard_swish", "selu", "log_sigmoid", "softsign", "tanh_shrink", "exp", "sqnl"),
            *("sparse_plus",),
        ),
        _none,
    ),
    "clipped_relu": _clipped,
    "hard_tanh": _hard_tanh,
    "leaky_relu": _one(lambda f: -f.at(-FAR) / FAR),
    "thresholded_relu": _at_constants,
    "threshold": _threshold,
    "sparse_relu": _one(lambda f: FAR - f.at(FAR)),
    "elu": _one(lambda f: -f.at(-FAR)),
    "celu": _one(lambda f: -f.at(-FAR)),
    "softplus": _one(lambda f: math.log(2.0) / f.at(0.0)),
    "swish": _one(lambda f: -_log_odds(-f.at(-1.0))),
    "squareplus": _one(lambda f: (2.0 * f.at(0.0)) ** 2),
    "isru": _one(lambda f: 1.0 / f.at(1.0) ** 2 - 1.0),
    "isrlu": _one(lambda f: 1.0 / f.at(-1.0) ** 2 - 1.0),
    "soft_shrink": _one(lambda f: FAR - f.at(FAR)),
    "hard_shrink": _at_constants,
}
"""How the parameters of an entry are guessed. identity and rrelu are never the name of a region,
apl has no fixed form, and the converter has no operator for erf."""


@functools.cache
def _plain_values(name: str) -> Reals:
    """Return the values of an entry without parameters at SPREAD."""
    with np.errstate(all="ignore"):
        return CATALOGUE[name](SPREAD)


class Recogniser:
    """Finds the activations that terms are; each term is examined once for each quantisation."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._known: dict[int, Any] = {}
        self._values: dict[int, Values] = {}
        self._likely: dict[int, Activation | None] = {}
        self._found: dict[tuple[int, QuantSpec], Activation | None] = {}

    def catalogue(self, term: int, spec: QuantSpec) -> Activation | None:
        """Return the entry, with parameters, that a term is on a grid and elsewhere, or None."""
        if self.terms.kinds[term] != "other":
            return None
        if (term, spec) not in self._found:
            known = self.likely(term)
            if known is not None and not self._agrees(known, term, spec):
                known = None
            self._found[term, spec] = known
        return self._found[term, spec]

    def likely(self, term: int) -> Activation | None:
        """Return the entry that a term is at SPREAD and next to its constants, or None."""
        if term not in self._likely:
            values = self._values_of(term)
            fits = (one for one in _guesses(values) if self._alike(one, term, values))
            self._likely[term] = next(fits, None)
        return self._likely[term]

    def _values_of(self, term: int) -> Values:
        if term not in self._values:
            spread = self.terms.evaluate(term, SPREAD, self._known)
            steps = (self.terms.steps[one] for one in self.terms.needed(term))
            numbers = (as_float(step.value) for step in steps if step.op == "number")
            self._values[term] = Values(spread, tuple(dict.fromkeys(n for n in numbers if n)))
        return self._values[term]

    def _alike(self, known: Activation, term: int, values: Values) -> bool:
        """Return whether an entry has a term's values at SPREAD and around its constants."""
        plain = _plain_values(known.name) if not known.parameters else known(SPREAD)
        if not _near(plain, values.spread, ABSOLUTE):
            return False
        corners = np.array([0.0, *values.constants, *(-one for one in values.constants)])
        sides: Reals = np.concatenate([corners, corners * (1 + 1e-9), corners * (1 - 1e-9)])
        return _near(known(sides), self.terms.evaluate(term, sides), ABSOLUTE)

    def _agrees(self, known: Activation, term: int, spec: QuantSpec) -> bool:
        """Return whether an entry has a term's values on every input code."""
        x = spec.input.real(spec.input.codes())
        return _near(known(x), self.terms.evaluate(term, x), _tolerance(spec))

    def formula(self, term: int, spec: QuantSpec, name: str = "chain") -> Activation | str:
        """Return a term as an activation of its own, or why it is none.

        It is named after the digest of its formula.
        """
        text = self.terms.text(term)
        if text is None:
            return "its formula is too long"
        x = spec.input.real(spec.input.codes())
        bad = np.flatnonzero(~np.isfinite(self.terms.evaluate(term, x)))
        if bad.size:
            return f"its result is not finite where its input is {x[bad[0]]:g}"
        try:
            made = parse(text)
            digest = hashlib.sha256(made.expression.encode()).hexdigest()[:8]
            return parse(text, f"{name}_{digest}")
        except EmbactError as error:
            return str(error)


def _guesses(values: Values) -> Iterator[Activation]:
    for name, guess in GUESSES.items():
        if name in CATALOGUE:
            entry = CATALOGUE[name]
            for settings in guess(values):
                named = dict(zip((one.name for one in entry.parameters), settings, strict=False))
                try:
                    yield entry.set(named)
                except EmbactError:  # outside the parameter's range: it is not this entry
                    continue


def _tolerance(spec: QuantSpec) -> float:
    return min(ABSOLUTE, ABSOLUTE_CODES * spec.output.scale)


def _near(a: Reals, b: Reals, absolute: float) -> bool:
    """Return whether two arrays agree, infinite values included; nan agrees with nothing."""
    with np.errstate(all="ignore"):
        close = np.abs(a - b) <= RELATIVE * np.abs(b) + absolute
    return bool(np.all(close | (a == b)))
