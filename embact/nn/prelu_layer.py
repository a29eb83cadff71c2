"""A PReLU layer with its constants, and its exhaustive error against the real function.

The real function is x from 0 on and a * x below, with the real slope a of each channel. It is a
rational number of output codes, so that rounding is decided exactly. This module must not know C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from embact.certify import DOUBT_CODES, NOISE
from embact.errors import EmbactError
from embact.grid import Grid, grid_of_range
from embact.nn.arithmetic import offsets_of
from embact.nn.prelu import prelu, prelu_parameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.fit.tflm_arithmetic import Scaling
    from embact.grid import Codes, QuantSpec, Reals
    from embact.nn.arithmetic import Offsets, Rounding

CHANNELS_MAX = 1 << 16


@dataclass(frozen=True)
class PreluLayer:
    """A quantised PReLU.

    spec: int8 or int16 on both sides. slope: the int8 grid of the slopes. codes: their codes, one
    for the whole tensor or one for each channel. reals: the slopes that are wanted, as many; those
    that the codes stand for, unless reals were quantised. Raises EmbactError for anything else.
    """

    spec: QuantSpec
    slope: Grid
    codes: tuple[int, ...]
    reals: tuple[float, ...]

    def __post_init__(self) -> None:
        offsets_of(self.spec)
        prelu_parameters(self.spec, self.slope)
        if self.slope.bits != 8:
            raise EmbactError("width of the slopes", got=self.slope.dtype, allowed="int8")
        if not 1 <= len(self.codes) == len(self.reals) <= CHANNELS_MAX:
            raise EmbactError("slopes", got=len(self.codes), allowed=f"1..{CHANNELS_MAX}")
        if not -128 <= min(self.codes) <= max(self.codes) <= 127:
            wrong = next(code for code in self.codes if not -128 <= code <= 127)
            raise EmbactError("code of a slope", got=wrong, allowed="-128..127")

    @property
    def offsets(self) -> Offsets:
        """What the kernel adds to codes."""
        return offsets_of(self.spec)

    @property
    def factors(self) -> tuple[Scaling, Scaling]:
        """The kernel's factors, for inputs from the zero point on and below."""
        return prelu_parameters(self.spec, self.slope)

    def outputs(self, codes: Codes, *, rounding: Rounding = "double") -> Codes:
        """Return the kernel's outputs for codes of shape (..., channels)."""
        slopes = np.array(self.codes, dtype=np.int64) - self.slope.zero_point
        return prelu(codes, slopes, self.offsets, self.factors, rounding=rounding)


def layer_of_codes(spec: QuantSpec, slope: Grid, codes: Sequence[int]) -> PreluLayer:
    """Return the layer whose slopes are codes of a grid."""
    reals = tuple(slope.scale * (code - slope.zero_point) for code in codes)
    return PreluLayer(spec, slope, tuple(codes), reals)


def layer_of_reals(spec: QuantSpec, reals: Sequence[float]) -> PreluLayer:
    """Return the layer whose slopes are real numbers, on the int8 grid of their range and 0.

    Its error is then against these reals: it contains what their quantisation costs.
    """
    if not reals or not all(math.isfinite(real) for real in reals):
        raise EmbactError("slopes", got=list(reals)[:4], allowed="finite numbers, at least one")
    low, high = min(*reals, 0.0), max(*reals, 0.0)
    slope = grid_of_range(low, high, 8) if low < high else Grid(1.0, 0, 8)
    codes = slope.quantize(np.array(reals, dtype=np.float64))
    return PreluLayer(spec, slope, tuple(codes.tolist()), tuple(reals))


@dataclass(frozen=True)
class ChannelError:
    """Exhaustive error of one channel.

    slope: the real slope. max_error_codes: largest distance to the correctly rounded code, ties
    away from zero. max_error_lsb: largest distance to the real result, where the output range can
    hold it. worst_input: the first code with that distance.
    """

    channel: int
    code: int
    slope: float
    max_error_codes: int
    max_error_lsb: float
    worst_input: int


def channel_errors(layer: PreluLayer, *, rounding: Rounding = "double") -> tuple[ChannelError, ...]:
    """Return the error of every channel over all 256 or 65,536 inputs."""
    measured: dict[tuple[int, float], ChannelError] = {}
    found = []
    for channel, (code, real) in enumerate(zip(layer.codes, layer.reals, strict=True)):
        if (code, real) not in measured:
            measured[code, real] = _measured(layer, channel, rounding)
        known = measured[code, real]
        figures = known.max_error_codes, known.max_error_lsb, known.worst_input
        found.append(ChannelError(channel, code, real, *figures))
    return tuple(found)


def _measured(layer: PreluLayer, channel: int, rounding: Rounding) -> ChannelError:
    spec, code, real = layer.spec, layer.codes[channel], layer.reals[channel]
    codes = spec.input.codes()
    slope = np.array([code - layer.slope.zero_point])
    outputs = prelu(codes[:, None], slope, layer.offsets, layer.factors, rounding=rounding)[:, 0]
    steps, rounded = _ideal(spec, real)
    codes_off, lsb_off = np.abs(outputs - rounded), np.abs(outputs - spec.output.zero_point - steps)
    lsb_off[lsb_off <= NOISE * np.abs(steps)] = 0.0
    worst = int(np.argmax(lsb_off))
    figures = int(codes_off.max()), round(float(lsb_off[worst]), 9), int(codes[worst])
    return ChannelError(channel, code, real, *figures)


def _ideal(spec: QuantSpec, slope: float) -> tuple[Reals, Codes]:
    """Return the real results in output codes less the zero point, limited, and rounded codes."""
    ratio = Fraction(spec.input.scale) / Fraction(spec.output.scale)
    numbers = spec.input.codes() - spec.input.zero_point
    below = numbers < 0
    parts = [
        _steps(numbers[below], ratio * Fraction(slope)),
        _steps(numbers[~below], ratio),
    ]
    steps, rounded = (np.concatenate(both) for both in zip(*parts, strict=True))
    low, high = (
        end - spec.output.zero_point for end in (spec.output.code_min, spec.output.code_max)
    )
    return np.clip(steps, low, high), np.clip(rounded, low, high) + spec.output.zero_point


def _steps(numbers: Codes, factor: Fraction) -> tuple[Reals, Codes]:
    """Return numbers * factor in float64, and rounded with ties away from zero, exactly.

    Both within +-2**20, beyond every code.
    """
    limit = 2.0**20
    try:
        product = np.clip(numbers * float(factor), -limit, limit)
    except OverflowError:  # of a float
        product = np.sign(numbers) * (limit if factor > 0 else -limit)
    magnitude = np.abs(product)
    rounded = np.floor(magnitude + 0.5).astype(np.int64)
    doubt = np.abs(magnitude - np.floor(magnitude) - 0.5) < DOUBT_CODES
    top, bottom = abs(factor.numerator), factor.denominator
    for place in np.flatnonzero(doubt):
        rounded[place] = (2 * abs(int(numbers[place])) * top + bottom) // (2 * bottom)
    return product, np.where(product < 0, -rounded, rounded)
