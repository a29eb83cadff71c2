"""From segments to nodes: which segment an input is in, and the line that it gives.

    y = (slope[i] * v + offset[i]) >> shift

The segment is found by comparing breakpoints, or, if breakpoints are multiples of a power of two,
by an index table; or the coefficients stand in the leaves of a tree of choices, which needs no
table. This module must not know how segments are found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embact.ir import (
    Node,
    Table,
    add,
    const,
    lookup,
    mul,
    named,
    search_tree,
    select_less,
    shl,
    shr,
    sub,
    topological,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embact.fit.line import Segment


def table_bytes(node: Node) -> int:
    """Return how many bytes of tables a kernel of that expression has, before it is built.

    A kernel merges equal tables and drops those of one value only, as is done here; it has less
    where what it reads from a table equals another of its nodes.
    """
    tables = {one.table.values: one.table for one in topological(node) if one.table is not None}
    return sum(table.bytes for table in tables.values() if len(set(table.values)) > 1)


def piecewise(found: Sequence[Segment], variable: Node) -> Node:
    """Return the line of each input's segment, which is found by comparing breakpoints."""
    starts = [s.first for s in found[1:]]
    slope = by_segment(variable, starts, "slope", [s.slope for s in found])
    offset = by_segment(variable, starts, "offset", [s.offset for s in found])
    return _line(slope, offset, variable, found[0].shift)


def by_segment(variable: Node, starts: list[int], name: str, values: list[int]) -> Node:
    """Return the node that gives each input the value of its segment."""
    if len(values) == 2:  # a choice of two constants is cheaper than a table of two
        return named(
            select_less(variable, const(starts[0]), const(values[0]), const(values[1])), name
        )
    index = named(search_tree(variable, starts), "segment")
    return named(lookup(Table(f"{name}s", tuple(values)), index), name)


def indexed(found: Sequence[Segment], variable: Node, spacing: int, *, direct: bool) -> Node:
    """Return the line of each input's segment, which a table tells from the input's upper bits.

    Segments start at multiples of 2**spacing from the first input. direct: the tables of slopes and
    offsets have an entry for each cell of 2**spacing inputs, so that no index table is needed.
    """
    first, last = found[0].first, found[-1].last
    cells = [
        segment
        for segment, one in enumerate(found)
        for _ in range((one.first - first) >> spacing, ((one.last - first) >> spacing) + 1)
    ]
    assert len(cells) == ((last - first) >> spacing) + 1  # noqa: S101 - else the starts are wrong
    distance = sub(variable, const(first)) if first else variable
    cell = named(shr(distance, spacing), "cell")
    if direct:
        index, rows = cell, [found[segment] for segment in cells]
    else:
        index = named(lookup(Table("segments", tuple(cells)), cell), "segment")
        rows = list(found)
    slope = named(lookup(Table("slopes", tuple(s.slope for s in rows)), index), "slope")
    offset = named(lookup(Table("offsets", tuple(s.offset for s in rows)), index), "offset")
    return _line(slope, offset, variable, found[0].shift)


def _line(slope: Node, offset: Node, variable: Node, shift: int) -> Node:
    return named(shr(add(mul(slope, variable), offset), shift), "line")


def branching(
    found: Sequence[Segment], variable: Node, leaf: Callable[[Segment, Node], Node]
) -> Node:
    """Return the leaf of each input's segment, chosen by bisection of the breakpoints.

    Every leaf is reckoned on all inputs that the segments cover, so the lines are of forms that fit
    int32 ``everywhere``.
    """

    def between(low: int, high: int) -> Node:
        if high - low == 1:
            return leaf(found[low], variable)
        middle = low + (high - low) // 2
        return select_less(
            variable, const(found[middle].first), between(low, middle), between(middle, high)
        )

    return between(0, len(found))


def by_multiplying(segment: Segment, variable: Node) -> Node:
    """Return ``(slope * v + offset) >> shift`` of one segment, with its own shift."""
    product = mul(variable, const(segment.slope))
    return shr(add(product, const(segment.offset)), segment.shift)


def by_shifting(segment: Segment, variable: Node) -> Node:
    """Return ``slope * v + offset`` of one segment without a multiplication.

    A slope of 16 bits times any |v| < 2**16 fits int32, and so does every partial sum.
    """
    terms = signed_powers(segment.slope)
    if terms and max(terms, key=lambda term: term[1])[0] > 0:  # no partial sum above the first
        terms.sort(key=lambda term: -term[1])
    parts = [(sign, shl(variable, power) if power else variable) for sign, power in terms]
    offset = const(segment.offset)
    if parts and parts[0][0] > 0:
        total, early = parts.pop(0)[1], False
    else:
        early = abs(segment.offset) <= NEAR or not parts
        total = offset if early else const(0)
    for sign, part in parts:
        total = add(total, part) if sign > 0 else sub(total, part)
    return total if early else add(total, offset)


NEAR = 1 << 28
"""An offset that leaves room in int32 for any partial sum of a 16-bit slope's terms."""


def signed_powers(slope: int) -> list[tuple[int, int]]:
    """Return the fewest (sign, exponent) whose signed powers of two add up to a slope.

    The non-adjacent form: no sum of fewer terms exists (Reitwiesner 1960). Positive terms first.

    >>> signed_powers(7), signed_powers(-3)
    ([(1, 3), (-1, 0)], [(1, 0), (-1, 2)])
    """
    terms, exponent = [], 0
    while slope:
        if slope % 2:
            digit = 2 - slope % 4
            terms.append((digit, exponent))
            slope -= digit
        slope, exponent = slope // 2, exponent + 1
    return sorted(terms, key=lambda term: -term[0])
