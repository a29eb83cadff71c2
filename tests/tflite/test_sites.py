"""Finding activations: every operator and pattern that can be replaced, and why others cannot."""

from __future__ import annotations

import numpy as np
import pytest

from embact.errors import EmbactError
from embact.tflite.convert import convert
from embact.tflite.find.sites import find_sites, nothing_to_do
from embact.tflite.model import pack, parse, read
from embact.tflite.placement import place

SINGLE = {
    "ELU": "elu",
    "EXP": "exp",
    "GELU": "gelu",
    "HARD_SWISH": "hard_swish",
    "LEAKY_RELU": "leaky_relu",
    "LOGISTIC": "sigmoid",
    "RELU": "relu",
    "RELU6": "relu6",
    "RELU_0_TO_1": "clipped_relu",
    "RELU_N1_TO_1": "relu_n1_to_1",
    "TANH": "tanh",
}


def reasons(model) -> dict[str, str]:
    return {skip.op: skip.reason for skip in find_sites(model).skipped}


@pytest.mark.parametrize("dtype", ["INT8", "INT16"])
@pytest.mark.parametrize("op", SINGLE)
def test_each_operator_is_a_site_with_its_tensors_and_grids(build, op, dtype):
    found = find_sites(build.one_op(op, dtype, elements=12))
    (site,) = found.sites
    assert found.skipped == ()
    assert (site.ops, site.operators, site.input, site.output) == ((op,), (0,), 0, 1)
    assert site.activation.name == SINGLE[op]
    assert (site.spec.input.dtype, site.spec.output.dtype) == (dtype.lower(), dtype.lower())
    assert site.spec.input.scale == float(np.float32({"INT8": 0.05, "INT16": 0.0002}[dtype]))
    assert (site.elements, site.tensor, site.subgraph) == (12, "out", 0)


def test_the_slope_of_leaky_relu_is_the_stored_float32(build):
    (site,) = find_sites(build.one_op("LEAKY_RELU", fields={"alpha": 0.3})).sites
    assert site.activation.settings() == {"alpha": 0.30000001192092896}


def test_gelu_says_which_of_its_two_forms_it_is(build):
    (site,) = find_sites(build.one_op("GELU", fields={"approximate": True})).sites
    assert site.activation.name == "gelu_tanh"


@pytest.mark.parametrize("dtype", ["INT8", "INT16"])
@pytest.mark.parametrize("swapped", [False, True])
def test_logistic_and_mul_are_one_silu_in_either_order_of_operands(build, dtype, swapped):
    found = find_sites(build.silu_pair(dtype, swapped=swapped, shape=(1, 8)))
    (site,) = found.sites
    assert found.skipped == ()
    assert (site.ops, site.operators) == (("LOGISTIC", "MUL"), (0, 1))
    assert (site.input, site.output, site.activation.name) == (0, 2, "silu")
    assert site.spec.input.scale == site.spec.output.scale


def test_a_sigmoid_that_is_also_an_output_is_no_part_of_a_silu(build):
    model = build.silu_pair(outputs=(2, 1))
    assert [site.activation.name for site in find_sites(model).sites] == ["sigmoid"]
    assert "no silu" in reasons(model)["MUL"]


def test_a_sigmoid_that_something_else_reads_is_no_part_of_a_silu(build):
    model = build.pattern("g = LOGISTIC x; y = MUL x g; z = TANH g", outputs=("y", "z"))
    assert [site.activation.name for site in find_sites(model).sites] == ["sigmoid", "tanh"]
    assert "no silu" in reasons(model)["MUL"]


def test_a_mul_with_a_fused_activation_is_another_function_than_silu(build):
    (site,) = find_sites(build.silu_pair(fused=1)).sites
    assert site.activation.expression == "relu(sigmoid(x)*x)"


def test_a_product_with_another_tensor_is_no_silu(build):
    tensors = [build.Tensor(name) for name in ("x", "other", "gate", "out")]
    nodes = [
        build.Node("LOGISTIC", (0,), (2,)),
        build.Node("MUL", (1, 2), (3,), build.options("MUL")),
    ]
    (site,) = find_sites(build.model_of(tensors, nodes, [0, 1], [3])).sites
    assert site.activation.name == "sigmoid"


def test_a_square_of_a_sigmoid_is_no_silu(build):
    tensors = [build.Tensor(name) for name in ("x", "gate", "out")]
    nodes = [
        build.Node("LOGISTIC", (0,), (1,)),
        build.Node("MUL", (1, 1), (2,), build.options("MUL")),
    ]
    (site,) = find_sites(build.model_of(tensors, nodes, [0], [2])).sites
    assert site.activation.expression == "sigmoid(x)**2"


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ({"dtype": "FLOAT32", "scale": ()}, {}, "its input is a float32 tensor"),
        ({}, {"dtype": "FLOAT32", "scale": ()}, "its output is a float32 tensor"),
        ({"dtype": "UINT8"}, {"dtype": "UINT8"}, "its input is a uint8 tensor"),
        ({"scale": (0.1, 0.2)}, {}, "its input is an int8 tensor quantised per channel"),
        ({"scale": ()}, {}, "its input is an int8 tensor without a scale"),
        ({"data": bytes(256)}, {}, "its input is a constant"),
        ({}, {"shape": (2, 256)}, "its shape changes"),
    ],
)
def test_an_activation_that_is_no_site_has_a_reason(build, source, target, reason):
    tensors = [
        build.Tensor("in", **source),
        build.Tensor("out", **target),
        build.Tensor("more"),
        build.Tensor("still more"),
    ]
    nodes = [build.Node("TANH", (0,), (1,)), build.Node("RELU", (2,), (3,))]
    model = build.model_of(tensors, nodes, [0, 2], [1])
    assert reason in reasons(model)["TANH"]


def test_a_slope_that_no_kernel_has_is_a_reason_too(build):
    model = build.one_op("LEAKY_RELU", fields={"alpha": 1e9})
    assert "parameter alpha" in reasons(model)["LEAKY_RELU"]


def test_operators_with_activations_inside_and_softmaxes_of_other_grids_are_listed(build):
    tensors = [build.Tensor(name) for name in ("a", "b", "c")]
    nodes = [
        build.Node("ADD", (0, 0), (1,), build.options("ADD", fusedActivationFunction=3)),
        build.Node("SOFTMAX", (1,), (2,), build.options("SOFTMAX", beta=1.0)),
    ]
    model = build.model_of(tensors, nodes, [0], [2])
    assert reasons(model) == {
        "ADD": "already free: RELU6 is fused into the operator",
        "SOFTMAX": "its output is int8 (0.05, 0), not int8 (0.00390625, -128); if only the class "
        "of the model's output is used, it can go: the class of the largest input is the same, "
        "unless rounded outputs tie",
    }
    said = nothing_to_do(find_sites(model))
    assert "ADD" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("op", "fused", "words"),
    [
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", 4, ("not reachable", "unroll=True", "`embact gates`")),
        ("SVDF", 4, ("not reachable", "the activation after it")),
        ("SVDF", 1, ("already free", "RELU")),
        ("CONV_2D", 2, ("already free", "RELU_N1_TO_1")),
        ("CONV_2D", 4, ("TANH is fused into the operator",)),
    ],
)
def test_activations_inside_operators_are_listed_with_what_to_do(build, op, fused, words):
    tensors = [build.Tensor("a"), build.Tensor("b")]
    chosen = build.options(op, fusedActivationFunction=fused)
    skipped = find_sites(
        build.model_of(tensors, [build.Node(op, (0,), (1,), chosen)], [0], [1])
    ).skipped
    assert [skip.op for skip in skipped] == [op]
    assert all(word in skipped[0].reason for word in words)
    none = build.options(op, fusedActivationFunction=0)
    plain = find_sites(build.model_of(tensors, [build.Node(op, (0,), (1,), none)], [0], [1]))
    assert len(plain.skipped) == (op == "UNIDIRECTIONAL_SEQUENCE_LSTM")


def test_sorted_and_summed_rows_are_no_element_wise_function(build):
    tensors = [build.Tensor("a"), build.Tensor("b"), build.Tensor("i"), build.Tensor("c")]
    nodes = [build.Node("TOPK_V2", (0,), (1, 2)), build.Node("CUMSUM", (1,), (3,))]
    assert "sparsemax" in reasons(build.model_of(tensors, nodes, [0], [3]))["CUMSUM"]
    assert reasons(build.model_of(tensors, nodes[1:], [1], [3])) == {}


def test_other_subgraphs_hold_no_sites(build):
    one = [build.Tensor("in"), build.Tensor("out")], [build.Node("TANH", (0,), (1,))], [0], [1]
    found = find_sites(parse(pack(build.tree_of(one, one))))
    assert [site.subgraph for site in found.sites] == [0]
    assert [(skip.subgraph, skip.op) for skip in found.skipped] == [(1, "TANH")]


@pytest.mark.parametrize("weights", [(), (0.1,)])
def test_a_float_model_is_an_error_that_says_how_to_quantise(build, weights):
    # with int8 weights it is what the converter calls dynamic range quantisation
    kind = "INT8" if weights else "FLOAT32"
    tensors = [
        build.Tensor("x", "FLOAT32", ()),
        build.Tensor("w", kind, weights, data=bytes(256 if weights else 1024)),
        build.Tensor("sum", "FLOAT32", ()),
        build.Tensor("out", "FLOAT32", ()),
    ]
    nodes = [
        build.Node("ADD", (0, 1), (2,), build.options("ADD")),
        build.Node("TANH", (2,), (3,)),
    ]
    with pytest.raises(EmbactError, match=r"quantise first.*representative_dataset") as error:
        find_sites(build.model_of(tensors, nodes, [0], [3]))
    assert "\n" not in str(error.value)


def test_a_model_without_activations_says_so(build):
    model = build.model_of([build.Tensor("t")], [], [0], [0])
    assert nothing_to_do(find_sites(model)) == "no activation operator in this model"


def test_a_model_with_a_site_has_something_to_do(build):
    assert nothing_to_do(find_sites(build.one_op("TANH"))) == ""


def test_a_converted_model_has_nothing_left_to_convert(build):
    model = build.one_op("TANH")
    (site,) = find_sites(model).sites
    fit = build.fit_of_table(site.activation, site.spec, range(-128, 128))
    again = parse(convert(model, place([site], [fit])))
    assert "already converted" in nothing_to_do(find_sites(again))


def test_the_sites_of_the_packaged_models_are_those_they_were_made_with(digits):
    names = [site.activation.name for site in find_sites(digits).sites]
    made_with = ["silu", "hard_swish", "leaky_relu", "gelu"]
    assert names == (made_with if "cnn" in digits.where else ["sigmoid", "tanh"])
    assert read(digits.where).sha256 == digits.sha256
