"""Which terms float64 evaluates to 1e-12 of their value, by the operations that they are made of.

With few operations of a relative error of 2**-52 each, products, quotients, roots and tanh keep the
relative error of what they are given. exp, expm1, sigmoid and softplus multiply it by at most
their argument, which is below 710 where the result is a normal float64. Sums keep it if nothing in
them is negative. Choices keep it if what is compared is x, or numbers. Where none of this is known
the answer is no. This module must not know operators, graphs or activations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embact.formula import Step
    from embact.tflite.find.terms import Terms

MOST_OPERATIONS = 6
"""710 * 6 * 2**-52 is less than 1e-12."""

GROWS = ("exp", "expm1", "sigmoid", "softplus")
KEEPS = ("*", "/", "neg", "abs", "sqrt", "tanh", "min", "max", *GROWS)
POSITIVE = ("abs", "exp", "sqrt", "sigmoid", "softplus", "pi")


def is_steady(terms: Terms, root: int) -> bool:
    """Return whether float64 is known to be good to 1e-12 of a term's value."""
    steps = [(term, terms.steps[term]) for term in terms.needed(root)]
    if sum(bool(step.args) for _, step in steps) > MOST_OPERATIONS:
        return False
    if sum(step.op in GROWS for _, step in steps) > 1:  # one would multiply the other's error
        return False
    positive: set[int] = set()
    for term, step in steps:
        if not _keeps(terms, step, positive):
            return False
        if _is_positive(step, positive):
            positive.add(term)
    return True


def _keeps(terms: Terms, step: Step, positive: set[int]) -> bool:
    """Return whether an operation keeps the relative error of its arguments."""
    match step.op:
        case "+":
            return positive.issuperset(step.args)
        case "less":
            return all(terms.steps[arg].op in ("x", "number") for arg in step.args[:2])
        case "**":
            return abs(step.value) <= 4
        case op:
            return not step.args or op in KEEPS


def _is_positive(step: Step, positive: set[int]) -> bool:
    """Return whether a term is nowhere negative."""
    match step.op:
        case "number":
            return step.value >= 0
        case "*" | "/" | "+" | "min":
            return positive.issuperset(step.args)
        case "max":
            return not positive.isdisjoint(step.args)
        case "**":
            return step.value % 2 == 0
        case op:
            return op in POSITIVE
