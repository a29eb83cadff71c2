import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.grid import (
    Grid,
    all_codes,
    grid_of_range,
    quantize_multiplier,
    requantize,
    round_half_away,
)

NAN, INF = math.nan, math.inf
TOP_FLOAT32 = float(np.finfo(np.float32).max)
TOP = math.nextafter(2.0**128, 0)
"""Rounds to infinity as a float32."""
fixed = settings(derandomize=True, database=None, deadline=None)


def nearest(value):
    """Round a Fraction to the nearest integer, ties away from zero."""
    whole = math.floor(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


# The two rules of gemmlowp and TFLite, written from their definitions over Python's integers.


def saturating_rounding_doubling_high_mul(a, b):
    """Return a * b / 2**31 rounded to nearest, ties upwards."""
    # The definition adds 2**30 (or 1 - 2**30) and divides by 2**31 as C does, towards zero.
    product = a * b
    total = product + (2**30 if product >= 0 else 1 - 2**30)
    return total // 2**31 if total >= 0 else -(-total // 2**31)


def rounding_divide_by_pot(a, exponent):
    """Return a / 2**exponent rounded to nearest, ties away from zero."""
    return nearest(Fraction(a, 2**exponent))


def double_rounding(value, multiplier, shift):
    left, right = max(shift, 0), max(-shift, 0)
    high = saturating_rounding_doubling_high_mul(value * 2**left, multiplier)
    return rounding_divide_by_pot(high, right)


def single_rounding(value, multiplier, shift):
    """Return value * multiplier * 2**(shift - 31) rounded to nearest, ties upwards."""
    return math.floor(Fraction(value * multiplier, 2 ** (31 - shift)) + Fraction(1, 2))


RULES = {"single": single_rounding, "double": double_rounding}


# Grid


@pytest.mark.parametrize("scale", [0, -1, NAN, INF, -INF, 2.0**-127, 5e-324, TOP, 2.0**128, 1e300])
def test_scale_that_float32_cannot_hold_is_refused(refuses, scale):
    with refuses("scale", f"got {scale}", "2^-126..2^128"):
        Grid(scale, 0, 8)


@pytest.mark.parametrize("scale", [2.0**-126, 0.1, 1 / 3, np.float32(0.1), 1, 3.4e38, TOP_FLOAT32])
def test_scale_is_the_nearest_float32_as_a_python_float(scale):
    grid = Grid(scale, 0, 8)
    assert grid.scale == float(np.float32(scale))
    assert type(grid.scale) is float


@pytest.mark.parametrize("bits", [8, 16])
def test_reals_are_exact_products(bits):
    grid = Grid(0.1, -3, bits)
    ends = [grid.code_min, -1, 0, 7, grid.code_max]
    exact = [Fraction(grid.scale) * (code + 3) for code in ends]
    assert list(map(Fraction, grid.real(np.array(ends)).tolist())) == exact


@pytest.mark.parametrize(("bits", "outside"), [(8, -129), (8, 128), (16, -32769), (16, 32768)])
def test_zero_point_outside_the_codes_is_refused(refuses, bits, outside):
    with refuses(f"zero point outside int{bits}", f"got {outside}", "allowed: -"):
        Grid(0.1, outside, bits)


@pytest.mark.parametrize("zero_point", [3.5, NAN, "3", None])
def test_zero_point_that_is_no_integer_is_refused(refuses, zero_point):
    with refuses("zero point", "an integer"):
        Grid(0.1, zero_point, 8)


@pytest.mark.parametrize("bits", [0, 1, 4, 7, 9, 32, -8])
def test_other_widths_are_refused(refuses, bits):
    with refuses("bit width", f"got {bits}", "8, 16"):
        Grid(0.1, 0, bits)


@pytest.mark.parametrize("bits", [8, 16])
def test_codes_are_all_of_the_type_in_order(bits):
    grid, info = Grid(0.1, 0, bits), np.iinfo(f"int{bits}")
    assert grid.dtype == f"int{bits}"
    assert (grid.code_min, grid.code_max) == (info.min, info.max)
    assert grid.codes().tolist() == list(range(info.min, info.max + 1))
    assert all_codes(bits).tolist() == grid.codes().tolist()


def test_numpy_zero_points_are_kept_as_integers():
    assert type(Grid(0.1, np.int8(-128), 8).zero_point) is int


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("scale", [2.0**-126, 0.1, 1 / 3, 2.0**127])
@pytest.mark.parametrize("end", ["code_min", "code_max", "middle"])
def test_quantize_undoes_real_on_every_code(bits, scale, end):
    grid = Grid(scale, {"middle": 5}.get(end) or getattr(Grid(1, 0, bits), end), bits)
    assert np.array_equal(grid.quantize(grid.real(grid.codes())), grid.codes())


def test_quantize_rounds_ties_away_from_real_zero_and_clamps():
    grid = Grid(0.5, 3, 8)
    reals = np.array([0.25, -0.25, 0.75, -0.75, 1e9, -1e9, INF, -INF, 1e308])
    assert grid.quantize(reals).tolist() == [4, 2, 5, 1, 127, -128, 127, -128, 127]


def test_quantize_of_the_largest_reals_does_not_warn():
    assert Grid(2.0**-126, 0, 8).quantize(np.array([1.7e308, -1.7e308])).tolist() == [127, -128]


# Rounding


@pytest.mark.parametrize(
    ("x", "rounded"),
    [
        (0.5, 1),
        (-0.5, -1),
        (1.5, 2),
        (2.5, 3),
        (-2.5, -3),
        (0.49999999999999994, 0),
        (-0.49999999999999994, 0),
        (0.0, 0),
        (-0.0, 0),
        (2.0**52 + 1, 2**52 + 1),
        (2.0**51 + 0.5, 2**51 + 1),
        (-(2.0**51) - 0.5, -(2**51) - 1),
    ],
)
def test_rounding_corners(x, rounded):
    assert round_half_away(np.array([x])).tolist() == [rounded]


@fixed
@given(st.floats(-(2.0**53), 2.0**53) | st.integers(-(10**6), 10**6).map(lambda n: n / 2))
def test_rounding_equals_the_exact_definition(x):
    assert round_half_away(np.array([x])).tolist() == [nearest(Fraction(x))]


def test_rounding_half_to_even_would_be_noticed():
    assert np.rint(np.array([0.5, 2.5])).tolist() != round_half_away(np.array([0.5, 2.5])).tolist()


# TFLite's converter


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero_point"),
    [
        (0.0, 25.5, 25.5 / 255, -128),
        (-25.5, 0.0, 25.5 / 255, 127),
        (0.0, 6.0, 6.0 / 255, -128),
        (3.0, 6.0, 6.0 / 255, -128),  # widened to hold 0
        (-6.0, -3.0, 6.0 / 255, 127),
        (-1.0, 1.0, 2.0 / 255, -1),  # the tie that TFLite rounds away from 0: MobileNet's input
        (-8.0, 8.0, 16.0 / 255, -1),
        (-0.375, 6.0, 6.375 / 255, -113),
    ],
)
def test_int8_range_gives_the_grid_of_tflites_converter(low, high, scale, zero_point):
    assert grid_of_range(low, high, 8) == Grid(scale, zero_point, 8)


def test_zero_point_is_reckoned_from_the_nearer_end():
    # where -range:range leaves a tie to float64's last bit, TFLite takes the upper end's value
    differ = 0
    for n in range(1, 2000):
        end = n / 7
        scale = 2 * end / 255
        upper, lower = 127 - end / scale, -128 + end / scale
        assert grid_of_range(-end, end, 8).zero_point == nearest(Fraction(upper))
        differ += nearest(Fraction(upper)) != nearest(Fraction(lower))
    assert differ > 0


@fixed
@given(st.floats(-1e6, 0), st.floats(1e-6, 1e6))
def test_int8_range_is_covered_to_half_a_code(low, high):
    grid = grid_of_range(low, high, 8)
    ends = grid.real(np.array([-128, 127]))
    assert abs(ends[0] - low) <= 0.5001 * grid.scale
    assert abs(ends[1] - high) <= 0.5001 * grid.scale
    assert grid.real(np.array([grid.zero_point])).tolist() == [0.0]


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (-2.0, 1.0), (0.0, 2.0), (1.0, 2.0)])
def test_int16_range_is_symmetric(low, high):
    assert grid_of_range(low, high, 16) == Grid(2.0 / 32767, 0, 16)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 0), (1, 1), (2, 1), (NAN, 1), (0, NAN), (0, INF), (-INF, 0), (0, 1e-45), (-1e308, 1e308)],
)
def test_range_without_a_grid_is_refused(refuses, low, high, bits):
    with refuses("allowed"):
        grid_of_range(low, high, bits)


def test_range_of_another_width_is_refused(refuses):
    with refuses("bit width", "got 4"):
        grid_of_range(0, 1, 4)


# Requantisation


@fixed
@given(st.floats(0, 1e9) | st.floats(1e-12, 1.0))
def test_multiplier_is_the_nearest_of_31_bits(real):
    multiplier, shift = quantize_multiplier(real)
    if multiplier == 0:
        assert real < 2.0**-31
        return
    assert 2**30 <= multiplier < 2**31
    exact = Fraction(real) * Fraction(2) ** (31 - shift)
    assert multiplier == nearest(exact) or (multiplier == 2**30 and nearest(2 * exact) == 2**31)


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.0, (0, 0)),
        (1.0, (1 << 30, 1)),
        (0.75, (3 << 29, 0)),
        (1 - 2.0**-40, (1 << 30, 1)),  # the fraction rounds up to 1
        (2.0**-32, (1 << 30, -31)),
        (2.0**-33, (0, 0)),
        ((2**30 + 0.5) / 2**31, (2**30 + 1, 0)),  # a tie, away from zero
    ],
)
def test_multiplier_corners(real, expected):
    assert quantize_multiplier(real) == expected


@pytest.mark.parametrize("real", [-1.0, -1e-9, NAN, INF, 2.0**128])
def test_multiplier_outside_its_range_is_refused(refuses, real):
    with refuses("multiplier", f"got {real}"):
        quantize_multiplier(real)


@pytest.mark.parametrize("rule", RULES)
@fixed
@given(st.data())
def test_requantize_equals_the_integer_rule(rule, data):
    shift = data.draw(st.integers(-31, 8))
    multiplier = data.draw(st.integers(2**30, 2**31 - 1) | st.sampled_from([0, 2**30]))
    limit = 2 ** (31 - max(shift, 0))
    values = data.draw(st.lists(st.integers(-limit, limit - 1), min_size=1, max_size=8))
    expected = [RULES[rule](value, multiplier, shift) for value in values]
    assert requantize(np.array(values), multiplier, shift, rounding=rule).tolist() == expected


@pytest.mark.parametrize("shift", [-3, -1, 0, 1, 2])
@pytest.mark.parametrize("rule", RULES)
def test_requantize_by_powers_of_two_meets_every_tie(rule, shift):
    values = np.arange(-300, 300)
    expected = [RULES[rule](int(value), 2**30, shift) for value in values]
    assert requantize(values, 2**30, shift, rounding=rule).tolist() == expected


def test_the_two_rules_differ_so_each_test_can_tell_them_apart():
    values = np.array([-1, -3, 1, 3])
    assert requantize(values, 2**30, -1, rounding="single").tolist() == [0, -1, 0, 1]
    assert requantize(values, 2**30, -1, rounding="double").tolist() == [0, -1, 1, 1]
