"""Search: build candidates from the families, certify each, return the cheapest within the limits.

This module must not know how a family works, or any core's instruction counts.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.certify import certify
from embact.cost import instructions
from embact.errors import EmbactError, unknown_name
from embact.fit.affine import affine
from embact.fit.composed import composed
from embact.fit.hard import hard
from embact.fit.lut import lut
from embact.fit.pwl import pwl
from embact.fit.record import Fit, meets
from embact.fit.shift_pwl import shift_pwl
from embact.fit.tflm import tflm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from embact.fit.problem import Candidate, Problem

FAMILIES: dict[str, Callable[[Problem], Iterator[Candidate]]] = {
    "affine": affine,
    "composed": composed,
    "hard": hard,
    "lut": lut,
    "pwl": pwl,
    "shift_pwl": shift_pwl,
    "tflm": tflm,
}

AUTO = "auto"


def candidates(problem: Problem, family: str = AUTO) -> Iterator[Fit]:
    """Yield the certified candidates of one family or of all; they need not meet the limits.

    Equal kernels are yielded once. Raises EmbactError for an unknown family.
    """
    if family != AUTO and family not in FAMILIES:
        raise unknown_name("family", family, (*FAMILIES, AUTO))
    seen: set[str] = set()
    for name in FAMILIES if family == AUTO else (family,):
        for candidate in FAMILIES[name](problem):
            if candidate.kernel.digest not in seen:
                seen.add(candidate.kernel.digest)
                proved = certify(
                    problem.activation, problem.spec, candidate.kernel, problem.histogram
                )
                yield Fit(problem, name, candidate, proved)


@dataclass(frozen=True)
class Choice:
    """The kernel that the search takes, and one sentence why."""

    fit: Fit
    reason: str


def fit(problem: Problem, family: str = AUTO) -> Fit:
    """Return the kernel that ``choose`` takes."""
    return choose(problem, family).fit


def choose(problem: Problem, family: str = AUTO) -> Choice:
    """Return the certified kernel within the limits that is best by ``options.objective``.

    Ties go to the other two objectives. For the least error the budgets 0, 1, 2, .. are tried in
    turn until a kernel meets the limits. Raises EmbactError if no candidate meets the limits,
    naming the best that each family reached.
    """
    budgets = [problem.limits.max_error]
    if problem.options.objective == "error":
        budgets = ladder(problem.limits.max_error)
    found: list[Fit] = []
    for budget in budgets:
        limits = dataclasses.replace(problem.limits, max_error=budget)
        found += candidates(dataclasses.replace(problem, limits=limits), family)
        meeting = [one for one in found if meets(one)]
        if meeting:
            best = min(meeting, key=_price)
            return Choice(best, _reason(best, meeting))
    raise _nothing_meets(problem, family, found)


def ladder(most: int) -> list[int]:
    """Return the error budgets from 0 to ``most`` that a search tries: finest where it matters.

    >>> ladder(20)
    [0, 1, 2, 3, 4, 6, 8, 12, 16, 20]
    """
    budgets, step = [0, 1, 2, 3], 4
    while step <= most:
        budgets += [step, step * 3 // 2]
        step *= 2
    return [*(budget for budget in budgets if budget < most), most]


def _price(one: Fit) -> tuple[float, ...]:
    options = one.problem.options
    count, size = instructions(one.kernel, options.core), one.kernel.table_bytes
    error = one.certificate.max_error_lsb
    match options.objective:
        case "instructions":
            return count, size, error
        case "bytes":
            return size, count, error
        case "error":
            return error, one.certificate.mse, count, size


def _reason(best: Fit, meeting: list[Fit]) -> str:
    """Return one sentence that compares the best with the best of the other families."""
    objective, core = best.problem.options.objective, best.problem.options.core

    def value(one: Fit) -> str:
        return f"{_price(one)[0]:.4g}"

    others: dict[str, Fit] = {}
    for one in sorted(meeting, key=_price):
        if one.family != best.family:
            others.setdefault(one.family, one)
    counted = f"estimated instructions on {core}" if objective == "instructions" else "table bytes"
    sentence = f"{best.family} has the fewest {counted} ({value(best)})"
    if objective == "error":
        sentence = f"{best.family} has the least error ({value(best)} lsb)"
    rivals = ", ".join(f"{name} {value(one)}" for name, one in others.items())
    return f"{sentence} of {len(meeting)} kernels within the limits" + (
        f"; the best of others: {rivals}" if rivals else ""
    )


def _nothing_meets(problem: Problem, family: str, found: list[Fit]) -> EmbactError:
    """Return the error that says how near each family came."""
    best: dict[str, Fit] = {}
    for one in found:
        key = one.certificate.max_error_codes, one.kernel.table_bytes
        rival = best.get(one.family)
        if rival is None or key < (rival.certificate.max_error_codes, rival.kernel.table_bytes):
            best[one.family] = one
    reached = "; ".join(
        f"{one.family} {one.certificate.max_error_codes} codes, {one.kernel.table_bytes} bytes"
        for one in best.values()
    )
    limits, spec = problem.limits, problem.spec
    wanted = f"{limits.max_error} codes"
    if limits.max_bytes is not None:
        wanted += f", {limits.max_bytes} table bytes"
    return EmbactError(
        f"no {'kernel' if family == AUTO else family + ' kernel'} of {problem.activation.name} "
        f"({spec.input.dtype} -> {spec.output.dtype}) meets the budget",
        got=wanted,
        allowed=reached or f"nothing: {family} does not apply here; try --family {AUTO}",
    )
