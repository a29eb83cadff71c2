"""Forms of kernels that interpolate: lines of cells, see ``embact.fit.cells``.

The loop is ``c_src/loops/embact_loop_interp_lines_s16.h``. This module must not know activations,
certificates or how lines are found.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.emit.form import Form, TierTable
from embact.emit.portable import literal
from embact.grid import all_codes
from embact.ir import Node, Op, Table

if TYPE_CHECKING:
    from embact.grid import Codes
    from embact.kernel import Kernel

LOOP = "embact_loop_interp_lines_s16"


@dataclass(frozen=True)
class Lines:
    """What the loop is given: its shifts, and a base and a slope for each cell from the lowest."""

    spacing_log2: int
    slope_shift: int
    index_bits: int
    bases: tuple[int, ...]
    slopes: tuple[int, ...]

    @property
    def limited(self) -> bool:
        """Whether the outermost cells stand for what is beyond them."""
        return self.index_bits + self.spacing_log2 < 16

    @property
    def by_code(self) -> tuple[Codes, Codes]:
        """Bases and slopes in the order of the code's upper bits as an unsigned number."""
        half = 1 << (self.index_bits - 1)
        return np.roll(np.array(self.bases), half), np.roll(np.array(self.slopes), half)

    @property
    def words(self) -> Codes:
        """What the loop reads but on Helium: by code if there is no limit, else ascending."""
        ascending = np.array(self.bases), np.array(self.slopes)
        bases, slopes = ascending if self.limited else self.by_code
        words: Codes = bases * 65536 + slopes
        return words

    def outputs(self) -> Codes:
        """Return what the loop's portable text gives for all int16 codes in ascending order."""
        x, half = all_codes(16), 1 << (self.index_bits - 1)
        if self.limited:
            cell = np.clip(x >> self.spacing_log2, -half, half - 1) + half
        else:
            cell = (x & 65535) >> self.spacing_log2
        line = self.words[cell]
        slope = ((line + 32768) & 65535) - 32768
        part = (x & ((1 << self.spacing_log2) - 1)) << self.slope_shift
        result: Codes = (line + slope * part) >> 16
        return result

    def vector_outputs(self) -> Codes:
        """Return what the loop gives on Helium, lane by lane, for all int16 codes."""
        x, k = all_codes(16), self.spacing_log2
        spare = 16 - k - self.index_bits
        limited = np.clip(x << spare, -32768, 32767)
        cell = (limited & 65535) >> (k + spare)
        bases, slopes = self.by_code
        part = (x << self.slope_shift) & (((1 << k) - 1) << self.slope_shift)
        result: Codes = bases[cell] + ((slopes[cell] * (part | 1)) >> 16)
        return result


def interp_form(kernel: Kernel) -> Form | None:
    """Return the loop of a kernel that has lines of cells, proved on every input, or None."""
    lines = lines_of(kernel)
    if lines is None or not all(
        np.array_equal(outputs, kernel.outputs)
        for outputs in (lines.outputs(), lines.vector_outputs())
    ):
        return None
    numbers = f"{lines.spacing_log2}, {lines.slope_shift}, {lines.index_bits}"
    body = (f"{LOOP}(input, $lines, output, size, {numbers});",)
    return Form(f"{LOOP}.h", body, (_table(lines),))


def lines_of(kernel: Kernel) -> Lines | None:
    """Return the lines that a kernel's expression has the shape of, or None; nothing is proved."""
    if (kernel.input_bits, kernel.output_bits) != (16, 16):
        return None
    match kernel.expression:
        case Node(op=Op.SHR, value=16, args=(Node(op=Op.ADD, args=(base, rise)),)):
            pass
        case _:
            return None
    match base, rise:
        case (
            Node(op=Op.SHL, value=16, args=(Node(op=Op.LOOKUP, table=Table() as bases),)),
            Node(
                op=Op.MUL,
                args=(
                    Node(op=Op.LOOKUP, table=Table() as slopes),
                    Node(op=Op.ADD, args=(Node(op=Op.SHL, value=shift, args=(part,)), _)),
                ),
            ),
        ):
            pass
        case _:
            return None
    cells, mask = len(bases.values), part.args[1].value if part.op is Op.AND else 0
    index_bits, spacing_log2 = cells.bit_length() - 1, mask.bit_length()
    if (
        len(slopes.values) != cells
        or cells != 1 << index_bits
        or max(bases.bits, slopes.bits) > 16
        or min(index_bits - 1, spacing_log2, shift) < 1
        or max(index_bits, shift) + spacing_log2 > 16
        or shift + spacing_log2 > 15
    ):
        return None
    return Lines(spacing_log2, shift, index_bits, bases.values, slopes.values)


def _table(lines: Lines) -> TierTable:
    """Return the words, or on Helium bases and slopes apart, for gathers of halfwords."""
    size = 4 << lines.index_bits
    order = "from the lowest cell" if lines.limited else "for inputs 0..32767, -32768..-1"
    text = "\n".join(
        (
            "#if EMBACT_TIER == EMBACT_TIER_HELIUM",
            f"/* bases of cells for inputs 0..32767, -32768..-1, and their slopes: {size} bytes */",
            _array("int16_t", np.concatenate(lines.by_code)),
            "#else",
            f"/* base * 2**16 + slope of cells, {order}: {size} bytes */",
            _array("int32_t", lines.words),
            "#endif",
            "",
        )
    )
    return TierTable("lines", text, {"portable": size})


def _array(kind: str, values: Codes) -> str:
    entries = ", ".join(literal(value) for value in values.tolist())
    rows = textwrap.indent(textwrap.fill(entries, 92, break_on_hyphens=False), "    ")
    head = f"EMBACT_TABLE_SECTION static const {kind} $name[{values.size}] = {{"
    return f"{head}\n{rows},\n}};"
