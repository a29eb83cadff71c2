"""What operators mean for real numbers: against their definitions, and as formulas."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.expression import parse
from embact.tflite.find.meaning import (
    CLAMPS,
    COMPARISONS,
    LOGICAL,
    MEANING,
    NUMERIC,
    OPERANDS,
    ROUNDED,
    SELECTS,
)
from embact.tflite.find.terms import Terms
from embact.tflite.find.terms_text import number_text, text_of
from embact.tflite.model import names_of

X = np.concatenate([np.linspace(-9, 9, 361), [1e-6, -1e-6, 30.0, -30.0]])


def gelu(x):
    return np.array([v / 2 * math.erfc(-v / math.sqrt(2)) for v in x])


def tanh_gelu(x):
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


UNARY = {
    "ABS": np.abs,
    "COS": np.cos,
    "ELU": lambda x: np.where(x < 0, np.exp(np.minimum(x, 0)) - 1, x),
    "EXP": np.exp,
    "GELU": gelu,
    "HARD_SWISH": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "LOG": np.log,
    "LOGISTIC": lambda x: 1 / (1 + np.exp(-x)),
    "NEG": np.negative,
    "RELU": lambda x: np.maximum(x, 0),
    "RELU6": lambda x: np.clip(x, 0, 6),
    "RELU_0_TO_1": lambda x: np.clip(x, 0, 1),
    "RELU_N1_TO_1": lambda x: np.clip(x, -1, 1),
    "RSQRT": lambda x: 1 / np.sqrt(x),
    "SIGN": np.sign,
    "SIN": np.sin,
    "SQRT": np.sqrt,
    "SQUARE": np.square,
    "TANH": np.tanh,
}
BINARY = {
    "ADD": np.add,
    "DIV": np.divide,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "MUL": np.multiply,
    "POW": np.power,
    "PRELU": lambda x, a: np.where(x < 0, a * x, x),
    "SQUARED_DIFFERENCE": lambda x, a: (x - a) ** 2,
    "SUB": np.subtract,
}
COMPARED = {
    "EQUAL": np.equal,
    "GREATER": np.greater,
    "GREATER_EQUAL": np.greater_equal,
    "LESS": np.less,
    "LESS_EQUAL": np.less_equal,
    "NOT_EQUAL": np.not_equal,
}


def same(ours, theirs):
    with np.errstate(all="ignore"):
        near = np.abs(ours - theirs) <= 1e-12 * (1 + np.abs(theirs))
    return bool(np.all(near | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))))


def evaluated(op, *numbers, options=None):
    terms = Terms()
    args = [terms.x, *(terms.number(one) for one in numbers)]
    return terms.evaluate(MEANING[op](terms, args, options), X)


@pytest.mark.parametrize("op", UNARY)
def test_an_operator_on_one_tensor_is_its_definition(op):
    with np.errstate(all="ignore"):
        assert same(evaluated(op), UNARY[op](X))
        assert not same(evaluated(op) + 1e-9, UNARY[op](X))


@pytest.mark.parametrize("number", [2, Fraction(-1, 2), 3, 0])
@pytest.mark.parametrize("op", BINARY)
def test_an_operator_on_a_tensor_and_a_number_is_its_definition(op, number):
    with np.errstate(all="ignore"):
        assert same(evaluated(op, number), BINARY[op](X, float(number)))


@pytest.mark.parametrize("number", [2, Fraction(-1, 2), 0])
@pytest.mark.parametrize("op", COMPARED)
def test_a_comparison_is_1_where_it_holds(op, number):
    assert evaluated(op, number).tolist() == COMPARED[op](X, float(number)).tolist()


def test_gelu_with_approximate_and_leaky_relu_have_their_options():
    assert same(evaluated("GELU", options=SimpleNamespace(approximate=True)), tanh_gelu(X))
    leaky = evaluated("LEAKY_RELU", options=SimpleNamespace(alpha=np.float32(0.1)))
    assert same(leaky, np.where(X < 0, 0.1 * X, X))


@pytest.mark.parametrize("kind", range(1, 5))
def test_a_fused_activation_is_applied_to_the_result(kind):
    name = names_of("ActivationFunctionType")[kind]
    options = SimpleNamespace(fusedActivationFunction=kind)
    fused = evaluated("ADD", 1, options=options)
    assert same(fused, UNARY[name](X + 1))
    assert (name in CLAMPS) == (name != "TANH")


def test_a_fused_activation_that_is_unknown_has_no_meaning():
    terms = Terms()
    options = SimpleNamespace(fusedActivationFunction=5)
    assert names_of("ActivationFunctionType")[5] == "SIGN_BIT"
    assert MEANING["ADD"](terms, [terms.x, terms.x], options) is None
    assert MEANING["POW"](terms, [terms.number(2), terms.x], None) is None
    assert MEANING["PRELU"](terms, [terms.x, terms.x], None) is None


@pytest.mark.parametrize("op", SELECTS)
def test_a_choice_by_logic_is_the_choice_by_its_truth_table(op):
    terms = Terms()
    x, half = terms.x, terms.number(Fraction(1, 2))
    p = COMPARISONS["GREATER"](terms, [x, half], None)
    q = COMPARISONS["LESS_EQUAL"](terms, [x, terms.number(3)], None)
    both = LOGICAL["LOGICAL_AND"](terms, [p, q], None)
    either = LOGICAL["LOGICAL_OR"](terms, [p, LOGICAL["LOGICAL_NOT"](terms, [q], None)], None)
    for condition, table in ((both, (X > 0.5) & (X <= 3)), (either, (X > 0.5) | (X > 3))):
        chosen = SELECTS[op](terms, [condition, x, half], None)
        assert terms.evaluate(chosen, X).tolist() == np.where(table, X, 0.5).tolist()


def test_what_is_listed_is_builtin_and_every_operator_is_tested():
    assert set(MEANING) <= set(names_of("BuiltinOperator").values())
    assert set(OPERANDS) <= set(MEANING)
    assert set(NUMERIC) == {*UNARY, *BINARY, "LEAKY_RELU"}
    assert set(COMPARISONS) == set(COMPARED)
    assert set(MEANING) - set(NUMERIC) - set(COMPARED) == {*LOGICAL, *SELECTS, *ROUNDED}


# What is simplified


@pytest.mark.parametrize(
    ("chain", "text"),
    [
        (["EXP", ("ADD", 1), "LOG"], "softplus(x)"),
        ([("ADD", 1), "LOG"], "log1p(x)"),
        (["EXP", ("SUB", 1)], "expm1(x)"),
        (["EXP", ("ADD", -1)], "expm1(x)"),
        (["NEG", "EXP", ("ADD", 1), "RSQRT", "SQUARE"], "(1/sqrt(exp(-x) + 1))**2"),
        (["NEG", "NEG"], "x"),
        ([("ADD", 0), ("MUL", 1), ("DIV", 1), ("SUB", 0)], "x"),
        (["LOGISTIC", "LOG"], "-softplus(-x)"),
        (["EXP", ("ADD", 2), "LOG"], "log(exp(x) + 2)"),
        (["EXP", ("SUB", 2)], "exp(x) - 2"),
        ([("MUL", Fraction(1, 6)), "RELU"], "relu(x*(1/6))"),
        ([("SUB", -3), ("DIV", Fraction(1, 4))], "(x - -3)/0.25"),
    ],
)
def test_a_chain_is_written_as_the_formula_that_it_is(chain, text):
    terms = Terms()
    found = terms.x
    for one in chain:
        op, *numbers = (one,) if isinstance(one, str) else one
        found = MEANING[op](terms, [found, *map(terms.number, numbers)], None)
    assert text_of(terms, found) == text.replace("x - -3", "x - (-3)")


def test_a_reciprocal_of_1_and_an_exponential_is_the_sigmoid():
    terms = Terms()
    divisor = terms.make("+", terms.make("exp", terms.x), terms.number(1))
    gate = terms.make("/", terms.number(1), divisor)
    assert text_of(terms, gate) == "sigmoid(-x)"
    far = np.array([-1e4, 1e4])
    assert terms.evaluate(gate, far).tolist() == [1.0, 0.0]


LEAVES = st.one_of(
    st.just("x"), st.fractions(-9, 9, max_denominator=99), st.sampled_from(["pi", Fraction(1, 3)])
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*", "/", "min", "max"]), inner, inner),
        st.tuples(st.sampled_from(["neg", "abs", "tanh", "exp", "sigmoid"]), inner),
        st.tuples(st.just("less"), inner, inner, inner, inner),
        st.tuples(st.just("**"), inner, st.sampled_from([2, 3, -1, Fraction(1, 2)])),
    ),
    max_leaves=12,
)


def built(terms, tree):
    if tree == "x":
        return terms.x
    if tree == "pi":
        return terms.pi()
    if isinstance(tree, (int, Fraction)):
        return terms.number(tree)
    op, *parts = tree
    if op == "**":
        return terms.power(built(terms, parts[0]), Fraction(parts[1]))
    if op == "less":
        return terms.less(*(built(terms, part) for part in parts))
    return terms.make(op, *(built(terms, part) for part in parts))


@settings(derandomize=True, max_examples=150, deadline=None)
@given(EXPRESSIONS)
def test_the_text_of_a_term_is_a_formula_of_the_same_values(tree):
    terms = Terms()
    root = built(terms, tree)
    text = text_of(terms, root)
    x = np.array([-2.5, -0.5, 0.25, 1.0, 3.0])
    ours = terms.evaluate(root, x)
    if text is None or not np.isfinite(ours).all() or np.abs(ours).max() > 1e100:
        return
    theirs = parse(text).function(x)
    assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-9) or "<" in text


def test_a_text_of_other_values_would_be_noticed():
    terms = Terms()
    root = built(terms, ("-", "x", ("-", "x", Fraction(1, 2))))
    assert text_of(terms, root) == "x - (x - 0.5)"
    assert parse("x - x - 0.5")(np.array([1.0])) != terms.evaluate(root, np.array([1.0]))


def test_a_formula_that_doubles_at_each_step_is_given_up_without_being_written():
    terms = Terms()
    found = terms.x
    for _ in range(200):
        found = terms.make("+", terms.make("exp", found), found)
    assert text_of(terms, found) is None
    assert len(terms.steps) < 600


@pytest.mark.parametrize("value", [Fraction(10) ** 400, Fraction(10) ** -400])
def test_a_number_beyond_a_formulas_is_refused_and_not_rounded(value, refuses):
    text = number_text(value).text
    with refuses("number", "1e999", "1e-300..1e300"):
        parse(f"x+{text}")


@pytest.mark.parametrize("value", [Fraction(1, 7), Fraction(-22, 7), Fraction(10) ** 30])
def test_a_number_is_read_back_exactly(value):
    terms, text = Terms(), number_text(value).text
    formula = f"x+{text}" if value >= 0 else f"x{text}"
    assert parse(formula).function(np.array([0.0])) == float(value)
    assert text_of(terms, terms.number(value)) == text
