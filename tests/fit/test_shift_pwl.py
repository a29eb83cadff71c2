import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.activations import CATALOGUE, activation
from embact.fit.fold import fold
from embact.fit.line import Form, Intervals
from embact.fit.lookup import signed_powers
from embact.fit.problem import Limits, Options, Problem
from embact.fit.runs import fewest, line_values
from embact.fit.shift_pwl import COMPARE, shift_pwl, smallest
from embact.grid import Grid, QuantSpec
from embact.ir import Op

fixed = settings(derandomize=True, database=None, deadline=None, max_examples=120)

# Least numbers of segments over the full int8 range for slopes of 1 and of 2 terms
MINIMA = [
    ("sigmoid", 8, 1, {1: 13, 2: 8}),
    ("sigmoid", 8, 0, {1: 46, 2: 22}),
    ("tanh", 4, 1, {1: 13, 2: 8}),
    ("tanh", 4, 0, {1: 46, 2: 22}),
    ("gelu", 4, 1, {1: 7, 2: 6}),
    ("gelu", 4, 0, {1: 22, 2: 13}),
    ("silu", 8, 1, {1: 7, 2: 5}),
    ("silu", 8, 0, {1: 21, 2: 13}),
]


@pytest.fixture(scope="session")
def problem_of(conventional):
    def problem(name, end, budget, **options):
        return Problem(
            activation(name), conventional(name, end), Limits(budget), Options(**options)
        )

    return problem


@pytest.mark.parametrize("minimum", MINIMA)
@pytest.mark.parametrize("terms", [1, 2])
def test_int8_kernels_have_the_provably_least_number_of_segments(minimum, terms, problem_of):
    name, end, budget, least = minimum
    problem = problem_of(name, end, budget, terms=terms, fold=False, clamp="codes")
    found = list(shift_pwl(problem))
    assert min(one.parameters["segments"] for one in found) == least[terms]
    for one in found:
        off = np.abs(one.kernel.outputs - problem.truth.codes)
        assert off.max() <= budget
        assert all(len(signed_powers(line.slope)) <= terms for line in one.segments)
        lines = np.clip(line_values(one.segments, problem.bounds().x), -128, 127)
        assert np.array_equal(lines, one.kernel.outputs)


@pytest.mark.parametrize("name", CATALOGUE)
def test_kernels_have_neither_multiplications_nor_tables(name, spec_of):
    for low in (-4.0, -3.9):  # of one scale, and of scales that a shift does not relate
        act = activation(name)
        problem = Problem(act, spec_of(act, low, 4.0))
        found = list(shift_pwl(problem))
        assert found
        for one in found:
            assert {node.op for node in one.kernel.nodes}.isdisjoint({Op.MUL, Op.MULH, Op.LOOKUP})


def test_gated_activations_are_folded_where_that_needs_no_multiplication():
    for scale, folded in ((1 / 32, True), (1 / 64, True), (0.03, False)):
        spec = QuantSpec(Grid(1 / 32, 0, 8), Grid(scale, 0, 8))
        found = list(shift_pwl(Problem(activation("gelu"), spec)))
        assert any(one.parameters.get("folded") for one in found) == folded


@pytest.mark.parametrize(
    ("budget", "slope_bits", "terms", "least"), [(1, 8, 0, 4), (1, 16, 2, 5), (0, 16, 2, 11)]
)
def test_folded_sigmoid_has_the_provably_least_number_of_segments(
    budget, slope_bits, terms, least, problem_of
):
    view = fold(problem_of("sigmoid", 8, budget))
    assert len(fewest(view.bounds, Form(slope_bits, 0, terms=terms or None)).runs) == least


@pytest.mark.parametrize(
    ("name", "least"), [("sigmoid", {1: 51, 2: 37, 4: 27}), ("tanh", {1: 73, 2: 52, 4: 38})]
)
def test_int16_kernels_of_half_the_range_have_the_provably_least_number_of_segments(name, least):
    spec = QuantSpec(Grid(2.0**-12, 0, 16), Grid(2.0**-15, 0, 16))
    for budget, segments in least.items():
        problem = Problem(activation(name), spec, Limits(budget))
        whole = problem.bounds()
        half = Intervals(*(end[1 << 15 :] for end in (whole.x, whole.low, whole.high)))
        assert len(fewest(half, Form(16, 0)).runs) == segments
        # both signs: -1 is a code and 1 is not, which takes tanh one more at 2 codes
        more = (name, budget) == ("tanh", 2)
        assert len(fewest(fold(problem).bounds, Form(16, 0)).runs) == segments + more


@st.composite
def small_cases(draw):
    """Draw intervals of at most 14 inputs that lines of the slope 0 can serve one by one."""
    start, size = draw(st.integers(-20, 10)), draw(st.integers(1, 14))
    low = np.array(draw(st.lists(st.integers(-9, 9), min_size=size, max_size=size)))
    width = np.array(draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)))
    x = np.arange(start, start + size, dtype=np.int64)
    form = Form(5, draw(st.integers(0, 2)), terms=draw(st.integers(1, 2)))
    return Intervals(x, low, low + width), form


def cost_of(found):
    return sum(COMPARE + len(signed_powers(one.slope)) for one in found)


def least_cost(bounds, form):
    """Return the least total cost over all partitions and all slopes, by trying them all."""
    allowed = [slope for slope in range(-16, 16) if len(signed_powers(slope)) <= form.terms]
    x, low, high = bounds.x.tolist(), bounds.low.tolist(), bounds.high.tolist()

    def line_cost(start, end):
        costs = [len(signed_powers(slope)) for slope in allowed if serves(slope, start, end)]
        return COMPARE + min(costs) if costs else None

    def serves(slope, start, end):
        at_least = max(low[i] * 2**form.shift - slope * x[i] for i in range(start, end))
        at_most = min((high[i] + 1) * 2**form.shift - 1 - slope * x[i] for i in range(start, end))
        return at_least <= at_most

    @functools.cache
    def from_input(start):
        if start == len(x):
            return 0
        return min(
            cost + from_input(end)
            for end in range(start + 1, len(x) + 1)
            if (cost := line_cost(start, end)) is not None
        )

    return from_input(0)


@fixed
@given(small_cases())
def test_the_smallest_code_is_the_smallest_of_all_partitions_and_slopes(case):
    bounds, form = case
    found = smallest(bounds, form)
    assert [one.first for one in found] == [bounds.x[0], *(one.last + 1 for one in found[:-1])]
    values = line_values(found, bounds.x)
    assert np.all((bounds.low <= values) & (values <= bounds.high))
    assert cost_of(found) == least_cost(bounds, form)


def test_a_line_with_a_term_too_many_would_be_noticed():
    bounds = Intervals(np.arange(8), np.arange(8) * 3, np.arange(8) * 3)
    form = Form(5, 0, terms=1)
    assert cost_of(smallest(bounds, form)) == least_cost(bounds, form)
    assert least_cost(bounds, Form(5, 0, terms=2)) < least_cost(bounds, form)


def test_the_smallest_code_costs_no_more_than_that_of_the_fewest_segments(problem_of):
    for name, end in (("sigmoid", 8), ("gelu", 4)):
        problem = problem_of(name, end, 0, terms=2, fold=False)
        few, small = list(shift_pwl(problem))[:2]
        assert small.parameters["least_code"] == 1
        assert len(small.segments) >= len(few.segments)
        assert cost_of(small.segments) <= cost_of(few.segments)


def test_a_number_of_segments_gives_the_least_error_for_it(problem_of):
    errors = []
    for segments in (2, 4, 8):
        problem = problem_of("tanh", 4, 255, segments=segments, terms=1, fold=False)
        (one,) = shift_pwl(problem)
        assert len(one.segments) <= segments
        errors.append(np.abs(one.kernel.outputs - problem.truth.lsb).max())
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 2 * errors[-1]
