import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.activations import activation
from embact.certify import Histogram
from embact.fit import squares
from embact.fit.fold import fold, plain
from embact.fit.least import least_error
from embact.fit.line import Form
from embact.fit.problem import Problem
from embact.fit.runs import line_values
from embact.fit.squares import least_squares
from embact.grid import Grid, QuantSpec

fixed = settings(derandomize=True, database=None, deadline=None, max_examples=60)
SPEC = QuantSpec(Grid(1 / 32, 0, 8), Grid(1 / 128, 0, 8))
FAR = (-1e9, 1e9)


def squares_by_trying_all(codes, target, weights, most):
    """Return the least weighted squared distance of at most so many lines with shift 0."""
    slopes, offsets = np.arange(-8, 8)[:, None, None], np.arange(-200, 201)[:, None]
    square = weights * ((slopes * codes + offsets).reshape(-1, codes.size) - target) ** 2
    total = np.concatenate([np.zeros((len(square), 1)), np.cumsum(square, axis=1)], axis=1)
    size = codes.size
    reached = [0.0] + [np.inf] * size
    for _ in range(most):
        reached = [0.0] + [
            min(reached[s] + (total[:, end] - total[:, s]).min() for s in range(end))
            for end in range(1, size + 1)
        ]
    return reached[-1]


def least_squares_of(codes, target, weights, most, clamp=FAR):
    points = squares._Points(codes, target, weights, clamp)
    return squares._squares(points, (-8, 7), min(most, codes.size))


def squares_of(found, codes, target, weights, clamp=FAR):
    return float(np.sum(weights * (np.clip(line_values(found, codes), *clamp) - target) ** 2))


@st.composite
def weighted_cases(draw):
    """Draw at most 9 inputs, the real results wanted there, and how much each counts."""
    start, size = draw(st.integers(-8, 4)), draw(st.integers(1, 9))
    wanted = draw(st.lists(st.floats(-12, 12, width=16), min_size=size, max_size=size))
    weights = draw(st.lists(st.sampled_from((0, 1, 1, 2, 7)), min_size=size, max_size=size))
    some = (np.array(weights) + (sum(weights) == 0)).astype(float)
    return np.arange(start, start + size, dtype=np.int64), np.array(wanted), some


@fixed
@given(weighted_cases(), st.integers(1, 4))
def test_the_least_squared_distance_is_that_of_trying_all_lines(case, most):
    codes, target, weights = case
    found = least_squares_of(codes, target, weights, most)
    assert len(found) <= most
    assert [one.first for one in found] == [codes[0], *(one.last + 1 for one in found[:-1])]
    wanted = squares_by_trying_all(codes, target, weights, most)
    assert abs(squares_of(found, codes, target, weights) - wanted) <= 1e-9 * (1 + wanted)


@fixed
@given(weighted_cases(), st.integers(1, 4))
def test_leaving_ends_to_the_clamp_never_costs_anything(case, most):
    codes, target, weights = case
    target = np.clip(target, -5, 5)
    found = least_squares_of(codes, target, weights, most, (-5.0, 5.0))
    clamped = squares_of(found, codes, target, weights, (-5, 5))
    assert clamped <= squares_by_trying_all(codes, target, weights, most) + 1e-9


def mse_of(problem, found):
    outputs = np.clip(line_values(found, problem.bounds().x), -128, 127)
    weights = 1 / 256 if problem.histogram is None else problem.histogram.weights
    return float(np.sum(weights * (outputs - problem.truth.lsb) ** 2))


def test_the_mean_square_is_smaller_than_that_of_the_least_largest_error():
    for name, most in (("tanh", 4), ("gelu", 3)):
        problem = Problem(activation(name), SPEC)
        mean = least_squares(problem, plain(problem), Form(8, 0), most)
        largest, _ = least_error(problem, plain(problem), Form(8, 0), most)
        assert len(mean) <= most
        assert mse_of(problem, mean) < mse_of(problem, largest)


def test_no_change_of_one_coefficient_makes_the_mean_square_smaller():
    problem = Problem(activation("tanh"), SPEC)
    found = least_squares(problem, plain(problem), Form(8, 0), 4)
    least_there_is = mse_of(problem, found)
    for place, one in enumerate(found):
        for slope, offset in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, -one.last), (-1, one.first)):
            moved = dataclasses.replace(one, slope=one.slope + slope, offset=one.offset + offset)
            changed = [*found[:place], moved, *found[place + 1 :]]
            assert mse_of(problem, changed) >= least_there_is - 1e-12


def test_a_histogram_weighs_the_inputs():
    counts = np.ones(256, dtype=int)
    counts[100:150] = 1000
    plainly = Problem(activation("tanh"), SPEC)
    weighed = dataclasses.replace(plainly, histogram=Histogram(tuple(counts.tolist())))
    one, other = (least_squares(p, plain(p), Form(8, 0), 3) for p in (weighed, plainly))
    assert mse_of(weighed, one) < mse_of(weighed, other)
    assert mse_of(plainly, other) < mse_of(plainly, one)


def test_only_plain_views_of_int8_inputs_have_a_least_mean_square():
    wide = Problem(activation("tanh"), QuantSpec(Grid(2.0**-12, 0, 16), SPEC.output))
    assert least_squares(wide, plain(wide), Form(8, 0), 3) is None
    problem = Problem(activation("tanh"), SPEC)
    assert least_squares(problem, fold(problem), Form(8, 0), 3) is None
