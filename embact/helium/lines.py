"""Lines under right shifts: sums of shifted numbers, and halving sums that need no wider lanes.

This module must not know instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embact.ir import Node, Op, add, const, shl, shr, topological

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.helium.lanes import Mask, Values


class Sums:
    """Sums by shifts and additions, of which equal parts are one node."""

    def __init__(self) -> None:
        self._shared: dict[tuple[Op, int, int], Node] = {}

    def total(self, terms: Sequence[tuple[Node, int]], constant: int) -> Node:
        """Return the sum of coefficient * node + constant, added parts before subtracted ones."""
        parts = [
            (sign, self._scaled(node, power))
            for node, coefficient in terms
            for sign, power in signed_powers(coefficient)
        ]
        parts.sort(key=lambda part: -part[0])
        made = None
        for sign, part in parts:
            if made is None:
                made = part if sign > 0 else Node(Op.SUB, (const(constant), part))
                constant = constant if sign > 0 else 0
            else:
                made = self._once(Op.ADD if sign > 0 else Op.SUB, made, part)
        if made is None:
            return const(constant)
        return add(made, const(constant)) if constant else made

    def _scaled(self, node: Node, power: int) -> Node:
        if power == 0:
            return node
        return self._shared.setdefault((Op.SHL, id(node), power), shl(node, power))

    def _once(self, op: Op, a: Node, b: Node) -> Node:
        return self._shared.setdefault((op, id(a), id(b)), Node(op, (a, b)))


def halves(  # noqa: PLR0913, PLR0917 - the terms of one formula, and where it must hold
    values: Values, bits: int, node: Node, c: int, constant: int, k: int, mask: Mask
) -> list[tuple[Node, int]]:
    """Return halving sums, and what is to be added, for (c * node + constant) >> k.

    (2 e + n + d) >> k = (e + ((n + d) >> 1)) >> (k - 1), one bit of c after the other; half a
    sum is one instruction, whatever its sum would need.
    """
    ends = []
    if values.signed(bits, mask, node):
        ends.append((-(1 << (bits - 1)), (1 << (bits - 1)) - 1))
    if values.unsigned(bits, mask, node):
        ends.append((0, (1 << bits) - 1))
    if c < 1 or k > 4:
        return []
    found = []
    for least, most in ends:
        free = [i for i in range(k) if not (c >> i) & 1 or i == 0]  # steps that add a constant
        made, left = node, constant
        for i in range(k):
            # the constants of steps that follow weigh at most this
            later = [j for j in free if j > i]
            span = (sum(least << j for j in later), sum(most << j for j in later))
            if i and (c >> i) & 1:
                made = half_of(made, node)
            else:
                d = _near(left, span, least, most, 1 << i)
                made = half_of(made, const(d)) if d else shr(made, 1)
                left -= d << i
        if left % (1 << k) == 0:
            found.append((made, left >> k))
    return found


def _near(left: int, span: tuple[int, int], least: int, most: int, weight: int) -> int:
    """Return the constant of one step: what is left must be a multiple of the next weight."""
    want = (left // weight) % 2
    low = max(least, -(-(left - span[1]) // weight))
    high = min(most, (left - span[0]) // weight)
    for d in (0, 1, low, low + 1, high - 1, high):
        if d % 2 == want and low <= d <= high:
            return d
    return want if want <= most else least


def half_of(a: Node, b: Node) -> Node:
    """Return (a + b) >> 1."""
    return shr(add(a, b), 1)


def size(node: Node) -> int:
    """Return about how many instructions an expression takes."""
    order = list(topological(node))
    halves = sum(one.op is Op.SHR and one.args[0].op is Op.ADD and one.value == 1 for one in order)
    return sum(one.op not in (Op.CONST, Op.INPUT) for one in order) - halves


def terms_of(node: Node) -> tuple[dict[int, tuple[Node, int]], int]:
    """Return a sum as coefficient * node, by the node's id, and a constant."""
    terms: dict[int, tuple[Node, int]] = {}
    constant = 0
    stack: list[tuple[Node, int]] = [(node, 1)]
    while stack:
        one, scale = stack.pop()
        match one.op:
            case Op.CONST:
                constant += scale * one.value
            case Op.ADD:
                stack += [(arg, scale) for arg in one.args]
            case Op.SUB:
                stack += [(one.args[0], scale), (one.args[1], -scale)]
            case Op.SHL:
                stack.append((one.args[0], scale << one.value))
            case _:
                terms[id(one)] = (one, terms.get(id(one), (one, 0))[1] + scale)
    return {i: term for i, term in terms.items() if term[1]}, constant


def signed_powers(number: int) -> Sequence[tuple[int, int]]:
    """Return the fewest (sign, power) whose sum of sign * 2**power is a number.

    >>> signed_powers(30)
    [(-1, 1), (1, 5)]
    """
    found, power = [], 0
    while number:
        if number % 2:
            sign = 2 - number % 4
            found.append((sign, power))
            number -= sign
        number //= 2
        power += 1
    return found


def is_magnitude(node: Node) -> bool:
    """Return whether a MAX is the magnitude of a number: max(a, 0 - a)."""
    if node.op is not Op.MAX:
        return False
    return any(
        b.op is Op.SUB and b.args[0].op is Op.CONST and b.args[0].value == 0 and b.args[1] is a
        for a, b in (node.args, node.args[::-1])
    )
