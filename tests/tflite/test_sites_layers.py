"""Layers: softmax, PReLU and gated units are found with their constants, or there is a reason."""

from __future__ import annotations

import numpy as np
import pytest

from embact.nn.glu import Grids
from embact.nn.prelu_layer import PreluLayer
from embact.nn.softmax import Softmax
from embact.tflite.find.sites import find_sites, nothing_to_do
from embact.tflite.site import GluAsked

OUTPUTS = {
    ("SOFTMAX", "INT8", "INT8"): (1 / 256, -128),
    ("SOFTMAX", "INT8", "INT16"): (1 / 65536, -32768),
    ("SOFTMAX", "INT16", "INT16"): (1 / 32768, 0),
    ("LOG_SOFTMAX", "INT8", "INT8"): (1 / 16, 127),
}


def one_layer(build, op, tensors, fields=None):
    """What is found of an operator on all tensors but the last, which it writes."""
    last = len(tensors) - 1
    node = build.Node(op, tuple(range(last)), (last,), build.options(op, **(fields or {})))
    return find_sites(build.model_of(tensors, [node], [0], [last]))


# Softmax


@pytest.mark.parametrize("case", OUTPUTS)
def test_a_softmax_is_a_layer_with_its_scale_and_beta(build, case):
    op, source, target = case
    scale, zero_point = OUTPUTS[case]
    tensors = [
        build.Tensor("x", source, (0.0917,), 0, (1, 3, 7)),
        build.Tensor("y", target, (scale,), zero_point, (1, 3, 7)),
    ]
    found = one_layer(build, op, tensors, {"beta": 0.3})
    (layer,) = found.layers
    assert found.sites == found.skipped == ()
    assert nothing_to_do(found) == ""
    log = op == "LOG_SOFTMAX"
    bits = [int(dtype.removeprefix("INT")) for dtype in (source, target)]
    assert layer.layer == Softmax(0.0917, 1.0 if log else 0.3, *bits, mode="tflm", log=log)
    assert layer.spec.output == layer.layer.output
    assert (layer.ops, layer.operators, layer.input, layer.output) == ((op,), (0,), 0, 1)
    assert (layer.elements, layer.row_size, layer.tensor) == (21, 7, "y")


@pytest.mark.parametrize(
    ("source", "target", "beta", "why"),
    [
        ({}, {"scale": (0.01,)}, 1.0, "its output is int8 (0.01, -128), not int8 (0.00390625"),
        ({}, {"scale": (1 / 256.01,)}, 1.0, "not int8 (0.00390625, -128)"),
        ({}, {}, 0.0, "beta: got 0.0"),
        ({"dtype": "UINT8"}, {}, 1.0, "its input is a uint8 tensor"),
        ({}, {"dtype": "UINT8"}, 1.0, "its output is a uint8 tensor"),
        ({"dtype": "INT16"}, {}, 1.0, "widths of softmax"),
        ({}, {"shape": (1, 255)}, 1.0, "its shape changes"),
        ({"shape": (1, 4097)}, {"shape": (1, 4097)}, 1.0, "length of a row: got 4097"),
    ],
)
def test_a_softmax_without_a_kernel_has_a_reason(build, source, target, beta, why):
    out = {"scale": (1 / 256,), "zero_point": -128} | target
    tensors = [build.Tensor("x", **source), build.Tensor("y", **out)]
    found = one_layer(build, "SOFTMAX", tensors, {"beta": beta})
    assert found.layers == ()
    assert why in found.skipped[0].reason


@pytest.mark.parametrize(("factor", "layers"), [(1.0, 1), (1.0009, 1), (1.0011, 0)])
def test_an_int16_scale_is_taken_for_softmaxes_as_tflm_does(build, factor, layers):
    tensors = [build.Tensor("x"), build.Tensor("y", "INT16", (factor / 65536,), -32768)]
    assert len(one_layer(build, "SOFTMAX", tensors, {"beta": 1.0}).layers) == layers


def softmax_and_argmax(build, op="SOFTMAX", axis=-1, more=()):
    """What is said of a softmax whose result ARG_MAX takes over an axis of (1, 256)."""
    scale, zero_point = OUTPUTS[op, "INT8", "INT8"]
    tensors = [
        build.Tensor("logits"),
        build.Tensor("shares", "INT8", (scale,), zero_point),
        build.Tensor("axis", "INT32", (), shape=(1,), data=np.int32(axis).tobytes()),
        build.Tensor("class", "INT64", (), shape=(1,)),
        build.Tensor("again"),
    ]
    chosen = build.options(op, **({"beta": 1.0} if op == "SOFTMAX" else {}))
    nodes = [build.Node(op, (0,), (1,), chosen), build.Node("ARG_MAX", (1, 2), (3,)), *more]
    (layer,) = find_sites(build.model_of(tensors, nodes, [0], [3])).layers
    return layer.about


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("op", ["SOFTMAX", "LOG_SOFTMAX"])
def test_a_softmax_before_argmax_is_said_to_be_of_no_use(build, op, axis):
    assert softmax_and_argmax(build, op, axis).startswith("before ARG_MAX it can go")


def test_a_softmax_before_another_argmax_or_another_reader_is_not(build):
    assert "it can go" not in softmax_and_argmax(build, axis=0)
    more = [build.Node("RELU", (1,), (4,))]
    assert "it can go" not in softmax_and_argmax(build, more=more)


# PReLU

EIGHT = (-128, 127, 0, -1, 5, 6, 7, 8)


def prelu(build, codes, shape, dtype="INT8", **slopes):
    data = np.array(codes, np.int8).tobytes()
    slopes = {"scale": (0.01,), "zero_point": 3, "data": data} | slopes
    tensors = [
        build.Tensor("x", dtype, (0.05,), -1 if dtype == "INT8" else 0, (1, 4, 4, 8)),
        build.Tensor("slopes", shape=shape, **slopes),
        build.Tensor("y", dtype, (0.04,), 2 if dtype == "INT8" else 0, (1, 4, 4, 8)),
    ]
    return one_layer(build, "PRELU", tensors)


@pytest.mark.parametrize("dtype", ["INT8", "INT16"])
@pytest.mark.parametrize("shape", [(1, 1, 8), (8,)])
def test_a_prelu_of_channels_is_a_layer_with_its_slopes(build, shape, dtype):
    (layer,) = prelu(build, EIGHT, shape, dtype).layers
    assert isinstance(layer.layer, PreluLayer)
    assert layer.layer.codes == EIGHT
    assert layer.layer.reals[0] == np.float32(0.01) * np.float64(-131)
    assert (layer.elements, layer.row_size) == (128, 8)


@pytest.mark.parametrize(("codes", "shape"), [([-7], (1, 1, 1)), ([-7], ()), ([-7] * 8, (8,))])
def test_a_prelu_of_one_slope_is_a_leaky_relu(build, codes, shape):
    found = prelu(build, codes, shape)
    (site,) = found.sites
    assert found.layers == ()
    assert site.activation.settings() == {"alpha": pytest.approx(-0.1, rel=1e-7)}
    assert (site.input, site.output, site.ops) == (0, 2, ("PRELU",))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"codes": [*range(32)], "shape": (4, 8)}, "its slopes have shape (4, 8), neither one nor"),
        ({"codes": EIGHT, "shape": (8, 1)}, "its slopes have shape (8, 1), neither one nor"),
        ({"codes": [1, 2, 3, 4], "shape": (4, 1, 1)}, "its slopes have shape (4, 1, 1)"),
        ({"codes": EIGHT, "shape": (8,), "data": b""}, "its slopes are no constant"),
        ({"codes": EIGHT, "shape": (8,), "scale": (0.1, 0.2)}, "its slopes are an int8 tensor q"),
        ({"codes": EIGHT, "shape": (8,), "scale": (1e20,)}, "in_scale * alpha_scale / out_scale"),
    ],
)
def test_a_prelu_without_a_kernel_has_a_reason(build, changed, why):
    found = prelu(build, **changed)
    assert found.layers == ()
    assert why in found.skipped[0].reason


# Gated units

GATES = {
    "glu": ("g = LOGISTIC b", "sigmoid"),
    "swiglu": ("c = LOGISTIC b; g = MUL b c", "silu"),
    "geglu": ("g = GELU b", "gelu"),
    "reglu": ("g = RELU b", "relu"),
    "tanh, an island": ("f_a = DEQUANTIZE b; f_b = TANH f_a; g = QUANTIZE f_b", "tanh"),
    "mish": ("p = EXP b; q = ADD p 1; r = LOG q; s = TANH r; g = MUL b s", "mish"),
}
HALF = (1, 2, 4)


def glu(build, gate, *, dtype="INT8", axis=-1, change=None, outputs=(), last="MUL", swapped=False):
    """SPLIT of (1, 2, 8) into a and b, a gate g of b, and their product y."""
    model = build.pattern(f"{gate}; y = {last} a g", dtype, shape=HALF, given=halves(build, dtype))
    graph, made = model.tree.subgraphs[0], type(model.tree.subgraphs[0].operators[0])
    names = [tensor.name.decode() for tensor in graph.tensors]
    code = type(model.tree.operatorCodes[0])(deprecatedBuiltinCode=49, builtinCode=49)
    model.tree.operatorCodes.append(code)
    split = made(opcodeIndex=len(model.tree.operatorCodes) - 1)
    split.inputs = [names.index("axis"), names.index("x")]
    split.outputs = [names.index(one) for one in ("ba" if swapped else "ab")]
    graph.operators.insert(0, split)
    graph.outputs = [names.index("y"), *(names.index(one) for one in outputs)]
    model.tree.buffers[graph.tensors[names.index("axis")].buffer].data = np.frombuffer(
        np.int32(axis).tobytes(), np.uint8
    )
    graph.tensors[0].shape = [1, 2, 8]
    if change:
        change(graph, names)
    return model


def halves(build, dtype):
    scale = {"INT8": 0.05, "INT16": 0.0002}[dtype]
    axis = build.Tensor("axis", "INT32", (), shape=(), data=bytes(4))
    return [build.Tensor(one, dtype, (scale,), 0, HALF) for one in "ab"] + [axis]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("dtype", ["INT8", "INT16"])
@pytest.mark.parametrize("case", GATES)
def test_a_gated_unit_is_a_layer_with_its_gate(build, case, dtype, swapped):
    gate, name = GATES[case]
    found = find_sites(glu(build, gate, dtype=dtype, swapped=swapped))
    (layer,) = found.layers
    assert found.sites == found.skipped == ()
    assert isinstance(layer.layer, GluAsked)
    assert (layer.layer.activation.name, layer.layer.swapped) == (name, swapped)
    assert layer.layer.grids == Grids(layer.spec.input, layer.spec.input, layer.spec.output)
    assert layer.operators == tuple(range(len(gate.split(";")) + 2))
    assert (layer.ops[0], layer.ops[-1]) == ("SPLIT", "MUL")
    assert (layer.input, layer.elements, layer.row_size) == (0, 8, 4)


@pytest.mark.parametrize("axis", [-1, 2])
def test_a_gated_unit_splits_the_last_axis(build, axis):
    assert len(find_sites(glu(build, "g = LOGISTIC b", axis=axis)).layers) == 1


def wider(graph, names):
    graph.tensors[names.index("b")].quantization.scale = [0.06]


@pytest.mark.parametrize(
    "fault",
    [
        {"axis": 1},
        {"axis": 0},
        {"change": wider},
        {"outputs": ("a",)},
        {"outputs": ("b",)},
        {"outputs": ("g",)},
        {"last": "MUL+RELU"},
        {"last": "ADD"},
    ],
)
def test_what_is_not_quite_a_gated_unit_leaves_its_gate_a_site(build, fault):
    found = find_sites(glu(build, "g = LOGISTIC b", **fault))
    assert found.layers == ()
    assert [site.activation.name for site in found.sites] == ["sigmoid"]


def test_a_gate_of_the_same_half_is_an_activation_of_it(build):
    (site,) = find_sites(glu(build, "g = LOGISTIC a")).sites
    assert (site.activation.name, site.ops) == ("silu", ("LOGISTIC", "MUL"))


def test_singles_have_no_gated_unit(build):
    found = find_sites(glu(build, "g = LOGISTIC b"), singles=True)
    assert found.layers == ()
    assert [site.ops for site in found.sites] == [("LOGISTIC",)]
