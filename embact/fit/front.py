"""Front: the kernels that no other beats in error, table bytes and instructions.

This module must not know how a family works, or any core's instruction counts.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from embact.fit.record import Fit, meets
from embact.fit.search import AUTO, coordinates, error_of, ladder, over

if TYPE_CHECKING:
    from embact.fit.problem import Problem


def front(problem: Problem, family: str = AUTO) -> list[Fit]:
    """Return the kernels that no other beats in error, table bytes and instructions.

    The budgets 0, 1, 2, .. up to the limit are tried; errors are compared in whole codes. Sorted by
    error, then by instructions. Every kernel is within the limits.
    """
    problems = [
        dataclasses.replace(problem, limits=dataclasses.replace(problem.limits, max_error=budget))
        for budget in ladder(problem.limits.max_error)
    ]
    best: dict[tuple[float, ...], Fit] = {}
    for one in over(problems, family):
        whole = dataclasses.replace(one, problem=problem)
        if meets(whole):
            key = coordinates(one)
            if key not in best or error_of(one) < error_of(best[key]):
                best[key] = _alone(one)
    return [
        best[key]
        for key in sorted(best)
        if not any(
            other != key and all(a <= b for a, b in zip(other, key, strict=True)) for other in best
        )
    ]


def _alone(one: Fit) -> Fit:
    """Return a fit whose limits are what it costs, so that its command finds it again."""
    codes, _, size = coordinates(one)
    limits = dataclasses.replace(
        one.limits, max_error=max(one.limits.max_error, codes), max_bytes=size
    )
    return dataclasses.replace(one, problem=dataclasses.replace(one.problem, limits=limits))
