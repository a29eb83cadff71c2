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
from embact.fit.classics import CLASSICS
from embact.fit.composed import composed
from embact.fit.hard import hard
from embact.fit.interp import interp
from embact.fit.lut import lut
from embact.fit.pwl import pwl
from embact.fit.quadratic import quadratic
from embact.fit.rational import rational
from embact.fit.record import Fit, meets
from embact.fit.shift_pwl import shift_pwl
from embact.fit.tflm import tflm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from embact.fit.problem import Candidate, Options, Problem

FAMILIES: dict[str, Callable[[Problem], Iterator[Candidate]]] = {
    "affine": affine,
    "composed": composed,
    "hard": hard,
    "interp": interp,
    "lut": lut,
    "pwl": pwl,
    "quadratic": quadratic,
    "rational": rational,
    "shift_pwl": shift_pwl,
    "tflm": tflm,
    **CLASSICS,
}
"""Every family by name. The classics are there to be asked for and compared with."""

AUTO = "auto"

NO_SEGMENTS = 1 << 17
"""Stands for the number of segments of a kernel that has none: more than any."""

_LINES = {"segments", "fold"}
KNOWS: dict[str, set[str]] = {
    "composed": _LINES | {"slope_bits", "terms", "shifts", "lookup"},
    "interp": _LINES,
    "lut": {"fold"},
    "pwl": _LINES | {"slope_bits", "minimize", "shifts", "continuous", "lookup"},
    "quadratic": _LINES | {"slope_bits", "terms"},
    "rational": {"fold"},
    "shift_pwl": _LINES | {"terms"},
}
"""The options about the form that a family follows; a family that is not listed has none."""


def candidates(problem: Problem, family: str = AUTO) -> Iterator[Fit]:
    """Yield the certified candidates of one family or of all; they need not meet the limits.

    Equal kernels are yielded once. Raises EmbactError for an unknown family, and for an option that
    the family does not know; auto is the families, but for the classics, that know them all.
    """
    yield from _over([problem], family)


def _over(problems: Iterable[Problem], family: str) -> Iterator[Fit]:
    """Yield the certified candidates of all problems, equal kernels once."""
    seen: set[str] = set()
    for problem in problems:
        for name in families_of(family, problem.options):
            for candidate in FAMILIES[name](problem):
                if candidate.kernel.digest not in seen:
                    seen.add(candidate.kernel.digest)
                    proved = certify(
                        problem.activation, problem.spec, candidate.kernel, problem.histogram
                    )
                    yield Fit(problem, name, candidate, proved)


def families_of(family: str, options: Options) -> list[str]:
    """Return the families that a name stands for, given what is fixed about the form.

    Raises EmbactError for an unknown family and for options that it does not know.
    """
    if family != AUTO and family not in FAMILIES:
        raise unknown_name("family", family, (*FAMILIES, AUTO))
    fixed = {
        option.name
        for option in dataclasses.fields(options)
        if option.name not in ("objective", "core")
        and getattr(options, option.name) != option.default
    }
    able = [name for name in FAMILIES if fixed <= KNOWS.get(name, set())]
    if family == AUTO:
        able = [name for name in able if name not in CLASSICS]
    if not able or (family != AUTO and family not in able):
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(fixed))
        raise EmbactError(
            "options about the form that "
            + ("no family has" if family == AUTO else f"family {family} lacks"),
            got=listed,
            allowed=", ".join(sorted(able)) or "fewer of them",
        )
    return able if family == AUTO else [family]


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


def front(problem: Problem, family: str = AUTO) -> list[Fit]:
    """Return the kernels that no other beats in error, table bytes and estimated instructions.

    The budgets 0, 1, 2, .. up to the limit are tried; errors are compared in whole codes. Sorted by
    error, then by instructions. Every kernel is within the limits.
    """
    problems = [
        dataclasses.replace(problem, limits=dataclasses.replace(problem.limits, max_error=budget))
        for budget in ladder(problem.limits.max_error)
    ]
    best: dict[tuple[float, ...], Fit] = {}
    for one in _over(problems, family):
        whole = dataclasses.replace(one, problem=problem)
        if meets(whole):
            key = coordinates(one)
            if key not in best or _error(one) < _error(best[key]):
                best[key] = _alone(one)
    return [
        best[key]
        for key in sorted(best)
        if not any(
            other != key and all(a <= b for a, b in zip(other, key, strict=True)) for other in best
        )
    ]


def _alone(one: Fit) -> Fit:
    """Return a fit whose limits are its own bytes, so that its command finds it again."""
    limits = dataclasses.replace(one.limits, max_bytes=one.kernel.table_bytes)
    return dataclasses.replace(one, problem=dataclasses.replace(one.problem, limits=limits))


def coordinates(one: Fit) -> tuple[int, int, int]:
    """Return a fit's error in codes, estimated instructions and table bytes."""
    limits, proved = one.limits, one.certificate
    codes = proved.max_error_codes_on_support if limits.on_support else proved.max_error_codes
    return codes, instructions(one.kernel, one.problem.options.core), one.kernel.table_bytes


def _error(one: Fit) -> tuple[float, float]:
    return one.certificate.max_error_lsb, one.certificate.mse


def _price(one: Fit) -> tuple[float, ...]:
    _, count, size = coordinates(one)
    match one.problem.options.objective:
        case "instructions":
            return count, size, *_error(one)
        case "bytes":
            return size, count, *_error(one)
        case "error":
            return *_error(one), count, size
        case "segments":
            return one.candidate.parameters.get("segments", NO_SEGMENTS), count, size, *_error(one)


def _reason(best: Fit, meeting: list[Fit]) -> str:
    """Return one sentence that compares the best with the best of the other families."""
    objective, core = best.problem.options.objective, best.problem.options.core

    def value(one: Fit) -> str:
        return f"{_price(one)[0]:.4g}"

    others: dict[str, Fit] = {}
    for one in sorted(meeting, key=_price):
        if one.family != best.family:
            others.setdefault(one.family, one)
    counted = {"bytes": "table bytes", "segments": "segments"}.get(
        objective, f"estimated instructions on {core}"
    )
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
        allowed=reached or f"nothing: {family} has no kernel here; try --family {AUTO}",
    )
