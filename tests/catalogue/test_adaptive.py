"""Adaptive piecewise linear units: sums that cancel, tails, and symmetries of learnt hinges."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from embact.activations import activation
from embact.catalogue.adaptive import HINGES

SEED = 20141221


def settings_of(hinges):
    return {
        f"{kind}{number}": value
        for number, pair in enumerate(hinges, 1)
        for kind, value in zip("ab", pair, strict=True)
    }


def unit(*hinges):
    return activation("apl", **settings_of(hinges))


def rational(hinges, x):
    """Return the definition without any rounding."""
    x = Fraction(x)
    rises = (Fraction(a) * max(Fraction(b) - x, Fraction(0)) for a, b in hinges)
    return max(x, Fraction(0)) + sum(rises)


def random_hinges(rng, count):
    pairs = zip(rng.normal(0, 1, count), rng.normal(0, 2, count), strict=True)
    return [(float(a), float(b)) for a, b in pairs]


@pytest.mark.parametrize("count", range(HINGES + 1))
def test_function_and_oracle_are_the_definition(count):
    rng = np.random.default_rng([SEED, count])
    hinges = random_hinges(rng, count)
    points = [*rng.normal(0, 3, 40), *(b for _, b in hinges), *(-(10.0 ** rng.uniform(-9, 9, 9)))]
    act = unit(*hinges)
    for point, value in zip(points, act(np.array(points)), strict=True):
        truth = rational(hinges, point)
        assert abs(Fraction(float(value)) - truth) <= abs(truth) * Fraction(1e-13)
        with mpmath.workdps(60):
            rounded = mpmath.mpf(truth.numerator) / truth.denominator
            assert abs(act.exact(mpmath.mpf(point)) - rounded) <= abs(rounded) * 1e-58


def test_next_to_a_zero_nothing_is_lost():
    hinges = [(-0.3, 0.7), (0.1, -1.1)]
    zero = 0.3 * 0.7 / 1.3  # x - 0.3 (0.7 - x) changes its sign here
    points = [zero * (1 + n * 2.0**-52) for n in range(-20, 21)]
    values = unit(*hinges)(np.array(points))
    truths = [rational(hinges, point) for point in points]
    assert values.tolist() == [float(truth) for truth in truths]
    plain = np.array(points) - 0.3 * (0.7 - np.array(points))
    assert any(
        abs(Fraction(float(value)) - truth) > abs(truth) * Fraction(1e-3)
        for value, truth in zip(plain, truths, strict=True)
    ), "float64 alone would lose it all"


def test_hinges_that_cancel_leave_a_relu():
    act = unit((1.5, 2.0), (-1.5, 2.0))
    points = np.linspace(-5.0, 5.0, 101)
    assert act(points).tolist() == activation("relu")(points).tolist()


def test_slopes_that_cancel_are_exact():
    hinges = [(0.1, 3.0), (0.2, 2.0), (-0.3, 1.0), (1.0, 0.0), (0.7, -1.0), (-1.7, -2.0)]
    points = [-9.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 9.0]
    exact = [(x >= 0) - sum(Fraction(a) for a, b in hinges if b > x) for x in points]
    assert unit(*hinges).slope(np.array(points)).tolist() == [float(slope) for slope in exact]
    plain = [(x >= 0) - sum(a for a, b in hinges if b > x) for x in points]
    assert any(abs(p - e) > abs(e) * Fraction(1e-3) for p, e in zip(plain, exact, strict=True))


def test_tails_are_the_sums_of_the_hinges():
    act = unit((0.25, -0.5), (-1.5, 1.25))
    assert act.limits() == ((1.25, -2.0, 0), (1.0, 0.0, 0))
    x = np.array([-100.0, 100.0])
    assert act(x).tolist() == [1.25 * -100 - 2.0, 100.0]
    assert act.slope(x).tolist() == [1.25, 1.0]


@pytest.mark.parametrize(
    ("hinges", "symmetry"),
    [
        ([], "gated"),
        ([(1.0, 0.0), (-1.0, 0.0)], "gated"),
        ([(0.25, 1.0), (0.25, -1.0), (-0.5, 0.0)], "gated"),
        ([(-1.0, 0.0)], "odd"),
        ([(0.5, 1.0), (-0.5, -1.0), (-1.0, 0.0), (-0.25, 2.0), (0.25, -2.0)], "odd"),
        ([(-1.0, 0.0), (0.5, 1.0), (-0.5, -1.0)], "point"),
        ([(-1.0, 0.0), (1 / 12, 6.0), (-1 / 12, -6.0)], "none"),  # 1/12 is not one in float64
        ([(0.25, 1.0)], "none"),
        ([(0.25, 1.0), (0.25, -1.0)], "none"),
        ([(-1.0, 0.0), (0.5, 1.0), (0.5, -1.0)], "gated"),
        ([(-1.0, 0.0), (0.5, 2.0), (-0.5, -2.0)], "none"),
    ],
)
def test_symmetry_is_that_of_the_function(hinges, symmetry):
    assert unit(*hinges).symmetry == symmetry
    points = [Fraction(n, 8) for n in range(1, 80)]
    pairs = [(x, rational(hinges, x), rational(hinges, -x)) for x in points]
    holds = {
        "odd": all(right + left == 0 for _, right, left in pairs),
        "point": all(right + left == 1 for _, right, left in pairs),
        "gated": all(right - left == x for x, right, left in pairs),
    }
    assert [name for name, there in holds.items() if there] == [symmetry] * (symmetry != "none")
