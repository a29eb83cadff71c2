"""Random integer expressions over all operations, and their meaning in plain Python integers."""

import random

import numpy as np
from hypothesis import strategies as st

from embact.grid import all_codes
from embact.ir import Node, Op, Table, apply, const, saturate, shl, shr, topological, x

CORNERS = [0, 1, -1, 2, 127, -128, 255, 32767, -32768, 65536, -(1 << 31), (1 << 31) - 1]
VARYING = [op for op in Op if op not in (Op.INPUT, Op.CONST)]


class _Pool:
    """Nodes with their values on all codes, so that the next operation can be kept in range."""

    def __init__(self, rng, bits):
        self.rng = rng
        self.codes = all_codes(bits)
        self.values = {}  # by id, so every node below stays alive
        self.all_nodes, self.nodes = [], []
        self.keep(x())

    def keep(self, node):
        """Add a node and what it builds on, if it varies; raise EmbactError if it overflows."""
        for one in topological(node):
            if id(one) not in self.values:
                operands = [self.values[id(arg)] for arg in one.args]
                self.values[id(one)] = apply(one, operands, self.codes)
        self.all_nodes.append(node)
        if np.ptp(self.values[id(node)]):
            self.nodes.append(node)
        return node

    def within(self, node, bits):
        """Return the node, brought down to that width if it has values beyond it."""
        values = self.values[id(node)]
        need = max(int(np.max(values)), -int(np.min(values)) - 1).bit_length() + 1
        if need <= bits:
            return node
        return self.keep(self.rng.choice([shr(node, need - bits), saturate(node, bits)]))

    def varying(self, bits=32):
        """Choose one of the latest nodes or the input."""
        return self.within(self.rng.choice(self.nodes[:1] + self.nodes[-3:]), bits)

    def constant(self, bits):
        """Choose an integer of that width: a small one, a corner, any."""
        limit = 1 << (bits - 1)
        corner = self.rng.choice([c for c in CORNERS if -limit <= c < limit])
        return self.rng.choice(
            [self.rng.randint(-9, 9), corner, self.rng.randint(-limit, limit - 1)]
        )

    def operand(self, bits=32):
        """Choose a node or a constant."""
        if self.rng.random() < 0.5:
            return self.varying(bits)
        return self.keep(const(self.constant(bits)))

    def index(self, size):
        """Choose a node with values in 0..size - 1, where size is a power of two."""
        return self.keep(Node(Op.AND, (self.varying(), self.keep(const(size - 1)))))


def dag(seed, bits=8, out_bits=8, size=10):
    """Return an expression that is a kernel of these widths; nothing else about it is sensible."""
    rng = random.Random(seed)  # noqa: S311 - nothing is secret here
    pool = _Pool(rng, bits)
    for number in range(size):
        op = rng.choice(VARYING)
        name = rng.choice(["", "", f"n{number}", "line", "y", "t3", "int"])
        value, table = 0, None
        if op is Op.LOOKUP:
            width, entries = rng.choice([8, 16, 32]), rng.choice([2, 16, 256])
            values = tuple(pool.constant(width) for _ in range(entries))
            table, args = Table(f"table{number}", values), (pool.index(entries),)
        elif op in (Op.SHL, Op.SHR, Op.SAT):
            value = rng.randint(*{Op.SHL: (1, 20), Op.SHR: (1, 20), Op.SAT: (3, 31)}[op])
            args = (pool.varying(32 - value if op is Op.SHL else 32),)
        elif op is Op.SELECT:
            args = (pool.varying(), *(pool.operand() for _ in range(3)))
        elif op is Op.DIV:
            divisor = pool.keep(
                Node(Op.MAX, (pool.varying(), pool.keep(const(rng.randint(1, 99)))))
            )
            args = (pool.varying(), rng.choice([divisor, const(rng.randint(1, 99))]))
        else:
            width = {Op.ADD: 31, Op.SUB: 31, Op.MUL: 16}.get(op, 32)
            args = (pool.varying(width), pool.operand(width))
            if op is Op.MULH:
                wide = pool.keep(shl(pool.within(args[0], 16), 16))  # as kernels use it
                args = (rng.choice([args[0], wide]), args[1])
            if rng.random() < 0.5:
                args = args[::-1]
        pool.keep(Node(op, args, value, table, name))
    return pool.within(pool.nodes[-1], out_bits)


def dags(bits=8, out_bits=8):
    """Return a strategy of expressions."""
    seeds, sizes = st.integers(0, 2**32 - 1), st.integers(1, 16)
    return st.builds(lambda seed, size: dag(seed, bits, out_bits, size), seeds, sizes)


PLAIN = {
    Op.CONST: lambda node: node.value,
    Op.LOOKUP: lambda node, index: node.table.values[index],
    Op.SELECT: lambda _, a, b, then, other: then if a < b else other,
    Op.ADD: lambda _, a, b: a + b,
    Op.SUB: lambda _, a, b: a - b,
    Op.MUL: lambda _, a, b: a * b,
    Op.MULH: lambda _, a, b: a * b // 2**32,
    Op.DIV: lambda _, a, b: a // b if a >= 0 else -(-a // b),
    Op.SHL: lambda node, a: a * 2**node.value,
    Op.SHR: lambda node, a: a // 2**node.value,
    Op.AND: lambda _, a, b: a & b,
    Op.MIN: lambda _, a, b: min(a, b),
    Op.MAX: lambda _, a, b: max(a, b),
    Op.SAT: lambda node, a: min(max(a, -(2 ** (node.value - 1))), 2 ** (node.value - 1) - 1),
}
"""What each operation is, on Python's unbounded integers."""


def meaning(root, code):
    """Return an expression's value on one code, and hold every node to int32."""
    values = {}
    for node in topological(root):
        operands = [values[id(arg)] for arg in node.args]
        value = code if node.op is Op.INPUT else PLAIN[node.op](node, *operands)
        assert -(2**31) <= value < 2**31
        values[id(node)] = value
    return values[id(root)]
