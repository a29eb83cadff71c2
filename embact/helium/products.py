"""A line under a right shift whose product is too wide for lanes, as a doubling high product.

    floor((a n + b) / 2**k) = floor(a2 (n 2**s + d) / 2**(lanes - 1)) + b2

for suitable a2, d and b2: the left side takes few values, so there often are some. They are solved
for on the inputs that matter. This module must not know instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embact.ir import Node, Op, add, const, mul, shl, shr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embact.grid import Codes
    from embact.helium.lanes import Mask, Values


def line_of(arg: Node) -> tuple[Node, int, int] | None:
    """Return n, a, b of a * n + b, None if a node is not written so."""
    offset = 0
    if arg.op is Op.ADD:
        one, other = arg.args if arg.args[1].op is Op.CONST else arg.args[::-1]
        if other.op is not Op.CONST:
            return None
        arg, offset = one, other.value
    if arg.op is not Op.MUL:
        return None
    one, other = arg.args if arg.args[1].op is Op.CONST else arg.args[::-1]
    return (one, other.value, offset) if other.op is Op.CONST else None


def rounded_product(values: Values, bits: int, arg: Node, k: int, mask: Mask) -> Node | None:
    """Return (n * m + c) >> k of two numbers as a high product, rounded where c asks for it.

    (n 2**s m + 2**(lanes - 2)) >> (lanes - 1) = (n m + 2**(k - 1)) >> k  for s = lanes - 1 - k
    """
    offset = 0
    if arg.op is Op.ADD and arg.args[1].op is Op.CONST:
        arg, offset = arg.args[0], arg.args[1].value
    shift, half = bits - 1 - k, 1 << (k - 1)
    if arg.op is not Op.MUL or Op.CONST in {one.op for one in arg.args} or shift < 0:
        return None
    if offset % (1 << k) not in (0, half):
        return None
    for one, other in (arg.args, arg.args[::-1]):
        moved = shl(one, shift) if shift else one
        if values.signed(bits, mask, moved, other):
            product, rest = mul(moved, other), offset >> k
            if offset % (1 << k):
                product = add(product, const(1 << (bits - 2)))
            high = shr(product, bits - 1)
            return add(high, const(rest)) if rest else high
    return None


def high_product(values: Values, bits: int, arg: Node, k: int, mask: Mask) -> Node | None:
    """Return arg >> k with operands that fit signed lanes of ``bits``, None if none was found."""
    line = line_of(arg)
    if line is None or not mask.any():
        return None
    node, slope, offset = line
    numbers, wanted = values.of(node)[mask], values.of(arg)[mask] >> k
    found = []
    for shift in range(bits):
        power = bits - 1 - shift - k
        scaled = slope << power if power >= 0 else (slope + (1 << (-power - 1))) >> -power
        for factor in (scaled, scaled - 1, scaled + 1):
            if 0 < abs(factor) < 1 << (bits - 1):
                for added, rest in _solved(numbers << shift, wanted, factor, offset >> k, bits):
                    moved = shl(node, shift) if shift else node
                    moved = add(moved, const(added)) if added else moved
                    if values.signed(bits, mask, moved):
                        high = shr(mul(moved, const(factor)), bits - 1)
                        found.append((bool(added) + bool(rest) + bool(shift), high, rest))
    if not found:
        return None
    _, high, rest = min(found, key=lambda one: one[0])
    return add(high, const(rest)) if rest else high


def _solved(
    numbers: Codes, wanted: Codes, factor: int, near: int, bits: int
) -> Iterator[tuple[int, int]]:
    """Yield (d, b2) with floor(factor (number + d) / 2**(bits - 1)) + b2 as wanted."""
    for rest in (0, near, near - 1, near + 1):
        least = int((((wanted - rest) << (bits - 1)) - factor * numbers).max())
        most = int((((wanted - rest + 1) << (bits - 1)) - 1 - factor * numbers).min())
        if least <= 0 <= most:
            yield 0, rest
        elif least <= most:
            added = -(-least // factor) if factor > 0 else least // factor
            if least <= factor * added <= most and -(1 << 31) <= added < 1 << 31:
                yield added, rest
