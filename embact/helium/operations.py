"""From operations to vector instructions: which instruction computes what.

Each function takes a selection, which computes operands, and returns the last instruction. This
module must not know registers or choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.helium.lanes import NotSpelt
from embact.ir import Node, Op

if TYPE_CHECKING:
    from collections.abc import Callable

    from embact.helium.lanes import Mask
    from embact.helium.select import Selection

SCALAR = "%[{}]"
"""A scalar operand in an instruction's text: a C expression, in place of its operand's name."""

LETTER = {8: "b", 16: "h", 32: "w"}
"""What loads and stores call memory elements of these widths."""


@dataclass(frozen=True)
class Pending:
    """An instruction whose operands are computed and which is not: it may yet be predicated."""

    text: str
    args: tuple[int, ...] = ()
    tied: int = -1
    apart: bool = False


def added(at: Selection, node: Node) -> Pending:
    """Return a + b; with a product of one reader, a multiplication that accumulates."""
    a, b = node.args
    i = f"i{at.bits}"
    if a.op is Op.CONST:
        a, b = b, a
    for product, other in ((a, b), (b, a)):
        if product.op is Op.MUL and at.alone(product) and product is not other:
            c, d = product.args
            if c.op is Op.CONST:
                c, d = d, c
            if d.op is Op.CONST:
                text = f"vmla.s{at.bits} {{d}}, {{1}}, {at.scalar(d.value)}"
                factor = at.of(c)
                return Pending(text, (at.of(other), factor), tied=0)
            if other.op is Op.CONST:
                text = f"vmlas.s{at.bits} {{d}}, {{1}}, {at.scalar(other.value)}"
                first, second = at.of(c), at.of(d)
                return Pending(text, (first, second), tied=0)
    if b.op is Op.CONST:
        return Pending(f"vadd.{i} {{d}}, {{0}}, {at.scalar(b.value)}", (at.of(a),))
    return Pending(f"vadd.{i} {{d}}, {{0}}, {{1}}", (at.of(a), at.of(b)))


def difference(at: Selection, node: Node) -> Pending:
    """Return a - b."""
    a, b = node.args
    i = f"i{at.bits}"
    if b.op is Op.CONST:
        return Pending(f"vadd.{i} {{d}}, {{0}}, {at.scalar(-b.value)}", (at.of(a),))
    if a.op is Op.CONST and a.value == 0:
        return Pending(f"vneg.s{at.bits} {{d}}, {{0}}", (at.of(b),))
    if a.op is Op.CONST and (a.value + 1) % (1 << at.bits) == 0:
        return Pending("vmvn {d}, {0}", (at.of(b),))
    return Pending(f"vsub.{i} {{d}}, {{0}}, {{1}}", (at.of(a), at.of(b)))


def product(at: Selection, node: Node) -> Pending:
    """Return a * b."""
    a, b = node.args
    i = f"i{at.bits}"
    if a.op is Op.CONST:
        a, b = b, a
    if b.op is Op.CONST:
        return Pending(f"vmul.{i} {{d}}, {{0}}, {at.scalar(b.value)}", (at.of(a),))
    return Pending(f"vmul.{i} {{d}}, {{0}}, {{1}}", (at.of(a), at.of(b)))


def high(at: Selection, node: Node) -> Pending:
    """Return the upper half of a product of lanes of 32 bits."""
    a, b = node.args
    if at.bits != 32:
        raise NotSpelt("MULH needs lanes of 32 bits")
    return Pending("vmulh.s32 {d}, {0}, {1}", (at.of(a), at.of(b)))


def left(at: Selection, node: Node) -> Pending:
    """Return a * 2**value."""
    (a,) = node.args
    if node.value >= at.bits:
        raise NotSpelt("a shift beyond the lane")
    return Pending(f"vshl.i{at.bits} {{d}}, {{0}}, #{node.value}", (at.of(a),))


def right(at: Selection, node: Node) -> Pending:
    """Return a >> value, by a halving or rounding instruction where that is less."""
    (a,) = node.args
    k = node.value
    if a.op is Op.MUL and k == at.bits - 1 and at.alone(a) and at.signed(*a.args):
        b, c = a.args
        if c.op is Op.CONST and -(1 << k) < c.value:  # the product of the two least would saturate
            text = f"vqdmulh.s{at.bits} {{d}}, {{0}}, {at.scalar(c.value)}"
            return Pending(text, (at.of(b),))
    doubled = high_half(at, a, k)
    if doubled is not None:
        return doubled
    halved = halving(at, a, k)
    if halved is not None:
        return halved
    kind = at.kind(a)
    if k >= at.bits and kind[0] == "u":
        raise NotSpelt("a shift beyond the lane")
    return Pending(f"vshr.{kind} {{d}}, {{0}}, #{min(k, at.bits)}", (at.of(a),))


def high_half(at: Selection, a: Node, k: int) -> Pending | None:
    """Return the instruction for the upper half of twice a product of numbers, rounded or not."""
    name, rounding = "vqdmulh", a.op is Op.ADD and a.args[1].op is Op.CONST
    if rounding and a.args[1].value == 1 << (at.bits - 2) and at.alone(a):
        name, a = "vqrdmulh", a.args[0]
    if a.op is not Op.MUL or k != at.bits - 1 or not at.alone(a) or not at.signed(*a.args):
        return None
    least = -(1 << k)
    if all(at.values.bounds(one, at.masks[id(one)])[0] == least for one in a.args):
        return None  # the product of the two least would saturate
    return Pending(f"{name}.s{at.bits} {{d}}, {{0}}, {{1}}", tuple(map(at.of, a.args)))


def halving(at: Selection, a: Node, k: int) -> Pending | None:
    """Return the instruction for a rounded shift, or for half a sum, if it is one."""
    if not at.alone(a) or a.op not in (Op.ADD, Op.SUB):
        return None
    b, c = a.args
    if b.op is Op.CONST and a.op is Op.ADD:
        b, c = c, b
    if c.op is Op.CONST and a.op is Op.ADD and c.value == 1 << (k - 1) and k <= at.bits:
        for reading in ("s", "u"):
            if (at.signed if reading == "s" else at.unsigned)(b):
                return Pending(f"vrshr.{reading}{at.bits} {{d}}, {{0}}, #{k}", (at.of(b),))
    if k != 1:
        return None
    name = "vhadd" if a.op is Op.ADD else "vhsub"
    for reading, fits in (("s", at.values.signed), ("u", at.values.unsigned)):
        mask = at.masks[id(a)]
        if fits(at.bits, mask, b, c) and (reading == "s" or a.op is Op.ADD):
            head = f"{name}.{reading}{at.bits} {{d}}, {{0}}, "
            if c.op is Op.CONST:
                return Pending(head + at.scalar(c.value), (at.of(b),))
            return Pending(head + "{1}", (at.of(b), at.of(c)))
    return None


def bitwise(at: Selection, node: Node) -> Pending:
    """Return a & b."""
    a, b = node.args
    return Pending("vand {d}, {0}, {1}", (at.of(a), at.of(b)))


def limit(at: Selection, node: Node) -> Pending:
    """Return the lesser or greater of a and b, or the magnitude of a."""
    a, b = node.args
    op, mask = node.op, at.masks[id(node)]
    for one, other in ((a, b), (b, a)):
        if op is Op.MAX and other.op is Op.SUB and other.args[1] is one:
            zero = other.args[0]
            if zero.op is Op.CONST and zero.value == 0 and at.signed(one):
                return Pending(f"vabs.s{at.bits} {{d}}, {{0}}", (at.of(one),))
    name = "vmin" if op is Op.MIN else "vmax"
    if at.values.signed(at.bits, mask, a, b):
        kind = "s"
    elif at.values.unsigned(at.bits, mask, a, b):
        kind = "u"
    else:
        raise NotSpelt("a minimum is too wide")
    return Pending(f"{name}.{kind}{at.bits} {{d}}, {{0}}, {{1}}", (at.of(a), at.of(b)))


def saturation(at: Selection, node: Node, *, last: bool = False) -> Pending:
    """Return the instruction that limits to node.value bits; last: the rest is not stored."""
    (a,) = node.args
    mask, bits = at.masks[id(node)], at.bits
    if bits == node.value and saturating(at, a, mask):
        name = {Op.ADD: "vqadd", Op.SUB: "vqsub", Op.SHL: "vqshl"}[a.op]
        head = f"{name}.s{bits} {{d}}, {{0}}, "
        if a.op is Op.SHL:
            return Pending(f"{head}#{a.value}", (at.of(a.args[0]),))
        b, c = a.args if a.args[0].op is not Op.CONST else (a.args[1], a.args[0])
        if c.op is Op.CONST and (a.op is Op.ADD or c is a.args[1]):
            return Pending(head + at.scalar(c.value), (at.of(b),))
        return Pending(head + "{1}", tuple(map(at.of, a.args)))
    low, high = at.values.bounds(a, mask)
    least, most = -(1 << (node.value - 1)), (1 << (node.value - 1)) - 1
    if last and 2 * node.value == bits and low < least and high > most:
        return Pending(f"vqmovnb.{kind_signed(at, a, mask)} {{d}}, {{0}}", (at.of(a),))
    limits = [(Op.MIN, most)] * (high > most) + [(Op.MAX, least)] * (low < least)
    kind = "s" if at.values.signed(bits, mask, a) else "u"
    if kind == "u" and (low < least or not at.values.unsigned(bits, mask, a)):
        raise NotSpelt("a saturation is too wide")
    value = at.of(a)
    made = Pending("", ())
    for position, (op, limit) in enumerate(limits):
        text = f"v{op.value.lower()}.{kind}{bits} {{d}}, {{0}}, {{1}}"
        made = Pending(text, (value, at.constant(limit)))
        if position < len(limits) - 1:
            value = at.emit(made)
    return made


def kind_signed(at: Selection, a: Node, mask: Mask) -> str:
    """Return the type of signed lanes; raise NotSpelt if a does not fit them."""
    if not at.values.signed(at.bits, mask, a):
        raise NotSpelt("a saturation is too wide")
    return f"s{at.bits}"


def saturating(at: Selection, a: Node, mask: Mask) -> bool:
    """Return whether a is a sum or a left shift of one reader whose operands fit."""
    if a.op not in (Op.ADD, Op.SUB, Op.SHL) or not at.alone(a):
        return False
    return at.values.signed(at.bits, mask, *a.args)


def lookup(at: Selection, node: Node) -> Pending:
    """Return a gather: the index is read as unsigned, and is inside the table on every input."""
    (index,) = node.args
    assert node.table is not None  # noqa: S101 - Node guarantees it
    size = node.table.bits
    if size > at.bits or not at.values.unsigned(at.bits, at.masks[id(index)], index):
        raise NotSpelt("a table is too wide")
    base = SCALAR.format(at.tables[node.table.name])
    kind = "u" if size == at.bits else "s"
    scaled = "" if size == 8 else f", uxtw #{size // 16}"
    text = f"vldr{LETTER[size]}.{kind}{at.bits} {{d}}, [{base}, {{0}}{scaled}]"
    return Pending(text, (at.of(index),), apart=True)


PENDING: dict[Op, Callable[[Selection, Node], Pending]] = {
    Op.LOOKUP: lookup,
    Op.ADD: added,
    Op.SUB: difference,
    Op.MUL: product,
    Op.MULH: high,
    Op.SHL: left,
    Op.SHR: right,
    Op.AND: bitwise,
    Op.MIN: limit,
    Op.MAX: limit,
    Op.SAT: saturation,
}
"""The last instruction by operation. SELECT is the selection's own, DIV has none."""
