"""The rows of softmax and log_softmax, step by step as ``c_src/nn`` has them, over numpy.

Each function takes codes of shape (rows, row_size) as int64, then the arguments of the C function
of its name in the same order, tables as uint64, and returns the output codes. This module must not
know where tables come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from embact.fit.tflm_arithmetic import divide, high_mul, multiply, reciprocal
from embact.grid import requantize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embact.grid import Codes

    Wide = NDArray[np.uint64]
    """Numbers 0..2**64 - 1, which no step leaves."""

U = np.uint64
INT32_MAX = 2**31 - 1


def _entries(rows: Codes, table: Wide) -> Wide:
    """Return the exponential of each code."""
    whole = np.zeros(256, dtype=np.uint64)
    whole[: table.size] = table
    return whole[_below(rows)]


def _below(rows: Codes) -> Codes:
    result: Codes = rows.max(axis=1, keepdims=True) - rows
    return result


def _length(values: Wide) -> Codes:
    """Return how many bits numbers 1..2**64 - 1 have."""
    lengths = np.zeros(values.shape, dtype=np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        more = values >= U(1) << U(step)
        lengths += step * more
        values = np.where(more, values >> U(step), values)
    return lengths + 1


def _sum(exponentials: Wide) -> Codes:
    """Return sums in Q12.19 of rounded entries in Q0.31, as int64."""
    parts = (exponentials + U(1 << 11)) >> U(12)
    result: Codes = parts.sum(axis=1, keepdims=True).astype(np.int64)
    return result


def _share(rows: Codes, table: Wide, fraction_bits: int) -> Codes:
    """Return the share of each code in its row as TFLM has it, in 2**-fraction_bits."""
    exponentials = _entries(rows, table)
    total = _sum(exponentials)
    bits = _length(total.astype(np.uint64)) - 20  # 0..12
    above_one = (total << (12 - bits)) - (1 << 31)
    inverse = multiply(reciprocal(above_one), 1)
    product = high_mul(exponentials.astype(np.int64), inverse)
    exponent = bits + 31 - fraction_bits
    result: Codes = (product + (1 << (exponent - 1))) >> exponent
    return result


def softmax_s8(rows: Codes, table: Wide) -> Codes:
    """Return the codes of embact_softmax_s8."""
    return np.minimum(_share(rows, table, 8) - 128, 127)


def softmax_s8_s16(rows: Codes, table: Wide) -> Codes:
    """Return the codes of embact_softmax_s8_s16."""
    return np.minimum(_share(rows, table, 16) - 32768, 32767)


def _interpolated(table: Codes, position: Codes) -> Codes:
    """Return a function between knots 128 positions apart, position -32768..32767."""
    index, offset = (position + 32768) >> 7, position & 127
    slope = table[index + 1] - table[index]
    result: Codes = table[index] + ((slope * offset + 64) >> 7)
    return result


def softmax_s16(  # noqa: PLR0913 - C's arguments, and its compile-time switch
    rows: Codes,
    multiplier: int,
    shift: int,
    exp_table: Wide,
    inverse_table: Wide,
    *,
    rounding: Literal["single", "double"] = "double",
) -> Codes:
    """Return the codes of embact_softmax_s16; shift is at most 15.

    rounding: of the multiplier and shift, as in ``requantize``.
    """
    scaled = requantize(-_below(rows), multiplier, shift, rounding=rounding)
    exponentials = _interpolated(exp_table.astype(np.int64), np.maximum(scaled + 32767, -32768))
    total = exponentials.sum(axis=1, keepdims=True)
    length = _length(total.astype(np.uint64))  # 15..27
    leading = total << (31 - length)
    position = ((leading + (1 << 13)) >> 14) - (1 << 16) - (1 << 15)
    inverse = _interpolated(inverse_table.astype(np.int64), np.clip(position, -32768, 32767))
    right = length - 1
    share: Codes = np.clip((exponentials * inverse + (1 << (right - 1))) >> right, 0, 32767)
    return share


def _exact_share(entries: Wide, total: Wide, point: int) -> tuple[Wide, Codes]:
    """Return each entry's product with its row's reciprocal, and the bits of the sum above 1.

    entries: 0..2**31. total: shape (rows, 1), with ``point`` bits after the point. Products:
    0..2**31, which times 2**-31 * 2**-bits is the share.
    """
    bits = _length(total) - 1 - point
    upper = total >> (bits + point - 31).astype(np.uint64)
    factor = U(2**63 - 1) // upper
    return (entries * factor + entries) >> U(32), bits


def _round(product: Wide, exponent: Codes) -> Codes:
    """Return product / 2**exponent, ties upwards."""
    signed = product.astype(np.int64)
    result: Codes = (signed + (1 << (exponent - 1))) >> exponent
    return result


def softmax_exact_s8(rows: Codes, table: Wide) -> Codes:
    """Return the codes of embact_softmax_exact_s8."""
    entries = _entries(rows, table)
    product, bits = _exact_share(entries, entries.sum(axis=1, keepdims=True), 31)
    share = np.where(bits > 9, 0, _round(product >> U(1), 22 + bits))
    return np.minimum(share - 128, 127)


def softmax_exact_s8_s16(rows: Codes, table: Wide) -> Codes:
    """Return the codes of embact_softmax_exact_s8_s16."""
    wide = _entries(rows, table)
    total = wide.sum(axis=1, keepdims=True)
    product, bits = _exact_share((wide + U(1 << 19)) >> U(20), total, 51)
    return np.minimum(_round(product, 15 + bits) - 32768, 32767)


def softmax_exact_s16(rows: Codes, coarse: Wide, fine: Wide) -> Codes:
    """Return the codes of embact_softmax_exact_s16."""
    whole = np.zeros(256, dtype=np.uint64)
    whole[: coarse.size] = coarse
    below = _below(rows)
    large, factor = whole[below >> 8], fine[below & 255]
    high, low = large >> U(32), large & U(2**32 - 1)
    wide = high * factor * U(2) + (low * factor >> U(31))
    total = wide.sum(axis=1, keepdims=True)
    product, bits = _exact_share((wide + U(1 << 19)) >> U(20), total, 51)
    return np.minimum(_round(product, 16 + bits), 32767)


def logarithm(x: Codes) -> Codes:
    """Return log(x) in Q5.26 of x in Q12.19, 2**19..2**31 - 1.

    Source: log_x_for_x_greater_than_or_equal_to_1 of TFLite, whose constants in Q0.31 these are.
    """
    middle, sqrt_half, log_2 = (_fixed(2**-0.25), _fixed(2**-0.5), 1488522236)
    zeros_a = 32 - _length(x.astype(np.uint64))
    r_a = multiply(high_mul(x << (zeros_a - 1), sqrt_half), 1)
    below = high_mul(x, sqrt_half)
    zeros_b = 31 - _length(below.astype(np.uint64))
    r_b = np.minimum(x << zeros_b, INT32_MAX)
    r = np.minimum(r_a, r_b)
    power = np.maximum(((12 - zeros_a) << 25) + (1 << 23), ((12 - zeros_b) << 25) - (1 << 23))
    p, q = (r + middle + 1) >> 1, (r - middle) * 2
    square = high_mul(q, q)
    root = 2**0.25
    numerator = high_mul(q, r) + high_mul(high_mul(q, square), _fixed(11 / 240 * root))
    denominator = high_mul(
        p, _fixed(2 / root - root) + q + high_mul(_fixed(root / 20), square)
    ) + high_mul(_fixed(root / 4), q)
    inverse = multiply(reciprocal(denominator), 1)
    return multiply(high_mul(power, log_2) + high_mul(divide(numerator, 6), inverse), 1)


def _fixed(value: float) -> int:
    return round(value * 2**31)


def log_softmax_s8(rows: Codes, multiplier: int, shift: int, table: Wide) -> Codes:
    """Return the codes of embact_log_softmax_s8."""
    below = _below(rows)
    total = np.minimum(_sum(_entries(rows, table)), INT32_MAX)
    radius = (31 << 26) >> shift  # CalculateInputRadius: what is farther below is the least code
    scaled = high_mul(-np.minimum(below, radius) << shift, multiplier)
    real = np.maximum(scaled - logarithm(total), -(1 << 30))
    return np.where(below > radius, -128, np.maximum(divide(real, 22) + 127, -128))


def log_softmax_exact_s8(rows: Codes, multiplier: int, shift: int, table: Wide) -> Codes:
    """Return the codes of embact_log_softmax_exact_s8."""
    total = _entries(rows, table).sum(axis=1, keepdims=True)
    bits = _length(total) - 32
    m = total >> bits.astype(np.uint64)
    log2_sum = bits.astype(np.uint64)
    for _ in range(26):
        square = m * m
        carry = square >> U(63)
        m = square >> (U(31) + carry)
        log2_sum = log2_sum * U(2) + carry
    log_sum = log2_sum * U(2977044472) >> U(32)
    depth = (_below(rows).astype(np.uint64) * U(multiplier) >> U(shift)) + log_sum
    steps = ((depth + U(1 << 21)) >> U(22)).astype(np.int64)
    return np.maximum(127 - steps, -128)
