import itertools
import math

import numpy as np
import pytest

from embact.activations import activation
from embact.fit.real import least_squares, minimax
from embact.fit.real_corridor import Corridor, cover

FUNCTIONS = {
    "sigmoid": (activation("sigmoid"), -8, 8),
    "tanh": (activation("tanh"), -4, 4),
    "gelu": (activation("gelu"), -4, 4),
    "silu": (activation("silu"), -8, 8),
    "exp": (lambda x: np.exp(-x), 0, 8),
    "softplus": (lambda x: np.log1p(np.exp(x)), -8, 8),
}
COUNTS = 2, 4, 8, 16, 32

CONTINUOUS = {
    "sigmoid": (0.206, 0.02917, 6.04e-3, 1.40e-3, 3.39e-4),
    "tanh": (0.412, 0.0583, 1.21e-2, 2.80e-3, 6.77e-4),
    "gelu": (0.0850, 0.03312, 6.23e-3, 2.11e-3, 5.06e-4),
    "silu": (0.139, 0.0497, 9.75e-3, 3.30e-3, 7.89e-4),
    "exp": (0.0666, 0.01566, 3.82e-3, 9.46e-4, 2.36e-4),
    "softplus": (0.199, 0.0410, 9.56e-3, 2.33e-3, 5.77e-4),
}
APART = CONTINUOUS | {
    "sigmoid": (0.134, 0.02530, 5.67e-3, 1.36e-3, 3.34e-4),
    "tanh": (0.269, 0.0506, 1.13e-2, 2.72e-3, 6.67e-4),
    "gelu": (0.0850, 0.03310, 6.23e-3, 2.03e-3, 4.92e-4),
    "silu": (0.139, 0.0497, 9.75e-3, 3.23e-3, 7.87e-4),
}
POWERS = {  # 4 segments with one and two terms, 8 segments likewise
    "sigmoid": (0.0453, 0.0264, 0.01133, 0.00625),
    "tanh": (0.0907, 0.0528, 0.0227, 0.0125),
    "gelu": (0.0425, 0.0342, 0.0226, 0.0084),
    "silu": (0.0690, 0.0535, 0.0377, 0.0167),
    "exp": (0.0305, 0.0171, 0.0107, 0.0051),
}
HALF_WAY = ((0.0, 0.5),)
LEARNED = {  # 8 and 16 segments on the coefficient grid of GQA-LUT
    "gelu": (activation("gelu"), -4, 4, 2.78e-5, 3.25e-6),
    "exp": (np.exp, -8, 0, 1.12e-5, 4.78e-6),
    "hard_swish": (activation("hard_swish"), -4, 4, 1.12e-4, 8.07e-6),
}


def rows():
    for meets, table in ((True, CONTINUOUS), (False, APART)):
        for name, optima in table.items():
            for count, optimum in zip(COUNTS, optima, strict=True):
                yield name, count, {"continuous": meets}, optimum
    for name, optima in POWERS.items():
        for (count, terms), optimum in zip(itertools.product((4, 8), (1, 2)), optima, strict=True):
            yield name, count, {"terms": terms}, optimum


ROWS = list(rows())
FEW = [row for row in ROWS if row[0] in {"sigmoid", "gelu"} and row[1] in {2, 8}]


def near(found, optimum):
    # the tables have three digits or more
    return found == pytest.approx(optimum, rel=0.01)


def check_row(name, count, form, optimum):
    function, low, high = FUNCTIONS[name]
    fit = minimax(function, low, high, count, **form)
    assert near(fit.max_error, optimum)
    assert near(fit.least, optimum)
    assert fit.segments <= count


@pytest.mark.parametrize(("name", "count", "form", "optimum"), FEW)
def test_known_optima_are_met(name, count, form, optimum):
    check_row(name, count, form, optimum)


@pytest.mark.slow
def test_every_known_optimum_is_met():
    for row in ROWS:
        check_row(*row)


def test_an_optimum_that_is_two_percent_off_would_be_seen():
    with pytest.raises(AssertionError):
        check_row("sigmoid", 8, {"continuous": True}, 6.04e-3 * 1.02)


@pytest.mark.parametrize(("terms", "optimum"), [(1, 0.01573), (2, 0.00636)])
def test_half_a_sigmoid_in_four_pieces_through_one_half(terms, optimum):
    fit = minimax(activation("sigmoid"), 0, 8, 4, terms=terms, through=HALF_WAY)
    assert near(fit.max_error, optimum)
    assert fit(np.array(0.0)) == 0.5


@pytest.mark.parametrize("name", LEARNED)
def test_optima_on_the_grid_of_learned_tables_are_met(name):
    function, low, high, *optima = LEARNED[name]
    for count, optimum in zip((8, 16), optima, strict=True):
        fit = least_squares(
            function, low, high, count, coefficient_step=2**-6, breakpoint_step=2**-5
        )
        assert near(fit.mean_squared_error, optimum)
        assert fit.least == pytest.approx(fit.mean_squared_error, rel=1e-6)
        assert np.array_equal(np.array(fit.slopes) * 64 % 1, np.zeros(fit.segments))
        assert np.array_equal(np.array(fit.intercepts) * 64 % 1, np.zeros(fit.segments))
        assert np.array_equal(np.array(fit.breakpoints) * 32 % 1, np.zeros(fit.segments - 1))


# Brute force on small grids


def wave(seed, points):
    """A function that is linear between a few random points of [0, 1]."""
    x = np.linspace(0, 1, points)
    y = np.random.default_rng(seed).normal(size=points)
    return lambda at: np.interp(at, x, y)


def half_width(x, y, slopes):
    """The least maximum error of one line: its slope is that of two of the points."""
    if slopes is None:
        slopes = [
            (y[j] - y[i]) / (x[j] - x[i]) for i, j in itertools.combinations(range(x.size), 2)
        ]
    return min((np.ptp(y - slope * x) / 2 for slope in slopes), default=0.0)


def fewest_error(function, count, cells, slopes, shared):
    """The least maximum error with breakpoints at points, that two pieces share or that one has."""
    x = np.linspace(0, 1, cells + 1)
    y = function(x)
    size = cells + 1
    best = [half_width(x[:j], y[:j], slopes) for j in range(1, size + 1)]  # of the first j points
    price = {
        (i, j): half_width(x[i:j], y[i:j], slopes)
        for i in range(size)
        for j in range(i + 1, size + 1)
    }
    for _ in range(count - 1):
        best = [
            min([best[j - 1]] + [max(best[i - 1], price[i - shared, j]) for i in range(1, j)])
            for j in range(1, size + 1)
        ]
    return best[-1]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("terms", [None, 1])
def test_no_placement_of_breakpoints_beats_the_fit(seed, terms):
    function = wave(seed, 7)
    slopes = None
    if terms:
        steepest = np.abs(np.diff(function(np.linspace(0, 1, 7)))).max() * 6
        top = math.ceil(math.log2(steepest)) + 1
        slopes = [0.0, *(s * 2.0**k for k in range(top - 12, top + 1) for s in (-1, 1))]
    fit = minimax(function, 0, 1, 3, terms=terms, points=7)
    # pieces that share a point are a fit of this form, points owned by one piece bind it less
    most = fewest_error(function, 3, 24, slopes, shared=True)
    least = fewest_error(function, 3, 24, slopes, shared=False)
    assert least * (1 - 1e-9) <= fit.max_error <= most * (1 + 1e-6)
    assert fit.least <= fit.max_error


def chebyshev(basis, y):
    """The least maximum error of a combination of columns: the largest over small sets of points.

    Any set of points with a linear relation between their rows bounds the error from below, and
    sets of one more point than there are columns attain it (de la Vallee Poussin).
    """
    count = basis.shape[1] + 1
    sets = np.array(list(itertools.combinations(range(len(y)), count)))
    relation = np.linalg.svd(basis[sets].transpose(0, 2, 1))[2][:, -1, :]
    return np.max(np.abs((relation * y[sets]).sum(axis=1)) / np.abs(relation).sum(axis=1))


def connected_error(function, points, knots):
    """The least maximum error of lines that meet at these inner knots."""
    x = np.union1d(points, knots)
    places = np.array([points[0], *knots, points[-1]])
    hats = [np.interp(x, places, row) for row in np.eye(places.size)]
    return chebyshev(np.stack(hats, axis=1), function(x))


@pytest.mark.parametrize(("seed", "cells", "parts", "segments"), [
    (0, 7, 12, 2), (1, 7, 12, 2), (2, 6, 16, 2), (3, 5, 6, 3), (4, 5, 6, 3),
])  # fmt: skip
def test_no_placement_of_meeting_points_beats_the_continuous_fit(seed, cells, parts, segments):
    function, points = wave(seed, cells + 1), np.linspace(0, 1, cells + 1)
    fit = minimax(function, 0, 1, segments, continuous=True, points=cells + 1)
    inner = np.linspace(0, 1, cells * parts + 1)[1:-1]
    tried = [
        connected_error(function, points, knots)
        for knots in itertools.combinations(inner, segments - 1)
    ]
    assert fit.max_error <= min(tried) * (1 + 1e-6)
    exact = connected_error(function, points, fit.breakpoints)
    assert fit.max_error == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_no_line_of_the_lattice_and_no_partition_beats_least_squares(seed):
    rng = np.random.default_rng(seed)
    y, weights = rng.normal(size=8), rng.integers(0, 4, size=8).astype(float)
    x, lattice = np.arange(8) / 4, 2.0**-2
    a, b = np.meshgrid(np.arange(-80, 81) * lattice, np.arange(-160, 161) * lattice)

    def line(i, j):
        return sum(
            w * (a * u + b - v) ** 2 for u, v, w in zip(x[i:j], y[i:j], weights[i:j], strict=True)
        ).min()

    price = {
        (i, j): line(i, j) if weights[i:j].any() else 0.0 for i in range(8) for j in range(i + 1, 9)
    }
    partitions = [(0, *cut, 8) for n in range(3) for cut in itertools.combinations(range(1, 8), n)]
    best = min(sum(price[pair] for pair in itertools.pairwise(cut)) for cut in partitions)
    fit = least_squares(
        lambda at: np.interp(at, x, y),
        0,
        2,
        3,
        step=0.25,
        weights=weights,
        coefficient_step=lattice,
    )
    assert fit.mean_squared_error == pytest.approx(best / weights.sum(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_no_slope_of_one_term_and_no_partition_beats_least_squares(seed):
    x, y = np.arange(9) / 8, np.random.default_rng(seed).normal(size=9)
    slopes = np.array([0.0, *(s * 2.0**k for k in range(-12, 8) for s in (-1, 1))])[:, None]

    def line(i, j):
        rest = y[i:j] - slopes * x[i:j]
        return ((rest - rest.mean(axis=1, keepdims=True)) ** 2).sum(axis=1).min()

    partitions = [(0, *cut, 9) for n in range(3) for cut in itertools.combinations(range(1, 9), n)]
    best = min(sum(line(*pair) for pair in itertools.pairwise(cut)) for cut in partitions)
    fit = least_squares(lambda at: np.interp(at, x, y), 0, 1.125, 3, step=0.125, terms=1)
    assert fit.mean_squared_error == pytest.approx(best / 9, rel=1e-6)
    assert fit.least == pytest.approx(fit.mean_squared_error, rel=1e-6)


# Properties


def test_real_coefficients_are_no_worse_than_a_lattice_and_a_finer_lattice_approaches_them():
    act = activation("silu")
    errors = [
        least_squares(act, -4, 4, 6, coefficient_step=step).mean_squared_error
        for step in (None, 2**-14, 2**-4)
    ]
    assert errors[0] <= errors[1] <= 1.001 * errors[0]
    assert errors[1] < errors[2]


def test_an_input_without_weight_does_not_count():
    weights = np.where(np.arange(-400, 400) < 0, 0.0, 1.0)
    fit = least_squares(
        lambda x: np.where(x < 0, np.sin(9 * x), 2 * x + 1), -4, 4, 1, weights=weights
    )
    assert fit.max_error < 1e-9
    assert fit.slopes == pytest.approx([2])


@pytest.mark.parametrize("form", [{}, {"continuous": True}, {"terms": 2}])
def test_the_error_holds_between_the_points_and_less_is_impossible(form):
    act = activation("gelu")
    fit = minimax(act, -4, 4, 6, **form)
    x = np.linspace(-4, 4, 30_011)
    assert np.abs(fit(x) - act(x)).max() <= 1.001 * fit.max_error
    coarse = np.linspace(-4, 4, 4001)

    def lines(error):
        corridor = Corridor(coarse, act(coarse) - error, act(coarse) + error)
        return cover(corridor, 6, continuous="continuous" in form)

    if "terms" not in form:
        assert lines(fit.least * 0.9999) is None
        assert len(lines(fit.max_error * 1.0001)) <= 6


def test_lines_of_a_continuous_fit_meet_and_lines_of_another_need_not():
    for form, meets in (({"continuous": True}, True), ({}, False)):
        fit = minimax(activation("sigmoid"), -8, 8, 8, **form)
        starts, slopes, offsets = (
            np.array(v) for v in (fit.breakpoints, fit.slopes, fit.intercepts)
        )
        gaps = np.abs(np.diff(slopes) * starts + np.diff(offsets))
        assert (gaps.max() < 1e-12) == meets


@pytest.mark.parametrize("fitted", [minimax, least_squares])
@pytest.mark.parametrize("terms", [1, 2, 3])
def test_slopes_are_sums_of_so_many_signed_powers_of_two(terms, fitted):
    fit = fitted(activation("tanh"), -4, 4, 5, terms=terms)
    for slope in fit.slopes:
        rest, count = round(abs(slope) * 2**30), 0
        while rest:  # the non-adjacent form has the fewest terms
            if rest % 2:
                rest, count = rest - (2 - rest % 4), count + 1
            rest //= 2
        assert count <= terms


@pytest.mark.parametrize("form", [{}, {"continuous": True}, {"terms": 1}])
@pytest.mark.parametrize("function", [lambda x: 0 * x + 3, lambda x: x / 2 - 1])
def test_a_line_is_fitted_by_one_segment_without_error(function, form):
    fit = minimax(function, -1, 3, 4, **form)
    assert (fit.segments, fit.breakpoints) == (1, ())
    assert fit.max_error < 1e-9


@pytest.mark.parametrize(
    ("arguments", "form", "part"),
    [
        ((1, 1, 3), {}, "interval"),
        ((0, math.inf, 3), {}, "interval"),
        ((0, 1, 0), {}, "segments"),
        ((0, 1, 3), {"terms": 4}, "terms"),
        ((0, 1, 3), {"terms": 1, "continuous": True}, "terms"),
        ((0, 1, 3), {"points": 1}, "points"),
        ((0, 1, 1), {"through": [(0, 0), (0.5, 9), (1, 0)]}, "pass through"),
    ],
)
def test_minimax_refuses(arguments, form, part, refuses):
    with refuses(part):
        minimax(np.sin, *arguments, **form)


@pytest.mark.parametrize(
    ("form", "part"),
    [
        ({"step": 0.0}, "step"),
        ({"step": math.nan}, "step"),
        ({"coefficient_step": -1.0}, "coefficient step"),
        ({"weights": np.zeros(100)}, "weights"),
        ({"weights": np.ones(3)}, "weights"),
        ({"terms": 4}, "terms"),
        ({"terms": 1, "coefficient_step": 0.5}, "terms"),
        ({"step": 1e-4}, "may start"),
    ],
)
def test_least_squares_refuses(form, part, refuses):
    with refuses(part):
        least_squares(np.sin, 0, 1, 3, **form)


def test_a_function_that_is_not_finite_is_refused(refuses):
    with refuses("finite"):
        minimax(lambda x: np.where(x > 0.5, np.nan, x), 0, 1, 3)
    with refuses("finite"):
        least_squares(lambda x: x[:-1], 0, 1, 3)
