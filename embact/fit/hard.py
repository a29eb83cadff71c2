"""Family ``hard``: one line and a clamp, or the input times that: the hard activations.

    hard-sigmoid, hard-tanh:  y = clamp((a x + b) >> shift, low, high)
    hard-swish:               y = (x' * clamp((a x + b) >> shift, 0, 1)) >> s

with the standard constants, and with those whose error is the least on this grid. This module must
not know costs.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from embact.fit.composed import ROOM, gate_unit, gate_views
from embact.fit.fold import TIGHT, View, plain
from embact.fit.least import least_error
from embact.fit.line import Form, Segment
from embact.fit.lookup import by_multiplying
from embact.fit.problem import Candidate, Limits
from embact.ir import add, clamp, const, mul, named, shr, x
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embact.fit.problem import Problem

STANDARD: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "sigmoid": ((1 / 6, 0.5, 0.0, 1.0), (0.2, 0.5, 0.0, 1.0)),
    "hard_sigmoid": ((1 / 6, 0.5, 0.0, 1.0),),
    "hard_sigmoid_02": ((0.2, 0.5, 0.0, 1.0),),
    "tanh": ((1.0, 0.0, -1.0, 1.0),),
}
"""(slope, intercept, low, high) of the standard hard forms of an activation. Source: relu6(x + 3)/6
of Howard et al. 2019, 0.2 x + 0.5 of Theano and Keras 2, and x clipped to [-1, 1]."""

GATED = ("silu", "gelu", "gelu_tanh", "gelu_sigmoid", "hard_swish")
"""Activations whose standard hard form is x relu6(x + 3)/6, Howard et al. 2019."""

PRODUCT_BITS = 32
"""Slopes are so wide that their products with an input fit: wider than the standard ones."""


def hard(problem: Problem) -> Iterator[Candidate]:
    """Yield the hard forms, whatever their error: parameter ``standard`` 0 is the least error.

    For the second standard form of an activation it is 2.
    """
    views = [plain(problem, TIGHT)]
    if problem.activation.symmetry == "gated":
        views += _any_gate(problem)
    form = Form(PRODUCT_BITS - problem.spec.input.bits, 0)
    for view in views:
        if least := least_error(problem, view, form, 1):
            (line,), tight = least
            yield _built(problem, tight, line, 0)
    for number, constants in enumerate(STANDARD.get(problem.activation.name, ()), 1):
        yield from _line(problem, constants, number)
    if problem.activation.name in GATED:
        yield from _swish(problem)


def _any_gate(problem: Problem) -> list[View]:
    """Return the plain view of the gate for a budget that any gate meets."""
    options = dataclasses.replace(problem.options, fold=False)
    return gate_views(dataclasses.replace(problem, limits=Limits(1 << 16), options=options))


def _line(
    problem: Problem, constants: tuple[float, float, float, float], number: int
) -> Iterator[Candidate]:
    """Yield the line and clamp with given constants; nothing if int32 cannot hold its terms."""
    slope, intercept, low, high = constants
    source, target = problem.spec.input, problem.spec.output
    steep = slope * source.scale / target.scale
    level = intercept / target.scale + target.zero_point
    largest = abs(steep) * (1 << source.bits) + abs(level) + 2.0
    if largest < ROOM:
        shift = min(math.frexp(ROOM / largest)[1] - 1, 30)
        a = round(math.ldexp(steep, shift))
        b = math.floor(math.ldexp(level + 0.5, shift)) - a * source.zero_point
        line = shr(add(mul(x(), const(a)), const(b)), shift)
        ends = (_code(problem, end) for end in (low, high))
        kernel = Kernel(clamp(line, *ends), source.bits, target.bits)
        yield Candidate(kernel, {"standard": number, "shift": shift})


def _code(problem: Problem, real: float) -> int:
    """Return the output code of a real number, clamped."""
    grid = problem.spec.output
    steps = min(max(real / grid.scale, -(2.0**20)), 2.0**20)
    return int(grid.clamp(math.floor(steps + 0.5) + grid.zero_point))


def _swish(problem: Problem) -> Iterator[Candidate]:
    """Yield x relu6(x + 3)/6; nothing if the scales leave the gate no bits."""
    source = problem.spec.input
    for view in _any_gate(problem):
        _, one = gate_unit(problem.spec)
        steep = one * source.scale / 6.0
        largest = steep * (1 << source.bits) + one
        if largest < ROOM:
            shift = min(math.frexp(ROOM / largest)[1] - 1, 30)
            a = round(math.ldexp(steep, shift))
            b = math.floor(math.ldexp(one / 2 + 0.5, shift)) - a * source.zero_point
            codes = source.codes()
            segment = Segment(int(codes[0]), int(codes[-1]), a, b, shift)
            yield _built(problem, view, segment, 1)


def _built(problem: Problem, view: View, line: Segment, standard: int) -> Candidate:
    spec = problem.spec
    h = named(by_multiplying(line, view.magnitude), "line")
    kernel = Kernel(view.result(h), spec.input.bits, spec.output.bits)
    return Candidate(kernel, {"standard": standard, "shift": line.shift})
