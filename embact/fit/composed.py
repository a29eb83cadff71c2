"""Family ``composed``: the input times a gate, with the error taken on the product.

    y = clamp((x' * gate(v) + offset) >> shift),  x' = x - zero_point

f(x) = x gate(x) for swish, GELU and hard-swish, whose gates satisfy gate(-x) = 1 - gate(x), and
for odd functions, whose f(x)/x is even. For each input the gates that give an output within the
budget are an interval, so the gate is fitted by the same exact tests as a function of its own. This
module must not know how a gate is built.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.fit import pwl, shift_pwl
from embact.fit.fold import Mirror, View, halved, magnitude, nearest, reflection
from embact.fit.line import FREE, Intervals
from embact.ir import Node, add, clamp, const, mul, named, select_less, shr, sub, x

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embact.fit.problem import Candidate, Problem
    from embact.grid import Codes, QuantSpec

ROOM = 1 << 30
"""Products stay below this, which leaves room for the offset in int32."""

GATE_BITS = 15
"""Width of a gate of 1: enough for int16 outputs, and slopes of 16 bits reach it."""


def composed(problem: Problem) -> Iterator[Candidate]:
    """Yield x * gate kernels whose gate is of ``pwl`` and of ``shift_pwl``.

    Only for activations that are odd or x times a gate; nothing where the scales leave the gate too
    few bits, nor if a mean square or continuity is wanted. Parameters are the gate's.
    """
    options = problem.options
    if options.continuous or options.minimize == "mse":
        return
    for view in gate_views(problem):
        for gated in _of_view(problem, view):
            # the segments are the gate's, and those of a record are the kernel's
            yield dataclasses.replace(gated, segments=())


def _of_view(problem: Problem, view: View) -> Iterator[Candidate]:
    """Yield the kernels of one view of the gate."""
    options = problem.options
    if options.terms is None:
        wide = dataclasses.replace(options, slope_bits=options.slope_bits or 16)
        yield from pwl.of_view(dataclasses.replace(problem, options=wide), view)
    if options.slope_bits is None and options.lookup is None and options.shifts in (None, "common"):
        yield from shift_pwl.of_view(problem, view)


def gate_views(problem: Problem) -> list[View]:
    """Return the views of the gate: plain and folded for x gate(x), folded for odd functions."""
    kind, fold = problem.activation.symmetry, problem.options.fold
    if kind not in ("odd", "gated"):
        return []
    shift, one = gate_unit(problem.spec)
    if shift < 0 or one < 1:
        return []
    gates = []
    if kind == "gated" and fold is not True:
        gates.append(_Gate(shift, one, None))
    if fold is not False and (mirror := reflection(one) if kind == "gated" else EVEN):
        gates.append(_Gate(shift, one, mirror))
    return [view for gate in gates if (view := gate.view(problem))]


EVEN = Mirror(lambda _, h: h, lambda _, low, high: (low, high))


def gate_unit(spec: QuantSpec) -> tuple[int, int]:
    """Return the shift of the product, and the gate that stands for 1: (-1, 0) if there is none.

    The shift is the largest with which x' * gate + offset fits int32 and the gate GATE_BITS.
    """
    source, target = spec.input, spec.output
    farthest = max(source.zero_point - source.code_min, source.code_max - source.zero_point)
    ratio = source.scale / target.scale
    shift = min(math.frexp(ROOM / (ratio * farthest))[1] - 1, 29 - target.bits)
    shift = min(shift, GATE_BITS - math.frexp(ratio)[1])
    return (shift, nearest(math.ldexp(ratio, shift))) if shift >= 0 else (-1, 0)


@dataclass(frozen=True)
class _Gate:
    """A gate in units of which ``one`` is 1: y = (x' * gate + offset) >> shift.

    mirror: what the gate is for negative x', if it is fitted to magnitudes.
    """

    shift: int
    one: int
    mirror: Mirror | None

    def view(self, problem: Problem) -> View | None:
        """Return what the gate must give, or None if nothing serves some input."""
        zero = problem.spec.input.zero_point
        bounds, variable = self.bounds(problem), x()
        if bounds is not None and self.mirror is not None:
            bounds, variable = halved(bounds, zero, self.mirror), magnitude(zero)
        if bounds is None:
            return None
        return View(
            bounds,
            variable,
            lambda h: self.product(problem, variable, h),
            problem.code_range,
            folded=self.mirror is not None,
            remade=self.view,
        )

    def bounds(self, problem: Problem) -> Intervals | None:
        """Return the gates that serve each input; ends that the clamp to 0..one serves are free."""
        wanted = problem.bounds()
        distance = wanted.x - problem.spec.input.zero_point
        offset = self.offset(problem)
        free_low, free_high = wanted.low == -FREE, wanted.high == FREE
        least = np.where(free_low, 0, wanted.low) << self.shift
        most = ((np.where(free_high, 0, wanted.high) + 1) << self.shift) - 1
        low, high = _divided(
            np.where(free_low, -FREE, least - offset),
            np.where(free_high, FREE, most - offset),
            distance,
        )
        still = distance == 0  # where any gate gives the offset
        served = (wanted.low <= problem.spec.output.zero_point) & (
            wanted.high >= problem.spec.output.zero_point
        )
        possible = np.where(still, served, (low <= self.one) & (high >= 0) & (low <= high))
        if not np.all(possible):
            return None
        low = np.where(still | (low <= 0), -FREE, low)
        return Intervals(wanted.x, low, np.where(still | (high >= self.one), FREE, high))

    def product(self, problem: Problem, variable: Node, h: Node) -> Node:
        """Return the node of y before the clamp."""
        zero = const(problem.spec.input.zero_point)
        gate = clamp(h, 0, self.one)
        if self.mirror is not None and self.mirror is not EVEN:
            gate = select_less(x(), zero, self.mirror.node(variable, gate), gate)
        product = mul(sub(x(), zero), named(gate, "gate"))
        return shr(add(product, const(self.offset(problem))), self.shift)

    def offset(self, problem: Problem) -> int:
        """Return the output's zero point and half a code, scaled."""
        return (problem.spec.output.zero_point << self.shift) + ((1 << self.shift) >> 1)


def _divided(least: Codes, most: Codes, by: Codes) -> tuple[Codes, Codes]:
    """Return the integers whose product with ``by`` lies in least..most, where by is not 0."""
    size = np.maximum(np.abs(by), 1)
    low, high = np.where(by < 0, -most, least), np.where(by < 0, -least, most)
    return -(-low // size), high // size
