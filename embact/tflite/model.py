"""A TFLite file as an object tree and back, with nothing lost and every buffer 16-byte aligned.

The tree is the object API of LiteRT's generated schema. What it cannot carry (data stored after the
flatbuffer) is refused. This module must not know activations, kernels or interpreters.
"""

from __future__ import annotations

import copy
import hashlib
import math
import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from embact.errors import EmbactError
from embact.grid import Grid

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from types import ModuleType

Tree: TypeAlias = Any
"""A node of the generated object API (ModelT, TensorT, ...), which has no type information."""

IDENTIFIER = b"TFL3"
BUFFER_ALIGNMENT = 16
"""The schema's ``force_align`` of Buffer.data, which its Python code does not obey by itself."""

WHAT_IS_ALLOWED = "a complete TFLite flatbuffer (identifier TFL3)"

MALFORMED = (
    struct.error,
    ValueError,
    IndexError,
    TypeError,
    OverflowError,
    AttributeError,
    MemoryError,
)
"""What the generated code raises when offsets or lengths point outside the file."""


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
            content = file.read()
    except OSError as error:
        raise EmbactError(
            "cannot read the model", got=error.strerror, allowed="a TFLite file", where=where
        ) from None
    return parse(content, where)


def parse(content: bytes, where: str = "model") -> Model:
    """Return the model that the bytes hold.

    Raises EmbactError if they are not a TFLite flatbuffer, end early, refer to tensors, buffers or
    operator codes that do not exist, or keep data outside the flatbuffer. Never reads past the end,
    and its time is linear in the size.
    """
    if len(content) < 8 or content[4:8] != IDENTIFIER:
        got = "an empty file" if not content else f"{len(content)} bytes without the identifier"
        raise EmbactError("not a TFLite model", got=got, allowed=WHAT_IS_ALLOWED, where=where)
    generated = schema()
    try:
        if (entries := _entries(generated.Model.GetRootAs(content, 0))) > len(content) // 4:
            raise ValueError(f"{entries} table entries in {len(content)} bytes")
        tree = generated.ModelT.InitFromPackedBuf(content, 0)
        fault = next(_faults(tree), "")
    except MALFORMED as error:
        raise EmbactError(
            "damaged or truncated TFLite model", got=error, allowed=WHAT_IS_ALLOWED, where=where
        ) from None
    if fault:
        raise EmbactError(
            "damaged or truncated TFLite model", got=fault, allowed=WHAT_IS_ALLOWED, where=where
        )
    _refuse_external_data(tree, where)
    return Model(content, where, tree)


def _entries(root: Tree) -> int:
    """Return how many tables the large vectors claim: each takes 4 bytes or the file is damaged."""
    found: int = root.OperatorCodesLength() + root.BuffersLength() + root.SubgraphsLength()
    found += root.MetadataLength() + root.SignatureDefsLength()
    if found < 1 << 20:
        for i in range(root.SubgraphsLength()):
            found += root.Subgraphs(i).TensorsLength() + root.Subgraphs(i).OperatorsLength()
    return found


def _faults(tree: Tree) -> Iterator[str]:
    """Yield the references to things that do not exist, in words."""
    if not tree.subgraphs or not tree.buffers:
        yield "no buffer" if tree.subgraphs else "no subgraph"
        return
    codes, buffers = len(items(tree.operatorCodes)), len(tree.buffers)
    for number, graph in enumerate(tree.subgraphs):
        where = f"of subgraph {number}"
        for position, tensor in enumerate(items(graph.tensors)):
            if not 0 <= tensor.buffer < buffers:
                yield f"tensor {position} {where} in buffer {tensor.buffer}"
            if any(size < 0 for size in shape_of(tensor)):
                yield f"tensor {position} {where} with shape {shape_of(tensor)}"
        for position, operator in enumerate(items(graph.operators)):
            if not 0 <= operator.opcodeIndex < codes:
                yield f"operator {position} {where} with code {operator.opcodeIndex}"
        yield from (f"tensor {index} {where}" for index in _missing_tensors(graph))


def _missing_tensors(graph: Tree) -> set[int]:
    """Return the tensors that a subgraph uses and does not have; -1 marks an absent one."""
    nodes = items(graph.operators)
    used = {index for node in nodes for index in (*items(node.inputs), *items(node.outputs))} - {-1}
    used |= {*items(graph.inputs), *items(graph.outputs)}
    return used - set(range(len(items(graph.tensors))))


def _refuse_external_data(tree: Tree, where: str) -> None:
    """Raise EmbactError if data lies outside the flatbuffer, where it would be lost."""
    allowed = "a model whose data is inside the flatbuffer (smaller than 2 GB)"
    outside = next((i for i, b in enumerate(tree.buffers) if b.offset or b.size), None)
    if outside is not None or getattr(tree, "externalBuffers", None):
        got = "another file" if outside is None else f"buffer {outside}"
        raise EmbactError(
            "weights stored outside the flatbuffer", got=got, allowed=allowed, where=where
        )
    for graph in tree.subgraphs:
        for number, operator in enumerate(items(graph.operators)):
            if operator.largeCustomOptionsOffset:
                raise EmbactError(
                    "custom options stored outside the flatbuffer",
                    got=f"operator {number}",
                    allowed=allowed,
                    where=where,
                )


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
    """Return the file of an object tree: equal trees give equal bytes, every buffer is aligned."""
    import flatbuffers

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
    """Return a name of the tree as text."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""


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
