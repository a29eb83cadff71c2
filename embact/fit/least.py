"""The least largest error that a number of segments can have.

This module must not know how segments become nodes.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import TYPE_CHECKING

from embact.fit.line import ALL_SHIFTS, Form, Segment
from embact.fit.runs import FINEST, Run, lines, runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from embact.fit.fold import View
    from embact.fit.problem import Problem

RESOLUTION_LSB = 1e-6
"""Least errors are found to within this."""

MOST_LSB = float(1 << 17)
"""Beyond the error of every kernel."""

SHIFTS = sorted(ALL_SHIFTS, key=lambda shift: shift * 11 % len(ALL_SHIFTS))
"""All shifts, scattered: the best so far is then improved a few times only."""


def least_error(
    problem: Problem, view: View, form: Form, most: int
) -> tuple[list[Segment], View] | None:
    """Return at most ``most`` segments with the least max_error_lsb, or None if there are none.

    With them comes the view of that error, whose clamp may depend on it. The form's shift is not
    used: all are tried. Whether an error is possible is decided exactly, for every shift; the least
    one is bracketed to RESOLUTION_LSB. What finer coefficients cannot reach, no shift is asked.
    """

    @lru_cache(maxsize=2)  # the shifts are asked for the same error one after the other
    def at(error: float) -> View | None:
        return view.remade(dataclasses.replace(problem, max_error_lsb=error))

    def served(form: Form) -> Callable[[float], list[Run] | None]:
        def by(error: float) -> list[Run] | None:
            tried = at(error)
            return None if tried is None else runs(tried.bounds, form, most)

        return by

    fine = bracket(served(Form(form.slope_bits, FINEST, relaxed=True)), 0.0, MOST_LSB)
    if fine is None:
        return None
    best, found = MOST_LSB, None
    for shift in SHIFTS:
        shifted = dataclasses.replace(form, shift=shift)
        low, high = max(0.0, fine[0] - RESOLUTION_LSB), best - RESOLUTION_LSB
        if high > low and (better := bracket(served(shifted), low, high)):
            best, found = better[0], (shifted, better[1])
    least = None if found is None else at(best)
    return None if found is None or least is None else (lines(least.bounds, *found), least)


def bracket(
    possible: Callable[[float], list[Run] | None], low: float, high: float
) -> tuple[float, list[Run]] | None:
    """Return the least error in low..high for which there are runs, to RESOLUTION_LSB, and these.

    None if there are none at ``high``. What is possible for an error is possible for larger ones.
    """
    found = possible(high)
    if found is None:
        return None
    while high - low > RESOLUTION_LSB:
        middle = (low + high) / 2
        if here := possible(middle):
            high, found = middle, here
        else:
            low = middle
    return high, found
