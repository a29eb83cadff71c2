"""Kernel: the one definition of an approximation, a function from int codes to int codes.

Built means checked: the expression has been evaluated on every input, each node's exact range fits
int32, every table index is inside its table and the result fits the output type. The same
evaluation simplifies: nodes that agree on every input are one node, and a node that never changes
is a constant.

This module must not know activations, grids, families or C.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.errors import EmbactError
from embact.grid import all_codes
from embact.ir import ARITY, Node, Op, Table, apply, topological

if TYPE_CHECKING:
    from embact.grid import Codes


@dataclass(frozen=True)
class Step:
    """One node of a kernel's canonical program: operands are the numbers of earlier steps.

    table: the number of the table that a LOOKUP reads, else -1.
    """

    op: str
    args: tuple[int, ...] = ()
    value: int = 0
    table: int = -1
    name: str = ""


@dataclass(frozen=True)
class Program:
    """The canonical, serialisable form of a kernel; the last step is the result."""

    input_bits: int
    output_bits: int
    tables: tuple[Table, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, eq=False)
class Kernel:
    """An integer function of one code: input_bits and output_bits are 8 or 16.

    expression: any IR graph; it is replaced by its simplified form.
    Raises EmbactError if a value leaves int32, an index its table, or the result the output type,
    and if different tables have one name.
    """

    expression: Node
    input_bits: int
    output_bits: int

    def __post_init__(self) -> None:
        for bits in (self.input_bits, self.output_bits):
            if bits not in (8, 16):
                raise EmbactError("bit width of a kernel", got=bits, allowed="8, 16")
        simplified, ranges, outputs = _simplify(self.expression, all_codes(self.input_bits))
        low, high = ranges[id(simplified)]
        limit = 1 << (self.output_bits - 1)
        if low < -limit or high >= limit:
            raise EmbactError(
                "range of a kernel's result",
                got=f"{low}..{high}",
                allowed=f"{-limit}..{limit - 1} (int{self.output_bits})",
            )
        outputs.flags.writeable = False
        object.__setattr__(self, "expression", simplified)
        object.__setattr__(self, "_ranges", ranges)
        object.__setattr__(self, "_outputs", outputs)
        names = [table.name for table in self.tables]
        if len(set(names)) < len(names):
            raise EmbactError("two tables of a kernel have one name", got=", ".join(names))

    @property
    def outputs(self) -> Codes:
        """The result for every input code in ascending order: int64, shape (2**input_bits,)."""
        outputs: Codes = self.__dict__["_outputs"]
        return outputs

    def range_of(self, node: Node) -> tuple[int, int]:
        """Return the exact (smallest, largest) value of one of the expression's nodes."""
        low, high = self.__dict__["_ranges"][id(node)]
        return low, high

    def __call__(self, codes: Codes) -> Codes:
        """Return the kernel's results for input codes of any shape.

        Raises EmbactError for a code outside the input type.
        """
        half = 1 << (self.input_bits - 1)
        index = np.asarray(codes, dtype=np.int64) + half
        if np.any((index < 0) | (index >= 2 * half)):
            raise EmbactError("input code", got=codes, allowed=f"{-half}..{half - 1}")
        results: Codes = self.outputs[index]
        return results

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The expression's nodes, operands first, the result last."""
        return tuple(topological(self.expression))

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """The distinct tables, in order of first use."""
        return tuple(dict.fromkeys(n.table for n in self.nodes if n.table is not None))

    @property
    def table_bytes(self) -> int:
        """Bytes of constant data that the kernel reads."""
        return sum(table.bytes for table in self.tables)

    @cached_property
    def program(self) -> Program:
        """The canonical form that is stored and from which ``kernel_of`` builds the same kernel."""
        number = {id(node): i for i, node in enumerate(self.nodes)}
        steps = tuple(
            Step(
                node.op.value,
                tuple(number[id(arg)] for arg in node.args),
                node.value,
                -1 if node.table is None else self.tables.index(node.table),
                node.name,
            )
            for node in self.nodes
        )
        return Program(self.input_bits, self.output_bits, self.tables, steps)

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of the canonical form without names: equal digests are equal kernels."""
        tables = [list(table.values) for table in self.tables]
        steps = [[s.op, list(s.args), s.value, s.table] for s in self.program.steps]
        canonical = [self.input_bits, self.output_bits, tables, steps]
        text = json.dumps(canonical, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def kernel_of(program: Program) -> Kernel:
    """Return the kernel that a program defines; the inverse of ``Kernel.program``.

    Raises EmbactError if the program is not well formed (unknown operation, forward reference,
    table that does not exist) or its kernel cannot be built.
    """
    nodes: list[Node] = []
    for position, step in enumerate(program.steps):
        where = f"step {position} of the kernel's program"
        if step.op not in ARITY:
            raise EmbactError("operation", got=repr(step.op), allowed=", ".join(Op), where=where)
        if not all(0 <= arg < position for arg in step.args):
            raise EmbactError("operand", got=step.args, allowed="earlier steps", where=where)
        if not -1 <= step.table < len(program.tables):
            raise EmbactError(
                "table", got=step.table, allowed=f"-1..{len(program.tables) - 1}", where=where
            )
        table = None if step.table < 0 else program.tables[step.table]
        args = tuple(nodes[arg] for arg in step.args)
        nodes.append(Node(Op(step.op), args, step.value, table, step.name))
    if not nodes:
        raise EmbactError("a kernel's program", got="no steps", allowed="at least one")
    return Kernel(nodes[-1], program.input_bits, program.output_bits)


def _simplify(root: Node, codes: Codes) -> tuple[Node, dict[int, tuple[int, int]], Codes]:
    """Return the simplified expression, the range of each of its nodes, and its values.

    Value numbering over the whole domain: a node is replaced by the first node with the same value
    on every input. This subsumes constant folding, common subexpressions and clamps that never act.
    """
    kept: dict[bytes | int, Node] = {}
    replaced: dict[int, Node] = {}
    ranges: dict[int, tuple[int, int]] = {}
    order = tuple(topological(root))
    pending = Counter(id(arg) for node in order for arg in node.args)
    values: dict[int, Any] = {}  # only of nodes that a later one still reads
    for node in order:
        value = apply(node, [values[id(arg)] for arg in node.args], codes)
        low, high = int(np.min(value)), int(np.max(value))
        key = low if low == high else hashlib.sha256(np.int32(value).data).digest()
        args = tuple(replaced[id(arg)] for arg in node.args)
        if key not in kept:
            if low == high:
                kept[key] = Node(Op.CONST, value=low)
            elif all(new is old for new, old in zip(args, node.args, strict=True)):
                kept[key] = node
            else:
                kept[key] = Node(node.op, args, node.value, node.table, node.name)
            ranges[id(kept[key])] = (low, high)
        replaced[id(node)], values[id(node)] = kept[key], value
        for arg in node.args:
            pending[id(arg)] -= 1
            if not pending[id(arg)]:
                values.pop(id(arg), None)
    simplified = replaced[id(root)]
    live = {id(node): ranges[id(node)] for node in topological(simplified)}
    return simplified, live, np.array(np.broadcast_to(values[id(root)], codes.shape))
