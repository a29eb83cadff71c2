"""Damaged models, made from good ones: bytes, and the tables that they mean.

A mutant depends on the models, a seed and its number alone. This module must not know what is done
with them.
"""

from __future__ import annotations

import copy
import random
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.errors import EmbactError
from embact.tflite.model import items, pack, parse, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MARK = "Zq7"
"""Stands in every hostile name before what must not reach the output as it is."""

HOSTILE = [
    f"{MARK}*/ {MARK}// {MARK}/*x",
    f"{MARK}\" {MARK}' {MARK}\\x",
    f"{MARK}\n#error {MARK}\r{MARK}\0{MARK}\tx",
    f"{MARK}${{X}} {MARK}`rm` {MARK}??/ {MARK}%s {MARK}{{0}}",
    f"{MARK}\N{GREEK SMALL LETTER ALPHA}{MARK}\u202e{MARK}\N{GRINNING FACE}x",
    f"{MARK}] {MARK}[ {MARK}| {MARK}# {MARK}@ {MARK}! {MARK}\x1b[31m",
    f"{MARK}/" * 3400 + "x",
    "",
    "x",
]
"""None ends with the mark, after which our own text may go on as it likes."""
NOT_UTF8 = b"Zq7\xff\xfe\x80Zq7\xc3(x"

INTS = [0, 1, -1, 2, 7, 127, 128, 255, 256, 65535, 65536, 2**30, 2**31 - 1, -(2**31)]
SCALES = [0.0, -0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e-45, 1e-38, 3.4e38, 1.0]
SCALES += [0.05, 1 / 256, 2**-15, 1e-6, 1e6]


def name(rng: random.Random) -> bytes:
    """Return a name that nobody expects."""
    return rng.choice([*(one.encode("utf-8", "surrogatepass") for one in HOSTILE), NOT_UTF8])


# Of bytes


def _flip(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    for _number in range(rng.choice([1, 1, 2, 4, 16])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _set(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    for _number in range(rng.choice([1, 2, 8])):
        content[rng.randrange(len(content))] = rng.randrange(256)


def _truncate(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    del content[rng.randrange(len(content)) :]


def _splice(content: bytearray, rng: random.Random, models: Sequence[bytes]) -> None:
    other = rng.choice(models)
    start, size = rng.randrange(len(other)), rng.choice([4, 16, 64, 256, 1024])
    place = rng.randrange(len(content))
    piece = other[start : start + size]
    end = place + (len(piece) if rng.random() < 0.8 else rng.choice([0, 4, 100]))
    content[place:end] = piece


def _int32(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    place = rng.randrange(len(content) // 4) * 4
    value = rng.choice([*INTS, len(content), rng.randrange(len(content)), rng.getrandbits(31)])
    struct.pack_into("<i", content, place, value)


BYTES: dict[str, Callable[[bytearray, random.Random, Sequence[bytes]], None]] = {
    "bits flipped": _flip,
    "bytes set": _set,
    "truncated": _truncate,
    "spliced": _splice,
    "int32 written": _int32,
}


# Of tables


def _any_tensor(tree: Any, rng: random.Random) -> Any:
    return rng.choice(rng.choice(tree.subgraphs).tensors)


def _quantised(tree: Any, rng: random.Random) -> Any:
    """A tensor's quantisation, made if there is none."""
    tensor = _any_tensor(tree, rng)
    if tensor.quantization is None:
        tensor.quantization = schema().QuantizationParametersT()
    return tensor.quantization


def _shape(tree: Any, rng: random.Random) -> None:
    tensor = _any_tensor(tree, rng)
    shape = items(tensor.shape)
    match rng.randrange(4):
        case 0 if shape:
            shape[rng.randrange(len(shape))] = rng.choice(INTS)
        case 1:
            shape = [rng.choice([0, 1, 2, 4, 1000, 2**31 - 1]) for _ in range(rng.randrange(7))]
        case 2:
            shape = [2**31 - 1] * 6
        case _:
            tensor.shapeSignature = [rng.choice(INTS) for _ in range(rng.randrange(5))]
    tensor.shape = shape if rng.random() < 0.9 else None


def _scale(tree: Any, rng: random.Random) -> None:
    _quantised(tree, rng).scale = [rng.choice(SCALES)]


def _zero(tree: Any, rng: random.Random) -> None:
    _quantised(tree, rng).zeroPoint = [rng.choice([*INTS, 2**63 - 1, -(2**63)])]


def _channels(tree: Any, rng: random.Random) -> None:
    grid, count = _quantised(tree, rng), rng.choice([0, 1, 2, 4, 8, 1000])
    grid.scale = [rng.choice(SCALES) for _ in range(count)]
    grid.zeroPoint = [0] * rng.choice([count, count, 0, 1])
    grid.quantizedDimension = rng.choice(INTS)


def _type(tree: Any, rng: random.Random) -> None:
    _any_tensor(tree, rng).type = rng.choice([*range(20), 100, -1])


def _buffer(tree: Any, rng: random.Random) -> None:
    buffer = rng.choice(tree.buffers)
    match rng.randrange(6):
        case 0:
            _any_tensor(tree, rng).buffer = rng.randrange(len(tree.buffers) + 2)
        case 1:
            buffer.data = None
        case 2 if buffer.data is not None:
            buffer.data = buffer.data[: rng.randrange(len(buffer.data) + 1)]
        case 3 if buffer.data is not None and len(buffer.data):
            buffer.data = buffer.data.copy()
            buffer.data[rng.randrange(len(buffer.data))] = rng.randrange(256)
        case 4:
            tree.buffers = tree.buffers[: rng.randrange(len(tree.buffers) + 1)]
        case _:
            size = rng.choice([1, 4, 16, 4096])
            buffer.data = np.frombuffer(rng.randbytes(size), dtype=np.uint8)


def _edges(tree: Any, rng: random.Random) -> None:
    graph = rng.choice(tree.subgraphs)
    node, tensors = rng.choice(graph.operators), len(graph.tensors)
    side = rng.choice(["inputs", "inputs", "outputs"])
    ends = items(getattr(node, side))
    any_tensor = rng.choice([rng.randrange(tensors), rng.randrange(tensors), -1, tensors, *INTS])
    match rng.randrange(5):
        case 0:
            ends.append(any_tensor)
        case 1 if ends:
            ends.pop(rng.randrange(len(ends)))
        case 2:
            ends = []
        case 3:
            node.inputs, node.outputs = node.outputs, node.inputs
            return
        case _:
            ends = [*ends[:-1], any_tensor]
    setattr(node, side, ends)


def _nodes(tree: Any, rng: random.Random) -> None:
    graph = rng.choice(tree.subgraphs)
    nodes = list(graph.operators)
    match rng.randrange(4):
        case 0:
            rng.shuffle(nodes)
        case 1:
            nodes.append(copy.copy(rng.choice(nodes)))
        case 2:
            nodes.pop(rng.randrange(len(nodes)))
        case _:
            side = rng.choice(["inputs", "outputs"])
            count = rng.randrange(4)
            tensors = len(graph.tensors)
            setattr(graph, side, [rng.randrange(-1, tensors + 1) for _ in range(count)])
    graph.operators = nodes


def _options(tree: Any, rng: random.Random) -> None:
    node = rng.choice(rng.choice(tree.subgraphs).operators)
    match rng.randrange(4):
        case 0:
            node.builtinOptions, node.builtinOptionsType = None, rng.choice([0, 1, 9, 126])
        case 1:
            node.customOptions = np.frombuffer(rng.randbytes(rng.randrange(40)), dtype=np.uint8)
        case 2:
            made, kinds = schema(), vars(schema().BuiltinOptions)
            kind = rng.choice([k for k, v in kinds.items() if k[0] != "_" and v])
            node.builtinOptionsType = kinds[kind]
            node.builtinOptions = getattr(made, f"{kind}T")()
        case _:
            options = vars(node.builtinOptions) if node.builtinOptions is not None else {}
            for key, value in options.items():
                if isinstance(value, float):
                    options[key] = rng.choice(SCALES)
                elif isinstance(value, int) and not isinstance(value, bool):
                    options[key] = rng.choice([0, 1, 2, 3, 4, 5, 100, -1])


def _codes(tree: Any, rng: random.Random) -> None:
    code = rng.choice(tree.operatorCodes)
    match rng.randrange(4):
        case 0:
            names = [*range(210), 999, -1, 127]
            code.builtinCode = rng.choice(names)
            code.deprecatedBuiltinCode = rng.choice([0, min(code.builtinCode, 127)])
        case 1:
            code.version = rng.choice(INTS)
        case 2:
            code.builtinCode = code.deprecatedBuiltinCode = schema().BuiltinOperator.CUSTOM
            code.customCode = rng.choice([None, b"EMBACT_X", name(rng)])
        case _:
            node = rng.choice(rng.choice(tree.subgraphs).operators)
            node.opcodeIndex = rng.randrange(len(tree.operatorCodes) + 1)


def _names(tree: Any, rng: random.Random) -> None:
    same = name(rng)
    for graph in tree.subgraphs:
        for one in (graph, *graph.tensors):
            if rng.random() < 0.8:
                one.name = rng.choice([same, name(rng), None])
    tree.description = name(rng)
    for signature in items(tree.signatureDefs):
        signature.signatureKey = name(rng)
        for one in (*items(signature.inputs), *items(signature.outputs)):
            one.name = name(rng)
            one.tensorIndex = rng.choice([one.tensorIndex, rng.choice(INTS) & 0xFFFFFFFF])
    for one in items(tree.metadata):
        one.name = name(rng)
        one.buffer = rng.choice([one.buffer, one.buffer, 0, 9999])


def _graphs(tree: Any, rng: random.Random) -> None:
    match rng.randrange(3):
        case 0:
            tree.subgraphs = tree.subgraphs * rng.choice([0, 2, 3])
        case 1:
            tree.subgraphs[0].operators = rng.choice([None, []])
        case _:
            tree.version = rng.choice([0, 1, 4, 2**32 - 1])


TABLES: dict[str, Callable[[Any, random.Random], None]] = {
    "shape": _shape,
    "scale": _scale,
    "zero point": _zero,
    "per channel": _channels,
    "type": _type,
    "buffer": _buffer,
    "edges": _edges,
    "operators": _nodes,
    "options": _options,
    "codes": _codes,
    "names": _names,
    "graphs": _graphs,
}

UNPACKABLE = (struct.error, TypeError, ValueError, OverflowError, AttributeError, IndexError)
"""What the generated code and its library raise for numbers that a file cannot hold."""


def _of_tables(models: Sequence[bytes], rng: random.Random) -> tuple[str, bytes] | None:
    """Return a packed mutant, or None if a file cannot hold it."""
    tree = copy.deepcopy(parse(rng.choice(models)).tree)
    chosen = [rng.choice(list(TABLES)) for _ in range(rng.choice([1, 1, 2, 3]))]
    chosen += ["names"] if rng.random() < 0.3 else []
    try:
        for kind in chosen:
            TABLES[kind](tree, rng)
        return chosen[0], pack(tree)
    except (*UNPACKABLE, EmbactError):
        return None


def mutant(models: Sequence[bytes], seed: int, number: int) -> tuple[str, str, bytes]:
    """Return how a mutant was made, the name of its file, and its bytes."""
    rng = random.Random(f"{seed}:{number}")  # noqa: S311 - repeatable, not secret
    # a user's own file name: quotes and all, but no other folder and no control characters
    where = "".join(one for one in rng.choice(HOSTILE)[:200] if one.isprintable() and one != "/")
    where += ".tflite"
    if rng.random() < 0.35:
        content = bytearray(rng.choice(models))
        kinds = [rng.choice(list(BYTES)) for _ in range(rng.choice([1, 1, 2]))]
        for kind in kinds:
            if len(content) >= 8:
                BYTES[kind](content, rng, models)
        return kinds[0], where, bytes(content)
    while True:
        made = _of_tables(models, rng)
        if made is not None:
            return made[0], where, made[1]
