"""Which kernels the hand-written loops of ``c_src/loops`` compute.

A form is used for a kernel only after the loop's meaning has been computed on every input and is
equal to the kernel's outputs: the loop is locked to the definition, not to the way it was found.
This module must not know activations, certificates or tiers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embact.emit.form import Form, TierTable
from embact.emit.forms_interp import interp_form
from embact.emit.portable import literal
from embact.grid import all_codes
from embact.ir import Op, Table

if TYPE_CHECKING:
    from embact.grid import Codes
    from embact.kernel import Kernel

__all__ = ["Form", "TierTable", "byte_order", "clamp_form", "form_of", "lut_form"]


def form_of(kernel: Kernel) -> Form | None:
    """Return the loop that computes a kernel, proved on every input, or None if there is none."""
    for find in (lut_form, clamp_form, interp_form):
        form = find(kernel)
        if form is not None:
            return form
    return None


def byte_order(entries: Codes) -> Codes:
    """Return 256 entries for the codes -128, -127, .. in the order 0..127, -128..-1.

    Then the entry of a code is at the code's byte, as an unsigned number, in two's complement.
    """
    return np.roll(entries, 128)


def lut_form(kernel: Kernel) -> Form | None:
    """Return the loop of a kernel that reads its result from an int8 table with all 256 codes."""
    result = kernel.expression
    if (kernel.input_bits, kernel.output_bits) != (8, 8) or result.op is not Op.LOOKUP:
        return None
    table = result.table
    if table is None or len(table.values) != 256:
        return None
    entries = byte_order(np.array(table.values, dtype=np.int64))
    if not np.array_equal(entries[all_codes(8) & 255], kernel.outputs):
        return None
    body = (f"embact_loop_lut_s8(input, ${table.name}, output, size);",)
    stored = Table(table.name, tuple(entries.tolist()))
    return Form("embact_loop_lut_s8.h", body, (stored,), "for inputs 0..127, -128..-1")


def clamp_form(kernel: Kernel) -> Form | None:
    """Return the loop of a kernel that limits codes to an interval of codes of the same width.

    The identity limits them to all codes, and a constant to one.
    """
    bits = kernel.input_bits
    if bits != kernel.output_bits:
        return None
    low, high = int(kernel.outputs.min()), int(kernel.outputs.max())
    if not np.array_equal(np.clip(all_codes(bits), low, high), kernel.outputs):
        return None
    call = f"embact_loop_clamp_s{bits}(input, output, {literal(low)}, {literal(high)}, size);"
    return Form(f"embact_loop_clamp_s{bits}.h", (call,))
