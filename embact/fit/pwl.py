"""Family ``pwl``: piecewise linear with free breakpoints and provably the fewest segments.

    y = clamp((slope[i] * x + offset[i]) >> shift),  i = number of breakpoints <= x

One shift serves all segments. For every shift the greedy pass is optimal, and every shift that
int32 allows is tried, so no kernel of this form meets the budget with fewer segments. This module
must not know C or costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embact.certify import ideal
from embact.fit.line import Form, Run, Segment, intervals, lines, runs
from embact.fit.record import Candidate, Limits
from embact.ir import (
    Node,
    Table,
    add,
    const,
    lookup,
    mul,
    named,
    saturate,
    search_tree,
    select_less,
    shr,
    x,
)
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embact.activations import Activation
    from embact.grid import QuantSpec


def pwl(activation: Activation, spec: QuantSpec, limits: Limits) -> Iterator[Candidate]:
    """Yield the kernel with the fewest segments for the budget.

    Slopes have ``limits.slope_bits`` bits, offsets 32, and every value fits int32.
    """
    grid = spec.output
    truth = ideal(activation, spec)
    clamp = (grid.code_min, grid.code_max)
    bounds = intervals(spec.input.codes(), truth.codes, limits.max_error, clamp)
    best: list[Run] = []
    form = Form(limits.slope_bits, 0)
    for shift in range(32):  # beyond 32 - grid.bits only outputs that stay near code 0 fit int32
        at_most = len(best) - 1 if best else bounds.x.size
        tried = Form(limits.slope_bits, shift)
        if found := runs(bounds, tried, at_most):
            best, form = found, tried
    segments = lines(bounds, form, best)
    yield Candidate(
        Kernel(saturate(piecewise(segments), grid.bits), spec.input.bits, grid.bits),
        {"segments": len(segments), "slope_bits": form.slope_bits, "shift": form.shift},
        tuple(segments),
    )


def by_segment(found: list[Segment], name: str, values: list[int]) -> Node:
    """Return the node that gives each input the value of its segment."""
    if len(found) == 2:  # a choice of two constants is cheaper than a table of two
        return named(
            select_less(x(), const(found[1].first), const(values[0]), const(values[1])), name
        )
    index = named(search_tree(x(), [s.first for s in found[1:]]), "segment")
    return named(lookup(Table(f"{name}s", tuple(values)), index), name)


def piecewise(found: list[Segment]) -> Node:
    """Return ``(slope * x + offset) >> shift`` with the coefficients of each input's segment."""
    slope = by_segment(found, "slope", [s.slope for s in found])
    offset = by_segment(found, "offset", [s.offset for s in found])
    return named(shr(add(mul(slope, x()), offset), found[0].shift), "line")
