"""The cheapest set of moves within a budget, where only a measurement tells what a set loses.

A move is one of several at a place; a set takes one or none at each. What a set loses need not be
the sum of what its moves lose alone: sums order the search, and measurements decide. This module
must not know what moves, prices and losses are.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Picks: TypeAlias = tuple[int, ...]
"""For each place the number of its move, from 1, or 0 for none."""

Price: TypeAlias = tuple[float, ...]
"""What matters most comes first; the smaller one is cheaper."""

FEW_PLACES = 12
MOST_SETS = 20_000
"""Up to so many places with moves, and sets of them, every set is considered."""

MOST_RUNS = 50
"""Sets that are measured at most, besides no move and each move alone."""

EQUAL = 1e-9
"""A sum of losses this much over the budget counts as within: sums of floats are not exact."""


@dataclass(frozen=True)
class Task:
    """What is searched.

    moves: how many there are at each place. price: of a set. loss: of a set, measured; it is called
    once for each. budget: the largest loss allowed.
    """

    moves: tuple[int, ...]
    price: Callable[[Picks], Price]
    loss: Callable[[Picks], float]
    budget: float
    most_runs: int = MOST_RUNS


@dataclass(frozen=True)
class Answer:
    """The cheapest set that was measured within the budget.

    losses: of every set that was measured, in that order. unmeasured: how many sets that are
    cheaper than the answer were not measured, because the runs were over; None if sets were not
    enumerated. If it is 0, no set within the budget is cheaper.
    """

    picks: Picks
    losses: dict[Picks, float]
    unmeasured: int | None


@dataclass(frozen=True)
class _Measured:
    """The losses so far; ``least`` is what was measured before the runs began to count."""

    task: Task
    losses: dict[Picks, float] = field(default_factory=dict)

    def loss(self, picks: Picks) -> float:
        if picks not in self.losses:
            self.losses[picks] = self.task.loss(picks)
        return self.losses[picks]

    def fits(self, picks: Picks) -> bool:
        return self.loss(picks) <= self.task.budget

    def best(self) -> Picks:
        """Return the cheapest set that is known to be within the budget; no move if there is none.

        Of equal prices the one with the fewest moves, then with the least loss.
        """
        within = [picks for picks, loss in self.losses.items() if loss <= self.task.budget]
        nothing = (0,) * len(self.task.moves)
        return min(
            within or [nothing],
            key=lambda picks: (self.task.price(picks), _count(picks), self.losses[picks], picks),
        )


def cheapest(task: Task) -> Answer:
    """Return the cheapest set within the budget, or no move if nothing is.

    No move and each move alone are measured first, the greatest gains before the others. Then, if
    there are few places, sets whose sum of losses is within the budget, cheapest first, until one
    is measured within; then cheaper ones, whose sum is over it, in the order of that sum. Where
    there are more sets than runs, half of the runs at most go to a set that grows by one move a
    time first, in the order of gain for loss, and keeps what it can; with many places, all of them.
    Deterministic.
    """
    measured = _Measured(task)
    nothing = (0,) * len(task.moves)
    base = measured.loss(nothing)
    start = task.price(nothing)
    alone = sorted(_singles(task.moves), key=lambda picks: (task.price(picks), picks))
    for picks in alone:
        measured.loss(picks)
    most = len(measured.losses) + task.most_runs

    def expected(picks: Picks) -> float:
        parts = (_single(picks, place) for place, number in enumerate(picks) if number)
        return base + sum(measured.losses[part] - base for part in parts)

    sets = math.prod(count + 1 for count in task.moves)
    if sum(map(bool, task.moves)) > FEW_PLACES or sets > MOST_SETS:
        _grow(task, measured, alone, most)
        return Answer(measured.best(), measured.losses, None)
    ordered = sorted(
        (
            (task.price(picks), _count(picks), expected(picks), picks)
            for picks in itertools.product(*(range(count + 1) for count in task.moves))
            if task.price(picks) < start
        ),
    )
    hopeful = [one for one in ordered if one[2] <= task.budget + EQUAL]
    others = sorted(
        (one for one in ordered if one[2] > task.budget + EQUAL), key=lambda one: one[2]
    )
    if len(ordered) > task.most_runs:  # not all can be measured: first one that is good
        _grow(task, measured, alone, len(measured.losses) + task.most_runs // 2)
    best = measured.best()
    for price, _, _, picks in (*hopeful, *others):
        known = picks in measured.losses
        if not known and price < task.price(best) and len(measured.losses) < most:
            measured.loss(picks)
            best = measured.best()
    cheaper = [one[3] for one in ordered if one[0] < task.price(best)]
    return Answer(best, measured.losses, sum(picks not in measured.losses for picks in cheaper))


def _grow(task: Task, measured: _Measured, alone: list[Picks], most: int) -> None:
    """Measure sets that grow by one move a time, in the order of gain for loss."""
    picks = (0,) * len(task.moves)
    base, start = measured.loss(picks), task.price(picks)

    def worth(single: Picks) -> tuple[float, ...]:
        gain = [before - after for before, after in zip(start, task.price(single), strict=True)]
        lost = measured.loss(single) - base
        return (
            (0, *(-part for part in gain)) if lost <= 0 else (1, *(-part / lost for part in gain))
        )

    for single in sorted(alone, key=lambda one: (worth(one), one)):
        grown = tuple(new or old for new, old in zip(single, picks, strict=True))
        known = grown in measured.losses
        if task.price(grown) < task.price(picks) and (known or len(measured.losses) < most):
            picks = grown if measured.fits(grown) else picks


def _singles(moves: tuple[int, ...]) -> list[Picks]:
    return [
        tuple(number if i == place else 0 for i in range(len(moves)))
        for place, count in enumerate(moves)
        for number in range(1, count + 1)
    ]


def _single(picks: Picks, place: int) -> Picks:
    return tuple(number if i == place else 0 for i, number in enumerate(picks))


def _count(picks: Picks) -> int:
    return sum(map(bool, picks))
