"""Family ``rational``: softsign and its kin as a quotient of two lines, by integer division.

    y(x) = clamp(zero + (a * u + b) / (c * u + d)),  u = |x - z|, mirrored where x < z

with z the code of real 0 and zero the output's. softsign x/(1 + |x|) is of this form. With k =
y - zero the quotient serves an input that admits k in low..high iff

    low * (c * u + d)  <=  a * u + b  <=  (high + 1) * (c * u + d) - 1,

the numerator being >= 0, where C's division is the floor. For given c and d that is the exact test
of ``line`` for one line (a, b). This module must not know C or costs.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from embact.fit.fold import fold
from embact.fit.line import FREE, Intervals
from embact.fit.problem import Candidate
from embact.ir import INT32_MAX, add, const, div, mul, named, shl
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embact.fit.fold import View
    from embact.fit.problem import Problem
    from embact.grid import Grid

SYMMETRIES = ("odd", "point")
"""Activations with another symmetry are not bounded, and the quotient is."""

BEYOND = 3
"""Where an output saturates the quotient may go on to 2**BEYOND times the code range."""

KNEE_BITS = 10
"""The real search takes d/c in units of 2**-KNEE_BITS input codes."""

NEAR = (0, 1, -1, 2, -2)
"""Distances from the best real d that are tried for each c."""

KNEE_OCTAVES = 8
"""The real search ends at a d/c of 2**KNEE_OCTAVES times the largest u: a line, all but bent."""

GOLDEN_STEPS = 45
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclasses.dataclass(frozen=True)
class _Quotient:
    """``(a u + b) / (c u + d)``; slack >= 0 iff it serves every u."""

    slack: int
    a: int
    b: int
    c: int
    d: int


def rational(problem: Problem) -> Iterator[Candidate]:
    """Yield an exact kernel if the search finds one, and one in budget.

    c is the least power of two that has a d near the best real one, and for each c and d the test
    is exact. Every value fits int32. Nothing is yielded if no d serves, for an activation that is
    neither odd nor f(-x) = 1 - f(x), or if ``options.fold`` is False.
    """
    if problem.activation.symmetry not in SYMMETRIES or problem.options.fold is False:
        return
    exact = dataclasses.replace(
        problem, limits=dataclasses.replace(problem.limits, max_error=0), max_error_lsb=None
    )
    for one in (exact,) if problem == exact else (exact, problem):
        half = fold(one)
        if half is None:
            continue
        found = _search(_relative(half.bounds, one.spec.output))
        if found is not None:
            yield Candidate(_kernel(one, half, found), _parameters(found))


def _parameters(found: _Quotient) -> dict[str, int]:
    return {"a": found.a, "b": found.b, "c": found.c, "d": found.d}


def _kernel(problem: Problem, half: View, found: _Quotient) -> Kernel:
    u = half.magnitude
    above = add(mul(u, const(found.a)), const(found.b))
    below = add(shl(u, found.c.bit_length() - 1), const(found.d))
    quotient = named(div(above, below), "quotient")
    result = half.result(add(quotient, const(problem.spec.output.zero_point)))
    return Kernel(result, problem.spec.input.bits, problem.spec.output.bits)


def _relative(bounds: Intervals, output: Grid) -> Intervals:
    """Return the outputs as distances from the code of real 0, free ends replaced by far ones."""
    zero, far = output.zero_point, 1 << (output.bits + BEYOND)
    low = np.maximum(bounds.low - zero, 0)
    return Intervals(bounds.x, low, np.minimum(bounds.high - zero, far))


def _search(half: Intervals) -> _Quotient | None:
    """Return a quotient that serves, with the least c that has one near the best real d."""
    if np.any(half.high < half.low):
        return None
    knee = _knee(half)
    if knee is None:
        return None
    reach, top = int(half.x[-1]), max(1, int(half.low.max()))
    for shift in range(31):
        c, half_unit = 1 << shift, 1 << (KNEE_BITS - 1)
        most = INT32_MAX // top - c * reach
        if most < 1:
            break
        middle = ((knee << shift) + half_unit) >> KNEE_BITS
        for d in dict.fromkeys(min(max(middle + step, 1), most) for step in NEAR):
            found = _line(half, c, d, INT32_MAX)
            if found.slack >= 0:
                return found
    return None


def _knee(half: Intervals) -> int | None:
    """Return the d/c, in units of 2**-KNEE_BITS, that has the most slack, or None if none serves.

    The greatest slack over real a and b is concave in d, since the constraints are linear in a, b
    and d together. Over the denominator at the last u it is quasiconcave, as a concave function
    over a linear one: the golden section over log d finds its peak. int32 limits it as for c = 1.
    """
    c, reach = 1 << KNEE_BITS, int(half.x[-1])

    def margin(log: float) -> float:
        d = round(math.pow(2.0, log))
        return _line(half, c, d, INT32_MAX * c).slack / (c * reach + d)

    left, right = 0.0, float(KNEE_BITS + half.x.size.bit_length() + KNEE_OCTAVES)
    one, other = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
    at_one, at_other = margin(one), margin(other)
    for _ in range(GOLDEN_STEPS):
        if at_one >= at_other:
            right, other, at_other = other, one, at_one
            one = right - GOLDEN * (right - left)
            at_one = margin(one)
        else:
            left, one, at_one = one, other, at_other
            other = left + GOLDEN * (right - left)
            at_other = margin(other)
    best, log = max((at_one, one), (at_other, other))
    return round(math.pow(2.0, log)) if best >= 0 else None


def _line(half: Intervals, c: int, d: int, limit: int) -> _Quotient:
    """Return the numerator with the most slack for a denominator; its values are 0..limit.

    The slack is concave in a, and at each a two inputs tell on which side its peak lies, so
    bisection ends on the best integer a: a negative slack proves that no a and b serve.
    """
    below = c * half.x + d
    lower = half.low * below
    upper = np.minimum((half.high + 1) * below - 1, limit)
    first, last = 0, int(upper.max()) // int(half.x[-1])
    best = _Quotient(-FREE, 0, 0, c, d)
    while first <= last:
        a = (first + last) // 2
        product = a * half.x
        least, greatest = lower - product, upper - product
        p, q = int(least.argmax()), int(greatest.argmin())
        slack = int(greatest[q] - least[p])
        if slack > best.slack:
            best = _Quotient(slack, a, int(least[p]) + slack // 2, c, d)
        if p == q:
            break
        if p > q:
            first = a + 1
        else:
            last = a - 1
    return best
