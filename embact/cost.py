"""What a kernel costs on a core: estimated instructions for each element, and table bytes.

The estimate adds up one number for each operation; a choice costs its dearer arm. It orders kernels
and is called an estimate wherever it is shown: it has not been measured. This module must not know
families or activations.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from embact.errors import unknown_name
from embact.ir import Op

if TYPE_CHECKING:
    from embact.ir import Node
    from embact.kernel import Kernel

LOOP = 4
"""Load, store, advance and branch, for each element."""

_THUMB: dict[Op, int] = {
    Op.INPUT: 0,
    Op.CONST: 0,
    Op.LOOKUP: 1,
    Op.SELECT: 2,
    Op.ADD: 1,
    Op.SUB: 1,
    Op.MUL: 1,
    Op.MULH: 1,
    Op.DIV: 1,
    Op.SHL: 1,
    Op.SHR: 1,
    Op.AND: 1,
    Op.MIN: 2,
    Op.MAX: 2,
    Op.SAT: 1,
}
"""Thumb-2: ldr with a register offset, cmp + conditional move, smull, ssat, and
sdiv, which is one instruction but takes 2 to 12 cycles."""

_THUMB_1 = _THUMB | {
    Op.LOOKUP: 2,
    Op.SELECT: 3,
    Op.MULH: 17,
    Op.DIV: 45,
    Op.MIN: 3,
    Op.MAX: 3,
    Op.SAT: 6,
}
"""ARMv6-M: 32-bit products only, no ssat, branches instead of conditional moves, and division by a
call of the compiler's library."""

CORES: dict[str, dict[Op, int]] = {
    "cortex-m0plus": _THUMB_1,
    "cortex-m3": _THUMB,
    "cortex-m4": _THUMB,
    "cortex-m7": _THUMB,
    "cortex-m33": _THUMB,
    "cortex-m55": _THUMB,
}
"""Estimated instructions of each operation by core. Source: the operations that the ARMv6-M and
ARMv7-M Architecture Reference Manuals offer; scalar code, also on cortex-m55."""

DEFAULT_CORE = "cortex-m4"


def instructions(kernel: Kernel, core: str = DEFAULT_CORE) -> int:
    """Return the estimated instructions for one element on the dearest path.

    Nodes that only one arm of a choice uses are executed with that arm only, as the emitted C has
    it; others always. Raises EmbactError for an unknown core.
    """
    if core not in CORES:
        raise unknown_name("core", core, CORES)
    prices = CORES[core]
    uses = Counter(id(arg) for node in kernel.nodes for arg in node.args)
    path: dict[int, int] = {}  # of a node and of what it alone uses
    shared = 0
    for node in kernel.nodes:
        path[id(node)] = prices[node.op] + _operands(node, path)
        if uses[id(node)] > 1:
            shared, path[id(node)] = shared + path[id(node)], 0
    return LOOP + shared + path[id(kernel.expression)]


def _operands(node: Node, path: dict[int, int]) -> int:
    costs = [path[id(arg)] for arg in node.args]
    if node.op is Op.SELECT:
        left, right, then, other = costs
        return left + right + max(then, other)
    return sum(costs)
