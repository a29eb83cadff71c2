"""The gates of recurrent cells: a sigmoid and a tanh that read one table."""

import dataclasses

import numpy as np
import pytest

from embact.activations import activation
from embact.certify import certify, ideal
from embact.fit.fold import fold
from embact.fit.gate_table import READINGS, solve
from embact.fit.gates import alone, gates
from embact.fit.knots import Form, knots
from embact.fit.line import FREE, Intervals
from embact.fit.problem import Limits, Problem
from embact.fit.record import fit_json, fit_of_json
from embact.grid import Grid, QuantSpec
from embact.ir import Table
from embact.kernel import Kernel

Q0_15 = Grid(2.0**-15, 0, 16)


def both(pair):
    return pair.sigmoid, pair.tanh


@pytest.mark.parametrize("fraction", range(9, 16))
def test_both_gates_are_within_a_code_on_every_input_and_read_one_table(fraction):
    pair = gates(2.0**-fraction)
    assert pair.shared
    assert pair.sigmoid.kernel.tables[0] is pair.tanh.kernel.tables[0]
    for one in both(pair):
        assert one.spec == QuantSpec(Grid(2.0**-fraction, 0, 16), Q0_15)
        truth = ideal(one.activation, one.spec)
        assert np.abs(one.kernel.outputs - truth.codes).max() == 1
        assert one.certificate == certify(one.activation, one.spec, one.kernel)
        assert one.certificate.points == 65536
        assert one.kernel.table_bytes == pair.table_bytes


@pytest.mark.parametrize("scale", [2.0**-12, 2.0**-11])
def test_the_pair_at_q3_12_and_q4_11_takes_what_tanh_alone_takes(scale):
    assert gates(scale).table_bytes == 654
    assert alone(scale, 1)[1] == 654


@pytest.mark.parametrize("scale", [0.0003, 1.7e-4, 0.00123, 1 / 100])
@pytest.mark.parametrize("budget", [1, 3])
def test_any_scale_will_do(scale, budget):
    pair = gates(scale, budget)
    assert pair.shared
    assert [one.certificate.max_error_codes <= budget for one in both(pair)] == [True, True]


@pytest.mark.parametrize("fraction", [9, 12, 15])
def test_the_gates_are_exact_at_zero_and_symmetric(fraction):
    pair = gates(2.0**-fraction)
    sigmoid, tanh = (one.kernel.outputs for one in both(pair))
    assert (sigmoid[32768], tanh[32768]) == (16384, 0)
    assert np.array_equal(sigmoid[1:], 32768 - sigmoid[:0:-1])
    assert np.array_equal(tanh[1:], -tanh[:0:-1])


def test_a_changed_knot_breaks_a_gate():
    pair = gates(2.0**-12)
    table = pair.tanh.kernel.tables[0]
    for i, by in ((0, 8), (40, -8), (len(table.values) // 2, 8)):
        values = list(table.values)
        values[i] += by
        changed = Table("knots", tuple(values))
        worse = []
        for one in both(pair):
            program = dataclasses.replace(one.kernel.program, tables=(changed,))
            kernel = kernel_from(program)
            worse.append(certify(one.activation, one.spec, kernel).max_error_codes)
        assert max(worse) > 1


def kernel_from(program):
    from embact.kernel import kernel_of

    made = kernel_of(program)
    assert isinstance(made, Kernel)
    return made


def joint_demands(scale, budget, spacing_log2, cells):
    """What both functions demand of the knots' T, from their definitions, one input at a time."""
    size = cells << spacing_log2
    low, high = [-FREE] * size, [FREE] * size
    spec = QuantSpec(Grid(scale, 0, 16), Q0_15)
    for name, step, unit, base in (("sigmoid", 1, 4, 65536), ("tanh", 2, 2, 0)):
        bounds = fold(Problem(activation(name), spec, Limits(budget))).bounds
        last = size - step
        for m, least, most in zip(*map(np.ndarray.tolist, vars(bounds).values()), strict=True):
            at = min(step * m, last)
            if least > -FREE:
                low[at] = max(low[at], unit * least - base - unit // 2)
            if most < FREE:
                high[at] = min(high[at], unit * (most + 1) - 1 - base - unit // 2)
    return np.array(low), np.array(high)


def test_no_table_with_fewer_cells_or_wider_ones_serves_both():
    scale, table = 2.0**-11, gates(2.0**-11).tanh.kernel.tables[0]
    k = gates(2.0**-11).sigmoid.candidate.parameters["spacing_log2"]
    cells = len(table.values) - 1

    def serves(spacing, number):
        low, high = joint_demands(scale, 1, spacing, number)
        if np.any(low > high):
            return False
        positions = np.arange(low.size)
        return knots(Intervals(positions, low, high), Form(spacing, 0, 0, 0, 65535)) is not None

    assert serves(k, cells)
    assert not serves(k, cells - 1)
    assert not any(serves(k + 1, number) for number in range(1, cells, 16))
    assert not serves(k + 1, cells)


@pytest.mark.parametrize("budget", [1, 4])
def test_a_pair_costs_no_less_than_each_of_its_gates_alone(budget):
    pair = gates(2.0**-12, budget)
    sigmoid, tanh = alone(2.0**-12, budget)
    assert max(sigmoid, tanh) <= pair.table_bytes < sigmoid + tanh


@pytest.mark.parametrize("size", [654, 653, 400, 200, 64])
def test_with_a_limit_of_bytes_alone_the_error_is_the_least_that_fits(size):
    pair = gates(2.0**-12, max_bytes=size)
    budget = pair.sigmoid.limits.max_error
    assert pair.table_bytes <= size
    assert max(one.certificate.max_error_codes for one in both(pair)) <= budget
    if budget:
        smaller = solve(pair.sigmoid.spec, budget - 1, READINGS)
        assert smaller is None or smaller.table.bytes > size


def test_where_no_table_serves_both_there_are_two():
    pair = gates(0.125)
    assert not pair.shared
    assert {one.family for one in both(pair)} <= {"interp", "lut"}
    assert not set(pair.sigmoid.kernel.tables) & set(pair.tanh.kernel.tables)
    assert [one.certificate.max_error_codes for one in both(pair)] == [1, 1]
    assert pair.table_bytes == sum(one.kernel.table_bytes for one in both(pair))


@pytest.mark.parametrize(
    ("limits", "parts"),
    [
        ((1, 600), ("no tables of sigmoid and tanh are that small at 1 codes", "600", "654 bytes")),
        (
            (0, 30000),
            ("no tables of sigmoid and tanh", "at 0 codes", "30000", "33844 bytes or more"),
        ),
        ((None, 2), ("no shared table", "2 bytes")),
        ((-1, None), ("error budget",)),
    ],
)
def test_limits_that_nothing_meets_are_refused(refuses, limits, parts):
    with refuses(*parts):
        gates(2.0**-12, *limits)


def test_kernel_files_of_gates_are_read_back_and_state_the_command():
    for one in both(gates(2.0**-12, max_bytes=300)):
        again = fit_of_json(fit_json(one))
        assert again.kernel.digest == one.kernel.digest
        assert again.command == one.command
        assert one.command.startswith("embact gates --in-scale 0.000244140625 --max-error ")
        assert one.command.endswith(" --max-bytes 300 --out include/")
