"""Finding activations: every operator and pattern that can be replaced, and why others cannot."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from embact.errors import EmbactError
from embact.tflite.convert import convert
from embact.tflite.model import pack, parse, read
from embact.tflite.placement import place
from embact.tflite.sites import find_sites, nothing_to_do

SINGLE = {
    "ELU": "elu",
    "GELU": "gelu",
    "HARD_SWISH": "hard_swish",
    "LEAKY_RELU": "leaky_relu",
    "LOGISTIC": "sigmoid",
    "RELU": "relu",
    "RELU6": "relu6",
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
    assert "no SiLU" in reasons(model)["MUL"]


def test_a_sigmoid_that_something_else_reads_is_no_part_of_a_silu(build):
    tree = build.silu_pair().tree
    tree.subgraphs[0].operators.append(copy.copy(tree.subgraphs[0].operators[0]))
    tree.subgraphs[0].operators[2].inputs = [1]
    tree.subgraphs[0].operators[2].outputs = [2]
    model = parse(pack(tree))
    assert all(site.activation.name == "sigmoid" for site in find_sites(model).sites)
    assert "no SiLU" in reasons(model)["MUL"]


def test_a_mul_with_a_fused_activation_is_no_part_of_a_silu(build):
    model = build.silu_pair(fused=1)
    assert [site.activation.name for site in find_sites(model).sites] == ["sigmoid"]
    assert reasons(model)["MUL"] == "RELU is fused into the operator"


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
    assert site.activation.name == "sigmoid"


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
    ]
    nodes = [build.Node("TANH", (0,), (1,)), build.Node("RELU", (2,), (2,))]
    model = build.model_of(tensors, nodes, [0], [1])
    assert reason in reasons(model)["TANH"]


def test_a_slope_that_no_kernel_has_is_a_reason_too(build):
    model = build.one_op("LEAKY_RELU", fields={"alpha": 1e9})
    assert "parameter alpha" in reasons(model)["LEAKY_RELU"]


def test_operators_with_activations_inside_and_across_elements_are_listed(build):
    tensors = [build.Tensor(name) for name in ("a", "b", "c")]
    nodes = [
        build.Node("ADD", (0, 0), (1,), build.options("ADD", fusedActivationFunction=3)),
        build.Node("SOFTMAX", (1,), (2,), build.options("SOFTMAX", beta=1.0)),
    ]
    model = build.model_of(tensors, nodes, [0], [2])
    assert reasons(model) == {
        "ADD": "RELU6 is fused into the operator",
        "SOFTMAX": "not element-wise; `embact softmax` writes its C; if only the class of the "
        "model's output is used, it can go: the class of the largest input is the same, unless "
        "rounded outputs tie",
    }
    said = nothing_to_do(find_sites(model))
    assert "ADD" in said
    assert "\n" not in said


def softmax_and_argmax(build, op="SOFTMAX", axis=-1, more=()):
    """A softmax whose result ARG_MAX takes over an axis of (1, 256)."""
    tensors = [
        *(build.Tensor(name) for name in ("logits", "shares")),
        build.Tensor("axis", "INT32", (), shape=(1,), data=np.int32(axis).tobytes()),
        build.Tensor("class", "INT64", (), shape=(1,)),
        build.Tensor("again"),
    ]
    nodes = [build.Node(op, (0,), (1,)), build.Node("ARG_MAX", (1, 2), (3,)), *more]
    return reasons(build.model_of(tensors, nodes, [0], [3]))[op]


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("op", ["SOFTMAX", "LOG_SOFTMAX"])
def test_a_softmax_before_argmax_is_said_to_be_of_no_use(build, op, axis):
    assert "before ARG_MAX it can go" in softmax_and_argmax(build, op, axis)


def test_a_softmax_before_another_argmax_or_another_reader_is_not(build):
    assert "it can go" not in softmax_and_argmax(build, axis=0)
    more = [build.Node("RELU", (1,), (4,))]
    assert "it can go" not in softmax_and_argmax(build, more=more)


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
