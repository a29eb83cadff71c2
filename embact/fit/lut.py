"""Family ``lut``: tables over the input code, whole or cut down, of one level or of two.

Inputs beyond the first and the last entry take these entries, a symmetry of the activation halves
the domain (``fold``), and where bytes count the low bits of the index are dropped or served by a
second table (``twolevel``). This module must not know C or costs.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.fit import twolevel
from embact.fit.fold import FARTHEST, fold
from embact.fit.line import FREE
from embact.fit.problem import Candidate, Limits
from embact.ir import Node, Op, Table, add, const, evaluate, lookup, saturate, sub, x
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from embact.fit.line import Intervals
    from embact.fit.problem import Problem
    from embact.grid import Codes

MOST_BYTES = (1 << 16) - 1
"""Tables of more bytes are not a kernel for a microcontroller: the full one of an int16 input."""


@dataclass(frozen=True)
class Domain:
    """A problem as a table sees it: what the entries 0, 1, .. may be and which input reads each.

    source: a node whose values are start, start + 1, ...
    low, high: what each entry may be, FREE where an end is free. wanted: the entry to prefer.
    unfold: from the node of the entry to that of the result, before the clamp.
    mirror: c where c - entry is the entry of the other sign, or None.
    """

    source: Node
    start: int
    low: Codes
    high: Codes
    wanted: Codes
    unfold: Callable[[Node], Node]
    folded: bool = False
    mirror: int | None = None

    @property
    def index(self) -> Node:
        """The node 0, 1, .. of the entry."""
        return add(self.source, const(-self.start))

    @property
    def all(self) -> tuple[int, int]:
        """The first and the last entry."""
        return 0, self.low.size - 1

    @property
    def ends(self) -> tuple[int, int]:
        """The first and last entry of the shortest table whose ends serve all beyond."""
        serves = np.maximum.accumulate(self.low) <= np.minimum.accumulate(self.high)
        first = int(np.count_nonzero(serves)) - 1
        serves = np.maximum.accumulate(self.low[::-1]) <= np.minimum.accumulate(self.high[::-1])
        last = self.low.size - int(np.count_nonzero(serves))
        if first == self.low.size - 1:  # one entry serves every input
            return first, first
        return first, max(last, first + 1)

    def cut(self, ends: tuple[int, int]) -> Domain:
        """Return the domain of entries first..last, of which these two serve all beyond, too."""
        first, last = ends
        low, high = self.low[first : last + 1].copy(), self.high[first : last + 1].copy()
        low[0] = max(low[0], self.low[: first + 1].max())
        high[0] = min(high[0], self.high[: first + 1].min())
        low[-1] = max(low[-1], self.low[last:].max())
        high[-1] = min(high[-1], self.high[last:].min())
        source = self.source
        if first > 0:
            source = Node(Op.MAX, (source, const(self.start + first)))
        if last < self.low.size - 1:
            source = Node(Op.MIN, (source, const(self.start + last)))
        return dataclasses.replace(
            self,
            source=source,
            start=self.start + first,
            low=low,
            high=high,
            wanted=self.wanted[first : last + 1],
        )


def lut(problem: Problem) -> Iterator[Candidate]:
    """Yield tables, first with one entry for each input, then with fewer and fewer bytes.

    For int8 inputs, correctly rounded: the full table; without constant ends; folded. Then, within
    the budget, each if it has fewer bytes than all before: with shorter ends; folded where no
    folded table is correctly rounded; and for inputs of both widths the fewest bytes of tables of
    one level and of two, direct and folded, whole and with shorter ends. These have the least error
    in codes that their layout reaches, and for int16 inputs MOST_BYTES at most, or what the limits
    afford.
    """
    best, most = MOST_BYTES + 1, problem.limits.max_bytes
    if problem.spec.input.bits == 8:
        for candidate in _whole(problem):
            best = candidate.kernel.table_bytes
            yield candidate
    if most is not None:
        best = min(best, most + 1)
    for two in (False, True):
        for folded in (False, True):
            domain = _domain(problem, folded=folded)
            if domain is None:
                continue
            for ends in dict.fromkeys((domain.all, domain.ends)):
                cut = domain.cut(ends)
                if found := twolevel.smallest(cut.low, cut.high, best, two=two):
                    best = found.layout.bytes
                    yield _least_error(problem, ends, found, folded=folded)


def _whole(problem: Problem) -> Iterator[Candidate]:
    """Yield the tables with an entry for each input, or magnitude, between their ends."""
    exact = _exact(problem)
    best: float = math.inf
    if plain := _domain(exact, folded=False):
        candidate = _table(exact, plain, small=False)
        best = candidate.kernel.table_bytes
        yield candidate
    for one in dict.fromkeys((exact, problem)):
        for folded in (False, True):
            if domain := _domain(one, folded=folded):
                for ends in (domain.all, domain.ends):
                    candidate = _table(one, domain.cut(ends))
                    if candidate.kernel.table_bytes < best:
                        best = candidate.kernel.table_bytes
                        yield candidate


def _table(problem: Problem, domain: Domain, *, small: bool = True) -> Candidate:
    """Return the table of the entries that a domain wants.

    small: whether an offset may be added to entries, or they may be negated, to make them narrower.
    """
    entries = np.clip(domain.wanted, domain.low, domain.high)
    centre = (int(entries.min()) + int(entries.max()) + 1) // 2
    forms = [(1, 0), (-1, 0 if domain.mirror is None else domain.mirror), (1, centre)]
    tables = [Table("lut", tuple((s * (entries - c)).tolist())) for s, c in forms]
    best = min(range(len(forms) if small else 1), key=lambda form: tables[form].bits)
    (sign, offset), entry = forms[best], lookup(tables[best], domain.index)
    value = add(const(offset), entry) if sign > 0 else sub(const(offset), entry)
    return _candidate(problem, domain, value, {"entries": entries.size})


def _least_error(
    problem: Problem, ends: tuple[int, int], found: twolevel.Tables, *, folded: bool
) -> Candidate:
    """Return tables of the same layout with the least error, without a clamp if that is possible.

    Solutions for an error are solutions for a larger one: bisection over the budgets below, unless
    the budget is one in lsb.
    """

    def within(error: int) -> Domain | None:
        limits = dataclasses.replace(problem.limits, max_error=error)
        domain = _domain(dataclasses.replace(problem, limits=limits), folded=folded)
        return domain and domain.cut(ends)

    high = problem.limits.max_error
    low = 0 if problem.max_error_lsb is None else high
    while low < high:
        middle = (low + high) // 2
        domain = within(middle)
        if domain and (tables := twolevel.solve(domain.low, domain.high, found.layout)):
            found, high = tables, middle
        else:
            low = middle + 1
    domain = within(high)
    assert domain is not None  # noqa: S101 - there are tables for it
    if not folded:
        inside = [np.clip(end, *problem.code_range) for end in (domain.low, domain.high)]
        found = twolevel.solve(inside[0], inside[1], found.layout) or found
    layout = found.layout
    parameters = {
        "entries": len(found.coarse) + len(found.fine),
        "dropped_bits": layout.drop,
        "middle_bits": layout.middle,
        "low_bits": layout.low,
        "shift": layout.shift,
    }
    return _candidate(problem, domain, twolevel.expression(domain.index, found), parameters)


def _candidate(
    problem: Problem, domain: Domain, value: Node, parameters: dict[str, int]
) -> Candidate:
    result = saturate(domain.unfold(value), problem.spec.output.bits)
    kernel = Kernel(result, problem.spec.input.bits, problem.spec.output.bits)
    chosen = parameters | {"folded": int(domain.folded)}
    return Candidate(kernel, {name: n for name, n in chosen.items() if n or name == "entries"})


def _exact(problem: Problem) -> Problem:
    """Return the problem of the correctly rounded code for every input."""
    return dataclasses.replace(problem, limits=Limits(0), max_error_lsb=None)


def _domain(problem: Problem, *, folded: bool) -> Domain | None:
    """Return the direct or the folded domain, or None if there is none that serves."""
    if problem.options.fold not in (None, folded):
        return None
    if folded:
        return _folded(problem)
    bounds, start = problem.bounds(), problem.spec.input.code_min
    if np.any(bounds.low > bounds.high):
        return None
    return Domain(x(), start, bounds.low, bounds.high, problem.truth.codes, lambda entry: entry)


def _folded(problem: Problem) -> Domain | None:
    """Return the domain of magnitudes; it wants correctly rounded entries wherever they serve."""
    half = fold(problem)
    if half is None:
        return None
    grid, rounded = problem.spec.input, fold(_exact(problem))
    low, high = _freed((rounded or half).bounds)
    error = 0 if rounded or problem.max_error_lsb is not None else problem.limits.max_error
    centre = np.where(
        low <= -FREE, high - error, np.where(high >= FREE, low + error, (low + high) // 2)
    )
    centre[(low <= -FREE) & (high >= FREE)] = problem.spec.output.zero_point
    positive = problem.truth.codes[grid.zero_point - grid.code_min :]
    centre[: positive.size] = positive
    mirror = None
    if grid.zero_point > grid.code_min and problem.activation.symmetry != "gated":
        mirror = int(evaluate(half.unfold(const(0)), np.array([grid.code_min]))[0])
    return Domain(
        half.magnitude,
        0,
        *_freed(half.bounds),
        wanted=np.clip(centre, low, high),
        unfold=half.unfold,
        folded=True,
        mirror=mirror,
    )


def _freed(bounds: Intervals) -> tuple[Codes, Codes]:
    """Return the ends of folded bounds with those free that ``fold`` puts far away."""
    low, high = bounds.low, bounds.high
    return np.where(low <= -FARTHEST, -FREE, low), np.where(high >= FARTHEST, FREE, high)
