import numpy as np
import pytest

from embact.activations import activation
from embact.certify import ideal
from embact.fit.line import Form, Intervals
from embact.fit.problem import Limits, Options, Problem
from embact.fit.pwl import pwl
from embact.fit.runs import fewest, segments
from embact.grid import Grid, QuantSpec
from embact.ir import INT32_MAX, INT32_MIN

PLAIN = {"lookup": "compare", "shifts": "common", "clamp": "codes"}

# Least numbers of segments over the full int8 range, as published in the project's bars
MINIMA = [
    ("sigmoid", 8, 1, {8: 7, 16: 7}),
    ("sigmoid", 8, 0, {8: 22, 16: 21}),
    ("tanh", 4, 1, {8: 7, 16: 7}),
    ("tanh", 4, 0, {8: 22, 16: 21}),
    ("gelu", 4, 1, {8: 6, 16: 6}),
    ("gelu", 4, 0, {8: 12, 16: 12}),
    ("silu", 8, 1, {8: 5, 16: 5}),
    ("silu", 8, 0, {8: 14, 16: 12}),
]


def only(act, spec, limits, slope_bits=16):
    """Return the kernel over the input itself, with breakpoints that are compared."""
    options = Options(
        slope_bits=slope_bits, fold=False, lookup="compare", shifts="common", clamp="codes"
    )
    return next(pwl(Problem(act, spec, limits, options)))


def replayed(found, code, bits):
    """Return what the record's segments give for a code, in plain Python integers."""
    (one,) = [segment for segment in found if segment.first <= code <= segment.last]
    product = one.slope * code
    value = product + one.offset
    assert all(INT32_MIN <= v <= INT32_MAX for v in (one.offset, product, value))
    return min(max(value >> one.shift, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)


def check(act, spec, limits, candidate):
    """Assert that a candidate meets its budget and is what its segments say, on every input."""
    off = np.abs(candidate.kernel.outputs - ideal(act, spec).codes)
    assert int(off.max()) <= limits.max_error
    codes = spec.input.codes().tolist()
    said = [replayed(candidate.segments, code, spec.output.bits) for code in codes]
    assert candidate.kernel.outputs.tolist() == said
    assert candidate.parameters["segments"] == len(candidate.segments)
    assert {one.shift for one in candidate.segments} == {candidate.parameters["shift"]}
    limit = 2 ** (candidate.parameters["slope_bits"] - 1)
    assert all(-limit <= one.slope < limit for one in candidate.segments)


@pytest.mark.parametrize("minimum", MINIMA)
@pytest.mark.parametrize("slope_bits", [8, 16])
def test_int8_kernels_have_the_provably_least_number_of_segments(minimum, slope_bits, conventional):
    name, end, budget, least = minimum
    act, spec = activation(name), conventional(name, end)
    limits = Limits(max_error=budget)
    candidate = only(act, spec, limits, slope_bits)
    assert len(candidate.segments) == least[slope_bits]
    assert candidate.parameters["slope_bits"] == slope_bits
    check(act, spec, limits, candidate)


@pytest.mark.parametrize(
    ("name", "spec", "budget"),
    [
        ("sigmoid", QuantSpec(Grid(2.0**-12, 0, 16), Grid(2.0**-15, 0, 16)), 4),
        ("tanh", QuantSpec(Grid(2.0**-12, 500, 16), Grid(2.0**-7, 3, 8)), 1),
        ("silu", QuantSpec(Grid(0.07, -5, 8), Grid(2.0**-12, -20000, 16)), 1),
        ("softsign", QuantSpec(Grid(2.0**-12, 0, 16), Grid(2.0**-15, 0, 16)), 20),
    ],
)
@pytest.mark.parametrize("slope_bits", [8, 16])
def test_kernels_of_other_widths_meet_their_budget(name, spec, budget, slope_bits):
    limits = Limits(max_error=budget)
    check(activation(name), spec, limits, only(activation(name), spec, limits, slope_bits))


def test_one_changed_segment_would_be_noticed(conventional):
    act, spec, limits = activation("sigmoid"), conventional("sigmoid", 8), Limits()
    candidate = only(act, spec, limits)
    moved = [type(one)(one.first, one.last, one.slope, one.offset + (1 << one.shift), one.shift)
             for one in candidate.segments]  # fmt: skip
    said = [replayed(moved, code, 8) for code in range(-128, 128)]
    assert candidate.kernel.outputs.tolist() != said


def test_every_shift_that_int32_allows_is_tried():
    # outputs within +-2 codes: only a shift beyond 24 resolves the slope of a single line
    act = activation("identity")
    spec = QuantSpec(Grid(2.0**-12, 37, 16), Grid(4.0045166015625, 0, 8))
    limits = Limits(max_error=0)
    candidate = only(act, spec, limits)
    assert len(candidate.segments) == 1
    assert candidate.parameters["shift"] > 24
    check(act, spec, limits, candidate)


@pytest.mark.parametrize("name", ["tanh", "gelu"])
def test_no_shift_gives_fewer_segments(name, conventional):
    act, spec = activation(name), conventional(name, 4)
    bounds = Problem(act, spec).bounds()
    counts = [segments(bounds, Form(8, shift), 256) for shift in range(32)]
    least = min(len(found) for found in counts if found)
    assert len(only(act, spec, Limits(), 8).segments) == least


def test_a_wider_budget_never_takes_more_segments(conventional):
    act, spec = activation("silu"), conventional("silu", 8)
    counts = [len(only(act, spec, Limits(max_error=budget)).segments) for budget in range(8)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_one_segment_needs_no_table():
    act, spec = activation("relu"), QuantSpec(Grid(0.1, -128, 8), Grid(0.1, -128, 8))
    candidate = only(act, spec, Limits(max_error=0))
    assert len(candidate.segments) == 1
    assert candidate.kernel.table_bytes == 0


def test_two_segments_need_no_table():
    act, spec = activation("relu"), QuantSpec(Grid(0.1, 0, 8), Grid(0.1, 0, 8))
    limits = Limits(max_error=0)
    candidate = only(act, spec, limits)
    assert len(candidate.segments) == 2
    assert candidate.kernel.table_bytes == 0
    check(act, spec, limits, candidate)


@pytest.mark.parametrize(
    ("name", "counts"), [("sigmoid", {1: 51, 2: 37, 4: 27}), ("tanh", {1: 73, 2: 52, 4: 38})]
)
def test_int16_over_the_positive_half_has_the_provably_least_number_of_segments(name, counts):
    spec = QuantSpec(Grid(2.0**-12, 0, 16), Grid(2.0**-15, 0, 16))
    for budget, least in counts.items():
        whole = Problem(activation(name), spec, Limits(budget)).bounds()
        half = Intervals(*(values[1 << 15 :] for values in (whole.x, whole.low, whole.high)))
        found = fewest(half, Form(16, 0))
        assert found is not None
        assert len(found.runs) == least


@pytest.mark.parametrize(("slope_bits", "least"), [(8, 4), (16, 4)])
def test_folding_halves_the_segments_of_a_sigmoid(slope_bits, least, conventional):
    options = Options(
        slope_bits=slope_bits, fold=True, lookup="compare", shifts="common", clamp="codes"
    )
    problem = Problem(activation("sigmoid"), conventional("sigmoid", 8), Limits(1), options)
    (one,) = pwl(problem)
    assert one.parameters["segments"] == least
    off = np.abs(one.kernel.outputs - problem.truth.codes)
    assert int(off.max()) <= 1


def test_a_clamp_that_is_left_open_loses_no_index_table_of_the_narrower_one(conventional):
    act, spec = activation("tanh"), conventional("tanh", 2)
    sizes = {}
    for clamp in (None, "tight"):
        options = Options(lookup="index", clamp=clamp)
        found = list(pwl(Problem(act, spec, Limits(2), options)))
        sizes[clamp] = min(one.kernel.table_bytes for one in found)
    assert sizes[None] == sizes["tight"] == 14
