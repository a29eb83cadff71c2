"""Regions: parts of a graph that are a function of one tensor, element by element.

A region ends at an operator and begins at a tensor through which all paths to it go. This module
must not know activations.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.grid import Grid
from embact.tflite.find.constants import uniform_number
from embact.tflite.find.meaning import (
    COMPARISONS,
    LOGICAL,
    MEANING,
    OPERANDS,
    ROUNDED,
    SELECTS,
    fused_name,
)
from embact.tflite.model import items, names_of, shape_of, tensor_grid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from embact.tflite.find.terms import Terms
    from embact.tflite.graph import Graph
    from embact.tflite.model import Model, Tree

MOST_OPERATORS = 24
"""In a region: the longest that a converter writes for an activation has 14."""


LINEAR = ("ADD", "NEG", "SUB", *ROUNDED)


@dataclass(frozen=True)
class Flow:
    """How values flow through a graph.

    nodes: the element-wise operators, each with its operands: tensors, or numbers for constants.
    results: what the nodes write. grids: those of the tensors that nodes read or write.
    producer: the operator that writes a tensor, if it is one. readers: the operators that read a
    tensor, in order. bent: the nodes that are not linear. fixed: the tensors that have one value in
    an inference: no constants, written once, by an operator or the caller, and no variables.
    outputs: of the graph, and of its signatures, which may name others.
    """

    graph: Graph
    nodes: dict[int, tuple[int | Fraction, ...]]
    results: dict[int, int]
    grids: dict[int, Grid]
    producer: dict[int, int]
    readers: dict[int, tuple[int, ...]]
    bent: frozenset[int]
    fixed: frozenset[int]
    outputs: frozenset[int]


@dataclass(frozen=True)
class Leak:
    """A tensor inside a region that something else uses.

    reader: the operator that reads it, or None if it is an output of the graph.
    """

    tensor: int
    reader: int | None


@dataclass(frozen=True)
class Region:
    """Operators in order, whose last result is a function of the entry, element by element.

    leak: a tensor between them that is used outside, so that they cannot be replaced.
    """

    operators: tuple[int, ...]
    entry: int
    exit: int
    leak: Leak | None


def flow_of(model: Model, graph: Graph) -> Flow:
    """Return how values flow through a graph; its time is linear in the graph's size."""
    producer: dict[int, int] = {}
    readers: dict[int, list[int]] = {}
    writes: Counter[int] = Counter(items(graph.tree.inputs))
    for operator in range(len(graph.ops)):
        ins, outs = graph.tensors(operator)
        writes.update(outs)
        for tensor in outs:
            producer[tensor] = operator
        for tensor in dict.fromkeys(ins):
            readers.setdefault(tensor, []).append(operator)
    tensors = items(graph.tree.tensors)
    variable = {i for i, tensor in enumerate(tensors) if tensor.isVariable}
    fixed = frozenset(i for i, count in writes.items() if count == 1) - graph.constant - variable
    kinds = _Kinds(tensors, names_of("TensorType"))
    nodes: dict[int, tuple[int | Fraction, ...]] = {}
    for operator, op in enumerate(graph.ops):
        if op in MEANING and (operands := _operands(model, graph, operator, kinds)):
            used = [one for one in operands if isinstance(one, int)]
            after = all(producer.get(one, -1) < operator for one in used)
            if after and fixed.issuperset((*used, graph.tensors(operator)[1][0])):
                nodes[operator] = operands
    return Flow(
        graph=graph,
        nodes=nodes,
        results={operator: graph.tensors(operator)[1][0] for operator in nodes},
        grids=kinds.grids,
        producer=producer,
        readers={tensor: tuple(found) for tensor, found in readers.items()},
        bent=frozenset(i for i, operands in nodes.items() if _is_bent(graph, i, operands)),
        fixed=fixed,
        outputs=frozenset((*items(graph.tree.outputs), *_signature_outputs(model, graph))),
    )


def _signature_outputs(model: Model, graph: Graph) -> list[int]:
    signatures = items(model.tree.signatureDefs)
    mine = [one for one in signatures if one.subgraphIndex == graph.number]
    return [int(out.tensorIndex) for one in mine for out in items(one.outputs)]


class _Kinds:
    """What tensors hold: bool, float, code for int8 and int16 of one scale, "" for others."""

    def __init__(self, tensors: list[Tree], types: dict[int, str]) -> None:
        self.grids: dict[int, Grid] = {}
        self._tensors = tensors
        self._types = types
        self._known: dict[int, str] = {}

    def of(self, tensor: int) -> str:
        """Return what a tensor holds, and keep its grid if it has one."""
        if tensor not in self._known:
            self._known[tensor] = self._kind(tensor)
        return self._known[tensor]

    def _kind(self, tensor: int) -> str:
        match self._types.get(self._tensors[tensor].type):
            case "BOOL":
                return "bool"
            case "FLOAT32":
                return "float"
            case "INT8" | "INT16":
                grid = tensor_grid(self._tensors[tensor])
                if isinstance(grid, Grid):
                    self.grids[tensor] = grid
                    return "code"
        return ""


def _is_bent(graph: Graph, operator: int, operands: tuple[int | Fraction, ...]) -> bool:
    """Return whether an element-wise operator is not linear in what flows through it."""
    op = graph.ops[operator]
    if fused_name(graph.tree.operators[operator].builtinOptions):
        return True
    constant = any(not isinstance(one, int) for one in operands[-(op == "DIV") :])
    return not (op in LINEAR or (op in ("MUL", "DIV") and constant))


def _operands(
    model: Model, graph: Graph, operator: int, kinds: _Kinds
) -> tuple[int | Fraction, ...]:
    """Return the operands of an operator that is element-wise; () if it is not.

    Its tensors must have the shape of the result, and constants one value throughout.
    """
    op, node = graph.ops[operator], graph.tree.operators[operator]
    ins, outs = items(node.inputs), items(node.outputs)
    if len(outs) != 1 or len(ins) != OPERANDS.get(op, 1) or min(*ins, *outs, 0) < 0:
        return ()
    tensors = graph.tree.tensors
    if not _typed(op, [kinds.of(i) for i in (*ins, *outs)]):
        return ()
    shape = shape_of(tensors[outs[0]])
    operands: list[int | Fraction] = []
    for i in ins:
        if i in graph.constant:
            number = uniform_number(model, tensors[i])
            if number is None:
                return ()
            operands.append(number)
        elif shape_of(tensors[i]) != shape:
            return ()
        else:
            operands.append(i)
    return tuple(operands) if any(isinstance(one, int) for one in operands) else ()


def _typed(op: str, kinds: list[str]) -> bool:
    """Return whether an operator reads and writes numbers, or bools where it has them."""
    *ins, out = kinds
    if op in COMPARISONS:
        return out == "bool" and all(one in ("float", "code") for one in ins)
    if op in LOGICAL:
        return set(kinds) == {"bool"}
    if op == "CAST":  # of codes it gives the codes, not what they stand for
        return out == "float" and ins[0] in ("bool", "float")
    if op in SELECTS:
        return ins[0] == "bool" and all(one in ("float", "code") for one in (*ins[1:], out))
    return all(one in ("float", "code") for one in kinds)


def regions(flow: Flow, last: int) -> Iterator[Region]:
    """Yield the regions that end at an operator, the smaller ones first.

    Each is found by going back from the operator, always from the tensor that is written last: when
    one tensor is left, all paths go through it. At most MOST_OPERATORS operators are looked at.
    """
    inside: list[int] = []
    open_tensors = {flow.results[last]} if last in flow.nodes else set()
    while open_tensors and len(inside) < MOST_OPERATORS:
        tensor = max(open_tensors, key=lambda one: flow.producer.get(one, -1))
        operator = flow.producer.get(tensor, -1)
        if operator not in flow.nodes:
            return
        inside.append(operator)
        open_tensors.remove(tensor)
        open_tensors.update(one for one in flow.nodes[operator] if isinstance(one, int))
        if len(open_tensors) == 1:
            (entry,) = open_tensors
            operators = tuple(sorted(inside))
            yield Region(operators, entry, flow.results[last], _leak(flow, operators))


def _leak(flow: Flow, operators: tuple[int, ...]) -> Leak | None:
    """Return the first tensor between operators that something else uses, or None."""
    inside = set(operators)
    for operator in operators[:-1]:
        tensor = flow.results[operator]
        if tensor in flow.outputs:
            return Leak(tensor, None)
        for reader in flow.readers.get(tensor, ()):
            if reader not in inside:
                return Leak(tensor, reader)
    return None


def meaning_of(flow: Flow, region: Region, terms: Terms) -> int | None:
    """Return what a region computes of its entry, or None if one of its operators is unknown."""
    found = {region.entry: terms.x}
    for operator in region.operators:
        args = [
            found[one] if isinstance(one, int) else terms.number(one)
            for one in flow.nodes[operator]
        ]
        options = flow.graph.tree.operators[operator].builtinOptions
        result = MEANING[flow.graph.ops[operator]](terms, args, options)
        if result is None:
            return None
        found[flow.results[operator]] = result
    return found[region.exit]


def arithmetic(flow: Flow, region: Region) -> int:
    """Return how many operators of a region do more than to round."""
    return sum(flow.graph.ops[operator] not in ROUNDED for operator in region.operators)
