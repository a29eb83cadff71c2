"""Twins of ``embact_hard_swish_s8``, TFLM's arithmetic in 16 bits, and of ``_s16``, which is ours.

This module must not know how codes reach the C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embact.errors import EmbactError
from embact.fit.tflm_arithmetic import Scaling, divide, single
from embact.grid import quantize_multiplier
from embact.ir import INT32_MAX
from embact.nn.arithmetic import check_range, requantize

if TYPE_CHECKING:
    from embact.grid import Codes, QuantSpec
    from embact.nn.arithmetic import Offsets, Rounding

INT16_MAX = (1 << 15) - 1
HALF_GATE = 1 << 29
"""The gate of x = 0 in the int16 kernel, where 1 is 2**30."""


def hard_swish_s8(codes: Codes, offsets: Offsets, output: Scaling, gate: Scaling) -> Codes:
    """Return HARD_SWISH's int8 codes, bit for bit.

    output, gate: factors with multipliers of 16 bits, 0..32767; shifts -31..0 and -31..31.
    Source: HardSwish of TFLM's reference kernels.
    """
    check_range("output multiplier", output.multiplier, 0, INT16_MAX)
    check_range("output shift", output.shift, -31, 0)
    check_range("gate multiplier", gate.multiplier, 0, INT16_MAX)
    check_range("gate shift", gate.shift, -31, 31)
    fine = (codes + offsets.input) * 128
    value = _high_mul(fine, output.multiplier)
    left, right = max(gate.shift, 0), max(-gate.shift, 0)
    share = _high_mul(_saturate(fine << max(left - 1, 0)), gate.multiplier)
    share = _divide(_saturate(share << min(left, 1)), right)
    share = (share + (1 << 15)) >> 1
    product = share * value
    product = np.sign(product) * (np.abs(product) >> 15)
    return offsets.codes(_divide(product, -output.shift))


def hard_swish_parameters_s8(spec: QuantSpec) -> tuple[Scaling, Scaling]:
    """Return (output, gate) as HardSwishPrepare does, in float32.

    Raises EmbactError where TFLM refuses the scales or shifts by more than an int has bits.
    """
    fine = single(spec.input.scale, over=128.0)
    output = _scaling_16(single(fine, over=spec.output.scale))
    gate = _scaling_16(single(fine, over=single(3.0, over=32768.0)))
    if output.shift > 0:
        raise EmbactError(
            "in_scale / out_scale", got=128 * fine / spec.output.scale, allowed="< 128"
        )
    if gate.shift > 31:
        raise EmbactError("in_scale", got=spec.input.scale, allowed="< 2^31 * 3 / 256")
    return output, gate


def hard_swish_s16(
    codes: Codes, offsets: Offsets, output: Scaling, gate: Scaling, *, rounding: Rounding = "double"
) -> Codes:
    """Return int16 codes of x * relu6(x + 3) / 6, less than 0.53 code from the real function.

    output: the factor in_scale / out_scale, shift -16..8. gate: in_scale / 6, shift -61..0. Both
    multipliers are 0..2**31 - 1. With parameters from ``hard_swish_parameters_s16`` the errors are,
    in output codes and with |x| < 2**16, in_scale / out_scale < 2**8:

        gate     2**-30 of it, by its roundings and its multiplier   < 2**(16 + 8 - 30)
        product  half a unit of 2**-15 input codes                   < 2**(8 - 16)
        result   two roundings, the first before a shift by 7 or more, and the multiplier < 0.5040

    which is 0.524 together. Where a left shift of the gate saturates it is at its end.
    """
    for what, factor, least, most in (("output", output, -16, 8), ("gate", gate, -61, 0)):
        check_range(f"{what} multiplier", factor.multiplier, 0, INT32_MAX)
        check_range(f"{what} shift", factor.shift, least, most)
    values = codes + offsets.input
    slope = requantize(values, Scaling(gate.multiplier, gate.shift + 30), rounding)
    share = np.clip(slope, -HALF_GATE, HALF_GATE) + HALF_GATE
    gated = (values * share + (1 << 14)) >> 15
    return offsets.codes(requantize(gated, Scaling(output.multiplier, output.shift - 15), rounding))


def hard_swish_parameters_s16(spec: QuantSpec) -> tuple[Scaling, Scaling]:
    """Return (output, gate) for ``hard_swish_s16``.

    Raises EmbactError where in_scale / out_scale is 256 or more.
    """
    ratio = spec.input.scale / spec.output.scale
    if ratio >= 256:
        raise EmbactError("in_scale / out_scale", got=ratio, allowed="< 256")
    output = Scaling(*quantize_multiplier(ratio))
    if output.shift > 8:  # the multiplier was rounded up to a power of two
        output = Scaling(INT32_MAX, 8)
    if output.shift < -16:  # no input reaches half a code
        output = Scaling(0, 0)
    # the kernel multiplies by 2**30 times this; from 1 on one input code is beyond 3
    gate = Scaling(*quantize_multiplier(min(spec.input.scale / 6, 1.0) * 2.0**30))
    if gate.shift > 30:
        return output, Scaling(INT32_MAX, 0)
    return output, Scaling(gate.multiplier, gate.shift - 30) if gate.multiplier else Scaling(0, 0)


def _scaling_16(factor: float) -> Scaling:
    """Return a factor with a multiplier of 16 bits. Source: DownScaleInt32ToInt16Multiplier."""
    multiplier, shift = quantize_multiplier(factor)
    return Scaling(min((multiplier + (1 << 15)) >> 16, INT16_MAX), shift)


def _saturate(values: Codes) -> Codes:
    result: Codes = np.clip(values, -INT16_MAX - 1, INT16_MAX)
    return result


def _high_mul(values: Codes, multiplier: int) -> Codes:
    return (values * multiplier + (1 << 14)) >> 15


def _divide(values: Codes, exponent: int) -> Codes:
    """Return int16 values / 2**exponent, ties away from zero, or what TFLM gives from 16 on."""
    return divide(values, exponent) if exponent < 16 else np.where(values < 0, -1, 1)
