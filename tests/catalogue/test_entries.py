"""Every entry of the catalogue: its function and its derivative in float64, by its oracle."""

import math

import mpmath
import numpy as np
import pytest

from embact.activations import activation

KINKS = {
    "relu": (0.0,),
    "relu6": (0.0, 6.0),
    "relu_n1_to_1": (-1.0, 1.0),
    "clipped_relu": lambda most: (0.0, most),
    "leaky_relu": (0.0,),
    "rrelu": (0.0,),
    "sparse_relu": lambda threshold: (threshold,),
    "apl": lambda *values: (0.0, *values[1::2]),
    "soft_shrink": lambda lambd: (-lambd, lambd),
    "hard_tanh": lambda low, high: (low, high),
    "hard_sigmoid": (-3.0, 3.0),
    "hard_sigmoid_02": (-2.5, 2.5),
    "hard_sigmoid_05": (-1.0, 1.0),
    "hard_swish": (-3.0, 3.0),
    "sqnl": (-2.0, 0.0, 2.0),
    "softsign": (0.0,),
    "elu": (0.0,),
    "selu": (0.0,),
    "celu": (0.0,),
    "isrlu": (0.0,),
    "squareplus": lambda b: (0.0,) * (b < 1e-3),
    "sparse_plus": (-1.0, 1.0),
}
"""Where a derivative is not continuous, or changes at once."""
JUMPS = {
    "thresholded_relu": lambda theta: (theta,),
    "threshold": lambda threshold, _: (threshold,),
    "hard_shrink": lambda lambd: (-lambd, lambd),
}
TINY = 1e-290
"""Below it float64 has ever fewer digits."""
HUGE = 1.7e308
"""From about here on float64 has infinities."""

NEAR = [n / 16 for n in range(-160, 161)]
FAR = [sign * 10.0**e for e in range(-30, 5) for sign in (1, -1)]
FARTHER = [sign * size for size in (1e7, 1e10, 1e20, 3.4e38) for sign in (1, -1)]
AWKWARD = [
    sign * math.nextafter(at, towards)
    for at in (0.5, 1.0, 2.0, 2.5, 3.0, 6.0)
    for towards in (0.0, 9.0)
    for sign in (1, -1)
]
POINTS = sorted({*NEAR, *FAR, *AWKWARD, -37.5, -38.5, -700.0, -740.0, 36.7, 20.1, -20.1})


def places(found, act):
    return tuple(found(*act.values) if callable(found) else found)


def jumps(act):
    return places(JUMPS.get(act.name, ()), act)


def kinks(act):
    return (*places(KINKS.get(act.name, ()), act), *jumps(act))


def around(act):
    """Return the kinks and jumps, with the numbers of float64 and some more next to them."""
    near = (math.nextafter(at, towards) for at in kinks(act) for towards in (-math.inf, math.inf))
    return [*kinks(act), *near, *(at * part for at in kinks(act) for part in (0.999, 1.001))]


def exact(act, point):
    """Return the oracle at a float, with more digits than any cancellation here takes."""
    with mpmath.workdps(60):
        return act.exact(mpmath.mpf(point))


def relative_error(value, truth):
    with mpmath.workdps(60):
        if truth == 0:
            return 0 if value == 0 else math.inf
        return float(abs(mpmath.mpf(float(value)) - truth) / abs(truth))


def wrong(act, points):
    """Return the points at which float64 is not the oracle to 1e-12 of its value."""
    return [
        point
        for point, value in zip(points, act(np.array(points)), strict=True)
        if not agrees(float(value), exact(act, point))
    ]


def agrees(value, truth):
    if abs(truth) < TINY:
        return abs(value) <= TINY
    if abs(truth) > HUGE:
        return value == math.copysign(math.inf, truth)
    return relative_error(value, truth) < 1e-12


def test_float64_is_the_oracle_to_1e_12_everywhere(act):
    far = [] if act.name == "exp" else FARTHER
    assert wrong(act, [*POINTS, *far, *around(act)]) == []


def test_float64_is_the_oracle_to_1e_12_at_random_points(act):
    rng = np.random.default_rng(list(act.name.encode()))
    sizes = np.exp(rng.uniform(-60, 6.5, 60)) * rng.choice([-1.0, 1.0], 60)
    assert wrong(act, [*sizes.tolist(), *(4 * rng.standard_normal(60)).tolist()]) == []


@pytest.mark.parametrize(
    ("name", "plain", "point"),
    [
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)) * (1 + 1e-11), 1.5),
        ("tanh_shrink", lambda x: x - np.tanh(x), 1e-5),
        ("squareplus", lambda x: (x + np.sqrt(x * x + 4)) / 2, -1e10),
        ("mish", lambda x: x * np.tanh(np.log(1 + np.exp(x))), -38.5),
        ("log_sigmoid", lambda x: np.log(1 / (1 + np.exp(-x))), 36.7),
        ("elu", lambda x: np.exp(x) - 1, -1e-7),
        ("hard_sigmoid_02", lambda x: 0.2 * x + 0.5, math.nextafter(-2.5, 0.0)),
    ],
)
def test_a_careless_float64_would_be_noticed(name, plain, point):
    act = activation(name)
    assert not agrees(float(plain(np.float64(point))), exact(act, point))
    assert agrees(float(act(np.float64(point))), exact(act, point))


def difference(act, point):
    """Return the oracle's slope; digits remain even where the function is 1 to 300 of them."""
    with mpmath.workdps(600):
        x, step = mpmath.mpf(point), mpmath.mpf("1e-160")
        return (act.exact(x + step) - act.exact(x - step)) / (2 * step)


def test_derivative_is_the_oracles_to_1e_12(act):
    points = [p for p in POINTS if 1e-3 < abs(p) < 800 or p == 0]
    points = [p for p in points if all(abs(p - kink) > 1e-3 for kink in kinks(act))]
    for point, value in zip(points, act.slope(np.array(points)), strict=True):
        assert agrees(float(value), difference(act, point)), point


@pytest.mark.parametrize(
    ("name", "plain", "point"),
    [
        ("tanh", lambda x: 1 - np.tanh(x) ** 2, 10.0),
        ("sigmoid", lambda x: (1 - 1 / (1 + np.exp(-x))) / (1 + np.exp(-x)), 36.7),
        ("gelu", lambda x: 0.5 * (1 + math.erf(x / math.sqrt(2))) + 0 * x, -8.0),
    ],
)
def test_a_careless_derivative_would_be_noticed(name, plain, point):
    act = activation(name)
    truth = difference(act, point)
    assert not agrees(float(plain(np.float64(point))), truth)
    assert agrees(float(act.slope(np.float64(point))), truth)


def test_derivative_at_a_kink_or_a_jump_is_the_one_from_the_right(act):
    for kink in kinks(act):
        right = act.slope(np.array([kink, math.nextafter(kink, math.inf)]))
        assert right[0] == pytest.approx(right[1], abs=1e-8)
        with mpmath.workdps(60):
            start, beyond = (mpmath.mpf(kink) + mpmath.mpf(step) for step in ("1e-30", "2e-30"))
            slope = (act.exact(beyond) - act.exact(start)) / (beyond - start)
        if act.name != "squareplus":  # of a small b: it is smooth at that distance
            assert float(right[0]) == pytest.approx(float(slope), abs=1e-8)


def test_kinks_and_jumps_are_where_they_are_said_to_be(act):
    for at in kinks(act):
        with mpmath.workdps(60):
            x, step = mpmath.mpf(at), mpmath.mpf("1e-25")
            left, right = act.exact(x - step), act.exact(x + step)
        apart = abs(float(right - left)) > 1e-20
        assert apart == (at in jumps(act) and jumps_by(act, at) != 0), at


def jumps_by(act, at):
    return at - act.values[1] if act.name == "threshold" else at


@pytest.mark.parametrize("call", ["__call__", "slope"])
def test_finite_without_a_warning_to_the_ends_of_float32(act, call):
    ends = [*POINTS, 0.0, -0.0, 1e5, -1e5, 1e10, -1e10, 1e30, -1e30, 3.4e38, -3.4e38, 1e-45, -1e-45]
    ends += around(act)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        values = getattr(act, call)(np.array(ends))
    assert values.dtype == np.float64
    assert values.shape == (len(ends),)
    overflows = (np.array(ends) > 709.7) & (act.name == "exp")
    assert np.array_equal(np.isfinite(values), ~overflows)
    assert np.all(values[overflows] == np.inf)


def test_values_keep_the_shape_of_the_input(act):
    for shape in ((), (0,), (1,), (2, 3)):
        assert np.shape(act(np.zeros(shape))) == shape
        assert np.shape(act.slope(np.zeros(shape))) == shape


def test_the_input_is_left_as_it_is(act):
    points = np.array(POINTS)
    points.flags.writeable = False
    act(points)
    act.slope(points)
    assert points.tolist() == POINTS
