"""The catalogue by name: what is in it, and what is said about names that are not."""

import dataclasses
import math

import pytest

from embact.activations import CATALOGUE, activation

ELEMENTWISE = (
    "relu relu6 relu_n1_to_1 clipped_relu thresholded_relu sparse_relu leaky_relu rrelu threshold "
    "apl soft_shrink hard_shrink tanh_shrink hard_tanh hard_sigmoid hard_sigmoid_02 hard_swish "
    "sigmoid tanh erf softsign sqnl isru gelu gelu_tanh gelu_sigmoid silu swish mish "
    "elu selu celu isrlu softplus squareplus sparse_plus log_sigmoid exp"
)


def test_the_catalogue_has_what_networks_use():
    assert set(ELEMENTWISE.split()) <= set(CATALOGUE)
    assert set(CATALOGUE) - set(ELEMENTWISE.split()) == {"identity", "hard_sigmoid_05"}


def test_every_entry_says_where_its_formula_is_from():
    for act in CATALOGUE.values():
        assert act.source
        assert "x" in act.formula


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


def test_the_catalogue_is_tested_and_has_oracles():
    for act in CATALOGUE.values():
        assert act.tested
        assert act.oracle is not None
        assert act.truth == "oracle"
        assert not act.expression
    assert dataclasses.replace(activation("relu"), oracle=None).truth == "float64"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("hswish", ["hard_swish (Howard et al. 2019)"]),
        ("HardSwish", ["hard_swish (PyTorch"]),
        ("hardsigmoid", ["hard_sigmoid (Keras 3, PyTorch", "or hard_sigmoid_02 (Keras 1"]),
        ("relu1", ["relu_n1_to_1 (TFLite", "or clipped_relu(max=1) ("]),
        ("exponential", ["exp (Keras)"]),
    ],
)
def test_a_name_from_elsewhere_is_answered_with_the_entry_that_it_means(refuses, name, parts):
    with refuses("unknown activation", f"got {name!r}; allowed: {parts[0]}", "all: apl,", *parts):
        activation(name)


def test_no_name_from_elsewhere_is_taken_silently():
    from embact.catalogue.variants import VARIANTS

    assert not [one.name for one in VARIANTS if one.name not in CATALOGUE and taken(one.name)]


def taken(name):
    from embact.errors import EmbactError

    try:
        activation(name)
    except EmbactError:
        return False
    return True
