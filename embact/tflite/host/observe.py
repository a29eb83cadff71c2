"""Observing: the same model with chosen tensors as further outputs, to read what they hold.

An interpreter reuses the memory of a tensor that nothing needs any more, so a tensor is read
reliably only if it is an output of the graph. This module must not know interpreters or kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embact.errors import EmbactError
from embact.tflite.model import items, pack, parse, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from embact.tflite.model import Model


def observed_copy(
    model: Model, tensors: Sequence[int], claimed: Iterable[Sequence[int]] = ()
) -> tuple[bytes, tuple[int, ...]]:
    """Return a model's file in which tensors are outputs too, and the place of each among them.

    The model's own outputs stay the first ones, in their order; without tensors the file is the
    model's own. claimed: the operators of each pattern that runs as one function, in order; what is
    between them is not computed. Raises EmbactError for a tensor that does not exist, is neither an
    input nor computed, or lies inside such a pattern.
    """
    graph = model.tree.subgraphs[0]
    operators = items(graph.operators)
    hidden = {i for pattern in claimed for i in sorted(pattern)[:-1]}
    computed = set(items(graph.inputs))
    for i, operator in enumerate(operators):
        if i not in hidden:
            computed.update(items(operator.outputs))
    for tensor in tensors:
        if tensor not in computed or tensor < 0:
            known = 0 <= tensor < len(items(graph.tensors))
            name = f" ({text(graph.tensors[tensor].name)})" if known else ""
            raise EmbactError(
                "a tensor that cannot be observed",
                got=f"{tensor}{name}",
                allowed="an input or what an operator computes, not inside a pattern with a kernel",
                where=model.where,
            )
    outputs = items(graph.outputs)
    added = [one for one in dict.fromkeys(tensors) if one not in outputs]
    places = tuple([*outputs, *added].index(one) for one in tensors)
    if not added:
        return model.content, places
    tree = parse(model.content, model.where).tree
    tree.subgraphs[0].outputs = [*outputs, *added]
    return pack(tree), places
