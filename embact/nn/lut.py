"""Twins of ``embact_lut_s8`` and ``embact_lut_interp_s16``: tables made elsewhere.

This module must not know how tables are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embact.errors import EmbactError
from embact.ir import INT32_MAX, INT32_MIN
from embact.nn.arithmetic import check_range

if TYPE_CHECKING:
    from embact.grid import Codes


def lut_s8(codes: Codes, table: Codes) -> Codes:
    """Return table[codes mod 256]: the table has the results for 0..127, then for -128..-1."""
    if table.shape != (256,):
        raise EmbactError("entries of a table", got=table.shape, allowed="(256,)")
    result: Codes = table[codes & 255]
    return result


def lut_interp_s16(
    codes: Codes, table: Codes, spacing_log2: int, fraction_bits: int, offset: int
) -> Codes:
    """Return int16 codes interpolated between knots 2**spacing_log2 inputs apart.

    With k = spacing_log2, p = code + 32768, i = p >> k and f = p mod 2**k:
    clamp((T[i] * (2**k - f) + T[i + 1] * f + offset) >> (k + fraction_bits)). table: int16 values,
    shape (2**(16 - k) + 1,). k = 7, fraction_bits = 0, offset = 64 is LUTLookup of TFLM.
    """
    check_range("spacing_log2", spacing_log2, 0, 16)
    check_range("fraction_bits", fraction_bits, 0, 15)
    spacing = 1 << spacing_log2
    check_range(
        "offset", offset, INT32_MIN + (spacing << 15), INT32_MAX - ((spacing << 15) - spacing)
    )
    knots = (1 << (16 - spacing_log2)) + 1
    if table.shape != (knots,):
        raise EmbactError("knots of a table", got=table.shape, allowed=f"({knots},)")
    positions = codes + (1 << 15)
    cells, parts = positions >> spacing_log2, positions & (spacing - 1)
    lines = table[cells] * (spacing - parts) + table[cells + 1] * parts
    lines = (lines + offset) >> (spacing_log2 + fraction_bits)
    result: Codes = np.clip(lines, -(1 << 15), (1 << 15) - 1)
    return result
