"""Parts of several entries: steps, the logistic function, tails.

This module must not know any entry.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from embact.grid import Reals
    from embact.truth import Tail

RELU_TAILS: tuple[Tail, Tail] = (0.0, 0.0, 0), (1.0, 0.0, 0)
GATED_TAILS: tuple[Tail, Tail] = (0.0, 0.0, -1), (1.0, 0.0, -1)
SIGN_TAILS: tuple[Tail, Tail] = (0.0, -1.0, 1), (0.0, 1.0, -1)


def mp() -> Any:
    """Return mpmath's context, imported when it is first needed."""
    import mpmath

    return mpmath.mp


def step(x: Reals, at: float = 0.0) -> Reals:
    """Return 1 from ``at`` on, and 0 before."""
    return np.asarray(x >= at, dtype=np.float64)


def between(x: Reals, low: float, high: float) -> Reals:
    """Return 1 in [low, high), and 0 elsewhere."""
    return step(x, low) - step(x, high)


def sigmoid(x: Reals) -> Reals:
    """Return 1/(1 + exp(-x)), without overflow and without cancellation."""
    small: Reals = np.exp(-np.abs(x))
    result: Reals = np.where(x >= 0, 1.0, small) / (1.0 + small)
    return result


def sigmoid_slope(x: Reals) -> Reals:
    """Return the derivative of ``sigmoid``."""
    return sigmoid(x) * sigmoid(-x)


def mp_sigmoid(x: Any) -> Any:
    """Return 1/(1 + exp(-x)) of an mpmath number."""
    return 1 / (1 + mp().exp(-x))


def erfc(x: Reals) -> Reals:
    """Return the complementary error function."""
    return np.asarray(np.frompyfunc(math.erfc, 1, 1)(x), dtype=np.float64)


def erf(x: Reals) -> Reals:
    """Return the error function."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), dtype=np.float64)


def gauss(x: Reals) -> Reals:
    """Return exp(-x^2), without overflow."""
    values: Reals = np.exp(-(np.minimum(np.abs(x), 1e3) ** 2))
    return values
