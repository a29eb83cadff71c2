"""Family ``gates``: sigmoid and tanh of int16 codes, as LSTM and GRU cells use them, by one table.

What the table holds and how it is found: ``gate_table``. TFLM and CMSIS-NN read both gates of an
LSTM at Q3.12, and the tanh of its cell state at the state's own power of two, often Q4.11
(lstm_eval_common; arm_nn_lstm_step_s8). This module must not know C.
"""

from __future__ import annotations

from dataclasses import dataclass

from embact.activations import activation
from embact.certify import certify
from embact.errors import EmbactError
from embact.fit.fold import fold
from embact.fit.gate_table import READINGS, Gate, Solved, kernel_of_gate, solve, spacing
from embact.fit.problem import Candidate, Limits, Options, Problem
from embact.fit.record import GATES, Fit
from embact.fit.search import fit as search_fit
from embact.grid import Grid, QuantSpec

OUTPUT = Grid(2.0**-15, 0, 16)
"""Q0.15, as TFLite's LOGISTIC and TANH write int16."""

MOST_ERROR = 1 << 12
"""The largest budget in codes that is tried for a limit of bytes: an eighth of full scale."""


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
    fits. Where no shared table of the form serves, as at 1 code for input scales above about 1/32,
    or without any error, there are two tables, of family ``interp`` or ``lut``. Raises EmbactError
    if these do not meet the limits either.
    """
    spec = QuantSpec(Grid(scale, 0, 16), OUTPUT)
    if max_error is None and max_bytes is not None:
        max_error = _least_error(spec, max_bytes)
    limits = Limits(1 if max_error is None else max_error, max_bytes)
    shared = _fits(spec, limits)
    pair = Gates(*shared, shared=True) if shared is not None else _apart(spec, limits.max_error)
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
    solved = [solve(spec, max_error, (gate,)) for gate in READINGS]
    sigmoid, tanh = (None if found is None else found.table.bytes for found in solved)
    return sigmoid, tanh


def _least_error(spec: QuantSpec, max_bytes: int) -> int:
    """Return the least budget with a shared table of at most that many bytes.

    What serves a budget serves every larger one. Raises EmbactError if MOST_ERROR is too little.
    """

    def fits(budget: int) -> bool:
        found = solve(spec, budget, READINGS)
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
    solved = solve(spec, limits.max_error, READINGS)
    if solved is None:
        return None
    sigmoid, tanh = (_fit(gate, solved, spec, limits) for gate in READINGS)
    return sigmoid, tanh


def _fit(gate: Gate, solved: Solved, spec: QuantSpec, limits: Limits) -> Fit:
    """Return the certified kernel that reads a table as one gate."""
    problem = Problem(activation(gate.name), spec, limits, Options(objective="bytes"))
    view = fold(problem)
    if view is None:  # pragma: no cover - then there is no table
        raise EmbactError(f"{gate.name} does not fold", got=spec)
    kernel = kernel_of_gate(gate, solved, view)
    parameters = {
        "cells": len(solved.table.values) - 1,
        "spacing_log2": spacing(gate, solved.spacing_log2),
        "folded": 1,
    }
    proved = certify(problem.activation, spec, kernel)
    return Fit(problem, GATES, Candidate(kernel, parameters), proved)


def _apart(spec: QuantSpec, max_error: int) -> Gates:
    """Return a pair of two tables, whatever their size."""

    def best(name: str) -> Fit:
        wanted = Limits(max_error)
        problem = Problem(activation(name), spec, wanted, Options(objective="bytes"))
        try:
            return search_fit(problem, "interp")
        except EmbactError:  # nothing interpolates: an entry for each input may serve
            return search_fit(problem, "lut")

    return Gates(best("sigmoid"), best("tanh"), shared=False)
