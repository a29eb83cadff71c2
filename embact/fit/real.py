"""Piecewise-linear fits over the reals: what the literature and the usual tools compute.

Nothing here is quantised and nothing becomes a kernel: these are the optima that published tables
and other fitters are compared with. This module must not know grids, kernels or families.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.errors import EmbactError
from embact.fit.real_corridor import Corridor, Piece, cover
from embact.fit.real_squares import Samples, best_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embact.grid import Reals

    Function = Callable[[Reals], Reals]

POINTS = 4001
TOLERANCE = 1e-7
"""Relative width at which the bisection of the error ends."""
FLAT = 1e-12
"""An error below this share of the function's range counts as none."""
TERM_RANGE = 24
"""How many powers of two a slope may use, from twice the steepest slope of the function down."""
TERMS = None, 1, 2, 3
MOST_CUTS = 2048


@dataclass(frozen=True)
class RealFit:
    """A piecewise-linear function on [low, high], and its error against what it was fitted to.

    breakpoints: ascending, one less than slopes; x belongs to the piece that starts at or before.
    max_error, mean_error, mean_squared_error: over the points of the fit; max_error of a minimax
    fit also over both sides of each breakpoint.
    least: no fit of the form asked for has an error (max_error of ``minimax``,
    mean_squared_error of ``least_squares``) below this, but for rounding and for what lies
    between the points.
    """

    low: float
    high: float
    breakpoints: tuple[float, ...]
    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]
    max_error: float
    mean_error: float
    mean_squared_error: float
    least: float

    @property
    def segments(self) -> int:
        """The number of pieces."""
        return len(self.slopes)

    def __call__(self, x: Reals) -> Reals:
        """Return the values in float64, the shape of x; the end pieces go on for ever."""
        return _values(self.breakpoints, self.slopes, self.intercepts, np.asarray(x, np.float64))


def minimax(  # noqa: PLR0913 - each keyword is a part of what is asked
    function: Function,
    low: float,
    high: float,
    segments: int,
    *,
    continuous: bool = False,
    terms: int | None = None,
    through: Sequence[tuple[float, float]] = (),
    points: int = POINTS,
) -> RealFit:
    """Return the fit with the least maximum error that at most ``segments`` lines can have.

    Breakpoints and intercepts are free. The function is continuous and taken as linear between
    ``points`` equally spaced points; of that function the error is the least within 1e-7 of it.
    continuous: neighbouring lines meet. terms: slopes are sums of at most 1, 2 or 3 signed powers
    of two, not both with continuous. through: points (x, y) that the fit must pass through; each
    is moved to the nearest x of the grid.
    Raises EmbactError for arguments outside these and for a function that is not finite.
    """
    _check(low, high, segments)
    if terms not in TERMS or (terms and continuous):
        raise EmbactError("terms", got=terms, allowed="1, 2, 3, and lines that need not meet")
    if points < 2:
        raise EmbactError("points", got=points, allowed="at least 2")
    x = np.linspace(low, high, points)
    y = _finite(function, x)
    allowed = None if terms is None else _sums_of_powers(terms, x, y)

    def within(error: float) -> list[Piece] | None:
        bottom, top = y - error, y + error
        for at, value in through:
            nearest = int(np.argmin(np.abs(x - at)))
            bottom[nearest] = top[nearest] = value
        corridor = Corridor(x, bottom, top)
        return cover(corridor, segments, allowed=allowed, continuous=continuous)

    span = float(np.ptp(y)) + max((abs(v) for _, v in through), default=0.0)
    least, most = 0.0, max(span, math.ulp(1.0))
    found = within(most)
    if found is None:
        raise EmbactError("points to pass through", got=through, allowed="what the lines can meet")
    while most - least > max(TOLERANCE * most, FLAT * span):
        middle = (least + most) / 2
        tried = within(middle)
        if tried is None:
            least = middle
        else:
            most, found = middle, tried
    starts = tuple(piece.start for piece in found[1:])
    slopes = tuple(piece.slope for piece in found)
    intercepts = tuple(piece.intercept for piece in found)
    error = np.abs(_values(starts, slopes, intercepts, x) - y)
    ends = np.array([high, *starts])  # both pieces are held to the error where they part
    left = np.array([slopes[-1], *slopes[:-1]]) * ends + (intercepts[-1], *intercepts[:-1])
    right = _values(starts, slopes, intercepts, ends)
    at_ends = np.abs(np.stack((left, right)) - _finite(function, ends))
    return RealFit(
        float(low),
        float(high),
        starts,
        slopes,
        intercepts,
        float(max(error.max(), at_ends.max())),
        float(error.mean()),
        float((error**2).mean()),
        least,
    )


def least_squares(  # noqa: PLR0913 - likewise
    function: Function,
    low: float,
    high: float,
    segments: int,
    *,
    step: float = 0.01,
    weights: Reals | None = None,
    terms: int | None = None,
    coefficient_step: float | None = None,
    breakpoint_step: float | None = None,
) -> RealFit:
    """Return the fit with the least mean squared error that at most ``segments`` lines can have.

    The inputs are the multiples of ``step`` in [low, high), with ``weights`` (not negative, one for
    each) or equal ones. coefficient_step: slopes and intercepts are multiples of it, else real.
    terms: as for ``minimax``, with real intercepts. breakpoint_step: breakpoints are multiples of
    it, else half way between inputs. Exact, but for rounding. Raises EmbactError for arguments
    outside these, for a function that is not finite, and for more than 2048 places where a line
    may start.
    """
    _check(low, high, segments)
    if terms not in TERMS or (terms and coefficient_step):
        raise EmbactError("terms", got=terms, allowed="1, 2, 3, without a coefficient step")
    steps = {"step": step, "coefficient_step": coefficient_step, "breakpoint_step": breakpoint_step}
    for name, size in steps.items():
        if size is not None and not 0 < size < math.inf:
            raise EmbactError(name.replace("_", " "), got=size, allowed="a finite number > 0")
    # divided, since 1/step is often an integer: 0.25 is then 0.25 and not a neighbour of it
    x = np.arange(math.ceil(low / step - 1e-9), math.ceil(high / step - 1e-9)) / (1.0 / step)
    if not x.size:
        raise EmbactError("step", got=step, allowed="one with inputs in the interval")
    y = _finite(function, x)
    weight = np.ones_like(x) if weights is None else np.asarray(weights, np.float64)
    if weight.shape != x.shape or np.any(weight < 0) or not 0 < weight.sum() < math.inf:
        raise EmbactError("weights", got=weight.shape, allowed=f"{x.size} numbers >= 0, not all 0")
    starts = (x[:-1] + x[1:]) / 2
    if breakpoint_step is not None:
        first, last = math.ceil(low / breakpoint_step), math.ceil(high / breakpoint_step)
        starts = np.arange(first, last) / (1.0 / breakpoint_step)
    # of breakpoints between the same inputs the least is enough
    cuts, kept = np.unique(np.searchsorted(x, starts), return_index=True)
    starts = starts[kept][(cuts > 0) & (cuts < x.size)]
    cuts = cuts[(cuts > 0) & (cuts < x.size)]
    if cuts.size > MOST_CUTS:
        raise EmbactError("places where a line may start", got=cuts.size, allowed=f"{MOST_CUTS}")
    slopes_from: Reals | float | None = coefficient_step
    if terms is not None:
        slopes_from = _sums_of_powers(terms, x, y)
    best = best_runs(Samples(x, y, weight), cuts, segments, slopes_from)
    breakpoints = tuple(starts[np.searchsorted(cuts, best.starts[1:])].tolist())
    slopes, intercepts = tuple(best.slopes.tolist()), tuple(best.intercepts.tolist())
    error = np.abs(_values(breakpoints, slopes, intercepts, x) - y)
    return RealFit(
        float(low),
        float(high),
        breakpoints,
        slopes,
        intercepts,
        float(error[weight > 0].max()),
        float(np.average(error, weights=weight)),
        float(np.average(error**2, weights=weight)),
        best.cost / float(weight.sum()),
    )


def _values(
    starts: Sequence[float] | Reals, slopes: Sequence[float], intercepts: Sequence[float], x: Reals
) -> Reals:
    index = np.searchsorted(starts, x, side="right")
    result: Reals = np.array(slopes)[index] * x + np.array(intercepts)[index]
    return result


def _sums_of_powers(terms: int, x: Reals, y: Reals) -> Reals:
    """Return the sums of at most so many signed powers of two, ascending; 0 is one of them."""
    steepest = float(np.max(np.abs(np.diff(y) / np.diff(x)), initial=0.0))
    top = 1 if steepest == 0 else math.ceil(math.log2(steepest)) + 1
    powers = np.ldexp(1.0, np.arange(top - TERM_RANGE, top + 1))
    one = np.concatenate((-powers, [0.0], powers))
    sums = one
    for _ in range(terms - 1):
        sums = np.unique(np.add.outer(sums, one))
    return np.sort(sums)


def _check(low: float, high: float, segments: int) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise EmbactError("interval", got=f"{low}:{high}", allowed="LOW:HIGH, finite, LOW < HIGH")
    if segments < 1:
        raise EmbactError("segments", got=segments, allowed="at least 1")


def _finite(function: Function, x: Reals) -> Reals:
    y = np.asarray(function(x), dtype=np.float64)
    if y.shape != x.shape or not np.all(np.isfinite(y)):
        raise EmbactError("values of the function", got=y, allowed="one finite number for each x")
    return y
