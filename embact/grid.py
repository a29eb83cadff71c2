"""Integers and the reals they stand for: ``real = scale * (code - zero_point)``.

This module must not know what is computed on a grid: no activations, no kernels, no TFLite files.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embact.errors import EmbactError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]
    Reals = NDArray[np.float64]

SCALE_MIN = 2.0**-126
"""The smallest normal float32: TFLite stores every scale as a float32."""
SCALE_END = 2.0**128 - 2.0**103
"""From here on rounding to float32 overflows."""


@dataclass(frozen=True)
class Grid:
    """The codes of one signed quantised tensor.

    scale: real distance of two neighbouring codes, in the range of a normal float32; it is rounded
    to float32, as TFLite stores it, so that ``scale * (code - zero_point)`` is exact in float64.
    zero_point: the code of real 0, inside the code range.
    bits: 8 (codes -128..127) or 16 (codes -32768..32767).
    Raises EmbactError for anything else.
    """

    scale: float
    zero_point: int
    bits: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", float(self.scale))  # numpy's scalars are welcome too
        if SCALE_MIN <= self.scale < SCALE_END:
            object.__setattr__(self, "scale", float(np.float32(self.scale)))
        try:
            object.__setattr__(self, "zero_point", operator.index(self.zero_point))
        except TypeError:
            raise EmbactError("zero point", got=self.zero_point, allowed="an integer") from None
        if self.bits not in (8, 16):
            raise EmbactError("bit width of a grid", got=self.bits, allowed="8, 16")
        if not (SCALE_MIN <= self.scale < SCALE_END):  # also false for nan
            raise EmbactError(
                "scale",
                got=self.scale,
                allowed="a number > 0 that float32 can hold (2^-126..2^128)",
            )
        if not self.code_min <= self.zero_point <= self.code_max:
            raise EmbactError(
                f"zero point outside {self.dtype}",
                got=self.zero_point,
                allowed=f"{self.code_min}..{self.code_max}",
            )

    @property
    def dtype(self) -> Literal["int8", "int16"]:
        """The numpy and TFLite name of the code type."""
        return "int8" if self.bits == 8 else "int16"

    @property
    def code_min(self) -> int:
        """The smallest code."""
        return -(1 << (self.bits - 1))

    @property
    def code_max(self) -> int:
        """The largest code."""
        return (1 << (self.bits - 1)) - 1

    def codes(self) -> Codes:
        """Return every code in ascending order: int64, shape (2**bits,)."""
        return all_codes(self.bits)

    def real(self, codes: Codes) -> Reals:
        """Return the real numbers that the codes stand for."""
        return self.scale * (codes - self.zero_point).astype(np.float64)

    def quantize(self, real: Reals) -> Codes:
        """Return the codes nearest to the reals: ties away from real 0, clamped.

        >>> Grid(0.5, 0, 8).quantize(np.array([0.25, -0.25, 1e9]))
        array([  1,  -1, 127])
        """
        far = 2.0**40 * self.scale  # beyond every code; the quotient of more might overflow
        steps = np.clip(real, -far, far) / self.scale
        codes: Codes = self.clamp(round_half_away(steps) + self.zero_point)
        return codes

    def clamp(self, codes: Any) -> Any:
        """Return the codes (int or array) limited to the grid's range."""
        return np.clip(codes, self.code_min, self.code_max)


def all_codes(bits: int) -> Codes:
    """Return every signed code of that width in ascending order: int64, shape (2**bits,)."""
    return np.arange(-(1 << (bits - 1)), 1 << (bits - 1), dtype=np.int64)


@dataclass(frozen=True)
class QuantSpec:
    """How an activation is quantised: the grid it reads and the grid it writes."""

    input: Grid
    output: Grid


def round_half_away(x: Reals) -> Codes:
    """Return the nearest integers, ties away from zero, as TfLiteRound (C ``round``) does.

    >>> round_half_away(np.array([0.5, -0.5, 1.5, 0.49999999999999994]))
    array([ 1, -1,  2,  0])
    """
    magnitude = np.abs(x)
    whole = np.floor(magnitude)
    whole += magnitude - whole >= 0.5
    return np.copysign(whole, x).astype(np.int64)


def grid_of_range(low: float, high: float, bits: int) -> Grid:
    """Return the grid that TFLite's converter gives to values in [low, high].

    int8 is asymmetric: the range is widened to hold 0, the scale is range/255 and 0 falls on a
    code, reckoned from the nearer end of the range and rounded half away from zero, so that -1:1
    has zero point -1. int16 is symmetric: zero point 0 and scale max(|low|, |high|)/32767. Source:
    the TFLite 8-bit and 16x8 quantisation specifications, and GetAsymmetricQuantizationParams.

    >>> grid_of_range(0.0, 127.5, 8)
    Grid(scale=0.5, zero_point=-128, bits=8)
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise EmbactError("range", got=f"{low}:{high}", allowed="LOW:HIGH, finite, LOW < HIGH")
    low, high = min(low, 0.0), max(high, 0.0)
    if bits == 16:
        return Grid(max(-low, high) / 32767, 0, 16)
    scale = (high - low) / 255
    if not SCALE_MIN <= scale < SCALE_END:
        raise EmbactError("range", got=f"{low}:{high}", allowed="a range whose scale fits float32")
    below, above = low / scale, high / scale
    zero = -128 - below if 128 - below < 127 + above else 127 - above
    return Grid(scale, int(np.clip(round_half_away(np.array([zero])), -128, 127)[0]), bits)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Return (multiplier, shift) with ``real ~= multiplier * 2**(shift - 31)``.

    The multiplier is 0 or in [2**30, 2**31), rounded half away from zero. Source:
    QuantizeMultiplier in TFLite's quantization_util, as CMSIS-NN and TFLM use it.

    >>> quantize_multiplier(0.5), quantize_multiplier(1.0), quantize_multiplier(0.0)
    ((1073741824, 0), (1073741824, 1), (0, 0))
    """
    if not (math.isfinite(real) and 0 <= real < SCALE_END):
        raise EmbactError("multiplier", got=real, allowed="a finite number >= 0")
    if real == 0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * 2.0**31 + 0.5)
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def requantize(
    values: Codes, multiplier: int, shift: int, *, rounding: Literal["single", "double"]
) -> Codes:
    """Return ``values * multiplier * 2**(shift - 31)`` rounded as the two TFLite rules do.

    values: int64 arrays whose elements times 2**max(shift, 0) fit int32.
    single: one rounding, ``(x * m + 2**(s - 1)) >> s`` with s = 31 - shift (ties upwards).
    double: SaturatingRoundingDoublingHighMul, then RoundingDivideByPOT (ties away from zero at the
    second step). Raises EmbactError unless shift is in -31..30. Source: gemmlowp fixedpoint.h and
    TFLite's MultiplyByQuantizedMultiplier.
    """
    if not -31 <= shift <= 30:
        raise EmbactError("shift of a multiplier", got=shift, allowed="-31..30")
    if rounding == "single":
        total = 31 - shift
        return (values * multiplier + (1 << (total - 1))) >> total
    product = (values << max(shift, 0)) * multiplier
    nudge = np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = product + nudge
    high = np.where(high >= 0, high >> 31, -((-high) >> 31))  # C division truncates
    right = max(-shift, 0)
    mask = (1 << right) - 1
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))
