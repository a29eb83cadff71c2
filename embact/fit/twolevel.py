"""Two-level tables: a coarse table plus a fine one that many coarse entries share.

    i = index >> drop = (x0, x1, x2)    y = ((coarse[x0, x1] + fine[x0, x2]) >> shift) + offset

Within a block x0 the entries must keep low <= coarse + fine <= high for every (x1, x2). With the
fine entries negated these are constraints on differences, so shortest paths (Bellman 1958, Ford
1956) find integer entries or prove that there are none; the types of the tables are constraints of
the same kind. The form is the bipartite table of Das Sarma & Matula (1995), who sample its entries.

This module must not know activations, quantisation, or what the index is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from embact.fit.line import FREE
from embact.ir import Node, Op, Table, add, const, lookup, named, shl, shr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from embact.grid import Codes

    Ints = NDArray[np.int32]
    Pair = tuple[Ints, Ints]

SHIFT_MAX = 8
WIDTHS = (8, 16)
PROBE = 2
"""Rounds after which one block is followed to its end before the others go on."""
END = 1 << 25
"""Stands for a free end: beyond every sum of two int16, times 2**SHIFT_MAX."""


@dataclass(frozen=True)
class Layout:
    """The shape of a pair of tables for an index of ``size`` values.

    drop: low bits of the index that are ignored. middle, low: bits of x1 and x2; the others are x0.
    With low = 0 there is no fine table. coarse_bits, fine_bits: widths of the entries.
    shift, offset: as above.
    """

    size: int
    drop: int
    middle: int
    low: int
    coarse_bits: int
    fine_bits: int
    shift: int = 0
    offset: int = 0

    @property
    def used(self) -> int:
        """How many values the index has after the drop."""
        return -(-self.size >> self.drop)

    @property
    def coarse(self) -> int:
        """Entries of the coarse table."""
        return -(-self.used >> self.low)

    @property
    def fine(self) -> int:
        """Entries of the fine table; those that only an incomplete last block lacks are cut."""
        if not self.low:
            return 0
        last = (self.used - 1) >> (self.middle + self.low)
        rest = self.used - (last << (self.middle + self.low))
        return (last << self.low) + min(rest, 1 << self.low)

    @property
    def bytes(self) -> int:
        """Bytes of both tables."""
        return (self.coarse * self.coarse_bits + self.fine * self.fine_bits) // 8


@dataclass(frozen=True)
class Tables:
    """A layout with the entries of its tables."""

    layout: Layout
    coarse: tuple[int, ...]
    fine: tuple[int, ...]


def smallest(low: Codes, high: Codes, below: int, *, two: bool = True) -> Tables | None:
    """Return the tables with the fewest bytes that keep low <= y <= high, or None.

    low, high: int64, FREE where an end is free, for each value of the index. below: only tables
    with fewer bytes are wanted. two: whether there is a fine table. Every layout (any drop, split
    and widths of 8 or 16 bits, shifts up to SHIFT_MAX that leave the outputs room in the coarse
    entries) is decided exactly. Of the shifts that serve, the least is taken.
    """
    found: Tables | None = None
    need = _needed(low, high)
    top = max(_shifts(need, 16), default=0)
    for drop in range((low.size - 1).bit_length() + 1):
        reduced = _grouped(low, high, 1 << drop)
        if np.any(reduced[0] > reduced[1]):
            break  # some inputs that would share a value have none in common
        bits = (reduced[0].size - 1).bit_length()
        for split in range(1, bits + 1) if two else (0,):
            one = _best_middle(reduced, (low.size, drop, split), need, top, below)
            if one:
                found, below = one, one.layout.bytes
    return found


def solve(low: Codes, high: Codes, layout: Layout) -> Tables | None:
    """Return entries that keep low <= y <= high, away from the ends where there is slack, or None.

    None is a proof that no entries of these widths do.
    """
    return _fill(_grouped(low, high, 1 << layout.drop), layout)


def expression(index: Node, tables: Tables) -> Node:
    """Return the node of y, before any clamp, for the node of an index 0, 1, .. size - 1."""
    layout = tables.layout
    index = named(shr(index, layout.drop), "index")
    total = lookup(Table("coarse" if tables.fine else "lut", tables.coarse), shr(index, layout.low))
    if tables.fine:
        block = shl(shr(index, layout.middle + layout.low), layout.low)
        inside = Node(Op.AND, (index, const((1 << layout.low) - 1)))
        total = add(total, lookup(Table("fine", tables.fine), add(block, inside)))
    return add(shr(total, layout.shift), const(layout.offset))


def _best_middle(
    bounds: tuple[Codes, Codes],
    split: tuple[int, int, int],
    need: tuple[int, int],
    top: int,
    below: int,
) -> Tables | None:
    """Return the smallest tables below a number of bytes for one (size, drop, low), or None.

    More bits for x1 are more constraints and, but for rounding, fewer bytes. So the first number of
    bits that would be small enough decides at once, in most cases, that there is nothing here.
    """
    size, drop, low = split
    layouts: list[Layout] = []
    for middle in range((bounds[0].size - 1).bit_length() - low + 1) if low else (0,):
        widths = ((a, b) for a in WIDTHS for b in (WIDTHS if low else WIDTHS[:1]))
        options = [Layout(size, drop, middle, low, a, b) for a, b in widths]
        options = [layout for layout in options if layout.bytes < below]
        if options and not _relaxed(bounds, Layout(size, drop, middle, low, 16, 16, top)):
            break
        layouts += options
    for option in sorted(layouts, key=lambda layout: layout.bytes):
        for layout in _scaled(option, need):
            if found := _fill(bounds, layout):
                return found
    return None


def _scaled(layout: Layout, need: tuple[int, int]) -> Iterator[Layout]:
    """Yield a layout with each shift for which the outputs fit the coarse entries."""
    limit = 1 << (layout.coarse_bits - 1)
    for shift in _shifts(need, layout.coarse_bits) if layout.low else (0,):
        fits = -limit <= need[0] << shift and (need[1] + 1) << shift <= limit
        offset = 0 if fits else (need[0] + need[1] + 1) // 2
        yield replace(layout, shift=shift, offset=offset)


def _shifts(need: tuple[int, int], bits: int) -> list[int]:
    return [s for s in range(SHIFT_MAX + 1) if (need[1] - need[0]) << s < 1 << bits]


def _needed(low: Codes, high: Codes) -> tuple[int, int]:
    """Return the least and greatest output that the bounds call for: any others may be nearer."""
    ends = [int(high.min()), int(low.max())]
    finite = [end for end in ends if abs(end) < FREE] or [0]
    return min(finite), max(finite)


def _grouped(low: Codes, high: Codes, group: int) -> tuple[Codes, Codes]:
    """Return the ends that serve each group of that many neighbours."""
    pad = -low.size % group
    low = np.pad(low, (0, pad), constant_values=-FREE).reshape(-1, group)
    high = np.pad(high, (0, pad), constant_values=FREE).reshape(-1, group)
    return low.max(axis=1), high.min(axis=1)


def _blocks(bounds: tuple[Codes, Codes], layout: Layout) -> Pair:
    """Return what coarse + fine may be: two int32 arrays of shape (x0, x1, x2)."""
    low, high = _grouped(*bounds, 1)
    below = np.clip((low - layout.offset).clip(-END, END) << layout.shift, -END, END)
    above = np.clip(((high - layout.offset + 1).clip(-END, END) << layout.shift) - 1, -END, END)
    below[low <= -FREE], above[high >= FREE] = -END, END
    pad = -low.size % (1 << (layout.middle + layout.low))
    shape = -1, 1 << layout.middle, 1 << layout.low
    one, other = (
        np.pad(ends, (0, pad), constant_values=free).astype(np.int32).reshape(shape)
        for ends, free in ((below, -END), (above, END))
    )
    return one, other


def _relaxed(bounds: tuple[Codes, Codes], layout: Layout) -> bool:
    """Return whether entries of any width do."""
    return greatest(*_blocks(bounds, layout), (-END, 0), (-END, END)) is not None


def _fill(bounds: tuple[Codes, Codes], layout: Layout) -> Tables | None:
    """Return a layout with entries, or None if there are none of these widths."""
    low, high = _blocks(bounds, layout)
    coarse_end, fine_end = 1 << (layout.coarse_bits - 1), 1 << (layout.fine_bits - 1)
    box = (-coarse_end, coarse_end - 1), (1 - fine_end, fine_end)  # the fine ones are negated
    if not layout.low:
        box = box[0], (0, 0)
    upper = greatest(low, high, *box)
    if upper is None:
        return None
    negated = [(-most, -least) for least, most in box]
    lower = greatest(-high, -low, *negated)
    assert lower is not None  # noqa: S101 - a system and its mirror image are solvable together
    # solutions of such systems are closed under the rounded-down mean: an L-natural-convex set
    coarse, fine = ((one - other) >> 1 for one, other in zip(upper, lower, strict=True))
    return Tables(
        layout,
        tuple(coarse.ravel()[: layout.coarse].tolist()),
        tuple((-fine).ravel()[: layout.fine].tolist()),
    )


def greatest(low: Ints, high: Ints, coarse: tuple[int, int], fine: tuple[int, int]) -> Pair | None:
    """Return the greatest a and b with low[k,i,j] <= a[k,i] - b[k,j] <= high[k,i,j], or None.

    coarse, fine: the least and greatest value of every a and of every b. Shortest paths from the
    greatest values, all blocks k at once. None is a proof: a value fell below its least one, or
    still fell after as many rounds as a path without a cycle has steps.
    """
    count, rows, columns = low.shape
    a = np.full((count, rows), coarse[1], dtype=np.int32)
    b = np.full((count, columns), fine[1], dtype=np.int32)
    active = np.arange(count)
    for turn in range(min(rows, columns) + 2):
        now = a[active]
        fallen = np.minimum((now[:, :, None] - low).min(axis=1), b[active])
        then = np.minimum((high + fallen[:, None, :]).min(axis=2), now)
        a[active], b[active] = then, fallen
        if then.min() < coarse[0] or fallen.min() < fine[0]:
            return None
        moving = np.any(then != now, axis=1)
        if not moving.any():
            return a, b
        if turn == PROBE and active.size > 1:  # the block that fell most is the likeliest to fail
            worst = slice(k := int((now - then).max(axis=1).argmax()), k + 1)
            if greatest(low[worst], high[worst], coarse, fine) is None:
                return None
        if not moving.all():
            active, low, high = active[moving], low[moving], high[moving]
    return None
