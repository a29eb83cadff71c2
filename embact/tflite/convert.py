"""Conversion: the same model with its activations computed by kernels, all else unchanged.

Forms:

- ``custom``: one custom operator for each site, named as its C function; its custom options are a
  flexbuffer map that says which kernel it is.
- ``builtin``: CAST, ADD and GATHER from a table for each element-wise site, for runtimes that one
  cannot change (``builtin_form``). Layers stay as they are.

Tensor indices stay, because signatures and metadata refer to them, so the inner tensors of a
pattern remain, unused; a constant that only they read loses its data. This module must not know
files or interpreters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embact.errors import EmbactError, unknown_name
from embact.tflite.builtin_form import Tables
from embact.tflite.layer_record import layer_digest
from embact.tflite.model import Tree, items, pack, parse, schema, text
from embact.tflite.placement import LayerPlacement, Placement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.tflite.model import Model
    from embact.tflite.placement import Placed

Form = Literal["custom", "builtin", "override"]

FORMS: dict[str, str] = {
    "custom": "one custom operator for each activation, computed by its C function",
    "builtin": "CAST, ADD and GATHER from a table for each, for runtimes one cannot change",
    "override": "the model untouched; C functions in place of the runtime's own kernels",
}

OPTIONS_VERSION = 2
PREFIX = "embact_"

FLEXBUFFER_FAULTS = (ValueError, KeyError, IndexError, TypeError, OverflowError, UnicodeDecodeError)
"""What flatbuffers' reader raises on bytes that are no flexbuffer."""


def convert(model: Model, placements: Sequence[Placed], form: str = "custom") -> bytes:
    """Return the converted model's file; for the form ``override`` the model's own bytes.

    What computes a site stands at the place of the last of its operators; all other operators keep
    their order. Operator codes that nothing uses any more are dropped. Raises EmbactError if there
    is nothing to convert, for another form, and for metadata that would become wrong.
    """
    if form not in FORMS:
        raise unknown_name("form", form, FORMS)
    if form == "builtin":
        placements = [one for one in placements if isinstance(one, Placement)]
    if not placements:
        raise EmbactError("nothing to convert", got="no site", where=model.where)
    if converted_operators(model):
        raise EmbactError(
            "conversion of a converted model",
            got="operators of embact",
            allowed="the model it was made from",
            where=model.where,
        )
    if form == "override":
        return model.content
    tree = parse(model.content, model.where).tree
    before, read_before = _used_codes(tree), _read_tensors(tree)
    graph = tree.subgraphs[0]
    operators = items(graph.operators)
    replaced: dict[int, list[Tree]] = {}
    tables = Tables(tree)
    codes: dict[str, int] = {}
    for one in placements:
        *inner, last = one.site.operators
        replaced.update((i, []) for i in inner)
        if form == "custom":
            replaced[last] = [_custom_operator(one, _custom_code(tree, codes, one.function))]
        elif isinstance(one, Placement):
            replaced[last] = tables.operators(one)
    counted = len(operators), len(graph.tensors)
    graph.operators = [made for i, node in enumerate(operators) for made in replaced.get(i, [node])]
    if counted != (len(graph.operators), len(graph.tensors)):
        _require_nothing_numbered(tree, model.where)
    _drop_codes(tree, before - _used_codes(tree))
    _empty_buffers(tree, read_before - _read_tensors(tree))
    return pack(tree)


NUMBERED = {
    "model_control_dependencies": "operators by their numbers, which change",
    "OfflineMemoryAllocation": "a memory plan of its operators, which change",
}
"""Metadata that would say something else of the converted model: LiteRT's, and TFLM's."""


def _require_nothing_numbered(tree: Tree, where: str) -> None:
    """Raise EmbactError if metadata would be wrong once operators or tensors are others."""
    for one in items(tree.metadata):
        if (name := text(one.name)) in NUMBERED:
            raise EmbactError(
                f"metadata {name}",
                got=NUMBERED[name],
                allowed="a model converted before it gets this metadata, or --form override",
                where=where,
            )


def custom_options(placement: Placed) -> bytes:
    """Return the flexbuffer that a converted operator carries: a map with sorted keys.

    version: of this layout. kernel: function name. digest: of the kernel, or of the layer's record.
    For a kernel then family, activation and its parameters by name; for a layer ``layer``, its kind
    (softmax, log_softmax, prelu, glu).
    """
    from flatbuffers import flexbuffers

    values: dict[str, Any] = {"version": OPTIONS_VERSION, "kernel": placement.function}
    if isinstance(placement, LayerPlacement):
        kind, digest = layer_digest(placement)
        values |= {"layer": kind, "digest": digest}
    else:
        fit = placement.fit
        values = {
            **fit.activation.settings(),
            **values,
            "activation": fit.activation.name,
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
    names = [text(code.customCode) for code in items(model.tree.operatorCodes)]
    found = []
    for index, node in enumerate(items(model.tree.subgraphs[0].operators)):
        if names[node.opcodeIndex].startswith(PREFIX):
            found.append((index, names[node.opcodeIndex], node))
    return found


def _custom_code(tree: Tree, codes: dict[str, int], name: str) -> int:
    """Return the number of the custom operator of that name, added at its first use."""
    if name not in codes:
        made = schema()
        custom = made.BuiltinOperator.CUSTOM
        codes[name] = len(tree.operatorCodes)
        tree.operatorCodes.append(
            made.OperatorCodeT(
                deprecatedBuiltinCode=custom,
                customCode=name.encode(),
                version=1,
                builtinCode=custom,
            )
        )
    return codes[name]


def _custom_operator(placement: Placed, code: int) -> Tree:
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


def _read_tensors(tree: Tree) -> set[tuple[int, int]]:
    """Return (subgraph, tensor) of all that an operator, a port or a signature refers to."""
    found: set[tuple[int, int]] = set()
    for number, graph in enumerate(tree.subgraphs):
        ends = [*items(graph.inputs), *items(graph.outputs)]
        for node in items(graph.operators):
            ends += [*items(node.inputs), *items(node.outputs), *items(node.intermediates)]
        found |= {(number, int(i)) for i in ends}
    for signature in items(tree.signatureDefs):
        maps = [*items(signature.inputs), *items(signature.outputs)]
        found |= {(int(signature.subgraphIndex), int(one.tensorIndex)) for one in maps}
    return found


def _empty_buffers(tree: Tree, lost: set[tuple[int, int]]) -> None:
    """Take the data from buffers that only tensors without a reader hold, as of this conversion.

    A buffer that another tensor or the metadata refers to keeps its data; buffer numbers stay.
    """
    holders: dict[int, set[tuple[int, int]]] = {}
    for number, graph in enumerate(tree.subgraphs):
        for place, tensor in enumerate(items(graph.tensors)):
            holders.setdefault(int(tensor.buffer), set()).add((number, place))
    kept = {int(one.buffer) for one in items(tree.metadata)}
    kept |= {int(number) for number in items(tree.metadataBuffer)}
    for buffer, tensors in holders.items():
        if buffer and tensors <= lost and buffer not in kept:
            tree.buffers[buffer].data = None
