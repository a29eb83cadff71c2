"""Search: build candidates from the families, certify each, return the cheapest within the limits.

This module must not know how a family works, or any core's instruction counts.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.activations import CATALOGUE
from embact.certify import certify
from embact.cost import cost, instructions
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
from embact.fit.takes import TAKES, takes
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

_LINES = {"segments", "fold"}
KNOWS: dict[str, set[str]] = {
    "composed": _LINES | {"slope_bits", "terms", "shifts", "lookup"},
    "interp": _LINES,
    "lut": {"fold"},
    "pwl": _LINES | {"slope_bits", "minimize", "shifts", "continuous", "lookup", "clamp"},
    "quadratic": _LINES | {"slope_bits", "terms"},
    "rational": {"fold"},
    "shift_pwl": _LINES | {"terms", "clamp"},
}
"""The options about the form that a family follows; a family that is not listed has none."""


def candidates(problem: Problem, family: str = AUTO) -> Iterator[Fit]:
    """Yield the certified candidates of one family or of all; they need not meet the limits.

    Equal kernels are yielded once. Raises EmbactError for an unknown family, and for an option that
    the family does not know; auto is the families, but for the classics, that know them all.
    """
    yield from over([problem], family)


def over(problems: Iterable[Problem], family: str) -> Iterator[Fit]:
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
    if options.terms is not None and fixed & {"slope_bits", "shifts", "lookup"}:
        able = [name for name in able if name != "composed"]  # of two gates, neither has both
    if family == AUTO:
        able = [name for name in able if name not in CLASSICS]
    if not able or (family != AUTO and family not in able):
        known = KNOWS.get(family, set()) if family != AUTO else set().union(*KNOWS.values())
        wrong = sorted(fixed - known) or sorted(fixed)
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
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

    Ties go to the other objectives. For the least error the budgets of a ladder are tried until a
    kernel meets the limits, and those that the last step left out are bisected, since what a budget
    allows a larger one does; then budgets in lsb between the last that failed and that one, to
    FINER_LSB or a part FINER of it. Raises EmbactError if no candidate meets the limits, naming the
    best that each family reached.
    """
    limits, options = problem.limits, problem.options

    def meeting(budget: int) -> list[Fit]:
        asked = dataclasses.replace(limits, max_error=budget)
        tried = dataclasses.replace(problem, limits=asked)
        return [one for one in candidates(tried, family) if meets(one)]

    if options.objective == "error" and options.segments is None:
        best = _least(meeting, limits.max_error)
        if best and not limits.on_support:
            best = _finer(problem, family, best)
    else:
        best = meeting(limits.max_error)
    if not best:
        raise _nothing_meets(problem, family)
    chosen = min(best, key=_price)
    return Choice(chosen, _reason(chosen, best))


def _least(meeting: Callable[[int], list[Fit]], most: int) -> list[Fit]:
    """Return the kernels that meet the limits with the least budget, and those met on the way."""
    best: list[Fit] = []
    below, above = -1, most
    for budget in ladder(most):
        if best := meeting(budget):
            above = budget
            break
        below = budget
    while best and above - below > 1:
        middle = (below + above) // 2
        if nearer := meeting(middle):
            best, above = [*nearer, *best], middle
        else:
            below = middle
    return best


FINER_LSB, FINER = 1 / 16, 1 / 32
"""How close to the least error in lsb a search for it comes, and to what part of it."""


def _finer(problem: Problem, family: str, best: list[Fit]) -> list[Fit]:
    """Return some kernels, and those found that are nearer to the real results.

    best: kernels of which some have the least error in whole codes that there is.
    """
    codes = min(one.certificate.max_error_codes for one in best)
    whole = dataclasses.replace(
        problem, limits=dataclasses.replace(problem.limits, max_error=codes)
    )
    low, high = codes - 0.5, codes + 0.5
    while codes and high - low > max(FINER_LSB, FINER * high):
        middle = (low + high) / 2
        nearer = [
            dataclasses.replace(one, problem=whole)
            for one in candidates(dataclasses.replace(whole, max_error_lsb=middle), family)
            if meets(one) and one.certificate.max_error_lsb <= middle
        ]
        if nearer:  # the next budget depends on no kernel: the best family alone goes the same way
            best, high = [*nearer, *best], middle
        else:
            low = middle
    return best


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


def coordinates(one: Fit) -> tuple[int, float, int]:
    """Return a fit's error in codes, instructions for an element and table bytes."""
    limits, proved = one.limits, one.certificate
    codes = proved.max_error_codes_on_support if limits.on_support else proved.max_error_codes
    return codes, instructions(one.kernel, one.problem.options.core), one.kernel.table_bytes


def error_of(one: Fit) -> tuple[float, float]:
    """Return what the least error compares: the largest in lsb and the mean square."""
    largest, mean = one.certificate.max_error_lsb, one.certificate.mse
    return (mean, largest) if one.problem.options.minimize == "mse" else (largest, mean)


def _segments(one: Fit) -> float:
    """Return how many segments a kernel has; one without any is like one with too many."""
    return one.candidate.parameters.get("segments", math.inf)


def _price(one: Fit) -> tuple[float, ...]:
    _, count, size = coordinates(one)
    match one.problem.options.objective:
        case "instructions":
            return count, size, *error_of(one)
        case "bytes":
            return size, count, *error_of(one)
        case "error":
            return *error_of(one), count, size
        case "segments":
            return _segments(one), count, size, *error_of(one)


COUNTED = {
    "instructions": "fewest instructions on {core}",
    "bytes": "fewest table bytes",
    "error": "least error",
    "segments": "fewest segments",
}
"""What each objective is called in a sentence."""


def _reason(best: Fit, meeting: list[Fit]) -> str:
    """Return one sentence that compares the best with the best of the other families."""
    options = best.problem.options

    def value(one: Fit) -> str:
        first = _price(one)[0]
        if options.objective == "instructions":
            return str(cost(one.kernel, options.core))
        if options.objective != "error":
            return f"{first:.0f}"
        return f"{first:.4g}" if options.minimize == "mse" else f"{first:.4g} lsb"

    others: dict[str, Fit] = {}
    for one in sorted(meeting, key=_price):
        if one.family != best.family and _price(one)[0] < math.inf:
            others.setdefault(one.family, one)
    counted = COUNTED[options.objective].format(core=options.core)
    if options.objective == "error" and options.minimize == "mse":
        counted = "least mean squared error"
    kernels = f"{len(meeting)} kernel{'s' * (len(meeting) != 1)} within the limits"
    rivals = ", ".join(f"{name} {value(one)}" for name, one in others.items())
    return f"{best.family} has the {counted} ({value(best)}) of {kernels}" + (
        f"; the best of others: {rivals}" if rivals else ""
    )


def _nothing_meets(problem: Problem, family: str) -> EmbactError:
    """Return the error that says how near each family came, whatever its tables take.

    Of each the fewest table bytes within the error, or else the least error.
    """
    limits, spec = problem.limits, problem.spec
    free = dataclasses.replace(problem, limits=dataclasses.replace(limits, max_bytes=None))
    best: dict[str, tuple[int, int, int]] = {}
    for one in candidates(free, family):
        codes, _, size = coordinates(one)
        near = (0, size, codes) if codes <= limits.max_error else (codes, size, codes)
        best[one.family] = min(near, best.get(one.family, near))
    reached = "; ".join(
        f"{name} {codes} codes, {size} bytes" for name, (_, size, codes) in best.items()
    )
    wanted = f"{limits.max_error} codes"
    if limits.max_bytes is not None:
        wanted += f", {limits.max_bytes} table bytes"
    return EmbactError(
        f"no {'kernel' if family == AUTO else family + ' kernel'} of {problem.activation.name} "
        f"({spec.input.dtype} -> {spec.output.dtype}) meets the budget",
        got=wanted,
        allowed=reached or _nothing(problem.activation.name, family),
    )


def _nothing(activation: str, family: str) -> str:
    """Return what to say where a family has no kernel at all: what it is for, if that is why."""
    why = f"nothing: {family} has no kernel here"
    if family == AUTO:
        return why
    if activation in CATALOGUE and not takes(family, activation):
        why += f", being for {', '.join(sorted(TAKES[family]))}"
    return f"{why}; try --family auto"
