"""Fixed-point arithmetic as expressions: a magnitude in a binary format, its parts and powers.

A kernel brings the magnitude of its input into a ``Format``, computes there with integers, and
rescales the result to the output's codes. Every node fits int32 for the magnitudes and limits that
the docstrings give. This module must not know activations, C or costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from embact.ir import Node, Op, add, const, mul, mulh, named, saturate, select_less, shl, shr

if TYPE_CHECKING:
    from embact.grid import QuantSpec


@dataclass(frozen=True)
class Format:
    """How a kernel computes on some grids.

    bits: fraction bits. width: of the output, to which multipliers are precise. u: the magnitude,
    at most reach. scale: the real value of u = 1. steps: how many halvings matter to the output.
    """

    bits: int
    width: int
    u: Node
    reach: int
    scale: float
    steps: int

    def fixed(self, real: float) -> int:
        """Return the nearest number of the format."""
        return round(math.ldexp(real, self.bits))

    def first(self, real: float) -> Node:
        """Return the least magnitude that stands for ``real`` or more."""
        code = math.ceil(Fraction(real) / Fraction(self.scale))
        return const(min(code, self.reach + 1))

    def value(self, factor: float, limit: int) -> Node:
        """Return min(factor * u * scale, limit) in the format; limit <= 2**27."""
        real = min(math.ldexp(factor * self.scale, self.bits), float(limit))
        most = self.reach
        if real * most >= 1 << 28:
            most = min(most, math.ceil(limit / real))
        product, shift = _times(_least(self.u, most), most, real, self.width)
        return named(_least(shr(product, shift), limit), "magnitude_q")

    def square(self, w: Node, most: float) -> Node:
        """Return w**2; most: the largest real w, below 2."""
        if math.ldexp(most, self.bits) ** 2 < 1 << 31:
            return shr(mul(w, w), self.bits)
        wide = shl(w, 30 - self.bits)
        return shr(mulh(wide, wide), 28 - self.bits)

    def halved(self, v: Node, times: Node) -> Node:
        """Return v / 2**times, times in 0..steps - 1, by a shift for each bit of times."""
        step = self.steps // 2
        while step:
            bit = Node(Op.AND, (times, const(step)))
            v = select_less(bit, const(1), v, shr(v, step))
            step //= 2
        return v


def format_of(spec: QuantSpec, u: Node, reach: int, peak: float) -> Format:
    """Return the format for an activation whose largest value is ``peak`` output steps."""
    steps = 2
    while steps < 32 and 2.0**steps < 4.0 * peak:
        steps *= 2
    bits = 14 if peak <= 1 << 10 else 22  # with 14 a product of two fits int32
    return Format(bits, spec.output.bits, u, reach, spec.input.scale, steps)


def _least(a: Node, limit: int) -> Node:
    return Node(Op.MIN, (a, const(limit)))


def _times(a: Node, most: int, real: float, width: int) -> tuple[Node, int]:
    """Return (product, shift): a * real ~= product / 2**shift, relatively to 2**-(width + 3).

    |a| <= most < 2**31, real > 0 and most * real < 2**28; the product fits int32. It is a 32-bit
    one if that is as precise, else MULH.
    """
    if most * real < 2.0**-10:
        return const(0), 0
    shift = min(31, 30 - math.frexp(most * real)[1])
    factor = round(math.ldexp(real, shift))
    while shift > 0 and factor and factor % 2 == 0:
        factor, shift = factor // 2, shift - 1
    if abs(math.ldexp(factor, -shift) / real - 1.0) <= 2.0 ** -(width + 3):
        power = factor > 0 and factor & (factor - 1) == 0
        return shl(a, factor.bit_length() - 1) if power else mul(a, const(factor)), shift
    up = 31 - most.bit_length()
    exponent = math.frexp(math.ldexp(real, 32 - up))[1]
    shift = min(31, 30 - exponent)
    factor = round(math.ldexp(real, 32 - up + shift))
    return mulh(shl(a, up), const(factor)), shift


def rescaled(a: Node, most: int, real: float, spec: QuantSpec) -> Node | None:
    """Return the code of a * real output steps; None if that does not fit int32."""
    grid = spec.output
    if most * real >= 1 << 28:
        return None
    product, shift = _times(a, most, real, grid.bits)
    half = (1 << shift) >> 1
    if (abs(grid.zero_point) + 1) << shift < 1 << 30:
        code = shr(add(product, const((grid.zero_point << shift) + half)), shift)
    else:
        code = add(shr(add(product, const(half)), shift), const(grid.zero_point))
    return saturate(code, grid.bits)
