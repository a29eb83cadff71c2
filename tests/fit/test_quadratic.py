import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.activations import CATALOGUE, activation
from embact.certify import Histogram, certify
from embact.fit import quadratic as family
from embact.fit.fold import plain
from embact.fit.line import FREE, Intervals
from embact.fit.lookup import signed_powers
from embact.fit.parabola import LIMIT, Coefficients, Piece, Slabs, powers
from embact.fit.problem import Limits, Options, Problem
from embact.fit.quadratic import quadratic
from embact.fit.quadratic_pieces import cover, reach
from embact.grid import Grid, QuantSpec
from embact.ir import Op, const, mul, saturate, x
from embact.kernel import Kernel

fixed = settings(derandomize=True, database=None, deadline=None)
SMALL, FINE, COARSE = 2.0**-126, 1e-9, 1e9


def build(act, spec, budget=1, **options):
    """Return (candidate, certificate) pairs."""
    problem = Problem(act, spec, Limits(budget), Options(**options))
    return [(one, certify(act, spec, one.kernel)) for one in quadratic(problem)]


def forms(found):
    return [(one.parameters["folded"], one.parameters["terms"]) for one, _ in found]


# Budgets


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_int8_kernel_meets_the_budget(name, spec_of):
    act = activation(name)
    found = build(act, spec_of(act))
    assert found
    for candidate, proved in found:
        assert proved.max_error_codes <= 1
        assert set(candidate.parameters) == {"pieces", "shift", "folded", "terms"}
        assert candidate.segments == ()
    assert len(set(forms(found))) == len(found)
    assert {folded for folded, _ in forms(found)} == {0, *({1} if act.symmetry != "none" else ())}


@pytest.mark.parametrize(("bits", "out_bits", "budget"), [(8, 16, 16), (16, 8, 1), (16, 16, 24)])
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "gelu", "silu", "sqnl"])
def test_kernels_of_other_widths_meet_the_budget(name, bits, out_bits, budget, spec_of):
    act = activation(name)
    found = build(act, spec_of(act, bits=bits, out_bits=out_bits), budget)
    assert {0, 1} <= {folded for folded, _ in forms(found)}
    assert max(proved.max_error_codes for _, proved in found) <= budget


@settings(fixed, max_examples=20)
@given(
    st.sampled_from(sorted(CATALOGUE)),
    st.tuples(st.floats(-5, 1), st.floats(-5, 1)),
    st.tuples(st.integers(-128, 127), st.integers(-128, 127)),
    st.sampled_from([0, 1, 3, 255]),
)
def test_any_int8_quantisation_is_served_within_budget_or_not_at_all(name, scales, zeros, budget):
    spec = QuantSpec(
        *(Grid(10.0**scale, zero, 8) for scale, zero in zip(scales, zeros, strict=True))
    )
    for _, proved in build(activation(name), spec, budget):
        assert proved.max_error_codes <= budget


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
        ("hard_swish", Grid(3e38, 0, 8), Grid(SMALL, -128, 8)),
        ("gelu", Grid(0.03, -128, 8), Grid(0.03, -128, 8)),  # zero points at the ends
        ("gelu", Grid(0.03, 127, 8), Grid(0.001, 127, 8)),
        ("elu", Grid(0.03, -128, 8), Grid(0.03, 127, 8)),
        ("leaky_relu", Grid(0.001, -32768, 16), Grid(0.1, -128, 8)),
        ("softsign", Grid(0.05, 127, 8), Grid(2.0**-15, 32767, 16)),
        ("swish", Grid(0.05, 0, 8), Grid(0.05, -32768, 16)),
    ],
)
def test_degenerate_quantisations_are_served_within_budget(name, grid_in, grid_out, budget):
    found = build(activation(name), QuantSpec(grid_in, grid_out), budget)
    assert found or (name, budget) == ("softsign", 0)
    assert all(proved.max_error_codes <= budget for _, proved in found)


def test_codes_that_do_not_occur_may_give_anything(spec_of):
    act = activation("tanh")
    spec = spec_of(act)
    histogram = Histogram(tuple(int(100 < code <= 150) for code in range(256)))
    for on_support, folded in itertools.product((False, True), repeat=2):
        problem = Problem(act, spec, Limits(1, None, on_support), Options(fold=folded), histogram)
        found = list(quadratic(problem))
        proved = [certify(act, spec, one.kernel, histogram) for one in found]
        assert max(one.max_error_codes_on_support for one in proved) <= 1
        assert (max(one.max_error_codes for one in proved) <= 1) is not on_support


# The square nonlinearity


@pytest.mark.parametrize(
    ("grid_in", "grid_out", "budget"),
    [
        (Grid(1 / 32, 0, 8), Grid(1 / 128, 0, 8), 1),
        (Grid(1 / 32, 0, 8), Grid(1 / 128, 0, 8), 0),
        (Grid(1 / 64, 5, 8), Grid(1 / 128, -3, 8), 0),
        (Grid(1 / 16, 0, 8), Grid(1 / 64, 0, 8), 1),
        (Grid(0.023, -20, 8), Grid(1 / 100, 7, 8), 0),
        (Grid(2.0**-13, 0, 16), Grid(1 / 128, 0, 8), 1),
        (Grid(2.0**-13, 0, 16), Grid(2.0**-15, 0, 16), 4),
        (Grid(1 / 32, 0, 8), Grid(2.0**-15, 0, 16), 1),
    ],
)
def test_sqnl_is_one_piece_for_each_side(grid_in, grid_out, budget):
    found = build(activation("sqnl"), QuantSpec(grid_in, grid_out), budget, terms=1)
    pieces = {
        form: one.parameters["pieces"] for form, (one, _) in zip(forms(found), found, strict=True)
    }
    assert (pieces[0, 0], pieces[1, 0]) == (2, 1)
    assert all(one.kernel.table_bytes == 0 for one, _ in found[:1])
    assert max(proved.max_error_codes for _, proved in found) <= budget


def test_sqnl_between_powers_of_two_is_its_own_formula():
    # 128 (v/32 - v|v|/4096) = (128 u - u * u) / 32 of u = min(|v|, 64), with signs
    spec = QuantSpec(Grid(1 / 32, 0, 8), Grid(1 / 128, 0, 8))
    found = build(activation("sqnl"), spec, 1, fold=True)
    assert [tuple(one.parameters.values()) for one, _ in found] == [(1, 5, 1, 0), (1, 5, 1, 1)]


# The form of a kernel


@pytest.mark.parametrize("name", ["sigmoid", "gelu", "softsign", "elu"])
def test_kernels_by_shifts_multiply_nothing_but_v_by_itself(name, spec_of):
    act = activation(name)
    found = build(act, spec_of(act))
    for candidate, _ in found:
        nodes = candidate.kernel.nodes
        products = [node.args for node in nodes if node.op is Op.MUL]
        constant = [any(arg.op is Op.CONST for arg in args) for args in products]
        # the gated fold multiplies the magnitude by the ratio of the scales
        gated = act.symmetry == "gated" and candidate.parameters["folded"]
        if candidate.parameters["terms"]:
            assert candidate.kernel.table_bytes == 0
            others = [args for args in products if args[0] is not args[1]]
            assert len(others) <= bool(gated)
            assert sum(constant) <= bool(gated)
        else:
            assert any(args[0] is not args[1] for args in products)
    assert {1, 2} & {terms for _, terms in forms(found)}


def test_options_restrict_what_is_yielded(spec_of):
    act = activation("sigmoid")
    spec = spec_of(act)
    assert {folded for folded, _ in forms(build(act, spec, fold=True))} == {1}
    assert {folded for folded, _ in forms(build(act, spec, fold=False))} == {0}
    assert {terms for _, terms in forms(build(act, spec, terms=1))} == {0, 1}
    assert build(activation("elu"), spec, fold=True) == []
    for candidate, _ in build(act, spec, budget=0, slope_bits=8):
        for table in candidate.kernel.tables:
            assert table.bits == 8 or table.name == "offsets"


def test_wider_budgets_never_take_more_pieces(spec_of):
    act = activation("sigmoid")
    spec = spec_of(act)
    for folded in (False, True):
        counts = [
            build(act, spec, budget, fold=folded)[0][0].parameters["pieces"] for budget in range(6)
        ]
        assert counts == sorted(counts, reverse=True)
        assert counts[0] > counts[-1]


@pytest.mark.parametrize("name", ["tanh", "silu"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_the_error_for_so_many_pieces_is_the_least(name, pieces, spec_of):
    act = activation(name)
    spec = spec_of(act)
    for candidate, proved in build(act, spec, segments=pieces, terms=1):
        assert candidate.parameters["pieces"] <= pieces
        fewer = build(act, spec, proved.max_error_codes - 1) if proved.max_error_codes else []
        form = candidate.parameters["folded"], candidate.parameters["terms"]
        for rival, _ in fewer:
            if (rival.parameters["folded"], rival.parameters["terms"]) == form:
                assert rival.parameters["pieces"] > pieces


def test_a_changed_coefficient_breaks_the_budget(spec_of):
    act = activation("sigmoid")
    spec = spec_of(act)
    problem = Problem(act, spec)
    curve = family._products(family._plan(plain(problem), 16), None, 16)
    worst = []
    for change in (0, 1):
        first, second, *others = curve.pieces
        second = second._replace(b=second.b + (change << curve.shift))
        changed = dataclasses.replace(curve, pieces=[first, second, *others])
        kernel = Kernel(saturate(family._by_products(changed), 8), 8, 8)
        worst.append(certify(act, spec, kernel).max_error_codes)
    assert worst[0] <= 1 < worst[1]


# The fewest pieces


def tiny():
    """Domains of a few inputs, with narrow, wide and free intervals."""
    interval = st.tuples(st.integers(-6, 6), st.integers(0, 2), st.sampled_from([0, 0, 0, 1, 2]))
    return st.tuples(st.integers(-5, 2), st.lists(interval, min_size=2, max_size=8))


def bounds_of(start, rows):
    v = np.arange(start, start + len(rows))
    low = [-FREE if free == 1 else low for low, _, free in rows]
    high = [FREE if free == 2 else low + width for low, width, free in rows]
    return Intervals(v, np.array(low), np.array(high))


def served(bounds, i, j, form):
    """Return whether some (a, b, c) serves inputs i..j-1: each a and b in turn, in Python."""
    for a, b in itertools.product(form.a, form.b):
        low, high = -form.offset_limit, form.offset_limit
        for n in range(i, j):
            v = int(bounds.x[n])
            rest = a * ((v * v) >> form.drop) + b * v
            least, most = -form.limit, form.limit
            if bounds.low[n] != -FREE:
                least = max(least, int(bounds.low[n]) << form.shift)
            if bounds.high[n] != FREE:
                most = min(most, ((int(bounds.high[n]) + 1) << form.shift) - 1)
            low, high = max(low, least - rest), min(high, most - rest)
        if low <= high:
            return True
    return False


def fewest(bounds, form):
    """Return the least number of pieces by dynamic programming over all partitions, or None."""
    least = [0]
    for j in range(1, bounds.x.size + 1):
        counts = [
            least[i] + 1 for i in range(j) if least[i] is not None and served(bounds, i, j, form)
        ]
        least.append(min(counts, default=None))
    return least[-1]


SETS = [range(-4, 5), range(-1, 2), (-4, -1, 0, 2), (0,), (-8, -4, -2, -1, 0, 1, 2, 4, 8)]


@settings(fixed, max_examples=120)
@given(
    tiny(),
    st.tuples(st.sampled_from(SETS), st.sampled_from(SETS)),
    st.integers(0, 3),
    st.sampled_from([20, 10**6]),
    st.integers(0, 1),
)
def test_no_partition_has_fewer_pieces(rows, sets, shift, offsets, drop):
    a, b = sets
    bounds = bounds_of(*rows)
    form = Coefficients(drop, shift, a, b, 1000, offsets)
    reached = reach(bounds, drop, bounds.x.size)
    found = reached and cover(bounds, reached, form, bounds.x.size)
    assert fewest(bounds, form) == (None if found is None else len(found))
    assert [one.start for one in found or ()][1:] == [one.end for one in found or ()][:-1]
    for one in found or ():
        assert one.a in a
        assert one.b in b
        v = bounds.x[one.start : one.end]
        y = (one.a * ((v * v) >> drop) + one.b * v + one.c) >> shift
        assert np.all(bounds.low[one.start : one.end] <= y)
        assert np.all(y <= bounds.high[one.start : one.end])


@settings(fixed, max_examples=150)
@given(
    st.tuples(st.integers(-9, 9), st.sampled_from([-9, -4, 0, 1, 5, 9]), st.integers(-20, 20)),
    st.integers(-4, 2),
    st.integers(2, 8),
    st.integers(0, 3),
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
)
def test_coefficients_that_serve_are_found_from_wherever_the_search_begins(
    planted, start, size, shift, near
):
    a, b, c = planted
    v = np.arange(start, start + size)
    y = (a * v * v + b * v + c) >> shift
    form = Coefficients(0, shift, range(-9, 10), (-9, -4, 0, 1, 5, 9), 10**4, 10**4)
    slabs = Slabs(Intervals(v, y, y), form)
    found = slabs.serve(0, size, near)
    assert found is not None
    piece = slabs.piece(0, size, *found)
    assert np.array_equal((piece.a * v * v + piece.b * v + piece.c) >> shift, y)


def serving(slabs):
    """Return for each a of a form, and each b, whether some c serves all inputs."""
    a, b = (np.array(list(values)) for values in (slabs.form.a, slabs.form.b))
    rest = a[:, None, None] * slabs.q + b[:, None] * slabs.v
    low, high = (slabs.lower - rest).max(-1), (slabs.upper - rest).min(-1)
    top = slabs.form.offset_limit
    return np.maximum(low, -top) <= np.minimum(high, top)


def lines(slabs, near=0):
    """Yield for each a what the test finds, and whether it holds of the a that it is about."""
    serves = serving(slabs)
    for a, row in zip(slabs.form.a, serves, strict=True):
        found = slabs._line(0, slabs.v.size, a, near)
        if isinstance(found, int):
            yield found, bool(row[list(slabs.form.b).index(found)])
        else:
            inside = [found[0] <= other <= found[1] for other in slabs.form.a]
            yield found, found[0] <= a <= found[1] and not serves[inside].any()


SPARSE = (-31, -12, -8, -4, -1, 0, 2, 4, 8, 16, 31)


@settings(fixed, max_examples=60)
@given(
    st.tuples(st.integers(-60, 40), tiny()),
    st.tuples(st.sampled_from([range(-31, 32), SPARSE]), st.sampled_from([range(-90, 91), SPARSE])),
    st.tuples(st.integers(0, 4), st.sampled_from([0, 0, 1, 3])),
    st.sampled_from([40, 10**6]),
    st.integers(-90, 90),
)
def test_what_a_test_refutes_no_coefficients_serve(rows, sets, scale, offsets, near):
    (start, (_, intervals)), (shift, drop) = rows, scale
    form = Coefficients(drop, shift, *sets, 10**4, offsets)
    assert all(holds for _, holds in lines(Slabs(bounds_of(start, intervals), form), near))


def test_a_gap_between_integers_is_followed_over_all_a():
    # 2 b + 4 a = 1: every a leaves a b between two integers
    bounds = Intervals(np.array([0, 2]), np.array([0, 1]), np.array([0, 1]))
    for b, refuted in ((range(-90, 91), (-math.inf, math.inf)), (tuple(range(-90, 91)), (3, 3))):
        slabs = Slabs(bounds, Coefficients(0, 0, range(-8, 9), b))
        assert slabs._line(0, 2, 3, 0) == refuted
        assert all(holds for _, holds in lines(slabs))


def real_fit_exists(bounds):
    """Return whether a quadratic with real coefficients serves all inputs: no four refute it.

    By Helly's theorem four inputs refute strips that no quadratic passes, and as the third divided
    difference of a quadratic is 0, they do so iff bounds that alternate give it the wrong sign.
    """
    for points in itertools.combinations(range(bounds.x.size), 4):
        for first in (0, 1):
            total = Fraction(0)
            for k, n in enumerate(points):
                lower = (k + first) % 2 == 0
                end = int(bounds.low[n]) if lower else int(bounds.high[n]) + 1
                if abs(end) >= FREE:
                    break
                v = int(bounds.x[n])
                weight = np.prod([v - int(bounds.x[m]) for m in points if m != n], dtype=object)
                total += Fraction(end - (0 if lower else Fraction(1, 1 << 24)), int(weight))
            else:
                if (total > 0) if first else (total < 0):
                    return False
    return True


@settings(fixed, max_examples=150)
@given(tiny())
def test_a_run_is_refused_for_every_shift_iff_four_inputs_refute_it(rows):
    bounds = bounds_of(*rows)
    assert (reach(bounds, 0, 1) is not None) == real_fit_exists(bounds)


def test_four_inputs_that_alternate_are_refused_and_three_are_not():
    rows = [(0, 0, 0), (3, 0, 0), (0, 0, 0), (3, 0, 0)]
    for size, single in ((3, True), (4, False)):
        bounds = bounds_of(-1, rows[:size])
        assert real_fit_exists(bounds) is single
        assert (reach(bounds, 0, 1) is not None) is single


@pytest.mark.parametrize("name", ["sigmoid", "silu"])
def test_no_shift_has_fewer_pieces(name, spec_of):
    act = activation(name)
    plan = family._plan(plain(Problem(act, spec_of(act), Limits(0))), 40)
    every = range(-(1 << 14), 1 << 14)
    counts = []
    for shift in range(20):
        form = Coefficients(plan.drop, shift, every, every, LIMIT, LIMIT)
        found = cover(plan.bounds, plan.reach, form, 40)
        counts.append(len(found) if found else 99)
    assert len(family._products(plan, None, 40).pieces) == plan.fewest <= min(counts)


@pytest.mark.parametrize("terms", [0, 1, 2])
def test_powers_are_all_sums_of_that_many(terms):
    signed = [0, *(sign << k for k in range(12) for sign in (1, -1))]
    sums = {sum(chosen) for chosen in itertools.product(signed, repeat=terms)}
    assert powers(100, terms) == sorted(total for total in sums if abs(total) <= 100)


def test_digits_are_fewest_and_add_up():
    fewer = [{0}, *(set(powers(1 << 12, terms)) for terms in (1, 2))]
    for value in range(-300, 301):
        digits = signed_powers(value)
        assert sum(sign << k for sign, k in digits) == value
        assert all(value not in sums for sums in fewer[: len(digits)])


def test_a_leaf_without_its_offset_is_another_function():
    piece = Piece(0, 256, 3, -4, 57)
    codes = np.arange(-128, 128)
    wanted = (3 * codes * codes - 4 * codes + 57) >> 10
    q = mul(x(), x())
    leaf = Kernel(family._leaf(piece, 10, q, x()), 8, 8)
    assert np.array_equal(leaf.outputs, wanted)
    other = Kernel(family._leaf(piece._replace(c=-900), 10, q, x()), 8, 8)
    assert not np.array_equal(other.outputs, wanted)
    assert family._leaf(piece._replace(a=0, b=0), 10, q, const(0)).op is Op.SHR
