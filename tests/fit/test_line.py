import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.fit import line
from embact.fit.line import FREE, Form, Intervals, intervals, power_sums
from embact.fit.runs import runs, segments
from embact.ir import INT32_MAX, INT32_MIN

fixed = settings(derandomize=True, database=None, deadline=None, max_examples=400)


def arrays(points):
    """Return the Intervals of a list of (x, low, high), where None is a free end."""
    x, low, high = zip(*points, strict=True)
    low = [-FREE if value is None else value for value in low]
    high = [FREE if value is None else value for value in high]
    return Intervals(*(np.array(column, dtype=np.int64) for column in (x, low, high)))


@st.composite
def small_cases(draw):
    """Draw at most 14 inputs with their intervals, some with free ends, and a small form."""
    start = draw(st.integers(-30, 20))
    points = []
    for x in range(start, start + draw(st.integers(1, 14))):
        low, width = draw(st.integers(-9, 9)), draw(st.integers(0, 3))
        free = draw(st.sampled_from(["", "", "", "low", "high", "both"]))
        points.append((
            x,
            None if free in ("low", "both") else low,
            None if free in ("high", "both") else low + width,
        ))  # fmt: skip
    return points, Form(draw(st.integers(2, 5)), draw(st.integers(0, 3)))


def offsets(points, form, slope):
    """Return the least and greatest offset with which a slope serves all points."""
    least, greatest = INT32_MIN * form.offset_step, INT32_MAX * form.offset_step
    at_least, at_most = [least], [greatest]
    for x, low, high in points:
        bottom = least if low is None else low * 2**form.shift
        top = greatest if high is None else (high + 1) * 2**form.shift - 1
        at_least.append(bottom - slope * x)
        at_most.append(top - slope * x)
    return max(at_least), min(at_most)


def is_served(points, form, allowed=None):
    """Decide by trying every slope."""
    every = range(-(2 ** (form.slope_bits - 1)), 2 ** (form.slope_bits - 1))
    for slope in every if allowed is None else allowed:
        low, high = offsets(points, form, slope)
        if low <= high and -(-low // form.offset_step) <= high // form.offset_step:
            return True
    return False


def least_number(points, form, allowed=None):
    """Return the least number of runs that are each served, over all partitions."""
    best = [0]
    for end in range(1, len(points) + 1):
        best.append(
            min(
                best[start] + 1
                for start in range(end)
                if is_served(points[start:end], form, allowed)
            )
        )
    return best[-1]


def check(points, form, found):
    """Assert that segments cover the points in order, and each within its intervals and int32."""
    remaining = {x: (low, high) for x, low, high in points}
    for one in found:
        assert -(2 ** (form.slope_bits - 1)) <= one.slope < 2 ** (form.slope_bits - 1)
        assert one.offset % form.offset_step == 0
        assert INT32_MIN <= one.offset // form.offset_step <= INT32_MAX
        assert one.shift == form.shift
        for x in range(one.first, one.last + 1):
            low, high = remaining.pop(x)
            value = one.slope * x + one.offset
            assert INT32_MIN <= value // form.offset_step <= INT32_MAX
            assert low is None or low <= value >> one.shift
            assert high is None or value >> one.shift <= high
    assert remaining == {}


@fixed
@given(small_cases())
def test_no_partition_has_fewer_segments(case):
    points, form = case
    found = segments(arrays(points), form, len(points))
    check(points, form, found)
    assert len(found) == least_number(points, form)


def test_such_cases_need_from_one_to_many_segments():
    up, zigzag = [(x, x, x) for x in range(9)], [(x, 9 * (x % 2), 9 * (x % 2)) for x in range(9)]
    form = Form(4, 1)
    counts = [least_number(points, form) for points in (up, zigzag)]
    assert counts == [1, 9]
    assert [len(segments(arrays(points), form, 9)) for points in (up, zigzag)] == counts


@fixed
@given(small_cases(), st.integers(0, 14))
def test_more_segments_than_allowed_are_none(case, at_most):
    points, form = case
    found = segments(arrays(points), form, at_most)
    if least_number(points, form) <= at_most:
        check(points, form, found)
    else:
        assert found is None


@fixed
@given(small_cases(), st.sampled_from([2, 4, 8]))
def test_offsets_on_a_coarser_grid_still_serve_every_input(case, step):
    points, form = case
    coarse = Form(form.slope_bits, 3, step)  # an interval of one code holds a multiple of the step
    found = segments(arrays(points), coarse, len(points))
    check(points, coarse, found)
    assert len(found) >= least_number(points, coarse)


@settings(fixed, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(8, 4), (16, 10), (24, 16), (32, 12)]))
def test_real_sized_segments_serve_every_input_and_cannot_be_extended(seed, sizes):
    rng, form = np.random.default_rng(seed), Form(*sizes)
    slow = np.cumsum(rng.integers(-2, 3, 256)) // 3
    points = [(x, int(y) - 1, int(y) + 1) for x, y in zip(range(-128, 128), slow, strict=True)]
    found = segments(arrays(points), form, 256)
    check(points, form, found)
    if form.slope_bits == 8:
        for one in found[:-1]:
            run = points[one.first + 128 : one.last + 130]
            assert not is_served(run, form)


def test_values_are_kept_inside_int32():
    # unbounded arithmetic would take one line: 10 codes per input, at 2**24 units per code
    points = [(x, 10 * (x - 100), 10 * (x - 100)) for x in range(96, 108)]
    form = Form(32, 24)
    found = segments(arrays(points), form, 99)
    check(points, form, found)
    assert len(found) > 1
    assert len(segments(arrays(points), Form(32, 16), 99)) == 1


def test_free_ends_do_not_leave_int32():
    points = [(x, None, None) for x in range(-128, 0)] + [(x, 100, None) for x in range(128)]
    form = Form(24, 24)
    found = segments(arrays(points), form, 9)
    check(points, form, found)
    assert len(found) == 1


def test_offset_alone_is_kept_inside_int32():
    # every value fits, but the line through them meets x = 0 outside int32
    points = [(x, 20 * (x - 100), 20 * (x - 100)) for x in range(97, 104)]
    form = Form(32, 22)
    assert not INT32_MIN <= -(20 * 100) << 22
    found = segments(arrays(points), form, 9)
    check(points, form, found)
    assert len(found) > 1


def test_an_input_that_no_line_serves_is_none_not_an_endless_search():
    assert segments(arrays([(0, 200, 200)]), Form(8, 24), 9) is None
    assert segments(arrays([(0, 0, 0), (1, 200, 200)]), Form(8, 24), 9) is None


def test_slopes_and_offsets_are_centred():
    # any slope from 0 to 8 and the matching offset serve; the middle leaves the most slack
    (one,) = segments(arrays([(0, -4, 4), (1, -4, 4), (2, -4, 4)]), Form(8, 4), 1)
    assert (one.slope, one.offset) == (0, 7)


def test_intervals_are_the_budget_around_the_ideal_and_free_beyond_the_clamp():
    codes = np.arange(-3, 4)
    ideal = np.array([-4, -3, -2, 0, 2, 3, 4])
    bounds = intervals(codes, (ideal - 1, ideal + 1), (-4, 4))
    assert bounds.x is codes
    assert bounds.low.tolist() == [-FREE, -FREE, -3, -1, 1, 2, 3]
    assert bounds.high.tolist() == [-3, -2, -1, 1, 3, FREE, FREE]


def test_where_no_output_serves_no_line_does():
    codes, low, high = np.arange(3), np.array([-9, 1, 9]), np.array([-9, 0, 9])
    bounds = intervals(codes, (low, high), (-4, 4))
    assert bounds.low[1] > bounds.high[1]
    assert segments(bounds, Form(8, 4), 9) is None


def test_runs_can_be_kept_to_multiples():
    points = [(x, abs(x - 21), abs(x - 21) + 1) for x in range(64)]
    for align, number in ((1, 2), (2, 2), (4, 3), (8, None)):
        found = runs(arrays(points), Form(8, 3), 99, align)
        assert number == (found and len(found))
        assert all(run.start % align == 0 for run in found or [])


@pytest.mark.parametrize(("bits", "terms"), [(3, 1), (5, 2), (6, 3)])
def test_power_sums_are_all_sums_of_so_many_signed_powers(bits, terms):
    powers = [sign * 2**k for k in range(bits) for sign in (1, -1)]
    sums = {sum(some) for n in range(terms + 1) for some in itertools.product(powers, repeat=n)}
    limit = 2 ** (bits - 1)
    assert power_sums(bits, terms).tolist() == sorted(s for s in sums if -limit <= s < limit)


@fixed
@given(small_cases(), st.integers(1, 2))
def test_sums_of_powers_use_the_fewest_segments(case, terms):
    points, plain = case
    form = Form(plain.slope_bits, plain.shift, terms=terms)
    allowed = set(power_sums(form.slope_bits, terms).tolist())
    found = segments(arrays(points), form, len(points))
    least = least_number(points, form, allowed)
    assert least == (found and len(found))
    assert all(one.slope in allowed for one in found or [])


def test_segment_search_is_deterministic():
    points = [(x, x * x // 50, x * x // 50 + 1) for x in range(-128, 128)]
    found = [segments(arrays(points), Form(16, 8), 99) for _ in range(2)]
    assert found[0] == found[1]


@pytest.mark.parametrize("change", [1, -1])
def test_a_changed_offset_is_noticed(change):
    points = [(x, x, x) for x in range(9)]
    (one,) = segments(arrays(points), Form(4, 0), 1)
    moved = line.Segment(one.first, one.last, one.slope, one.offset + change, one.shift)
    with pytest.raises(AssertionError):
        check(points, Form(4, 0), [moved])
