"""Family ``shift_pwl``: piecewise linear without a multiplication, and without a table.

    h(v) = (s1 2**k1 v + s2 2**k2 v + .. + offset) >> shift

A slope is a sum of at most 1, 2 or 3 signed powers of two. The number of segments is provably the
least for that, as in ``pwl``; of the kernels with one shift, the one whose code is the smallest is
yielded too, by dynamic programming. This module must not know C or costs.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from embact.fit.fold import views
from embact.fit.least import least_error
from embact.fit.line import Form, Intervals, Run, Segment, Strips, lines, longest
from embact.fit.lookup import branching, by_shifting
from embact.fit.pwl import BRANCHES, fewest, made
from embact.ir import Op, const, named, shr
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from embact.fit.fold import View
    from embact.fit.problem import Candidate, Problem

SLOPE_BITS = 16
"""Powers of two up to 2**15: the product with any int16 fits int32."""

COMPARE = 2
"""What a further segment adds to a kernel's code, in shifts and adds, besides its own."""


def shift_pwl(problem: Problem) -> Iterator[Candidate]:
    """Yield kernels of the fewest segments whose slopes have at most ``options.terms`` terms.

    By default 1, 2 and 3 are tried, where more terms save segments. With ``options.segments`` the
    kernels have that many segments at most and the least max_error_lsb instead.
    """
    for view in views(problem):
        if not _multiplies(problem, view):
            yield from of_view(problem, view)


def _multiplies(problem: Problem, view: View) -> bool:
    """Return whether a view needs a multiplication, whatever h is."""
    spec = problem.spec
    kernel = Kernel(view.result(const(0)), spec.input.bits, spec.output.bits)
    return any(node.op is Op.MUL for node in kernel.nodes)


def of_view(problem: Problem, view: View) -> Iterator[Candidate]:
    """Yield the kernels of one view."""
    options, fewer = problem.options, BRANCHES
    for terms in (options.terms,) if options.terms else (1, 2, 3):
        if options.segments is not None:
            if found := least_error(problem, view, SLOPE_BITS, options.segments, terms):
                yield _built(problem, view, found, terms)
            continue
        plan = fewest(view.bounds, SLOPE_BITS, terms, at_most=fewer)
        if plan is None:
            continue
        fewer = len(plan.runs) - 1
        yield _built(problem, view, _fewest_terms(view.bounds, plan.form, plan.runs), terms)
        if problem.spec.input.bits == 8 and terms > 1:
            found = smallest(view.bounds, plan.form)
            yield _built(problem, view, found, terms, least_code=1)


def _fewest_terms(bounds: Intervals, form: Form, found: Sequence[Run]) -> list[Segment]:
    """Return for each run the line with the fewest terms, kept as far from refusal as it can be."""
    segments = []
    strips = [_strips(bounds, form, terms) for terms in range(form.terms + 1)]
    for run in found:
        for terms, one in enumerate(strips):
            slope = one.slope(run.start, run.end, run.slope)
            if slope is not None:
                segments.append(_line(bounds, form, terms, Run(run.start, run.end, slope)))
                break
    return segments


def smallest(bounds: Intervals, form: Form) -> list[Segment]:
    """Return the segments of least total cost, COMPARE and one for each term, for one form.

    Exact: the least cost from an input on never grows with the input, so for each number of terms
    the longest run is the best one. Raises nothing: the form must serve every single input.
    """
    size = bounds.x.size
    strips = [_strips(bounds, form, terms) for terms in range(form.terms + 1)]
    reach = [(0, 0)] * len(strips)  # (end, slope) from the input after
    reached = []
    for start in range(size):
        for terms, one in enumerate(strips):
            guess = max(1, reach[terms][0] - start)
            reach[terms] = longest(one, start, guess, reach[terms][1], 1)
        reached.append(list(reach))
    cost, chosen = [0] * (size + 1), [0] * size
    for start in range(size - 1, -1, -1):
        prices = {
            terms: COMPARE + terms + cost[end]
            for terms, (end, _) in enumerate(reached[start])
            if end > start
        }
        chosen[start] = min(prices, key=lambda terms: (prices[terms], terms))
        cost[start] = prices[chosen[start]]
    segments, start = [], 0
    while start < size:
        end, slope = reached[start][chosen[start]]
        segments.append(_line(bounds, form, chosen[start], Run(start, end, slope)))
        start = end
    return segments


def _with_terms(bounds: Intervals, form: Form, terms: int) -> tuple[Intervals, Form]:
    """Return intervals and form for at most so many terms: for none every input counts as 0."""
    if terms:
        return bounds, dataclasses.replace(form, terms=terms)
    return dataclasses.replace(bounds, x=np.zeros_like(bounds.x)), form


def _strips(bounds: Intervals, form: Form, terms: int) -> Strips:
    return Strips(*_with_terms(bounds, form, terms))


def _line(bounds: Intervals, form: Form, terms: int, run: Run) -> Segment:
    """Return the line of a run with at most so many terms."""
    (line,) = lines(*_with_terms(bounds, form, terms), [run])
    first, last = int(bounds.x[run.start]), int(bounds.x[run.end - 1])
    return dataclasses.replace(line, first=first, last=last, slope=line.slope if terms else 0)


def _built(
    problem: Problem, view: View, found: list[Segment], terms: int, **parameters: int
) -> Candidate:
    total = named(branching(found, view.magnitude, by_shifting), "line")
    h = shr(total, found[0].shift)
    return made(problem, view, h, found, SLOPE_BITS, terms=terms, **parameters)
