"""Family ``quadratic``: piecewise quadratics with integer or shift coefficients, and few pieces.

    y = clamp((a[i] * q + b[i] * v + c[i]) >> shift),  q = (v * v) >> drop

v is the input code, or its magnitude where a symmetry folds the domain, limited to where the
activation has not become constant if that saves a piece. The basis q is an integer and known
exactly, so a piece is linear in (a, b, c), and a run of inputs is refused only when it is refuted:

- for a fixed (a, b) two inputs leave no c: they demand ``run * b + bend * a >= rise``;
- for a fixed a two such demands leave no b: without b, they demand something of a alone;
- where b is excluded by its finite set and not by demands, only this a is.

All of it in integers and over every (a, b, c) of the form. Parts of a run that is served are
served, so greedy longest extension has the fewest pieces for a form. What the demands refute for
real coefficients no shift serves: that bounds the number of pieces of every form from below.

SQNL (Wuraola & Patel 2018) is the case of one piece for each side. This module must not know C or
costs.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import or_
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from embact.fit.fold import fold
from embact.fit.line import FREE
from embact.fit.problem import Candidate
from embact.ir import (
    INT32_MAX,
    Node,
    Table,
    add,
    clamp,
    const,
    lookup,
    mul,
    named,
    saturate,
    search_tree,
    select_less,
    shl,
    shr,
    sub,
    x,
)
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from embact.fit.line import Intervals
    from embact.fit.problem import Problem
    from embact.grid import Codes

    View = tuple[Codes, Codes, Codes]
    Found = tuple[int, list["Piece"]]  # the shift and the pieces

PIECES = 16
LEAVES = 12
"""More pieces that are looked up, or chosen among, are of no use: none are sought unasked."""
FINEST = 24
"""The largest shift, and that of the bound for real coefficients."""
LIMIT = (1 << 30) - 1
"""Largest magnitude of a piece's sum on its own inputs: what unfolds it stays within int32."""
SAMPLES = 512
"""A long run is tested on so many of its inputs first."""
PATIENCE = 1 << 19
"""What may be spent on one run's a that only the set of b excludes: 1000 and an input each."""
WIDEST = 46340
"""The largest v whose square fits int32."""


@dataclass(frozen=True)
class Domain:
    """The inputs, as v and q, and the outputs that each may give."""

    v: Codes
    q: Codes
    low: Codes
    high: Codes


@dataclass(frozen=True)
class Form:
    """The coefficients that a piece may have; a and b ascend.

    limit, offset_limit: largest magnitude of a * q + b * v + c on the piece's inputs, and of c.
    relaxed: whether a run counts as served when only the sets of coefficients exclude it.
    """

    shift: int
    a: Sequence[int]
    b: Sequence[int]
    limit: int
    offset_limit: int
    relaxed: bool = False


class Piece(NamedTuple):
    """Coefficients that serve the inputs start..end-1 of a domain."""

    start: int
    end: int
    a: int
    b: int
    c: int


class _Cut(NamedTuple):
    """What two inputs demand: run * b + bend * a >= rise."""

    run: int
    bend: int
    rise: int


@dataclass(frozen=True)
class Plan:
    """What v is, which outputs each v may give, and how few pieces real coefficients need.

    v: its node; neither it nor v * v overflows on any input. zero: the code where v is 0.
    unfold: from the node of the pieces to that of y, before the clamp.
    reach[k]: from this input on k pieces with real coefficients may serve the rest, from no earlier
    one they do; the last is 0.
    """

    domain: Domain
    v: Node
    zero: int
    drop: int
    unfold: Callable[[Node], Node]
    reach: tuple[int, ...]


def quadratic(problem: Problem) -> Iterator[Candidate]:
    """Yield kernels with the fewest pieces for the budget, if that is 16 or less (terms: 12).

    One kernel each, plain and folded, for coefficients of three kinds: integers (terms = 0), 0 or a
    signed power of two (1), and sums of two of them if that saves pieces (2).

    The counts are the least for the range of v that was taken and for every shift up to 24, where
    a * q and b * v stay below 2**30; with powers of two for three shifts, where they stay below
    2**29. Where real coefficients need as many, no shift has fewer. They are not proved if
    ``Strips.serve`` gave up on a run, and for int16 inputs that need more pieces than real
    coefficients do only every fourth shift is tried.

    Integers have ``options.slope_bits`` bits, by default the fewest of 8, 16 and as many as there
    is room for. With ``options.segments`` the budget is the least for which a bisection finds so
    many pieces.
    """
    options = problem.options
    kinds = [terms for terms in (0, 1, 2) if terms <= (options.terms or 2)]
    for folded in (False, True):
        if options.fold not in (None, folded):
            continue
        if options.segments is None:
            yield from _fewest(problem, kinds, (PIECES, LEAVES), folded=folded)
        else:
            for terms in kinds:
                yield from _least_error(problem, terms, options.segments, folded=folded)


def _least_error(problem: Problem, terms: int, at_most: int, *, folded: bool) -> list[Candidate]:
    """Return the kernel of at most so many pieces for the least budget that has one."""

    def attempt(budget: int) -> list[Candidate]:
        limits = dataclasses.replace(problem.limits, max_error=budget)
        limited = dataclasses.replace(problem, limits=limits)
        return list(_fewest(limited, [terms], (at_most, at_most), folded=folded))

    bad, good, step = -1, 1 << 16, 1
    best = attempt(good)
    while best and good - bad > 1:
        middle = min(bad + step, (bad + good) // 2)
        if found := attempt(middle):
            best, good = found, middle
        else:
            bad, step = middle, 2 * step
    return best


def _fewest(
    problem: Problem, kinds: Sequence[int], most: tuple[int, int], *, folded: bool
) -> Iterator[Candidate]:
    """Yield for each kind of coefficients the kernel with the fewest pieces.

    most: how many pieces that are looked up, and chosen among, a kernel may have.
    """
    spec, plan, (at_most, leaves) = problem.spec, None, most
    for terms in kinds:
        zero = spec.input.zero_point if terms else 0  # where powers of two are most likely to do
        if plan is None or not (folded or plan.zero == zero):
            plan = _plan(problem, zero, at_most, folded=folded)
        if plan is None:
            return
        found = (
            _shifts(plan, terms, leaves, 26 - spec.output.bits)
            if terms
            else _products(plan, problem.options.slope_bits, at_most)
        )
        if found is None:
            continue
        shift, pieces = _reduced(found)
        curve = _by_shifts(plan, pieces, shift) if terms else _by_products(plan, pieces, shift)
        result = saturate(plan.unfold(curve), spec.output.bits)
        yield Candidate(
            Kernel(result, spec.input.bits, spec.output.bits),
            {"pieces": len(pieces), "shift": shift, "folded": int(folded), "terms": terms},
        )
        if terms:
            leaves = len(pieces) - 1
            if leaves < len(plan.reach) - 1:
                return


def _plan(problem: Problem, zero: int, at_most: int, *, folded: bool) -> Plan | None:
    """Return how to take v so that real coefficients need the fewest pieces, or None."""
    source, half = problem.spec.input, fold(problem) if folded else None
    if half is not None:
        bounds, v, unfold = half.bounds, half.magnitude, half.unfold
    elif folded:
        return None
    else:
        if max(zero - source.code_min, source.code_max - zero) > WIDEST:
            zero = 0
        bounds, v, unfold = problem.bounds(), sub(x(), const(zero)), lambda curve: curve
        bounds = dataclasses.replace(bounds, x=bounds.x - zero)
    best = None
    for first, last in _ranges(bounds, folded=folded):
        low, high = int(bounds.x[first]), int(bounds.x[last])
        widest = max(abs(low), abs(high))
        if widest > WIDEST or at_most < 1:
            continue
        drop = max(0, (widest * widest).bit_length() - 16)
        domain = _limited(bounds, first, last, drop)
        reach = _reach(domain, at_most)
        if reach is not None:
            best = Plan(domain, clamp(v, low, high), zero, drop, unfold, reach)
            at_most = len(reach) - 2
    return best


def _ranges(bounds: Intervals, *, folded: bool) -> list[tuple[int, int]]:
    """Return ranges of inputs to limit v to, as (first, last), the whole range before others.

    Beyond the others all inputs may give the same outputs, or have at least one in common.
    """
    low, high, end = bounds.low, bounds.high, bounds.x.size - 1
    changes = np.flatnonzero((np.diff(low) != 0) | (np.diff(high) != 0))
    if not changes.size:
        return [(0, end)]
    left = np.maximum.accumulate(low) <= np.minimum.accumulate(high)
    right = np.maximum.accumulate(low[::-1]) <= np.minimum.accumulate(high[::-1])
    first, last = int(changes[0]), int(changes[-1]) + 1
    least, most = int(np.count_nonzero(left)) - 1, end + 1 - int(np.count_nonzero(right))
    found = [(0, end), (first, last), ((first + least) // 2, (last + most) // 2), (least, most)]
    if folded:
        found = [(0, last) for _, last in found]
    return [(first, last) for first, last in dict.fromkeys(found) if first < last]


def _limited(bounds: Intervals, first: int, last: int, drop: int) -> Domain:
    """Return the inputs first..last, where the ends serve all beyond them too."""
    low, high = bounds.low[first : last + 1].copy(), bounds.high[first : last + 1].copy()
    low[0], high[0] = bounds.low[: first + 1].max(), bounds.high[: first + 1].min()
    low[-1], high[-1] = bounds.low[last:].max(), bounds.high[last:].min()
    v = bounds.x[first : last + 1]
    return Domain(v, (v * v) >> drop, low, high)


# How few pieces


def _reach(domain: Domain, at_most: int) -> tuple[int, ...] | None:
    """Return ``Plan.reach``, or None if real coefficients need more than at_most pieces.

    The coefficients are multiples of 2**-24 in a range that contains every other form's.
    """
    a, b = _rooms(domain, LIMIT << FINEST)
    sets = range(-a, a + 1), range(-b, b + 1)
    form = Form(FINEST, *sets, LIMIT << FINEST, INT32_MAX << FINEST, relaxed=True)
    strips, starts = Strips(domain, form), [domain.v.size]
    guess, near = domain.v.size, (0, 0)

    def run(length: int) -> tuple[int, int]:
        return starts[-1] - length, starts[-1]

    while starts[-1] > 0:
        longest = _longest(strips, run, (0, starts[-1]), guess, near)
        if longest is None or len(starts) > at_most:
            return None
        guess, near = longest
        starts.append(starts[-1] - guess)
    return tuple(starts)


def _cover(plan: Plan, form: Form, at_most: int) -> list[Piece] | None:
    """Return the fewest pieces of a form that serve every input, or None if more than at_most."""
    strips, pieces = Strips(plan.domain, form), []
    size, start, guess, near = plan.domain.v.size, 0, 1, (0, 0)

    def run(length: int) -> tuple[int, int]:
        return start, start + length

    for left in reversed(range(at_most)):
        least = max(plan.reach[min(left, len(plan.reach) - 1)] - start, 0)
        longest = _longest(strips, run, (least, size - start), guess, near)
        if longest is None:
            return None
        guess, near = longest
        pieces.append(strips.piece(start, start + guess, *near))
        start += guess
        if start == size:
            return pieces
    return None


def _longest(
    strips: Strips,
    run: Callable[[int], tuple[int, int]],
    ends: tuple[int, int],
    guess: int,
    near: tuple[int, int],
) -> tuple[int, tuple[int, int]] | None:
    """Return (length, (a, b)) of the longest run that is served; None if it is 0 or too short.

    run: the inputs of a length, among them those of any shorter one. ends: least and most length.
    """

    def served(length: int) -> bool:
        nonlocal near
        found = strips.serve(*run(length), near)
        near = near if found is None else found
        return found is not None

    least, most = ends
    if least and not served(least):
        return None
    good, bad, step = least, most + 1, guess
    while good < most:
        length = min(good + step, most)
        if not served(length):
            bad = length
            break
        good, step = length, 2 * step
    while bad - good > 1:
        middle = (good + bad) // 2
        if served(middle):
            good = middle
        else:
            bad = middle
    return (good, near) if good else None


def _products(plan: Plan, bits: int | None, at_most: int) -> Found | None:
    """Return integer coefficients: the fewest pieces, the fewest bits, the least shift."""
    a, b = _rooms(plan.domain, LIMIT)
    least, best, shifts = len(plan.reach) - 1, None, range(FINEST + 1)
    for width in (32, 16, 8) if bits is None else (bits,):
        top = (1 << (width - 1)) - 1
        sets = range(-min(a, top), min(a, top) + 1), range(-min(b, top), min(b, top) + 1)
        forms = [Form(shift, *sets, LIMIT, INT32_MAX) for shift in shifts]
        found = _first(plan, forms, least, least)
        if best is None and not found and at_most > least:
            tried = forms if plan.domain.v.size < 4 * SAMPLES else forms[::4]
            found = _first(plan, tried, at_most, least)
        if not found:
            break
        best, least, shifts = found, len(found[1]), range(found[0], FINEST + 1)
    return best


def _shifts(plan: Plan, terms: int, at_most: int, finest: int) -> Found | None:
    """Return coefficients that are sums of so many powers of two, in each piece the fewest."""
    room = LIMIT >> 1  # of each product and of c: any partial sum of a leaf fits int32
    a, b = (
        [_powers(top, count) for count in range(terms + 1)] for top in _rooms(plan.domain, room)
    )
    forms = [Form(shift, a[-1], b[-1], LIMIT, room) for shift in range(finest, finest - 9, -4)]
    best = _first(plan, forms, at_most, len(plan.reach) - 1)
    if best is None:
        return None
    shift, pieces = best
    counts = sorted(product(range(terms + 1), repeat=2), key=sum)
    cheap = [Strips(plan.domain, Form(shift, a[i], b[k], LIMIT, room)) for i, k in counts[:-1]]
    return shift, [_cheapest(cheap, piece) for piece in pieces]


def _first(plan: Plan, forms: list[Form], at_most: int, enough: int) -> Found | None:
    """Return the pieces of the first form that has the fewest, or the first that has enough."""
    best = None
    for form in forms:
        if pieces := _cover(plan, form, at_most):
            best, at_most = (form.shift, pieces), len(pieces) - 1
        if at_most < enough:
            break
    return best


def _rooms(domain: Domain, room: int) -> list[int]:
    """Return the largest a and b whose products with q and v stay within room."""
    return [room // max(1, int(np.abs(basis).max())) for basis in (domain.q, domain.v)]


def _powers(top: int, terms: int) -> list[int]:
    """Return every sum of so many signed powers of two or 0 that is at most top, ascending."""
    signed = [sign << k for k in range(31) for sign in (1, -1)]
    sums = {0}
    for _ in range(terms):
        sums |= {total + power for total in sums for power in signed}
    return sorted(total for total in sums if abs(total) <= top)


def _cheapest(cheap: list[Strips], piece: Piece) -> Piece:
    """Return a piece for the same inputs in the first form that has one, or the piece itself."""
    for strips in cheap:
        if found := strips.serve(piece.start, piece.end, (piece.a, piece.b)):
            return strips.piece(piece.start, piece.end, *found)
    return piece


def _reduced(found: Found) -> Found:
    """Return the same function without the powers of two that all a and b share."""
    shift, pieces = found
    every = reduce(or_, (piece.a | piece.b for piece in pieces))
    shared = shift if every == 0 else min(shift, (every & -every).bit_length() - 1)
    return shift - shared, [
        one._replace(a=one.a >> shared, b=one.b >> shared, c=one.c >> shared) for one in pieces
    ]


# Nodes


def _by_products(plan: Plan, pieces: list[Piece], shift: int) -> Node:
    """Return the pieces with coefficients that are looked up."""
    starts = [int(plan.domain.v[piece.start]) for piece in pieces[1:]]
    index = named(search_tree(plan.v, starts), "piece")

    def coefficient(name: str, values: list[int]) -> Node:
        if len(values) == 1:
            return const(values[0])
        if len(values) == 2:  # a choice of two constants is cheaper than a table of two
            left, right = const(values[0]), const(values[1])
            return named(select_less(plan.v, const(starts[0]), left, right), name)
        return named(lookup(Table(f"{name}s", tuple(values)), index), name)

    a = coefficient("bend", [piece.a for piece in pieces])
    b = coefficient("slope", [piece.b for piece in pieces])
    c = coefficient("offset", [piece.c for piece in pieces])
    if plan.drop:
        total = add(add(mul(a, _square(plan)), mul(b, plan.v)), c)
    else:
        total = add(mul(add(mul(a, plan.v), b), plan.v), c)
    return named(shr(total, shift), "curve")


def _by_shifts(plan: Plan, pieces: list[Piece], shift: int) -> Node:
    """Return a choice among the pieces, each of them shifts and sums."""
    q = _square(plan)

    def between(low: int, high: int) -> Node:
        if low == high:
            return _leaf(pieces[low], shift, q, plan.v)
        middle = (low + high + 1) // 2
        start = const(int(plan.domain.v[pieces[middle].start]))
        return select_less(plan.v, start, between(low, middle - 1), between(middle, high))

    return named(between(0, len(pieces) - 1), "curve")


def _square(plan: Plan) -> Node:
    return named(shr(named(mul(plan.v, plan.v), "square"), plan.drop), "q")


def _leaf(piece: Piece, shift: int, q: Node, v: Node) -> Node:
    """Return (a * q + b * v + c) >> shift with the powers of two that a and b share taken out."""
    both = piece.a | piece.b
    shared = shift if both == 0 else min(shift, (both & -both).bit_length() - 1)
    c = piece.c >> shared
    terms = [(sign, shl(q, k)) for sign, k in _digits(piece.a >> shared)]
    terms += [(sign, shl(v, k)) for sign, k in _digits(piece.b >> shared)]
    positive = [node for sign, node in terms if sign > 0]
    total = positive[0] if positive else const(c)
    for node in positive[1:]:
        total = add(total, node)
    for sign, node in terms:
        if sign < 0:
            total = sub(total, node)
    return shr(add(total, const(c)) if positive else total, shift - shared)


def _digits(value: int) -> list[tuple[int, int]]:
    """Return the fewest (sign, k) such that value is the sum of sign * 2**k.

    The non-adjacent form (Reitwiesner 1960).

    >>> _digits(7), _digits(-6)
    ([(-1, 0), (1, 3)], [(1, 1), (-1, 3)])
    """
    digits, k = [], 0
    while value:
        if value & 1:
            sign = 2 - (value & 3)
            digits.append((sign, k))
            value -= sign
        value, k = value >> 1, k + 1
    return digits


# Which coefficients serve a run


class _Demand(NamedTuple):
    """What they demand whatever b is: bend * a >= rise."""

    bend: int
    rise: int


class Strips:
    """A domain scaled by a form: lower <= a * q + b * v + c <= upper."""

    def __init__(self, domain: Domain, form: Form) -> None:
        self.form, self.v, self.q = form, domain.v, domain.q
        shift, limit = form.shift, form.limit
        free_low, free_high = domain.low == -FREE, domain.high == FREE
        lower = np.where(free_low, 0, domain.low) << shift
        upper = (np.where(free_high, 0, domain.high + 1) << shift) - 1
        self.lower = np.maximum(np.where(free_low, -limit, lower), -limit)
        self.upper = np.minimum(np.where(free_high, limit, upper), limit)

    def serve(self, i: int, j: int, near: tuple[int, int]) -> tuple[int, int] | None:
        """Return an (a, b) that serves the inputs i..j-1, or None if the form has none.

        near: where to begin. Every a is served, or refuted with all on one side of it, or alone;
        of the last kind about 400 are tried (7 for 65,536 inputs), after that None means unknown.
        """
        choices, (a, b) = self.form.a, near
        first, last = 0, len(choices) - 1
        left, patience = [(first, last)], PATIENCE // (1000 + j - i)
        while left and patience:
            start, end = left.pop()
            start, end = max(start, first), min(end, last)
            if start > end:
                continue
            index = min(max(bisect_left(choices, a), start), end)
            a = choices[index]
            found = self._line(i, j, a, b)
            match found:
                case int():
                    return a, found
                case _Demand(bend, rise):
                    if bend > 0:
                        a = -(-rise // bend)
                        first = bisect_left(choices, a)
                    elif bend < 0:
                        a = rise // bend
                        last = bisect_right(choices, a) - 1
                    else:
                        return None
                    left.append((start, end))
                case None:
                    if self.form.relaxed:
                        return a, b
                    patience -= 1
                    left += [(start, index - 1), (index + 1, end)]
        return None

    def _line(self, i: int, j: int, a: int, near: int) -> int | _Demand | None:
        """Return a b that serves with a, or what refutes a, or None if only the set of b does."""
        choices = self.form.b
        first, last = 0, len(choices) - 1
        at_least, at_most = _Cut(1, 0, choices[0]), _Cut(-1, 0, -choices[-1])
        views: list[View] = []
        index = bisect_left(choices, near)
        while first <= last:
            b = choices[min(max(index, first), last)]
            cut = self._cut(views, i, j, a, b)
            if cut is None:
                return b
            need = cut.rise - cut.bend * a
            if cut.run > 0:
                at_least = cut
                index = first = bisect_left(choices, -(-need // cut.run))
            elif cut.run < 0:
                at_most = cut
                index = last = bisect_right(choices, need // cut.run) - 1
            else:
                return _Demand(cut.bend, cut.rise)
        bend = at_most.bend * at_least.run - at_least.bend * at_most.run
        rise = at_most.rise * at_least.run - at_least.rise * at_most.run
        return _Demand(bend, rise) if bend * a < rise else None

    def _cut(self, views: list[View], i: int, j: int, a: int, b: int) -> _Cut | None:
        """Return what two of the inputs i..j-1 demand that (a, b) does not, or None if it serves.

        views: what was computed for this a.
        """
        size, top = j - i, self.form.offset_limit
        steps = (1,) if size < 4 * SAMPLES else (size // SAMPLES, 1)
        for number, step in enumerate(steps):
            if number == len(views):
                bent = a * self.q[i:j:step]
                lower, upper = self.lower[i:j:step], self.upper[i:j:step]
                views.append((self.v[i:j:step], lower - bent, upper - bent))
            v, lower, upper = views[number]
            product = b * v
            least, greatest = lower - product, upper - product
            p, r = int(least.argmax()), int(greatest.argmin())
            low, high = int(least[p]), int(greatest[r])
            if max(low, -top) > min(high, top):
                p, r = i + p * step, i + r * step
                below = int(self.v[p]), int(self.q[p]), int(self.lower[p])
                above = int(self.v[r]), int(self.q[r]), int(self.upper[r])
                if low < -top:  # c itself is bounded: the same as an input 0
                    below = 0, 0, -top
                if high > top:
                    above = 0, 0, top
                return _Cut(*(one - other for one, other in zip(below, above, strict=True)))
        return None

    def piece(self, i: int, j: int, a: int, b: int) -> Piece:
        """Return the piece with the c in the middle of those that serve."""
        rest = a * self.q[i:j] + b * self.v[i:j]
        low = max(int((self.lower[i:j] - rest).max()), -self.form.offset_limit)
        high = min(int((self.upper[i:j] - rest).min()), self.form.offset_limit)
        return Piece(i, j, a, b, (low + high) // 2)
