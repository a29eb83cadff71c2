"""Constants: what was stored of a number gives the number back, and nothing near it does."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.grid import Grid
from embact.tflite.find.constants import code_number, float_number, simplest, uniform_number
from embact.tflite.model import parse

USUAL = [
    *(Fraction(n, 100) for n in range(1, 700)),
    *(Fraction(1, n) for n in (3, 6, 7, 9, 12, 64)),
    *map(Fraction, ("1.702", "0.044715", "1.050701", "2.5", "20", "1000", "1e-3", "0.001953125")),
]


@pytest.mark.parametrize("steps", [127, 255, 32767])
def test_a_usual_constant_comes_back_from_its_code(steps):
    bits = 16 if steps == 32767 else 8
    zero = -128 if steps == 255 else 0
    for number in USUAL:
        grid = Grid(float(np.float32(float(number) / steps)), zero, bits)
        assert code_number(zero + steps, grid) == number
        if zero == 0:
            assert code_number(-steps, grid) == -number
        assert code_number(zero, grid) == 0


def test_a_usual_constant_comes_back_from_its_float32():
    for number in USUAL:
        assert float_number(np.float32(float(number))) == number
        assert float_number(np.float32(-float(number))) == -number


@settings(derandomize=True, max_examples=200)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_is_a_number_that_rounds_to_it(value):
    found = float_number(np.float32(value))
    assert np.float32(float(found)) == np.float32(value)


@settings(derandomize=True, max_examples=200)
@given(st.floats(2.0**-100, 2.0**100, width=32), st.integers(-128, 127), st.integers(-128, 127))
def test_a_code_is_a_number_within_the_rounding_of_its_scale(scale, zero, code):
    exact = Fraction(Grid(scale, zero, 8).scale) * (code - zero)
    assert abs(code_number(code, Grid(scale, zero, 8)) - exact) <= abs(exact) / 2**23


def test_a_number_one_in_ten_thousand_off_is_another():
    for number in USUAL:
        off = float(number) * 1.0001
        assert float_number(np.float32(off)) != number
        assert code_number(127, Grid(off / 255, -128, 8)) != number


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_has_none(value):
    assert float_number(np.float32(value)) is None


def test_the_simplest_number_is_in_the_interval_and_of_its_sign():
    low, high = Fraction(31, 100), Fraction(35, 100)
    assert simplest(low, high) == Fraction(3, 10) or low <= simplest(low, high) <= high
    assert simplest(-high, -low) == -simplest(low, high)


@pytest.mark.parametrize(
    ("dtype", "data", "number"),
    [
        ("FLOAT32", np.full(4, 0.1, np.float32).tobytes(), Fraction(1, 10)),
        ("FLOAT32", np.array([0.1, 0.1, 0.1, 0.2], np.float32).tobytes(), None),
        ("FLOAT32", np.full(4, np.nan, np.float32).tobytes(), None),
        ("INT8", bytes([100] * 4), Fraction(5)),
        ("INT8", bytes([100, 100, 100, 99]), None),
        ("INT16", np.full(4, 100, np.int16).tobytes(), Fraction(5)),
        ("INT32", np.full(4, 100, np.int32).tobytes(), None),
        ("UINT8", bytes([100] * 4), None),
        ("BOOL", bytes([1] * 4), None),
    ],
)
def test_a_constant_tensor_of_one_value_is_a_number(build, dtype, data, number):
    scale = () if dtype in ("FLOAT32", "BOOL") else (0.05,)
    tensors = [build.Tensor("x"), build.Tensor("c", dtype, scale, shape=(4,), data=data)]
    model = parse(build.model_of(tensors, [], [0], [0]).content)
    assert uniform_number(model, model.tree.subgraphs[0].tensors[1]) == number
