"""Why no kernel of a form has fewer segments: witnesses that anyone can check by hand.

For each shift, greedy segments start at s1 < s2 < ..; no single line serves both s(k) and the first
cell after s(k+1) with all between, and a few of these inputs suffice to see it. The stretches
overlap in their ends only, so every kernel has a segment for each. This module must not know how
kernels are built.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.errors import EmbactError
from embact.fit.fold import fold, plain
from embact.fit.least import RESOLUTION_LSB
from embact.fit.line import ALL_SHIFTS, Form, Refutation, Strips
from embact.fit.runs import longest

if TYPE_CHECKING:
    from embact.fit.line import Intervals, Pair
    from embact.fit.record import Fit

EXPLAINED = ("pwl", "shift_pwl")


@dataclass(frozen=True)
class Need:
    """Two values of the variable whose outputs bound every slope that serves both.

    A value outside the stretch (0, or an end of the domain) stands for int32. Twice the same value:
    no int32 gives an output that serves it.
    """

    inputs: tuple[int, int]
    slope: int


@dataclass(frozen=True)
class Witness:
    """A stretch of values first..last that no one line of the form serves.

    A line that serves the inputs of at_least has that slope or more, in units of 2**-shift; one
    that serves those of at_most has that slope or less; no allowed slope is both. None: the bound
    is that of the slope's width.
    """

    first: int
    last: int
    at_least: Need | None
    at_most: Need | None


@dataclass(frozen=True)
class Proof:
    """For one shift: no kernel has fewer than ``at_least`` segments; None if there is none at all.

    witnesses: at_least - 1 stretches that share no more than an end each; if there is no kernel,
    the last one is a single cell.
    """

    shift: int
    at_least: int | None
    witnesses: tuple[Witness, ...]


@dataclass(frozen=True)
class Explanation:
    """What the proofs are about: the form, and what each value of the variable may give.

    variable: "x", or "|x - zero_point|" if folded. align: segments start at multiples of it, from
    the first input. max_error_lsb: the error, in codes, that is proved to need more segments; None
    if the budget is ``limits.max_error``. bounds: the outputs before the clamp that serve, with
    -FREE and FREE for no bound but int32. proofs: one for each shift that was searched.
    """

    variable: str
    slope_bits: int
    terms: int | None
    align: int
    max_error_lsb: float | None
    bounds: Intervals
    proofs: tuple[Proof, ...]


def explain(fit: Fit) -> Explanation:
    """Return why a kernel of ``pwl`` or ``shift_pwl`` has the fewest segments for its error.

    Of a kernel with a given number of segments, it is why a smaller error needs more. Raises
    EmbactError for other families, and for kernels that were not made to have few segments.
    """
    problem, chosen, options = fit.problem, fit.candidate.parameters, fit.problem.options
    other = options.continuous or options.minimize == "mse" or "shift" not in chosen
    other |= options.segments is not None and fit.limits.on_support
    if fit.family not in EXPLAINED or other or chosen.get("least_code"):
        raise EmbactError(
            "no witnesses to print",
            got=f"a kernel of {fit.family}" + (" with another aim than few segments" * other),
            allowed="pwl with one shift, shift_pwl",
        )
    needed, error = chosen["segments"], None
    if options.segments is not None:
        needed, error = needed + 1, fit.certificate.max_error_lsb - 2 * RESOLUTION_LSB
        problem = dataclasses.replace(problem, max_error_lsb=error)
    low, high = problem.code_range
    limits = chosen.get("clamp_low", low), chosen.get("clamp_high", high)
    folded = "folded" in chosen
    view = fold(problem, limits) if folded else plain(problem, limits)
    if view is None:
        raise EmbactError(
            "no witnesses to print", got="a folded kernel whose error no other can be below"
        )
    form = Form(
        chosen["slope_bits"],
        0,
        terms=chosen.get("terms"),
        everywhere=fit.family == "shift_pwl",
    )
    align = 1 << chosen.get("spacing_log2", 0)
    one_shift = align > 1 and problem.spec.input.bits == 16
    shifts = (chosen["shift"],) if one_shift else ALL_SHIFTS
    return Explanation(
        "|x - zero_point|" if folded else "x",
        form.slope_bits,
        form.terms,
        align,
        error,
        view.bounds,
        tuple(
            _proof(view.bounds, dataclasses.replace(form, shift=shift), align, needed)
            for shift in shifts
        ),
    )


def _proof(bounds: Intervals, form: Form, align: int, needed: int) -> Proof:
    """Return the stretches that need ``needed`` segments at least for one shift."""
    strips, size = Strips(bounds, form), bounds.x.size
    witnesses: list[Witness] = []
    start, slope, length = 0, 0, 1
    while len(witnesses) < needed - 1:
        end, slope = longest(strips, start, length, slope)
        if end == size:
            break
        following = end - end % align
        last = min(following + align, size) - 1
        why = strips.search(start, last + 1, slope)
        assert isinstance(why, Refutation)  # noqa: S101 - else a longer run would have been found
        ends = int(bounds.x[start]), int(bounds.x[last])
        witnesses.append(Witness(*ends, _need(why.at_least), _need(why.at_most)))
        if following == start:
            return Proof(form.shift, None, tuple(witnesses))
        start, length = following, following - start
    return Proof(form.shift, len(witnesses) + 1, tuple(witnesses))


def _need(pair: Pair | None) -> Need | None:
    return None if pair is None else Need((pair.first, pair.second), pair.slope)
