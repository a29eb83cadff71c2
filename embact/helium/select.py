"""From expressions to vector instructions: each value once, choices by predication.

A choice between two values is a comparison and one predicated instruction, the last of one of its
arms. This module must not know registers.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from embact.helium.code import Instruction, immediate
from embact.helium.lanes import NotSpelt, Values, relevance
from embact.helium.operations import LETTER, PENDING, SCALAR, Pending, saturation
from embact.ir import Node, Op, topological

if TYPE_CHECKING:
    from collections.abc import Mapping

    from embact.helium.lanes import Mask


class Selection:
    """The instructions of one expression in lanes of ``bits``; ``code`` is their list."""

    def __init__(self, values: Values, root: Node, bits: int, tables: Mapping[str, str]) -> None:
        self.values, self.bits, self.tables = values, bits, tables
        self.masks = relevance(values, root)
        order = list(topological(root))
        self.uses = Counter(id(arg) for node in order for arg in node.args)
        self.uses[id(root)] += 1
        self.number: dict[int, int] = {}
        self.constants: dict[int, int] = {}
        self.code: list[Instruction] = []
        self.count = 0

    def whole(self, root: Node, input_bits: int, output_bits: int) -> list[Instruction]:
        """Return the instructions that load, compute and store one vector."""
        bits, step = self.bits, 128 // self.bits
        for node in topological(root):
            if node.op is Op.INPUT:
                kind = "u" if input_bits == bits else "s"
                move = f"%[x]], #{step * input_bits // 8}"
                text = f"vldr{LETTER[input_bits]}.{kind}{bits} {{d}}, [{move}"
                self.number[id(node)] = self.emit(Pending(text))
        if root.op is Op.SAT and id(root) not in self.number:
            result = self.emit(saturation(self, root, last=root.value == output_bits))
        else:
            result = self.of(root)
        move = f"%[y]], #{step * output_bits // 8}"
        self.emit(Pending(f"vstr{LETTER[output_bits]}.{bits} {{0}}, [{move}", (result,)))
        return self.code

    # what is where

    def fresh(self) -> int:
        """Return the number of a new value."""
        self.count += 1
        return self.count - 1

    def signed(self, *nodes: Node) -> bool:
        """Return whether nodes fit signed lanes where they matter."""
        return all(self.values.signed(self.bits, self.masks[id(n)], n) for n in nodes)

    def unsigned(self, *nodes: Node) -> bool:
        """Return whether nodes fit unsigned lanes where they matter."""
        return all(self.values.unsigned(self.bits, self.masks[id(n)], n) for n in nodes)

    def kind(self, *nodes: Node) -> str:
        """Return s or u: how lanes of these nodes are to be read."""
        if self.signed(*nodes):
            return f"s{self.bits}"
        if self.unsigned(*nodes):
            return f"u{self.bits}"
        raise NotSpelt("operands fit neither signed nor unsigned lanes")

    def scalar(self, value: int) -> str:
        """Return a scalar operand: a number as an int32_t that agrees in the lane's bits."""
        wrapped = (value + (1 << (self.bits - 1))) % (1 << self.bits) - (1 << (self.bits - 1))
        return SCALAR.format(wrapped)

    def constant(self, value: int) -> int:
        """Return the number of a vector of one constant."""
        value &= (1 << self.bits) - 1
        if value not in self.constants:
            self.constants[value] = self.fresh()
            self.code.append(Instruction("", self.constants[value], constant=value))
        return self.constants[value]

    def of(self, node: Node) -> int:
        """Return the number of a node's value, computed now if it has not been."""
        if node.op is Op.CONST:
            return self.constant(node.value)
        if id(node) not in self.number:
            if node.op is Op.SELECT:
                self.number[id(node)] = self.chosen(node)
            else:
                self.number[id(node)] = self.emit(PENDING[node.op](self, node))
        return self.number[id(node)]

    def emit(self, one: Pending, block: str = "", compared: tuple[int, ...] = ()) -> int:
        """Return the number of a new instruction's result; compared: the operands of block."""
        result = self.fresh()
        self.code.append(
            Instruction(
                one.text,
                result,
                (*one.args, *compared),
                tied=one.tied,
                apart=one.apart,
                block=block,
            )
        )
        return result

    def alone(self, node: Node) -> bool:
        """Return whether a node has one reader and is not computed yet."""
        return self.uses[id(node)] == 1 and id(node) not in self.number

    # choices

    def comparison(  # noqa: PLR0911 - one for each encoding
        self, a: Node, b: Node, mask: Mask, *, less: bool
    ) -> tuple[str, list[int]]:
        """Return a < b, or its opposite, with {a} and {b} for the operands that are vectors."""
        bits = self.bits
        if self.values.signed(bits, mask, a, b):
            if b.op is Op.CONST:
                text = f".s{bits} {'lt' if less else 'ge'}, {{a}}, {self.zero_or(b.value)}"
                return text, [self.of(a)]
            if a.op is Op.CONST:
                text = f".s{bits} {'gt' if less else 'le'}, {{a}}, {self.zero_or(a.value)}"
                return text, [self.of(b)]
            return f".s{bits} {'lt' if less else 'ge'}, {{a}}, {{b}}", [self.of(a), self.of(b)]
        if not self.values.unsigned(bits, mask, a, b):
            raise NotSpelt("a comparison is too wide")
        if less and a.op is Op.CONST:
            return f".u{bits} hi, {{a}}, {self.zero_or(a.value)}", [self.of(b)]
        if not less and b.op is Op.CONST:
            return f".u{bits} cs, {{a}}, {self.zero_or(b.value)}", [self.of(a)]
        if less:
            return f".u{bits} hi, {{a}}, {{b}}", [self.of(b), self.of(a)]
        return f".u{bits} cs, {{a}}, {{b}}", [self.of(a), self.of(b)]

    def zero_or(self, value: int) -> str:
        """Return a scalar operand of a comparison, which has a register for 0."""
        return self.scalar(value) if value else "zr"

    def merged(self, arm: Node) -> Pending | None:
        """Return the last instruction of an arm, if it can run for some lanes only."""
        if arm.op is Op.CONST:
            text = immediate(arm.value, self.bits)
            return Pending(text or f"vdup.{self.bits} {{d}}, {self.scalar(arm.value)}")
        if not self.alone(arm) or arm.op in (Op.SELECT, Op.INPUT, Op.LOOKUP):
            return None
        made = PENDING[arm.op](self, arm)
        if made.tied >= 0 or made.apart:
            self.number[id(arm)] = self.emit(made)
            return None
        return made

    def chosen(self, node: Node) -> int:
        """Return the number of a choice: one arm, replaced by the other where it is taken."""
        a, b, then, other = node.args
        mask = self.masks[id(node)]
        price_then = _under(then, self) + _base(other, self)
        price_other = _under(other, self) + _base(then, self)
        if not self.open(then) and not self.open(other) and min(price_then, price_other) > 0:
            values = (self.of(then), self.of(other))
            text, compared = self.comparison(a, b, mask, less=True)
            block = _numbered("vcmp" + text, len(values))
            return self.emit(Pending("vpsel {d}, {0}, {1}", values), block, tuple(compared))
        less = price_then < price_other
        if price_then == price_other:
            less = self.values.signed(self.bits, mask, a, b) or a.op is Op.CONST
        arm, base = (then, other) if less else (other, then)
        start = self.of(base)
        last = self.merged(arm) or Pending("vorr {d}, {0}, {0}", (self.of(arm),))
        text, compared = self.comparison(a, b, mask, less=less)
        block = _numbered("vpt" + text, 1 + len(last.args))
        name, rest = re.match(r"(\w+)(.*)", last.text, re.DOTALL).groups()  # type: ignore[union-attr]
        shifted = Pending(name + "t" + rest, (*last.args, start), len(last.args))
        return self.emit(shifted, block, tuple(compared))

    def open(self, arm: Node) -> bool:
        """Return whether an arm's last instruction can be predicated."""
        return arm.op is Op.CONST or (
            self.alone(arm) and arm.op not in (Op.SELECT, Op.INPUT, Op.LOOKUP)
        )


def _under(arm: Node, selection: Selection) -> int:
    """Return the instructions that an arm costs more for being predicated."""
    return 0 if selection.open(arm) else 1


def _base(arm: Node, selection: Selection) -> int:
    """Return the instructions that an arm costs more for being replaced in some lanes."""
    return 0 if selection.uses[id(arm)] == 1 and arm.op is not Op.CONST else 1


def _numbered(text: str, first: int) -> str:
    """Return a comparison with its operands as positions from ``first`` on."""
    return text.replace("{a}", f"{{{first}}}").replace("{b}", f"{{{first + 1}}}")
