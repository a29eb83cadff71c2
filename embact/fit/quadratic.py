"""Family ``quadratic``: piecewise quadratics with integer or shift coefficients, and few pieces.

    h(v) = (a[i] * q + b[i] * v + c[i]) >> shift,  q = (v * v) >> drop

v is the input code, or its magnitude where a symmetry folds the domain, limited to where the
activation has not become constant if that saves a piece. What real coefficients do not serve no
shift does: that bounds the number of pieces from below, and ``parabola`` finds the fewest.

SQNL (Wuraola & Patel 2018) is the case of one piece for each side. This module must not know C or
costs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import or_
from typing import TYPE_CHECKING

import numpy as np

from embact.fit.fold import fold, plain
from embact.fit.line import Intervals, power_sums
from embact.fit.lookup import by_segment, signed_powers
from embact.fit.parabola import FINEST, LIMIT, SAMPLES, Coefficients, Slabs, cover, reach, rooms
from embact.fit.problem import Candidate
from embact.ir import Node, add, clamp, const, mul, named, select_less, shl, shr, sub, x
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from embact.fit.fold import View
    from embact.fit.parabola import Piece
    from embact.fit.problem import Problem

    Found = tuple[int, list[Piece]]  # the shift and the pieces

PIECES = 16
LEAVES = 12
"""More pieces that are looked up, or chosen among, are of no use: none are sought unasked."""
WIDEST = 46340
"""The largest v whose square fits int32."""


@dataclass(frozen=True)
class Plan:
    """What v is, which outputs each v may give, and how few pieces real coefficients need.

    v: its node; neither it nor v * v overflows on any input. reach: as for ``parabola.reach``.
    """

    bounds: Intervals
    v: Node
    drop: int
    reach: tuple[int, ...]

    @property
    def fewest(self) -> int:
        """The number of pieces with real coefficients: no others have fewer."""
        return len(self.reach) - 1


def quadratic(problem: Problem) -> Iterator[Candidate]:
    """Yield kernels with the fewest pieces for the budget, if that is 16 or less (terms: 12).

    One kernel each, plain and folded, for coefficients of three kinds: integers (terms = 0), 0 or a
    signed power of two (1), and sums of two of them if that saves pieces (2).

    The counts are the least for the range of v that was taken and for every shift up to 24, where
    a * q and b * v stay below 2**30; with powers of two for three shifts, where they stay below
    2**29. Where real coefficients need as many, no shift has fewer. They are not proved if
    ``Slabs.serve`` gave up on a run, and for int16 inputs that need more pieces than real
    coefficients do only every fourth shift is tried.

    Integers have ``options.slope_bits`` bits, by default the fewest of 8, 16 and as many as there
    is room for. With ``options.segments`` the budget is the least for which a bisection finds so
    many pieces.
    """
    options, search = problem.options, _fewest
    if options.segments is not None:
        problem, search = _within(problem, 1 << 16), _least_error
    views = [] if options.fold else [plain(problem)]
    if options.fold is not False and (half := fold(problem)):
        views.append(half)
    for view in views:
        yield from search(problem, view)
