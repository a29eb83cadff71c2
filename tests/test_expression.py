import dataclasses
import json
import math
import pickle
import re
import shlex
import time

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embact import expression as module
from embact.activations import CATALOGUE, activation
from embact.certify import ideal
from embact.emit.header import emit_header
from embact.enclosure import LOST
from embact.errors import EmbactError
from embact.expression import parse, user_activation
from embact.fit.problem import Problem
from embact.fit.record import fit_json, fit_of_json
from embact.fit.search import fit
from embact.formula import NAMES, UNARY
from embact.grid import Grid, QuantSpec

CASES = 150
POINTS = np.array([-9.0, -2.5, -1.0, -0.375, 0.0, 2.0**-40, 0.75, 1.0, 3.0, 20.0])
SPEC = QuantSpec(Grid(1 / 16, 0, 8), Grid(1 / 32, 0, 8))


def at(text, x, digits=40):
    """Return the oracle's value of a formula at a number."""
    with mpmath.workdps(digits):
        return parse(text).exact(mpmath.mpf(x))


# Meaning

MEANINGS = {
    "2": lambda x: np.full(x.shape, 2.0),
    "x*0": np.zeros_like,
    "-x**2": lambda x: -(x * x),
    "(-x)**3": lambda x: -(x**3),
    "2-3-x": lambda x: -1 - x,
    "8/4/2+x": lambda x: 1 + x,
    "- - +x": lambda x: x,
    "x**-2*x**2": lambda x: np.where(x == 0, np.nan, 1.0),
    "abs(x)**.5": lambda x: np.sqrt(np.abs(x)),
    "abs(x)**(1/3)": lambda x: np.cbrt(np.abs(x)),
    "x**(6/3)": lambda x: x * x,
    "x**0": np.ones_like,
    "1.5e1*x + 2.": lambda x: 15 * x + 2,
    "pi*e": lambda x: np.full(x.shape, math.pi * math.e),
    "relu(x)": lambda x: np.maximum(x, 0),
    "clip(x, -1, 2)": lambda x: np.clip(x, -1, 2),
    "min(x, 1) + max(x, -1)": lambda x: np.minimum(x, 1) + np.maximum(x, -1),
    "where(x < 0, 1, 2)": lambda x: np.where(x < 0, 1, 2),
    "where(x <= 0, 1, 2)": lambda x: np.where(x <= 0, 1, 2),
    "where(x > 0, 1, 2)": lambda x: np.where(x > 0, 1, 2),
    "where(x >= 0, 1, 2)": lambda x: np.where(x >= 0, 1, 2),
    "where(x > 0, log(x), 0)": lambda x: np.log(np.where(x > 0, x, 1.0)),
    "sign(x)": np.sign,
    "expm1(x)": np.expm1,
    "log1p(exp(x))": lambda x: np.logaddexp(0, x),
    "atan(x) + sinh(x)/cosh(x)": lambda x: np.arctan(x) + np.tanh(x),
    "sin(x)**2 + cos(x)**2": np.ones_like,
    "erf(x) + erfc(x)": np.ones_like,
    "sigmoid(x)": activation("sigmoid"),
    "softplus(x)": activation("softplus"),
    "x * tanh(log1p(exp(x)))": lambda x: x * np.tanh(np.logaddexp(0, x)),
}


@pytest.mark.parametrize("text", MEANINGS)
def test_float64_and_the_oracle_mean_what_the_formula_says(text):
    act, expected = parse(text), MEANINGS[text](POINTS)
    assert act(POINTS) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)
    for point, value in zip(POINTS, expected, strict=True):
        assert float(at(text, point)) == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", UNARY)
def test_every_function_is_numpys_and_mpmaths(name):
    # log1p and sigmoid are checked where they are not trivial as well
    points = [0.03125, 0.75, 3.0] if name in {"log", "sqrt"} else [-0.5, -1e-9, 0.03125, 0.75, 3.0]
    own = {
        "abs": abs,
        "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
        "softplus": lambda v: mpmath.log(1 + mpmath.exp(v)),
    }
    values = parse(f"{name}(x)")(np.array(points))
    for point, value in zip(points, values, strict=True):
        with mpmath.workdps(60):
            truth = own.get(name, getattr(mpmath, name, None))(mpmath.mpf(point))
            assert abs(value - truth) <= 1e-15 * max(abs(truth), 1e-3)
            assert abs(at(f"{name}(x)", point) - truth) <= mpmath.mpf("1e-39") * abs(truth)


def test_numbers_are_exact():
    with mpmath.workdps(60):
        tenth, sixth = mpmath.mpf(1) / 10, mpmath.mpf(1) / 6
        assert at("0.1", 0, 60) == tenth
        assert at("1/6 + 0*x", 0, 60) == sixth
        assert at("1e-1*x", 1, 60) == tenth
    assert at("0.1*10 - 1", 3) == 0
    assert [float(at("where(0.1*x >= 0.3, 1, 0)", x)) for x in (2.999, 3, 3.001)] == [0, 1, 1]


def test_spaces_do_not_matter_and_are_not_kept():
    one, other = parse("x*tanh( log1p(exp( x)) ) - -1"), parse(" x * tanh(log1p(exp(x)))--1\n")
    assert one == other
    assert hash(one) == hash(other)
    assert one.formula == one.expression == "x*tanh(log1p(exp(x)))--1"
    assert one.source == "user expression"
    assert one.name == "expr"
    assert parse("x", "mine").name == "mine"
    assert parse("x") != parse("x+0")


def test_nothing_is_claimed_of_a_formula():
    act = parse("tanh(x)")
    assert act.limits() == (None, None)
    assert (act.symmetry, act.unit_range, act.parameters) == ("none", None, ())
    assert not act.tested
    assert act.truth == "oracle"


def test_a_formula_survives_pickling():
    act = parse("x*tanh(log1p(exp(x)))", "mish2")
    assert pickle.loads(pickle.dumps(act)) == act  # noqa: S301 - made here


@pytest.mark.parametrize("text", ["2", "x*0", "x", "where(x<0,1,2)", "erf(x)", "log(x)"])
def test_values_keep_the_shape_and_type_of_the_input(text):
    for shape in ((), (0,), (1,), (2, 3)):
        for values in (parse(text)(np.zeros(shape)), parse(text).slope(np.zeros(shape))):
            assert np.shape(values) == shape
            assert values.dtype == np.float64


def test_values_are_no_view_of_the_input():
    x = np.zeros(3)
    parse("x")(x)[0] = 1
    assert x[0] == 0


@pytest.mark.parametrize(
    ("text", "slope"),
    [
        ("x**3", lambda x: 3 * x**2),
        ("tanh(x)", lambda x: 1 - np.tanh(x) ** 2),
        ("7", lambda x: 0 * x),
        ("exp(x)/(1+exp(x))", lambda x: 0.25 / np.cosh(x / 2) ** 2),
    ],
)
def test_derivative_is_good_to_1e_8(text, slope):
    x = np.array([-300.0, -2.0, 0.0, 1.5, 5.0])
    assert parse(text).slope(x) == pytest.approx(slope(x), rel=1e-8, abs=1e-8)


# Where float64 cannot: overflow, cancellation, ties


def test_what_overflows_in_float64_is_asked_of_the_oracle():
    x = np.array([-1e4, -800.0, 0.0, 800.0, 1e4])
    assert parse("exp(x)/(1+exp(x))")(x).tolist() == [0, math.exp(-800), 0.5, 1, 1]
    assert parse("exp(x)")(x).tolist() == [0, math.exp(-800), 1, math.inf, math.inf]
    assert np.isnan(parse("log(x)")(x)).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("text", "x", "value"),
    [
        ("(1-cos(x))/x**2", "1e-38", "0.5"),
        ("(exp(x)-1)/x", "1e-30", "1"),
        ("(x+1e30)-1e30", "0.25", "0.25"),
        ("(tanh(x)-x)/x**3", "1e-20", "-0.3333333333333333333333333333333333333333"),
        ("(sqrt(1+x)-1)/x", "1e-35", "0.5"),
        ("log(1+x)/x", "1e-37", "1"),
        ("(1-tanh(x))*exp(2*x)", "50", "2"),
        ("exp(x)*exp(-x)", "5000", "1"),
        ("x*erfc(-x/sqrt(2))/2", "-30", "-1.472014178144456e-196"),
        ("sin(x)", 1e300, math.sin(1e300)),
    ],
)
def test_cancellation_is_met_with_more_digits(text, x, value):
    assert abs(at(text, x) - mpmath.mpf(value)) <= 1e-14 * abs(mpmath.mpf(value))


def test_without_more_digits_cancellation_would_win(monkeypatch):
    monkeypatch.setattr(module, "MOST_BITS", 1)
    assert at("(1-cos(x))/x**2", "1e-38") == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sign(sin(x)**2 + cos(x)**2 - 1)", 0),
        ("where(sin(x)**2 + cos(x)**2 < 1, 1, 2)", 2),
        ("where(sin(x)**2 + cos(x)**2 <= 1, 1, 2)", 1),
        ("sqrt(sin(x)**2 + cos(x)**2 - 1)", 0),
        ("log(exp(log(3)) - 3)", -math.inf),
        ("1/(exp(log(3)) - 3)", math.nan),
        ("(sin(x)**2 + cos(x)**2 - 1)/(exp(log(3)) - 3)", math.nan),
        ("sqrt(where(sin(x)**2 + cos(x)**2 < 1, 4, 9))", 3),
        ("sign(where(sin(x)**2 + cos(x)**2 < 1, 0, -9))/0", -math.inf),
        ("log1p(log(sin(x)**2 + cos(x)**2 - 1))", math.nan),
        ("x/0", math.inf),
        ("-x/0", -math.inf),
        ("0*x/0", math.nan),
        ("log(0*x)", -math.inf),
        ("(0*x)**-1", math.inf),
        ("(-x)**0.5", math.nan),
        ("sqrt(-x)", math.nan),
        ("log(-x)", math.nan),
        ("log1p(-2*x)", math.nan),
        ("log1p(-x/2)", -math.inf),
        ("where(x>1, x, log(-x))", 2),
        ("max(log(-x), 1)", math.nan),
        ("sin(1/(0*x))", math.nan),
    ],
)
def test_what_cannot_be_told_from_0_is_0_and_what_is_not_real_is_nan(text, value):
    got = float(at(text, 2))
    if text.startswith("1/(exp"):
        assert math.isinf(got) or math.isnan(got)
    else:
        assert got == value or (math.isnan(got) and math.isnan(value))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("1/(1+exp(-x))", "sigmoid"),
        ("x/2*erfc(-x/sqrt(2))", "gelu"),
        ("x/2*(1+erf(x/2**0.5))", "gelu"),
        ("log(1+exp(x))", "softplus"),
        ("x*clip(x+3,0,6)/6", "hard_swish"),
        ("where(x<-3,0,where(x>3,x,x*(x+3)/6))", "hard_swish"),
        ("where(abs(x)>2,sign(x),x-x*abs(x)/4)", "sqnl"),
        ("x/(1+abs(x*x)**0.5)", "softsign"),
        ("where(x<0,exp(x)-1,x)", "elu"),
        ("x/sqrt(1+x**2)", "isru"),
        ("exp(x)", "exp"),
    ],
)
@pytest.mark.parametrize(
    "spec",
    [
        QuantSpec(Grid(1 / 16, 3, 8), Grid(1 / 64, -90, 8)),
        QuantSpec(Grid(0.25, -7, 8), Grid(2 / 3, 0, 8)),
        QuantSpec(Grid(0.25, 0, 8), Grid(2.0**-15, 0, 16)),
        QuantSpec(Grid(2.0**-120, 0, 8), Grid(2.0**-126, 0, 8)),
        QuantSpec(Grid(2.0**110, 0, 8), Grid(2.0**-126, 0, 8)),
    ],
)
def test_a_formula_of_the_catalogue_has_its_truth(text, name, spec):
    one, other = ideal(parse(text), spec), ideal(activation(name), spec)
    assert np.array_equal(one.codes, other.codes)
    assert np.allclose(one.lsb, other.lsb, rtol=1e-11, atol=1e-11)
    oracle = ideal(dataclasses.replace(parse(text), float_error=None), spec)
    assert np.array_equal(one.codes, oracle.codes)
    assert oracle.oracle_points == 256


def test_an_input_where_a_formula_is_not_real_is_named(refuses):
    for text, code in (("log(x)", -128), ("1/x*0 + x", 0), ("sqrt(2-x)", 33)):
        with refuses(f"expr at input code {code}, x = {code / 16!r}", "got nan"):
            ideal(parse(text), SPEC)


# Random formulas

LEAVES = ("x", "x", "x", "0", "1", "2", "0.5", "3.25", "0.1", "pi", "e", "7")
BINARY = ("({}+{})", "({}-{})", "{}*{}", "({})/({})", "min({},{})", "max({}, {})")
FORMS = (*BINARY, "-({})", "({})**2", "({})**-1", "({})**0.5", "({})**(1/3)")
CHOICES = ("where({}<{},{},{})", "where({}>={},{},{})", "clip({},-2,{})")


def formulas():
    forms = [*FORMS, *CHOICES, *(f"{name}({{}})" for name in (*UNARY, "relu"))]

    def grow(inner):
        return st.sampled_from(forms).flatmap(
            lambda form: st.tuples(*[inner] * form.count("{}")).map(lambda args: form.format(*args))
        )

    return st.recursive(st.sampled_from(LEAVES), grow, max_leaves=8)


REALS = st.one_of(
    st.integers(-64, 64).map(lambda n: n / 8), st.floats(-30, 30), st.floats(-1e-9, 1e-9)
).map(lambda v: float(np.float32(v)))


def reckoned(text, x):
    """Return a formula's value by Python and mpmath, or None where they have no real one."""
    names = {name: getattr(mpmath, name, None) for name in NAMES} | {
        "x": mpmath.mpf(x),
        "M": mpmath.mpf,
        "pi": +mpmath.pi,
        "e": +mpmath.e,
        "abs": abs,
        "min": min,
        "max": max,
        "clip": lambda v, a, b: min(max(v, a), b),
        "where": lambda c, a, b: a if c else b,
        "relu": lambda v: max(v, mpmath.mpf(0)),
        "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
        "softplus": lambda v: mpmath.log(1 + mpmath.exp(v)),
    }
    code = re.sub(r"(?<![a-z0-9_.])[0-9.]+", r'M("\g<0>")', text)
    try:
        value = eval(code, {"__builtins__": {}}, names)  # noqa: S307 - the test made it
    except (ZeroDivisionError, ValueError, OverflowError, mpmath.libmp.ComplexResult, TypeError):
        return None  # TypeError: complex numbers are not ordered
    return value if isinstance(value, mpmath.mpf) and mpmath.isfinite(value) else None


@settings(max_examples=CASES, deadline=None, derandomize=True)
@given(formulas(), REALS)
def test_the_oracle_is_mpmath_with_many_more_digits(text, x):
    # what takes minutes: exponentials of exponentials, whose digits fill the memory
    if sum(text.count(f) for f in ("exp", "sinh", "cosh", "softplus", "sigmoid", "**")) > 2:
        return
    with mpmath.workdps(400):
        truth = reckoned(text, x)
        if truth is None or not -4000 < mpmath.mag(truth or 1) < 4000:
            return
        got = parse(text).exact(mpmath.mpf(x))
    with mpmath.workdps(30):
        got = parse(text).exact(mpmath.mpf(x))
        if mpmath.isfinite(got):
            assert abs(got - truth) <= mpmath.mpf("1e-29") * max(abs(truth), 2.0**-126)


@settings(max_examples=CASES, deadline=None, derandomize=True)
@given(formulas(), REALS)
def test_enclosures_hold_and_float64_is_right_where_they_are_narrow(text, x):
    act = parse(text)
    coarse, middle = (act.oracle.enclose(mpmath.mpf(x), bits) for bits in (53, 120))
    fine = act.oracle.enclose(mpmath.mpf(x), 900)
    for one in (coarse, middle):
        if one.error < LOST and mpmath.isfinite(one.value) and fine.error < -400:
            with mpmath.workprec(900):
                assert abs(one.value - fine.value) <= mpmath.mpf(2) ** one.error
    value = float(act(np.array(x)))
    if coarse.error < LOST and math.isfinite(value) and fine.error < -400:
        with mpmath.workprec(900):  # numpy's functions have errors of a few units in the last place
            bound = mpmath.mpf(2) ** (coarse.error + 6) + 1e-290
            assert abs(value - fine.value) <= bound


def test_an_enclosure_that_is_too_narrow_would_be_noticed():
    with mpmath.workprec(900):
        coarse, fine = (parse("exp(x)/3").oracle.enclose(mpmath.mpf(3), b) for b in (53, 900))
        assert 0 < abs(coarse.value - fine.value) > mpmath.mpf(2) ** (coarse.error - 12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(formulas())
def test_a_formula_means_the_same_every_time_and_never_warns(text):
    one, other = parse(text), parse(one_again := parse(text).formula)
    assert one == other
    assert one.formula == one_again
    points = np.array([-3.4e38, -30.0, -1.0, -0.0, 0.0, 1e-45, 0.3, 9.0, 800.0, 3.4e38])
    assert one(points).tobytes() == other(points).tobytes()
    for point in (-1.5, 3.0):
        assert repr(at(text, point)) == repr(at(one_again, point))


# What is refused


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        # nothing, and what ends too early
        ("", ["character 1", "got the end", "a number, x, a function or ("]),
        ("   ", ["got the end"]),
        ("x+", ["character 3", "got the end"]),
        ("exp(x", ["character 6", "got the end", "allowed: )"]),
        ("(", ["character 2", "got the end"]),
        # what goes on
        ("2x", ["character 2", "got 'x'", "an operator, or the end"]),
        ("x x", ["character 3", "got 'x'"]),
        ("x)", ["character 2", "got ')'"]),
        ("pi(x)", ["character 3", "got '('"]),
        ("1_000", ["character 2", "got '_000'"]),
        ("0x10", ["character 2", "got 'x10'"]),
        ("1e5e5", ["character 4", "got 'e5'"]),
        ("1.2.3", ["character 4", "got '.3'"]),
        # characters
        ("x^2", ["character 2", "got '^'", "allowed: ** for a power"]),
        ("x.real", ["character 2", "got '.'"]),
        ("'x'", ["character 1", "tanh, sinh"]),
        ('f"{x}"', ['"']),
        ("x:=1", ["character 2", "got ':'"]),
        ("x=1", ["character 2", "got '='"]),
        ("min(x,b=1)", ["character 8"]),
        ("[x for x in x]", ["character 1", "got '['"]),
        ("x\\ny", ["character 2"]),
        ("x;y", ["character 2"]),
        ("x#y", ["character 2"]),
        ("x%2", ["character 2"]),
        ("x@x", ["character 2"]),
        ("!x", ["character 1"]),
        ("x\x00", ["character 2", "'\\x00'"]),
        ("\u03c0*x", ["character 1", "'\\u03c0'"]),
        ("\U0001d4cd", ["character 1", "'\\U0001d4cd'"]),  # Python reads it as x
        ("x\u00a0+1", ["character 2", "'\\xa0'"]),
        ("\uff11", ["character 1"]),
        ("\x1b[31mx", ["'\\x1b'"]),
        # names
        ("y", ["character 1", "unknown name", "'y'"]),
        ("tanf(x)", ["unknown name", "'tanf'", "nearest: ", "tanh"]),
        ("__import__(x)", ["unknown name", "'__import__'"]),
        ("lambda x", ["unknown name", "'lambda'"]),
        ("x+X", ["character 3", "unknown name"]),
        ("step", ["character 1", "unknown name"]),
        # operators
        ("x//2", ["character 3", "got '/'"]),
        ("x*/2", ["character 3", "got '/'"]),
        ("x/*2", ["character 3", "got '*'"]),
        ("x */ 2", ["got '/'"]),
        ("x**-1*/2", ["got '/'"]),
        ("x**/2", ["got '/'"]),
        ("*x", ["character 1", "got '*'"]),
        ("x***2", ["character 4", "got '*'"]),
        # calls
        ("exp", ["character 4", "got the end", "allowed: ("]),
        ("exp()", ["character 5", "got ')'"]),
        ("exp(x,)", ["character 7", "got ')'"]),
        ("exp(x,x)", ["arguments of exp", "got 2", "allowed: 1"]),
        ("min(x)", ["arguments of min", "got 1", "allowed: 2"]),
        ("max(x,1,2)", ["arguments of max", "got 3", "allowed: 2"]),
        ("clip(x,1)", ["arguments of clip", "got 2", "allowed: 3"]),
        ("where(x<0,1)", ["arguments of where", "got 2", "allowed: 3"]),
        # comparisons
        ("x<0", ["comparison", "character 2", "where(a < b, c, d)"]),
        ("where(x,1,2)", ["character 8", "got ','", "< <= > >="]),
        ("where(x<1<2,1,2)", ["character 10", "got '<'"]),
        ("where(x==1,1,2)", ["character 8", "got '='"]),
        ("max(x<1,2)", ["character 6", "got '<'"]),
        ("(x<1)", ["character 3", "got '<'"]),
        # exponents
        ("x**x", ["exponent", "character 2", "-1000..1000", "exp(b*log(a))"]),
        ("2**x", ["exponent", "exp(b*log(a))"]),
        ("9**9**9**9", ["exponent", "character 5"]),
        ("x**1001", ["exponent", "-1000..1000"]),
        ("x**-1001", ["exponent"]),
        ("x**pi", ["exponent"]),
        ("x**(1/0)", ["exponent"]),
        ("x**exp(1)", ["exponent"]),
        # numbers
        ("1e301", ["number", "character 1", "'1e301'", "1e-300..1e300"]),
        ("x+1e-301", ["number", "character 3"]),
        ("1e999999999999", ["number", "1e300"]),
        ("1e-999999999999", ["number"]),
        ("9" * 302, ["number"]),
        # sizes
        ("x" * 501, ["length of a formula", "got 501", "1..500"]),
        ("x+" * 10**6, ["length of a formula", "got 2000000"]),
        ("(" * 400, ["nesting", "character 41", "at most 40 levels"]),
        ("exp(" * 100 + "x", ["nesting", "at most 40"]),
        ("x" + "**2" * 2, ["exponent"]),
        ("2" + "**(2" * 60, ["nesting"]),
        ("+".join(f"{n}*x" for n in range(1, 80)), ["operations in a formula", "at most 200"]),
    ],
)
def test_what_is_no_formula_is_refused_in_one_short_line(refuses, text, parts):
    start = time.process_time()
    with refuses(*parts):
        parse(text)
    with pytest.raises(EmbactError) as caught:
        parse(text)
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 400
    assert time.process_time() - start < 1


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.text(max_size=40),
        st.lists(
            st.sampled_from([*NAMES, *"+-*/(),<>x2. ", "**", "<=", ">=", "1e9", "(x)", "(x,"]),
            max_size=20,
        ).map("".join),
    )
)
@example("-" * 500)
@example("- " * 249 + "x")
@example("(" * 39 + "x" + ")" * 39)
@example("x**" + "-" * 400 + "2")
@example("exp(exp(exp(exp(exp(exp(x))))))")
@example("sin(exp(exp(exp(x))))")
@example("(((x**1000)**1000)**1000)**1000")
@example("*".join(["9e299"] * 80))
@example("erfc(exp(exp(x)))+erf(-exp(exp(x)))+atan(exp(exp(x)))+tanh(exp(exp(x)))")
def test_the_parser_raises_embact_errors_only_and_what_it_reads_is_harmless(text):
    try:
        act = parse(text)
    except EmbactError:
        return
    assert re.fullmatch(r"[-+*/(),<>=.0-9A-Za-z]+", act.formula)
    for pair in ("*/", "/*", "//", " "):
        assert pair not in act.formula
    start = time.process_time()
    act(POINTS)
    for point in (-40.0, 0.0, 3.0, 5e4):
        assert isinstance(at(act.formula, point), mpmath.mpf)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("name", ["Mish", "9x", "a b", "a*/b", "", "\u00e9", "x-y"])
def test_a_name_that_is_no_c_identifier_is_refused(refuses, name):
    for make in (lambda: parse("x", name), lambda: user_activation(np.tanh, name=name)):
        with refuses("name of a real function", "a-z, 0-9 and _"):
            make()


@pytest.mark.parametrize("name", ["sigmoid", "exp", "isru"])
def test_a_name_of_the_catalogue_is_refused(refuses, name):
    for make in (lambda: parse("x", name), lambda: user_activation(np.tanh, name=name)):
        with refuses("name of a user's activation", repr(name), "`embact list` lacks"):
            make()


def test_a_long_name_is_refused(refuses):
    assert parse("x", "a" * 40).name == "a" * 40
    for length in (41, 64, 10**6):
        with refuses("length of an activation's name", f"got {length}", "1..40"):
            parse("x", "a" * length)


# Python callables


def test_a_callable_keeps_what_it_was_given():
    act = user_activation(
        np.arcsinh, name="asinh", formula="log(x + sqrt(x^2 + 1))", oracle=mpmath.asinh,
        derivative=lambda x: 1 / np.sqrt(x * x + 1), symmetry="odd",
    )  # fmt: skip
    assert np.array_equal(act(POINTS), np.arcsinh(POINTS))
    assert np.array_equal(act.slope(POINTS), 1 / np.sqrt(POINTS**2 + 1))
    assert act.exact(mpmath.mpf(3)) == mpmath.asinh(3)
    assert (act.name, act.formula, act.symmetry) == ("asinh", "log(x + sqrt(x^2 + 1))", "odd")
    assert (act.source, act.truth, act.expression) == ("user callable", "oracle", "")


def test_a_callable_alone_is_enough():
    act = user_activation(np.arcsinh, name="asinh")
    assert act.formula == "asinh(x), a Python callable"
    assert act.slope(POINTS) == pytest.approx(1 / np.sqrt(POINTS**2 + 1), rel=1e-8)
    assert (act.truth, act.symmetry, act.limits()) == ("float64", "none", (None, None))
    assert hash(user_activation(np.poly1d([1, 0]), name="cube"))  # poly1d has no hash


@pytest.mark.parametrize("symmetry", ["even", "", "Odd"])
def test_an_unknown_symmetry_is_refused(refuses, symmetry):
    with refuses("symmetry", repr(symmetry), "none, odd, point, gated"):
        user_activation(np.tanh, name="mine", symmetry=symmetry)


@pytest.mark.parametrize("formula", ["x */ y", "a\nb", "\u00e9"])
def test_a_formula_that_a_comment_cannot_hold_is_refused(refuses, formula):
    with refuses("formula of mine", "ASCII"):
        user_activation(np.tanh, name="mine", formula=formula)


@pytest.mark.parametrize("symmetry", ["odd", "point", "gated"])
def test_a_wrong_symmetry_never_makes_a_wrong_proof(symmetry):
    act = user_activation(lambda x: np.exp(-x * x), name="bump", symmetry=symmetry)
    found = fit(Problem(act, SPEC))
    truth = SPEC.output.quantize(act(SPEC.input.real(SPEC.input.codes())))
    assert np.abs(found.kernel.outputs - truth).max() == found.certificate.max_error_codes <= 1


# Kernel files and headers


@pytest.fixture(scope="module")
def mish():
    return fit(Problem(parse("x*tanh(log1p(exp(x)))", "mish2"), SPEC))


@pytest.fixture(scope="module")
def bump():
    return fit(Problem(user_activation(lambda x: np.exp(-x * x), name="bump"), SPEC))


def put(made, key, value):
    document = json.loads(fit_json(made))
    document["activation"][key] = value
    return json.dumps(document)


def test_a_formula_is_stored_and_read_back(mish):
    text = fit_json(mish)
    assert json.loads(text)["activation"] == {
        "name": "mish2",
        "parameters": {},
        "expression": "x*tanh(log1p(exp(x)))",
    }
    again = fit_of_json(text)
    assert again.activation == mish.activation
    assert again.certificate == mish.certificate
    assert again.certificate.truth == "oracle"
    assert fit_json(again) == text
    assert emit_header({"f": again}) == emit_header({"f": mish})
    assert fit_of_json(text, activation=mish.activation).activation is mish.activation


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("expression", "__import__(x)", ["formula, character 1", "unknown name"]),
        ("expression", "x*tanh(log1p(exp(x)))*/", ["formula, character"]),
        ("expression", "(" * 10**6, ["length of a formula"]),
        ("expression", "9**9**9**9", ["exponent"]),
        ("expression", "x*tanh(log1p(exp(x*1.1)))", ["certificate"]),
        ("expression", "log(x)", ["mish2 at input code -128", "got nan"]),
        ("expression", 5, ["not a kernel file"]),
        ("expression", "", ["formula, character 1"]),
        ("expression", None, ["unknown activation", "'mish2'", "activation=..."]),
        ("parameters", {"alpha": 1.0}, ["parameters of a formula"]),
        ("name", "mish 2", ["name of a real function"]),
        ("name", "tanh", ["name of a user's activation"]),
        ("name", "a" * 50, ["length of an activation's name"]),
    ],
)
def test_a_changed_formula_is_refused_in_one_line(refuses, mish, key, value, parts):
    with refuses("k.json: ", *parts):
        fit_of_json(put(mish, key, value), where="k.json")


def test_a_callables_kernel_is_read_back_with_the_callable(refuses, bump):
    text = fit_json(bump)
    assert json.loads(text)["activation"] == {"name": "bump", "parameters": {}, "expression": None}
    assert json.loads(text)["certificate"]["truth"] == "float64"
    with refuses("k.json: ", "unknown activation", "'bump'", "fit_of_json(text, activation=...)"):
        fit_of_json(text, where="k.json")
    again = fit_of_json(text, activation=bump.activation)
    assert fit_json(again) == text
    assert emit_header({"f": again}) == emit_header({"f": bump})


@pytest.mark.parametrize(
    ("other", "parts"),
    [
        (activation("tanh"), ["activation", '"tanh"', '"bump"']),
        (parse("exp(-x*x)", "bump"), ["exp(-x*x)"]),
        (user_activation(np.tanh, name="bumps"), ['"bumps"']),
        (user_activation(np.tanh, name="bump"), ["certificate"]),
        (user_activation(lambda x: 1j * x, name="bump"), ["dtype of bump(x)"]),
    ],
)
def test_another_activation_is_refused(refuses, bump, other, parts):
    with refuses("k.json: not a kernel file", *parts):
        fit_of_json(fit_json(bump), where="k.json", activation=other)


def test_a_truth_that_was_not_earned_is_refused(refuses, bump):
    document = json.loads(fit_json(bump))
    document["certificate"]["truth"] = "oracle"
    with refuses("certificate", "truth oracle, not float64"):
        fit_of_json(json.dumps(document), activation=bump.activation)


@pytest.mark.parametrize(
    ("text", "name"), [("x*tanh(log1p(exp(x)))", "mish2"), ("--x", "expr"), ("1/(1+x**2)", "bell")]
)
def test_the_command_holds_the_formula_for_a_shell(text, name):
    made = fit(Problem(parse(text, name), SPEC))
    words = shlex.split(made.command)
    assert words[:4] == ["embact", "fit", "--expr", text]
    assert ("--name" in words) == (name != "expr")


def test_a_callables_command_is_a_shells_comment(bump):
    assert bump.command.startswith("# no command fits the Python callable bump: ")


def test_no_formula_ends_the_comment_of_its_header(mish, bump):
    for made in (mish, bump):
        header = emit_header({"f": made})
        comments = re.findall(r"/\*.*?\*/", header, re.DOTALL)
        assert any(made.activation.formula in comment for comment in comments)


def test_every_entry_of_the_catalogue_is_stored_by_name_alone():
    for name in ("tanh", "exp", "softplus"):
        made = fit(Problem(CATALOGUE[name], QuantSpec(Grid(1 / 64, 0, 8), Grid(1 / 16, 0, 8))))
        stored = json.loads(fit_json(made))["activation"]
        assert stored["expression"] is None
        assert fit_of_json(fit_json(made)).activation == CATALOGUE[name]


def test_equal_formulas_of_other_names_are_other_activations():
    one = parse("tanh(x)", "one")
    assert one != dataclasses.replace(one, name="other")
    assert np.array_equal(ideal(one, SPEC).codes, ideal(activation("tanh"), SPEC).codes)
