"""Least squares with the best breakpoints: dynamic programming over runs of inputs.

A run's cost is a convex quadratic of slope and intercept, so its real optimum is a formula. On a
lattice of slopes and intercepts the best intercept of a slope is a rounding, and the slopes are
tried outward from the real optimum until the slope alone costs more than the best line found.
This module must not know what is approximated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from embact.grid import Codes, Reals

FARTHEST = 1024
"""Lattice slopes tried on either side of the real optimum: only a run of one input, where every
slope costs the same, has more than these left."""


@dataclass(frozen=True)
class Samples:
    """What is fitted: x ascending, y, and weights >= 0; float64 arrays of one shape."""

    x: Reals
    y: Reals
    weights: Reals


@dataclass(frozen=True)
class Runs:
    """Runs of inputs with one line each: index of each first input, lines, and the total cost."""

    starts: Codes
    slopes: Reals
    intercepts: Reals
    cost: float


@dataclass(frozen=True)
class _Lines:
    """The best line of each of some runs and its cost, the weighted sum of squared errors."""

    slope: Reals
    intercept: Reals
    cost: Reals


def best_runs(samples: Samples, cuts: Codes, segments: int, allowed: Reals | float | None) -> Runs:
    """Return the at most ``segments`` runs with the least cost.

    cuts: ascending indices of the inputs at which a run after the first may start.
    allowed: what slopes and intercepts are multiples of; or the slopes there are, ascending, with
    real intercepts; or None for real ones.
    """
    ends = np.concatenate(([0], cuts, [samples.x.size]))
    size = ends.size
    i, j = np.triu_indices(size, 1)
    lines = _lines(samples, (ends[i], ends[j]), allowed)
    number = np.zeros((size, size), dtype=np.int64)
    number[i, j] = np.arange(i.size)
    price = np.full((size, size), np.inf)
    price[i, j] = lines.cost
    total, before = price[0], [np.zeros(size, dtype=np.int64)]
    best, count = float(total[-1]), 1
    for used in range(2, min(segments, size - 1) + 1):
        sums = total[:, None] + price
        before.append(sums.argmin(axis=0))
        total = sums[before[-1], np.arange(size)]
        if total[-1] < best:
            best, count = float(total[-1]), used
    path = [size - 1]
    for used in range(count - 1, -1, -1):
        path.append(int(before[used][path[-1]]))
    path.reverse()
    chosen = number[path[:-1], path[1:]]
    return Runs(ends[path[:-1]], lines.slope[chosen], lines.intercept[chosen], best)


def _lines(samples: Samples, runs: tuple[Codes, Codes], allowed: Reals | float | None) -> _Lines:
    """Return the best line for each run of inputs ``runs[0][k]`` .. ``runs[1][k] - 1``."""
    x, y, (first, end) = samples.x, samples.y, runs

    def total(values: Reals) -> Reals:
        summed = np.concatenate(([0.0], np.cumsum(samples.weights * values)))
        result: Reals = summed[end] - summed[first]
        return result

    weight = np.maximum(total(np.ones_like(x)), np.finfo(np.float64).tiny)
    mean_x, mean_y = total(x) / weight, total(y) / weight
    spread = np.where(end - first > 1, np.maximum(total(x * x) - weight * mean_x**2, 0.0), 0.0)
    common = total(x * y) - weight * mean_x * mean_y
    slope = np.divide(common, spread, out=np.zeros_like(spread), where=spread > 0)
    floor = np.maximum(total(y * y) - weight * mean_y**2 - slope * common, 0.0)
    if isinstance(allowed, np.ndarray):  # the cost is symmetric about the optimum: take the nearest
        right = np.clip(np.searchsorted(allowed, slope), 1, allowed.size - 1)
        near = np.where(
            slope - allowed[right - 1] <= allowed[right] - slope, allowed[right - 1], allowed[right]
        )
        return _Lines(near, mean_y - near * mean_x, floor + (near - slope) ** 2 * spread)
    if allowed is None:
        return _Lines(slope, mean_y - slope * mean_x, floor)
    lattice = float(allowed)
    best = _Lines(np.zeros_like(slope), np.zeros_like(slope), np.full(slope.shape, np.inf))
    below = np.floor(slope / lattice)
    active = np.arange(slope.size)
    for away in range(FARTHEST):
        if away:  # the nearest slope left is this many steps off, or more
            least = floor[active] + (away * lattice) ** 2 * spread[active]
            active = active[least < best.cost[active]]
        for tried in (lattice * (below[active] - away), lattice * (below[active] + 1 + away)):
            wanted = mean_y[active] - tried * mean_x[active]
            taken = lattice * np.round(wanted / lattice)
            cost = (
                floor[active]
                + (tried - slope[active]) ** 2 * spread[active]
                + weight[active] * (wanted - taken) ** 2
            )
            better = cost < best.cost[active]
            index = active[better]
            best.slope[index], best.intercept[index] = tried[better], taken[better]
            best.cost[index] = cost[better]
    return best
