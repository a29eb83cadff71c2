"""The output grid that TFLite's conventions give to an activation whose input grid is known.

This module must not know kernels or how a grid is written on a command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embact.errors import EmbactError
from embact.grid import Grid, grid_of_range

if TYPE_CHECKING:
    from embact.activations import Activation


def output_grid(activation: Activation, input_grid: Grid, bits: int) -> Grid:
    """Return the fixed grid of an op like LOGISTIC or TANH, else the one of the values that occur.

    Fixed: outputs in [0, 1) are int8 (1/256, -128) and outputs in [-1, 1) are int8 (1/128, 0); both
    are int16 (1/32768, 0). Source: the TFLite 8-bit quantisation specification.
    Raises EmbactError if every output is 0, so that no range tells the scale.
    """
    if activation.unit_range is not None:
        low, high = activation.unit_range
        if bits == 16:
            return Grid(1 / 32768, 0, 16)
        scale = (high - low) / 256
        return Grid(scale, -128 - round(low / scale), 8)
    values = activation(input_grid.real(input_grid.codes()))
    if not np.all(np.isfinite(values)):
        raise EmbactError(
            f"{activation.name} is not finite on the whole input range",
            allowed="another range, or an explicit --out-scale",
        )
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    if low == high:
        raise EmbactError(
            f"{activation.name} is 0 on the whole input range",
            got=f"{input_grid.scale} * ({input_grid.code_min}..{input_grid.code_max}"
            f" - {input_grid.zero_point})",
            allowed="another range, or an explicit --out-scale",
        )
    return grid_of_range(low, high, bits)
