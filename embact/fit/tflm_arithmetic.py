"""TFLM's int8 activation kernels on all codes, in exact integer arithmetic.

Each function gives the output codes of TensorFlow Lite Micro's reference kernel for all input codes
in ascending order, or None where its prepare refuses the grids or its C is undefined (a shift or a
sum outside int32), so that there are no bits to be equal to. RELU, LEAKY_RELU and PRELU take int16
too. Quotients and products of scales are float32 where TFLM has them so. This module must not know
the IR.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.grid import quantize_multiplier, requantize, round_half_away
from embact.ir import INT32_MAX, INT32_MIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embact.grid import Codes, Grid, QuantSpec, Reals

BEYOND = 2.0**100
"""Stands for every multiplier so large that its shift is undefined."""


@dataclass(frozen=True)
class Scaling:
    """A real factor as multiplier * 2**(shift - 31); the multiplier has the factor's sign."""

    multiplier: int
    shift: int

    def __call__(self, values: Codes) -> Codes | None:
        """Return the scaled values as MultiplyByQuantizedMultiplier with two roundings does.

        That is TFLM's default. None if a value that is shifted left leaves int32.
        """
        if not values.any():
            return values
        left = max(self.shift, 0)
        low, high = int(values.min()), int(values.max())
        if left > 30 or low << left < INT32_MIN or high << left > INT32_MAX:
            return None
        return requantize(values, self.multiplier, self.shift, rounding="double")


def scaling(factor: float) -> Scaling | None:
    """Return a factor as QuantizeMultiplier does, or None if it is not finite."""
    if not math.isfinite(factor):
        return None
    multiplier, shift = quantize_multiplier(min(abs(factor), BEYOND))
    return Scaling(-multiplier if factor < 0 else multiplier, shift)


def single(*factors: float, over: float) -> float:
    """Return the product of the factors over a divisor, each step rounded to float32."""
    with np.errstate(all="ignore"):
        result = np.float32(factors[0])
        for factor in factors[1:]:
            result = np.float32(result * np.float32(factor))
        return float(np.float32(result / np.float32(over)))


def limited(values: Codes | None, grid: Grid) -> Codes | None:
    """Return values about zero as codes of a grid; None if a sum leaves int32."""
    if values is None:
        return None
    codes: Codes = values + grid.zero_point
    if codes.min() < INT32_MIN or codes.max() > INT32_MAX:
        return None
    result: Codes = grid.clamp(codes)
    return result


def high_mul(a: Codes | int, b: Codes | int) -> Codes:
    """Return round(a * b / 2**31), ties upwards: SaturatingRoundingDoublingHighMul.

    Operands are int32 and not both the least one. Source: gemmlowp fixedpoint.h.
    """
    return (np.asarray(a) * b + (1 << 30)) >> 31


def divide(values: Codes, exponent: int) -> Codes:
    """Return values / 2**exponent, ties away from zero: RoundingDivideByPOT of gemmlowp."""
    half = (1 << exponent) >> 1
    return np.where(values < 0, -((half - values) >> exponent), (half + values) >> exponent)


def multiply(values: Codes, exponent: int) -> Codes:
    """Return values * 2**exponent limited to int32: SaturatingRoundingMultiplyByPOT of gemmlowp."""
    return np.clip(values << exponent, INT32_MIN, INT32_MAX)


def exp_on_negative_values(values: Codes, integer_bits: int) -> Codes:
    """Return 2**31 * exp(x) of x = values / 2**(31 - integer_bits) <= 0.

    x is split into a part in [-1/4, 0), whose exponential is a Taylor polynomial about -1/8, and
    a sum of powers of two, for each of which the result is multiplied by a constant. Source:
    gemmlowp's exp_on_negative_values and exp_on_interval_between_negative_one_quarter_and_0_excl.
    """
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    part = (values & (quarter - 1)) - quarter
    x = multiply(part, integer_bits) + (1 << 28)
    square = high_mul(x, x)
    cube, fourth = high_mul(square, x), high_mul(square, square)
    third = round(2**31 / 3)
    series = divide(high_mul(divide(fourth, 2) + cube, third) + square, 1)
    middle = round(2**31 * math.exp(-1 / 8))
    result = middle + high_mul(middle, x + series)
    for power in range(-2, integer_bits):
        factor = round(2**31 * math.exp(-(2.0**power)))
        bit = (part - values) >> (fraction_bits + power) & 1
        result = np.where(bit == 1, high_mul(result, factor), result)
    return np.where(values == 0, INT32_MAX, result)


def reciprocal(values: Codes) -> Codes:
    """Return 2**29 * 2/(1 + v) of v = values / 2**31 in [0, 1], by three Newton-Raphson steps.

    Source: gemmlowp's one_over_one_plus_x_for_x_in_0_1; its start is 48/17 - 32/17 d.
    """
    total = values + INT32_MAX
    half = (total + 1) >> 1  # RoundingHalfSum of what is not negative
    x = round(2**29 * 48 / 17) + high_mul(half, round(2**29 * -32 / 17))
    for _ in range(3):
        x = x + multiply(high_mul(x, (1 << 29) - high_mul(half, x)), 2)
    return x


def _rescaled(grid: Grid) -> tuple[Codes, NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Return the inputs in Q4.27, and which are so low and so high that the kernels saturate.

    Source: LogisticPrepare, TanhPrepare and CalculateInputRadius.
    """
    inputs = grid.codes() - grid.zero_point
    fraction, shift = math.frexp(grid.scale * 2.0**27)
    if not 0 <= shift <= 62:  # how far 1LL is shifted left
        return None
    radius = (15 << 27) >> shift
    low, high = inputs <= -radius, inputs >= radius
    fixed = Scaling(int(fraction * 2.0**31), shift)(np.where(low | high, 0, inputs))
    return None if fixed is None else (fixed, low, high & ~low)


def sigmoid_codes(grid: Grid) -> Codes | None:
    """Return LOGISTIC's int8 codes, on the output grid 1/256, -128.

    Source: reference_integer_ops::Logistic and gemmlowp's logistic.
    """
    rescaled = _rescaled(grid)
    if rescaled is None:
        return None
    fixed, low, high = rescaled
    positive = multiply(reciprocal(exp_on_negative_values(-np.abs(fixed), 4)), 1)
    result = np.where(fixed > 0, positive, INT32_MAX - positive)
    result = np.where(fixed == 0, 1 << 30, result)
    codes = np.clip(divide(result, 23) - 128, -128, 127)
    return np.where(low, -128, np.where(high, 127, codes))


def tanh_codes(grid: Grid) -> Codes | None:
    """Return TANH's int8 codes, on the output grid 1/128, 0.

    Source: reference_integer_ops::Tanh and gemmlowp's tanh: 2/(1 + exp(-2x)) - 1.
    """
    rescaled = _rescaled(grid)
    if rescaled is None:
        return None
    fixed, low, high = rescaled
    exponential = exp_on_negative_values(-np.abs(fixed), 5)  # the same bits, read as twice x
    positive = multiply(reciprocal(exponential) - (1 << 29), 2)
    codes = np.clip(divide(np.sign(fixed) * positive, 24), -128, 127)
    return np.where(low, -128, np.where(high, 127, codes))


def relu_codes(spec: QuantSpec) -> Codes | None:
    """Return RELU's codes; int16 must have zero points 0.

    Source: ReluPrepare, CalculateReluOpData and ReluQuantized.
    """
    if spec.input.bits == 16 and (spec.input.zero_point or spec.output.zero_point):
        return None
    factor = scaling(single(spec.input.scale, over=spec.output.scale))
    inputs = spec.input.codes() - spec.input.zero_point
    codes = None if factor is None else limited(factor(inputs), spec.output)
    return None if codes is None else np.maximum(codes, spec.output.zero_point)


def leaky_relu_factors(spec: QuantSpec, alpha: float) -> tuple[Scaling, Scaling] | None:
    """Return the factors for inputs below zero and for others, as LeakyReluPrepare does."""
    source, target = spec.input.scale, spec.output.scale
    below = scaling(single(source, alpha, over=target))
    above = scaling(single(source, over=target))
    return None if below is None or above is None else (below, above)


def leaky_relu_codes(spec: QuantSpec, alpha: float) -> Codes | None:
    """Return LEAKY_RELU's codes. Source: LeakyReluPrepare and QuantizeLeakyRelu."""
    factors = leaky_relu_factors(spec, alpha)
    inputs = spec.input.codes() - spec.input.zero_point
    return None if factors is None else _two_sided(inputs, 1, factors, spec.output)


def prelu_codes(spec: QuantSpec, slope: Grid, code: int) -> Codes | None:
    """Return PRELU's codes where every slope is one code of a grid.

    Source: PreluPrepare and BroadcastPrelu4DSlow; TFLM reckons these factors in double.
    """
    source, target = spec.input.scale, spec.output.scale
    below, above = scaling(source * slope.scale / target), scaling(source / target)
    if below is None or above is None:
        return None
    inputs = spec.input.codes() - spec.input.zero_point
    return _two_sided(inputs, code - slope.zero_point, (below, above), spec.output)


def _two_sided(
    inputs: Codes, slope: int, factors: tuple[Scaling, Scaling], grid: Grid
) -> Codes | None:
    below = factors[0](inputs[inputs < 0] * slope)
    above = factors[1](inputs[inputs >= 0])
    if below is None or above is None:
        return None
    return limited(np.concatenate([below, above]), grid)


def elu_codes(spec: QuantSpec) -> Codes | None:
    """Return ELU's int8 codes, which a table made in float32 holds.

    The exponential is the correctly rounded one. Source: PopulateLookupTable in TFLM's elu.cc.
    """
    one = np.float32(1)
    with np.errstate(all="ignore"):
        steps = (spec.input.codes() - spec.input.zero_point).astype(np.float32)
        real = np.float32(spec.input.scale) * steps
        small = np.exp(np.minimum(real, 0).astype(np.float64)).astype(np.float32) - one
        quotient: Reals = np.where(real < 0, small, real) * (one / np.float32(spec.output.scale))
    if not np.all(np.abs(quotient) <= 2.0**31 - 256):  # a float32 sum with a zero point fits
        return None
    return limited(round_half_away(quotient), spec.output)


def hard_swish_codes(spec: QuantSpec) -> Codes | None:
    """Return HARD_SWISH's int8 codes, reckoned in int16. Source: HardSwishPrepare and HardSwish.

    The input times its gate relu6(x + 3)/6, both as fractions of 2**15. No sum leaves int16: the
    product is at most 255 * 128, and a zero point 128.
    """
    fine = single(spec.input.scale, over=128.0)
    output = scaling(single(fine, over=spec.output.scale))
    gate = scaling(single(fine, over=single(3.0, over=32768.0)))
    if output is None or gate is None or output.shift > 0 or gate.shift > 31:
        return None
    inputs = (spec.input.codes() - spec.input.zero_point) * 128
    value = _high_mul_16(inputs, _multiplier_16(output))
    left, right = max(gate.shift, 0), max(-gate.shift, 0)
    share = np.clip(inputs << max(left - 1, 0), -(1 << 15), (1 << 15) - 1)
    share = _high_mul_16(share, _multiplier_16(gate))
    share = _divide_16(np.clip(share << min(left, 1), -(1 << 15), (1 << 15) - 1), right)
    share = (share + (1 << 15)) >> 1
    product = share * value
    product = np.sign(product) * (np.abs(product) >> 15)
    return limited(_divide_16(product, -output.shift), spec.output)


def _multiplier_16(factor: Scaling) -> int:
    """Return a multiplier in 16 bits. Source: DownScaleInt32ToInt16Multiplier."""
    return min((factor.multiplier + (1 << 15)) >> 16, (1 << 15) - 1)


def _high_mul_16(a: Codes, b: int) -> Codes:
    return (a * b + (1 << 14)) >> 15


def _divide_16(values: Codes, exponent: int) -> Codes:
    """Return int16 values / 2**exponent as RoundingDivideByPOT does.

    Its mask has 16 bits, so from 2**16 on it is all ones and the result no rounded quotient.
    """
    if exponent < 16:
        return divide(values, exponent)
    return np.where(values < 0, -1, 1)
