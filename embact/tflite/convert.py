"""Conversion: the same model with one custom operator at each site, all else unchanged.

The operator is named ``embact_<activation>``; its custom options are a flexbuffer map that names
the kernel. Tensor indices stay, because signatures and metadata refer to them, so the middle tensor
of a pattern remains, unused. This module must not know files or interpreters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embact.errors import EmbactError
from embact.tflite.model import Tree, items, pack, parse, schema, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.tflite.model import Model
    from embact.tflite.placement import Placement

OPTIONS_VERSION = 1
PREFIX = "embact_"

FLEXBUFFER_FAULTS = (ValueError, KeyError, IndexError, TypeError, OverflowError, UnicodeDecodeError)
"""What flatbuffers' reader raises on bytes that are no flexbuffer."""


def convert(model: Model, placements: Sequence[Placement]) -> bytes:
    """Return the converted model's file.

    The operators of each site become one custom operator at the place of the last of them. Operator
    codes that nothing uses any more are dropped. Raises EmbactError if there is nothing to convert.
    """
    if not placements:
        raise EmbactError("nothing to convert", got="no site", where=model.where)
    tree = parse(model.content, model.where).tree
    before = _used_codes(tree)
    graph = tree.subgraphs[0]
    operators = items(graph.operators)
    codes: dict[str, int] = {}
    removed: set[int] = set()
    for one in placements:
        name = PREFIX + one.fit.activation.name
        if name not in codes:
            codes[name] = len(tree.operatorCodes)
            tree.operatorCodes.append(_custom_code(name))
        *inner, last = one.site.operators
        removed.update(inner)
        operators[last] = _custom_operator(one, codes[name])
    graph.operators = [node for i, node in enumerate(operators) if i not in removed]
    _drop_codes(tree, before - _used_codes(tree))
    return pack(tree)


def custom_options(placement: Placement) -> bytes:
    """Return the flexbuffer that a converted operator carries: a map with sorted keys.

    version: of this layout. kernel: function name. digest: of the kernel. family. Then the
    activation's parameters by name.
    """
    from flatbuffers import flexbuffers

    fit = placement.fit
    values: dict[str, Any] = {
        **fit.activation.settings(),
        "version": OPTIONS_VERSION,
        "kernel": placement.function,
        "digest": fit.kernel.digest,
        "family": fit.family,
    }
    return bytes(flexbuffers.Dumps(values))


def read_options(operator: Tree, where: str) -> dict[str, Any]:
    """Return what ``custom_options`` wrote; EmbactError if the operator holds no such thing."""
    from flatbuffers import flexbuffers

    try:
        values = flexbuffers.Loads(bytes(items(operator.customOptions)))
    except FLEXBUFFER_FAULTS as error:
        raise EmbactError("custom options of an embact operator", got=error, where=where) from None
    version = values.get("version") if isinstance(values, dict) else None
    if version != OPTIONS_VERSION:
        raise EmbactError(
            "version of an embact operator's options",
            got=version,
            allowed=f"{OPTIONS_VERSION}: convert the model again with this embact",
            where=where,
        )
    found: dict[str, Any] = values
    return found


def converted_operators(model: Model) -> list[tuple[int, str, Tree]]:
    """Return (index, name, operator) of each operator of ours in the first subgraph."""
    names = [text(code.customCode) for code in model.tree.operatorCodes]
    found = []
    for index, node in enumerate(items(model.tree.subgraphs[0].operators)):
        if names[node.opcodeIndex].startswith(PREFIX):
            found.append((index, names[node.opcodeIndex], node))
    return found


def _custom_code(name: str) -> Tree:
    made = schema()
    custom = made.BuiltinOperator.CUSTOM
    return made.OperatorCodeT(
        deprecatedBuiltinCode=custom, customCode=name.encode(), version=1, builtinCode=custom
    )


def _custom_operator(placement: Placement, code: int) -> Tree:
    return schema().OperatorT(
        opcodeIndex=code,
        inputs=np.array([placement.site.input], dtype=np.int32),
        outputs=np.array([placement.site.output], dtype=np.int32),
        customOptions=np.frombuffer(custom_options(placement), dtype=np.uint8),
    )


def _used_codes(tree: Tree) -> set[int]:
    return {int(n.opcodeIndex) for g in tree.subgraphs for n in items(g.operators)}


def _drop_codes(tree: Tree, unused: set[int]) -> None:
    """Remove operator codes from the tree and renumber the ones that stay."""
    kept = [i for i in range(len(tree.operatorCodes)) if i not in unused]
    number = {old: new for new, old in enumerate(kept)}
    tree.operatorCodes = [tree.operatorCodes[i] for i in kept]
    for graph in tree.subgraphs:
        for node in items(graph.operators):
            node.opcodeIndex = number[int(node.opcodeIndex)]
