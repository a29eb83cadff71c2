"""Family ``affine``: rescale and clamp, with one line or two: ReLU and its kin.

The clamp stops at the least and greatest code that the activation takes, so a constant tail needs
no line of its own. Slopes are as wide as int32 arithmetic allows: 24 bits for an int8 input and, by
way of MULH, 32 bits for an int16 one. An activation that two lines cannot follow yields nothing.
This module must not know C or costs.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from embact.fit.line import Form, Intervals, Segment
from embact.fit.lookup import by_segment, piecewise
from embact.fit.problem import Candidate, Limits
from embact.fit.runs import reach, segments
from embact.ir import Node, add, clamp, mulh, named, shl, shr, x
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embact.fit.problem import Problem
    from embact.grid import QuantSpec

LINES = 2
HALF = 16
"""MULH takes x * 2**16, so the product keeps 2**-16 of its unit."""


def affine(problem: Problem) -> Iterator[Candidate]:
    """Yield kernels of at most two lines: an exact one if there is one, one in budget."""
    spec, (low, high) = problem.spec, problem.own_range
    if _hopeless(problem):
        return
    exact = dataclasses.replace(problem, limits=Limits(0), max_error_lsb=None)
    for one in dict.fromkeys((exact, problem)):
        bounds = one.bounds((low, high))
        found, form = _fewest_lines(bounds, spec)
        if found:
            line = piecewise(found, x()) if form.offset_step == 1 else _wide(found)
            kernel = Kernel(clamp(line, low, high), spec.input.bits, spec.output.bits)
            yield Candidate(kernel, {"lines": len(found), "shift": form.shift}, tuple(found))


def _hopeless(problem: Problem) -> bool:
    """Return whether more lines are needed than there may be, even for one code more.

    That code is far more than the coefficients of any form differ from those of the test.
    """
    limits, lsb = problem.limits, problem.max_error_lsb
    looser = dataclasses.replace(limits, max_error=min(limits.max_error + 1, 1 << 16))
    asked = dataclasses.replace(
        problem, limits=looser, max_error_lsb=None if lsb is None else lsb + 1.0
    )
    bounds = asked.bounds(problem.own_range)
    return reach(bounds, 32 - problem.spec.input.bits, LINES) is None


def _fewest_lines(bounds: Intervals, spec: QuantSpec) -> tuple[list[Segment], Form]:
    """Return one line if a form has one, else two, in the cheapest form; no line if none has."""
    for lines in range(1, LINES + 1):
        for form in _forms(spec):
            if found := segments(bounds, form, lines):
                return found, form
    return [], form


def _forms(spec: QuantSpec) -> Iterator[Form]:
    """Yield the forms from the cheapest: plain products first, then MULH for an int16 input."""
    shifts = range(32 - spec.output.bits + 1)
    for shift in shifts:
        yield Form(32 - spec.input.bits, shift)
    if spec.input.bits == HALF:
        for shift in shifts:
            yield Form(32, shift + HALF, 1 << HALF)


def _wide(found: list[Segment]) -> Node:
    """Return ``(mulh(x << 16, slope) + offset / 2**16) >> (shift - 16)``.

    It equals ``(slope * x + offset) >> shift`` because the offset is a multiple of 2**16.
    """
    starts = [s.first for s in found[1:]]
    slope = by_segment(x(), starts, "slope", [s.slope for s in found])
    offset = by_segment(x(), starts, "offset", [s.offset >> HALF for s in found])
    product = mulh(shl(x(), HALF), slope)
    return named(shr(add(product, offset), found[0].shift - HALF), "line")
