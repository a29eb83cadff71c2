"""Jumps on quantisation grids: float64 and the oracle decide alike, and both rightly."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from embact.activations import activation
from embact.certify import certify, ideal
from embact.fit.lut import lut
from embact.fit.problem import Limits, Problem
from embact.grid import Grid, QuantSpec

JUMPING = {
    "thresholded_relu": ("theta", lambda x, at: x if x > at else Fraction(0)),
    "hard_shrink": ("lambd", lambda x, at: x if abs(x) > at else Fraction(0)),
    "threshold": ("threshold", lambda x, at: x if x > at else Fraction(1, 2)),
}
SCALE = float(np.float32(0.1))
GRIDS = [Grid(0.1, 0, 8), Grid(0.1, -77, 8), Grid(2.0**-4, 5, 8)]


def places(grid):
    """Return numbers at, just below and just above codes, and one between two of them."""
    for steps in (1, 3, 10):
        at = grid.scale * steps
        yield from (at, float(np.nextafter(at, 0.0)), float(np.nextafter(at, 9.0)), at * 1.3)


CASES = [(name, grid, at) for name in JUMPING for grid in GRIDS for at in places(grid)]


@pytest.mark.parametrize(("name", "grid", "at"), CASES)
def test_float64_and_oracle_take_the_right_side_at_every_code(name, grid, at):
    parameter, meaning = JUMPING[name]
    act = activation(name, **{parameter: at})
    points = grid.real(grid.codes())
    truth = [meaning(Fraction(x), Fraction(at)) for x in points.tolist()]
    assert act(points).tolist() == [float(value) for value in truth]
    with mpmath.workdps(60):
        assert [act.exact(mpmath.mpf(x)) for x in points.tolist()] == [
            mpmath.mpf(value.numerator) / value.denominator for value in truth
        ]


@pytest.mark.parametrize(("name", "grid", "at"), CASES[::5])
def test_a_jump_is_certified_code_by_code(name, grid, at):
    parameter, meaning = JUMPING[name]
    act = activation(name, **{parameter: at})
    spec = QuantSpec(grid, Grid(grid.scale, 0, 8))
    one = next(lut(Problem(act, spec, Limits(0))))
    proved = certify(act, spec, one.kernel)
    assert proved.max_error_codes == 0
    assert proved.max_error_lsb <= 0.5
    exact = [
        meaning(Fraction(x), Fraction(at)) / Fraction(grid.scale)
        for x in grid.real(grid.codes()).tolist()
    ]
    halves = [int(abs(s) + Fraction(1, 2)) * (1 if s >= 0 else -1) for s in exact]
    assert ideal(act, spec).codes.tolist() == [min(max(code, -128), 127) for code in halves]


def test_a_threshold_that_is_off_by_one_float_would_be_noticed():
    right = activation("thresholded_relu", theta=3 * SCALE)
    wrong = activation("thresholded_relu", theta=float(np.nextafter(3 * SCALE, 0.0)))
    points = GRIDS[0].real(GRIDS[0].codes())
    assert np.count_nonzero(right(points) != wrong(points)) == 1
