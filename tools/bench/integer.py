"""Integer kernels: least numbers of segments against the known ones, and the time families take."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.classics import SIGMOID
from bench.rows import OURS, Row, timed
from embact.activations import activation
from embact.certify import ideal
from embact.fit.front import front
from embact.fit.line import Form, Intervals
from embact.fit.problem import Limits, Options, Problem
from embact.fit.runs import fewest
from embact.fit.search import AUTO, FAMILIES, candidates
from embact.grid import Grid, QuantSpec, grid_of_range

if TYPE_CHECKING:
    from collections.abc import Iterator

MINIMA = {  # slopes of 8 bits, 16 bits, 1 term, 2 terms: at most 1 code, then exact
    ("sigmoid", 8): ((7, 7, 13, 8), (22, 21, 46, 22)),
    ("tanh", 4): ((7, 7, 13, 8), (22, 21, 46, 22)),
    ("gelu", 4): ((6, 6, 7, 6), (12, 12, 22, 13)),
    ("silu", 8): ((5, 5, 7, 5), (14, 12, 21, 13)),
}
SLOPES: dict[str, tuple[str, dict[str, Any]]] = {
    "8-bit slopes": ("pwl", {"slope_bits": 8}),
    "16-bit slopes": ("pwl", {"slope_bits": 16}),
    "1-term slopes": ("shift_pwl", {"terms": 1}),
    "2-term slopes": ("shift_pwl", {"terms": 2}),
}
FOLDED = {("8-bit slopes", 1): 4, ("2-term slopes", 1): 5, ("2-term slopes", 0): 11}
WIDE = {"sigmoid": {1: 51, 2: 37, 4: 27}, "tanh": {1: 73, 2: 52, 4: 38}}


def quantisation(name: str, end: float) -> QuantSpec:
    """Return the int8 grids: inputs in [-end, end), outputs as TFLite has them."""
    source = Grid(end / 128, 0, 8)
    act = activation(name)
    values = act(source.real(source.codes()))
    if act.unit_range:
        low, high = act.unit_range
        return QuantSpec(source, Grid((high - low) / 256, -128 if low == 0 else 0, 8))
    return QuantSpec(source, grid_of_range(float(values.min()), float(values.max()), 8))


def wide() -> QuantSpec:
    """Return the int16 grids: inputs of 2**-12, outputs of 2**-15."""
    return QuantSpec(Grid(2.0**-12, 0, 16), Grid(2.0**-15, 0, 16))


def integers(quick: bool) -> Iterator[Row]:  # noqa: FBT001 - every section has this signature
    """Yield the least numbers of segments that the families find."""
    for (name, end), by_budget in list(MINIMA.items())[: 1 if quick else None]:
        spec = quantisation(name, end)
        for known, budget in zip(by_budget, (1, 0), strict=True):
            options = Options(fold=False, clamp="codes")
            problem = Problem(activation(name), spec, Limits(budget), options)
            for slopes, least in zip(SLOPES, known, strict=True):
                yield _least(f"int8 {name} +-{end}, {budget} codes", slopes, problem, least)
    for (slopes, budget), least in FOLDED.items():
        spec = quantisation("sigmoid", 8)
        problem = Problem(SIGMOID, spec, Limits(budget), Options(fold=True, clamp="codes"))
        yield _least(f"int8 sigmoid +-8 folded, {budget} codes", slopes, problem, least)
    if quick:
        return
    for name, by_codes in WIDE.items():
        for budget, least in by_codes.items():
            options = Options(fold=True, clamp="codes")
            problem = Problem(activation(name), wide(), Limits(budget), options)
            yield _half(name, problem, least)
            case = f"int16 {name} +-8 folded, {budget} codes"
            yield _least(case, "16-bit slopes", problem, None)


def _least(case: str, slopes: str, problem: Problem, known: int | None) -> Row:
    """Return the least number of segments that a family finds within the budget."""
    family, fixed = SLOPES[slopes]
    asked = replace(problem, options=replace(problem.options, **fixed))
    method = f"{OURS} {family}, {slopes}"
    found, seconds = timed(lambda: list(candidates(asked, family)))
    budget = problem.limits.max_error
    counts = [
        one.candidate.parameters["segments"]
        for one in found
        if one.certificate.max_error_codes <= budget
    ]
    least = min(counts, default=None)
    behind = "" if least is not None else "no kernel"
    if known is not None and least is not None and least > known:
        behind = "more segments than known"
    return Row("integers", case, method, least, seconds=seconds, known=known, behind=behind)


def _half(name: str, problem: Problem, known: int) -> Row:
    """Return the least number of segments for the inputs from 0 on.

    A folded kernel may take one more: its lines serve the negative inputs too, whose codes go one
    further.
    """
    bounds = problem.bounds()
    right = bounds.x >= 0
    half = Intervals(bounds.x[right], bounds.low[right], bounds.high[right])
    plan, seconds = timed(partial(fewest, half, Form(16, 0)))
    least = len(plan.runs) if plan else None
    case = f"int16 {name} [0,8), {problem.limits.max_error} codes"
    method = f"{OURS} pwl, 16-bit slopes"
    behind = "" if least is not None and least <= known else "more segments than known"
    return Row("integers", case, method, least, seconds=seconds, known=known, behind=behind)


# Speed

INT8_SECONDS, EXPLORE_SECONDS, INT16_PWL_SECONDS, INT16_AUTO_SECONDS = 1.0, 5.0, 5.0, 30.0
EXPLORED_CODES = 8


def speed(quick: bool) -> Iterator[Row]:  # noqa: FBT001 - likewise
    """Yield the work of each family and of all together; the truth is computed anew each time."""

    def row(case: str, problem: Problem, family: str, known: float | None) -> Row:
        ideal.cache_clear()
        found, seconds = timed(lambda: list(candidates(problem, family)))
        counts = [one.candidate.parameters.get("segments") for one in found]
        least = min((count for count in counts if count is not None), default=None)
        method = f"{OURS} {family}, {len(found)} kernels"
        slow = known is not None and seconds > known
        behind = f"over {known:g} s" if slow else ""
        return Row("speed", case, method, least, seconds=seconds, known=known, behind=behind)

    limits = Limits(1)
    for name, end in list(MINIMA)[: 1 if quick else None]:
        problem = Problem(activation(name), quantisation(name, end), limits)
        for family in (*FAMILIES, AUTO):
            yield row(f"int8 {name} +-{end}, 1 code", problem, family, INT8_SECONDS)
        ideal.cache_clear()
        found, seconds = timed(partial(front, replace(problem, limits=Limits(EXPLORED_CODES))))
        method = f"{OURS} explore, {len(found)} kernels on the front"
        slow = f"over {EXPLORE_SECONDS:g} s" if seconds > EXPLORE_SECONDS else ""
        case = f"int8 {name} +-{end}, up to {EXPLORED_CODES} codes"
        yield Row("speed", case, method, None, seconds=seconds, known=EXPLORE_SECONDS, behind=slow)
    if quick:
        return
    for name in WIDE:
        problem = Problem(activation(name), wide(), limits)
        for family in (*FAMILIES, AUTO):
            known = {"pwl": INT16_PWL_SECONDS, AUTO: INT16_AUTO_SECONDS}.get(family)
            yield row(f"int16 {name} +-8, 1 code", problem, family, known)
