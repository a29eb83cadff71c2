"""Patterns of operators: what the converter writes for an activation is found as that activation.

And what is not that activation, though it looks like it, is not taken for it.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from embact.activations import activation
from embact.tflite.find.sites import find_sites

TANH_GELU = (
    "a = MUL x x; b = MUL a x; c = MUL b 0.044715; d = ADD c x; e = MUL d 0.7978845608028654; "
    "g = TANH e; h = ADD g 1; i = MUL h x; y = MUL i 0.5"
)
SELU = (
    "p = GREATER x 0; a = MUL x 1.0507009873554805; b = EXP x; c = SUB b 1; "
    "d = MUL c 1.7580993408473766; y = SELECT p a d"
)
SPARSE_PLUS = (
    "p = LESS x 1; q = LESS_EQUAL x -1; a = ADD x 1; b = MUL a a; c = MUL b 0.25; "
    "d = SELECT p c x; y = SELECT_V2 q 0 d"
)
CELU = (
    "a = RELU x; b = MINIMUM x 0; c = DIV b 0.7; d = EXP c; e = SUB d 1; g = MUL e 0.7; y = ADD a g"
)
KERAS_RELU = (
    "p = GREATER x 1; a = SUB 1 x; b = RELU a; c = MUL b 0.5; d = SELECT_V2 p x 0; y = SUB d c"
)
SOFT_SHRINK = (
    "p = GREATER x 0.5; q = LESS x -0.5; a = ADD x 0.5; b = SELECT_V2 q a 0; c = SUB x 0.5; "
    "y = SELECT p c b"
)
LOG_SIGMOID = (
    "f_a = DEQUANTIZE x; f_b = NEG f_a; c = QUANTIZE f_b; d = EXP c; e = ADD d 1; g = LOG e; "
    "f_h = DEQUANTIZE g; f_i = NEG f_h; y = QUANTIZE f_i"
)
ELU_ALPHA = (
    "f_a = DEQUANTIZE x; f_b = ELU f_a; f_c = MUL f_b 0.5; p = GREATER x 0; "
    "f_d = SELECT p f_b f_c; y = QUANTIZE f_d"
)
SQUAREPLUS = (
    "f_a = DEQUANTIZE x; f_b = SQUARE f_a; c = QUANTIZE f_b; d = ADD c 4; e = SQRT d; "
    "g = ADD x e; y = MUL g 0.5"
)

PATTERNS = {
    "silu": ("g = LOGISTIC x; y = MUL x g", "silu", {}),
    "silu of exp": ("a = NEG x; b = EXP a; c = ADD b 1; y = DIV x c", "silu", {}),
    "swish": ("a = MUL x 1.5; g = LOGISTIC a; y = MUL x g", "swish", {"beta": 1.5}),
    "gelu 1.702": ("a = MUL x 1.702; g = LOGISTIC a; y = MUL g x", "gelu_sigmoid", {}),
    "gelu tanh": (TANH_GELU, "gelu_tanh", {}),
    "gelu, requantised": ("a = GELU x; y = QUANTIZE a", "gelu", {}),
    "softplus": ("a = EXP x; b = ADD a 1; y = LOG b", "softplus", {"beta": 1.0}),
    "softplus, 1 first": ("a = EXP x; b = ADD 1 a; y = LOG b", "softplus", {"beta": 1.0}),
    "softplus beta": (
        "z = MUL x 2; a = EXP z; b = ADD a 1; c = LOG b; y = DIV c 2",
        "softplus",
        {"beta": 2.0},
    ),
    "mish": ("a = EXP x; b = ADD a 1; c = LOG b; d = TANH c; y = MUL x d", "mish", {}),
    "hard-sigmoid": ("a = ADD+RELU6 x 3; y = MUL a 0.16666666", "hard_sigmoid", {}),
    "hard-sigmoid, /6": ("a = ADD x 3; b = RELU6 a; y = DIV b 6", "hard_sigmoid", {}),
    "hard-sigmoid 0.2": (
        "a = MUL x 0.2; b = ADD a 0.5; c = MINIMUM b 1; y = RELU c",
        "hard_sigmoid_02",
        {},
    ),
    "hard-swish": ("a = ADD+RELU6 x 3; b = MUL x a; y = MUL b 0.16666667", "hard_swish", {}),
    "hard-swish by gate": (
        "a = ADD x 3; b = RELU6 a; c = MUL b 0.16666667; y = MUL c x",
        "hard_swish",
        {},
    ),
    "elu": ("f_a = DEQUANTIZE x; f_b = ELU f_a; y = QUANTIZE f_b", "elu", {"alpha": 1.0}),
    "elu alpha": (ELU_ALPHA, "elu", {"alpha": 0.5}),
    "selu": (SELU, "selu", {}),
    "celu": (
        CELU,
        "celu",
        {"alpha": 0.7},
    ),
    "celu 1": ("a = RELU x; b = MINIMUM x 0; c = EXP b; d = SUB c 1; y = ADD a d", "elu", {}),
    "log-sigmoid": (LOG_SIGMOID, "log_sigmoid", {}),
    "softsign": ("a = ABS x; b = ADD a 1; y = DIV x b", "softsign", {}),
    "squareplus": (SQUAREPLUS, "squareplus", {"b": 4.0}),
    "thresholded": ("p = GREATER x 0.5; y = SELECT_V2 p x 0", "thresholded_relu", {"theta": 0.5}),
    "thresholded, *": (
        "p = GREATER x 0.5; f_a = CAST p; b = QUANTIZE f_a; y = MUL b x",
        "thresholded_relu",
        {"theta": 0.5},
    ),
    "threshold": (
        "p = GREATER x -1; y = SELECT_V2 p x 20",
        "threshold",
        {"threshold": -1.0, "value": 20.0},
    ),
    "hard shrink": (
        "a = ABS x; p = GREATER a 0.5; y = SELECT_V2 p x 0",
        "hard_shrink",
        {"lambd": 0.5},
    ),
    "soft shrink": (SOFT_SHRINK, "soft_shrink", {"lambd": 0.5}),
    "tanh shrink": ("a = TANH x; y = SUB x a", "tanh_shrink", {}),
    "sparse plus": (SPARSE_PLUS, "sparse_plus", {}),
    "clamps": ("a = RELU x; b = MINIMUM a 1; y = RELU b", "clipped_relu", {"max": 1.0}),
    "relu6 by clamps": ("a = RELU x; y = MINIMUM a 6", "relu6", {}),
    "clamps of both signs": ("a = MAXIMUM x -2; y = MINIMUM a 3", "hard_tanh", {"min": -2.0}),
    "relu by maximum": ("y = MAXIMUM x 0", "relu", {}),
    "leaky by maximum": ("a = MUL x 0.1; y = MAXIMUM x a", "leaky_relu", {"alpha": 0.1}),
    "shifted relu": ("y = SUB+RELU x 1", "sparse_relu", {"threshold": 1.0}),
    "isru": (
        "a = MUL x x; b = ADD a 1; c = RSQRT b; y = MUL x c",
        "isru",
        {"alpha": 1.0},
    ),
    "sigmoid by tanh": (
        "a = MUL x 0.5; b = TANH a; c = MUL b 0.5; y = ADD c 0.5",
        "sigmoid",
        {},
    ),
}


@pytest.mark.parametrize("dtype", ["INT8", "INT16"])
@pytest.mark.parametrize("case", PATTERNS)
def test_a_pattern_is_one_site_with_its_parameters(build, case, dtype):
    lines, name, settings = PATTERNS[case]
    model = build.pattern(lines, dtype)
    found = find_sites(model)
    (site,) = found.sites
    assert found.skipped == found.layers == ()
    assert site.operators == tuple(range(len(site.ops)))
    assert len(site.ops) == len(lines.split(";"))
    tensors = model.tree.subgraphs[0].tensors
    assert (tensors[site.input].name, tensors[site.output].name) == (b"x", b"y")
    assert site.activation.name == name
    assert site.activation.settings() == activation(name, **settings).settings() or (
        name == "hard_tanh"
    )


WRONG = {
    "silu": ("g = LOGISTIC x; y = MUL+RELU x g", "silu"),
    "hard-sigmoid of 1/5": ("a = ADD+RELU6 x 3; y = MUL a 0.2", "hard_sigmoid"),
    "hard-sigmoid of 2": ("a = ADD+RELU6 x 2; y = MUL a 0.16666667", "hard_sigmoid"),
    "softplus of 1.01": ("a = EXP x; b = ADD a 1.01; y = LOG b", "softplus"),
    "mish of 0.99": ("a = EXP x; b = ADD a 0.99; c = LOG b; d = TANH c; y = MUL x d", "mish"),
    "softsign, swapped": ("a = ABS x; b = ADD a 1; y = DIV b x", "softsign"),
    "tanh shrink, swapped": ("a = TANH x; y = SUB a x", "tanh_shrink"),
    "shrink, swapped": ("a = ABS x; p = GREATER a 0.5; y = SELECT_V2 p 0 x", "hard_shrink"),
    "soft shrink of two": (SOFT_SHRINK.replace("SUB x 0.5", "SUB x 0.505"), "soft_shrink"),
    "selu of 1.04": (SELU.replace("1.0507009873554805", "1.04"), "selu"),
    "gelu of 0.0451": (TANH_GELU.replace("0.044715", "0.0451"), "gelu_tanh"),
    "threshold, equal": ("p = GREATER_EQUAL x 0.5; y = SELECT_V2 p x 0", "thresholded_relu"),
    "square of a sigmoid": ("g = LOGISTIC x; y = MUL g g", "silu"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_only_looks_like_an_activation_is_not_taken_for_it(build, case):
    lines, name = WRONG[case]
    found = find_sites(build.pattern(lines))
    assert name not in [site.activation.name for site in found.sites]


@pytest.mark.parametrize("case", [case for case in WRONG if "swapped" not in case])
def test_another_function_is_a_site_with_a_formula_that_means_the_same(build, case):
    lines = WRONG[case][0]
    (site,) = find_sites(build.pattern(lines)).sites
    assert len(site.ops) == len(lines.split(";"))
    assert site.activation.expression
    assert site.about == site.activation.formula
    x = site.spec.input.real(site.spec.input.codes())
    assert np.isfinite(site.activation(x)).all()
    assert site.activation.truth == "oracle"


def test_a_formula_is_the_chain_of_operators(build):
    (site,) = find_sites(build.pattern("a = ADD+RELU6 x 3; y = MUL a 0.2")).sites
    assert site.activation.expression == "min(relu(x+3),6)*0.2"
    x = np.array([-4.0, -1.0, 5.0])
    assert site.activation(x).tolist() == [0.0, 0.4, 6 * 0.2]
    (other,) = find_sites(build.pattern("a = ADD+RELU6 x 3; y = MUL a 0.3")).sites
    assert other.activation.name != site.activation.name


@pytest.mark.parametrize(
    ("lines", "formula"),
    [
        (
            "a = NEG x; b = RELU a; c = MUL b 0.125; d = RELU6 x; y = SUB d c",
            "where(x>0,min(x,6),0.125*x)",
        ),
        (KERAS_RELU, "where(x>1,x,0.5*(x-1))"),
    ],
)
def test_relu_as_keras_has_it_with_slope_threshold_and_maximum(build, lines, formula):
    (site,) = find_sites(build.pattern(lines)).sites
    assert site.activation.name.startswith("keras_relu_")
    assert site.activation.expression == formula


LINEAR = ["a = MUL x 0.5; y = ADD a 1", "y = QUANTIZE x", "f_a = DEQUANTIZE x; y = QUANTIZE f_a"]


@pytest.mark.parametrize("lines", [*LINEAR, "y = ABS x", "y = MUL x x", "y = MINIMUM x 3"])
def test_linear_chains_and_single_operators_that_are_no_activation_are_no_site(build, lines):
    found = find_sites(build.pattern(lines))
    assert found.sites == found.skipped == ()


def test_what_is_not_finite_on_an_input_code_is_no_site(build):
    lines, given = "a = ABS x; b = SUB a 1; y = DIV 1 b", [build.Tensor("x", scale=(1 / 16,))]
    (inner,) = find_sites(build.pattern(lines, given=given)).sites
    assert inner.activation.expression == "abs(x)-1"
    (site,) = find_sites(build.pattern(lines.replace("SUB", "ADD"), given=given)).sites
    assert site.activation.expression == "1/(abs(x)+1)"


# What is between the operators


def test_an_intermediate_that_is_an_output_leaves_the_pattern_alone_and_is_named(build):
    model = build.pattern("a = EXP x; b = ADD a 1; y = LOG b", outputs=("y", "b"))
    found = find_sites(model)
    assert [site.ops for site in found.sites] == [("EXP", "ADD")]
    (skip,) = found.skipped
    assert (skip.operator, skip.op) == (2, "LOG")
    assert skip.reason == (
        "it completes no softplus: tensor 3 (b), between its operators, is an output of the model"
    )


def test_an_intermediate_that_is_read_elsewhere_is_named_with_its_reader(build):
    model = build.pattern("g = LOGISTIC x; y = MUL x g; z = NEG g", outputs=("y", "z"))
    found = find_sites(model)
    assert [site.activation.name for site in found.sites] == ["sigmoid"]
    (skip,) = found.skipped
    assert skip.op == "MUL"
    assert skip.reason == (
        "it completes no silu: tensor 1 (g), between its operators, is also read by "
        "operator 2 (NEG)"
    )


@pytest.mark.parametrize("name", ['a*/b"c', "new\nline", "x" * 10_000, "\N{SNOWMAN}"])
def test_a_name_in_a_reason_is_short_and_plain(build, name):
    model = build.pattern("g = LOGISTIC x; y = MUL x g", outputs=("y", "g"))
    model.tree.subgraphs[0].tensors[1].name = name.encode()
    (skip,) = find_sites(model).skipped
    assert len(skip.reason) < 200
    assert skip.reason.isascii()
    assert skip.reason.isprintable()
    assert not set('/"\\') & set(skip.reason)


def test_two_activations_in_a_row_stay_two_sites(build):
    model = build.pattern("a = TANH x; g = LOGISTIC a; y = MUL a g")
    assert [one.activation.name for one in find_sites(model).sites] == ["tanh", "silu"]


def test_a_quantize_to_another_width_is_left_to_itself(build):
    given = [build.Tensor("x", "INT16", (0.0002,))]
    (site,) = find_sites(build.pattern("a = QUANTIZE x; y = TANH a", given=given)).sites
    assert (site.ops, site.spec.input.dtype) == (("TANH",), "int8")
    (site,) = find_sites(build.pattern("a = QUANTIZE x; y = TANH a")).sites
    assert site.ops == ("QUANTIZE", "TANH")


def test_the_largest_of_overlapping_patterns_is_the_site(build):
    lines = "a = EXP x; b = ADD a 1; c = LOG b; d = TANH c; y = MUL x d"
    (site,) = find_sites(build.pattern(lines)).sites
    assert site.activation.name == "mish"
    split = find_sites(build.pattern(lines, outputs=("y", "c"))).sites
    assert [one.activation.name for one in split] == ["softplus", "tanh"]


def test_sites_share_no_operator_and_are_in_order(build):
    lines = (
        "a = EXP x; b = ADD a 1; c = LOG b; d = TANH c; e = MUL x d; g = LOGISTIC e; "
        "h = MUL e g; i = ABS h; j = ADD i 1; k = DIV h j; y = RELU k"
    )
    sites = find_sites(build.pattern(lines)).sites
    assert [one.activation.name for one in sites] == ["mish", "silu", "softsign", "relu"]
    operators = [operator for one in sites for operator in one.operators]
    assert operators == sorted(set(operators)) == list(range(11))


@pytest.mark.parametrize("shape", [(1, 1), (256,), (2, 128), ()])
def test_a_product_that_broadcasts_is_no_silu(build, shape):
    given = [build.Tensor("g", scale=(1 / 256,), zero_point=-128, shape=shape)]
    model = build.pattern("g = LOGISTIC x; y = MUL x g", given=given)
    assert "silu" not in [one.activation.name for one in find_sites(model).sites]


def test_a_constant_of_several_values_is_no_parameter(build):
    slopes = np.full(256, 100, np.int8)
    for changed, names in ((100, ["swish"]), (101, ["sigmoid"])):
        slopes[7] = changed
        given = [build.Tensor("b", scale=(0.015,), shape=(1, 256), data=slopes.tobytes())]
        model = build.pattern("a = MUL x b; g = LOGISTIC a; y = MUL x g", given=given)
        assert [one.activation.name for one in find_sites(model).sites] == names


def test_a_cast_of_codes_is_no_real_number(build):
    given = [build.Tensor("f_a", "FLOAT32", ())]
    model = build.pattern("f_a = CAST x; f_b = TANH f_a; y = QUANTIZE f_b", given=given)
    assert find_sites(model).sites == ()
    model = build.pattern("f_a = DEQUANTIZE x; f_b = TANH f_a; y = QUANTIZE f_b", given=given)
    assert [one.activation.name for one in find_sites(model).sites] == ["tanh"]


# Hard-sigmoid whose clamp is in the convolution


def convolution(build, factor, fused=3, before="CONV_2D"):
    """A convolution with a fused activation, and a MUL."""
    grids = {"scale": (6 / 255,), "zero_point": -128, "shape": (1, 4, 4, 8)}
    tensors = [
        build.Tensor("x", shape=(1, 4, 4, 8)),
        build.Tensor("w", shape=(8, 1, 1, 8), data=bytes(64)),
        build.Tensor("b", "INT32", (0.0025,), shape=(8,), data=bytes(32)),
        build.Tensor("clamped", **grids),
        build.constant("factor", factor, "INT8"),
        build.Tensor("y", scale=(1 / 255,), zero_point=-128, shape=(1, 4, 4, 8)),
    ]
    chosen = build.options(before, fusedActivationFunction=fused)
    nodes = [
        build.Node(before, (0, 1, 2), (3,), chosen),
        build.Node("MUL", (3, 4), (5,), build.options("MUL")),
    ]
    return build.model_of(tensors, nodes, [0], [5])


def test_a_sixth_of_a_clamped_convolution_is_the_rest_of_a_hard_sigmoid(build):
    found = find_sites(convolution(build, 1 / 6))
    (site,) = found.sites
    assert site.about == "hard_sigmoid whose clamp is already in operator 0 (CONV_2D)"
    assert (site.ops, site.activation.name) == (("MUL",), "relu6_over_6")
    assert site.activation(np.array([-1.0, 0.0, 3.0, 6.0, 7.0])).tolist() == [0, 0, 0.5, 1, 1]
    (skip,) = found.skipped
    assert skip.reason == "already free: RELU6 is fused into the operator"


@pytest.mark.parametrize(("factor", "fused"), [(1 / 5, 3), (1 / 6, 1), (1 / 6, 0), (1 / 6.06, 3)])
def test_another_factor_or_clamp_is_no_hard_sigmoid(build, factor, fused):
    assert find_sites(convolution(build, factor, fused)).sites == ()


# Adversarial graphs


def chain(build, ops):
    tensors = [build.Tensor(f"t{place}", shape=(1, 8)) for place in range(len(ops) + 1)]
    nodes = [build.Node(op, (place,), (place + 1,)) for place, op in enumerate(ops)]
    return build.model_of(tensors, nodes, [0], [len(ops)])


@pytest.mark.parametrize("op", ["TANH", "EXP", "ABS", "QUANTIZE", "SQUARE"])
def test_a_thousand_operators_in_a_row_take_no_long(build, op):
    model = chain(build, [op] * 1000)
    began = time.process_time()
    found = find_sites(model)
    assert time.process_time() - began < 5
    assert len(found.sites) == {"TANH": 1000, "QUANTIZE": 0}.get(op, len(found.sites))


def test_a_cycle_is_no_pattern(build):
    model = chain(build, ["EXP", "ABS", "SQUARE", "SQRT"])
    assert [len(site.ops) for site in find_sites(model).sites] == [4]
    model.tree.subgraphs[0].operators[0].inputs = [4]  # reading a file refuses it
    assert [site.operators for site in find_sites(model).sites] == [(0,), (1, 2, 3)]


def test_a_tensor_that_is_written_twice_is_in_no_pattern(build):
    model = build.pattern("g = LOGISTIC x; y = MUL x g; h = TANH x")
    assert [len(site.ops) for site in find_sites(model).sites] == [2, 1]
    model.tree.subgraphs[0].operators[2].outputs = [1]  # reading a file refuses it
    assert all(len(site.ops) == 1 for site in find_sites(model).sites)


def test_a_product_of_a_tensor_with_itself_many_times_has_no_long_formula(build):
    lines = "; ".join(f"{b} = MUL {a} {a}" for a, b in zip("xabcdehijk", "abcdehijky", strict=True))
    assert all(len(one.activation.formula) < 500 for one in find_sites(build.pattern(lines)).sites)


@pytest.mark.parametrize("factor", ["1e38", "1e-38"])
@pytest.mark.parametrize("op", ["MUL", "DIV"])
def test_constants_whose_product_no_float_holds_make_no_site(build, op, factor):
    names = [*"abcdehijklmnop", "y"]
    lines = "z = ABS x; " + "; ".join(
        f"{b} = {op} {a} {factor}" for a, b in zip(["z", *names[:-1]], names, strict=True)
    )
    given = [build.Tensor("x", shape=(1, 8))]
    sites = find_sites(build.pattern(lines, given=given, shape=(1, 8))).sites
    assert all("1e999" not in one.activation.formula for one in sites)


def test_a_variable_is_in_no_pattern(build):
    model = build.pattern("g = LOGISTIC x; y = MUL x g")
    model.tree.subgraphs[0].tensors[1].isVariable = True
    assert [one.ops for one in find_sites(model).sites] == [("LOGISTIC",)]


def test_singles_are_single_operators_alone(build):
    model = build.pattern("g = LOGISTIC x; h = MUL x g; i = EXP h; j = ADD i 1; y = LOG j")
    found = find_sites(model, singles=True)
    assert [(one.ops, one.activation.name) for one in found.sites] == [
        (("LOGISTIC",), "sigmoid"),
        (("EXP",), "exp"),
    ]
    assert find_sites(build.one_op("RELU_N1_TO_1"), singles=True) == find_sites(
        build.one_op("RELU_N1_TO_1")
    )


def test_three_hundred_operators_take_a_fifth_of_a_second(build):
    names = [f"t{place}" for place in range(151)]
    lines = "; ".join(
        f"g{i} = LOGISTIC {a}; {b} = MUL {a} g{i}"
        for i, (a, b) in enumerate(zip(["x", *names[1:]], [*names[1:], "y"], strict=True))
    )
    model = build.pattern(lines, shape=(1, 8))
    began = time.process_time()
    assert len(find_sites(model).sites) == 151
    assert time.process_time() - began < 0.4  # half of it on two idle cores
