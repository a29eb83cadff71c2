"""Search trees as chains of choices, each of which is one predicated instruction.

This module must not know instructions.
"""

from __future__ import annotations

from collections import Counter

from embact.ir import Node, Op, add, const, select_less, topological


def laddered(root: Node) -> Node:
    """Return an equal expression whose search trees are chains: the last true step wins."""
    order = list(topological(root))
    uses = Counter(id(arg) for node in order for arg in node.args)
    made: dict[int, Node] = {}
    for node in order:
        args = tuple(made[id(arg)] for arg in node.args)
        same = all(new is old for new, old in zip(args, node.args, strict=True))
        made[id(node)] = node if same else Node(node.op, args, node.value, node.table)
        steps = _steps(node, uses)
        if len(steps) > 2:
            compared = made[id(_compared(node)[0])]
            chain = made[id(steps[0][1])]
            for start, leaf in steps[1:]:
                chain = select_less(compared, const(start), chain, made[id(leaf)])
            made[id(node)] = chain
    return made[id(root)]


def _compared(node: Node) -> tuple[Node, int, Node, Node]:
    """Return v, c, below, above of a choice ``below if v < c else above`` that has a constant."""
    a, b, then, other = node.args
    if b.op is Op.CONST:
        return a, b.value, then, other
    if a.op is Op.CONST:
        return b, a.value + 1, other, then
    return b, 0, then, other


def _steps(node: Node, uses: Counter[int]) -> list[tuple[int, Node]]:
    """Return from which value on each leaf of a search tree holds, ascending; [] if it is none."""
    if node.op is not Op.SELECT or not {Op.CONST} & {arg.op for arg in node.args[:2]}:
        return []
    compared = _compared(node)[0]

    def of(one: Node, low: int, high: int, *, first: bool = False) -> list[tuple[int, Node]]:
        ours = one.op is Op.SELECT and (first or uses[id(one)] == 1)
        if not ours or not {Op.CONST} & {arg.op for arg in one.args[:2]}:
            return [(low, one)]
        number, c, below, above = _compared(one)
        if number is not compared:
            return [(low, one)]
        left = of(below, low, min(high, c)) if low < c else []
        return left + (of(above, max(low, c), high) if c < high else [])

    return of(node, -(1 << 40), 1 << 40, first=True)


def with_constant(node: Node, constant: int) -> Node:
    """Return a choice with a constant added to each of its leaves."""
    if node.op is not Op.SELECT:
        return add(node, const(constant))
    a, b, then, other = node.args
    return select_less(a, b, with_constant(then, constant), with_constant(other, constant))
