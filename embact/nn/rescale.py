"""Twins of ``embact_clamp``, ``embact_rescale`` and ``embact_leaky_relu``: factors and limits.

This module must not know how codes reach the C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embact.errors import EmbactError
from embact.fit.tflm_arithmetic import Scaling, leaky_relu_factors
from embact.nn.arithmetic import check_factor, check_range, requantize, saturate

if TYPE_CHECKING:
    from embact.grid import Codes, QuantSpec
    from embact.nn.arithmetic import Offsets, Rounding


def clamp(codes: Codes, low: int, high: int, bits: int) -> Codes:
    """Return codes limited to low..high, which lie in the width's range."""
    check_limits(low, high, bits)
    result: Codes = np.clip(codes, low, high)
    return result


def rescale(
    codes: Codes,
    offsets: Offsets,
    factor: Scaling,
    limits: tuple[int, int],
    *,
    rounding: Rounding = "double",
) -> Codes:
    """Return clamp((codes + offsets.input) * factor + offsets.output) to the limits."""
    check_limits(*limits, offsets.bits)
    return offsets.codes(requantize(codes + offsets.input, factor, rounding), *limits)


def leaky_relu(
    codes: Codes,
    offsets: Offsets,
    identity: Scaling,
    alpha: Scaling,
    *,
    rounding: Rounding = "double",
) -> Codes:
    """Return LEAKY_RELU's codes: inputs from the zero point on times identity, others times alpha.

    An alpha with a negative multiplier is applied by its magnitude, and the rounded result negated.
    Source: QuantizeLeakyRelu of TFLM, since 2026.
    """
    check_factor(alpha)
    values = codes + offsets.input
    below = requantize(values, Scaling(abs(alpha.multiplier), alpha.shift), rounding)
    if alpha.multiplier < 0:
        below = saturate(-below)
    return offsets.codes(np.where(values >= 0, requantize(values, identity, rounding), below))


def leaky_relu_parameters(spec: QuantSpec, alpha: float) -> tuple[Scaling, Scaling]:
    """Return (identity, alpha) as LeakyReluPrepare does, in float32.

    Raises EmbactError where a factor is so large that its shift is undefined there.
    """
    factors = leaky_relu_factors(spec, alpha)
    if factors is None:
        raise EmbactError("alpha", got=alpha, allowed="finite factors in_scale * alpha / out_scale")
    below, above = factors
    for factor in factors:
        check_factor(factor)
    return above, below


def check_limits(low: int, high: int, bits: int) -> None:
    """Raise EmbactError unless low <= high and both are codes of that width."""
    half = 1 << (bits - 1)
    check_range("activation_min", low, -half, half - 1)
    check_range("activation_max", high, low, half - 1)
