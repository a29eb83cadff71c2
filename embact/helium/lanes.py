"""What lanes of 8, 16 or 32 bits must hold: values, where they matter, and which ranges fit.

A lane holds a node's value modulo 2**lanes. Sums, products and left shifts need no more of their
operands; comparisons, right shifts, limits and indices need the value itself, and only on the
inputs that can reach the result: an arm of a choice may be anything where the other arm is taken.
This module must not know instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embact.grid import all_codes
from embact.ir import MEANING, Node, Op, topological

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.grid import Codes

Mask = Any
"""bool array over all inputs: where a value can reach the result."""


class NotSpelt(Exception):  # noqa: N818 - a way out of a search, never an error that a user sees
    """A kernel has no spelling in lanes of some width."""


class Values:
    """The value of every node on every input, evaluated once for each node.

    Values need not fit int32 where they do not matter: they are exact int64 numbers, and products
    and shifts that could leave int64 do not arise from nodes that fit 32 bits.
    """

    def __init__(self, input_bits: int) -> None:
        self.codes: Codes = all_codes(input_bits)
        self._known: dict[int, tuple[Node, Any]] = {}

    def of(self, node: Node) -> Codes:
        """Return a node's values in ascending order of inputs: int64, shape (2**input_bits,)."""
        for one in topological(node) if id(node) not in self._known else ():
            if id(one) not in self._known:
                operands = [self._known[id(arg)][1] for arg in one.args]
                if one.op is Op.INPUT:
                    value = self.codes
                else:
                    found = MEANING[one.op](one, *operands)
                    value = np.broadcast_to(found, self.codes.shape)
                self._known[id(one)] = (one, value)
        known: Codes = self._known[id(node)][1]
        return known

    def bounds(self, node: Node, mask: Mask) -> tuple[int, int]:
        """Return the least and greatest value where it matters; (0, 0) if it matters nowhere."""
        if node.op is Op.CONST:
            return node.value, node.value
        values = self.of(node)[mask]
        return (int(values.min()), int(values.max())) if values.size else (0, 0)

    def signed(self, bits: int, mask: Mask, *nodes: Node) -> bool:
        """Return whether each node fits signed lanes where it matters."""
        ends = [self.bounds(node, mask) for node in nodes]
        return all(-(1 << (bits - 1)) <= low and high < 1 << (bits - 1) for low, high in ends)

    def unsigned(self, bits: int, mask: Mask, *nodes: Node) -> bool:
        """Return whether each node fits unsigned lanes where it matters."""
        ends = [self.bounds(node, mask) for node in nodes]
        return all(low >= 0 and high < 1 << bits for low, high in ends)

    def fits(self, bits: int, mask: Mask, *nodes: Node) -> bool:
        """Return whether all nodes fit lanes that are read in one way, signed or unsigned."""
        return self.signed(bits, mask, *nodes) or self.unsigned(bits, mask, *nodes)


def relevance(values: Values, root: Node) -> dict[int, Mask]:
    """Return where each node can reach the result; an index into a table matters everywhere."""
    order = list(topological(root))
    everywhere = np.ones(values.codes.shape, dtype=bool)
    nowhere = np.zeros(values.codes.shape, dtype=bool)
    masks: dict[int, Mask] = {id(node): nowhere for node in order}
    masks[id(root)] = everywhere
    for node in reversed(order):
        own = masks[id(node)]
        for arg, mask in zip(node.args, arm_masks(values, node, own), strict=True):
            masks[id(arg)] = masks[id(arg)] | mask
    return masks


def arm_masks(values: Values, node: Node, mask: Mask) -> Sequence[Mask]:
    """Return where each operand of a node matters, given where the node does."""
    if node.op is Op.SELECT:
        taken = values.of(node.args[0]) < values.of(node.args[1])
        return (mask, mask, mask & taken, mask & ~taken)
    if node.op is Op.LOOKUP:
        return (np.ones_like(mask),)
    return (mask,) * len(node.args)
