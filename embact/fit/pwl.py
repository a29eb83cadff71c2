"""Family ``pwl``: piecewise linear with free breakpoints and provably the fewest segments.

    h(v) = (slope[i] * v + offset[i]) >> shift,  i = number of breakpoints <= v

v is the input, or its magnitude if the activation has a symmetry. For every shift the greedy pass
is optimal, and every shift that int32 allows is tried, so no kernel of this form and clamp meets
the budget with fewer segments. What a kernel costs grows with the number of segments once its
structure (view, slope width, lookup, spacing of the index) is chosen, so the least of each
structure is yielded, and the search prices them. This module must not know C or costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embact.fit.continuous import continuous
from embact.fit.fold import views
from embact.fit.least import least_error
from embact.fit.line import ALL_SHIFTS, Form, Intervals, Segment, Strips
from embact.fit.lookup import branching, by_multiplying, indexed, piecewise, table_bytes
from embact.fit.problem import Candidate
from embact.fit.runs import Plan, Run, fewest, lines, longest, reach, runs
from embact.fit.squares import least_squares
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embact.fit.fold import View
    from embact.fit.problem import Problem
    from embact.ir import Node

BRANCHES = {8: 128, 16: 64}
"""Most segments whose coefficients are written into a tree of choices, by input bits: what a user
may still want to read, and a search finds in seconds."""

CELLS = 512
"""Most entries of an index table."""

Counts = dict[tuple[bool, int, str], int]
"""The fewest segments by structure: folded, slope bits, common shift or each its own."""


def pwl(problem: Problem) -> Iterator[Candidate]:
    """Yield kernels with the fewest segments for the budget, one for each structure.

    With ``options.segments`` the kernels have that many segments at most and the least error, by
    ``options.minimize``, instead. Slopes have ``options.slope_bits`` bits, offsets 32, and every
    value fits int32. Of two clamps the narrower is there if it saves segments, or with an index
    table if it needs no more; tables that the limits do not afford are not.
    """
    counts: Counts = {}
    for view in views(problem):
        yield from of_view(problem, view, counts)


def of_view(problem: Problem, view: View, counts: Counts | None = None) -> Iterator[Candidate]:
    """Yield the kernels of one view.

    counts: how many segments views by a wider clamp needed; more are of no use. It is brought up
    to date.
    """
    options, counts = problem.options, {} if counts is None else counts
    for slope_bits in (options.slope_bits,) if options.slope_bits else (16, 8):
        if options.continuous:
            if options.segments is None or view.clamp == problem.code_range:
                found = continuous(problem, view, slope_bits)
                yield from _compared(problem, view, slope_bits, found)
        elif options.segments is not None:
            yield from _least(problem, view, slope_bits)
        else:
            if options.shifts != "each":
                yield from _common(problem, view, slope_bits, counts)
            # without tables narrower slopes save nothing
            narrow = options.slope_bits is None and slope_bits == 8
            if options.shifts != "common" and options.lookup != "index" and not narrow:
                yield from _each(problem, view, slope_bits, counts)


def _common(problem: Problem, view: View, slope_bits: int, counts: Counts) -> Iterator[Candidate]:
    """Yield the kernels with one shift for all segments, by each kind of lookup."""
    wanted, kind = problem.options.lookup, (view.folded, slope_bits, "common")
    wider = counts.get(kind, 1 << 16)
    most = wider  # as many free segments may still be fewer that start at cells
    if problem.limits.max_bytes is not None:  # three segments or more have a byte each at least
        most = min(most, max(2, problem.limits.max_bytes))
    plan = fewest(view.bounds, Form(slope_bits, 0), at_most=most)
    if plan is None:
        return
    counts[kind] = len(plan.runs)
    found = lines(view.bounds, plan.form, plan.runs)
    if len(found) < wider and (wanted != "index" or len(found) == 1):
        node = piecewise(found, view.magnitude)
        if problem.affords(table_bytes(node)):
            yield made(problem, view, node, found, slope_bits)
    if wanted != "compare" and len(found) > 1:
        yield from _by_index(problem, view, slope_bits, plan)


def _by_index(problem: Problem, view: View, slope_bits: int, plan: Plan) -> Iterator[Candidate]:
    """Yield the kernels whose segments start where the cells of an index table do.

    plan: the fewest segments of the form without that.
    """
    wanted, size = problem.options.lookup, view.bounds.x.size
    for spacing in range(1, size.bit_length()):
        cells = ((size - 1) >> spacing) + 1
        if not len(plan.runs) <= cells <= CELLS or (wanted is None and cells > size // 4):
            continue
        aligned = _aligned(problem, view.bounds, plan.form, spacing)
        if aligned is None:
            break  # a wider spacing has fewer breakpoints still
        spaced = lines(view.bounds, aligned.form, aligned.runs)
        for direct in (False, True):
            if not direct or cells <= 4 * len(spaced):
                node = indexed(spaced, view.magnitude, spacing, direct=direct)
                if problem.affords(table_bytes(node)):
                    yield made(problem, view, node, spaced, slope_bits, spacing_log2=spacing)


def _aligned(problem: Problem, bounds: Intervals, form: Form, spacing: int) -> Plan | None:
    """Return the fewest runs that start at multiples of 2**spacing.

    For int8 inputs over all shifts; for int16 inputs at one shift, so that a search takes seconds.
    """
    if problem.spec.input.bits == 8:
        return fewest(bounds, form, 1 << spacing)
    found = runs(bounds, form, bounds.x.size, 1 << spacing)
    return Plan(form, found) if found else None


def _each(problem: Problem, view: View, slope_bits: int, counts: Counts) -> Iterator[Candidate]:
    """Yield the kernel with the fewest segments if each has a shift of its own, in a tree."""
    kind = view.folded, slope_bits, "each"
    most = min(BRANCHES[problem.spec.input.bits], counts.get(kind, 1 << 16) - 1)
    if reach(view.bounds, slope_bits, most) is None:
        return
    forms = [Form(slope_bits, shift, everywhere=True) for shift in ALL_SHIFTS]
    strips = [Strips(view.bounds, form) for form in forms]
    slopes = [0] * len(forms)
    found: list[Segment] = []
    start, size, length = 0, view.bounds.x.size, 1
    while start < size:
        ends = []
        for shift, one in enumerate(strips):
            end, slopes[shift] = longest(one, start, length, slopes[shift])
            ends.append(end)
        end = max(ends)
        if end == start or len(found) == most:
            return
        shift = ends.index(end)
        found += lines(view.bounds, forms[shift], [Run(start, end, slopes[shift])])
        start, length = end, end - start
    counts[kind] = len(found)
    node = branching(found, view.magnitude, by_multiplying)
    yield made(problem, view, node, found, slope_bits)


def _least(problem: Problem, view: View, slope_bits: int) -> Iterator[Candidate]:
    """Yield the kernel of at most ``options.segments`` segments with the least error."""
    most = problem.options.segments or 1
    form = Form(slope_bits, 0)
    if problem.options.minimize == "mse":
        found = least_squares(problem, view, form, most)
        yield from _compared(problem, view, slope_bits, found)
    elif least := least_error(problem, view, form, most):
        yield from _compared(problem, least[1], slope_bits, least[0])


def _compared(
    problem: Problem, view: View, slope_bits: int, found: list[Segment] | None
) -> Iterator[Candidate]:
    """Yield the kernel of some segments whose breakpoints are compared, if there are any."""
    if found:
        yield made(problem, view, piecewise(found, view.magnitude), found, slope_bits)


def made(
    problem: Problem,
    view: View,
    h: Node,
    found: list[Segment],
    slope_bits: int,
    **parameters: int,
) -> Candidate:
    """Return the candidate whose h is given, with what was chosen for it."""
    chosen = {"segments": len(found), "slope_bits": slope_bits, **parameters}
    if len({one.shift for one in found}) == 1:
        chosen["shift"] = found[0].shift
    if view.folded:
        chosen["folded"] = 1
    if view.clamp != problem.code_range:
        chosen["clamp_low"], chosen["clamp_high"] = view.clamp
    spec = problem.spec
    kernel = Kernel(view.result(h), spec.input.bits, spec.output.bits)
    return Candidate(kernel, chosen, () if view.folded else tuple(found))
