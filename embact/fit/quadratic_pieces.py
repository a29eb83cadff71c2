"""The fewest pieces of a ``quadratic``: which inputs each serves, and how few there can be.

Every part of a run that is served is served, so greedy longest extension has the fewest pieces for
a form. What real coefficients do not serve no shift does: they bound the number from below, and
how far their pieces reach tells early that a form needs more than wanted.

This module must not know activations, or how a piece is turned into nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embact.fit.line import Intervals
from embact.fit.parabola import FINEST, LIMIT, Coefficients, Slabs, rooms
from embact.ir import INT32_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embact.fit.parabola import Piece


def ranges(bounds: Intervals, *, folded: bool) -> list[tuple[int, int]]:
    """Return ranges of inputs to limit v to, as (first, last), the whole range before others.

    Beyond the others all inputs may give the same outputs, or have at least one in common.
    folded: v begins at 0, and so do they.
    """
    low, high, end = bounds.low, bounds.high, bounds.x.size - 1
    changes = np.flatnonzero((np.diff(low) != 0) | (np.diff(high) != 0))
    if not changes.size:
        return [(0, end)]
    left = np.maximum.accumulate(low) <= np.minimum.accumulate(high)
    right = np.maximum.accumulate(low[::-1]) <= np.minimum.accumulate(high[::-1])
    first, last = int(changes[0]), int(changes[-1]) + 1
    least, most = int(np.count_nonzero(left)) - 1, end + 1 - int(np.count_nonzero(right))
    found = [(0, end), (first, last), ((first + least) // 2, (last + most) // 2), (least, most)]
    if folded:
        found = [(0, last) for _, last in found]
    return [(first, last) for first, last in dict.fromkeys(found) if first < last]


def limited(bounds: Intervals, first: int, last: int) -> Intervals:
    """Return the inputs first..last, where the ends serve all beyond them too."""
    low, high = bounds.low[first : last + 1].copy(), bounds.high[first : last + 1].copy()
    low[0], high[0] = bounds.low[: first + 1].max(), bounds.high[: first + 1].min()
    low[-1], high[-1] = bounds.low[last:].max(), bounds.high[last:].min()
    return Intervals(bounds.x[first : last + 1], low, high)


def reach(bounds: Intervals, drop: int, at_most: int) -> tuple[int, ...] | None:
    """Return how far pieces with real coefficients reach, or None if more than at_most are needed.

    From input reach[k] on k pieces may serve the rest, from no earlier one they do, so the last is
    0. The coefficients are multiples of 2**-24 in a range that contains every other set's.
    """
    a, b = rooms(bounds, drop, LIMIT << FINEST)
    sets = range(-a, a + 1), range(-b, b + 1)
    limits = LIMIT << FINEST, INT32_MAX << FINEST
    slabs = Slabs(bounds, Coefficients(drop, FINEST, *sets, *limits, real=True))
    starts, guess, near = [bounds.x.size], bounds.x.size, (0, 0)

    def run(length: int) -> tuple[int, int]:
        return starts[-1] - length, starts[-1]

    while starts[-1] > 0:
        if len(starts) > at_most:
            return None
        longest = _longest(slabs, run, (0, starts[-1]), guess, near)
        if longest is None:
            return None
        guess, near = longest
        starts.append(starts[-1] - guess)
    return tuple(starts)


def cover(
    bounds: Intervals, reach: Sequence[int], form: Coefficients, at_most: int
) -> list[Piece] | None:
    """Return the fewest pieces that serve every input, or None if they are more than at_most.

    reach: of the same bounds; it tells early that too many are needed. The pieces are the fewest
    unless ``Slabs.serve`` gave up on a run.
    """
    slabs, pieces = Slabs(bounds, form), []
    size, start, guess, near = bounds.x.size, 0, 1, (0, 0)

    def run(length: int) -> tuple[int, int]:
        return start, start + length

    for left in reversed(range(at_most)):
        least = max(reach[min(left, len(reach) - 1)] - start, 0)
        longest = _longest(slabs, run, (least, size - start), guess, near)
        if longest is None:
            return None
        guess, near = longest
        pieces.append(slabs.piece(start, start + guess, *near))
        start += guess
        if start == size:
            return pieces
    return None


def _longest(
    slabs: Slabs,
    run: Callable[[int], tuple[int, int]],
    ends: tuple[int, int],
    guess: int,
    near: tuple[int, int],
) -> tuple[int, tuple[int, int]] | None:
    """Return (length, (a, b)) of the longest run that is served; None if it is 0 or too short.

    run: the inputs of a length, among them those of any shorter one. ends: least and most length.
    """

    def served(length: int) -> bool:
        nonlocal near
        found = slabs.serve(*run(length), near)
        near = near if found is None else found
        return found is not None

    least, most = ends
    if least and not served(least):
        return None
    good, bad, step = least, most + 1, guess
    while good < most:
        length = min(good + step, most)
        if not served(length):
            bad = length
            break
        good, step = length, 2 * step
    while bad - good > 1:
        middle = (good + bad) // 2
        if served(middle):
            good = middle
        else:
            bad = middle
    return (good, near) if good else None
