"""Real expressions in x as terms: each is kept once, and is simplified where that is exact.

What is simplified is what cancels or overflows in float64: log(1 + exp(a)) is softplus(a), and
exp(a) - 1 is expm1(a). Terms are steps of ``embact.formula``, so that they can be written as a
formula that means the same. This module must not know operators, graphs or activations.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embact.expression import NUMPY
from embact.formula import MOST_EXPONENT, RATIONAL, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from embact.grid import Reals

Kind = Literal["constant", "affine", "other"]

ZERO, ONE = Fraction(0), Fraction(1)


class Terms:
    """Terms by number. ``steps`` holds each distinct one; its arguments have smaller numbers."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.kinds: list[Kind] = []
        self._numbers: dict[tuple[str, tuple[int, ...], int, int], int] = {}
        self.x = self._add(Step("x"), "affine")

    def _add(self, step: Step, kind: Kind) -> int:
        key = (step.op, step.args, step.value.numerator, step.value.denominator)
        if key not in self._numbers:
            self._numbers[key] = len(self.steps)
            self.steps.append(step)
            self.kinds.append(kind)
        return self._numbers[key]

    def number(self, value: Fraction | int) -> int:
        """Return the term of a number."""
        return self._add(Step("number", (), Fraction(value)), "constant")

    def pi(self) -> int:
        """Return the term of pi."""
        return self._add(Step("pi"), "constant")

    def value(self, term: int) -> Fraction | None:
        """Return the number that a term is, or None if it is none."""
        step = self.steps[term]
        return step.value if step.op == "number" else None

    def make(self, op: str, *args: int) -> int:
        """Return the term of an operation of ``embact.formula`` other than **.

        An operation on rational numbers gives the number, as it does in a formula.
        """
        numbers = [self.value(arg) for arg in args]
        if op in RATIONAL and None not in numbers and not (op == "/" and not numbers[1]):
            return self.number(RATIONAL[op](numbers[0] or ZERO, numbers[-1] or ZERO))
        if op in COMMUTATIVE and numbers[0] is not None:  # numbers last
            args, numbers = args[::-1], numbers[::-1]
        if op in NEUTRAL and numbers[1] == NEUTRAL[op]:
            return args[0]
        simple = SIMPLER[op](self, args) if op in SIMPLER else None
        return self._add(Step(op, args), self._kind(op, args)) if simple is None else simple

    def power(self, base: int, exponent: Fraction) -> int | None:
        """Return base ** exponent, or None if the exponent is too large for a formula."""
        if abs(exponent) > MOST_EXPONENT:
            return None
        if exponent == 1:
            return base
        kind: Kind = "constant" if self.kinds[base] == "constant" else "other"
        return self._add(Step("**", (base,), exponent), kind)

    def less(self, a: int, b: int, then: int, other: int) -> int:
        """Return ``then`` where a < b, ``other`` elsewhere."""
        return then if then == other else self.make("less", a, b, then, other)

    def truth(self, a: int, b: int) -> int:
        """Return 1 where a < b, 0 elsewhere."""
        return self.less(a, b, self.number(1), self.number(0))

    def choose(self, condition: int, then: int, other: int) -> int:
        """Return ``then`` where a condition of 0 and 1 is 1, ``other`` where it is 0."""
        chosen = self.truth_values(condition)
        if chosen not in ([1, 0], [0, 1]):
            return self.less(self.number(0), condition, then, other)
        a, b = self.steps[condition].args[:2]
        return self.less(a, b, *((then, other) if chosen[0] == 1 else (other, then)))

    def truth_values(self, term: int) -> list[Fraction | None]:
        """Return the numbers between which a comparison chooses; [] for other terms."""
        step = self.steps[term]
        return [self.value(arg) for arg in step.args[2:]] if step.op == "less" else []

    def _kind(self, op: str, args: tuple[int, ...]) -> Kind:
        kinds = [self.kinds[arg] for arg in args]
        if all(kind == "constant" for kind in kinds):
            return "constant"
        scaled = op in ("*", "/") and kinds[1] == "constant"
        linear = op in ("+", "-", "neg") or scaled or (op == "*" and kinds[0] == "constant")
        return "affine" if linear and "other" not in kinds else "other"

    def needed(self, root: int) -> list[int]:
        """Return the terms that one needs, itself included, in ascending order."""
        found, todo = {root}, [root]
        while todo:
            for arg in self.steps[todo.pop()].args:
                if arg not in found:
                    found.add(arg)
                    todo.append(arg)
        return sorted(found)

    def evaluate(self, root: int, x: Reals, known: dict[int, Any] | None = None) -> Reals:
        """Return a term at every x in float64; what is not real is nan or infinite.

        known: values of terms at the same x, which is added to.
        """
        values = {} if known is None else known
        with np.errstate(all="ignore"):
            for term in self.needed(root):
                if term not in values:
                    values[term] = _value(self.steps[term], x, values)
            return np.array(np.broadcast_to(values[root], x.shape), dtype=np.float64)


def _value(step: Step, x: Reals, values: dict[int, Any]) -> Any:
    match step.op:
        case "x":
            return x
        case "number":
            return np.float64(as_float(step.value))
        case "pi":
            return np.float64(math.pi)
        case "**":
            return np.power(values[step.args[0]], as_float(step.value))
        case op:
            return NUMPY[op](*(values[arg] for arg in step.args))


def as_float(value: Fraction) -> float:
    """Return the float64 nearest to a fraction; infinite beyond its range."""
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return math.inf if value > 0 else -math.inf


# What is simpler

COMMUTATIVE = ("+", "*", "min", "max")

NEUTRAL: dict[str, Fraction] = {"+": ZERO, "-": ZERO, "*": ONE, "/": ONE}
"""The second operand that changes nothing."""


def _sum(terms: Terms, args: tuple[int, ...]) -> int | None:
    """Return exp(a) + -1 as expm1(a)."""
    step = terms.steps[args[0]]
    return terms.make("expm1", *step.args) if _is(terms, step, "exp", args[1], -ONE) else None


def _difference(terms: Terms, args: tuple[int, ...]) -> int | None:
    """Return exp(a) - 1 as expm1(a), and 1 - sigmoid(a) as sigmoid(-a)."""
    step, other = (terms.steps[arg] for arg in args)
    if _is(terms, other, "sigmoid", args[0], ONE):
        return terms.make("sigmoid", terms.make("neg", *other.args))
    return terms.make("expm1", *step.args) if _is(terms, step, "exp", args[1], ONE) else None


def _is(terms: Terms, step: Step, op: str, other: int, number: Fraction) -> bool:
    return step.op == op and terms.value(other) == number


def _product(terms: Terms, args: tuple[int, ...]) -> int | None:
    """Return a * a as a power, and a * b, where one is 0 or 1 by a comparison, as a choice."""
    if args[0] == args[1]:
        return terms.power(args[0], Fraction(2))
    for gate, other in (args, args[::-1]):
        if sorted(one for one in terms.truth_values(gate) if one is not None) == [0, 1]:
            return terms.choose(gate, other, terms.number(0))
    return None


def _quotient(terms: Terms, args: tuple[int, ...]) -> int | None:
    """Return 1/(1 + exp(-a)) as sigmoid(a)."""
    inner = _over_one(terms, args[1]) if terms.value(args[0]) == 1 else None
    if inner is None or terms.steps[inner].op != "exp":
        return None
    return terms.make("sigmoid", terms.make("neg", *terms.steps[inner].args))


def _over_one(terms: Terms, term: int) -> int | None:
    """Return a of a + 1, or None of others."""
    step = terms.steps[term]
    return step.args[0] if step.op == "+" and terms.value(step.args[1]) == 1 else None


def _logarithm(terms: Terms, args: tuple[int, ...]) -> int | None:
    """Return log(1 + exp(a)) as softplus(a), of others log(1 + a) as log1p(a), and log(sigmoid)."""
    if terms.steps[args[0]].op == "sigmoid":
        opposite = terms.make("neg", *terms.steps[args[0]].args)
        return terms.make("neg", terms.make("softplus", opposite))
    inner = _over_one(terms, args[0])
    if inner is None:
        return None
    step = terms.steps[inner]
    return terms.make("softplus", *step.args) if step.op == "exp" else terms.make("log1p", inner)


def _negative(terms: Terms, args: tuple[int, ...]) -> int | None:
    """Return -(-a) as a."""
    step = terms.steps[args[0]]
    return step.args[0] if step.op == "neg" else None


SIMPLER: dict[str, Callable[[Terms, tuple[int, ...]], int | None]] = {
    "+": _sum,
    "-": _difference,
    "*": _product,
    "/": _quotient,
    "log": _logarithm,
    "neg": _negative,
}
"""By operation: its arguments -> the term that is simpler, None if there is none."""
