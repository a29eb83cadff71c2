"""Gated linear units, output = a * activation(b): the twin of ``embact_glu`` and its parameters.

For int8 the gate is a table of an int16 entry for each b; for int16 it is an int16 kernel of the
activation. Their product is rounded to the output once, ties away from zero, in every build of the
C. GLU has the gate sigmoid, SwiGLU silu, GEGLU gelu, ReGLU relu. Source: Dauphin et al.,
arXiv:1612.08083; Shazeer, arXiv:2002.05202. This module must not know how errors are proved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact import grid
from embact.certify import ideal
from embact.conventions import output_grid
from embact.errors import EmbactError
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import fit
from embact.fit.tflm_arithmetic import Scaling
from embact.grid import SCALE_MIN, Grid, QuantSpec
from embact.nn.arithmetic import check_factor

if TYPE_CHECKING:
    from embact.activations import Activation
    from embact.fit.record import Fit
    from embact.grid import Codes

GATE_MAX = 32767
"""The greatest code of a gate."""

ANY_ERROR = 1 << 16
"""A budget in codes that every kernel meets."""


@dataclass(frozen=True)
class Grids:
    """The grids of a, b and the output; all of one width. Raises EmbactError for others."""

    a: Grid
    b: Grid
    output: Grid

    def __post_init__(self) -> None:
        if len({self.a.bits, self.b.bits, self.output.bits}) > 1:
            dtypes = ", ".join(one.dtype for one in (self.a, self.b, self.output))
            raise EmbactError("widths of a, b and output", got=dtypes, allowed="one width")

    @property
    def bits(self) -> int:
        """The width of all codes."""
        return self.output.bits


@dataclass(frozen=True)
class Glu:
    """One gated unit.

    gate_scale: what a gate code is worth. gate: the codes for each b in ascending order, int16.
    factor: the multiplier and shift nearest to a_scale * gate_scale / output_scale.
    kernel: the fit of the gate, for int16.
    """

    activation: Activation
    grids: Grids
    gate_scale: float
    gate: tuple[int, ...]
    factor: Scaling
    kernel: Fit | None = None

    @property
    def table_bytes(self) -> int:
        """Bytes of constant data."""
        return 2 * len(self.gate) if self.kernel is None else self.kernel.kernel.table_bytes

    def __call__(self, a: Codes, b: Codes) -> Codes:
        """Return the output codes of codes a and b, whose shapes broadcast."""
        gates = np.array(self.gate, dtype=np.int64)[b - self.grids.b.code_min]
        return glu(a, gates, self.grids, self.factor)


def glu(a: Codes, gates: Codes, grids: Grids, factor: Scaling) -> Codes:
    """Return the codes of (a - a's zero point) * gates * factor, rounded once, ties from zero.

    The twin of ``embact_glu_s8`` and ``embact_glu_s16``: the same for every input.
    """
    check_factor(factor)
    product = (a - grids.a.zero_point) * gates * factor.multiplier
    total = 31 - factor.shift
    rounded = (product + (1 << (total - 1)) - (product < 0)) >> total
    codes: Codes = grids.output.clamp(rounded + grids.output.zero_point)
    return codes


def table_gates(activation: Activation, grids: Grids) -> list[Glu]:
    """Return int8 units that differ in the scale of the gate, each rounded correctly.

    The scales: the one that uses all 16 bits, the power of two above it, and the one above it that
    b's scale is a power of two of, which holds the identity part of relu and its kin exactly.
    Gates so large that every a but 0 saturates the output are limited. So, on the first scale, no
    product is off by more than 255/2 * 256/32767 < 1 code before it is rounded: no result is
    farther than 1 code from the correctly rounded one, whatever the grids.
    Raises EmbactError if the gate is 0 or infinite, or a factor is beyond the library.
    """
    values = activation(grids.b.real(grids.b.codes()))
    most = float(np.max(np.abs(values)))
    if not SCALE_MIN * GATE_MAX <= most < math.inf:
        raise EmbactError(
            f"{activation.name} on the codes of b", got=most, allowed="finite values, not all 0"
        )
    finest = min(most, 256 * grids.output.scale / grids.a.scale) / GATE_MAX
    power = 2.0 ** math.ceil(math.log2(finest))
    shared = grids.b.scale * 2.0 ** math.ceil(math.log2(finest / grids.b.scale))
    found = []
    for scale in dict.fromkeys((finest, power, shared)):
        gate_grid = Grid(scale, 0, 16)
        codes = ideal(activation, QuantSpec(grids.b, gate_grid)).codes
        found.append(_unit(activation, grids, gate_grid.scale, codes))
    return found


GATE_BYTES = 2048
"""Table bytes of an int16 gate whose error nobody limits."""


def kernel_gate(
    activation: Activation, grids: Grids, max_error: int | None = None, family: str = "auto"
) -> Glu:
    """Return an int16 unit whose gate is a fitted kernel, on the grid that TFLite gives its output.

    max_error: of the gate's codes; the tables are then the smallest that serve it. None: the least
    error with tables of at most GATE_BYTES. Raises EmbactError if the family has no such kernel.
    """
    spec = QuantSpec(grids.b, output_grid(activation, grids.b, 16))
    if max_error is None:
        limits, options = Limits(ANY_ERROR, GATE_BYTES), Options(objective="error")
    else:
        limits, options = Limits(max_error), Options(objective="bytes")
    return unit_of_fit(grids, fit(Problem(activation, spec, limits, options), family))


def unit_of_fit(grids: Grids, gate: Fit) -> Glu:
    """Return the int16 unit with a fitted gate. Raises EmbactError if the grids do not suit it."""
    source, target = gate.spec.input, gate.spec.output
    if source != grids.b or target.bits != 16 or target.zero_point:
        raise EmbactError(
            "gate for other grids",
            got=str(gate.spec),
            allowed=f"{grids.b} to int16 with zero point 0",
        )
    return _unit(gate.activation, grids, target.scale, gate.kernel.outputs, gate)


def _unit(
    activation: Activation, grids: Grids, scale: float, codes: Codes, kernel: Fit | None = None
) -> Glu:
    real = grids.a.scale * scale / grids.output.scale
    if not 2.0**-32 <= real < 2.0**30:
        raise EmbactError(
            "a's scale times the gate's over the output's",
            got=real,
            allowed="2^-32..2^30",
        )
    factor = Scaling(*grid.quantize_multiplier(real))
    check_factor(factor)
    return Glu(activation, grids, scale, tuple(codes.tolist()), factor, kernel)
