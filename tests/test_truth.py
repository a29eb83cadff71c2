"""The type of an activation: what it refuses, and how its parameters are set."""

import dataclasses
import math

import mpmath
import pytest

from embact.activations import activation


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


def test_an_activation_without_an_oracle_says_so(refuses):
    with refuses("relu has no oracle"):
        dataclasses.replace(activation("relu"), oracle=None).exact(mpmath.mpf(1))


def test_parameters_that_must_ascend_are_refused_where_they_fall(refuses):
    with refuses("hard_tanh: parameters min, max", "got 1.5, 1", "min <= max"):
        activation("hard_tanh", min=1.5)
    with refuses("rrelu: parameters lower, upper", "got 0.125, 0.1", "lower <= upper"):
        activation("rrelu", upper=0.1)
    assert activation("rrelu", lower=0.25, upper=0.25).values == (0.25, 0.25)
    assert activation("hard_tanh", min=-3.5, max=-1).values == (-3.5, -1.0)


def test_setting_nothing_gives_the_defaults_again():
    act = activation("hard_tanh", min=0.0)
    assert act.symmetry == "none"
    assert act.set({}) == activation("hard_tanh")
    assert act.set({"max": math.pi}).settings() == {"min": -1.0, "max": math.pi}
