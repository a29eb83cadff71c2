"""Commands: what writes the C of a softmax or a PReLU whose operator is left as it is."""

from __future__ import annotations

import shlex

import numpy as np
import pytest

from embact.cli import app
from embact.tflite.find.commands import command_for
from embact.tflite.find.sites import find_sites
from embact.tflite.graph import graph_of
from embact.tflite.model import pack, parse

OUTPUTS = {
    ("SOFTMAX", "INT8", "INT8"): (1 / 256, -128),
    ("SOFTMAX", "INT8", "INT16"): (1 / 65536, -32768),
    ("SOFTMAX", "INT16", "INT16"): (1 / 32768, 0),
    ("LOG_SOFTMAX", "INT8", "INT8"): (1 / 16, 127),
}
EIGHT = [-128, 127, 0, -1, 5, 6, 7, 8]


def said(build, op, tensors, fields=None):
    """The command of an operator on all tensors but the last, and what to know about it."""
    last = len(tensors) - 1
    node = build.Node(op, tuple(range(last)), (last,), build.options(op, **(fields or {})))
    model = build.model_of(tensors, [node], [0], [last])
    return command_for(model, graph_of(model, 0), 0)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (("SOFTMAX", "INT8", "INT8"), "--beta 0.3 --dtype int8"),
        (("SOFTMAX", "INT8", "INT16"), "--beta 0.3 --dtype int8 --out-dtype int16"),
        (("SOFTMAX", "INT16", "INT16"), "--beta 0.3 --dtype int16"),
        (("LOG_SOFTMAX", "INT8", "INT8"), "--log --dtype int8"),
    ],
)
def test_a_softmax_has_the_whole_command_that_writes_its_c(build, case, words):
    op, source, target = case
    scale, zero_point = OUTPUTS[case]
    tensors = [
        build.Tensor("x", source, (0.0917,), 0),
        build.Tensor("y", target, (scale,), zero_point),
    ]
    command = f"embact softmax --in-scale 0.0917 {words} --out DIR"
    assert said(build, op, tensors, {"beta": 0.3}) == (command, "")


@pytest.mark.parametrize(
    ("source", "target", "beta", "why"),
    [
        ({}, {"scale": (0.01,)}, 1.0, "its output is int8 (0.01, -128), not int8 (0.00390625"),
        ({}, {}, 0.0, "beta: got 0.0"),
        ({"dtype": "UINT8"}, {}, 1.0, "its input is a uint8 tensor"),
        ({}, {"dtype": "UINT8"}, 1.0, "its output is a uint8 tensor"),
    ],
)
def test_a_softmax_that_the_command_does_not_take_has_none(build, source, target, beta, why):
    out = {"scale": (1 / 256,), "zero_point": -128} | target
    tensors = [build.Tensor("x", **source), build.Tensor("y", **out)]
    command, about = said(build, "SOFTMAX", tensors, {"beta": beta})
    assert command == ""
    assert why in about


def prelu(build, codes, shape, dtype="INT8"):
    channels = max(8, len(codes))
    tensors = [
        build.Tensor("x", dtype, (0.05,), -1 if dtype == "INT8" else 0, (1, 4, 4, channels)),
        build.Tensor("slopes", "INT8", (0.01,), 3, shape, data=np.array(codes, np.int8).tobytes()),
        build.Tensor("y", dtype, (0.04,), 2 if dtype == "INT8" else 0, (1, 4, 4, channels)),
    ]
    return said(build, "PRELU", tensors)


@pytest.mark.parametrize(
    ("codes", "shape"), [(EIGHT, (1, 1, 8)), (EIGHT, (8,)), ([-7], (1, 1, 1)), ([-7], ())]
)
def test_a_prelu_has_its_slopes_in_the_command(build, codes, shape):
    command = (
        "embact prelu --in-scale 0.05 --in-zero-point -1 --out-scale 0.04 --out-zero-point 2 "
        f"--alpha-scale 0.01 --alpha-zero-point 3 --alpha {','.join(map(str, codes))} "
        "--dtype int8 --out DIR"
    )
    assert prelu(build, codes, shape) == (command, "")
    assert "--in-zero-point 0 " in prelu(build, codes, shape, "INT16")[0]
    assert "--dtype int16" in prelu(build, codes, shape, "INT16")[0]


def test_many_slopes_are_named_by_their_tensor(build):
    command, about = prelu(build, list(range(17)), (17,))
    assert "--alpha SLOPES.npy" in command
    assert "its 17 slopes are the codes of tensor 1, to be saved as SLOPES.npy" in about


def in_another_subgraph(build):
    """A model whose second subgraph has a softmax, which no conversion reaches."""
    first = [build.Tensor("in"), build.Tensor("out")], [build.Node("TANH", (0,), (1,))], [0], [1]
    tensors = [build.Tensor("x"), build.Tensor("y", "INT8", (1 / 256,), -128)]
    softmax = build.Node("SOFTMAX", (0,), (1,), build.options("SOFTMAX", beta=1.0))
    return parse(pack(build.tree_of(first, (tensors, [softmax], [0], [1]))))


def test_the_command_of_what_is_left_alone_is_in_the_findings_and_runs(build, tmp_path):
    (skip,) = find_sites(in_another_subgraph(build)).skipped
    assert skip.reason.startswith("in a subgraph that control flow or another signature runs")
    words = shlex.split(skip.command.replace("DIR", str(tmp_path)))
    assert app(words[1:], standalone_mode=False) in (None, 0)
    assert "embact_softmax_s8.c" in {path.name for path in tmp_path.iterdir()}


def test_other_operators_have_no_command(build):
    assert said(build, "TANH", [build.Tensor("x"), build.Tensor("y")]) == ("", "")
