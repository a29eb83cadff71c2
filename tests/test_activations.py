import dataclasses
import math

import mpmath
import numpy as np
import pytest

from embact.activations import CATALOGUE, activation

CASES = [
    *((name, {}) for name in CATALOGUE),
    ("clipped_relu", {"max": 1e-6}),
    ("clipped_relu", {"max": 20.5}),
    ("clipped_relu", {"max": 1e6}),
    ("leaky_relu", {"alpha": 0.0}),
    ("leaky_relu", {"alpha": 0.01}),
    ("leaky_relu", {"alpha": -0.3}),
    ("leaky_relu", {"alpha": 1.0}),
    ("leaky_relu", {"alpha": 1e3}),
    ("swish", {"beta": 1e-3}),
    ("swish", {"beta": 1.702}),
    ("swish", {"beta": 1e3}),
    ("elu", {"alpha": 1e-3}),
    ("elu", {"alpha": 0.7}),
    ("elu", {"alpha": 1e3}),
    ("isru", {"alpha": 1e-3}),
    ("isru", {"alpha": 0.3}),
    ("isru", {"alpha": 1e3}),
    ("softplus", {"beta": 1e-3}),
    ("softplus", {"beta": 0.7}),
    ("softplus", {"beta": 1e3}),
]
every = pytest.mark.parametrize(
    "act",
    [activation(name, **settings) for name, settings in CASES],
    ids=[f"{name}-{'-'.join(map(str, settings.values()))}" for name, settings in CASES],
)

KINKS = {
    "relu": (0.0,),
    "relu6": (0.0, 6.0),
    "leaky_relu": (0.0,),
    "hard_sigmoid": (-3.0, 3.0),
    "hard_sigmoid_02": (-2.5, 2.5),
    "hard_swish": (-3.0, 3.0),
    "sqnl": (-2.0, 0.0, 2.0),
    "elu": (0.0,),
    "softsign": (0.0,),
}
TINY = 1e-290
"""Below it float64 has ever fewer digits."""
HUGE = 1.7e308
"""From about here on float64 has infinities."""

NEAR = [n / 16 for n in range(-160, 161)]
FAR = [sign * 10.0**e for e in range(-30, 5) for sign in (1, -1)]
AWKWARD = [
    sign * math.nextafter(at, towards)
    for at in (1.0, 2.0, 2.5, 3.0, 6.0)
    for towards in (0.0, 9.0)
    for sign in (1, -1)
]
POINTS = sorted({*NEAR, *FAR, *AWKWARD, -37.5, -38.5, -700.0, -740.0, 36.7, 20.1, -20.1})


def kinks(act):
    return (0.0, act.values[0]) if act.name == "clipped_relu" else KINKS.get(act.name, ())


def exact(act, point):
    """Return the oracle at a float, with more digits than any cancellation here takes."""
    with mpmath.workdps(60):
        return act.exact(mpmath.mpf(point))


def relative_error(value, truth):
    with mpmath.workdps(60):
        if truth == 0:
            return 0 if value == 0 else math.inf
        return float(abs(mpmath.mpf(float(value)) - truth) / abs(truth))


@every
def test_float64_is_the_oracle_to_1e_12_everywhere(act):
    for point, value in zip(POINTS, act(np.array(POINTS)), strict=True):
        truth = exact(act, point)
        if abs(truth) < TINY:
            assert abs(value) <= TINY, point
        elif abs(truth) > HUGE:
            assert value == math.copysign(math.inf, truth), point
        else:
            assert relative_error(value, truth) < 1e-12, point


def test_an_error_of_1e_11_would_be_noticed():
    act = activation("sigmoid")
    assert relative_error(float(act(np.array([1.5]))[0]) * (1 + 1e-11), exact(act, 1.5)) > 1e-12


@every
def test_derivative_is_the_oracles(act):
    points = [p for p in POINTS if 1e-3 < abs(p) < 200 or p == 0]
    points = [p for p in points if all(abs(p - kink) > 1e-3 for kink in kinks(act))]
    for point, value in zip(points, act.slope(np.array(points)), strict=True):
        with mpmath.workdps(60):
            truth = mpmath.diff(act.exact, mpmath.mpf(point), h=mpmath.mpf("1e-20"))
        size = max([1.0, float(abs(truth)), *map(abs, act.values)])
        assert abs(float(value) - float(truth)) <= 1e-12 * size, point


@every
def test_derivative_at_a_kink_is_the_one_from_the_right(act):
    for kink in kinks(act):
        right = act.slope(np.array([kink, math.nextafter(kink, math.inf), kink + 1e-9]))
        assert right[0] == pytest.approx(right[1], abs=1e-8)
        assert right[0] == pytest.approx(right[2], abs=1e-8)


@every
@pytest.mark.parametrize("call", ["__call__", "slope"])
def test_finite_without_a_warning_to_the_ends_of_float32(act, call):
    ends = [*POINTS, 0.0, -0.0, 1e5, -1e5, 1e10, -1e10, 1e30, -1e30, 3.4e38, -3.4e38, 1e-45, -1e-45]
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        values = getattr(act, call)(np.array(ends))
    assert values.dtype == np.float64
    assert values.shape == (len(ends),)
    overflows = (np.array(ends) > 709.7) & (act.name == "exp")
    assert np.array_equal(np.isfinite(values), ~overflows)
    assert np.all(values[overflows] == np.inf)


@every
def test_values_keep_the_shape_of_the_input(act):
    for shape in ((), (0,), (1,), (2, 3)):
        assert np.shape(act(np.zeros(shape))) == shape
        assert np.shape(act.slope(np.zeros(shape))) == shape


SYMMETRIES = {
    "none": lambda x, right, left: None,
    "odd": lambda x, right, left: right + left,
    "point": lambda x, right, left: right + left - 1,
    "gated": lambda x, right, left: right - left - x,
}


@every
def test_declared_symmetry_holds_for_the_oracle(act):
    for point in (p for p in POINTS if 1e-3 < p < 300):
        with mpmath.workdps(400):  # more digits than any gate needs to differ from 1
            x = mpmath.mpf(point)
            off = SYMMETRIES[act.symmetry](x, act.exact(x), act.exact(-x))
            assert off is None or abs(off) < mpmath.mpf(10) ** -50, point


@pytest.mark.parametrize("act", [act for act in CATALOGUE.values() if act.symmetry == "none"])
def test_none_is_declared_only_where_there_is_no_symmetry(act):
    points = [mpmath.mpf(p) for p in (0.5, 3.25, 7.5)]
    for name in ("odd", "point", "gated"):
        offs = [abs(SYMMETRIES[name](x, act.exact(x), act.exact(-x))) for x in points]
        assert max(offs) > 1e-3, name


@every
def test_asymptotes_are_approached(act):
    for end, tail in zip((-1, 1), act.limits(), strict=True):
        if tail is None:
            continue
        slope, intercept, _ = tail
        distances = []
        with mpmath.workdps(60):
            for size in (1e4, 1e7, 1e10):
                x = mpmath.mpf(end * size)
                distances.append(abs(act.exact(x) - (slope * x + intercept)))
        if slope == 0:
            distances = [max(d, abs(intercept) * mpmath.mpf(2) ** -53) for d in distances]
        assert distances[0] >= distances[1] >= distances[2]
        assert distances[2] <= 2e-10


@every
def test_tails_lie_on_the_side_of_their_asymptotes_that_is_stated(act):
    for end, tail in zip((-1, 1), act.limits(), strict=True):
        if tail is None:
            continue
        slope, intercept, side = tail
        for size in (1e-4, 1.0, 14.0, 33.0, 101.0, 350.0, 1e5, 1e7):
            with mpmath.workdps(500):
                x = mpmath.mpf(end * size)
                off = act.exact(x) - (mpmath.mpf(slope) * x + mpmath.mpf(intercept))
            if 0 < abs(off) < mpmath.mpf("1e-40"):
                assert mpmath.sign(off) == side, (end, size)
            elif size == 1e7:
                assert side != 0 or off == 0


def test_only_exp_goes_away_from_every_line():
    assert [name for name, act in CATALOGUE.items() if None in act.limits()] == ["exp"]
    act = activation("exp")
    left, right = act.limits()
    assert left == (0.0, 0.0, 1)
    assert right is None
    values = [exact(act, size) / size for size in (1e2, 1e3, 1e4)]
    assert values[0] > 1e40
    assert values == sorted(values)


@every
def test_a_wrong_asymptote_would_be_noticed(act):
    (slope, intercept, _), _ = act.limits()
    x = mpmath.mpf(-1e10)
    assert abs(act.exact(x) - (slope * x + intercept + 1e-3)) > 2e-10


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("sqnl", 1.0, 0.75),
        ("sqnl", -1.0, -0.75),
        ("sqnl", 5.0, 1.0),
        ("softsign", 1.0, 0.5),
        ("softsign", -3.0, -0.75),
        ("hard_sigmoid", 1.5, 0.75),
        ("hard_sigmoid_02", 1.0, 0.7),
        ("hard_swish", 1.0, 2 / 3),
        ("hard_swish", -1.5, -0.375),
        ("relu6", 7.0, 6.0),
        ("clipped_relu", 7.0, 1.0),
        ("leaky_relu", -5.0, -1.0),
        ("elu", -1e9, -1.0),
        ("sigmoid", 0.0, 0.5),
        ("gelu", 1.0, 0.8413447460685429),
        ("gelu_tanh", 1.0, 0.8411919906082767),
        ("gelu_sigmoid", 1.0, 0.8457957659328212),
        ("silu", 1.0, 0.7310585786300049),
        ("isru", 1.0, math.sqrt(0.5)),
        ("isru", -1e20, -1.0),
        ("softplus", 0.0, math.log(2.0)),
        ("softplus", 800.0, 800.0),
        ("exp", 1.0, math.e),
    ],
)
def test_known_values(name, x, y):
    assert float(activation(name)(np.array([x]))[0]) == pytest.approx(y, rel=1e-12)


def test_unit_ranges_are_those_that_tflite_fixes():
    fixed = {name: act.unit_range for name, act in CATALOGUE.items() if act.unit_range}
    assert fixed == {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}


def test_names_are_the_keys_and_defaults_are_set():
    for name, act in CATALOGUE.items():
        assert act.name == name
        assert act.settings() == {p.name: p.default for p in act.parameters}
        assert all(p.low <= p.default <= p.high for p in act.parameters)


def test_activations_of_equal_parameters_are_equal():
    assert activation("swish", beta=1) == activation("swish") == CATALOGUE["swish"]
    assert activation("swish", beta=1.5) != activation("swish")
    assert len({activation("elu"), activation("elu", alpha=1.0), activation("elu", alpha=2)}) == 2


@pytest.mark.parametrize(
    ("name", "nearest"), [("sigmod", "sigmoid"), ("gleu", "gelu"), ("Tanh", "tanh"), ("hswish", "")]
)
def test_unknown_activation_names_the_nearest(refuses, name, nearest):
    with refuses("unknown activation", repr(name), nearest, "softsign"):
        activation(name)


def test_unknown_parameter_names_the_nearest(refuses):
    with refuses("leaky_relu: unknown parameter", "'alpa'", "nearest: alpha"):
        activation("leaky_relu", alpa=0.1)
    with refuses("relu: unknown parameter", "'alpha'", "allowed: none"):
        activation("relu", alpha=0.1)


def test_a_parameter_called_name_is_unknown_like_any_other(refuses):
    with refuses("relu: unknown parameter", "'name'"):
        activation("relu", name=1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e7])
def test_parameter_outside_its_range_is_refused(refuses, value):
    with refuses("clipped_relu: parameter max", f"got {value}", "1e-06..1e+06"):
        activation("clipped_relu", max=value)


@pytest.mark.parametrize("name", ["Mish", "9lives", "a-b", "a" * 64, "", "f(x)", "x\n"])
def test_a_name_that_c_does_not_take_is_refused(refuses, name):
    with refuses("name of a real function", repr(name)):
        dataclasses.replace(activation("relu"), name=name)


@pytest.mark.parametrize(
    "formula",
    [
        "",
        "x */ int main",
        "/* x",
        "x\ny",
        "x\\",
        "caf\u00e9",
        "x\x1b[2J",
        "x" * 501,
        "\u202ex",
        "x\0",
    ],
)
def test_a_formula_that_does_not_fit_a_c_comment_is_refused(refuses, formula):
    with refuses("formula of relu", "ASCII characters without"):
        dataclasses.replace(activation("relu"), formula=formula)


def test_the_catalogue_is_tested_and_has_oracles():
    for act in CATALOGUE.values():
        assert act.tested
        assert act.oracle is not None
        assert act.truth == "oracle"
        assert not act.expression
    assert dataclasses.replace(activation("relu"), oracle=None).truth == "float64"


def test_an_activation_without_an_oracle_says_so(refuses):
    with refuses("relu has no oracle"):
        dataclasses.replace(activation("relu"), oracle=None).exact(mpmath.mpf(1))
