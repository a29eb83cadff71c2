"""Files made to harm: what would be lost, would grow, or cannot be computed is refused."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import flatbuffers
import numpy as np
import pytest

from embact.errors import EmbactError
from embact.tflite import flatbuffer
from embact.tflite.flatbuffer import check, fields_of
from embact.tflite.model import (
    MOST_BYTES,
    builtin_code,
    items,
    names_of,
    pack,
    parse,
    read,
    schema,
    text,
)

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(CORPUS.glob("*.tflite"))
INDEX = json.loads((CORPUS / "index.json").read_text("utf-8"))
SMALL = (CORPUS / "relu_bare__int8.tflite").read_bytes()


def tables():
    made = schema()
    return [name[:-5] for name in vars(made) if name.endswith("Start") and name != "Start"]


class Slots:
    """Stands in for a builder: how many slots a table has."""

    def StartObject(self, slots):  # noqa: N802 - the name the generated code calls
        self.slots = slots


DEPRECATED = {("ResizeBilinearOptions", 0), ("ResizeBilinearOptions", 1), ("SignatureDef", 3)}


def test_every_field_of_every_table_of_the_schema_is_known():
    assert len(tables()) > 150
    kinds, missing = set(), set()
    for table in tables():
        slots, known = Slots(), fields_of(schema(), table)
        getattr(schema(), f"{table}Start")(slots)
        missing |= {(table, slot) for slot in set(range(slots.slots)) - known.keys()}
        assert max(known, default=-1) < slots.slots
        kinds |= {one.kind for one in known.values()}
    assert missing == DEPRECATED
    assert kinds == {"scalar", "scalars", "string", "table", "tables", "union"}


def test_every_option_of_the_schema_is_a_member_of_its_union():
    operator = {one.name: one for one in fields_of(schema(), "Operator").values()}
    for name in ("builtinOptions", "builtinOptions2"):
        members = names_of(name[0].upper() + name[1:])
        assert dict(operator[name].targets) == {k: v for k, v in members.items() if k}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_corpus_is_read_and_written_without_loss(path, same):
    model = read(path)
    assert check(schema(), model.content, "") == len(model.content)
    again = parse(pack(model.tree))
    assert same(model.tree, again.tree)
    codes = model.tree.operatorCodes
    ops = [
        names_of("BuiltinOperator")[builtin_code(codes[node.opcodeIndex])]
        for graph in model.tree.subgraphs
        for node in graph.operators
    ]
    assert ops == [op.split("+")[0] for op in INDEX[path.name]["operators"]]


def test_the_index_of_the_corpus_lists_its_files():
    assert set(INDEX) == {path.name for path in FILES}
    assert len(FILES) > 100


# Lost


@pytest.fixture
def longer(monkeypatch):
    """Gives a table one field more than the schema has, where its value is not 0."""

    def lengthen(table, value=7):
        made, known = schema(), fields_of(schema(), table)
        slot, end = max(known) + 1, getattr(made, f"{table}End")

        def ended(builder):
            builder.PrependInt32Slot(slot, value, 0)
            return end(builder)

        monkeypatch.setattr(made, f"{table}Start", lambda builder: builder.StartObject(slot + 1))
        monkeypatch.setattr(made, f"{table}End", ended)
        return slot

    return lengthen


@pytest.mark.parametrize(
    "table", ["Model", "SubGraph", "Tensor", "Operator", "OperatorCode", "Buffer", "SoftmaxOptions"]
)
def test_a_field_that_the_schema_does_not_have_is_refused(build, longer, table):
    tree = build.one_op("SOFTMAX").tree
    slot = longer(table)
    with pytest.raises(EmbactError, match=f"would be lost: got field {slot} of {table}; .*newer"):
        parse(pack(tree))


def test_a_longer_table_without_a_value_there_loses_nothing(build, longer):
    tree = build.one_op("SOFTMAX").tree
    longer("Tensor", value=0)
    parse(pack(tree))


def test_a_deprecated_field_that_is_used_is_refused():
    builder = flatbuffers.Builder(64)
    builder.StartObject(4)
    builder.PrependInt32Slot(0, 224, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"TFL3")
    with pytest.raises(EmbactError, match="field 0 of ResizeBilinearOptions"):
        check(schema(), bytes(builder.Output()), "m", "ResizeBilinearOptions")


def test_options_of_a_kind_that_the_schema_does_not_have_are_refused(build):
    tree = build.one_op("SOFTMAX").tree
    tree.subgraphs[0].operators[0].builtinOptionsType = 250
    with pytest.raises(EmbactError, match=r"builtinOptions of the unknown kind 250"):
        parse(pack(tree))


def test_data_in_other_places_is_refused_and_padding_is_not(build):
    content = pack(build.one_op("TANH", elements=4).tree)
    parse(content + bytes(64))
    with pytest.raises(EmbactError, match=r"outside the flatbuffer: got 68 bytes after it"):
        parse(content + bytes(64) + b"PK\5\6")
    tree = build.one_op("TANH", elements=4).tree
    tree.subgraphs[0].tensors[1].externalBuffer = 3
    with pytest.raises(EmbactError, match=r"outside the flatbuffer: got tensor 1"):
        parse(pack(tree))
    tree = build.one_op("TANH", elements=4).tree
    tree.externalBuffers = [schema().ExternalBufferT()]
    with pytest.raises(EmbactError, match=r"outside the flatbuffer: got weights in another file"):
        parse(pack(tree))


def test_two_gigabytes_are_refused_before_they_are_read_or_written(build, tmp_path):
    path = tmp_path / "large.tflite"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)  # takes no room
    with pytest.raises(EmbactError, match=r"2 GB or more: got 2147483648 bytes"):
        read(path)
    tree = build.one_op("TANH", elements=4).tree
    tree.buffers[0].data = np.broadcast_to(np.uint8(0), (MOST_BYTES,))
    with pytest.raises(EmbactError, match="2 GB or more"):
        pack(tree)


# Grown


def shared(tensors, graphs, name=b"x"):
    """A model all of whose graphs are one, and all of whose tensors are one."""
    made, builder = schema(), flatbuffers.Builder(1 << 16)
    label = builder.CreateString(name)
    made.TensorStart(builder)
    made.TensorAddName(builder, label)
    tensor = made.TensorEnd(builder)

    def vector(one, count):
        builder.StartVector(4, count, 4)
        for _ in range(count):
            builder.PrependUOffsetTRelative(one)
        return builder.EndVector()

    many = vector(tensor, tensors)
    made.SubGraphStart(builder)
    made.SubGraphAddTensors(builder, many)
    graph = made.SubGraphEnd(builder)
    made.BufferStart(builder)
    buffers = vector(made.BufferEnd(builder), 1)
    several = vector(graph, graphs)
    made.ModelStart(builder)
    made.ModelAddSubgraphs(builder, several)
    made.ModelAddBuffers(builder, buffers)
    builder.Finish(made.ModelEnd(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("tensors", "graphs", "name"), [(5000, 5000, b"x"), (5000, 1, b"x" * 100_000)]
)
def test_parts_that_are_shared_many_times_are_refused_at_once(tensors, graphs, name):
    content = shared(tensors, graphs, name)
    start = time.perf_counter()
    with pytest.raises(EmbactError, match=r"table entries|share their parts"):
        parse(content)
    assert time.perf_counter() - start < 2


def test_without_the_limit_they_would_be_read(monkeypatch):
    content = shared(60, 60)
    with pytest.raises(EmbactError, match="share their parts"):
        parse(content)
    monkeypatch.setattr(flatbuffer, "MOST_GROWTH", 1000)
    assert sum(len(graph.tensors) for graph in parse(content).tree.subgraphs) == 3600


def test_a_part_that_is_shared_by_two_is_read_twice():
    assert len(parse(shared(2, 1)).tree.subgraphs[0].tensors) == 2


# Not to be computed


def chain(build, *nodes, inputs=(0,), outputs=(1,)):
    tensors = [build.Tensor(f"t{i}") for i in range(4)]
    ops = [build.Node("TANH", (source,), (sink,)) for source, sink in nodes]
    return pack(build.tree_of((tensors, ops, inputs, outputs)))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([(1, 1)], "operator 0 that reads what is computed later"),
        ([(2, 1), (1, 2)], "operator 0 that reads what is computed later"),
        ([(3, 1), (0, 3)], "operator 0 that reads what is computed later"),
        ([(0, 1), (0, 1)], "operator 1 that computes a tensor again"),
        ([(1, 0)], "operator 0 that computes a tensor again"),
    ],
)
def test_what_is_computed_in_a_circle_or_twice_is_refused(build, nodes, message):
    parse(chain(build, (0, 3), (3, 1)))
    with pytest.raises(EmbactError, match=message):
        parse(chain(build, *nodes))


@pytest.mark.parametrize(
    ("dtype", "shape", "stored", "wanted"),
    [("INT8", (2, 3), 5, 6), ("INT32", (2,), 2, 8), ("FLOAT32", (2**31 - 1,) * 3, 4, None)],
)
def test_a_constant_of_another_size_than_its_shape_is_refused(build, dtype, shape, stored, wanted):
    tensor = build.Tensor("c", dtype, (), 0, shape, bytes(stored))
    with pytest.raises(EmbactError, match=f"with {stored} for {wanted or ''}"):
        build.model_of([tensor], [], [], [0])
    if wanted:
        build.model_of([build.Tensor("c", dtype, (), 0, shape, bytes(wanted))], [], [], [0])


def test_data_in_the_buffer_of_what_is_computed_is_refused(build):
    tree = build.one_op("TANH", elements=4).tree
    tree.buffers[0].data = np.zeros(4, dtype=np.uint8)
    with pytest.raises(EmbactError, match="4 bytes in buffer 0, which has to be empty"):
        parse(pack(tree))


def test_an_operator_with_the_options_of_another_is_refused(build):
    options = build.options("LEAKY_RELU", alpha=0.5)
    tensors = [build.Tensor("a"), build.Tensor("b")]
    node = build.Node("GELU", (0,), (1,), options)
    with pytest.raises(EmbactError, match="GELU with LeakyReluOptions"):
        build.model_of(tensors, [node], [0], [1])
    build.model_of(tensors, [build.Node("LEAKY_RELU", (0,), (1,), options)], [0], [1])


def test_operators_and_types_that_the_schema_does_not_have_are_refused(build):
    tree = build.one_op("TANH", elements=4).tree
    tree.operatorCodes[0].builtinCode = 65536
    with pytest.raises(EmbactError, match=r"subgraph 0: operator 0 of a kind \(65536\)"):
        parse(pack(tree))
    tree = build.one_op("TANH", elements=4).tree
    tree.subgraphs[0].tensors[1].type = 100
    with pytest.raises(EmbactError, match=r"subgraph 0: tensor 1 of a type \(100\)"):
        parse(pack(tree))


# Names


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"conv/Relu;x", "conv/Relu;x"),
        (b'*/ " \\', '*/ " \\'),
        (b"a\nb\x1b[31m\0", "a\\nb\\x1b[31m\\x00"),
        ("\u202eé".encode(), "\\u202eé"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (None, ""),
    ],
)
def test_a_name_is_shown_on_one_line_and_keeps_its_bytes(build, name, shown):
    assert text(name) == shown
    tree = build.one_op("TANH", elements=4).tree
    tree.subgraphs[0].tensors[0].name = name
    assert parse(pack(tree)).tree.subgraphs[0].tensors[0].name == name


# Every place


def survives(content):
    """Whether a damaged file is read; whoever raises anything but EmbactError fails the test."""
    try:
        tree = parse(content).tree
    except EmbactError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
        return False
    for graph in tree.subgraphs:
        for node in items(graph.operators):
            assert 0 <= node.opcodeIndex < len(tree.operatorCodes)
    return True


def test_every_bit_of_a_file_can_be_wrong():
    read_ = refused = 0
    for place in range(8 * len(SMALL)):
        content = bytearray(SMALL)
        content[place // 8] ^= 1 << place % 8
        if survives(bytes(content)):
            read_ += 1
        else:
            refused += 1
    assert min(read_, refused) > 1000, "both happen"


def test_every_aligned_number_of_a_file_can_be_wrong():
    for place in range(8, len(SMALL), 4):
        for value in (0, -1, 1, 2**31 - 1, -(2**31), len(SMALL), 65536, 4 - place):
            content = bytearray(SMALL)
            struct.pack_into("<i", content, place, value)
            survives(bytes(content))


def test_every_beginning_of_a_file_is_refused():
    for length in range(len(SMALL) - 16):
        assert not survives(SMALL[:length])


def test_an_error_about_a_shape_of_thousands_of_sizes_is_short(build):
    tree = build.one_op("TANH", elements=4).tree
    tree.subgraphs[0].tensors[0].shape = [1] * 5000 + [-7]
    with pytest.raises(EmbactError, match="tensor 0 with -7 in its shape") as error:
        parse(pack(tree))
    assert len(str(error.value)) < 200
