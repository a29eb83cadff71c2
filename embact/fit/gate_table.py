"""The table of T(u) = tanh(u/2) that both gates of ``gates`` read, and the kernels that read it.

Both gates are readings of T, since tanh(x) = 2 sigmoid(2x) - 1:

    sigmoid(x) = (1 + T(x))/2,    tanh(x) = T(2x),    x < 0 by symmetry

The table holds T at the inputs u = i * 2**k, in units of 2**-16; between them it is a line. On the
magnitude m of the input code, sigmoid has k_s = k and tanh k_t = k - 1, and

    p = min(m, cells * 2**k_g - 1) = i * 2**k_g + f
    y = (T[i] * 2**k_g + (T[i+1] - T[i]) * f + rounding and base) >> (k_g + 1 or 2)

The knots are fitted to what both functions demand of them at once, see ``knots``. This module must
not know budgets of bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from embact.activations import activation
from embact.fit.fold import fold
from embact.fit.knots import Form, knots
from embact.fit.line import FREE, Intervals
from embact.fit.problem import Limits, Problem
from embact.ir import Node, Op, Table, add, const, lookup, mul, named, saturate, shl, shr, sub
from embact.kernel import Kernel

if TYPE_CHECKING:
    from embact.fit.fold import View
    from embact.grid import Codes, QuantSpec

BASE = 1 << 15
"""Added to a stored knot: T lies in [0, 1), and the table's elements are signed."""

SPACINGS = range(13, 0, -1)
"""Every k to try, the widest first: the largest whose nodes fit int32, and the least of tanh."""

STEP_LSB = 1 / 64
"""To how much of a code the error of a table is the least."""


@dataclass(frozen=True)
class Gate:
    """How one function reads T in units of 2**-16.

    step: the inputs of the table that one input code is. shift: y * 2**shift has those units.
    offset: what is added to T before the shift, with the half that rounds.
    """

    name: str
    step: int
    shift: int
    offset: int


READINGS = (Gate("sigmoid", 1, 2, (1 << 16) + 2), Gate("tanh", 2, 1, 1))


@dataclass(frozen=True)
class Solved:
    """A table of T and the k that it is spaced by."""

    table: Table
    spacing_log2: int


def spacing(gate: Gate, spacing_log2: int) -> int:
    """Return log2 of the input codes between two knots."""
    return spacing_log2 - (gate.step - 1)


@dataclass(frozen=True)
class _Demand:
    """What a gate demands of T, in units of 2**-16, at the magnitudes 0..32768."""

    gate: Gate
    low: Codes
    high: Codes

    def cut(self, size: int) -> tuple[Codes, Codes]:
        """Return the demands on the first magnitudes, the last of which stands for all beyond."""
        low, high = self.low[:size].copy(), self.high[:size].copy()
        if size < self.low.size:
            low[-1], high[-1] = self.low[size - 1 :].max(), self.high[size - 1 :].min()
        return low, high

    @property
    def first_constant(self) -> int:
        """The least magnitude from which on one value serves."""
        least = np.maximum.accumulate(self.low[::-1])[::-1]
        most = np.minimum.accumulate(self.high[::-1])[::-1]
        crossed = np.flatnonzero(least > most)
        return int(crossed[-1]) + 1 if crossed.size else 0


def _demand(spec: QuantSpec, budget: int, gate: Gate, lsb: float | None = None) -> _Demand | None:
    """Return the demands of one gate, or None if no output serves both signs of some input.

    At 0 the gates are exact: 0 and 1/2. lsb: the largest distance to the real result besides.
    """
    problem = Problem(activation(gate.name), spec, Limits(budget))
    low, high = np.full(1, -FREE), np.full(1, FREE)
    for asked in (problem, *(() if lsb is None else (replace(problem, max_error_lsb=lsb),))):
        view = fold(asked)
        if view is None:
            return None
        low, high = np.maximum(low, view.bounds.low), np.minimum(high, view.bounds.high)
    low[0] = high[0] = problem.truth.codes[-spec.input.code_min]
    if np.any(low > high):
        return None
    below = np.where(low == -FREE, -FREE, (low << gate.shift) - gate.offset)
    above = np.where(high == FREE, FREE, ((high + 1) << gate.shift) - 1 - gate.offset)
    return _Demand(gate, below, above)


@lru_cache(maxsize=64)
def solve(spec: QuantSpec, budget: int, wanted: tuple[Gate, ...]) -> Solved | None:
    """Return the smallest table of the form that serves every input of the gates, or None.

    Every k is refuted by the knots that all numbers of cells share, or tried with every number of
    cells from the least for which the last value serves all that lies beyond. Of the tables of the
    smallest size it is one of the least error in lsb, to STEP_LSB.
    """
    demands = _demands(spec, budget, wanted)
    if demands is None:
        return None
    best: Solved | None = None
    for k in SPACINGS:
        least = max(1, *(-(-(d.first_constant + 1) >> spacing(d.gate, k)) for d in demands))
        most = max(-(-d.low.size >> spacing(d.gate, k)) for d in demands)
        if best is not None and least + 1 >= len(best.table.values):
            break
        end = most if best is None else min(most, len(best.table.values) - 2)
        for cells in range(least, end + 1):
            if cells > 1 and _values(demands, k, cells, whole=False) is None:
                break
            values = _values(demands, k, cells, whole=True)
            if values is not None:
                best = Solved(_table(values), k)
                break
    return None if best is None else _closest(spec, budget, wanted, best)


def _closest(spec: QuantSpec, budget: int, wanted: tuple[Gate, ...], solved: Solved) -> Solved:
    """Return a table of the same size and spacing of the least error in lsb, to STEP_LSB."""
    k, cells = solved.spacing_log2, len(solved.table.values) - 1
    bad, good = 0, math.ceil((budget + 0.5) / STEP_LSB)
    while good - bad > 1:
        middle = (bad + good) // 2
        demands = _demands(spec, budget, wanted, middle * STEP_LSB)
        values = None if demands is None else _values(demands, k, cells, whole=True)
        bad, good = (middle, good) if values is None else (bad, middle)
        solved = solved if values is None else Solved(_table(values), k)
    return solved


def _table(values: tuple[int, ...]) -> Table:
    return Table("knots", tuple(value - BASE for value in values))


def _demands(
    spec: QuantSpec, budget: int, wanted: tuple[Gate, ...], lsb: float | None = None
) -> list[_Demand] | None:
    """Return the demands of some gates, or None if one has none that can be met."""
    found = [_demand(spec, budget, gate, lsb) for gate in wanted]
    met = [demand for demand in found if demand is not None]
    return met if len(met) == len(found) else None


def _values(demands: list[_Demand], k: int, cells: int, *, whole: bool) -> tuple[int, ...] | None:
    """Return knots of T in units of 2**-16 that meet all demands, or None if there are none.

    whole: whether the last cell's end answers for all beyond it; else the last cell is left out.
    """
    size = (cells if whole else cells - 1) << k
    low, high = np.full(size, -FREE), np.full(size, FREE)
    for demand in demands:
        step, own = demand.gate.step, size // demand.gate.step
        below, above = demand.cut(own) if whole else (demand.low[:own], demand.high[:own])
        at = slice(0, step * below.size, step)
        low[at], high[at] = np.maximum(low[at], below), np.minimum(high[at], above)
    if np.any(low > high):
        return None
    positions = np.arange(size, dtype=np.int64)
    return knots(Intervals(positions, low, high), Form(k, 0, 0, 0, 2 * BASE - 1))


def kernel_of_gate(gate: Gate, solved: Solved, view: View) -> Kernel:
    """Return the kernel that reads a table as one gate."""
    k, cells = spacing(gate, solved.spacing_log2), len(solved.table.values) - 1
    end = const((cells << k) - 1)
    position = named(Node(Op.MIN, (view.magnitude, end)), "position")
    cell = named(shr(position, k), "cell")
    fraction = Node(Op.AND, (position, const((1 << k) - 1)), name="fraction")
    left = named(lookup(solved.table, cell), "left")
    right = lookup(solved.table, add(cell, const(1)))
    sloped = add(shl(left, k), mul(sub(right, left), fraction))
    offset = const((BASE + gate.offset) << k)
    line = named(shr(add(sloped, offset), k + gate.shift), "line")
    return Kernel(saturate(view.unfold(line), 16), 16, 16)
