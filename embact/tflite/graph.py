"""One subgraph of a model, with what finding patterns in it needs.

This module must not know which operators are activations.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.tflite.model import Tree, builtin_code, items, names_of, text

if TYPE_CHECKING:
    from embact.tflite.model import Model


@dataclass(frozen=True)
class Graph:
    """One subgraph with the operators by name and the uses of each tensor counted."""

    number: int
    tree: Tree
    ops: tuple[str, ...]
    uses: Counter[int]
    constant: frozenset[int]

    def tensors(self, operator: int) -> tuple[list[int], list[int]]:
        """Return an operator's input and output tensors; absent optional ones are left out."""
        node = self.tree.operators[operator]
        return [i for i in items(node.inputs) if i >= 0], [i for i in items(node.outputs) if i >= 0]


def graph_of(model: Model, number: int) -> Graph:
    """Return one of a model's subgraphs."""
    tree = model.tree.subgraphs[number]
    builtin = names_of("BuiltinOperator")
    codes = [
        text(code.customCode) or builtin.get(builtin_code(code), "?")
        for code in items(model.tree.operatorCodes)
    ]
    uses = Counter(i for node in items(tree.operators) for i in items(node.inputs))
    uses.update(items(tree.outputs))
    held = [data is not None and len(data) > 0 for data in (b.data for b in model.tree.buffers)]
    constant = frozenset(i for i, tensor in enumerate(items(tree.tensors)) if held[tensor.buffer])
    ops = tuple(codes[node.opcodeIndex] for node in items(tree.operators))
    return Graph(number, tree, ops, uses, constant)


def fused(node: Tree) -> str:
    """Return which activation is fused into an operator, as a reason to skip it, or nothing."""
    kind = getattr(node.builtinOptions, "fusedActivationFunction", 0)
    if not kind:
        return ""
    name = names_of("ActivationFunctionType").get(kind, str(kind))
    return f"{name} is fused into the operator"
