"""Requantisation against its definition in unbounded integers, and the C against it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from embact.fit.tflm_arithmetic import Scaling
from embact.grid import Grid, QuantSpec
from embact.nn.arithmetic import Offsets, offsets_of, requantize, scaling
from embact.run.build import extension
from embact.sources import c_source

LOW, HIGH = -(1 << 31), (1 << 31) - 1
VALUES = [LOW, LOW + 1, -(1 << 30), -65536, -3, -2, -1, 0, 1, 2, 3, 65535, 1 << 30, HIGH - 1, HIGH]
MULTIPLIERS = [-HIGH, -(1 << 30), -1, 0, 1, 1 << 30, (1 << 30) + 1, 3 << 29, HIGH]

WRAPPER = """
#include "embact_nn_arithmetic.h"
void requantize(const int32_t *values, int32_t *results, int32_t size, int32_t multiplier,
                int32_t shift);
void requantize(const int32_t *values, int32_t *results, int32_t size, int32_t multiplier,
                int32_t shift) {
    for (int32_t i = 0; i < size; ++i) {
        results[i] = embact_nn_requantize(values[i], multiplier, shift);
    }
}
"""
CDEF = (
    "void requantize(const int32_t *values, int32_t *results, int32_t size, "
    "int32_t multiplier, int32_t shift);"
)


def limited(value):
    return min(max(value, LOW), HIGH)


def ties_up(real):
    return (real + Fraction(1, 2)).__floor__()


def ties_away(real):
    whole = ties_up(abs(real))
    return whole if real >= 0 else -whole


def defined(value, multiplier, shift, rounding):
    """What the header promises, by rational numbers."""
    if rounding == "single":
        return limited(ties_up(Fraction(value * multiplier) * Fraction(2) ** (shift - 31)))
    left, right = max(shift, 0), max(-shift, 0)
    high = ties_up(Fraction(limited(value << left) * multiplier, 1 << 31))
    return ties_away(Fraction(high, 1 << right))


def cases():
    rng = np.random.default_rng(11)
    ends = [(m, s) for m in MULTIPLIERS for s in (-31, -30, -16, -1, 0, 1, 2, 29, 30)]
    drawn = zip(rng.integers(-HIGH, HIGH + 1, 100), rng.integers(-31, 31, 100), strict=True)
    return [*ends, *((int(m), int(s)) for m, s in drawn)]


def values_near_ties(multiplier):
    rng = np.random.default_rng(12)
    drawn = rng.integers(LOW, HIGH + 1, 40).tolist() + rng.integers(-70000, 70000, 40).tolist()
    return np.array([*VALUES, *drawn], dtype=np.int64)


def test_requantize_is_its_definition(rounding):
    for multiplier, shift in cases():
        values = values_near_ties(multiplier)
        expected = [defined(value, multiplier, shift, rounding) for value in values.tolist()]
        found = requantize(values, Scaling(multiplier, shift), rounding)
        assert found.tolist() == expected, (multiplier, shift)


def test_requantize_in_c_is_its_definition(rounding, flags):
    name = "embact_nn_arithmetic.h"
    sources = {name: c_source(f"nn/{name}"), "wrapper.c": WRAPPER}
    built = extension("nn_requantize", CDEF, sources, flags=flags)
    for multiplier, shift in cases():
        values = values_near_ties(multiplier).astype(np.int32)
        results = np.zeros_like(values)
        ends = (
            built.ffi.from_buffer("int32_t[]", values),
            built.ffi.from_buffer("int32_t[]", results),
        )
        built.lib.requantize(*ends, values.size, multiplier, shift)
        expected = requantize(values.astype(np.int64), Scaling(multiplier, shift), rounding)
        assert np.array_equal(results, expected), (multiplier, shift)


def test_the_two_roundings_differ():
    """Negative control: a tie at the first rounding is seen by two roundings only."""
    values, factor = np.array([-1, 1, 3]), Scaling(1 << 30, -1)
    assert requantize(values, factor, "double").tolist() == [0, 1, 1]
    assert requantize(values, factor, "single").tolist() == [0, 0, 1]


@pytest.mark.parametrize("factor", [Scaling(LOW, 0), Scaling(1, 31), Scaling(1, -32)])
def test_other_factors_are_refused(refuses, factor):
    with refuses("multiplier"):
        requantize(np.array([0]), factor, "double")


def test_offsets_are_those_of_zero_points(refuses):
    for bits in (8, 16):
        half = 1 << (bits - 1)
        for zero in (-half, half - 1):
            grid = Grid(0.1, zero, bits)
            assert offsets_of(QuantSpec(grid, grid)) == Offsets(-zero, zero, bits)
        with refuses("input offset", f"{1 - half}..{half}"):
            Offsets(-half, 0, bits)
        with refuses("output offset", f"{-half}..{half - 1}"):
            Offsets(0, half, bits)
    with refuses("widths", "int8, int16"):
        offsets_of(QuantSpec(Grid(0.1, 0, 8), Grid(0.1, 0, 16)))


@pytest.mark.parametrize("factor", [2.0**30, float("inf"), float("nan"), -1.0])
def test_factors_out_of_reach_are_refused_by_name(refuses, factor):
    with refuses("in_scale / out_scale", "2^30"):
        scaling(factor, "in_scale / out_scale")


def test_a_factor_that_rounds_up_to_the_limit_is_refused(refuses):
    with refuses("shift of a multiplier"):
        scaling(2.0**30 * (1 - 2.0**-53), "in_scale / out_scale")
