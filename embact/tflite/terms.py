"""Real expressions in x as terms: each is kept once, and is simplified where that is exact.

What is simplified is what cancels or overflows in float64: log(1 + exp(a)) is softplus(a), and
exp(a) - 1 is expm1(a). Terms are steps of ``embact.formula``, so that they can be written as a
formula that means the same. This module must not know operators, graphs or activations.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embact.expression import NUMPY
from embact.formula import MOST_CHARACTERS, MOST_EXPONENT, RATIONAL, Step

if TYPE_CHECKING:
    from embact.grid import Reals

Kind = Literal["constant", "affine", "other"]

ZERO, ONE = Fraction(0), Fraction(1)

DIGITS = 17
"""Decimal digits that a float64 has; longer numbers are written as fractions."""


class Terms:
    """Terms by number. ``steps`` holds each distinct one; its arguments have smaller numbers."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.kinds: list[Kind] = []
        self._numbers: dict[Step, int] = {}
        self._texts: dict[int, tuple[str, int] | None] = {}
        self.x = self._add(Step("x"), "affine")

    def _add(self, step: Step, kind: Kind) -> int:
        if step not in self._numbers:
            self._numbers[step] = len(self.steps)
            self.steps.append(step)
            self.kinds.append(kind)
        return self._numbers[step]

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
            first, last = numbers[0] or ZERO, numbers[-1] or ZERO
            return self.number(RATIONAL[op](first, last))
        simple = self._simplified(op, args, numbers)
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
        step = self.steps[condition]
        if step.op == "less":
            branches = tuple(self.value(arg) for arg in step.args[2:])
            if branches == (1, 0):
                return self.less(*step.args[:2], then, other)
            if branches == (0, 1):
                return self.less(*step.args[:2], other, then)
        return self.less(self.number(0), condition, then, other)

    def _simplified(
        self, op: str, args: tuple[int, ...], numbers: list[Fraction | None]
    ) -> int | None:
        """Return a simpler term of the same value, or None."""
        if op in ("+", "*") and numbers[0] is not None and numbers[1] is None:
            return self.make(op, *args[::-1])  # numbers last
        if numbers[-1] == (1 if op in ("*", "/") else 0) and op in ("+", "-", "*", "/"):
            return args[0]
        step = self.steps[args[0]]
        match op:
            case "*" if args[0] == args[1]:
                return self.power(args[0], Fraction(2))
            case "*":
                return self._gated(*args)
            case "-" if numbers[1] == ONE and step.op == "exp":
                return self.make("expm1", *step.args)
            case "+" if numbers[1] == -ONE and step.op == "exp":
                return self.make("expm1", *step.args)
            case "log" if step.op == "+" and self.value(step.args[1]) == ONE:
                inner = self.steps[step.args[0]]
                if inner.op == "exp":
                    return self.make("softplus", *inner.args)
                return self.make("log1p", step.args[0])
            case "/" if numbers[0] == ONE:
                return self._sigmoid(self.steps[args[1]])
            case "neg" if step.op == "neg":
                return step.args[0]
            case "min" | "max" if numbers[0] is not None and numbers[1] is None:
                return self.make(op, *args[::-1])
        return None

    def _gated(self, a: int, b: int) -> int | None:
        """Return a * b where one of them is 0 or 1 by a comparison: a choice."""
        for gate, other in ((a, b), (b, a)):
            step = self.steps[gate]
            if step.op == "less" and {self.value(arg) for arg in step.args[2:]} == {0, 1}:
                return self.choose(gate, other, self.number(0))
        return None

    def _sigmoid(self, divisor: Step) -> int | None:
        """Return 1 / divisor where the divisor is 1 + exp(-a)."""
        if divisor.op != "+" or self.value(divisor.args[1]) != ONE:
            return None
        inner = self.steps[divisor.args[0]]
        return self.make("sigmoid", self.negated(*inner.args)) if inner.op == "exp" else None

    def negated(self, a: int) -> int:
        """Return -a."""
        return self.make("neg", a)

    def _kind(self, op: str, args: tuple[int, ...]) -> Kind:
        kinds = [self.kinds[arg] for arg in args]
        if all(kind == "constant" for kind in kinds):
            return "constant"
        linear = op in ("+", "-", "neg") or (
            op in ("*", "/") and kinds[1] == "constant" or (op == "*" and kinds[0] == "constant")
        )
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
                    values[term] = self._value(self.steps[term], x, values)
            return np.array(np.broadcast_to(values[root], x.shape), dtype=np.float64)

    def _value(self, step: Step, x: Reals, values: dict[int, Any]) -> Any:
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

    def text(self, root: int) -> str | None:
        """Return a term as a formula, or None if it is longer than a formula may be."""
        for term in self.needed(root):
            if term not in self._texts:
                self._texts[term] = self._written(self.steps[term])
        found = self._texts[root]
        return None if found is None else found[0]

    def _written(self, step: Step) -> tuple[str, int] | None:
        """Return a step's text and how tightly it binds: 1 a sum, 2 a product, 3 a power, 4."""
        parts = [self._texts[arg] for arg in step.args]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None

        def at(place: int, least: int) -> str:
            text, binds = known[place]
            return text if binds >= least else f"({text})"

        match step.op:
            case "number":
                written = number_text(step.value)
            case "x" | "pi" as name:
                written = name, 4
            case "+" | "-" as op:
                written = f"{at(0, 1)} {op} {at(1, 2)}", 1
            case "*" | "/" as op:
                written = f"{at(0, 2)}{op}{at(1, 3)}", 2
            case "neg":
                written = f"-{at(0, 2)}", 1
            case "**":
                written = f"{at(0, 4)}**{_exponent(step.value)}", 3
            case "less":
                a, b, then, other = (at(place, 1) for place in range(4))
                written = f"where({a} < {b}, {then}, {other})", 4
            case "max" if self.value(step.args[1]) == 0:
                written = f"relu({at(0, 1)})", 4
            case op:
                written = f"{op}({', '.join(at(place, 1) for place in range(len(known)))})", 4
        return written if len(written[0]) <= MOST_CHARACTERS else None


def _exponent(value: Fraction) -> str:
    text, binds = number_text(value)
    return text if binds == 4 else f"({text})"


def as_float(value: Fraction) -> float:
    """Return the float64 nearest to a fraction; infinite beyond its range."""
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def number_text(value: Fraction) -> tuple[str, int]:
    """Return a number as a formula has it, and how tightly it binds.

    It is exact where 17 digits are, or a fraction of 17 digits is; else it is the float64.

    >>> number_text(Fraction(1, 6)), number_text(Fraction(-1, 4))
    (('(1/6)', 4), ('-0.25', 1))
    """
    if value < 0:
        return f"-{number_text(-value)[0]}", 1
    top, bottom = value.numerator, value.denominator
    short = repr(as_float(value))
    if Fraction(short) == value:
        plain = Decimal(short)
        text = str(int(plain)) if plain == int(plain) and plain < 10**DIGITS else short
        return text, 4
    if len(str(top)) + len(str(bottom)) <= DIGITS:
        return f"({top}/{bottom})", 4
    return short, 4
