"""The numbers that constant tensors stand for: what was rounded when they were stored is undone.

A float32 is the simplest number that rounds to it; a code is the simplest number within the
rounding of its scale, since the converter gives a constant c the scale c/127, c/255 or c/32767.
This module must not know operators or patterns.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.grid import Grid
from embact.tflite.model import elements_of, names_of, tensor_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embact.tflite.model import Model, Tree

SCALE_ROUNDING = Fraction(1, 2**23)
"""Relative: dividing by the codes and storing a float32 rounds twice, by half of this each."""

INSIDE = Fraction(999, 1000)
"""Of half a step between float32 numbers: at its end a number may round to the next one."""

FEW_DIGITS = 4
"""A decimal of so few digits is simpler than any fraction."""

MOST_BOTTOM = 64
"""A fraction with no larger denominator is simpler than a decimal of more digits. One number in
5,000 has one by chance: there are 1,245 of them in 0..1, and each takes a part of 2**-23."""


def simplest(low: Fraction, high: Fraction) -> Fraction:
    """Return the simplest number in low..high, both of one sign and not 0.

    >>> simplest(Fraction(1666666, 10**7), Fraction(1666667, 10**7))
    Fraction(1, 6)
    """
    if high < 0:
        return -simplest(-high, -low)
    decimal, digits = _decimal(low, high)
    if digits <= FEW_DIGITS:
        return decimal
    fraction = _fraction(low, high)
    return fraction if fraction.denominator <= MOST_BOTTOM else decimal


def _decimal(low: Fraction, high: Fraction) -> tuple[Fraction, int]:
    """Return the number of fewest digits in low..high nearest to its middle, and its digits."""
    middle = (low + high) / 2
    near = Decimal(middle.numerator) / Decimal(middle.denominator)
    for digits in range(1, 25):
        rounded = Fraction(Decimal(f"{near:.{digits - 1}e}"))
        if low <= rounded <= high:
            return rounded, digits
    return middle, 25


def _fraction(low: Fraction, high: Fraction) -> Fraction:
    """Return the fraction of the least denominator in low..high, both > 0 (Stern-Brocot)."""
    whole = low.numerator // low.denominator
    if whole == low:
        return Fraction(whole)
    if whole + 1 <= high:
        return Fraction(whole + 1)
    return whole + 1 / _fraction(1 / (high - whole), 1 / (low - whole))


def float_number(stored: np.float32) -> Fraction | None:
    """Return the simplest number that a float32 was rounded from; None if it is not finite.

    >>> float_number(np.float32(0.1)), float_number(np.float32(1 / 3))
    (Fraction(1, 10), Fraction(1, 3))
    """
    if not np.isfinite(stored):
        return None
    if stored == 0:
        return Fraction(0)
    value = Fraction(float(stored))
    with np.errstate(over="ignore", under="ignore"):
        beside = [float(np.nextafter(stored, np.float32(end))) for end in (-np.inf, np.inf)]
    steps = [abs(Fraction(one) - value) / 2 for one in beside if math.isfinite(one)]
    inside = min(steps) * INSIDE
    return simplest(value - inside, value + inside)


def code_number(code: int, grid: Grid) -> Fraction:
    """Return the simplest number that a code of a constant tensor was quantised from.

    >>> code_number(127, Grid(1 / 255, -128, 8))
    Fraction(1, 1)
    """
    value = Fraction(grid.scale) * (code - grid.zero_point)
    if not value:
        return value
    near, far = value * (1 - SCALE_ROUNDING), value * (1 + SCALE_ROUNDING)
    return simplest(min(near, far), max(near, far))


def uniform_number(model: Model, tensor: Tree) -> Fraction | None:
    """Return the number that all elements of a constant tensor stand for, or None.

    None if they differ, are not finite, or are not float32 or int8 or int16 with one scale, or if
    the buffer does not have the size of the shape.
    """
    kind = names_of("TensorType").get(tensor.type, "")
    stored = stored_values(model, tensor)
    if stored is None or not stored.size or (stored != stored.flat[0]).any():
        return None
    if kind == "FLOAT32":
        return float_number(np.float32(stored.item(0)))
    grid = tensor_grid(tensor)
    return code_number(int(stored.item(0)), grid) if isinstance(grid, Grid) else None


DTYPES = {"FLOAT32": "<f4", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8"}


def stored_values(model: Model, tensor: Tree) -> NDArray[Any] | None:
    """Return the elements of a constant tensor as they are stored, flat, or None.

    None for other types, and if the buffer does not have the size of the shape.
    """
    dtype = DTYPES.get(names_of("TensorType").get(tensor.type, ""))
    data = model.tree.buffers[tensor.buffer].data
    if dtype is None or data is None:
        return None
    octets = np.ascontiguousarray(data, dtype=np.uint8)
    if octets.size != elements_of(tensor) * np.dtype(dtype).itemsize:
        return None
    return octets.view(dtype)
