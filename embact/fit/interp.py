"""Family ``interp``: evenly spaced knots, straight lines between them, knot values fitted exactly.

    y = clamp((T[i] * 2**k + (T[i+1] - T[i]) * f + offset) >> (k + P)),  p = i * 2**k + f

with p the position of the input in the domain, or its magnitude if folded, and P the fraction bits
of the knot values T. Whether such a table serves is decided exactly, see ``knots``. From int16 to
int16 there are also lines of cells that do not meet, see ``cells``: twice the bytes, but fewer
instructions, on any scale. This module must not know C or costs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.fit.cells import widest_cells
from embact.fit.fold import fold
from embact.fit.knots import Form, cell_count, first_that_serves, hulls, knot_count
from embact.fit.line import FREE
from embact.fit.problem import Candidate
from embact.ir import (
    INT32_MAX,
    INT32_MIN,
    Node,
    Op,
    Table,
    add,
    const,
    lookup,
    mul,
    named,
    saturate,
    shl,
    shr,
    sub,
    x,
)
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from embact.fit.knots import Sides
    from embact.fit.line import Intervals
    from embact.fit.problem import Problem

SPACING_MIN = {8: 1, 16: 4}
"""The least k by input width: an int16 table of more cells is no table for a microcontroller."""

FRACTION_MAX = 6
"""A knot is within 2**-7 code of where it is best; the bits above are room to overshoot."""


LINES_BYTES = 1 << 14
"""Lines of more bytes are no table for a microcontroller; knots of the same bytes serve more."""


def forms(bounds: Intervals, spacing_log2: int, element_bits: int) -> list[Form]:
    """Return the forms to try with elements of that width, the finest first.

    Doubling every value of a table and adding a fraction bit changes nothing, so the most fraction
    bits that the outputs leave room for are the best; one less leaves room to overshoot, and int8
    values that are codes themselves, without fraction bits, leave the most. All nodes fit int32:
    |T| * 2**k <= 2**30, and the difference of two values times f is below 2**31.
    """
    lows, highs = bounds.low[bounds.low != -FREE], bounds.high[bounds.high != FREE]
    ends = [int(lows.max())] if lows.size else []  # every table gives these or goes beyond them
    ends += [int(highs.min())] if highs.size else []
    bottom, top = min(ends, default=0), max(ends, default=0)
    low, high = int(lows.min(initial=bottom)) - 1, int(highs.max(initial=top)) + 1
    k, half = spacing_log2, min(1 << (element_bits - 1), 1 << (30 - spacing_log2))
    finest = (2 * half // (top - bottom + 1)).bit_length() - 1
    found: list[Form] = []
    for bits in range(min(finest, FRACTION_MAX), -1, -1):
        if len(found) == 1 + (finest <= FRACTION_MAX) and (bits or element_bits > 8):
            continue
        centred = -half >> bits <= bottom and top <= (half - 1) >> bits
        base = 0 if centred else (top + bottom + 1) >> 1
        # whole numbers need the half unit to round; knots with more bits have it in them
        offset = (base << (k + bits)) + (0 if bits else 1 << (k - 1))
        if offset - (half << k) >= INT32_MIN and offset + ((half - 1) << k) <= INT32_MAX:
            comfort = (low - base) << bits, ((high + 1 - base) << bits) - 1
            found.append(Form(k, bits, offset, -half, half - 1, comfort))
    return found


@dataclass(frozen=True)
class _Domain:
    """What a table is read with, whole or folded.

    bounds: of the interpolated value, by position. position: its node. unfold: from the
    interpolated value to the result before the clamp.
    """

    folded: bool
    bounds: Intervals
    position: Node
    unfold: Callable[[Node], Node]


def _domain(problem: Problem, *, folded: bool) -> _Domain | None:
    """Return the domain of a problem, or None if it does not fold."""
    if folded:
        half = fold(problem)
        if half is None:
            return None
        return _Domain(folded, half.bounds, half.magnitude, half.unfold)
    position = named(add(x(), const(-problem.spec.input.code_min)), "position")
    return _Domain(folded, problem.bounds(), position, lambda line: line)


def interp(problem: Problem) -> Iterator[Candidate]:
    """Yield the smallest tables for the budget, or those of least error for a number of cells.

    Plain and, if the activation has a symmetry, folded: of each the narrowest elements that serve,
    and wider ones that are better. No table of the same elements and wider cells serves in any of
    its ``forms``. Tables that the limits do not afford are not sought. With ``options.segments`` =
    n, a power of two, the cells are the most up to n that a k gives, and no table of the same
    elements and cells serves with one code less. Nothing is yielded for other n, or where one entry
    for each input takes no more bytes. Without a number and without a fold, lines of the widest
    cells that serve are yielded, too, from int16 to int16.
    """
    number = problem.options.segments
    for folded in (False, True):
        if problem.options.fold in {None, folded}:
            if number is None:
                yield from _smallest(problem, folded=folded)
            elif number & (number - 1) == 0:
                yield from _least_error(problem, number, folded=folded)
    if number is None and problem.options.fold is not True:
        yield from _lines(problem)


def _lines(problem: Problem) -> Iterator[Candidate]:
    """Yield lines of the widest cells within the limits, if there are any; int16 to int16."""
    if (problem.spec.input.bits, problem.spec.output.bits) != (16, 16):
        return
    most = problem.limits.max_bytes
    found = widest_cells(problem.bounds(), LINES_BYTES if most is None else min(most, LINES_BYTES))
    if found is not None:
        parameters = {
            "cells": 1 << found.index_bits,
            "spacing_log2": found.spacing_log2,
            "slope_shift": found.slope_shift,
            "index_bits": found.index_bits,
            "folded": 0,
        }
        yield Candidate(Kernel(found.result, 16, 16), parameters)


def _smallest(problem: Problem, *, folded: bool) -> Iterator[Candidate]:
    """Yield a table for each element width that makes it smaller; int32 only if none other is."""
    domain, full = _domain(problem, folded=folded), _full_table(problem)
    if domain is None:
        return
    size, most = domain.bounds.x.size, problem.limits.max_bytes
    least = full if most is None else min(full, most + 1)
    spacings = [k for k in _spacings(problem, domain) if knot_count(size, k) < least]
    sides = dict(hulls(domain.bounds, spacings))
    narrow = False
    for element_bits in (8, 16, 32):
        if element_bits == 32 and narrow:
            return
        for k in reversed(sides):
            table_bytes = knot_count(size, k) * element_bits // 8
            if table_bytes >= least:
                break
            found = _table(problem, domain, sides[k], k, element_bits)
            if found is not None:
                yield found
                least, narrow = table_bytes, True
                break


def _least_error(problem: Problem, number: int, *, folded: bool) -> Iterator[Candidate]:
    """Yield a table of at most that many cells for each element width that lessens the error."""

    def within(element_bits: int, budget: int) -> Candidate | None:
        limits = dataclasses.replace(problem.limits, max_error=budget)
        domain = _domain(dataclasses.replace(problem, limits=limits), folded=folded)
        if domain is None:
            return None
        for k in _spacings(problem, domain):
            cells, entries = (count(domain.bounds.x.size, k) for count in (cell_count, knot_count))
            if cells <= number < 2 * cells and entries * element_bits // 8 < _full_table(problem):
                ((_, sides),) = hulls(domain.bounds, [k])
                return _table(problem, domain, sides, k, element_bits)
        return None

    most = problem.limits.max_error
    for element_bits in sorted({problem.spec.output.bits, 16, 32}):
        bad, good, best = -1, -1, None
        while best is None and bad < most:  # the least is likely to be small
            good = min(2 * bad + 2, most)
            best = within(element_bits, good)
            bad = good if best is None else bad
        while good - bad > 1:
            middle = (bad + good) // 2
            tried = within(element_bits, middle)
            bad, good, best = (middle, good, best) if tried is None else (bad, middle, tried)
        if best is not None:
            yield best
            most = good - 1


def _spacings(problem: Problem, domain: _Domain) -> range:
    """Return every k to try, the last being that of a single cell."""
    least = SPACING_MIN[problem.spec.input.bits]
    return range(least, (domain.bounds.x.size - 1).bit_length() + 1)


def _full_table(problem: Problem) -> int:
    """Return the bytes of one entry for each input."""
    return problem.spec.output.bits // 8 << problem.spec.input.bits


def _table(
    problem: Problem, domain: _Domain, sides: Sides, spacing_log2: int, element_bits: int
) -> Candidate | None:
    """Return the kernel of the finest form that serves, or None."""
    tried = forms(domain.bounds, spacing_log2, element_bits)
    found = first_that_serves(domain.bounds, sides, tried)
    if found is None:
        return None
    form, values = found
    bits = problem.spec.input.bits, problem.spec.output.bits
    result = domain.unfold(_line(domain, form, values))
    parameters = {
        "cells": len(values) - 1,
        "spacing_log2": form.spacing_log2,
        "fraction_bits": form.fraction_bits,
        "folded": int(domain.folded),
    }
    return Candidate(Kernel(saturate(result, bits[1]), *bits), parameters)


def _line(domain: _Domain, form: Form, values: tuple[int, ...]) -> Node:
    """Return the node of the interpolated value."""
    k = form.spacing_log2
    # a last position that is a knot reads what follows it, and multiplies it by 0
    entries = knot_count(domain.bounds.x.size, k)
    table = Table("knots", (*values, *values[-1:] * (entries - len(values))))
    cell = named(shr(domain.position, k), "cell")
    fraction = Node(Op.AND, (domain.position, const((1 << k) - 1)), name="fraction")
    left = named(lookup(table, cell), "left")
    right = lookup(table, add(cell, const(1)))
    sloped = add(shl(left, k), mul(sub(right, left), fraction))
    return named(shr(add(sloped, const(form.offset)), k + form.fraction_bits), "line")
