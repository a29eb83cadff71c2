"""Rewriting of an expression so that its values fit narrow lanes; each result is proved equal.

    (a x + b) >> k  =  (a / 2**k) x + (b >> k)  where 2**k divides a

and the like, under the arms of choices: a right shift or a limit whose operand is too wide moves
into the arms, and there meets lines. Nothing here has to be right for what is emitted to be:
``narrowed`` evaluates what it made on every input. This module must not know instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embact.helium.chains import laddered, with_constant
from embact.helium.lanes import NotSpelt, Values, arm_masks, relevance
from embact.helium.lines import Sums, halves, is_magnitude, size, terms_of
from embact.helium.products import high_product, rounded_product
from embact.ir import Node, Op, add, const, select_less, shr, sub

if TYPE_CHECKING:
    from embact.helium.lanes import Mask

EXACT = {Op.LOOKUP, Op.MULH}
"""Operations whose operands must fit and are not moved."""


def narrowed(values: Values, root: Node, bits: int) -> Node:
    """Return an expression, equal on every input, all of whose exact operands fit lanes of bits.

    Raises NotSpelt if none was found.
    """
    made = _Narrowing(values, laddered(root), bits).root()
    if not np.array_equal(values.of(made), values.of(root)):
        raise NotSpelt("a rewriting is not equal to what it rewrites")
    return made


class _Narrowing:
    def __init__(self, values: Values, root: Node, bits: int) -> None:
        self.values, self.bits = values, bits
        self.start = root
        self.masks = relevance(values, root)
        self.done: dict[int, Node] = {}
        self.sums = Sums()
        self.moved_: dict[tuple[int, int], Node] = {}

    def root(self) -> Node:
        return self.of(self.start, self.masks[id(self.start)])

    def of(self, node: Node, mask: Mask) -> Node:
        """Return a node whose value agrees modulo 2**bits where it matters."""
        if id(node) in self.masks:
            mask = self.masks[id(node)]
            if id(node) not in self.done:
                self.done[id(node)] = self.made(node, mask)
            return self.done[id(node)]
        return self.made(node, mask)

    def made(self, node: Node, mask: Mask) -> Node:  # noqa: PLR0911 - one for each case
        match node.op:
            case Op.INPUT | Op.CONST:
                return node
            case Op.SHR:
                return self.shifted(node.args[0], node.value, mask)
            case Op.MIN | Op.MAX:
                return self.limited(node, mask)
            case Op.SAT:
                return self.saturated(node.args[0], node.value, mask)
            case Op.DIV:
                raise NotSpelt("there is no division of vectors")
            case Op.SELECT:
                return self.chosen(node, mask)
        if node.op in EXACT:
            everywhere = np.ones_like(mask) if node.op is Op.LOOKUP else mask
            if not self.values.fits(self.bits, everywhere, *node.args):
                raise NotSpelt(f"an operand of {node.op.value} is too wide")
        args = tuple(self.of(arg, mask) for arg in node.args)
        if all(new is old for new, old in zip(args, node.args, strict=True)):
            return node
        return Node(node.op, args, node.value, node.table)

    def chosen(self, node: Node, mask: Mask) -> Node:
        a, b, then, other = node.args
        if not self.values.fits(self.bits, mask, a, b):
            raise NotSpelt("a comparison is too wide")
        masks = arm_masks(self.values, node, mask)
        return select_less(
            self.of(a, mask), self.of(b, mask), self.of(then, masks[2]), self.of(other, masks[3])
        )

    def arms(self, node: Node, mask: Mask, each: object) -> Node:
        """Return a choice with something done to each of its arms."""
        a, b, then, other = node.args
        if not self.values.fits(self.bits, mask, a, b):
            raise NotSpelt("a comparison is too wide")
        _, _, first, second = arm_masks(self.values, node, mask)
        assert callable(each)  # noqa: S101 - for mypy
        return select_less(
            self.of(a, mask), self.of(b, mask), each(then, first), each(other, second)
        )

    # right shifts

    def shifted(self, arg: Node, k: int, mask: Mask) -> Node:  # noqa: PLR0911 - one for each case
        """Return arg >> k."""
        if k == 0:
            return self.of(arg, mask)
        if self.values.fits(self.bits, mask, arg):
            plain = shr(self.of(arg, mask), k)
            if arg.op not in (Op.ADD, Op.SUB):
                return plain
            try:
                return min((plain, self.line(*terms_of(arg), k, mask)), key=size)
            except NotSpelt:
                return plain
        if arg.op is Op.SELECT:
            return self.arms(arg, mask, lambda arm, where: self.shifted(arm, k, where))
        if arg.op is Op.MUL or (arg.op is Op.ADD and Op.MUL in {a.op for a in arg.args}):
            sought = (self.values, self.bits, arg, k, mask)
            product = high_product(*sought) or rounded_product(*sought)
            if product is None:
                raise NotSpelt("a product is too wide")
            return self.product(product, mask)
        if arg.op is Op.SHR:
            return self.shifted(arg.args[0], min(31, arg.value + k), mask)
        terms, constant = terms_of(arg)
        return self.line(terms, constant, k, mask)

    def product(self, node: Node, mask: Mask) -> Node:
        """Return a high product, and what is added to it, with its number's operands narrowed."""
        if node.op is Op.ADD:
            return add(self.product(node.args[0], mask), node.args[1])
        inner, half = node.args[0], 0
        if inner.op is Op.ADD:
            inner, half = inner.args[0], inner.args[1].value
        made = Node(Op.MUL, tuple(self.of(one, mask) for one in inner.args))
        return shr(add(made, const(half)) if half else made, node.value)

    def line(self, terms: dict[int, tuple[Node, int]], constant: int, k: int, mask: Mask) -> Node:
        """Return (sum of coefficient * node + constant) >> k."""
        outside = {i: (node, c >> k) for i, (node, c) in terms.items() if c % (1 << k) == 0}
        inside = {i: one for i, one in terms.items() if i not in outside}
        if not inside:
            return self.total(outside, constant >> k, mask)
        while k and all(c % 2 == 0 for _, c in inside.values()):
            inside = {i: (node, c // 2) for i, (node, c) in inside.items()}
            constant, k = constant >> 1, k - 1
        if k == 0:
            return self.total(outside | inside, constant, mask)
        low: dict[int, tuple[Node, int]] = {}
        for i, (node, c) in inside.items():  # what of each coefficient 2**k divides goes outside
            rest = c - (((c + (1 << (k - 1)) - 1) >> k) << k)
            low[i] = (node, rest)
            if c != rest:
                outside[i] = (node, (c - rest) >> k)
        found = []
        for kept in {constant, constant % (1 << k)}:
            sum_ = self.total(low, kept, mask)
            if self.values.fits(self.bits, mask, sum_):
                found.append(self.plus(shr(sum_, k), outside, mask, (constant - kept) >> k))
        if len(low) == 1:
            ((node, c),) = low.values()
            half = halves(self.values, self.bits, self.of(node, mask), c, constant, k, mask)
            found += [self.plus(one, outside, mask, rest) for one, rest in half]
        if not found:
            raise NotSpelt("a line is too wide")
        return min(found, key=size)

    def plus(
        self, node: Node, terms: dict[int, tuple[Node, int]], mask: Mask, constant: int = 0
    ) -> Node:
        if terms:
            node = add(self.total(terms, 0, mask), node)
        return add(node, const(constant)) if constant else node

    def total(self, terms: dict[int, tuple[Node, int]], constant: int, mask: Mask) -> Node:
        """Return the sum of coefficient * node + constant."""
        return self.sums.total([(self.of(node, mask), c) for node, c in terms.values()], constant)

    # limits

    def saturated(self, arg: Node, n: int, mask: Mask) -> Node:  # noqa: PLR0911 - one for each case
        """Return arg limited to n bits."""
        low, high = self.values.bounds(arg, mask)
        least, most = -(1 << (n - 1)), (1 << (n - 1)) - 1
        if least <= low and high <= most:
            return self.of(arg, mask)
        if self.values.fits(self.bits, mask, arg):
            return Node(Op.SAT, (self.of(arg, mask),), n)
        operands = arg.args if arg.op in (Op.ADD, Op.SUB, Op.SHL) else ()
        if n == self.bits and operands and self.values.signed(n, mask, *operands):
            made = Node(arg.op, tuple(self.of(one, mask) for one in operands), arg.value)
            return Node(Op.SAT, (made,), n)
        if n == self.bits and (centred := self.centred(arg, mask)) is not None:
            return centred
        if high <= most:
            return self.bounded(Op.MAX, arg, least, mask, saturate=False)
        if low >= least:
            return self.bounded(Op.MIN, arg, most, mask, saturate=False)
        if arg.op is Op.SELECT:
            return self.arms(arg, mask, lambda arm, where: self.saturated(arm, n, where))
        if arg.op is Op.SHR and arg.args[0].op is Op.SELECT:
            k, inner = arg.value, arg.args[0]
            return self.arms(inner, mask, lambda arm, at: self.saturated(shr(arm, k), n, at))
        raise NotSpelt("a saturation is too wide")

    def centred(self, arg: Node, mask: Mask) -> Node | None:
        """Return arg limited to the lanes' bits, as a saturating sum of a number moved into them.

        arg is a number or its negative and a constant: it may be as wide as the lanes, not wider.
        """
        sign, constant = 1, 0
        while arg.op in (Op.ADD, Op.SUB) and Op.CONST in {one.op for one in arg.args}:
            a, b = arg.args
            if arg.op is Op.ADD:
                a, b = (b, a) if a.op is Op.CONST else (a, b)
                arg, constant = a, constant + sign * b.value
            elif b.op is Op.CONST:
                arg, constant = a, constant - sign * b.value
            else:
                arg, constant, sign = b, constant + sign * a.value, -sign
        where = self.masks.get(id(arg), mask)
        low, high = self.values.bounds(arg, where)
        if high - low >= 1 << self.bits:
            return None
        lanes = 1 << (self.bits - 1)
        shift = min(max((low + high + 1) // 2, 1 - lanes), lanes - 1)
        key = id(arg), shift
        try:
            if key not in self.moved_:
                self.moved_[key] = self.moved(arg, -shift, where)
        except NotSpelt:
            return None
        moved = self.moved_[key]
        if not self.values.signed(self.bits, where, moved):
            return None
        rest = constant + sign * shift
        if not -(1 << (self.bits - 1)) <= rest < 1 << (self.bits - 1):
            return None
        total = add(moved, const(rest)) if sign > 0 else sub(const(rest), moved)
        return Node(Op.SAT, (total,), self.bits)

    def moved(self, arg: Node, shift: int, mask: Mask) -> Node:
        """Return arg + shift."""
        match arg.op:
            case Op.SELECT:
                return self.arms(arg, mask, lambda arm, at: self.moved(arm, shift, at))
            case Op.SHR:
                inner = add(arg.args[0], const(shift << arg.value))
                if arg.args[0].op is Op.SELECT:
                    inner = with_constant(arg.args[0], shift << arg.value)
                return self.shifted(inner, arg.value, mask)
        return add(self.of(arg, mask), const(shift))

    def limited(self, node: Node, mask: Mask) -> Node:
        a, b = node.args
        if a.op is Op.CONST:
            a, b = b, a
        if b.op is Op.CONST:
            return self.bounded(node.op, a, b.value, mask)
        if not self.values.fits(self.bits, mask, a, b) and not is_magnitude(node):
            raise NotSpelt("a minimum is too wide")
        return Node(node.op, (self.of(a, mask), self.of(b, mask)))

    def bounded(  # noqa: C901, PLR0911 - one for each case
        self, op: Op, arg: Node, limit: int, mask: Mask, *, saturate: bool = True
    ) -> Node:
        """Return min or max of arg and a constant."""
        low, high = self.values.bounds(arg, mask)
        if (low >= limit) if op is Op.MAX else (high <= limit):
            return self.of(arg, mask)
        if self.values.fits(self.bits, mask, arg, const(limit)):
            return Node(op, (self.of(arg, mask), const(limit)))
        lanes = 1 << (self.bits - 1)
        if (
            saturate
            and -lanes <= limit < lanes
            and (high < lanes if op is Op.MAX else low >= -lanes)
        ):
            try:
                return Node(op, (self.saturated(arg, self.bits, mask), const(limit)))
            except NotSpelt:
                pass
        other = Op.MIN if op is Op.MAX else Op.MAX
        a, b = (*arg.args, arg, arg)[:2]
        match arg.op:
            case Op.SELECT:
                return self.arms(
                    arg, mask, lambda arm, at: self.bounded(op, arm, limit, at, saturate=saturate)
                )
            case Op.ADD if b.op is Op.CONST:
                return add(self.bounded(op, a, limit - b.value, mask), b)
            case Op.ADD if a.op is Op.CONST:
                return add(self.bounded(op, b, limit - a.value, mask), a)
            case Op.SUB if b.op is Op.CONST:
                return sub(self.bounded(op, a, limit + b.value, mask), b)
            case Op.SUB if a.op is Op.CONST:
                return sub(a, self.bounded(other, b, a.value - limit, mask))
            case Op.MIN | Op.MAX if b.op is Op.CONST:
                return self.nested(op, arg, limit, mask)
        raise NotSpelt("a limit is too wide")

    def nested(self, op: Op, arg: Node, limit: int, mask: Mask) -> Node:
        """Return a limit of a limit: the inner one reaches as far as the outer lets it."""
        a, b = arg.args
        lanes = 1 << (self.bits - 1)
        if arg.op is op:
            return self.bounded(op, a, (max if op is Op.MAX else min)(b.value, limit), mask)
        if not -lanes <= min(b.value, limit) <= max(b.value, limit) < lanes:
            raise NotSpelt("a limit is too wide")
        limited = self.saturated(a, self.bits, mask)
        moved = Node(arg.op, (limited, b))
        return Node(op, (moved, const(limit)))
