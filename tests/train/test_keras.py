"""The catalogue agrees with TensorFlow and Keras, which compute in float64 here as we do.

Skipped where TensorFlow is not installed: it is in the extra ``train``.
"""

import math
import os
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from embact.activations import CATALOGUE, activation
from embact.catalogue.variants import meanings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # whatever it deprecates is its own affair
    tensorflow = pytest.importorskip("tensorflow", reason="no TensorFlow: extra `train`")
    keras = pytest.importorskip("keras", reason="no Keras: extra `train`")

RELATIVE = 1e-12
"""Of a value: what we hold ourselves to, and some thousand roundings."""
TINY = 1e-290
"""Below it float64 has ever fewer digits, and TensorFlow none."""
ROUNDINGS = 4 * 2.0**-52
"""Of max(1, |x|), where TensorFlow's formula subtracts numbers of that size from each other."""

SIZES = [sign * 10.0**e for e in range(-30, 11) for sign in (1, -1)]
TAILS = [-740.0, -700.0, -100.0, -38.5, -37.5, 36.7, 100.0, 700.0]
POINTS = np.array(sorted({0.0, *np.linspace(-12.0, 12.0, 385).tolist(), *SIZES, *TAILS}))


def as_float32(value):
    """Return what an attribute of a TensorFlow op, or a cast Python number, holds of a number."""
    return float(np.float32(value))


@dataclass(frozen=True)
class Case:
    """An entry, and what computes it there; ``cancels`` says why ROUNDINGS is the tolerance."""

    name: str
    theirs: Any
    settings: dict[str, float] = field(default_factory=dict)
    cancels: str = ""


A, NN = keras.activations, tensorflow.nn
EXP = "exp(x) - 1"
CASES = [
    Case("identity", A.linear),
    Case("relu", A.relu),
    Case("relu", NN.relu),
    Case("relu6", A.relu6),
    Case("relu6", NN.relu6),
    Case("relu_n1_to_1", A.hard_tanh),
    Case("clipped_relu", lambda x: A.relu(x, max_value=2.5), {"max": 2.5}),
    Case("thresholded_relu", lambda x: A.relu(x, threshold=1.5), {"theta": 1.5}),
    Case("thresholded_relu", lambda x: A.threshold(x, 1.0, 0.0)),
    Case("sparse_relu", lambda x: A.relu(x - 1.0)),
    Case("leaky_relu", A.leaky_relu, {"alpha": as_float32(0.2)}),
    Case("leaky_relu", NN.leaky_relu, {"alpha": as_float32(0.2)}),
    Case("leaky_relu", keras.layers.LeakyReLU(dtype="float64"), {"alpha": as_float32(0.3)}),
    Case("leaky_relu", lambda x: A.relu(x, negative_slope=0.125), {"alpha": 0.125}),
    Case("threshold", lambda x: A.threshold(x, 0.0, 0.5)),
    Case("threshold", lambda x: A.threshold(x, -1.5, 3.0), {"threshold": -1.5, "value": 3.0}),
    Case("soft_shrink", A.soft_shrink),
    Case("soft_shrink", lambda x: A.soft_shrink(x, 1.25), {"lambd": 1.25}),
    Case("hard_shrink", A.hard_shrink),
    Case("hard_shrink", lambda x: A.hard_shrink(x, 1.25), {"lambd": 1.25}),
    Case("tanh_shrink", A.tanh_shrink, cancels="x - tanh(x)"),
    Case("hard_tanh", A.hard_tanh),
    Case("hard_tanh", lambda x: tensorflow.clip_by_value(x, -0.5, 2.0), {"min": -0.5, "max": 2.0}),
    Case("hard_sigmoid", A.hard_sigmoid),
    Case("hard_sigmoid_05", A.sparse_sigmoid),
    Case("hard_swish", A.hard_silu),
    Case("hard_swish", A.hard_swish),
    Case("sigmoid", A.sigmoid),
    Case("sigmoid", tensorflow.math.sigmoid),
    Case("tanh", A.tanh),
    Case("tanh", tensorflow.math.tanh),
    Case("erf", tensorflow.math.erf),
    Case("softsign", A.softsign),
    Case("softsign", NN.softsign),
    Case("isru", lambda x: x * tensorflow.math.rsqrt(1.0 + x * x)),
    Case("silu", A.silu),
    Case("silu", A.swish),
    Case("silu", NN.silu),
    Case("swish", lambda x: NN.silu(x, beta=1.5), {"beta": 1.5}),
    Case("mish", A.mish),
    Case("elu", A.elu, cancels=EXP),
    Case("elu", NN.elu, cancels=EXP),
    Case("elu", lambda x: A.elu(x, alpha=0.7), {"alpha": 0.7}, EXP),
    Case("selu", A.selu, cancels=EXP),
    Case("selu", NN.selu, cancels=EXP),
    Case("celu", A.celu),
    Case("celu", lambda x: A.celu(x, alpha=0.7), {"alpha": 0.7}),
    Case("softplus", A.softplus),
    Case("softplus", lambda x: NN.softplus(2.5 * x) / 2.5, {"beta": 2.5}),
    Case("squareplus", A.squareplus, cancels="x + sqrt(x^2 + b)"),
    Case("squareplus", lambda x: A.squareplus(x, b=0.3), {"b": 0.3}, "x + sqrt(x^2 + b)"),
    Case("sparse_plus", A.sparse_plus),
    Case("log_sigmoid", A.log_sigmoid),
    Case("log_sigmoid", tensorflow.math.log_sigmoid),
    Case("exp", A.exponential),
    Case("exp", tensorflow.math.exp),
]


def theirs(function):
    values = function(tensorflow.constant(POINTS, dtype=tensorflow.float64))
    assert values.dtype == tensorflow.float64
    return values.numpy()


def differing(ours, others, cancels):
    """Return the points at which the two differ by more than they may; infinities are equal."""
    with np.errstate(invalid="ignore"):
        apart = np.where(ours == others, 0.0, np.abs(ours - others))
    rounded = ROUNDINGS * np.maximum(1.0, np.abs(POINTS))
    allowed = rounded if cancels else RELATIVE * np.abs(ours) + TINY
    return POINTS[~(apart <= allowed)].tolist()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}{case.settings or ''}")
def test_an_entry_is_what_keras_computes(case):
    ours = activation(case.name, **case.settings)(POINTS)
    others = theirs(case.theirs)
    assert differing(ours, others, case.cancels) == []
    if case.cancels:
        assert differing(ours, others, "") != [], "the tolerance is wider than need be"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}{case.settings or ''}")
def test_a_little_more_would_be_noticed(case):
    ours = activation(case.name, **case.settings)(POINTS)
    assert differing(ours * (1 + 3e-11), theirs(case.theirs), case.cancels) != []


def test_gelu_is_tensorflows_but_for_its_sqrt_half_of_float32():
    """It casts the number to float32 before it casts it to the dtype of x."""
    ratio = as_float32(math.sqrt(0.5)) / math.sqrt(0.5)
    act = activation("gelu")
    for function in (A.gelu, NN.gelu):
        others = theirs(function)
        assert differing(act(POINTS * ratio) / ratio, others, "") == []
        assert differing(act(POINTS), others, "") != []
        assert np.abs(act(POINTS) - others).max() < 1e-8


def test_gelu_tanh_is_tensorflows_but_for_its_cubic_term_of_float32():
    cubic = as_float32(0.044715)
    ours = activation("gelu_tanh")(POINTS)
    gate = 0.5 * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (POINTS + cubic * POINTS**3)))
    for function in (A.gelu, NN.gelu):
        others = theirs(lambda x, function=function: function(x, approximate=True))
        assert differing(POINTS * gate, others, "1 + tanh(x)") == []
        assert differing(ours, others, "1 + tanh(x)") != []
        assert np.abs(ours - others).max() < 1e-8


def test_defaults_are_keras_defaults_where_it_has_them():
    layer = keras.layers.LeakyReLU()
    meant = [dict(one.settings) for one in meanings("leaky_relu") if "layer" in one.who]
    assert meant == [{"alpha": pytest.approx(layer.negative_slope)}]
    assert activation("elu").settings() == {"alpha": keras.layers.ELU().alpha}
    assert CATALOGUE["hard_tanh"].settings() == {"min": -1.0, "max": 1.0}


NOT_ELEMENTWISE = {"glu", "log_softmax", "softmax", "sparsemax"}


def test_every_elementwise_activation_of_keras_is_an_entry_or_named_in_variants():
    functions = {name for name in dir(A) if not name.startswith("_")}
    functions -= {"deserialize", "get", "serialize"}
    lacking = {name for name in functions if name not in CATALOGUE and not meanings(name)}
    assert lacking == NOT_ELEMENTWISE


def test_every_entry_that_keras_has_is_compared():
    compared = {case.name for case in CASES} | {"gelu", "gelu_tanh"}
    absent = {"rrelu", "apl", "hard_sigmoid_02", "sqnl", "gelu_sigmoid", "isrlu"}
    assert compared | absent == set(CATALOGUE)
    assert not compared & absent
