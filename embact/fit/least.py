"""The least largest error that a number of segments can have.

This module must not know how segments become nodes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from embact.fit.line import ALL_SHIFTS, Form, Segment, lines, runs

if TYPE_CHECKING:
    from embact.fit.fold import View
    from embact.fit.problem import Problem

RESOLUTION_LSB = 1e-6
"""Least errors are found to within this."""

SHIFTS = sorted(ALL_SHIFTS, key=lambda shift: shift * 11 % len(ALL_SHIFTS))
"""All shifts, scattered: the best so far is then improved a few times only."""


def least_error(
    problem: Problem, view: View, form: Form, most: int
) -> tuple[list[Segment], View] | None:
    """Return at most ``most`` segments with the least max_error_lsb, or None if there are none.

    With them comes the view of that error, whose clamp may depend on it. The form's shift is not
    used: all are tried. Whether an error is possible is decided exactly, for every shift; the least
    one is bracketed to RESOLUTION_LSB.
    """
    best, found = float(1 << 17), None
    for shift in SHIFTS:
        shifted = dataclasses.replace(form, shift=shift)
        low, high = 0.0, best - RESOLUTION_LSB
        while high > low:
            tried = view.remade(dataclasses.replace(problem, max_error_lsb=high))
            here = None if tried is None else runs(tried.bounds, shifted, most)
            if tried is None or here is None:
                if high >= best - RESOLUTION_LSB:
                    break
                low = high
            else:
                best, found = high, (lines(tried.bounds, shifted, here), tried)
            if best - low <= RESOLUTION_LSB:
                break
            high = (low + best) / 2
    return found
