"""Softmax and log_softmax of quantised rows: which tables they need, and what they give.

A row matters only through the differences d = 0, 1, ... of its codes from the largest one, and
these only through exp(-d * scale * beta). So the exponentials of int8 rows are one table of at most
256 entries, and there are as many tables as there are products scale * beta; zero points cancel.

Modes:

- ``tflm``: the bits of TFLM's SOFTMAX and LOG_SOFTMAX, and of CMSIS-NN's functions.
- ``tflite``: those of TFLite's reference resolver on a host. It differs from ``tflm`` for int16
  rows only: its table of 1/(1 + x) is made in double, TFLM's in float32, and two entries differ.
- ``exact``: the real softmax, rounded.

``exact``: each code is the correctly rounded one unless the real value is within ``bound_codes`` of
a boundary between two codes. Proof, in units u = 2**-32, with e the real exponentials, E the
table's, S and T their sums (both at least 1), n the length of the row, p = e/S:

- Largest codes have E = e = 1. Else |E - e| <= u for a Q1.31 entry, so |T - S| <= (n - 1) u, and
  |E/T - p| <= (|E - e| + p |T - S|) / T <= n u. For a Q1.51 entry it is n * 2**-52 <= u / 2**8,
  and rounding it to Q1.31 for the product adds u.
- int16: E = C F with C a coarse, F a fine factor. |E - e| <= C u + 2**-50, and C <= min(1, G e)
  with G = exp(255 scale beta); so |E/T - p| <= min(2 G, n + 1) u + (n + 1) * 2**-50, and again u.
- T is cut to 32 bits, and its reciprocal taken upwards: the quotient grows by at most 2**-31 of it
  twice, 4 u and a little (2**-62). Cutting the product to 31 bits, or 30 for int8, lowers it by 2 u
  or 4 u at most, against that growth: the larger of the two counts.
- Together (n + 5) u for int8, 6 u for int8 to int16, and (min(2 G, n + 1) + 6) u for int16, times
  256, 65536 and 32768 codes.
- log_softmax: the real result is -16 (d scale beta + log S) codes. log T is off by (n - 1) u, and
  by 2 u for the cut; 26 squarings lose 2**-30 and the digits after them 0.7 * 2**-26; 16 times
  that is at most n * 2**-28 + 0.8 * 2**-22. The constant log(2) adds 2**-25, cutting 16 log T and
  the product of d to Q22 2**-22 each, and the factor of d, off by 2**-32 of at most 512, 2**-23:
  below n * 2**-28 + 2**-20 together.

This module must not know headers or files.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from embact.errors import EmbactError, unknown_name
from embact.grid import Grid, quantize_multiplier
from embact.nn import softmax_rows as rows_of
from embact.nn.softmax_tables import (
    SUM_BITS,
    exp_table,
    exponentials,
    inverse_table,
    tflm_exponentials,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from embact.grid import Codes

MODES: dict[str, str] = {
    "tflm": "the bits of TFLM and CMSIS-NN",
    "tflite": "the bits of TFLite's reference resolver",
    "exact": "rounded to the real softmax",
}
ROW_MAX = 4096
"""Longest row: TFLM's sum of exponentials has 12 bits before the point."""


@dataclass(frozen=True)
class Table:
    """One constant table. name: of the C parameter. about: for its comment."""

    name: str
    ctype: Literal["int16_t", "uint32_t", "uint64_t"]
    values: tuple[int, ...]
    about: str

    @property
    def bytes(self) -> int:
        """What the entries take."""
        return len(self.values) * {"int16_t": 2, "uint32_t": 4, "uint64_t": 8}[self.ctype]


@dataclass(frozen=True)
class Softmax:
    """Softmax, or its logarithm, of rows of one quantisation.

    scale: real distance of two input codes; beta: what they are multiplied by, > 0; both are
    rounded to float32, as a TFLite model has them. in_bits and out_bits: 8 and 8, 8 and 16, 16 and
    16; the logarithm has 8 and 8 only. Output grids are TFLite's: see ``output``.
    Raises EmbactError for anything else, and where TFLM refuses or leaves undefined what its bits
    are: products scale * beta up to 2**-26 (int8), and from 5 on (int16); a logarithm with a beta.
    """

    scale: float
    beta: float = 1.0
    in_bits: int = 8
    out_bits: int = 8
    mode: str = "tflm"
    log: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", Grid(self.scale, 0, 8).scale)
        given = self.beta
        with np.errstate(over="ignore", under="ignore"):
            object.__setattr__(self, "beta", float(np.float32(given)))
        if not (math.isfinite(self.beta) and self.beta > 0):
            raise EmbactError("beta", got=given, allowed="a float32 > 0")
        if self.mode not in MODES:
            raise unknown_name("mode", self.mode, MODES)
        widths = (self.in_bits, self.out_bits)
        if widths not in ([(8, 8)] if self.log else [(8, 8), (8, 16), (16, 16)]):
            allowed = "int8 to int8" if self.log else "int8 to int8 or int16, int16 to int16"
            raise EmbactError(
                f"widths of {self.name}",
                got=f"int{self.in_bits} to int{self.out_bits}",
                allowed=allowed,
            )
        if self.mode == "exact":
            return
        if self.log and self.beta != 1:
            raise EmbactError(
                "beta", got=self.beta, allowed="1: LOG_SOFTMAX has none; or --mode exact"
            )
        if self.in_bits == 8 and not self.product * 2.0**26 > 1:
            raise EmbactError(
                "scale * beta", got=self.product, allowed="> 2^-26, as in TFLM; or --mode exact"
            )
        if self.in_bits == 16 and self.factor[1] > 15:
            raise EmbactError(
                "scale * beta", got=self.product, allowed="< 5, as in TFLM; or --mode exact"
            )

    @property
    def name(self) -> str:
        """What it is called."""
        return "log_softmax" if self.log else "softmax"

    @property
    def product(self) -> float:
        """Real scale * beta, exactly: two float32 factors."""
        return self.scale * self.beta

    @property
    def output(self) -> Grid:
        """The output grid that TFLite and TFLM demand."""
        if self.log:
            return Grid(1 / 16, 127, 8)
        if self.out_bits == 8:
            return Grid(1 / 256, -128, 8)
        return Grid(1 / 65536, -32768, 16) if self.in_bits == 8 else Grid(1 / 32768, 0, 16)

    @property
    def factor(self) -> tuple[int, int]:
        """The multiplier and shift that the C is called with, where it is called with any.

        int16: of differences, such that -65535 means -10; TFLite multiplies scale and beta in
        float32 first, TFLM does not. int8: to Q5.26, capped. Exact logarithms: 16 scale beta in
        Q22, where from 512 on every code but the largest is the least one.
        Source: PreprocessSoftmaxScaling, SoftmaxPrepare.
        """
        if self.mode == "exact":
            fraction, power = math.frexp(min(16 * self.product, 512.0) * 2.0**22)
            shift = min(32 - power, 40)
            multiplier = math.floor(math.ldexp(fraction, power + shift) + 0.5)
            return (multiplier, shift) if multiplier < 2**32 else (2**31, shift - 1)
        if self.in_bits == 8:
            return quantize_multiplier(min(self.product * 2.0**26, 2.0**31 - 1))
        product = self.product
        if self.mode == "tflite":
            with np.errstate(all="ignore"):
                product = float(np.float32(self.scale) * np.float32(self.beta))
        return quantize_multiplier(min(product / (10.0 / 65535.0), 2.0**60))

    @property
    def diff_min(self) -> int:
        """The least difference that counts for TFLM. Source: CalculateInputRadius."""
        return -((((1 << SUM_BITS) - 1) << (31 - SUM_BITS)) >> self.factor[1])

    @property
    def tables(self) -> tuple[Table, ...]:
        """The constant tables, in the order of the C function's arguments."""
        return _tables(self)

    @property
    def function(self) -> str:
        """The library function."""
        exact = "_exact" if self.mode == "exact" else ""
        widths = "s8" if self.out_bits == 8 else "s16" if self.in_bits == 16 else "s8_s16"
        return f"embact_{self.name}{exact}_{widths}"

    @property
    def has_factor(self) -> bool:
        """Whether the library function takes a multiplier and a shift."""
        return self.log or (self.in_bits == 16 and self.mode != "exact")

    def bound_codes(self, row_size: int) -> float:
        """Return how near to a boundary a real result may be and yet be rounded across it.

        In output codes, for ``exact`` mode; proof above. Raises EmbactError for other modes.
        """
        if self.mode != "exact":
            raise EmbactError("bound of a mode", got=self.mode, allowed="exact")
        if self.log:
            return row_size * 2.0**-28 + 2.0**-20
        if self.in_bits == 16:
            growth = math.exp(min(255 * self.product, 50.0))
            return (min(2 * growth, row_size + 1) + 6) * 2.0**-17
        return (row_size + 5) * 2.0**-24 if self.out_bits == 8 else 1.5 * 2.0**-14

    def __call__(self, codes: NDArray[np.int8 | np.int16]) -> Codes:
        """Return what the C function gives, by the same steps.

        codes: shape (..., row_size) of input codes; row_size 1..4096. Raises EmbactError for
        longer rows and for none.
        """
        array = np.asarray(codes).astype(np.int64)
        if array.ndim == 0 or not 1 <= array.shape[-1] <= ROW_MAX:
            raise EmbactError("row size", got=array.shape[-1:], allowed=f"1..{ROW_MAX}")
        flat = array.reshape(-1, array.shape[-1])
        tables = [np.array(table.values, dtype=np.uint64) for table in self.tables]
        factor = self.factor if self.has_factor else ()
        steps: Callable[..., Codes] = getattr(rows_of, self.function.removeprefix("embact_"))
        return steps(flat, *factor, *tables).reshape(array.shape)


@functools.lru_cache(maxsize=64)
def _tables(asked: Softmax) -> tuple[Table, ...]:
    if asked.mode == "exact" and asked.in_bits == 16:
        coarse = exponentials(256 * asked.product, 51)
        fine = exponentials(asked.product, 31, trim=False)
        return (
            Table("coarse", "uint64_t", coarse, "exp(-256 h scale beta) in Q1.51"),
            Table("fine", "uint32_t", fine, "exp(-l scale beta) in Q1.31"),
        )
    about = "exp(-d scale beta) in "
    if asked.mode == "exact" and asked.out_bits == 16:
        return (Table("exp", "uint64_t", exponentials(asked.product, 51), about + "Q1.51"),)
    if asked.mode == "exact":
        return (Table("exp", "uint32_t", exponentials(asked.product, 31), about + "Q1.31"),)
    if asked.in_bits == 8:
        values = tflm_exponentials(*asked.factor, asked.diff_min)
        return (Table("exp", "uint32_t", values, about + "Q0.31, with gemmlowp's bits"),)
    inverse = inverse_table(np.float32 if asked.mode == "tflm" else np.float64)
    return (
        Table("exp", "int16_t", exp_table(), "exp(x) in Q0.15, x in -10..0"),
        Table("inverse", "int16_t", inverse, "1 / (1 + x) in Q0.15, x in 0..1"),
    )
