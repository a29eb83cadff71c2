"""A TFLite file as an object tree and back, with nothing lost and every buffer 16-byte aligned.

The tree is the object API of LiteRT's generated schema. What it cannot carry (data stored after the
flatbuffer, fields that the schema does not have) is refused. This module must not know activations,
kernels or interpreters.
"""

from __future__ import annotations

import copy
import hashlib
import math
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from embact.errors import EmbactError
from embact.grid import Grid
from embact.tflite.flatbuffer import WHAT_IS_ALLOWED, check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

Tree: TypeAlias = Any
"""A node of the generated object API (ModelT, TensorT, ...), which has no type information."""

IDENTIFIER = b"TFL3"
BUFFER_ALIGNMENT = 16
"""The schema's ``force_align`` of Buffer.data, which its Python code does not obey by itself."""

MOST_BYTES = 2**31 - 1
"""The largest flatbuffer: its references are counted in 31 bits."""

INSIDE = "a model whose data is inside the flatbuffer, smaller than 2 GB"


def schema() -> ModuleType:
    """Return LiteRT's generated schema module; EmbactError says how to install it."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise EmbactError(
            "reading TFLite models needs the package ai-edge-litert",
            got=error,
            allowed='pip install "embact[tflite]"',
        ) from error
    module: ModuleType = schema_py_generated
    return module


@dataclass(frozen=True)
class Model:
    """A TFLite model: the bytes of its file and their meaning.

    content: the file. where: its name in messages. tree: the ModelT; treat it as read-only, its
    arrays are views into ``content``.
    """

    content: bytes = field(repr=False)
    where: str
    tree: Tree = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        """The digest of the file, hex."""
        return hashlib.sha256(self.content).hexdigest()


def read(path: str | os.PathLike[str]) -> Model:
    """Return the model in a file.

    Raises EmbactError if the file cannot be read or ``parse`` refuses it.
    """
    where = str(path)
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - also takes what is no Path
            size = os.fstat(file.fileno()).st_size
            content = file.read() if size <= MOST_BYTES else b""
    except OSError as error:
        raise EmbactError(
            "cannot read the model", got=error.strerror, allowed="a TFLite file", where=where
        ) from None
    if size > MOST_BYTES:
        raise EmbactError(
            "a model of 2 GB or more", got=f"{size} bytes", allowed=INSIDE, where=where
        )
    return parse(content, where)


def parse(content: bytes, where: str = "model") -> Model:
    """Return the model that the bytes hold.

    Raises EmbactError if they are not a TFLite flatbuffer, end early, refer to tensors, buffers or
    operator codes that do not exist, compute in a circle, have constants of another size than their
    shape, or hold what the tree would lose: data outside the flatbuffer, fields that the schema
    does not have. Never reads past the end, and its time and memory are linear in the size.
    """
    if len(content) < 8 or content[4:8] != IDENTIFIER:
        got = "an empty file" if not content else f"{len(content)} bytes without the identifier"
        raise EmbactError("not a TFLite model", got=got, allowed=WHAT_IS_ALLOWED, where=where)
    generated = schema()
    end = check(generated, content, where)
    tree = generated.ModelT.InitFromPackedBuf(content, 0)
    if outside := next(_outside(tree, content[end:]), ""):
        raise EmbactError(
            "data stored outside the flatbuffer", got=outside, allowed=INSIDE, where=where
        )
    if fault := next(_faults(tree), ""):
        raise EmbactError(
            "damaged or truncated TFLite model", got=fault, allowed=WHAT_IS_ALLOWED, where=where
        )
    return Model(content, where, tree)


def _faults(tree: Tree) -> Iterator[str]:
    """Yield the references to things that do not exist, and what cannot be computed, in words."""
    if not tree.subgraphs or not tree.buffers:
        yield "no buffer" if tree.subgraphs else "no subgraph"
        return
    codes, buffers = len(items(tree.operatorCodes)), len(tree.buffers)
    for number, graph in enumerate(tree.subgraphs):
        where = f"of subgraph {number}"
        for position, tensor in enumerate(items(graph.tensors)):
            if not 0 <= tensor.buffer < buffers:
                yield f"tensor {position} {where} in buffer {tensor.buffer}"
                return
            if any(size < 0 for size in shape_of(tensor)):
                yield f"tensor {position} {where} with shape {shape_of(tensor)}"
            if sizes := _wrong_size(tensor, tree.buffers[tensor.buffer]):
                yield f"tensor {position} {where} with {sizes} bytes"
        for position, operator in enumerate(items(graph.operators)):
            if not 0 <= operator.opcodeIndex < codes:
                yield f"operator {position} {where} with code {operator.opcodeIndex}"
        yield from (f"tensor {index} {where}" for index in _missing_tensors(graph))
        yield from (f"{fault} {where}" for fault in _out_of_order(graph))


def _missing_tensors(graph: Tree) -> set[int]:
    """Return the tensors that a subgraph uses and does not have; -1 marks an absent one."""
    nodes = items(graph.operators)
    used = {index for node in nodes for index in (*items(node.inputs), *items(node.outputs))} - {-1}
    used |= {*items(graph.inputs), *items(graph.outputs)}
    return used - set(range(len(items(graph.tensors))))


ELEMENT_BYTES = {
    **dict.fromkeys(("INT8", "UINT8", "BOOL"), 1),
    **dict.fromkeys(("INT16", "UINT16", "FLOAT16", "BFLOAT16"), 2),
    **dict.fromkeys(("INT32", "UINT32", "FLOAT32"), 4),
    **dict.fromkeys(("INT64", "UINT64", "FLOAT64", "COMPLEX64"), 8),
}
"""Types whose constants have a size; not strings and what is packed."""


def _wrong_size(tensor: Tree, buffer: Tree) -> str:
    """Return how many bytes a constant has for how many of its shape, "" if they are the same."""
    width = ELEMENT_BYTES.get(names_of("TensorType").get(tensor.type, ""), 0)
    stored = 0 if buffer.data is None else len(buffer.data)
    wanted = width * elements_of(tensor)
    if not stored or not width or tensor.sparsity is not None or stored == wanted:
        return ""
    return f"{stored} for {wanted}"


def _out_of_order(graph: Tree) -> Iterator[str]:
    """Yield the operators that read what is computed later, or compute what is there already."""
    nodes = items(graph.operators)
    made = [index for node in nodes for index in items(node.outputs) if index >= 0]
    later = set(made)
    done = set(items(graph.inputs))
    for position, node in enumerate(nodes):
        outputs = {index for index in items(node.outputs) if index >= 0}
        if any(index in later for index in items(node.inputs)):
            yield f"operator {position} that reads what is computed later"
        if outputs & done:
            yield f"operator {position} that computes a tensor again"
        later -= outputs
        done |= outputs


def _outside(tree: Tree, rest: bytes) -> Iterator[str]:
    """Yield in words the data that lies outside the flatbuffer, where it would be lost.

    rest: the bytes of the file after it, which may be zeros.
    """
    for number, buffer in enumerate(items(tree.buffers)):
        if buffer.offset or buffer.size:
            yield f"buffer {number}"
    if items(getattr(tree, "externalBuffers", None)):
        yield "weights in another file"
    for graph in items(tree.subgraphs):
        for number, operator in enumerate(items(graph.operators)):
            if operator.largeCustomOptionsOffset or operator.largeCustomOptionsSize:
                yield f"the custom options of operator {number}"
        for number, tensor in enumerate(items(graph.tensors)):
            if getattr(tensor, "externalBuffer", 0):
                yield f"tensor {number}"
    if rest.strip(b"\0"):
        yield f"{len(rest)} bytes after it, such as files that were packed into the model"


@dataclass(frozen=True)
class _AlignedBuffer:
    """Packs as the generated BufferT does, with its data aligned."""

    data: Tree

    def Pack(self, builder: Tree) -> int:  # noqa: N802 - the name the generated code calls
        generated = schema()
        position = None
        if self.data is not None:
            octets = np.asarray(self.data, dtype=np.uint8).tobytes()
            builder.StartVector(1, len(octets), BUFFER_ALIGNMENT)
            builder.head = builder.head - len(octets)
            builder.Bytes[builder.head : builder.head + len(octets)] = octets
            position = builder.EndVector()
        generated.BufferStart(builder)
        if position is not None:
            generated.BufferAddData(builder, position)
        end: int = generated.BufferEnd(builder)
        return end


def pack(tree: Tree) -> bytes:
    """Return the file of an object tree: equal trees give equal bytes, every buffer is aligned.

    Raises EmbactError if it would have 2 GB or more.
    """
    import flatbuffers

    held = sum(len(buffer.data) for buffer in tree.buffers if buffer.data is not None)
    if held > MOST_BYTES - (1 << 24):  # leaves 16 MB for all that is not weights
        raise EmbactError("a model of 2 GB or more", got=f"{held} bytes of weights", allowed=INSIDE)
    aligned = copy.copy(tree)
    aligned.buffers = [_AlignedBuffer(buffer.data) for buffer in tree.buffers]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(aligned.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def items(vector: Tree) -> list[Tree]:
    """Return a vector of the tree, which may be absent, a list or an array, as a list."""
    if vector is None:
        return []
    return vector.tolist() if isinstance(vector, np.ndarray) else list(vector)


def text(name: bytes | str | None) -> str:
    """Return a name of the tree as text, on one line: what cannot be printed is escaped."""
    found = name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""
    if found.isprintable():
        return found
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in found)


def builtin_code(code: Tree) -> int:
    """Return the builtin operator of an OperatorCode: old files have it in the deprecated field."""
    return max(int(code.deprecatedBuiltinCode), int(code.builtinCode))


def names_of(enumeration: str) -> dict[int, str]:
    """Return the names of one of the schema's enumerations by value."""
    members = vars(getattr(schema(), enumeration))
    return {value: name for name, value in members.items() if isinstance(value, int)}


def shape_of(tensor: Tree) -> tuple[int, ...]:
    """Return the shape stored for a tensor; () for a scalar."""
    return tuple(int(size) for size in items(tensor.shape))


def elements_of(tensor: Tree) -> int:
    """Return how many elements a tensor of its stored shape has."""
    return math.prod(shape_of(tensor))


def tensor_grid(tensor: Tree) -> Grid | str:
    """Return the grid of a per-tensor quantised int8 or int16 tensor, or in words why it has none.

    The scale is the exact value of the stored float32.
    """
    kind = names_of("TensorType").get(tensor.type, str(tensor.type)).lower()
    bits = {"int8": 8, "int16": 16}.get(kind)
    if bits is None:
        return f"a {kind} tensor"
    quantization = tensor.quantization
    scales = [] if quantization is None else items(quantization.scale)
    zero_points = [] if quantization is None else items(quantization.zeroPoint)
    if not scales:
        return f"an {kind} tensor without a scale"
    if len(scales) != 1 or len(zero_points) > 1:
        return f"an {kind} tensor quantised per channel"
    try:
        return Grid(float(np.float32(scales[0])), int(zero_points[0]) if zero_points else 0, bits)
    except EmbactError as error:
        return f"an {kind} tensor with a bad {error}"
