"""pwlf and scipy's optimisers against embact, fitted to the same points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pwlf
from scipy.optimize import differential_evolution, linprog, minimize

from bench.classics import POINTS
from bench.real import REAL
from bench.rows import OURS, Row, errors, excess, timed
from embact.fit.real import least_squares, minimax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from bench.rows import Function
    from embact.grid import Reals


@dataclass(frozen=True)
class Task:
    """Fit ``count`` lines to the function ``truth`` at the multiples of ``step`` in [low, high)."""

    name: str
    truth: Function
    low: float
    high: float
    step: float
    count: int

    @property
    def x(self) -> Reals:
        """The points."""
        return self.low + self.step * np.arange(round((self.high - self.low) / self.step))

    @property
    def y(self) -> Reals:
        """The function at the points."""
        return self.truth(self.x)


def fitters(quick: bool) -> Iterator[Row]:  # noqa: FBT001 - every section has this signature
    """Yield each method on the same points: 800, or 200 if quick.

    The mean errors are over these points; the maximum is over 16,001, since a fit may be far off
    between the points that it has seen.
    """
    names, counts = (("sigmoid",), (4,)) if quick else (("sigmoid", "gelu", "exp(-x)"), (4, 8))
    for name in names:
        truth, low, high = REAL[name]
        for count in counts:
            yield from _compared(
                Task(name, truth, low, high, (high - low) / (200 if quick else 800), count), quick
            )


def _compared(task: Task, quick: bool) -> Iterator[Row]:  # noqa: FBT001 - likewise
    case = f"{task.name} [{task.low:g},{task.high:g}) n={task.count}"
    theirs = []
    for method, work in {
        "pwlf, lines meet, mse": by_pwlf_quickly if quick else by_pwlf,
        "scipy evolution, lines apart, mse": by_evolution,
        "scipy simplex + LP, lines meet, max": by_simplex,
    }.items():
        fit, seconds = timed(partial(work, task))
        got = _errors(task, fit)
        theirs.append(Row("fitters", case, method, task.count, **got, seconds=seconds))
    yield from theirs
    for method, (metrics, ours) in OUR_METHODS.items():
        fit, seconds = timed(partial(ours, task))
        got = _errors(task, fit)
        worse = [
            excess(got[metric], getattr(row, metric), metric, row.method)
            for metric in metrics
            for row in theirs
        ]
        behind = "; ".join(filter(None, worse))
        yield Row("fitters", case, method, task.count, **got, seconds=seconds, behind=behind)


def _errors(task: Task, fit: Function) -> dict[str, Any]:
    dense = np.linspace(task.x[0], task.x[-1], POINTS)
    most = errors(fit, task.truth, dense)["max_error"]
    return errors(fit, task.truth, task.x) | {"max_error": most}


def meeting(task: Task) -> Function:
    """Return the least maximum error of lines that meet."""
    x = task.x
    return minimax(task.truth, float(x[0]), float(x[-1]), task.count, continuous=True)


def apart(task: Task) -> Function:
    """Return the least maximum error of lines that need not meet."""
    x = task.x
    return minimax(task.truth, float(x[0]), float(x[-1]), task.count)


def squares(task: Task) -> Function:
    """Return the least mean squared error of lines that need not meet."""
    return least_squares(task.truth, task.low, task.high, task.count, step=task.step)


OUR_METHODS: dict[str, tuple[tuple[str, ...], Callable[[Task], Function]]] = {
    f"{OURS}, lines meet, max": (("max_error",), meeting),
    f"{OURS}, lines apart, max": (("max_error",), apart),
    f"{OURS}, lines apart, mse": (("mse", "mean_error"), squares),
}
"""What each is held to (it makes the first least), and how it is made."""


def by_pwlf(task: Task) -> Function:
    """Return the fit of pwlf's global search."""
    model = pwlf.PiecewiseLinFit(task.x, task.y, seed=1)
    model.fit(task.count)
    predict: Function = model.predict
    return predict


def by_pwlf_quickly(task: Task) -> Function:
    """Return the fit of pwlf's quick search."""
    model = pwlf.PiecewiseLinFit(task.x, task.y, seed=1)
    model.fitfast(task.count)
    predict: Function = model.predict
    return predict


def by_evolution(task: Task) -> Function:
    """Return lines between breakpoints found by differential evolution, least squares for each."""
    x, y, count = task.x, task.y, task.count

    def lines(knots: Reals) -> tuple[Reals, Reals]:
        starts = np.sort(knots)
        index = np.searchsorted(starts, x, side="right")
        columns = np.zeros((x.size, 2 * count))
        columns[np.arange(x.size), index] = 1.0
        columns[np.arange(x.size), count + index] = x
        return starts, np.linalg.lstsq(columns, y, rcond=None)[0]

    def evaluate(knots: Reals, at: Reals) -> Reals:
        starts, found = lines(knots)
        index = np.searchsorted(starts, at, side="right")
        result: Reals = found[index] + found[count + index] * at
        return result

    ends = [(x[0], x[-1])] * (count - 1)
    best = differential_evolution(
        lambda knots: float(((evaluate(knots, x) - y) ** 2).sum()),
        ends,
        seed=1,
        maxiter=60,
        popsize=8,
        polish=False,
    )
    return lambda at: evaluate(best.x, at)


def by_simplex(task: Task) -> Function:
    """Return lines that meet at knots found by Nelder-Mead, the least maximum error for each."""
    x, y, count = task.x, task.y, task.count

    def knots_of(inner: Reals) -> Reals:
        return np.concatenate(([x[0]], np.sort(np.clip(inner, x[0], x[-1])), [x[-1]]))

    def solve(inner: Reals) -> tuple[float, Reals]:
        knots = knots_of(inner)
        if np.diff(knots).min() < 1e-9:
            return math.inf, knots
        hats = np.stack([np.interp(x, knots, row) for row in np.eye(knots.size)], axis=1)
        error = np.ones((x.size, 1))
        found = linprog(
            np.append(np.zeros(knots.size), 1.0),
            A_ub=np.block([[hats, -error], [-hats, -error]]),
            b_ub=np.concatenate((y, -y)),
            bounds=[(None, None)] * knots.size + [(0, None)],
        )
        return float(found.fun), found.x[:-1]

    start = np.linspace(x[0], x[-1], count + 1)[1:-1]
    best = minimize(
        lambda inner: solve(inner)[0],
        start,
        method="Nelder-Mead",
        options={"maxfev": 100 * count, "xatol": 1e-4, "fatol": 1e-7, "adaptive": True},
    )
    knots, values = knots_of(best.x), solve(best.x)[1]
    return lambda at: np.interp(at, knots, values)
