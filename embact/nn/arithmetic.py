"""Integer arithmetic that the twins of the C library share, on int64 arrays.

The same values as ``c_src/nn/embact_nn_arithmetic.h`` gives, for every argument that the library
accepts. This module must not know activations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from embact import grid
from embact.errors import EmbactError
from embact.fit.tflm_arithmetic import Scaling
from embact.ir import INT32_MAX, INT32_MIN

if TYPE_CHECKING:
    from embact.grid import Codes, QuantSpec

Rounding: TypeAlias = Literal["double", "single"]
"""double: the default of TFLM and CMSIS-NN. single: with CMSIS_NN_USE_SINGLE_ROUNDING."""


@dataclass(frozen=True)
class Offsets:
    """What is added to input codes and to results, as CMSIS-NN has it; bits: of both sides.

    input: -zero_point of the input. output: +zero_point of the output. Raises EmbactError for
    offsets that no zero point of that width has.
    """

    input: int
    output: int
    bits: int

    def __post_init__(self) -> None:
        half = 1 << (self.bits - 1)
        check_range("input offset", self.input, 1 - half, half)
        check_range("output offset", self.output, -half, half - 1)

    @property
    def code_min(self) -> int:
        """The least code of both sides."""
        return -(1 << (self.bits - 1))

    @property
    def code_max(self) -> int:
        """The greatest code of both sides."""
        return (1 << (self.bits - 1)) - 1

    def codes(self, values: Codes, low: int | None = None, high: int | None = None) -> Codes:
        """Return int32 values plus the output offset, limited to low..high or to the width."""
        ends = self.code_min if low is None else low, self.code_max if high is None else high
        result: Codes = np.clip(values + self.output, *ends)
        return result


def offsets_of(spec: QuantSpec) -> Offsets:
    """Return the offsets of a quantisation. Raises EmbactError unless both widths are one."""
    if spec.input.bits != spec.output.bits:
        raise EmbactError(
            "widths of input and output",
            got=f"{spec.input.dtype}, {spec.output.dtype}",
            allowed="one width",
        )
    return Offsets(-spec.input.zero_point, spec.output.zero_point, spec.input.bits)


def check_range(what: str, value: int, low: int, high: int) -> None:
    """Raise EmbactError unless low <= value <= high."""
    if not low <= value <= high:
        raise EmbactError(what, got=value, allowed=f"{low}..{high}")


def check_factor(factor: Scaling) -> None:
    """Raise EmbactError unless the library takes that multiplier and shift."""
    check_range("multiplier", factor.multiplier, -INT32_MAX, INT32_MAX)
    check_range("shift of a multiplier", factor.shift, -31, 30)


def saturate(values: Codes) -> Codes:
    """Return values limited to int32."""
    result: Codes = np.clip(values, INT32_MIN, INT32_MAX)
    return result


def requantize(values: Codes, factor: Scaling, rounding: Rounding) -> Codes:
    """Return int32 values times a factor, rounded once or twice, limited to int32.

    Two roundings: what a left shift takes out of int32 is limited before the multiplication.
    """
    check_factor(factor)
    multiplier, shift = factor.multiplier, factor.shift
    if rounding == "double" and shift > 0:
        values, shift = saturate(values << shift), 0
    return saturate(grid.requantize(values, multiplier, shift, rounding=rounding))


def scaling(factor: float, what: str) -> Scaling:
    """Return a factor >= 0 as QuantizeMultiplier does.

    Raises EmbactError, naming the factor, where its shift is beyond what the library takes.
    """
    if not 0 <= factor < 2.0**30:  # also false for nan
        raise EmbactError(what, got=factor, allowed="0 <= factor < 2^30")
    found = Scaling(*grid.quantize_multiplier(factor))
    check_factor(found)
    return found
