"""Which activation of the catalogue a region computes, with its parameters; else its formula.

Parameters are guessed from a few values of the region's function and settled on its constants. A
guess counts if the two real functions agree on every input code and on numbers far beyond. This
module must not know graphs.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from embact.activations import CATALOGUE, Activation
from embact.errors import EmbactError
from embact.expression import parse
from embact.tflite.find.terms import as_float
from embact.tflite.find.terms_text import number_text, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from embact.grid import QuantSpec, Reals
    from embact.tflite.find.terms import Terms

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
"""Constants that are tried as parameters; no activation has more."""

PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)
ENDS: Reals = np.array([-FAR, -FAR / 2, -1.0, 0.0, 1.0, FAR / 2, FAR])
PLACES = {float(end): place for place, end in enumerate(ENDS)}
NEAR: Reals = np.array(sorted({s * p / d for p in PRIMES for d in (64.0, 5.0) for s in (-1, 1)}))
SPREAD: Reals = np.concatenate([ENDS, NEAR, np.linspace(-20.0, 20.0, 641)])
"""Real numbers at which functions are compared, whatever the input codes are; ENDS come first."""


@dataclass(frozen=True)
class Values:
    """What is known of a region's function: its values at SPREAD, its constants and operations."""

    spread: Reals
    constants: tuple[float, ...]
    ops: frozenset[str]

    def at(self, x: float) -> float:
        """Return the value at one of ENDS."""
        return float(self.spread[PLACES[x]])

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
        with np.errstate(over="ignore"):
            return float(str(np.float32(guess)))

    @functools.cached_property
    def _derived(self) -> tuple[float, ...]:
        """The constants, 1, and their products and quotients, of both signs."""
        few = (1.0, *self.constants)
        products = {a * b for a in few for b in few} | {a / b for a in few for b in few if b}
        return tuple(sorted(products | {-one for one in products}))


Guess: TypeAlias = "Callable[[Values], Iterator[tuple[float, ...]]]"
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


def _at_constants(below: float) -> Guess:
    """Return the guess of a threshold, if the function is x at FAR and ``below`` at -FAR."""

    def guess(values: Values) -> Iterator[tuple[float, ...]]:
        if values.at(FAR) == FAR and values.at(-FAR) == below:
            for constant in dict.fromkeys(abs(one) for one in values.constants):
                yield (constant,)

    return guess


def _threshold(values: Values) -> Iterator[tuple[float, ...]]:
    below = values.at(-FAR)
    if values.at(FAR) == FAR and values.flat(-FAR):
        for constant in dict.fromkeys((*values.constants, 0.0)):
            yield constant, values.settled(below) if below else 0.0


def _log_odds(share: float) -> float:
    return math.log(share / (1.0 - share))


CORNERS = frozenset(("abs", "less", "max", "min"))
SMOOTH = frozenset(("exp", "expm1", "erf", "erfc", "sigmoid", "softplus", "tanh"))
ROOTS = frozenset(("**", "sqrt"))

GUESSES: dict[str, tuple[frozenset[str], Guess]] = {
    # of equal functions the more usual name first
    **dict.fromkeys(("relu", "relu6", "relu_n1_to_1"), (CORNERS, _none)),
    **dict.fromkeys(("sigmoid", "tanh", "silu", "gelu_tanh", "gelu"), (SMOOTH, _none)),
    **dict.fromkeys(("gelu_sigmoid", "mish", "selu", "log_sigmoid", "exp"), (SMOOTH, _none)),
    **dict.fromkeys(("tanh_shrink",), (SMOOTH, _none)),
    **dict.fromkeys(("hard_sigmoid", "hard_sigmoid_02", "hard_sigmoid_05"), (CORNERS, _none)),
    **dict.fromkeys(("hard_swish", "softsign", "sqnl"), (CORNERS, _none)),
    "clipped_relu": (CORNERS, _clipped),
    "hard_tanh": (CORNERS, _hard_tanh),
    "leaky_relu": (CORNERS, _one(lambda f: -f.at(-FAR) / FAR)),
    "thresholded_relu": (CORNERS, _at_constants(0.0)),
    "threshold": (CORNERS, _threshold),
    "sparse_relu": (CORNERS, _one(lambda f: FAR - f.at(FAR))),
    "soft_shrink": (CORNERS, _one(lambda f: FAR - f.at(FAR))),
    "hard_shrink": (CORNERS, _at_constants(-FAR)),
    "elu": (SMOOTH, _one(lambda f: -f.at(-FAR))),
    "sparse_plus": (ROOTS, _none),
    "celu": (SMOOTH, _one(lambda f: -f.at(-FAR))),
    "softplus": (SMOOTH, _one(lambda f: math.log(2.0) / f.at(0.0))),
    "swish": (SMOOTH, _one(lambda f: -_log_odds(-f.at(-1.0)))),
    "squareplus": (ROOTS, _one(lambda f: (2.0 * f.at(0.0)) ** 2)),
    "isru": (ROOTS, _one(lambda f: 1.0 / f.at(1.0) ** 2 - 1.0)),
    "isrlu": (ROOTS, _one(lambda f: 1.0 / f.at(-1.0) ** 2 - 1.0)),
}
"""By entry, the operations of which a term must have one, and how its parameters are guessed.

identity and rrelu are never the name of a region, apl has no fixed form, and no operator is erf."""


@functools.lru_cache(256)
def _at_spread(known: Activation) -> Reals:
    """Return an activation's values at SPREAD."""
    with np.errstate(all="ignore"):
        return known(SPREAD)


class Recogniser:
    """Finds the activations that terms are; each term is examined once."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._known: dict[int, Any] = {}
        self._likely: dict[int, Activation | None] = {}

    def likely(self, term: int) -> Activation | None:
        """Return the entry that a term is at SPREAD and around its constants, or None.

        Linear functions are none.
        """
        if term not in self._likely:
            found = None
            if self.terms.kinds[term] == "other":
                values = self._values_of(term)
                fits = (one for one in _guesses(values) if self._alike(one, term, values))
                found = next(fits, None)
            self._likely[term] = found
        return self._likely[term]

    def _values_of(self, term: int) -> Values:
        spread = self.terms.evaluate(term, SPREAD, self._known)
        steps = [self.terms.steps[one] for one in self.terms.needed(term)]
        numbers = (as_float(step.value) for step in steps if step.op == "number")
        constants = tuple(
            dict.fromkeys(number for number in numbers if number and math.isfinite(number))
        )
        return Values(spread, constants[:MOST_CONSTANTS], frozenset(step.op for step in steps))

    def _alike(self, known: Activation, term: int, values: Values) -> bool:
        """Return whether an entry has a term's values at SPREAD and around its constants."""
        ends = values.spread[: len(ENDS)]
        if known.parameters and not _near(known(ENDS), ends, ABSOLUTE):  # most end here, soon
            return False
        if not _near(_at_spread(known), values.spread, ABSOLUTE):
            return False
        corners = np.array([0.0, *values.constants, *(-one for one in values.constants)])
        sides: Reals = np.concatenate([corners, corners * (1 + 1e-9), corners * (1 - 1e-9)])
        return _near(known(sides), self.terms.evaluate(term, sides), ABSOLUTE)

    def agrees(self, known: Activation, term: int, spec: QuantSpec) -> bool:
        """Return whether an entry has a term's values on every input code."""
        x = spec.input.real(spec.input.codes())
        absolute = min(ABSOLUTE, ABSOLUTE_CODES * spec.output.scale)
        return _near(known(x), self.terms.evaluate(term, x), absolute)

    def formula(self, term: int, spec: QuantSpec) -> Activation | str:
        """Return a term as an activation of its own, or why it is none.

        It is named after the digest of its formula.
        """
        x = spec.input.real(spec.input.codes())
        bad = np.flatnonzero(~np.isfinite(self.terms.evaluate(term, x)))
        if bad.size:
            return f"its result is not finite where its input is {x[bad[0]]:g}"
        for text in _bent_lines(self._values_of(term)):
            made = _named(text, "keras_relu")
            if self._alike(made, term, self._values_of(term)) and self.agrees(made, term, spec):
                return made
        written = text_of(self.terms, term)
        if written is None:
            return "its formula is too long"
        try:
            return _named(written, "chain")
        except EmbactError as error:
            return str(error)


def _named(text: str, stem: str) -> Activation:
    """Return the activation of a formula, named after its digest."""
    made = parse(text)
    digest = hashlib.sha256(made.expression.encode()).hexdigest()[:8]
    return dataclasses.replace(made, name=f"{stem}_{digest}")


def _bent_lines(values: Values) -> Iterator[str]:
    """Yield what Keras' relu may be with three parameters: slope (x - threshold) up to a threshold.

    Beyond it is x, and no more than max_value.
    """
    slope = values.settled((values.at(-FAR / 2) - values.at(-FAR)) / (FAR / 2))
    top = values.settled(values.at(FAR)) if values.flat(FAR) else None
    if not values.ops & CORNERS or not math.isfinite(slope) or slope == 1:
        return
    above = "x" if top is None else f"min(x, {_said(top)})"
    for threshold in dict.fromkeys((0.0, *values.constants)):
        distance = "x" if not threshold else f"(x - {_said(threshold)})"
        below = f"{_said(slope)}*{distance}" if slope else "0"
        yield f"where(x > {_said(threshold)}, {above}, {below})"


def _said(number: float) -> str:
    return number_text(Fraction(repr(number))).text


def _guesses(values: Values) -> Iterator[Activation]:
    for name, (needs, guess) in GUESSES.items():
        if needs & values.ops:
            entry = CATALOGUE[name]
            for settings in guess(values):
                named = dict(zip((one.name for one in entry.parameters), settings, strict=False))
                try:
                    yield entry.set(named) if named else entry
                except EmbactError:  # outside the parameter's range: it is not this entry
                    continue


def _near(a: Reals, b: Reals, absolute: float) -> bool:
    """Return whether two arrays agree, infinite values included; nan agrees with nothing."""
    with np.errstate(all="ignore"):
        close = np.isfinite(b) & (np.abs(a - b) <= RELATIVE * np.abs(b) + absolute)
    return bool(np.all(close | (a == b)))
