"""The fewest lines: bounds from below never change what is found."""

import dataclasses

import numpy as np
import pytest

from embact.activations import activation
from embact.conventions import output_grid
from embact.fit import runs as module
from embact.fit.fold import plain
from embact.fit.line import ALL_SHIFTS, FREE, Form, Intervals, intervals
from embact.fit.problem import Limits, Problem
from embact.fit.runs import Plan, Reach, fewest, reach, runs
from embact.grid import Grid, QuantSpec

CODES = np.arange(-128, 128)


def random_bounds(seed):
    """Return intervals around a random curve: steep or flat, with kinks, jumps and free ends."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, rng.choice([0.05, 1.0, 20.0]), CODES.size) * rng.choice([0.1, 1.0])
    curve = np.cumsum(np.repeat(rng.normal(0, 1, 8), 32)) + np.cumsum(steps) * (seed % 2)
    curve = np.round(curve * rng.choice([1.0, 8.0])).astype(np.int64)
    below, above = rng.integers(0, 3, (2, CODES.size))
    return intervals(CODES, (curve - below, curve + above), (-int(rng.integers(20, 200)), 100))


def by_every_shift(bounds, form, align=1, at_most=1 << 16):
    """Return the fewest runs by trying every shift to its end, the smallest shift of the best."""
    best = None
    for shift in ALL_SHIFTS:
        tried = dataclasses.replace(form, shift=shift)
        found = runs(bounds, tried, at_most, align)
        if found and (best is None or len(found) < len(best.runs)):
            best = Plan(tried, found)
    return best


FORMS = [
    Form(16, 0),
    Form(8, 0),
    Form(16, 0, terms=1, everywhere=True),
    Form(16, 0, terms=2, everywhere=True),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("align", [1, 4])
def test_the_fewest_are_those_of_all_shifts_tried_to_their_end(form, align):
    found = 0
    for seed in range(8 if align == 1 else 24):  # few random curves are served by aligned lines
        bounds = random_bounds(seed)
        for at_most in (1 << 16, 40, 7):
            plan = fewest(bounds, form, align, at_most)
            assert plan == by_every_shift(bounds, form, align, at_most), (seed, at_most)
            found += plan is not None
    assert found >= 3


@pytest.mark.parametrize("name", ["tanh", "exp"])
@pytest.mark.parametrize("slope_bits", [8, 16])
def test_the_fewest_of_an_int16_input_are_those_of_all_shifts(name, slope_bits):
    source = Grid(5.1 / 32768, 0, 16)
    act = activation(name)
    problem = Problem(act, QuantSpec(source, output_grid(act, source, 16)), Limits(8))
    bounds, form = plain(problem).bounds, Form(slope_bits, 0)
    assert fewest(bounds, form) == by_every_shift(bounds, form)


def test_no_form_goes_farther_than_real_coefficients():
    for seed in range(12):
        bounds = random_bounds(seed)
        real = reach(bounds, 16, CODES.size)
        assert real is not None
        for shift in ALL_SHIFTS:
            found = runs(bounds, Form(16, shift), CODES.size)
            for number, run in enumerate(found or ()):
                assert run.end <= real.ends[min(number, len(real.ends) - 1)]
                assert real.need(run.start) <= len(found) - number


@pytest.mark.parametrize(
    ("start", "need"), [(0, 3), (1, 2), (10, 2), (11, 1), (25, 1), (26, 1), (99, 1), (100, 0)]
)
def test_the_need_of_an_input_is_that_of_the_run_end_before_and_after_it(start, need):
    assert Reach((10, 25, 100), 0).need(start) == need


def test_a_reach_that_is_too_short_would_be_noticed(monkeypatch):
    def pessimistic(*args, **options):
        found = reach(*args, **options)
        return found and dataclasses.replace(found, ends=(*range(1, 9), *found.ends))

    bounds, form = random_bounds(3), FORMS[1]
    most = len(by_every_shift(bounds, form).runs)
    assert fewest(bounds, form, at_most=most) == by_every_shift(bounds, form, at_most=most)
    monkeypatch.setattr(module, "reach", pessimistic)
    assert fewest(bounds, form, at_most=most) is None


def test_an_input_that_no_int32_serves_is_served_by_no_run():
    bounds = Intervals(np.arange(2), np.array([0, 1 << 20]), np.array([FREE, 1 << 20]))
    assert runs(bounds, Form(16, 10), 2) is not None
    assert runs(bounds, Form(16, 11), 2) is None
