"""What is wrong with a model whose bytes can be read: what it refers to, and what it would lose.

This module must not know flatbuffers.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from embact.tflite.tree import builtin_code, elements_of, items, names_of, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embact.tflite.tree import Tree


def faults(tree: Tree) -> Iterator[str]:
    """Yield the references to things that do not exist, and what cannot be computed, in words."""
    if not tree.subgraphs or not tree.buffers:
        yield "no buffer" if tree.subgraphs else "no subgraph"
        return
    first = tree.buffers[0].data
    if first is not None and len(first):
        # the schema's rule; tensors that are computed are in it
        yield f"{len(first)} bytes in buffer 0, which has to be empty"
    for number, graph in enumerate(tree.subgraphs):
        for fault in (*_of_tensors(tree, graph), *_of_operators(tree, graph)):
            yield f"in subgraph {number}: {fault}"
        yield from (f"in subgraph {number}: tensor {index}" for index in _missing_tensors(graph))
        yield from (f"in subgraph {number}: {fault}" for fault in _out_of_order(graph))


def _of_tensors(tree: Tree, graph: Tree) -> Iterator[str]:
    types = names_of("TensorType")
    for position, tensor in enumerate(items(graph.tensors)):
        if not 0 <= tensor.buffer < len(tree.buffers):
            yield f"tensor {position} in buffer {tensor.buffer}"
        elif wrong := _wrong_size(tensor, tree.buffers[tensor.buffer]):
            yield f"tensor {position} with {wrong} bytes"
        if negative := [size for size in shape_of(tensor) if size < 0]:
            yield f"tensor {position} with {negative[0]} in its shape"
        if tensor.type not in types:
            yield f"tensor {position} of a type ({tensor.type}) that the schema lacks"


def _of_operators(tree: Tree, graph: Tree) -> Iterator[str]:
    codes, names = items(tree.operatorCodes), names_of("BuiltinOperator")
    for position, operator in enumerate(items(graph.operators)):
        if not 0 <= operator.opcodeIndex < len(codes):
            yield f"operator {position} with code {operator.opcodeIndex}"
            continue
        code = codes[operator.opcodeIndex]
        if builtin_code(code) not in names:
            yield f"operator {position} of a kind ({builtin_code(code)}) that the schema lacks"
        if wrong := _wrong_options(operator, code):
            yield f"operator {position}: {wrong}"


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


def _wrong_options(operator: Tree, code: Tree) -> str:
    """Return that an operator has the options of another one, or "".

    The schema names options as their operator, but for those that several operators share; of
    these nothing is said.
    """
    if operator.builtinOptions is None:
        return ""
    op = names_of("BuiltinOperator").get(builtin_code(code), "")
    wanted, given = _options_named().get(op.replace("_", "")), type(operator.builtinOptions)
    if wanted is None or given.__name__ == f"{wanted}T":
        return ""
    return f"{op} with {given.__name__.removesuffix('T')}"


@functools.cache
def _options_named() -> dict[str, str]:
    """Return the names of all options by the operator that they are named for, without its _."""
    names = names_of("BuiltinOptions").values()
    return {name.removesuffix("Options").upper(): name for name in names}


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


def outside(tree: Tree, rest: bytes) -> Iterator[str]:
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
