import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.activations import activation
from embact.fit import least
from embact.fit.fold import View, plain
from embact.fit.least import RESOLUTION_LSB
from embact.fit.line import Form, intervals
from embact.fit.lookup import signed_powers
from embact.fit.problem import Problem
from embact.fit.runs import line_values, runs
from embact.grid import Grid, QuantSpec
from embact.ir import x


def least_error(problem, view, form, most):
    """Return the segments alone: here no clamp depends on the error."""
    segments, _ = least.least_error(problem, view, form, most)
    return segments


fixed = settings(derandomize=True, database=None, deadline=None, max_examples=60)
SPEC = QuantSpec(Grid(1 / 32, 0, 8), Grid(1 / 128, 0, 8))
SLOPE_BITS = 4
SHIFTS = (2, 0, 3, 1)
CLAMP = (-12, 12)


@st.composite
def small_cases(draw):
    """Draw at most 9 inputs and the real results wanted there."""
    start, size = draw(st.integers(-8, 4)), draw(st.integers(1, 9))
    wanted = draw(st.lists(st.floats(-12, 12, width=16), min_size=size, max_size=size))
    return np.arange(start, start + size, dtype=np.int64), np.array(wanted)


def view_of(codes, wanted):
    """Return a view of these inputs alone."""

    def remade(problem):
        error = problem.max_error_lsb
        ends = np.ceil(wanted - error), np.floor(wanted + error)
        bounds = intervals(codes, tuple(end.astype(np.int64) for end in ends), CLAMP)
        if np.any(bounds.low > bounds.high):
            return None
        return View(bounds, x(), lambda h: h, CLAMP, folded=False, remade=remade)

    return remade(dataclasses.replace(Problem(activation("tanh"), SPEC), max_error_lsb=1e3))


def outputs_of_all_lines(codes, allowed):
    """Return what every line of every shift gives: shape (lines, inputs)."""
    found = []
    for shift in SHIFTS:
        offsets = np.arange(-(1 << 9), 1 << 9)
        slopes = np.array(allowed)[:, None, None]
        values = (slopes * codes + offsets[:, None]) >> shift
        found.append(np.clip(values, *CLAMP).reshape(-1, codes.size))
    return found


def least_by_trying_all(codes, wanted, most, allowed):
    """Return the least largest error of at most so many segments of one shift."""
    best = np.inf
    for outputs in outputs_of_all_lines(codes, allowed):
        off = np.abs(outputs - wanted)
        size = codes.size
        run = {
            (start, end): off[:, start:end].max(axis=1).min()
            for start in range(size)
            for end in range(start + 1, size + 1)
        }
        reached = [0.0] + [np.inf] * size
        for _ in range(most):
            reached = [0.0] + [
                min(max(reached[start], run[start, end]) for start in range(end))
                for end in range(1, size + 1)
            ]
        best = min(best, reached[-1])
    return best


def error_of(found, codes, wanted):
    return np.abs(np.clip(line_values(found, codes), *CLAMP) - wanted).max()


@pytest.mark.parametrize("terms", [None, 0, 1, 2])
def test_the_least_error_is_that_of_trying_all_lines(terms, monkeypatch):
    monkeypatch.setattr(least, "SHIFTS", SHIFTS)
    allowed = range(-8, 8)
    if terms is not None:
        allowed = [slope for slope in allowed if len(signed_powers(slope)) <= terms]

    @fixed
    @given(small_cases(), st.integers(1, 4))
    def holds(case, most):
        codes, wanted = case
        problem = Problem(activation("tanh"), SPEC)
        found = least_error(problem, view_of(codes, wanted), Form(SLOPE_BITS, 0, terms=terms), most)
        assert len(found) <= most
        assert {one.slope for one in found} <= set(allowed)
        least_there_is = least_by_trying_all(codes, wanted, most, allowed)
        error = error_of(found, codes, wanted)
        assert least_there_is - 1e-12 <= error <= least_there_is + RESOLUTION_LSB

    holds()


def test_a_worse_fit_would_be_noticed(monkeypatch):
    codes, wanted = np.arange(6), np.array([0.0, 3.0, 1.0, 4.0, 1.0, 5.0])
    monkeypatch.setattr(least, "SHIFTS", (0,))  # of the four shifts that are tried below
    found = least_error(
        Problem(activation("tanh"), SPEC), view_of(codes, wanted), Form(SLOPE_BITS, 0), 2
    )
    assert error_of(found, codes, wanted) > least_by_trying_all(codes, wanted, 2, range(-8, 8))


@pytest.mark.parametrize(("name", "most"), [("tanh", 2), ("tanh", 7), ("gelu", 3)])
def test_nothing_below_the_least_error_is_possible_at_any_shift(name, most):
    problem = Problem(activation(name), SPEC)
    found = least_error(problem, plain(problem), Form(8, 0), most)
    error = np.abs(np.clip(line_values(found, problem.bounds().x), -128, 127) - problem.truth.lsb)
    below = dataclasses.replace(problem, max_error_lsb=error.max() - 2 * RESOLUTION_LSB)
    assert all(runs(below.bounds(), Form(8, shift), most) is None for shift in range(32))


def test_more_segments_never_have_a_larger_least_error():
    problem = Problem(activation("tanh"), SPEC)
    errors = []
    for most in (1, 2, 4, 8, 16, 256):
        found = least_error(problem, plain(problem), Form(8, 0), most)
        outputs = np.clip(line_values(found, problem.bounds().x), -128, 127)
        errors.append(np.abs(outputs - problem.truth.lsb).max())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] <= 0.5 + RESOLUTION_LSB
