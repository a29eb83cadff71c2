"""Family ``gates``: sigmoid and tanh of int16 codes, as LSTM and GRU cells use them, by one table.

With T(u) = tanh(u/2) both gates are readings of T, since tanh(x) = 2 sigmoid(2x) - 1:

    sigmoid(x) = (1 + T(x))/2,    tanh(x) = T(2x),    x < 0 by symmetry

The table holds T at the inputs u = i * 2**k, in units of 2**-16; between them it is a line. On the
magnitude m of the input code, sigmoid has k_s = k and tanh k_t = k - 1, and

    p = min(m, cells * 2**k_g - 1) = i * 2**k_g + f
    y = (T[i] * 2**k_g + (T[i+1] - T[i]) * f + rounding and base) >> (k_g + 1 or 2)

The knots are fitted to what both functions demand of them at once, see ``knots``. TFLM and CMSIS-NN
read both gates of an LSTM at Q3.12, and the tanh of its cell state at the state's own power of two,
often Q4.11 (lstm_eval_common; arm_nn_lstm_step_s8). This module must not know C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from embact.activations import activation
from embact.certify import certify
from embact.errors import EmbactError
from embact.fit.fold import fold
from embact.fit.knots import Form, knots
from embact.fit.line import FREE, Intervals
from embact.fit.problem import Candidate, Limits, Options, Problem
from embact.fit.record import GATES, Fit
from embact.fit.search import fit as search_fit
from embact.grid import Grid, QuantSpec
from embact.ir import Node, Op, Table, add, const, lookup, mul, named, saturate, shl, shr, sub
from embact.kernel import Kernel

if TYPE_CHECKING:
    from embact.fit.fold import View
    from embact.grid import Codes

OUTPUT = Grid(2.0**-15, 0, 16)
"""Q0.15, as TFLite's LOGISTIC and TANH write int16."""

BASE = 1 << 15
"""Added to a stored knot: T lies in [0, 1), and the table's elements are signed."""

SPACINGS = range(13, 0, -1)
"""Every k to try, the widest first: the largest whose nodes fit int32, and the least of tanh."""

STEP_LSB = 1 / 64
"""To how much of a code the error of a table is the least."""

MOST_ERROR = 1 << 12
"""The largest budget in codes that is tried for a limit of bytes: an eighth of full scale."""


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
class Gates:
    """A sigmoid and a tanh on one input grid.

    shared: whether both kernels read one table. table_bytes: of all distinct tables together.
    """

    sigmoid: Fit
    tanh: Fit
    shared: bool

    @property
    def table_bytes(self) -> int:
        """Bytes of the tables of both, an equal one counted once."""
        tables = dict.fromkeys((*self.sigmoid.kernel.tables, *self.tanh.kernel.tables))
        return sum(table.bytes for table in tables)


def gates(scale: float, max_error: int | None = None, max_bytes: int | None = None) -> Gates:
    """Return the pair for int16 codes of a scale (zero point 0) with the smallest shared table.

    max_error: the budget of each in codes; by default 1, or with max_bytes the least whose table
    fits. Where no shared table of the form serves, as for input scales above about 1/64 or without
    any error, there are two tables, of family ``interp`` or ``lut``. Raises EmbactError if these do
    not meet the limits either.
    """
    spec = QuantSpec(Grid(scale, 0, 16), OUTPUT)
    if max_error is None and max_bytes is not None:
        max_error = _least_error(spec, max_bytes)
    limits = Limits(1 if max_error is None else max_error, max_bytes)
    shared = _fits(spec, limits)
    pair = Gates(*shared, shared=True) if shared is not None else _apart(spec, limits)
    if max_bytes is not None and pair.table_bytes > max_bytes:
        raise EmbactError(
            f"no tables of sigmoid and tanh are that small at {limits.max_error} codes",
            got=f"{max_bytes} bytes",
            allowed=f"{pair.table_bytes} bytes or more, or a larger error",
        )
    return pair


def alone(scale: float, max_error: int) -> tuple[int | None, int | None]:
    """Return the table bytes of sigmoid and of tanh if each has the smallest of this form alone."""
    spec = QuantSpec(Grid(scale, 0, 16), OUTPUT)
    solved = [_solve(spec, max_error, (gate,)) for gate in READINGS]
    sigmoid, tanh = (None if found is None else found.table.bytes for found in solved)
    return sigmoid, tanh


def _least_error(spec: QuantSpec, max_bytes: int) -> int:
    """Return the least budget with a shared table of at most that many bytes.

    What serves a budget serves every larger one. Raises EmbactError if MOST_ERROR is too little.
    """

    def fits(budget: int) -> bool:
        found = _solve(spec, budget, READINGS)
        return found is not None and found.table.bytes <= max_bytes

    bad, good = -1, 0
    while not fits(good):
        bad, good = good, max(1, 2 * good)
        if good > MOST_ERROR:
            raise EmbactError(
                "no shared table of sigmoid and tanh is that small",
                got=f"{max_bytes} bytes",
                allowed="more bytes",
            )
    while good - bad > 1:
        middle = (bad + good) // 2
        bad, good = (bad, middle) if fits(middle) else (middle, good)
    return good


def _fits(spec: QuantSpec, limits: Limits) -> tuple[Fit, Fit] | None:
    """Return the certified kernels of a shared table, or None if there is no such table."""
    solved = _solve(spec, limits.max_error, READINGS)
    if solved is None:
        return None
    sigmoid, tanh = (_fit(gate, solved, spec, limits) for gate in READINGS)
    return sigmoid, tanh


def _fit(gate: Gate, solved: _Solved, spec: QuantSpec, limits: Limits) -> Fit:
    """Return the certified kernel that reads a table as one gate."""
    problem = Problem(activation(gate.name), spec, limits, Options(objective="bytes"))
    view = fold(problem)
    if view is None:  # pragma: no cover - then there is no table
        raise EmbactError(f"{gate.name} does not fold", got=spec)
    kernel = _kernel(gate, solved, view)
    parameters = {
        "cells": len(solved.table.values) - 1,
        "spacing_log2": _spacing(gate, solved.spacing_log2),
        "folded": 1,
    }
    proved = certify(problem.activation, spec, kernel)
    return Fit(problem, GATES, Candidate(kernel, parameters), proved)


def _apart(spec: QuantSpec, limits: Limits) -> Gates:
    """Return a pair of two tables. Raises EmbactError if one has none within the limits."""

    def best(name: str) -> Fit:
        problem = Problem(activation(name), spec, limits, Options(objective="bytes"))
        try:
            return search_fit(problem, "interp")
        except EmbactError:  # nothing interpolates: an entry for each input may serve
            return search_fit(problem, "lut")

    return Gates(best("sigmoid"), best("tanh"), shared=False)


@dataclass(frozen=True)
class _Solved:
    """A table of T and the k that it is spaced by."""

    table: Table
    spacing_log2: int


def _spacing(gate: Gate, spacing_log2: int) -> int:
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
def _solve(spec: QuantSpec, budget: int, wanted: tuple[Gate, ...]) -> _Solved | None:
    """Return the smallest table of the form that serves every input of the gates, or None.

    Every k is refuted by the knots that all numbers of cells share, or tried with every number of
    cells from the least for which the last value serves all that lies beyond. Of the tables of the
    smallest size it is one of the least error in lsb, to STEP_LSB.
    """
    demands = _demands(spec, budget, wanted)
    if demands is None:
        return None
    best: _Solved | None = None
    for k in SPACINGS:
        least = max(1, *(-(-(d.first_constant + 1) >> _spacing(d.gate, k)) for d in demands))
        most = max(-(-d.low.size >> _spacing(d.gate, k)) for d in demands)
        if best is not None and least + 1 >= len(best.table.values):
            break
        end = most if best is None else min(most, len(best.table.values) - 2)
        for cells in range(least, end + 1):
            if cells > 1 and _values(demands, k, cells, whole=False) is None:
                break
            values = _values(demands, k, cells, whole=True)
            if values is not None:
                best = _Solved(_table(values), k)
                break
    return None if best is None else _closest(spec, budget, wanted, best)


def _closest(spec: QuantSpec, budget: int, wanted: tuple[Gate, ...], solved: _Solved) -> _Solved:
    """Return a table of the same size and spacing of the least error in lsb, to STEP_LSB."""
    k, cells = solved.spacing_log2, len(solved.table.values) - 1
    bad, good = 0, math.ceil((budget + 0.5) / STEP_LSB)
    while good - bad > 1:
        middle = (bad + good) // 2
        demands = _demands(spec, budget, wanted, middle * STEP_LSB)
        values = None if demands is None else _values(demands, k, cells, whole=True)
        bad, good = (middle, good) if values is None else (bad, middle)
        solved = solved if values is None else _Solved(_table(values), k)
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


def _kernel(gate: Gate, solved: _Solved, view: View) -> Kernel:
    """Return the kernel that reads a table as one gate."""
    k, cells = _spacing(gate, solved.spacing_log2), len(solved.table.values) - 1
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
