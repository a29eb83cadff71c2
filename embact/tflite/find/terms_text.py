"""Terms written as formulas, which ``embact.formula`` reads back as the same expression.

This module must not know operators, graphs or activations.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from embact.formula import MOST_CHARACTERS
from embact.tflite.find.terms import as_float

if TYPE_CHECKING:
    from embact.formula import Step
    from embact.tflite.find.terms import Terms

DIGITS = 17
"""Decimal digits that a float64 has; fractions of more are rounded to it."""

LEAST = Fraction(1, 10**300)
"""The least number, and one over the greatest, that a formula may have."""

SUM, PRODUCT, POWER, ATOM = range(1, 5)

INFIX: dict[str, tuple[str, int, int, int]] = {
    "+": ("{} + {}", SUM, PRODUCT, SUM),
    "-": ("{} - {}", SUM, PRODUCT, SUM),
    "*": ("{}*{}", PRODUCT, POWER, PRODUCT),
    "/": ("{}/{}", PRODUCT, POWER, PRODUCT),
}
"""How an operation is written, how tightly its operands and the whole must bind."""


class Written(NamedTuple):
    """A text, and how tightly it binds."""

    text: str
    binds: int


def text_of(terms: Terms, root: int) -> str | None:
    """Return a term as a formula, or None if it is longer than a formula may be."""
    known: dict[int, Written] = {}
    for term in terms.needed(root):
        step = terms.steps[term]
        known[term] = _written(step, [known[arg] for arg in step.args])
        if len(known[term].text) > MOST_CHARACTERS:
            return None
    return known[root].text


def _at_least(part: Written, binds: int) -> str:
    return part.text if part.binds >= binds else f"({part.text})"


def _written(step: Step, parts: list[Written]) -> Written:
    listed = ", ".join(part.text for part in parts)
    match step.op:
        case "number":
            found = number_text(step.value)
        case "x" | "pi":
            found = Written(step.op, ATOM)
        case "neg":
            found = Written(f"-{_at_least(parts[0], PRODUCT)}", SUM)
        case "**":
            exponent = _at_least(number_text(step.value), ATOM)
            found = Written(f"{_at_least(parts[0], ATOM)}**{exponent}", POWER)
        case "less":
            compared = f"{parts[0].text} < {parts[1].text}"
            found = Written(f"where({compared}, {parts[2].text}, {parts[3].text})", ATOM)
        case "max" if parts[1].text == "0":
            found = Written(f"relu({parts[0].text})", ATOM)
        case op if op in INFIX:
            form, left, right, binds = INFIX[op]
            operands = _at_least(parts[0], left), _at_least(parts[1], right)
            found = Written(form.format(*operands), binds)
        case _:
            found = Written(f"{step.op}({listed})", ATOM)
    return found


def number_text(value: Fraction) -> Written:
    """Return a number as a formula has it.

    It is exact where 17 digits are, or a fraction of 17 digits is; else it is the float64.

    >>> number_text(Fraction(1, 6)).text, number_text(Fraction(-1, 4)).text
    ('(1/6)', '-0.25')
    """
    if value < 0:
        return Written(f"-{number_text(-value).text}", SUM)
    if value and not LEAST <= value <= 1 / LEAST:
        return Written("1e999", ATOM)  # which no formula may have: it is refused
    short = repr(as_float(value))
    if Fraction(short) != value and len(f"{value.numerator}{value.denominator}") <= DIGITS:
        return Written(f"({value.numerator}/{value.denominator})", ATOM)
    return Written(short.removesuffix(".0"), ATOM)
