"""Random integer expressions over all operations, and their meaning in plain Python integers."""

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from embact.errors import EmbactError
from embact.grid import all_codes
from embact.ir import Node, Op, Table, apply, const, saturate, topological, x

CORNERS = [0, 1, -1, 2, 127, -128, 255, 32767, -32768, 65536, -(1 << 31), (1 << 31) - 1]
constants = st.sampled_from(CORNERS) | st.integers(-(1 << 31), (1 << 31) - 1)
entries = {
    bits: st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) | st.sampled_from([0, 1])
    for bits in (8, 16, 32)
}
OPERATIONS = [op for op in Op if op is not Op.INPUT]


class _Pool:
    """Nodes with their values on all codes, so that the next operation can be kept in range."""

    def __init__(self, bits):
        self.codes = all_codes(bits)
        self.values = {}
        self.nodes = []
        self.keep(x())

    def keep(self, node):
        """Add a node and what it builds on; raise EmbactError if it overflows."""
        for one in topological(node):
            if id(one) not in self.values:
                operands = [self.values[id(arg)] for arg in one.args]
                self.values[id(one)] = apply(one, operands, self.codes)
        self.nodes.append(node)
        return node

    def within(self, node, bits):
        """Return the node, saturated if it has values beyond that width."""
        values, limit = self.values[id(node)], 1 << (bits - 1)
        if np.min(values) >= -limit and np.max(values) < limit:
            return node
        return self.keep(saturate(node, bits))


@st.composite
def dags(draw, bits=8, out_bits=8, most=14):
    """Draw an expression that is a kernel of these widths; nothing else about it is sensible."""
    pool = _Pool(bits)
    for number in range(draw(st.integers(1, most))):
        op = draw(st.sampled_from(OPERATIONS))
        pick = st.sampled_from(pool.nodes)
        name = draw(st.sampled_from(["", "", f"n{number}", "line", "y", "t3"]))
        value, table = 0, None
        if op is Op.CONST:
            args, value = (), draw(constants)
        elif op is Op.LOOKUP:
            width, size = draw(st.sampled_from([8, 16, 32])), draw(st.sampled_from([1, 2, 16, 256]))
            values = draw(st.lists(entries[width], min_size=1, max_size=min(size, 12)))
            table = Table(f"table{number}", tuple((values * size)[:size]))
            index = Node(Op.AND, (draw(pick), pool.keep(const(size - 1))))
            args = (pool.keep(index),)
        elif op in (Op.SHL, Op.SHR, Op.SAT):
            args = (draw(pick),)
            value = draw(st.integers(*{Op.SHL: (0, 30), Op.SHR: (0, 31), Op.SAT: (2, 32)}[op]))
            if op is Op.SHL:
                args = (pool.within(args[0], 32 - value),)
        elif op is Op.SELECT:
            args = tuple(draw(pick) for _ in range(4))
        else:
            width = {Op.ADD: 31, Op.SUB: 31, Op.MUL: 16}.get(op, 32)
            args = tuple(pool.within(draw(pick), width) for _ in range(2))
        pool.keep(Node(op, args, value, table, name))
    return pool.within(pool.nodes[-1], out_bits)


def examples(strategy, count):
    """Return that many draws of a strategy, the same on every run."""
    found = []

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(one):
        found.append(one)

    collect()
    return found


def meaning(root, code):
    """Return an expression's value on one code, from the definitions, in unbounded integers."""
    values = {}
    for node in topological(root):
        value = _meaning(node, [values[id(arg)] for arg in node.args], code)
        if not -(2**31) <= value < 2**31:
            raise EmbactError("overflow", got=value)
        values[id(node)] = value
    return values[id(root)]


def _meaning(node, operands, code):
    match node.op, operands:
        case Op.INPUT, []:
            return code
        case Op.CONST, []:
            return node.value
        case Op.LOOKUP, [index]:
            return node.table.values[index]
        case Op.SELECT, [a, b, then, other]:
            return then if a < b else other
        case Op.ADD, [a, b]:
            return a + b
        case Op.SUB, [a, b]:
            return a - b
        case Op.MUL, [a, b]:
            return a * b
        case Op.MULH, [a, b]:
            return a * b // 2**32
        case Op.SHL, [a]:
            return a * 2**node.value
        case Op.SHR, [a]:
            return a // 2**node.value
        case Op.AND, [a, b]:
            return a & b
        case Op.MIN, [a, b]:
            return min(a, b)
        case Op.MAX, [a, b]:
            return max(a, b)
        case Op.SAT, [a]:
            return min(max(a, -(2 ** (node.value - 1))), 2 ** (node.value - 1) - 1)
