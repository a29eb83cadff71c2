"""Family ``quadratic``: piecewise quadratics with integer or shift coefficients, and few pieces.

    h(v) = (a[i] * q + b[i] * v + c[i]) >> shift,  q = (v * v) >> drop

v is the input code, or its magnitude where a symmetry folds the domain, limited to where the
activation has not become constant if that saves a piece. ``quadratic_pieces`` finds the fewest
pieces, ``parabola`` their coefficients.

SQNL (Wuraola & Patel 2018) is the case of one piece for each side. This module must not know C or
costs.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cache, reduce
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from embact.fit.fold import fold, plain
from embact.fit.lookup import by_segment, signed_powers
from embact.fit.parabola import FINEST, LIMIT, SAMPLES, Coefficients, Slabs, powers, rooms
from embact.fit.problem import Candidate
from embact.fit.quadratic_pieces import cover, limited, ranges, reach
from embact.ir import Node, add, clamp, const, mul, named, select_less, shl, shr, sub, x
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embact.fit.fold import View
    from embact.fit.line import Intervals
    from embact.fit.parabola import Piece
    from embact.fit.problem import Problem

PIECES = 16
LEAVES = 12
"""More pieces that are looked up, or chosen among, are of no use: none are sought unasked."""
WIDEST = 46340
"""The largest v whose square fits int32."""


@dataclass(frozen=True)
class Plan:
    """What v is, which outputs each v may give, and how few pieces real coefficients need.

    v: its node; neither it nor v * v overflows on any input. reach: what ``reach`` returns.
    """

    bounds: Intervals
    v: Node
    drop: int
    reach: tuple[int, ...]

    @property
    def fewest(self) -> int:
        """The number of pieces with real coefficients: no others have fewer."""
        return len(self.reach) - 1


@dataclass(frozen=True)
class Curve:
    """Pieces with one shift."""

    plan: Plan
    shift: int
    pieces: list[Piece]


def quadratic(problem: Problem) -> Iterator[Candidate]:
    """Yield kernels with the fewest pieces for the budget, if that is 16 or less (terms: 12).

    One kernel each, plain and folded, for coefficients of three kinds: integers (terms = 0), 0 or a
    signed power of two (1), and sums of two of them if that saves pieces (2).

    The counts are the least for the range of v that was taken and for every shift up to 24, where
    a * q and b * v stay below 2**30; with powers of two for three shifts, where they stay below
    2**29. Where real coefficients need as many, no shift has fewer. They are not proved if
    ``Slabs.serve`` gave up on a run, and for int16 inputs that need more pieces than real
    coefficients do only every fourth shift is tried.

    Integers have ``options.slope_bits`` bits, by default the fewest of 8, 16 and as many as there
    is room for. With ``options.segments`` the budget is the least for which a bisection finds so
    many pieces.
    """
    options, search = problem.options, _fewest
    if options.segments is not None:
        problem, search = _within(problem, 1 << 16), _least_error
    views = [] if options.fold else [plain(problem)]
    if options.fold is not False and (half := fold(problem)):
        views.append(half)
    for view in views:
        yield from search(problem, view, range(min(options.terms or 2, 2) + 1))


def _fewest(problem: Problem, view: View, kinds: range) -> Iterator[Candidate]:
    """Yield for each kind of coefficients (terms, as above) the kernel with the fewest pieces."""
    centred, plan, leaves = _centred(problem, view), _plan(view, PIECES), LEAVES
    for terms in kinds:
        if terms == 1 and centred is not view:
            plan = _plan(centred, LEAVES)
        if found := _pieces(problem, plan, terms, leaves if terms else PIECES):
            yield _made(problem, view, terms, found)
            leaves = len(found.pieces) - 1 if terms else LEAVES


def _least_error(problem: Problem, view: View, kinds: range) -> Iterator[Candidate]:
    """Yield for each kind the kernel of ``options.segments`` pieces for the least budget."""
    at_most = problem.options.segments or 1

    @cache
    def plan(budget: int, *, centred: bool) -> Plan | None:
        remade = view.remade(_within(problem, budget))
        if remade is None:
            return None
        return _plan(_centred(problem, remade) if centred else remade, at_most)

    for terms in kinds:
        centred, bad, good, step = terms > 0, -1, problem.limits.max_error, 1
        best = _pieces(problem, plan(good, centred=centred), terms, at_most)
        while best and good - bad > 1:
            middle = min(bad + step, (bad + good) // 2)
            if found := _pieces(problem, plan(middle, centred=centred), terms, at_most):
                best, good = found, middle
            else:
                bad, step = middle, 2 * step
        if best:
            yield _made(problem, view, terms, best)


def _within(problem: Problem, budget: int) -> Problem:
    """Return the problem with another budget, in codes."""
    limits = dataclasses.replace(problem.limits, max_error=budget)
    return dataclasses.replace(problem, limits=limits)


def _made(problem: Problem, view: View, terms: int, found: Curve) -> Candidate:
    """Return the kernel of some pieces."""
    spec, node = problem.spec, (_by_shifts if terms else _by_products)(found)
    parameters = {"pieces": len(found.pieces), "shift": found.shift}
    return Candidate(
        Kernel(view.result(named(node, "curve")), spec.input.bits, spec.output.bits),
        parameters | {"folded": int(view.folded), "terms": terms},
    )


# What v is


def _centred(problem: Problem, view: View) -> View:
    """Return a plain view as one of x - z, where powers of two are most likely to do."""
    zero = problem.spec.input.zero_point
    codes = view.bounds.x - zero
    if view.folded or zero == 0 or np.abs(codes).max() > WIDEST:
        return view
    bounds = dataclasses.replace(view.bounds, x=codes)
    return dataclasses.replace(view, bounds=bounds, magnitude=sub(x(), const(zero)))


def _plan(view: View, at_most: int) -> Plan | None:
    """Return how to take v so that real coefficients need the fewest pieces, or None."""
    best = None
    for first, last in ranges(view.bounds, folded=view.folded):
        low, high = int(view.bounds.x[first]), int(view.bounds.x[last])
        widest = max(abs(low), abs(high))
        if widest > WIDEST:
            continue
        bounds, drop = limited(view.bounds, first, last), max(0, (widest**2).bit_length() - 16)
        if reached := reach(bounds, drop, at_most):
            best = Plan(bounds, clamp(view.magnitude, low, high), drop, reached)
            at_most = best.fewest - 1
    return best


# Which coefficients


def _pieces(problem: Problem, plan: Plan | None, terms: int, at_most: int) -> Curve | None:
    """Return the fewest pieces of one kind of coefficients, or None if more than at_most."""
    if plan is None:
        return None
    if terms:
        return _shifts(plan, terms, at_most, 26 - problem.spec.output.bits)
    return _products(plan, problem.options.slope_bits, at_most)


def _products(plan: Plan, bits: int | None, at_most: int) -> Curve | None:
    """Return integer coefficients: the fewest pieces, the fewest bits, the least shift."""
    a, b = rooms(plan.bounds, plan.drop, LIMIT)
    least, best, shifts = plan.fewest, None, range(FINEST + 1)
    for width in (32, 16, 8) if bits is None else (bits,):
        top = (1 << (width - 1)) - 1
        sets = range(-min(a, top), min(a, top) + 1), range(-min(b, top), min(b, top) + 1)
        forms = [Coefficients(plan.drop, shift, *sets) for shift in shifts]
        found = _first(plan, forms, least)
        if best is None and found is None and at_most > least:
            tried = forms if plan.bounds.x.size < 4 * SAMPLES else forms[::4]
            found = _first(plan, tried, at_most)
        if found is None:
            break
        best, least, shifts = found, len(found.pieces), range(found.shift, FINEST + 1)
    return None if best is None else _reduced(best)


def _shifts(plan: Plan, terms: int, at_most: int, finest: int) -> Curve | None:
    """Return coefficients that are sums of so many powers of two, in each piece the fewest."""
    room = LIMIT >> 1  # of each product and of c: any partial sum of a leaf fits int32
    tops = rooms(plan.bounds, plan.drop, room)
    a, b = ([powers(top, count) for count in range(terms + 1)] for top in tops)

    def form(shift: int, i: int, k: int) -> Coefficients:
        return Coefficients(plan.drop, shift, a[i], b[k], offset_limit=room)

    forms = [form(shift, terms, terms) for shift in range(finest, finest - 9, -4)]
    best = _first(plan, forms, at_most)
    if best is None:
        return None
    counts = sorted(product(range(terms + 1), repeat=2), key=sum)
    cheap = [Slabs(plan.bounds, form(best.shift, i, k)) for i, k in counts[:-1]]
    return _reduced(Curve(plan, best.shift, [_cheapest(cheap, piece) for piece in best.pieces]))


def _first(plan: Plan, forms: list[Coefficients], at_most: int) -> Curve | None:
    """Return the pieces of the first form that has the fewest."""
    best = None
    for form in forms:
        if at_most < plan.fewest:
            break
        if pieces := cover(plan.bounds, plan.reach, form, at_most):
            best, at_most = Curve(plan, form.shift, pieces), len(pieces) - 1
    return best


def _cheapest(cheap: list[Slabs], piece: Piece) -> Piece:
    """Return a piece for the same inputs in the first form that has one, or the piece itself."""
    for slabs in cheap:
        if found := slabs.serve(piece.start, piece.end, (piece.a, piece.b)):
            return slabs.piece(piece.start, piece.end, *found)
    return piece


def _reduced(curve: Curve) -> Curve:
    """Return the same function without the powers of two that all a and b share."""
    k = _shared(curve.shift, *(factor for one in curve.pieces for factor in (one.a, one.b)))
    pieces = [one._replace(a=one.a >> k, b=one.b >> k, c=one.c >> k) for one in curve.pieces]
    return Curve(curve.plan, curve.shift - k, pieces)


def _shared(most: int, *factors: int) -> int:
    """Return the largest k up to a most for which 2**k divides all factors."""
    return math.gcd(1 << most, *factors).bit_length() - 1


# Nodes


def _by_products(curve: Curve) -> Node:
    """Return the pieces with coefficients that are looked up."""
    plan, pieces = curve.plan, curve.pieces
    starts = [int(plan.bounds.x[piece.start]) for piece in pieces[1:]]
    a = by_segment(plan.v, starts, "bend", [piece.a for piece in pieces])
    b = by_segment(plan.v, starts, "slope", [piece.b for piece in pieces])
    c = by_segment(plan.v, starts, "offset", [piece.c for piece in pieces])
    if plan.drop:
        total = add(mul(a, _square(plan)), mul(b, plan.v))
    else:
        total = mul(add(mul(a, plan.v), b), plan.v)
    return shr(add(total, c), curve.shift)


def _by_shifts(curve: Curve) -> Node:
    """Return a choice among the pieces, each of them shifts and sums."""
    plan, pieces = curve.plan, curve.pieces
    if len(pieces) == 1:
        return _leaf(pieces[0], curve.shift, _square(plan), plan.v)
    middle = len(pieces) // 2
    parts = (dataclasses.replace(curve, pieces=part) for part in (pieces[:middle], pieces[middle:]))
    start = const(int(plan.bounds.x[pieces[middle].start]))
    return select_less(plan.v, start, *(_by_shifts(part) for part in parts))


def _square(plan: Plan) -> Node:
    return named(shr(named(mul(plan.v, plan.v), "square"), plan.drop), "q")


def _leaf(piece: Piece, shift: int, q: Node, v: Node) -> Node:
    """Return (a * q + b * v + c) >> shift with the powers of two that a and b share taken out."""
    shared = _shared(shift, piece.a, piece.b)
    constant = const(piece.c >> shared)
    terms = [
        (sign, shl(basis, k))
        for basis, factor in ((q, piece.a >> shared), (v, piece.b >> shared))
        for sign, k in signed_powers(factor)
    ]
    positive, negative = ([node for one, node in terms if one == sign] for sign in (1, -1))
    if positive:
        total = add(reduce(sub, negative, reduce(add, positive)), constant)
    else:
        total = reduce(sub, negative, constant)
    return shr(total, shift - shared)
