"""Family ``shift_pwl``: piecewise linear without a multiplication, and without a table.

    h(v) = (s1 2**k1 v + s2 2**k2 v + .. + offset) >> shift

A slope is a sum of at most 1, 2 or 3 signed powers of two. The number of segments is provably the
least for that, as in ``pwl``. At the shift of the fewest segments the kernel of the fewest compares
and terms is yielded too, by dynamic programming. This module must not know C or costs.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from embact.fit.fold import views
from embact.fit.least import least_error
from embact.fit.line import Form, Intervals, Segment, Strips
from embact.fit.lookup import branching, by_shifting
from embact.fit.pwl import BRANCHES, made
from embact.fit.runs import Run, fewest, lines, longest
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
    options, fewer = problem.options, BRANCHES[problem.spec.input.bits]
    for terms in (options.terms,) if options.terms else (1, 2, 3):
        form = Form(SLOPE_BITS, 0, terms=terms, everywhere=True)
        if options.segments is not None:
            if least := least_error(problem, view, form, options.segments):
                yield _built(problem, least[1], least[0], terms)
            continue
        plan = fewest(view.bounds, form, at_most=fewer)
        if plan is None:
            continue
        fewer = len(plan.runs) - 1
        yield _built(problem, view, _fewest_terms(view.bounds, plan.form, plan.runs), terms)
        if problem.spec.input.bits == 8 and terms > 1 and view.clamp == problem.code_range:
            found = smallest(view.bounds, plan.form)
            yield _built(problem, view, found, terms, least_code=1)


def _by_terms(form: Form) -> list[Form]:
    """Return the forms of 0, 1, .. terms, up to those of a form."""
    most = form.terms or 0
    return [dataclasses.replace(form, terms=terms) for terms in range(most + 1)]


def _fewest_terms(bounds: Intervals, form: Form, found: Sequence[Run]) -> list[Segment]:
    """Return for each run the line with the fewest terms, kept as far from refusal as it can be."""
    segments = []
    forms = _by_terms(form)
    strips = [Strips(bounds, one) for one in forms]
    for run in found:
        for fewer, one in zip(forms, strips, strict=True):
            slope = one.slope(run.start, run.end, run.slope)
            if slope is not None:
                segments += lines(bounds, fewer, [Run(run.start, run.end, slope)])
                break
    return segments


def smallest(bounds: Intervals, form: Form) -> list[Segment]:
    """Return the segments of least total cost, COMPARE and one for each term, for one form.

    Exact: the least cost from an input on never grows with the input, so for each number of terms
    the longest run is the best one. The form must serve every single input.
    """
    size = bounds.x.size
    forms = _by_terms(form)
    strips = [Strips(bounds, one) for one in forms]
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
        segments += lines(bounds, forms[chosen[start]], [Run(start, end, slope)])
        start = end
    return segments


def _built(
    problem: Problem, view: View, found: list[Segment], terms: int, **parameters: int
) -> Candidate:
    total = named(branching(found, view.magnitude, by_shifting), "line")
    h = shr(total, found[0].shift)
    return made(problem, view, h, found, SLOPE_BITS, terms=terms, **parameters)
