import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.activations import activation
from embact.fit import continuous as module
from embact.fit.continuous import OVERSHOOT, continuous
from embact.fit.fold import View, fold, plain
from embact.fit.line import FREE, Form, Intervals
from embact.fit.problem import Limits, Options, Problem
from embact.fit.pwl import pwl
from embact.fit.runs import fewest, line_values
from embact.grid import Grid, QuantSpec
from embact.ir import x

fixed = settings(derandomize=True, database=None, deadline=None, max_examples=60)
TANH = QuantSpec(Grid(1 / 32, 0, 8), Grid(1 / 128, 0, 8))
SIGMOID = QuantSpec(Grid(1 / 16, 0, 8), Grid(1 / 256, -128, 8))
CLAMP = (-6, 6)


def problem_of(name, spec, budget=1, **options):
    return Problem(
        activation(name), spec, Limits(budget), Options(continuous=True, slope_bits=8, **options)
    )


def meet(found):
    """Return whether every line has the next one's value at the next one's first input."""
    return all(
        one.shift == other.shift
        and one.slope * other.first + one.offset == other.slope * other.first + other.offset
        for one, other in itertools.pairwise(found)
    )


@st.composite
def small_views(draw):
    """Draw what at most 6 inputs may give, with free ends where the clamp would serve."""
    start, size = draw(st.integers(-9, 4)), draw(st.integers(1, 6))
    low = np.array(draw(st.lists(st.integers(-6, 5), min_size=size, max_size=size)))
    high = np.minimum(low + np.array(draw(st.lists(st.integers(0, 2), min_size=size,
                                                   max_size=size))), 6)  # fmt: skip
    low, high = np.where(low <= -6, -FREE, low), np.where(high >= 6, FREE, high)
    codes = np.arange(start, start + size, dtype=np.int64)
    return View(Intervals(codes, low, high), x(), lambda h: h, CLAMP, folded=False, remade=None)


def fewest_by_trying_all(view, shifts, slopes):
    """Return the fewest pieces of a path through the bounds, turning at inputs, or None."""
    counts = []
    for shift in shifts:
        rooms = [
            range((CLAMP[0] - OVERSHOOT if low == -FREE else low) << shift,
                  ((CLAMP[1] + OVERSHOOT if high == FREE else high) + 1) << shift)
            for low, high in zip(view.bounds.low.tolist(), view.bounds.high.tolist(), strict=True)
        ]  # fmt: skip
        starts, pieces, size = {(0, value) for value in rooms[0]}, 0, len(rooms)
        seen = set(starts)
        while starts and pieces < size:
            pieces, ends = pieces + 1, set()
            for (place, value), slope in itertools.product(starts, slopes):
                for position in range(place, size):
                    at = value + slope * (position - place)
                    if at not in rooms[position]:
                        break
                    ends.add((position, at))
            if any(place == size - 1 for place, _ in ends):
                counts.append(pieces)
                break
            starts, seen = ends - seen, seen | ends
    return min(counts, default=None)


def test_the_segments_are_the_fewest_of_all_paths(monkeypatch):
    shifts, slopes = range(3), np.arange(-9, 10)
    monkeypatch.setattr(module, "SHIFTS", shifts)
    monkeypatch.setattr(module, "SLOPES", slopes)
    seen = set()

    @fixed
    @given(small_views())
    def holds(view):
        found = continuous(problem_of("tanh", TANH), view, 8)
        wanted = fewest_by_trying_all(view, shifts, slopes.tolist())
        assert (found and len(found)) == wanted
        seen.add(wanted)
        if found:
            assert meet(found)
            values = line_values(found, view.bounds.x)
            assert np.all((view.bounds.low <= values) & (values <= view.bounds.high))

    holds()
    assert len(seen) > 3


@pytest.mark.parametrize(("name", "spec", "budget"), [("tanh", TANH, 1), ("sigmoid", SIGMOID, 0)])
def test_segments_of_an_activation_meet_and_keep_the_budget(name, spec, budget):
    problem = problem_of(name, spec, budget)
    found = list(pwl(problem))
    assert {one.parameters.get("folded", 0) for one in found} == {0, 1}
    for one in found:
        assert np.abs(one.kernel.outputs - problem.truth.codes).max() <= budget
    for view in (plain(problem), fold(problem)):
        segments = continuous(problem, view, 8)
        assert meet(segments)
        free = fewest(view.bounds, Form(8, 0)).runs
        assert len(free) <= len(segments)


def test_segments_that_do_not_meet_would_be_noticed():
    problem = problem_of("tanh", TANH)
    (apart, *_) = pwl(Problem(problem.activation, TANH, Limits(1), Options(slope_bits=8)))
    assert not meet(apart.segments)


def test_lines_run_little_beyond_the_clamp():
    problem = problem_of("tanh", TANH)
    values = line_values(continuous(problem, plain(problem), 8), problem.bounds().x)
    assert values.min() >= -128 - OVERSHOOT
    assert values.max() <= 127 + OVERSHOOT


def test_a_number_of_segments_has_the_least_error_in_codes():
    spec = QuantSpec(Grid(1 / 16, 0, 8), Grid(1 / 8, 0, 8))  # outputs -8..8, so it is quick
    for most in (2, 4):
        problem = problem_of("tanh", spec, 255, segments=most)
        found = continuous(problem, plain(problem), 8)
        assert len(found) <= most
        assert meet(found)
        outputs = line_values(found, problem.bounds().x)
        error = int(np.abs(outputs - problem.truth.codes).max())
        tighter = problem_of("tanh", spec, error - 1)
        assert len(continuous(tighter, plain(tighter), 8)) > most


def test_no_number_of_segments_goes_where_no_slope_does():
    ends = np.array([0, 5000, 0])
    bounds = Intervals(np.arange(3), ends, ends)
    view = View(bounds, x(), lambda h: h, CLAMP, folded=False, remade=lambda _: view)
    for segments in (None, 2, 1 << 16):
        assert continuous(problem_of("tanh", TANH, segments=segments), view, 8) is None


def test_only_int8_inputs_and_8_bit_slopes_are_served():
    assert continuous(problem_of("tanh", TANH), plain(problem_of("tanh", TANH)), 16) is None
    wide = Problem(activation("tanh"), QuantSpec(Grid(2.0**-12, 0, 16), TANH.output))
    assert continuous(wide, plain(wide), 8) is None
