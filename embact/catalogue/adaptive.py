"""Adaptive piecewise linear units: what a network learns is given as parameters.

This module must not know grids, kernels or how a thing is approximated.
"""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.catalogue.parts import mp
from embact.truth import Activation, Parameter

if TYPE_CHECKING:
    from embact.grid import Reals
    from embact.truth import Symmetry, Tail

HINGES = 8

CANCELS = 1e-2
"""A sum that is smaller than this part of its terms' sizes is computed exactly: 20 roundings of
1e-16 of the sizes are then less than 1e-12 of it."""


def _hinges(values: tuple[float, ...]) -> list[tuple[float, float]]:
    """Return the pairs (slope a, place b) that do something, from a1, b1, a2, b2, ..."""
    return [(a, b) for a, b in zip(values[::2], values[1::2], strict=True) if a != 0]


def _apl(x: Reals, *values: float) -> Reals:
    terms = [np.maximum(x, 0.0), *(a * np.maximum(b - x, 0.0) for a, b in _hinges(values))]
    total = np.array(sum(terms), dtype=np.float64)
    sizes = np.asarray(sum(map(np.abs, terms)), dtype=np.float64)
    for place in np.flatnonzero(np.abs(total) < CANCELS * sizes):
        total.flat[place] = float(_exact(Fraction(float(x.flat[place])), values))
    return total


def _exact(x: Fraction, values: tuple[float, ...]) -> Fraction:
    """Return the sum at a rational number, without any rounding."""
    hinges = [(Fraction(a), Fraction(b)) for a, b in _hinges(values)]
    return max(x, Fraction(0)) + sum(a * (b - x) for a, b in hinges if b > x)


def _apl_slope(x: Reals, *values: float) -> Reals:
    """Return the slope between two hinges, summed without any rounding, since slopes may cancel."""
    hinges = _hinges(values)
    ends = sorted({0.0, *(b for _, b in hinges)})
    slopes = [
        float(int(start >= 0) - sum(Fraction(a) for a, b in hinges if b > start))
        for start in (-math.inf, *ends)
    ]
    return np.asarray(np.array(slopes)[np.searchsorted(ends, x, side="right")])


def _mp_apl(x: Any, *values: float) -> Any:
    """Return the sum with a single rounding, since its terms may cancel."""
    zero, places = x * 0, zip(values[::2], values[1::2], strict=True)
    hinges = ((a, max(mp().fsub(b, x, exact=True), zero)) for a, b in places)
    return mp().fsum([max(x, zero), *(mp().fmul(a, rise, exact=True) for a, rise in hinges)])


def _apl_tails(*values: float) -> tuple[Tail, Tail]:
    hinges = [(Fraction(a), Fraction(b)) for a, b in _hinges(values)]
    slope, intercept = -sum(a for a, _ in hinges), sum(a * b for a, b in hinges)
    return (float(slope), float(intercept), 0), (1.0, 0.0, 0)


def _apl_symmetry(*values: float) -> Symmetry:
    """Return the symmetry that follows from the sums c_b of the slopes of all hinges at b.

    f(x) - f(-x) - x is the sum of c_b (max(0, b - x) - max(0, b + x)); at -b the term is minus that
    at b, less 2x. f(x) + f(-x) is |x| and the sum of c_b (max(0, b - x) + max(0, b + x)); at -b
    the term is that at b, less 2b. Terms of different |b| are linearly independent.
    """
    at: defaultdict[Fraction, Fraction] = defaultdict(Fraction)
    for a, b in _hinges(values):
        at[Fraction(b)] += Fraction(a)
    places = {abs(b) for b in at if b}
    if all(at[b] == at[-b] for b in places) and sum(at.values()) == 0:
        return "gated"
    if all(at[b] == -at[-b] for b in places) and at[Fraction(0)] == -1:
        middle = sum(2 * b * at[b] for b in places)  # f(x) + f(-x)
        return "odd" if middle == 0 else "point" if middle == 1 else "none"
    return "none"


ENTRIES = (
    Activation(
        "apl",
        "max(0, x) + a1 max(0, b1 - x) + a2 max(0, b2 - x) + ... + a8 max(0, b8 - x)",
        "Agostinelli et al. 2014, arXiv:1412.6830, adaptive piecewise linear units",
        _apl,
        _apl_slope,
        _mp_apl,
        _apl_tails,
        symmetry_of=_apl_symmetry,
        parameters=tuple(
            Parameter(f"{kind}{number}", 0.0, -most, most)
            for number in range(1, HINGES + 1)
            for kind, most in (("a", 1e3), ("b", 1e6))
        ),
    ),
)
