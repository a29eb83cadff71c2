"""Twin of ``embact_prelu``: leaky ReLU with a slope for each channel, by two multipliers.

This module must not know how codes reach the C or how the error is stated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embact.nn.arithmetic import check_range, requantize, scaling

if TYPE_CHECKING:
    from embact.fit.tflm_arithmetic import Scaling
    from embact.grid import Codes, Grid, QuantSpec
    from embact.nn.arithmetic import Offsets, Rounding


def prelu(
    codes: Codes,
    slopes: Codes,
    offsets: Offsets,
    factors: tuple[Scaling, Scaling],
    *,
    rounding: Rounding = "double",
) -> Codes:
    """Return PRELU's codes, int8 or int16.

    codes: shape (..., channels). slopes: int8 codes less their zero point, -255..255, shape
    (channels,) or (1,). factors: for inputs from the zero point on, and for input times slope
    below. Source: BroadcastPrelu4DSlow of TFLM, whose slopes have 8 bits for int16 data, too.
    """
    check_range("slope", int(slopes.min()), -255, 255)
    check_range("slope", int(slopes.max()), -255, 255)
    values = codes + offsets.input
    above = requantize(values, factors[0], rounding)
    below = requantize(values * slopes, factors[1], rounding)
    return offsets.codes(np.where(values >= 0, above, below))


def prelu_parameters(spec: QuantSpec, slope: Grid) -> tuple[Scaling, Scaling]:
    """Return the factors for inputs from the zero point on, and below, as PreluPrepare does.

    In float64. Raises EmbactError where a factor is 2^30 or more.
    """
    source, target = spec.input.scale, spec.output.scale
    return (
        scaling(source / target, "in_scale / out_scale"),
        scaling(source * slope.scale / target, "in_scale * alpha_scale / out_scale"),
    )
