"""The tables of softmax: exponentials of differences, correctly rounded or with TFLM's bits.

This module must not know what rows are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mpmath
import numpy as np

from embact.fit.tflm_arithmetic import exp_on_negative_values, high_mul

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SUM_BITS = 5
"""Integer bits of TFLM's scaled differences: exp(-32) counts as 0."""


def _trimmed(values: list[int], least: int = 1) -> tuple[int, ...]:
    """Return the entries up to the last that is at least ``least``."""
    return tuple(values[: 1 + max(i for i, value in enumerate(values) if value >= least)])


def exponentials(step: float, bits: int, *, trim: bool = True) -> tuple[int, ...]:
    """Return exp(-i * step) * 2**bits for i = 0..255, correctly rounded, without zeros at the end.

    They are computed with 40 digits; nothing but exp(0) is a tie or near one to 20 digits.
    """
    with mpmath.workdps(40):
        values = [int(mpmath.nint(mpmath.exp(-i * mpmath.mpf(step)) * 2**bits)) for i in range(256)]
    return _trimmed(values) if trim else tuple(values)


def tflm_exponentials(multiplier: int, shift: int, diff_min: int) -> tuple[int, ...]:
    """Return the table of ``embact_softmax_table_s8``, without the end that changes no result.

    An entry below 2**11 adds 0 to the sum, and its share is below 2**11 / 2**15 output codes.
    """
    differences = np.arange(min(-diff_min, 255) + 1)
    scaled = high_mul(-differences << shift, multiplier)
    return _trimmed([int(value) for value in exp_on_negative_values(scaled, SUM_BITS)], 1 << 11)


def _nearest(values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return float values rounded with ties away from zero, in their own precision."""
    wide = values.astype(np.float64)
    return np.copysign(np.floor(np.abs(wide) + 0.5), wide).astype(values.dtype)


def _knots(
    kind: type[np.floating[Any]],
    span: float,
    *,
    below: bool,
    function: Callable[[NDArray[np.floating[Any]]], NDArray[np.floating[Any]]],
) -> tuple[int, ...]:
    """Return 513 knots of a function on -span..0 or 0..span as TFLite's LUTPopulate does.

    Each knot is moved by half of the error that interpolation makes in the middle of its segment.
    Every step is taken in the precision ``kind``.
    """
    scale = kind(span) / kind(65535)
    zero = 32767 if below else -32768
    low, high = scale * kind(-32768 - zero), scale * kind(32767 - zero)
    step = (high - low) / kind(512)
    unit = kind(2) / kind(65535)
    gain = kind(65536) / (unit * kind(32767) - unit * kind(-32768))
    left = low + np.arange(512).astype(kind) * step
    right = low + np.arange(1, 513).astype(kind) * step
    here = _nearest(function(left) * gain)
    halfway = _nearest((function(right) * gain + here) / kind(2))
    bias = _nearest((halfway - _nearest(function(left + step / kind(2)) * gain)) / kind(2))
    last = _nearest(function(np.array([high], dtype=kind)) * gain)
    knots = np.clip(np.concatenate([here - bias, last]), -32768, 32767)
    return tuple(int(value) for value in knots)


def exp_table() -> tuple[int, ...]:
    """Return exp(x) * 2**15 at 513 knots of -10..0: float32 and double give the same."""
    return _knots(np.float64, 10.0, below=True, function=np.exp)


def inverse_table(kind: type[np.floating[Any]]) -> tuple[int, ...]:
    """Return 2**15 / (1 + x) at 513 knots of 0..1, made in a precision."""
    return _knots(kind, 1.0, below=False, function=lambda x: kind(1) / (kind(1) + x))
