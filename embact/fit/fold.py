"""Views of a problem: what a function h must give so that a kernel around it serves every input.

The plain view is y = clamp(h(x)). An activation with a symmetry needs h on the magnitude only:

    u = |x - z|,    y(x) = clamp(h(u)) where x >= z,    y(x) = clamp(mirror(u, h(u))) where x < z

with z the code of real 0. The outputs that h may give are those that serve both signs, so what fits
them serves every input. This module must not know how h is built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Union

import numpy as np

from embact.fit.line import FREE, Intervals
from embact.ir import Node, Op, add, const, mul, named, saturate, select_less, shl, shr, sub, x
from embact.ir import clamp as clamp_node

if TYPE_CHECKING:
    from collections.abc import Callable

    from embact.fit.problem import Problem
    from embact.grid import Codes, QuantSpec


FARTHEST = 1 << 24
"""The largest |h| of a folded view: far beyond every code, and sums of a few fit int32."""


Clamp = Union[Literal["codes", "tight"], tuple[int, int]]  # noqa: UP007 - evaluated on 3.10
"""What limits y: the code range, the narrowest range within the budget, or given codes."""
CODES: Clamp = "codes"
TIGHT: Clamp = "tight"


@dataclass(frozen=True)
class View:
    """What h must give.

    bounds: the outputs that h may give for each value of its variable, in ascending order.
    magnitude: the node of the variable: of u = 0, 1, .. up to the largest magnitude, or of x.
    unfold: from the node of h to that of y, before the clamp.
    clamp: the limits of y. folded: whether the variable is a magnitude.
    remade: the same view of the problem with another budget, or None if nothing serves that.
    """

    bounds: Intervals
    magnitude: Node
    unfold: Callable[[Node], Node]
    clamp: tuple[int, int]
    folded: bool
    remade: Callable[[Problem], View | None]

    def result(self, h: Node) -> Node:
        """Return the node of y."""
        low, high = self.clamp
        bits = high.bit_length() + 1
        whole = (low, high) == (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) and bits in (8, 16)
        return saturate(self.unfold(h), bits) if whole else clamp_node(self.unfold(h), low, high)


def views(problem: Problem) -> list[View]:
    """Return the views that the options allow: plain and folded, by each clamp that can matter.

    A kernel's result is clamped to the code range, or, where that leaves a twentieth of the inputs
    or more to the clamp besides, as narrowly as the budget allows.
    """
    options, found = problem.options, []
    clamps: list[Clamp] = [CODES] if options.clamp != TIGHT else []
    if options.clamp == TIGHT or (options.clamp is None and _tight_helps(problem)):
        clamps.append(TIGHT)
    for clamp in clamps:
        if options.fold is not True:
            found.append(plain(problem, clamp))
        if options.fold is not False and (half := fold(problem, clamp)):
            found.append(half)
    return found


def _tight_helps(problem: Problem) -> bool:
    wide, narrow = problem.bounds(), problem.bounds(problem.tight_range)
    free = [np.count_nonzero((b.low == -FREE) | (b.high == FREE)) for b in (wide, narrow)]
    return bool(20 * (free[1] - free[0]) >= wide.x.size)


def clamp_of(problem: Problem, clamp: Clamp) -> tuple[int, int]:
    """Return the limits that a clamp means for a problem."""
    if isinstance(clamp, tuple):
        return clamp
    return problem.tight_range if clamp == TIGHT else problem.code_range


def plain(problem: Problem, clamp: Clamp = "codes") -> View:
    """Return the view without folding."""
    limits = clamp_of(problem, clamp)
    return View(
        problem.bounds(limits),
        x(),
        lambda h: h,
        limits,
        folded=False,
        remade=lambda other: plain(other, clamp),
    )


def fold(problem: Problem, clamp: Clamp | None = None) -> View | None:
    """Return the half of a problem whose activation has a symmetry, or None.

    clamp: by default the code range. None too if no output serves both signs of some magnitude.
    """
    limits = clamp_of(problem, clamp or CODES)
    zero, target = problem.spec.input.zero_point, problem.spec.output
    match problem.activation.symmetry:
        case "odd":
            mirror = reflection(2 * target.zero_point)
        case "point":
            mirror = reflection(2 * target.zero_point + nearest(1.0 / target.scale))
        case "gated":
            mirror = _fall(problem.spec)
        case _:
            mirror = None
    bounds = None if mirror is None else halved(problem.bounds(limits), zero, mirror)
    if bounds is None or mirror is None:
        return None
    u = magnitude(zero)
    return View(
        bounds,
        u,
        lambda h: select_less(x(), const(zero), mirror.node(u, h), h),
        limits,
        folded=True,
        remade=lambda other: fold(other, clamp),
    )


@dataclass(frozen=True)
class Mirror:
    """What y is where x < z: the node, given those of u and h; and the h that give some y."""

    node: Callable[[Node, Node], Node]
    ends: Callable[[Codes, Codes, Codes], tuple[Codes, Codes]]


def reflection(total: int) -> Mirror | None:
    """Return y = total - h, or None if that might leave int32."""
    if abs(total) > FARTHEST:
        return None
    return Mirror(
        lambda _, h: sub(const(total), h),
        lambda _, low, high: (_moved(-high, total), _moved(-low, total)),
    )


def _fall(spec: QuantSpec) -> Mirror | None:
    """Return y = h - round(u in output codes), for f(-x) = f(x) - x; None if too steep."""
    zero = spec.input.zero_point
    size = max(zero - spec.input.code_min, spec.input.code_max - zero) + 1
    ratio = _ratio(spec.input.scale / spec.output.scale, size)
    if ratio is None:
        return None
    multiplier, shift = ratio
    half = (1 << shift) >> 1

    def node(u: Node, h: Node) -> Node:
        power = multiplier.bit_length() - 1
        product = shl(u, power) if multiplier == 1 << power else mul(u, const(multiplier))
        return sub(h, shr(add(product, const(half)), shift) if shift else product)

    def ends(u: Codes, low: Codes, high: Codes) -> tuple[Codes, Codes]:
        step = (multiplier * u + half) >> shift
        return _moved(low, step), _moved(high, step)

    return Mirror(node, ends)


def halved(whole: Intervals, zero: int, mirror: Mirror) -> Intervals | None:
    """Return what h(u) may give for u = 0, 1, .., or None if nothing serves both signs of some u.

    whole: what y may give for every input code in ascending order.
    """
    first, last = int(whole.x[0]), int(whole.x[-1])
    u = np.arange(max(zero - first, last - zero) + 1, dtype=np.int64)
    low, high = (np.full(u.size, end, dtype=np.int64) for end in (-FARTHEST, FARTHEST))
    right = slice(zero - first, None)
    low[: last - zero + 1] = np.maximum(low[: last - zero + 1], whole.low[right])
    high[: last - zero + 1] = np.minimum(high[: last - zero + 1], whole.high[right])
    left = slice(1, zero - first + 1)
    below = np.arange(zero - first - 1, -1, -1)
    least, most = mirror.ends(u[left], whole.low[below], whole.high[below])
    low[left], high[left] = np.maximum(low[left], least), np.minimum(high[left], most)
    return None if np.any(low > high) else Intervals(u, low, high)


def magnitude(zero: int) -> Node:
    """Return the node of |x - zero|."""
    distance = sub(x(), const(zero))
    return named(Node(Op.MAX, (distance, sub(const(0), distance))), "magnitude")


def _ratio(real: float, size: int) -> tuple[int, int] | None:
    """Return (multiplier, shift) of the nearest multiplier / 2**shift that int32 leaves room for.

    None if no such number is near: multiplier * size must stay below 2**30.
    """
    fraction, exponent = math.frexp(real)
    bits = 30 - size.bit_length()
    multiplier, shift = round(math.ldexp(fraction, bits)), bits - exponent
    while shift > 0 and multiplier % 2 == 0:
        multiplier, shift = multiplier // 2, shift - 1
    if shift < 0:
        multiplier, shift = multiplier << -shift, 0
    return (multiplier, shift) if multiplier * size < 1 << 30 and shift <= 30 else None


def nearest(value: float) -> int:
    """Return the nearest integer, ties upwards; large values are cut to 2**31."""
    return math.floor(min(value, 2.0**31) + 0.5)


def _moved(ends: Codes, by: int | Codes) -> Codes:
    """Return interval ends moved by some codes; free ones stay free."""
    return np.where(np.abs(ends) >= FREE, ends, ends + by)
