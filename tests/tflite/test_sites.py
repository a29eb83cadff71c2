"""Finding activations: every operator and pattern that can be replaced, and why others cannot."""

from __future__ import annotations

import copy
import json
import shlex

import numpy as np
import pytest

from embact.cli import app
from embact.cli.sites import sites
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
        "SOFTMAX": "not element-wise; `embact softmax` writes its C, but not of this one: its "
        "output is int8 (0.05, 0), not int8 (0.00390625, -128); if only the class of the model's "
        "output is used, it can go: the class of the largest input is the same, unless rounded "
        "outputs tie",
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


SOFTMAX_OUTPUTS = {
    ("SOFTMAX", "INT8", "INT8"): (1 / 256, -128),
    ("SOFTMAX", "INT8", "INT16"): (1 / 65536, -32768),
    ("SOFTMAX", "INT16", "INT16"): (1 / 32768, 0),
    ("LOG_SOFTMAX", "INT8", "INT8"): (1 / 16, 127),
}


def left_alone(build, op, tensors, fields=None):
    """What is said of an operator on all tensors but the last, which it writes."""
    last = len(tensors) - 1
    node = build.Node(op, tuple(range(last)), (last,), build.options(op, **(fields or {})))
    (skip,) = find_sites(build.model_of(tensors, [node], [0], [last])).skipped
    return skip


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (("SOFTMAX", "INT8", "INT8"), "--beta 0.3 --dtype int8"),
        (("SOFTMAX", "INT8", "INT16"), "--beta 0.3 --dtype int8 --out-dtype int16"),
        (("SOFTMAX", "INT16", "INT16"), "--beta 0.3 --dtype int16"),
        (("LOG_SOFTMAX", "INT8", "INT8"), "--log --dtype int8"),
    ],
)
def test_a_softmax_comes_with_the_whole_command_that_writes_its_c(build, case, words):
    op, source, target = case
    scale, zero_point = SOFTMAX_OUTPUTS[case]
    tensors = [
        build.Tensor("x", source, (0.0917,), 0),
        build.Tensor("y", target, (scale,), zero_point),
    ]
    skip = left_alone(build, op, tensors, {"beta": 0.3})
    assert skip.command == f"embact softmax --in-scale 0.0917 {words} --out DIR"
    assert "but not of this one" not in skip.reason


@pytest.mark.parametrize(
    ("source", "target", "beta", "why"),
    [
        ({}, {"scale": (0.01,)}, 1.0, "its output is int8 (0.01, -128), not int8 (0.00390625"),
        ({}, {}, 0.0, "beta: got 0.0"),
        ({"dtype": "UINT8"}, {}, 1.0, "its input is a uint8 tensor"),
        ({}, {"dtype": "UINT8"}, 1.0, "its output is a uint8 tensor"),
        ({"dtype": "INT16"}, {}, 1.0, "widths of softmax"),
    ],
)
def test_a_softmax_that_the_command_does_not_take_has_none(build, source, target, beta, why):
    out = {"scale": (1 / 256,), "zero_point": -128} | target
    tensors = [build.Tensor("x", **source), build.Tensor("y", **out)]
    skip = left_alone(build, "SOFTMAX", tensors, {"beta": beta})
    assert skip.command == ""
    assert f"but not of this one: {why}" in skip.reason


def prelu(build, codes, shape, dtype="INT8", **slopes):
    data = np.array(codes, np.int8).tobytes()
    slopes = {"scale": (0.01,), "zero_point": 3, "data": data} | slopes
    tensors = [
        build.Tensor("x", dtype, (0.05,), -1 if dtype == "INT8" else 0, (1, 4, 4, 8)),
        build.Tensor("slopes", shape=shape, **slopes),
        build.Tensor("y", dtype, (0.04,), 2 if dtype == "INT8" else 0, (1, 4, 4, 8)),
    ]
    return left_alone(build, "PRELU", tensors)


def test_the_command_of_sites_runs_and_is_in_its_text_and_its_json(build, tmp_path, capsys):
    tensors = [
        build.Tensor("x", zero_point=-128, shape=(1, 8)),
        build.Tensor("slopes", shape=(8,), data=np.array(EIGHT, np.int8).tobytes()),
        build.Tensor("y", zero_point=127, shape=(1, 8)),
        build.Tensor("shares", "INT8", (1 / 256,), -128, (1, 8)),
        build.Tensor("tanh", shape=(1, 8)),
    ]
    softmax = build.Node("SOFTMAX", (2,), (3,), build.options("SOFTMAX", beta=1.0))
    prelu = build.Node("PRELU", (0, 1), (2,))
    for more in ([], [build.Node("TANH", (3,), (4,))]):
        path = tmp_path / "model.tflite"
        path.write_bytes(build.model_of(tensors, [prelu, softmax, *more], [0], [3]).content)
        skipped = find_sites(read(path)).skipped
        assert [skip.op for skip in skipped] == ["PRELU", "SOFTMAX"]
        sites(path)
        lines = capsys.readouterr().out.splitlines()
        said = [line for line in lines if line.startswith("its C")]
        assert said == [f"its C (operator {skip.operator}): {skip.command}" for skip in skipped]
        sites(path, json=True)
        document = json.loads(capsys.readouterr().out)
        assert [one["command"] for one in document["skipped"]] == [s.command for s in skipped]
    for skip in skipped:
        words = shlex.split(skip.command.replace("DIR", str(tmp_path / "out")))
        assert app(words[1:], standalone_mode=False) in (None, 0)
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"embact_softmax_s8.c", "embact_prelu_s8.c"} <= made


EIGHT = [-128, 127, 0, -1, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("codes", "shape"), [(EIGHT, (1, 1, 8)), (EIGHT, (8,)), ([-7], (1, 1, 1)), ([-7], ())]
)
def test_a_prelu_comes_with_its_slopes_in_the_command(build, codes, shape):
    skip = prelu(build, codes, shape)
    assert skip.reason == "its slopes are a tensor; `embact prelu` writes its C"
    assert skip.command == (
        "embact prelu --in-scale 0.05 --in-zero-point -1 --out-scale 0.04 --out-zero-point 2 "
        f"--alpha-scale 0.01 --alpha-zero-point 3 --alpha {','.join(map(str, codes))} "
        "--dtype int8 --out DIR"
    )
    assert "--in-zero-point 0 " in prelu(build, codes, shape, "INT16").command
    assert "--dtype int16" in prelu(build, codes, shape, "INT16").command


def test_many_slopes_are_named_by_their_tensor(build):
    tensors = [
        build.Tensor("x", shape=(1, 17)),
        build.Tensor("slopes", shape=(17,), data=bytes(range(17))),
        build.Tensor("y", shape=(1, 17)),
    ]
    skip = left_alone(build, "PRELU", tensors)
    assert "--alpha SLOPES.npy" in skip.command
    assert "its 17 slopes are the codes of tensor 1, to be saved as SLOPES.npy" in skip.reason


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"codes": [1] * 32, "shape": (4, 8)}, "its slopes have shape (4, 8), neither one nor"),
        ({"codes": [1] * 8, "shape": (8, 1)}, "its slopes have shape (8, 1), neither one nor"),
        ({"codes": [1] * 4, "shape": (4, 1, 1)}, "its slopes have shape (4, 1, 1)"),
        ({"codes": EIGHT, "shape": (8,), "data": b""}, "its slopes are no constant"),
        ({"codes": EIGHT, "shape": (8,), "data": bytes(7)}, "its slopes have 7 bytes"),
        ({"codes": EIGHT, "shape": (8,), "scale": (0.1, 0.2)}, "its slopes are an int8 tensor q"),
        ({"codes": EIGHT, "shape": (8,), "scale": (1e20,)}, "in_scale * alpha_scale / out_scale"),
    ],
)
def test_a_prelu_that_the_command_does_not_take_has_none(build, changed, why):
    skip = prelu(build, **changed)
    assert skip.command == ""
    assert f"but not of this one: {why}" in skip.reason


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
