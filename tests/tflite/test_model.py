"""Files to trees and back: nothing is lost, everything is aligned, nothing bad gets through."""

from __future__ import annotations

import struct
import sys

import flatbuffers
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from embact.errors import EmbactError
from embact.sources import data_file
from embact.tflite.model import builtin_code, pack, parse, read, schema, tensor_grid


def misaligned(content: bytes) -> int:
    root = schema().Model.GetRootAs(content, 0)
    buffers = [root.Buffers(i) for i in range(root.BuffersLength())]
    starts = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]
    assert starts
    return sum(start % 16 != 0 for start in starts)


def test_reading_and_writing_keeps_the_whole_tree(digits, same):
    again = parse(pack(digits.tree))
    assert same(digits.tree, again.tree)
    assert pack(again.tree) == pack(digits.tree)


def test_the_comparison_of_trees_sees_one_changed_weight(digits, same):
    again = parse(pack(digits.tree))
    number, buffer = next(
        (i, b) for i, b in enumerate(again.tree.buffers) if b.data is not None and len(b.data)
    )
    changed = np.array(buffer.data)
    changed[-1] ^= 1
    again.tree.buffers[number].data = changed
    assert not same(digits.tree, again.tree)


def test_every_written_buffer_is_16_byte_aligned(digits):
    assert misaligned(pack(digits.tree)) == 0


def test_the_generated_code_alone_would_not_align_them(digits):
    builder = flatbuffers.Builder(1024)
    builder.Finish(digits.tree.Pack(builder), file_identifier=b"TFL3")
    assert misaligned(bytes(builder.Output())) > 0


def test_the_digest_is_that_of_the_file():
    digest = read(data_file("digits_mlp_int8.tflite")).sha256
    assert len(digest) == 64
    assert digest != read(data_file("digits_cnn_int8.tflite")).sha256


def test_the_operator_of_old_files_is_in_the_deprecated_field(build):
    tree = build.one_op("TANH").tree
    tree.operatorCodes[0].builtinCode = 0
    assert builtin_code(parse(pack(tree)).tree.operatorCodes[0]) == schema().BuiltinOperator.TANH


def one_line(error) -> bool:
    return "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"TFL3", b"#!/bin/sh\necho no model\n", bytes(100), b"\x00\x00\x00\x00TFL2" * 9],
)
def test_what_is_no_tflite_file_is_refused(content, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    with pytest.raises(EmbactError, match=r"not a TFLite model.*TFL3") as error:
        read(path)
    assert one_line(error)
    assert str(path) in str(error.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.tflite", tmp_path):
        with pytest.raises(EmbactError, match="cannot read the model") as error:
            read(path)
        assert one_line(error)


def test_a_file_that_ends_early_is_refused(digits):
    for length in range(8, len(digits.content) - 16, 97):
        with pytest.raises(EmbactError) as error:
            parse(digits.content[:length])
        assert one_line(error)


@seed(1)
@settings(max_examples=200, deadline=10_000, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400))
def test_random_bytes_after_the_identifier_are_refused_and_never_hang(noise):
    with pytest.raises(EmbactError):
        parse(b"\x10\x00\x00\x00TFL3" + noise)


@seed(2)
@settings(max_examples=300, deadline=10_000, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(8, 13000), st.integers(0, 255)), min_size=1, max_size=40))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(changes):
    content = bytearray(data_file("digits_mlp_int8.tflite").read_bytes())
    for place, value in changes:
        content[place] = value
    try:
        parse(bytes(content))
    except EmbactError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


def test_a_vector_that_claims_more_than_the_file_holds_is_refused(build):
    content = bytearray(pack(build.one_op("TANH", elements=4).tree))
    vector = schema().Model.GetRootAs(content, 0)._tab
    start = vector.Vector(vector.Offset(12)) - 4  # the length of the vector of buffers
    content[start : start + 4] = struct.pack("<I", 1 << 30)
    with pytest.raises(EmbactError, match="buffers of 1073741824 elements"):
        parse(bytes(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: setattr(t.subgraphs[0].operators[0], "inputs", [7]), "subgraph 0: tensor 7"),
        (lambda t: setattr(t.subgraphs[0].operators[0], "opcodeIndex", 3), "code 3"),
        (lambda t: setattr(t.subgraphs[0].tensors[1], "buffer", 9), "buffer 9"),
        (lambda t: setattr(t.subgraphs[0].tensors[1], "shape", [1, -4]), "shape"),
        (lambda t: setattr(t.subgraphs[0], "outputs", [-1]), "tensor -1"),
        (lambda t: setattr(t, "subgraphs", []), "no subgraph"),
        (lambda t: setattr(t, "buffers", []), "no buffer"),
    ],
)
def test_references_to_what_does_not_exist_are_refused(build, change, message):
    tree = build.one_op("TANH", elements=4).tree
    change(tree)
    with pytest.raises(EmbactError, match=message):
        parse(pack(tree))


def test_data_outside_the_flatbuffer_is_refused(build):
    tree = build.one_op("TANH", elements=4).tree
    tree.subgraphs[0].operators[0].largeCustomOptionsOffset = 4096
    with pytest.raises(EmbactError, match=r"data stored outside.*custom options of operator 0"):
        parse(pack(tree))
    tree = build.one_op("TANH", elements=4).tree
    tree.buffers[0].offset, tree.buffers[0].size = 4096, 16
    builder = flatbuffers.Builder(1024)  # ours would not write the offset
    builder.Finish(tree.Pack(builder), file_identifier=b"TFL3")
    with pytest.raises(EmbactError, match=r"data stored outside.*buffer 0"):
        parse(bytes(builder.Output()))


def test_a_grid_has_the_exact_value_of_the_stored_float32(build):
    model = build.model_of([build.Tensor("t", "INT16", (0.1,), 3)], [], [0], [0])
    grid = tensor_grid(model.tree.subgraphs[0].tensors[0])
    assert (grid.scale, grid.zero_point, grid.bits) == (0.10000000149011612, 3, 16)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"dtype": "UINT8"}, "a uint8 tensor"),
        ({"dtype": "FLOAT32", "scale": ()}, "a float32 tensor"),
        ({"scale": ()}, "without a scale"),
        ({"scale": (0.1, 0.2)}, "per channel"),
        ({"scale": (0.0,)}, "scale"),
        ({"scale": (float("nan"),)}, "scale"),
        ({"zero_point": 200}, "zero point"),
    ],
)
def test_a_tensor_without_a_grid_says_why(build, fields, reason):
    model = build.model_of([build.Tensor("t", **fields)], [], [0], [0])
    assert reason in tensor_grid(model.tree.subgraphs[0].tensors[0])


def test_without_the_schema_package_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)  # what Python does if it is missing
    with pytest.raises(EmbactError, match=r'pip install "embact\[tflite\]"'):
        read(data_file("digits_mlp_int8.tflite"))
