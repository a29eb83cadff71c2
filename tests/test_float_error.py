"""The bounds on the float64 results of formulas, against the oracle's enclosures."""

from __future__ import annotations

import dataclasses
import math

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embact import float_error as module
from embact.certify import FLOAT_CODES, ideal, uncertain
from embact.expression import parse
from embact.float_error import FUNCTION, SMOOTH, UNIT
from embact.grid import Grid, QuantSpec

INT8 = QuantSpec(Grid(float(np.float32(0.05)), 3, 8), Grid(float(np.float32(0.03)), -5, 8))
INT16 = QuantSpec(Grid(float(np.float32(0.0002)), 0, 16), Grid(float(np.float32(0.00013)), 0, 16))


def distances(text, points):
    """|float64 - oracle| of a formula at float64 points, and the bounds on it."""
    act = parse(text)
    points = np.asarray(points, dtype=np.float64)
    with np.errstate(all="ignore"), mpmath.workdps(60):
        got = act(points)
        exact = [act.exact(mpmath.mpf(x)) for x in points.tolist()]
        off = [float(abs(mpmath.mpf(a) - b)) for a, b in zip(got.tolist(), exact, strict=True)]
    return np.array(off), act.float_error(points)


ARGUMENTS = {
    "log": np.geomspace(1e-12, 1e12, 120),
    "log1p": np.concatenate([np.geomspace(-0.999, -1e-12, 60), np.geomspace(1e-12, 1e9, 60)]),
}
USUAL = np.concatenate([np.linspace(-30.0, 30.0, 241) + 0.0123456789, [-1e-9, 1e-9, 1e-3, 300.3]])


@pytest.mark.parametrize("name", SMOOTH)
def test_a_function_is_good_to_an_eighth_of_what_is_taken(name):
    points = ARGUMENTS.get(name, USUAL)
    act = parse(f"{name}(x)")
    absolute = name in {"sin", "cos"}
    for x, got in zip(points.tolist(), act(points).tolist(), strict=True):
        with mpmath.workdps(60):
            exact = act.exact(mpmath.mpf(x))
            size = mpmath.mpf(1) if absolute else abs(exact)
            assert abs(mpmath.mpf(got) - exact) <= FUNCTION / 8 * size + 2.0**-1000


CANCELLING = ("x + sqrt(x**2 + 4)", "exp(x) - 1 - x", "(x + 1000000) - 1000000")
TEXTS = (
    *("sigmoid(-x)", "clip(x, 0, 6)/6", "where(x > 1, min(x, 4), 0.1*(x - 1))", "x**3 - x/3"),
    *("x*tanh(softplus(x))", "x*erfc(-x/sqrt(2))/2", "log(1 + exp(x))", "sin(3*x) - cos(x)"),
    *("atan(x) - sinh(x/9)*cosh(x/9)", "log1p(x**2)*sign(x)", "1/(abs(x) + 0.1)", "(x*x)**0.7"),
    *("expm1(x)/exp(x)", "erf(x) - x*pi/e", "max(x, -x) - abs(x)", "exp(exp(x/8))", *CANCELLING),
)


@pytest.mark.parametrize("text", TEXTS)
def test_the_bound_holds(text):
    off, bounds = distances(text, USUAL[np.abs(USUAL) < 40])
    assert not (off > bounds).any()
    assert np.isfinite(bounds).mean() > 0.9


@pytest.mark.parametrize("text", CANCELLING)
def test_the_bound_is_needed_where_digits_cancel(text):
    points = np.linspace(-3.0e3, -1.0, 300) + 0.0123456789
    with np.errstate(all="ignore"):
        off, bounds = distances(text, points if "sqrt" in text else points / 1e3)
        exact = np.abs(parse(text)(points if "sqrt" in text else points / 1e3))
    assert (off > 8 * UNIT * exact).any()
    assert not (off > bounds).any()


ATOMS = st.sampled_from(["x", "x", "x", "1", "0.1", "3", "pi", "0.5", "0"])


def deeper(inner):
    unary = ("exp", "tanh", "sigmoid", "softplus", "abs", "sqrt", "log", "sin", "erf", "atan")
    binary = ("({}+{})", "({}-{})", "({})*({})", "({})/({})", "min({},{})", "max({},{})")
    chosen = st.tuples(inner, inner, inner, inner)
    return st.one_of(
        st.tuples(st.sampled_from(unary), inner).map(lambda one: f"{one[0]}({one[1]})"),
        st.tuples(st.sampled_from(binary), inner, inner).map(lambda one: one[0].format(*one[1:])),
        st.tuples(inner, st.sampled_from(["2", "3", "0.5", "-1"])).map("({0[0]})**{0[1]}".format),
        chosen.map("where({0[0]}<{0[1]},{0[2]},{0[3]})".format),
    )


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.recursive(ATOMS, deeper, max_leaves=8))
@example("sqrt(x - x)")
@example("where(x*0.1 < 0.3, 1, 0)")
def test_the_bound_of_a_random_formula_holds(text):
    off, bounds = distances(text, [-7.3, -1.0, -0.3, -1e-6, 0.0, 1e-6, 0.3, 1.0, 3.0, 7.7])
    assert not (off > bounds).any()


@pytest.mark.parametrize("text", TEXTS)
def test_the_truth_is_that_of_the_oracle_at_every_input(text):
    act = parse(text)
    one, other = (ideal(a, INT8) for a in (act, dataclasses.replace(act, float_error=None)))
    assert other.oracle_points == 256
    assert np.array_equal(one.codes, other.codes)
    assert np.abs(one.steps - other.steps).max() <= FLOAT_CODES
    assert one.oracle_points < 64


def test_of_a_usual_formula_of_int16_few_inputs_need_the_oracle():
    for text in TEXTS[:4]:
        assert ideal(parse(text), INT16).oracle_points < 40


def test_where_the_bound_is_too_large_the_oracle_decides():
    act = parse("(x + 1000000000) - 1000000000")
    assert uncertain(act, INT8).all()
    assert ideal(act, INT8).oracle_points == 256
    assert np.array_equal(ideal(act, INT8).codes, ideal(parse("x"), INT8).codes)


def test_a_comparison_that_rounding_could_turn_has_no_bound():
    act = parse("where(x < 1, 0, 1)")
    bounds = act.float_error(np.array([0.0, 1.0, 1.0 - 2.0**-53, 1.0 + 2.0**-40]))
    assert bounds[0] == 0
    assert np.isinf(bounds[1:3]).all()
    assert math.isfinite(bounds[3])


def test_without_the_rounding_of_its_operations_a_bound_would_be_exceeded(monkeypatch):
    monkeypatch.setattr(module, "UNIT", 0.0)
    monkeypatch.setattr(module, "FUNCTION", 0.0)
    off, bounds = distances("x + sqrt(x**2 + 4)", np.linspace(-30, -1, 50) + 0.0123456789)
    assert (off > bounds).any()
