"""What is declared about every entry: symmetries, asymptotes, values that anybody can look up."""

import math

import mpmath
import numpy as np
import pytest

from embact.activations import CATALOGUE, activation

POINTS = [*(n / 16 for n in range(1, 161)), 0.0101, 1e2, 290.0]

SYMMETRIES = {
    "none": lambda x, right, left: None,
    "odd": lambda x, right, left: right + left,
    "point": lambda x, right, left: right + left - 1,
    "gated": lambda x, right, left: right - left - x,
}


def off(act, symmetry, point):
    with mpmath.workdps(400):  # more digits than any gate needs to differ from 1
        x = mpmath.mpf(point)
        found = SYMMETRIES[symmetry](x, act.exact(x), act.exact(-x))
        return 0 if found is None else abs(found)


def test_declared_symmetry_holds_for_the_oracle(act):
    for point in POINTS:
        assert off(act, act.symmetry, point) < mpmath.mpf(10) ** -50, point


def test_none_is_declared_only_where_there_is_no_symmetry(act):
    if act.symmetry == "none" and act.values != (1.5, 1.5):  # a constant
        points = [*(0.05, 0.5, 3.25, 7.5), *(2 * abs(value) for value in act.values)]
        for name in ("odd", "point", "gated"):
            assert max(off(act, name, point) for point in points) > 1e-7, name


@pytest.mark.parametrize(
    ("name", "settings", "symmetry"),
    [
        ("leaky_relu", {"alpha": 0.0}, "gated"),
        ("leaky_relu", {"alpha": 1.0}, "odd"),
        ("leaky_relu", {}, "none"),
        ("rrelu", {"lower": -0.5, "upper": 0.5}, "gated"),
        ("rrelu", {"lower": 1.0, "upper": 1.0}, "odd"),
        ("rrelu", {"lower": 0.5, "upper": 1.5 + 2.0**-52}, "none"),  # 1 if it were rounded
        ("rrelu", {}, "none"),
        ("thresholded_relu", {"theta": 0.0}, "gated"),
        ("thresholded_relu", {}, "none"),
        ("sparse_relu", {"threshold": 0.0}, "gated"),
        ("sparse_relu", {}, "none"),
        ("threshold", {"value": 0.0}, "gated"),
        ("threshold", {}, "none"),
        ("hard_tanh", {}, "odd"),
        ("hard_tanh", {"min": -2.5, "max": 2.5}, "odd"),
        ("hard_tanh", {"min": 0.0}, "none"),
        ("soft_shrink", {"lambd": 3.0}, "odd"),
        ("squareplus", {"b": 0.0}, "gated"),
    ],
)
def test_parameters_break_and_make_symmetries(name, settings, symmetry):
    assert activation(name, **settings).symmetry == symmetry


ROUNDED = ("apl", "rrelu")
"""Their tails are sums and products of parameters, rounded to float64."""


def line(tail, x):
    return mpmath.mpf(tail[0]) * x + mpmath.mpf(tail[1])


def slack(act, tail, x):
    """Return how far a tail that is rounded to float64 may be from the asymptote."""
    size = abs(tail[0] * x) + abs(tail[1])
    return size * mpmath.mpf(2) ** -52 * (act.name in ROUNDED or tail[0] == 0)


def test_asymptotes_are_approached(act):
    for end, tail in zip((-1, 1), act.limits(), strict=True):
        if tail is None:
            continue
        distances = []
        with mpmath.workdps(60):
            for size in (1e4, 1e7, 1e10):
                x = mpmath.mpf(end * size)
                distances.append(max(0, abs(act.exact(x) - line(tail, x)) - slack(act, tail, x)))
        assert distances[0] >= distances[1] >= distances[2]
        assert distances[2] <= 2e-10 * max([1.0, *map(abs, act.values)])


def test_tails_lie_on_the_side_of_their_asymptotes_that_is_stated(act):
    for end, tail in zip((-1, 1), act.limits(), strict=True):
        if tail is None:
            continue
        side = tail[2]
        for size in (1e-4, 1.0, 14.0, 33.0, 101.0, 350.0, 1e5, 1e7):
            with mpmath.workdps(500):
                x = mpmath.mpf(end * size)
                over = act.exact(x) - line(tail, x)
                if 0 < abs(over) < mpmath.mpf("1e-40"):
                    assert mpmath.sign(over) == side, (end, size)
                elif size == 1e7:
                    assert side != 0 or abs(over) <= slack(act, tail, x) * (act.name in ROUNDED)


def test_only_exp_goes_away_from_every_line():
    assert [name for name, act in CATALOGUE.items() if None in act.limits()] == ["exp"]
    act = activation("exp")
    left, right = act.limits()
    assert left == (0.0, 0.0, 1)
    assert right is None
    values = [act.exact(mpmath.mpf(size)) / size for size in (1e2, 1e3, 1e4)]
    assert values[0] > 1e40
    assert values == sorted(values)


def test_a_wrong_asymptote_would_be_noticed(act):
    (slope, intercept, side), _ = act.limits()
    steeper, higher = slope + 1e-12 * (1 + abs(slope)), intercept + 1e-3 * (1 + abs(intercept))
    with mpmath.workdps(60):
        x = mpmath.mpf(-1e10)
        for false in ((slope, higher, side), (steeper, intercept, side)):
            over = abs(act.exact(x) - line(false, x))
            assert over - slack(act, false, x) > 2e-10 * max([1.0, *map(abs, act.values)])


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("relu_n1_to_1", -7.0, -1.0),
        ("relu_n1_to_1", 0.3, 0.3),
        ("relu6", 7.0, 6.0),
        ("clipped_relu", 7.0, 1.0),
        ("leaky_relu", -5.0, -1.0),
        ("rrelu", -48.0, -11.0),
        ("sparse_relu", 1.0, 0.0),
        ("sparse_relu", 3.0, 2.0),
        ("thresholded_relu", 1.0, 0.0),
        ("thresholded_relu", 1.25, 1.25),
        ("threshold", 0.0, 0.5),
        ("threshold", 0.1, 0.1),
        ("apl", -3.0, 0.0),
        ("soft_shrink", -2.0, -1.5),
        ("soft_shrink", 0.5, 0.0),
        ("hard_shrink", 0.5, 0.0),
        ("hard_shrink", -0.75, -0.75),
        ("tanh_shrink", 1.0, 0.23840584404423511),
        ("tanh_shrink", 1e-6, 1e-18 / 3 * (1 - 4e-13)),
        ("hard_tanh", -3.0, -1.0),
        ("hard_sigmoid", 1.5, 0.75),
        ("hard_sigmoid_02", 1.0, 0.7),
        ("hard_sigmoid_05", 0.5, 0.75),
        ("hard_swish", 1.0, 2 / 3),
        ("hard_swish", -1.5, -0.375),
        ("sigmoid", 0.0, 0.5),
        ("erf", 1.0, 0.8427007929497149),
        ("sqnl", 1.0, 0.75),
        ("sqnl", -1.0, -0.75),
        ("sqnl", 5.0, 1.0),
        ("softsign", 1.0, 0.5),
        ("softsign", -3.0, -0.75),
        ("isru", 1.0, math.sqrt(0.5)),
        ("isru", -1e20, -1.0),
        ("gelu", 1.0, 0.8413447460685429),
        ("gelu_tanh", 1.0, 0.8411919906082767),
        ("gelu_sigmoid", 1.0, 0.8457957659328212),
        ("silu", 1.0, 0.7310585786300049),
        ("mish", 1.0, 0.8650983882673103),
        ("elu", -1e9, -1.0),
        ("selu", 1.0, 1.0507009873554805),
        ("selu", -1e9, -1.7580993408473768),
        ("celu", -1.0, math.expm1(-1.0)),
        ("isrlu", 5.0, 5.0),
        ("isrlu", -1.0, -math.sqrt(0.5)),
        ("softplus", 0.0, math.log(2.0)),
        ("softplus", 800.0, 800.0),
        ("squareplus", 0.0, 1.0),
        ("squareplus", -1.5, 0.5),
        ("log_sigmoid", 0.0, -math.log(2.0)),
        ("log_sigmoid", -800.0, -800.0),
        ("exp", 1.0, math.e),
    ],
)
def test_known_values(name, x, y):
    assert float(activation(name)(np.array([x]))[0]) == pytest.approx(y, rel=1e-12)


def test_selus_constants_keep_a_normal_variable_normal():
    """Mean 0 and variance 1 are the fixed point that the paper derives lambda and alpha from."""
    act = activation("selu")
    with mpmath.workdps(30):

        def mean(power):
            def term(x):
                return act.exact(x) ** power * mpmath.npdf(x)

            return mpmath.quad(term, [-40, -10, -3, 0, 3, 10, 40])

        assert abs(mean(1)) < 1e-15
        assert abs(mean(2) - 1) < 1e-15


def test_unit_ranges_are_those_that_tflite_fixes():
    fixed = {name: act.unit_range for name, act in CATALOGUE.items() if act.unit_range}
    assert fixed == {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
