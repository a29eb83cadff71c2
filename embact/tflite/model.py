"""A TFLite file as an object tree and back, with nothing lost and every buffer 16-byte aligned.

The tree is the object API of LiteRT's generated schema. What it cannot carry (data stored after the
flatbuffer, fields that the schema does not have) is refused. This module must not know activations,
kernels or interpreters.
"""

from __future__ import annotations

import copy
import hashlib
import os
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from embact.errors import EmbactError
from embact.grid import Grid
from embact.tflite.faults import faults, outside
from embact.tflite.flatbuffer import WHAT_IS_ALLOWED, check
from embact.tflite.tree import (
    Tree,
    builtin_code,
    elements_of,
    items,
    names_of,
    schema,
    shape_of,
    text,
)

__all__ = [
    "Model",
    "Tree",
    "builtin_code",
    "elements_of",
    "items",
    "names_of",
    "pack",
    "parse",
    "read",
    "schema",
    "shape_of",
    "tensor_grid",
    "text",
]

IDENTIFIER = b"TFL3"
BUFFER_ALIGNMENT = 16
"""The schema's ``force_align`` of Buffer.data, which its Python code does not obey by itself."""

MOST_BYTES = 2**31 - 1
"""The largest flatbuffer: its references are counted in 31 bits."""

INSIDE = "a model whose data is inside the flatbuffer, smaller than 2 GB"


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
    if elsewhere := next(outside(tree, content[end:]), ""):
        raise EmbactError(
            "data stored outside the flatbuffer", got=elsewhere, allowed=INSIDE, where=where
        )
    if fault := next(faults(tree), ""):
        raise EmbactError(
            "damaged or truncated TFLite model", got=fault, allowed=WHAT_IS_ALLOWED, where=where
        )
    return Model(content, where, tree)


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
