"""The integer expression: a graph of exact integer operations on one input code.

What an operation means is one dictionary, MEANING, over numpy int64 arrays. Other modules hold
dictionaries over the same operations: the C spelling of each, the cost of each. There is no control
flow and no overflow: an expression whose values leave int32 is not a kernel (see kernel.py).

This module must not know what is approximated, on which grids, or in which language it is emitted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.errors import EmbactError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from embact.grid import Codes

INT32_MIN = -(1 << 31)
INT32_MAX = (1 << 31) - 1


class Op(str, Enum):
    """The closed set of operations; ``value`` is the integer that a node carries besides args."""

    INPUT = "INPUT"
    """The input code."""
    CONST = "CONST"
    """The integer ``value``."""
    LOOKUP = "LOOKUP"
    """``table[a]``, with a inside the table."""
    SELECT = "SELECT"
    """c if a < b, else d."""
    ADD = "ADD"
    SUB = "SUB"
    MUL = "MUL"
    MULH = "MULH"
    """The upper 32 bits of the 64-bit product: floor(a * b / 2**32)."""
    DIV = "DIV"
    """a / b rounded towards zero as C does, with b >= 1 on every input."""
    SHL = "SHL"
    """a * 2**value."""
    SHR = "SHR"
    """floor(a / 2**value): the arithmetic shift."""
    AND = "AND"
    """Bitwise, two's complement."""
    MIN = "MIN"
    MAX = "MAX"
    SAT = "SAT"
    """a limited to the signed integers of ``value`` bits."""


ARITY: dict[Op, int] = {
    Op.INPUT: 0,
    Op.CONST: 0,
    Op.LOOKUP: 1,
    Op.SELECT: 4,
    Op.ADD: 2,
    Op.SUB: 2,
    Op.MUL: 2,
    Op.MULH: 2,
    Op.DIV: 2,
    Op.SHL: 1,
    Op.SHR: 1,
    Op.AND: 2,
    Op.MIN: 2,
    Op.MAX: 2,
    Op.SAT: 1,
}

VALUE_RANGE: dict[Op, tuple[int, int]] = {
    Op.CONST: (INT32_MIN, INT32_MAX),
    Op.SHL: (0, 30),
    Op.SHR: (0, 31),
    Op.SAT: (2, 32),
}
"""What ``value`` may be; it is 0 for operations that are not listed."""


@dataclass(frozen=True)
class Table:
    """Constant data that LOOKUP reads, stored in the smallest signed type that holds it.

    name: a C identifier, part of the emitted table's name.
    values: at least one integer within int32.
    """

    name: str
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        check_identifier(self.name, "table")
        if not self.values:
            raise EmbactError(f"length of table {self.name}", got=0, allowed="at least 1")
        if not INT32_MIN <= min(self.values) <= max(self.values) <= INT32_MAX:
            raise EmbactError(f"entry of table {self.name}", got="a wider one", allowed="int32")

    @property
    def bits(self) -> int:
        """Width of the element type: 8, 16 or 32."""
        need = max(max(v, -v - 1).bit_length() + 1 for v in self.values)
        return 8 if need <= 8 else 16 if need <= 16 else 32

    @property
    def bytes(self) -> int:
        """Bytes of flash that the table takes."""
        return len(self.values) * self.bits // 8


@dataclass(frozen=True, eq=False)
class Node:
    """One operation on earlier nodes. Equality is identity; ``kernel.py`` merges equal nodes.

    name: a C identifier. A named node becomes a local in emitted C, an unnamed one may be inlined.
    """

    op: Op
    args: tuple[Node, ...] = ()
    value: int = 0
    table: Table | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if len(self.args) != ARITY[self.op]:
            raise EmbactError(
                f"operands of {self.op.value}", got=len(self.args), allowed=str(ARITY[self.op])
            )
        low, high = VALUE_RANGE.get(self.op, (0, 0))
        if not low <= self.value <= high:
            raise EmbactError(f"value of {self.op.value}", got=self.value, allowed=f"{low}..{high}")
        if (self.table is None) == (self.op is Op.LOOKUP):
            raise EmbactError(f"table of {self.op.value}", allowed="LOOKUP has one, nothing else")
        if self.name:
            check_identifier(self.name, "node")


IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")


def check_identifier(name: str, kind: str) -> None:
    """Raise EmbactError unless the name is safe as a lower-case C identifier."""
    if not IDENTIFIER.fullmatch(name):
        raise EmbactError(
            f"name of a {kind}",
            got=repr(name),
            allowed="a-z, 0-9 and _, a letter first, 63 at most",
        )


def _lookup(node: Node, index: Any) -> Any:
    assert node.table is not None  # noqa: S101 - Node guarantees it
    size = len(node.table.values)
    if np.min(index) < 0 or np.max(index) >= size:
        raise EmbactError(
            f"index into table {node.table.name}",
            got=f"{np.min(index)}..{np.max(index)}",
            allowed=f"0..{size - 1}",
        )
    return np.array(node.table.values, dtype=np.int64)[index]


def _div(_: Node, a: Any, b: Any) -> Any:
    if np.min(b) < 1:
        raise EmbactError("divisor of DIV", got=f"{np.min(b)}..{np.max(b)}", allowed="at least 1")
    return np.where(a < 0, -(-a // b), a // b)


def _sat(node: Node, a: Any) -> Any:
    return np.clip(a, -(1 << (node.value - 1)), (1 << (node.value - 1)) - 1)


MEANING: dict[Op, Callable[..., Any]] = {
    Op.CONST: lambda node: np.int64(node.value),
    Op.LOOKUP: _lookup,
    Op.SELECT: lambda _, a, b, c, d: np.where(a < b, c, d),
    Op.ADD: lambda _, a, b: a + b,
    Op.SUB: lambda _, a, b: a - b,
    Op.MUL: lambda _, a, b: a * b,
    Op.MULH: lambda _, a, b: (a * b) >> 32,
    Op.DIV: _div,
    Op.SHL: lambda node, a: a << node.value,
    Op.SHR: lambda node, a: a >> node.value,
    Op.AND: lambda _, a, b: a & b,
    Op.MIN: lambda _, a, b: np.minimum(a, b),
    Op.MAX: lambda _, a, b: np.maximum(a, b),
    Op.SAT: _sat,
}
"""Exact meaning on int64 arrays whose elements fit int32: no product of two leaves int64."""


def topological(root: Node) -> Iterator[Node]:
    """Yield every node once, operands before the nodes that use them, in a fixed order."""
    seen: set[int] = set()
    stack = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((arg, False) for arg in reversed(node.args) if id(arg) not in seen)


def apply(node: Node, operands: list[Any], codes: Codes) -> Any:
    """Return the node's value on all codes from its operands' values; raise if it leaves int32."""
    if node.op is Op.INPUT:
        return codes
    result = MEANING[node.op](node, *operands)
    low, high = int(np.min(result)), int(np.max(result))
    if low < INT32_MIN or high > INT32_MAX:
        raise EmbactError(
            f"{node.op.value}{f' ({node.name})' if node.name else ''} overflows",
            got=f"{low}..{high}",
            allowed="int32",
        )
    return result


def evaluate(root: Node, codes: Codes) -> Codes:
    """Return the expression's value on every code: int64, the shape of ``codes``."""
    values: dict[int, Any] = {}
    for node in topological(root):
        values[id(node)] = apply(node, [values[id(arg)] for arg in node.args], codes)
    return np.broadcast_to(values[id(root)], codes.shape)


def named(node: Node, name: str) -> Node:
    """Return the same operation under a name, so that emitted C shows it as a local."""
    return Node(node.op, node.args, node.value, node.table, name)


def x() -> Node:
    """Return the input code."""
    return Node(Op.INPUT, name="x")


def const(value: int) -> Node:
    """Return a constant within int32."""
    return Node(Op.CONST, value=int(value))


def lookup(table: Table, index: Node) -> Node:
    """Return ``table[index]``."""
    return Node(Op.LOOKUP, (index,), table=table)


def select_less(a: Node, b: Node, then: Node, other: Node) -> Node:
    """Return ``then`` where a < b and ``other`` elsewhere."""
    return Node(Op.SELECT, (a, b, then, other))


def add(a: Node, b: Node) -> Node:
    """Return a + b."""
    return Node(Op.ADD, (a, b))


def sub(a: Node, b: Node) -> Node:
    """Return a - b."""
    return Node(Op.SUB, (a, b))


def mul(a: Node, b: Node) -> Node:
    """Return a * b."""
    return Node(Op.MUL, (a, b))


def mulh(a: Node, b: Node) -> Node:
    """Return floor(a * b / 2**32)."""
    return Node(Op.MULH, (a, b))


def div(a: Node, b: Node) -> Node:
    """Return a / b rounded towards zero; b must be at least 1 on every input."""
    return Node(Op.DIV, (a, b))


def shl(a: Node, bits: int) -> Node:
    """Return a * 2**bits."""
    return Node(Op.SHL, (a,), bits)


def shr(a: Node, bits: int) -> Node:
    """Return floor(a / 2**bits)."""
    return Node(Op.SHR, (a,), bits)


def clamp(a: Node, low: int, high: int) -> Node:
    """Return a limited to [low, high]."""
    return Node(Op.MIN, (Node(Op.MAX, (a, const(low))), const(high)))


def saturate(a: Node, bits: int) -> Node:
    """Return a limited to the signed integers of that width."""
    return Node(Op.SAT, (a,), bits)


def search_tree(index_input: Node, starts: list[int]) -> Node:
    """Return the number of ``starts`` (ascending) that are <= the input, by bisection."""

    def between(low: int, high: int) -> Node:
        if low == high:
            return const(low)
        middle = (low + high + 1) // 2
        left, right = between(low, middle - 1), between(middle, high)
        return select_less(index_input, const(starts[middle - 1]), left, right)

    return between(0, len(starts))
