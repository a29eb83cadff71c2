import dataclasses
import itertools
import math

import numpy as np
import pytest

from embact.activations import CATALOGUE, activation
from embact.certify import Histogram, certify
from embact.fit import knots as module
from embact.fit.fold import fold
from embact.fit.interp import forms, interp
from embact.fit.knots import Form, cell_count, knot_count, knots
from embact.fit.line import FREE, Intervals
from embact.fit.problem import Limits, Options, Problem
from embact.grid import Grid, QuantSpec
from embact.ir import Op

SMALL, FINE, COARSE = 2.0**-126, 1e-9, 1e9
Q15 = QuantSpec(Grid(2.0**-12, 0, 16), Grid(2.0**-15, 0, 16))


def problem_of(name, spec, budget=1, **options):
    return Problem(activation(name), spec, Limits(budget), Options(**options))


def proved(problem):
    """Return a problem's candidates with their certificates, all of which meet the budget."""
    found = []
    for one in interp(problem):
        certificate = certify(problem.activation, problem.spec, one.kernel)
        assert certificate.max_error_codes <= problem.limits.max_error
        found.append((one, certificate))
    return found


def interpolated(table, form, position):
    """Return what the form gives at a position, in plain Python integers."""
    i, f = divmod(position, 1 << form.spacing_log2)
    right = table[i + 1] if f else 0
    value = table[i] * ((1 << form.spacing_log2) - f) + right * f + form.offset
    return value >> (form.spacing_log2 + form.fraction_bits)


def serves(table, form, bounds):
    given = [interpolated(table, form, p) for p in range(bounds.x.size)]
    return all(a <= y <= b for a, y, b in zip(bounds.low, given, bounds.high, strict=True))


def drawn(rng, form, size, slack):
    """Return intervals around some table of the form; half of them are moved by more than that."""
    table = rng.integers(form.low, form.high + 1, knot_count(size, form.spacing_log2)).tolist()
    ideal = np.array([interpolated(table, form, p) for p in range(size)], dtype=np.int64)
    ideal += rng.integers(-slack - 1, slack + 2, size) * rng.integers(0, 2)
    low = np.where(rng.random(size) < 0.2, -FREE, ideal - rng.integers(0, slack + 1, size))
    high = np.where(rng.random(size) < 0.2, FREE, ideal + rng.integers(0, slack + 1, size))
    return Intervals(np.arange(size), low, high)


def reachable(bounds, form):
    """Return each knot's values that some values on its left go with, pair by pair."""
    full, values = 1 << form.spacing_log2, np.arange(form.low, form.high + 1)
    scale = form.spacing_log2 + form.fraction_bits
    allowed = np.ones(values.size, dtype=bool)
    for i in range(cell_count(bounds.x.size, form.spacing_log2) + 1):
        at = i * full
        if i:
            pairs = np.repeat(allowed[:, None], values.size, axis=1)
            for p in range(at - full + 1, min(at, bounds.x.size)):
                f = p % full
                y = (values[:, None] * (full - f) + values * f + form.offset) >> scale
                pairs &= (bounds.low[p] <= y) & (y <= bounds.high[p])
            allowed = pairs.any(axis=0)
        if at < bounds.x.size:
            y = (values * full + form.offset) >> scale
            allowed = allowed & (bounds.low[at] <= y) & (y <= bounds.high[at])
        yield set(values[allowed].tolist())


# The exact solver


@pytest.mark.parametrize("spacing", [1, 2, 3])
@pytest.mark.parametrize("fraction", [0, 1, 2])
def test_a_table_is_found_exactly_where_enumeration_finds_one(spacing, fraction):
    rng = np.random.default_rng(10 * spacing + fraction)
    form = Form(spacing, fraction, int(rng.integers(0, 1 << (spacing + fraction))), -4, 3)
    outcomes = []
    for _ in range(12):
        bounds = drawn(rng, form, int(rng.integers((1 << spacing) + 1, (2 << spacing) + 2)), 1)
        every = itertools.product(
            range(form.low, form.high + 1), repeat=cell_count(bounds.x.size, spacing) + 1
        )
        table = knots(bounds, form)
        assert (table is not None) == any(serves(one, form, bounds) for one in every)
        if table is not None:
            assert serves(table, form, bounds)
            assert all(form.low <= value <= form.high for value in table)
        outcomes.append(table is not None)
    assert any(outcomes)


def test_enumeration_sees_tables_that_do_not_exist():
    form = Form(1, 0, 1, -4, 3)
    zigzag = Intervals(np.arange(4), np.array([0, 3, 0, -4]), np.array([0, 3, 0, -4]))
    assert knots(zigzag, form) is None
    ramp = Intervals(np.arange(4), np.array([0, 1, 2, 3]), np.array([0, 1, 2, 3]))
    table = knots(ramp, form)
    assert serves(table, form, ramp)
    assert not serves((table[0], table[1] + 2, *table[2:]), form, ramp)


@pytest.mark.parametrize("samples", [4, 128])
@pytest.mark.parametrize("seed", range(6))
def test_the_set_of_values_of_every_knot_is_exact(samples, seed, monkeypatch):
    monkeypatch.setattr(module, "SAMPLES", samples)
    rng = np.random.default_rng(seed)
    for spacing, fraction, slack in itertools.product((1, 2, 3), (0, 2, 4), (0, 1, 6)):
        offset = int(rng.integers(0, 1 << (spacing + fraction)))
        form = Form(spacing, fraction, offset, -150, 149)
        bounds = drawn(rng, form, int(rng.integers(3 << spacing, (4 << spacing) + 2)), slack)
        sides = module._hulls(module._sides(bounds), spacing)
        chain = module._Chain(sides, bounds.x.size, form)
        runs = [(int(chain.first[0]), int(chain.last[0]))]
        for i, expected in enumerate(reachable(bounds, form)):
            members = {v for first, last in runs for v in range(first, last + 1)}
            assert members == expected
            if not members:
                break
            runs = chain._image(i, runs) if i < chain.cells else []


def test_three_neighbours_off_every_line_are_refuted_as_the_solver_does():
    rng = np.random.default_rng(0)
    seen = {False: 0, True: 0}
    for spacing, _ in itertools.product((1, 2, 3), range(40)):
        form = Form(spacing, 1, 0, -60, 59)
        bounds = drawn(rng, form, 20, 2)
        kinked = module._kinked(bounds, spacing)
        seen[kinked] += 1
        assert not kinked or knots(bounds, form) is None
    assert min(seen.values()) > 10


def test_hulls_of_hulls_imply_the_same_as_all_points():
    problem = problem_of("gelu", QuantSpec(Grid(0.05, 3, 8), Grid(0.01, -100, 8)))
    sides, every = (module._sides(problem.bounds()) for _ in range(2))
    for k in range(1, 9):
        sides = module._hulls(sides, k)
        for kept, full, side in zip(sides, every, (1, -1), strict=True):
            for cell in np.unique(full.at >> k):
                mine, own = kept.at >> k == cell, full.at >> k == cell
                chords = np.interp(full.at[own], kept.at[mine], kept.code[mine])
                assert np.all(side * full.code[own] <= side * chords + 1e-9)
    assert sides[0].at.size < every[0].at.size / 4


# int16: the figures that the family is for


def sampled_cells(name, budget):
    """Return the fewest cells, a power of two, whose correctly rounded samples meet the budget."""
    act, codes = activation(name), Q15.input.codes() + 32768
    truth = problem_of(name, Q15).truth.codes
    for k in range(15, 0, -1):
        at = np.arange(0, 65537, 1 << k)
        table = Q15.output.quantize(act(Q15.input.real(at - 32768)))
        i, f = codes >> k, codes & ((1 << k) - 1)
        y = ((table[i] << k) + (table[i + 1] - table[i]) * f + (1 << (k - 1))) >> k
        if np.abs(np.clip(y, -32768, 32767) - truth).max() <= budget:
            return 1 << (16 - k)
    raise AssertionError(name)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_fitted_knots_need_at_most_half_the_table_of_sampled_ones(name):
    (plain, _), (half, _), *_ = proved(problem_of(name, Q15))
    sampled = sampled_cells(name, 1)
    assert plain.parameters["cells"] <= sampled / 2
    assert plain.kernel.table_bytes == 2 * (plain.parameters["cells"] + 1) <= 4096
    assert half.kernel.table_bytes <= 2 * (sampled + 1) / 2


@pytest.mark.parametrize(
    ("name", "cells", "table_bytes"), [("tanh", 1024, 2050), ("sigmoid", 256, 514)]
)
def test_int16_tables_for_one_code(name, cells, table_bytes):
    (plain, _), (half, _), *_ = proved(problem_of(name, Q15))
    assert (plain.parameters["cells"], plain.kernel.table_bytes) == (cells, table_bytes)
    assert (half.parameters["cells"], half.parameters["folded"]) == (cells / 2, 1)
    assert half.kernel.table_bytes == table_bytes / 2 + 3  # the last magnitude needs one more


def test_a_changed_knot_breaks_the_budget():
    problem = problem_of("tanh", Q15, fold=False)
    (form,) = forms(problem.bounds(), 6, 16)
    table = knots(problem.bounds(), form)
    bounds = problem.bounds()
    assert serves(table, form, bounds)
    assert not serves((*table[:512], table[512] + 3, *table[513:]), form, bounds)


def test_no_wider_cells_serve():
    problem = problem_of("sigmoid", Q15)
    whole, half = problem.bounds(), fold(problem).bounds
    for bounds, k in itertools.product((whole, half), range(9, 16)):
        assert [knots(bounds, form) for form in forms(bounds, k, 16)] in ([None], [None, None])


def test_int8_knots_are_also_tried_as_whole_codes():
    problem = problem_of("tanh", QuantSpec(Grid(0.194, -43, 8), Grid(0.109, -128, 8)), 3, fold=True)
    bounds = fold(problem).bounds
    (found, _), *_ = proved(problem)
    assert (found.kernel.table_bytes, found.parameters["fraction_bits"]) == (7, 0)
    finer = [form for form in forms(bounds, 5, 8) if form.fraction_bits > 0]
    assert len(finer) == 2
    assert [knots(bounds, form) for form in finer] == [None, None]


# Options


@pytest.mark.parametrize(
    ("name", "number", "bits"), [("tanh", 1, 8), ("silu", 8, 8), ("tanh", 1, 16), ("silu", 64, 16)]
)
def test_a_number_of_cells_has_the_least_error_of_its_forms(name, number, bits):
    spec = QuantSpec(Grid(2.0 ** (4 - bits), 100, bits), Grid(2.0**-13, -7, 16))
    problem = problem_of(name, spec, 1 << 16, segments=number)
    found = proved(problem)
    assert {one.parameters["folded"] for one, _ in found} == {0, 1}
    for one, certificate in found:
        assert number / 2 < one.parameters["cells"] <= number
        table = next((t for t in one.kernel.tables), None)
        bits, budget = table.bits if table else 16, certificate.max_error_codes - 1
        below = dataclasses.replace(problem, limits=Limits(budget))
        bounds = fold(below) if one.parameters["folded"] else below
        bounds = bounds.bounds if one.parameters["folded"] else bounds.bounds()
        tried = forms(bounds, one.parameters["spacing_log2"], bits)
        assert all(knots(bounds, form) is None for form in tried)


def test_more_cells_never_have_more_error():
    spec = QuantSpec(Grid(2.0**-5, -11, 8), Q15.output)
    for folded in (False, True):
        errors = []
        for number in (1, 2, 4, 8, 16, 32, 64, 128):
            problem = problem_of("tanh", spec, 1 << 16, segments=number, fold=folded)
            errors.append(min(certificate.max_error_codes for _, certificate in proved(problem)))
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < errors[0] / 100


def test_other_numbers_of_cells_and_unreachable_errors_yield_nothing():
    assert proved(problem_of("tanh", Q15, 1 << 16, segments=100)) == []
    assert proved(problem_of("tanh", Q15, 1 << 16, segments=1 << 16)) == []
    assert proved(problem_of("tanh", Q15, 1, segments=16)) == []


@pytest.mark.parametrize("folded", [False, True])
def test_folding_is_what_the_option_says(folded):
    found = proved(problem_of("sigmoid", Q15, fold=folded))
    assert {one.parameters["folded"] for one, _ in found} == {int(folded)}


def test_what_has_no_symmetry_does_not_fold():
    spec = QuantSpec(Grid(0.05, 0, 8), Grid(0.05, 0, 8))
    assert proved(problem_of("elu", spec, fold=True)) == []
    assert proved(problem_of("elu", spec)) != []


def test_codes_that_do_not_occur_are_free():
    counts = [int(abs(code) < 2000) for code in range(-32768, 32768)]
    problem = Problem(
        activation("tanh"), Q15, Limits(1, on_support=True), histogram=Histogram(tuple(counts))
    )
    full = {one.parameters["folded"]: one for one in interp(problem_of("tanh", Q15))}
    for one in interp(problem):
        seen = certify(problem.activation, Q15, one.kernel, problem.histogram)
        assert seen.max_error_codes_on_support <= 1 < seen.max_error_codes
        assert one.kernel.table_bytes <= full[one.parameters["folded"]].kernel.table_bytes


# Every quantisation


WIDTHS = [(name, 8, out_bits) for name in CATALOGUE for out_bits in (8, 16)]
WIDTHS += [(name, 16, out_bits) for name in ("tanh", "gelu", "elu") for out_bits in (8, 16)]

JUMPING = {"hard_shrink", "threshold", "thresholded_relu"}
"""A line between two knots does not jump, unless the knots are inputs next to each other."""


@pytest.mark.parametrize(("name", "bits", "out_bits"), WIDTHS)
def test_every_activation_and_width_pair_keeps_its_budget(name, bits, out_bits, spec_of):
    act = activation(name)
    problem = Problem(act, spec_of(act, -3.7, 6.1, bits, out_bits), Limits(2))
    found = proved(problem)
    assert found or (bits, out_bits) == (8, 16) or name in JUMPING
    for one, _ in found:
        assert one.kernel.table_bytes < out_bits // 8 << bits
        assert one.parameters["cells"] <= math.ceil(2**bits / 2 ** one.parameters["spacing_log2"])
        assert one.kernel.table_bytes in {0, *(width * knot_count_of(one) for width in (1, 2, 4))}


def knot_count_of(one):
    return next((len(table.values) for table in one.kernel.tables), 0)


@pytest.mark.parametrize("budget", [0, 1, 255])
@pytest.mark.parametrize(
    ("name", "grid_in", "grid_out"),
    [
        ("relu", Grid(0.1, 127, 8), Grid(0.1, 0, 8)),  # constant: no input above 0
        ("relu", Grid(0.1, 32767, 16), Grid(0.1, 0, 8)),
        ("sigmoid", Grid(SMALL, 0, 8), Grid(1 / 256, -128, 8)),  # constant: 1/2 everywhere
        ("identity", Grid(1.0, 0, 8), Grid(COARSE, 5, 8)),  # constant: all less than a code
        ("tanh", Grid(0.05, 0, 8), Grid(FINE, 0, 8)),  # saturated but at 0
        ("silu", Grid(0.05, 0, 16), Grid(FINE, 0, 8)),
        ("tanh", Grid(0.05, 77, 8), Grid(SMALL, 0, 16)),
        ("sigmoid", Grid(3e38, 0, 8), Grid(SMALL, 0, 16)),
        ("hard_swish", Grid(3e38, 0, 8), Grid(SMALL, -128, 8)),
        ("gelu", Grid(0.03, -128, 8), Grid(0.03, -128, 8)),  # zero points at the ends
        ("gelu", Grid(0.03, 127, 8), Grid(0.001, 127, 8)),
        ("tanh", Grid(2.0**-12, 32767, 16), Grid(2.0**-15, -32768, 16)),
        ("silu", Grid(2.0**-12, -32768, 16), Grid(2.0**-12, 32767, 16)),
        ("elu", Grid(0.03, -128, 8), Grid(0.03, 127, 8)),
        ("leaky_relu", Grid(0.001, -32768, 16), Grid(0.1, -128, 8)),
        ("softsign", Grid(0.05, 127, 8), Grid(2.0**-15, 32767, 16)),
        ("swish", Grid(0.05, 0, 8), Grid(0.05, -32768, 16)),
    ],
)
def test_degenerate_quantisations_do_not_break_it(name, grid_in, grid_out, budget):
    proved(problem_of(name, QuantSpec(grid_in, grid_out), budget))
    number = problem_of(name, QuantSpec(grid_in, grid_out), budget, segments=8)
    for one, _ in proved(number):
        assert one.parameters["cells"] <= 8


@pytest.mark.parametrize("seed", range(2))
def test_any_scales_and_zero_points_keep_the_budget(seed):
    rng = np.random.default_rng(seed)
    for name in ("tanh", "sigmoid", "gelu", "hard_swish", "softsign", "elu"):
        grids = []
        for bits in (8, 8) if name != "gelu" else (16, 8):
            half = 1 << (bits - 1)
            scale = float(10.0 ** rng.uniform(-4, 2))
            grids.append(Grid(scale, int(rng.integers(-half, half)), bits))
        proved(problem_of(name, QuantSpec(*grids), int(rng.integers(0, 4))))


def test_a_constant_needs_no_table():
    spec = QuantSpec(Grid(0.05, 0, 8), Grid(1 / 128, 0, 8))
    for one, _ in proved(problem_of("tanh", spec, 255)):
        assert [node.op for node in one.kernel.nodes] == [Op.CONST]


def test_the_same_question_has_the_same_answer():
    digests = [[one.kernel.digest for one in interp(problem_of("sigmoid", Q15))] for _ in range(2)]
    assert digests[0] == digests[1] != []
