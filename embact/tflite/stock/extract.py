"""A site cut out of its model: a model of its operators alone, fed with every input code at once.

Nothing of a model's names goes with it, so that equal sites give equal bytes. This module must not
know interpreters, kernels or what the excerpt's outputs are compared with.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from embact.errors import EmbactError
from embact.tflite.graph import graph_of
from embact.tflite.model import elements_of, items, pack, schema, shape_of, text
from embact.tflite.site import LayerSite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.tflite.graph import Graph
    from embact.tflite.model import Model, Tree
    from embact.tflite.site import Site


def excerpts(model: Model, sites: Sequence[Site | LayerSite]) -> tuple[bytes | EmbactError, ...]:
    """Return for each site its excerpt, or why it has none; see ``excerpt``."""
    graphs = {number: graph_of(model, number) for number in {site.subgraph for site in sites}}
    return tuple(_attempt(model, site, graphs[site.subgraph]) for site in sites)


def _attempt(model: Model, site: Site | LayerSite, graph: Graph) -> bytes | EmbactError:
    try:
        return excerpt(model, site, graph)
    except EmbactError as error:
        return error


def excerpt(model: Model, site: Site | LayerSite, graph: Graph | None = None) -> bytes:
    """Return the file of a model with the operators of a site and nothing else.

    Its one input and output are the site's. Those of an element-wise site, and the tensors between
    them, get the shape (1, codes of the input): (1, 256) for int8, (1, 65536) for int16. Constants
    become scalars there, since they are one number in all places. A layer keeps its shapes.
    Raises EmbactError if an operator reads what is neither the site's nor constant, or a constant
    of an element-wise site is not the same number everywhere.
    """
    made = schema()
    graph = graph_of(model, site.subgraph) if graph is None else graph
    shape = None if isinstance(site, LayerSite) else (1, 1 << site.spec.input.bits)
    codes: dict[int, int] = {}
    numbers: dict[int, int] = {}
    buffers: list[Tree] = [made.BufferT()]
    tensors: list[Tree] = []
    computed = {site.input}
    operators = []

    def number_of(index: int) -> int:
        if index not in numbers:
            tensor = _tensor(graph, index, shape, len(buffers))
            if tensor.buffer:
                buffers.append(made.BufferT(data=_data(model, graph, index, shape)))
            tensor.name = f"t{len(tensors)}".encode()
            numbers[index] = len(tensors)
            tensors.append(tensor)
        return numbers[index]

    number_of(site.input)
    for position in site.operators:
        node = copy.copy(graph.tree.operators[position])
        foreign = set(graph.tensors(position)[0]) - computed - graph.constant
        if foreign:
            raise EmbactError(
                f"{graph.ops[position]} of the site reads a tensor from elsewhere",
                got=text(graph.tree.tensors[min(foreign)].name),
                where=model.where,
            )
        computed |= set(graph.tensors(position)[1])
        node.opcodeIndex = codes.setdefault(node.opcodeIndex, len(codes))
        node.inputs = [-1 if i < 0 else number_of(i) for i in items(node.inputs)]
        node.outputs = [number_of(i) for i in items(node.outputs)]
        operators.append(node)
    if site.output not in computed:
        raise EmbactError("the site's operators do not compute its output", where=model.where)
    subgraph = made.SubGraphT(
        tensors=tensors,
        inputs=[numbers[site.input]],
        outputs=[numbers[site.output]],
        operators=operators,
        name=b"site",
    )
    tree = made.ModelT(
        version=3,
        operatorCodes=[model.tree.operatorCodes[index] for index in codes],
        subgraphs=[subgraph],
        buffers=buffers,
    )
    return pack(tree)


def _tensor(graph: Graph, index: int, shape: tuple[int, ...] | None, buffer: int) -> Tree:
    """Return a copy of a tensor with its shape in the excerpt. buffer: the next free number."""
    tensor = copy.copy(graph.tree.tensors[index])
    tensor.buffer = buffer if index in graph.constant else 0
    tensor.shapeSignature = None
    if shape is not None:
        if index not in graph.constant:
            tensor.shape = list(shape)
        elif shape_of(tensor):
            tensor.shape = [1]  # of no higher rank than the input, whose shape is then the result's
    if tensor.quantization is not None:
        # the range that the converter saw, which no kernel reads and equal sites need not share
        tensor.quantization = copy.copy(tensor.quantization)
        tensor.quantization.min = tensor.quantization.max = None
    return tensor


def _data(
    model: Model, graph: Graph, index: int, shape: tuple[int, ...] | None
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the bytes of a constant in the excerpt: one element of it if shapes are given."""
    tensor = graph.tree.tensors[index]
    data = np.asarray(model.tree.buffers[tensor.buffer].data, dtype=np.uint8).ravel()
    count = elements_of(tensor)
    if shape is None or count == 1:
        return data
    if not count or data.size % count:
        allowed = f"a multiple of {count}"
        raise EmbactError("bytes of a constant", got=data.size, allowed=allowed, where=model.where)
    each = data.reshape(count, -1)
    if np.any(each != each[0]):
        raise EmbactError(
            "a constant of the site differs from place to place",
            got=text(tensor.name),
            where=model.where,
        )
    return np.ascontiguousarray(each[0])
