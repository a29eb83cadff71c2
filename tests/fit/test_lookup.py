import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.activations import activation
from embact.errors import EmbactError
from embact.fit.line import Segment, power_sums
from embact.fit.lookup import (
    branching,
    by_multiplying,
    by_shifting,
    indexed,
    piecewise,
    signed_powers,
)
from embact.fit.problem import Limits, Options, Problem
from embact.fit.pwl import pwl
from embact.fit.runs import line_values
from embact.grid import Grid, QuantSpec, all_codes
from embact.ir import INT32_MAX, INT32_MIN, Op, evaluate, shr, topological, x

fixed = settings(derandomize=True, database=None, deadline=None, max_examples=150)
CODES = all_codes(8)


@st.composite
def segmentations(draw, spacing=0):
    """Draw lines of one shift that cover the int8 codes and start at multiples of 2**spacing."""
    cells = st.integers(1, (256 >> spacing) - 1)
    starts = sorted(draw(st.sets(cells, max_size=9)))
    firsts = [-128, *(-128 + (cell << spacing) for cell in starts)]
    shift = draw(st.integers(0, 20))
    slopes, offsets = st.integers(-(1 << 15), (1 << 15) - 1), st.integers(-(1 << 26), 1 << 26)
    return [
        Segment(first, last, draw(slopes), draw(offsets), shift)
        for first, last in zip(firsts, [*(f - 1 for f in firsts[1:]), 127], strict=True)
    ]


def same(node, found):
    """Return whether a node gives on every code what the lines give, in plain integers."""
    wanted = []
    for code in CODES.tolist():
        (one,) = [segment for segment in found if segment.first <= code <= segment.last]
        wanted.append((one.slope * code + one.offset) // 2**one.shift)
    assert line_values(found, CODES).tolist() == wanted
    return evaluate(node, CODES).tolist() == wanted


@fixed
@given(segmentations())
def test_compared_breakpoints_give_the_lines(found):
    assert same(piecewise(found, x()), found)


@fixed
@given(st.data(), st.integers(0, 6), st.booleans())
def test_an_index_table_gives_the_lines(data, spacing, direct):
    found = data.draw(segmentations(spacing))
    assert same(indexed(found, x(), spacing, direct=direct), found)


@fixed
@given(segmentations())
def test_a_tree_of_choices_gives_the_lines_with_and_without_products(found):
    assert same(branching(found, x(), by_multiplying), found)
    shifted = shr(branching(found, x(), by_shifting), found[0].shift)
    assert same(shifted, found)
    assert Op.MUL not in {node.op for node in topological(shifted)}
    assert all(node.table is None for node in topological(shifted))


@pytest.mark.parametrize("first", [-32768, 0])
def test_shifts_and_adds_stay_within_int32_wherever_the_line_does(first):
    codes = np.arange(first, 32768 if first else 65536, 5)
    for slope in (*power_sums(16, 3)[:-1:5].tolist(), 24577, 26624, 32767, -24577):
        for offset in (0, 1 << 28, -(1 << 31)):
            values = slope * codes + offset
            fits = (values >= INT32_MIN) & (values <= INT32_MAX)
            if np.any(fits):  # evaluate() refuses any value beyond int32
                node = by_shifting(Segment(0, 0, slope, offset, 0), x())
                assert np.array_equal(evaluate(node, codes[fits]), values[fits])


@pytest.mark.parametrize("leaf", [by_multiplying, by_shifting])
def test_a_line_that_leaves_int32_beyond_its_segment_is_noticed(leaf):
    flat = [Segment(first, last, 0, 7, 0) for first, last in ((-32768, -9), (10, 32767))]
    for slope, offset in ((32767, (1 << 31) - (1 << 19)), (-32768, -(1 << 31) + (1 << 19))):
        steep = Segment(-8, 9, slope, offset, 0)
        node = branching([flat[0], steep, flat[1]], x(), leaf)
        with pytest.raises(EmbactError, match="overflows"):
            evaluate(node, all_codes(16))


@pytest.mark.parametrize("fold", [False, True])
def test_int16_kernels_with_a_shift_for_each_segment_never_overflow(fold):
    source, target = Grid(1.95 / 20000, -32768, 16), Grid(1 / 20000, 12000, 16)
    options = Options(shifts="each", fold=fold)
    problem = Problem(activation("tanh"), QuantSpec(source, target), Limits(4), options)
    assert [one.kernel.table_bytes for one in pwl(problem)][:1] == [0]


def test_a_moved_breakpoint_would_be_noticed():
    found = [Segment(-128, 3, 7, 100, 2), Segment(4, 127, -3, 900, 2)]
    moved = [Segment(-128, 4, 7, 100, 2), Segment(5, 127, -3, 900, 2)]
    assert not same(piecewise(moved, x()), found)


def least_terms(most_bits, most_terms):
    """Return the least number of signed powers that add up to each integer, by trying all sums."""
    powers = [sign << k for k in range(most_bits + 2) for sign in (1, -1)]
    least = {0: 0}
    for terms in range(1, most_terms + 1):
        for some in itertools.combinations_with_replacement(powers, terms):
            least.setdefault(sum(some), terms)
    return least


def test_signed_powers_are_the_fewest_that_add_up_to_a_slope():
    least = least_terms(7, 4)
    for slope in range(-128, 129):
        terms = signed_powers(slope)
        assert sum(sign << exponent for sign, exponent in terms) == slope
        assert len(terms) == least[slope]
        assert [sign for sign, _ in terms] == sorted((s for s, _ in terms), reverse=True)


def test_the_sums_of_few_powers_are_those_with_few_signed_powers():
    for terms in (1, 2, 3):
        few = [slope for slope in range(-128, 128) if len(signed_powers(slope)) <= terms]
        assert power_sums(8, terms).tolist() == few
