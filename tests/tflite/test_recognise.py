"""Recognising: each entry is found from its formula, with its parameters, and not from another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.activations import CATALOGUE, activation
from embact.formula import read
from embact.grid import Grid, QuantSpec
from embact.tflite.find.recognise import GUESSES, SPREAD, Recogniser
from embact.tflite.find.terms import Terms

FORMULAS = {
    "relu": "max(x, 0)",
    "relu6": "min(max(x, 0), 6)",
    "relu_n1_to_1": "max(min(x, 1), -1)",
    "sigmoid": "1/(1 + exp(-x))",
    "tanh": "1 - 2*sigmoid(-2*x)",
    "silu": "x/(1 + exp(-x))",
    "gelu_tanh": "x*0.5*(1 + tanh(0.7978845608*(x + 0.044715*x*x*x)))",
    "gelu": "0.5*x*(1 + erf(x*0.70710678))",
    "gelu_sigmoid": "x*sigmoid(1.702*x)",
    "mish": "x*tanh(log(1 + exp(x)))",
    "selu": "1.050701*where(x > 0, x, 1.6732632*(exp(x) - 1))",
    "log_sigmoid": "log(sigmoid(x))",
    "exp": "exp(x)",
    "tanh_shrink": "x - tanh(x)",
    "hard_sigmoid": "clip(x + 3, 0, 6)/6",
    "hard_sigmoid_02": "clip(0.2*x + 0.5, 0, 1)",
    "hard_sigmoid_05": "clip(0.5*x + 0.5, 0, 1)",
    "hard_swish": "x*clip(x + 3, 0, 6)/6",
    "softsign": "x/(abs(x) + 1)",
    "sqnl": "clip(x, -2, 2) - clip(x, -2, 2)*abs(clip(x, -2, 2))/4",
    "sparse_plus": "where(x < -1, 0, where(x > 1, x, 0.25*(x + 1)**2))",
    "clipped_relu": "min(max(x, 0), {max})",
    "hard_tanh": "max(min(x, {max}), {min})",
    "leaky_relu": "max(x, 0) + {alpha}*min(x, 0)",
    "thresholded_relu": "where(x > {theta}, x, 0)",
    "threshold": "where(x > {threshold}, x, {value})",
    "sparse_relu": "max(x - {threshold}, 0)",
    "soft_shrink": "where(x > {lambd}, x - {lambd}, where(x < -{lambd}, x + {lambd}, 0))",
    "hard_shrink": "where(abs(x) > {lambd}, x, 0)",
    "elu": "where(x > 0, x, {alpha}*(exp(x) - 1))",
    "celu": "max(x, 0) + min(0, {alpha}*(exp(x/{alpha}) - 1))",
    "softplus": "log(1 + exp({beta}*x))/{beta}",
    "swish": "x*sigmoid({beta}*x)",
    "squareplus": "(x + sqrt(x*x + {b}))/2",
    "isru": "x/sqrt(1 + {alpha}*x**2)",
    "isrlu": "where(x < 0, x/sqrt(1 + {alpha}*x**2), x)",
}
"""Each written as an operator chain may have it, with the digits that a float32 has."""

VALUES = {
    "clipped_relu": [{"max": 20.0}, {"max": 0.5}],
    "hard_tanh": [{"min": -2.0, "max": 3.0}, {"min": 0.5, "max": 1.0}],
    "leaky_relu": [{"alpha": 0.01}, {"alpha": 0.3}, {"alpha": -0.25}],
    "thresholded_relu": [{"theta": 1.0}, {"theta": 0.5}],
    "threshold": [{"threshold": 0.5, "value": 2.0}, {"threshold": -1.0, "value": 0.0}],
    "sparse_relu": [{"threshold": 1.0}, {"threshold": 0.1}],
    "soft_shrink": [{"lambd": 0.5}, {"lambd": 0.1}],
    "hard_shrink": [{"lambd": 0.5}, {"lambd": 3.0}],
    "elu": [{"alpha": 1.0}, {"alpha": 0.7}],
    "celu": [{"alpha": 0.7}, {"alpha": 4.0}],
    "softplus": [{"beta": 1.0}, {"beta": 2.5}, {"beta": 20.0}],
    "swish": [{"beta": 1.5}, {"beta": 0.25}, {"beta": 10.0}],
    "squareplus": [{"b": 4.0}, {"b": 0.3}],
    "isru": [{"alpha": 1.0}, {"alpha": 0.3}],
    "isrlu": [{"alpha": 1.0}, {"alpha": 3.0}],
}
CASES = [(name, values) for name in FORMULAS for values in VALUES.get(name, [{}])]
SPECS = [
    QuantSpec(Grid(0.05, 3, 8), Grid(0.04, -7, 8)),
    QuantSpec(Grid(0.0003, 0, 16), Grid(0.0002, 0, 16)),
]


def term_of(text):
    """The terms of a formula, and the one that it is."""
    terms, made = Terms(), []
    for step in read(text)[1]:
        args = [made[arg] for arg in step.args]
        match step.op:
            case "x":
                made.append(terms.x)
            case "number":
                made.append(terms.number(step.value))
            case "**":
                made.append(terms.power(args[0], step.value))
            case op:
                made.append(terms.make(op, *args))
    return terms, made[-1]


def recognised(text, spec=SPECS[0]):
    terms, term = term_of(text)
    recogniser = Recogniser(terms)
    known = recogniser.likely(term)
    return known if known and recogniser.agrees(known, term, spec) else None


@pytest.mark.parametrize("spec", SPECS, ids=["int8", "int16"])
@pytest.mark.parametrize(("name", "values"), CASES)
def test_an_entry_is_recognised_with_its_parameters(name, values, spec):
    assert recognised(FORMULAS[name].format(**values), spec) == activation(name, **values)


@pytest.mark.parametrize(("name", "values"), CASES)
def test_an_entry_one_part_in_a_hundred_thousand_off_is_not_it(name, values):
    text = FORMULAS[name].format(**values)
    assert recognised(f"1.00001*({text})") != activation(name, **values)
    assert recognised(f"{text} + 0.00001") != activation(name, **values)


@pytest.mark.parametrize(("name", "values"), [case for case in CASES if case[1]])
def test_a_parameter_one_percent_off_is_another_parameter(name, values):
    for key in values:
        changed = values | {key: values[key] * 1.01 + (values[key] == 0) * 0.1}
        found = recognised(FORMULAS[name].format(**changed))
        assert found != activation(name, **values)


def test_every_entry_can_be_recognised_but_those_that_say_why_not():
    assert set(FORMULAS) == set(GUESSES)
    assert set(CATALOGUE) - set(GUESSES) == {"identity", "rrelu", "apl", "erf"}


def test_equal_functions_have_the_more_usual_name():
    for text, name in (
        ("min(max(x, 0), 6)", "relu6"),
        ("max(min(x, 1), -1)", "relu_n1_to_1"),
        ("x*sigmoid(1*x)", "silu"),
        ("max(x, 0) + min(0, exp(x) - 1)", "elu"),
        ("max(min(x, 3), 0)", "clipped_relu"),
        ("where(x > 0.5, x, 0)", "thresholded_relu"),
    ):
        assert recognised(text).name == name


@pytest.mark.parametrize("text", ["x", "2*x + 1", "0.5*x", "-x", "x/3", "3"])
def test_what_is_linear_is_no_activation(text):
    assert recognised(text) is None


@pytest.mark.parametrize(
    "text",
    ["exp(exp(x))", "exp(exp(exp(x)))", "1/x", "log(x)", "sqrt(x)", "x**3", "exp(-x)", "sin(x)"],
)
def test_infinities_and_nan_agree_with_nothing_finite(text):
    assert recognised(text) is None


def test_a_difference_on_the_codes_alone_is_noticed():
    # a bump between the numbers of SPREAD, on an input code
    at = float(SPECS[0].input.real(np.array([44]))[0])
    bump = f"where(abs(x - {at!r}) < 0.001, 0.5, 0)"
    terms, term = term_of(f"x*sigmoid(x) + {bump}")
    recogniser = Recogniser(terms)
    silu = activation("silu")
    assert not (np.abs(SPREAD - at) < 0.001).any()
    assert not recogniser.agrees(silu, term, SPECS[0])
    terms, plain = term_of("x*sigmoid(x)")
    assert Recogniser(terms).agrees(silu, plain, SPECS[0])


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.integers(1, 400), st.sampled_from(["swish", "softplus", "elu", "celu", "leaky_relu"]))
def test_any_short_parameter_is_found(hundredths, name):
    value = hundredths / 100
    (parameter,) = CATALOGUE[name].parameters
    if value == 1 and name in ("swish", "celu", "leaky_relu"):
        return  # silu, elu and the identity
    found = recognised(FORMULAS[name].format(**{parameter.name: value}))
    assert found == activation(name, **{parameter.name: value})
