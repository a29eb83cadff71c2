"""The header of one gated unit: its gate, its functions, and what is proved of it.

The text depends on the unit, its name and the version alone. This module must not know how errors
are proved or where files go.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

from embact.certify import stated
from embact.emit.header import emit_header
from embact.fit.record import fit_json
from embact.nn.glu_proof import PairCertificate
from embact.nn.layer_header import (
    array,
    check_layer_name,
    command_lines,
    comment,
    framed,
    grid_text,
    layer_files,
)

if TYPE_CHECKING:
    from embact.fit.record import Fit
    from embact.nn.glu import Glu
    from embact.nn.glu_proof import BoundCertificate

CHUNK = 64
"""Gate codes that an int16 unit holds on the stack at a time."""

MOST_CHANNELS = (1 << 30) - 1
"""Twice as many fit an int32 stride."""


@dataclass(frozen=True)
class Proved:
    """A unit with what is proved of it: of all pairs for int8, a bound for int16."""

    unit: Glu
    certificate: PairCertificate | BoundCertificate


def default_name(unit: Glu) -> str:
    """Return what a function is called that nobody named: embact_glu_silu_s8."""
    return f"embact_glu_{unit.activation.name}_s{unit.grids.bits}"


def statement(proved: Proved) -> str:
    """Return in a sentence what is proved of the error."""
    found = proved.certificate
    if isinstance(found, PairCertificate):
        right = found.pairs - found.not_correctly_rounded
        return (
            f"at most {_codes(found.max_error_codes)} and {stated(found.max_error_lsb)} lsb over "
            f"all {found.pairs} pairs of codes; {right} of them are correctly rounded"
        )
    return (
        f"proved bound of {_codes(found.bound_codes)} and {stated(found.bound_lsb)} lsb over all "
        f"{found.pairs} pairs of codes; {stated(found.attained_lsb)} lsb occurs"
    )


def _codes(number: int) -> str:
    return f"{number} code{'' if number == 1 else 's'}"


def command(unit: Glu, name: str) -> list[str]:
    """Return the words of the command that writes the files again, an option or a grid each."""
    words = ["embact glu", f"--gate {unit.activation.name}"]
    words += [f"--param {key}={value!r}" for key, value in unit.activation.settings().items()]
    grids = unit.grids
    for side, grid in (("a", grids.a), ("b", grids.b), ("out", grids.output)):
        words.append(f"--{side}-scale {grid.scale!r} --{side}-zero-point {grid.zero_point}")
    if unit.kernel is not None:
        words += ["--dtype int16", f"--family {unit.kernel.family}"]
        if unit.kernel.limits.max_bytes is None:
            words.append(f"--max-error {unit.kernel.limits.max_error}")
    return [*words, f"--name {name}", "--out ."]


def glu_files(proved: Proved, name: str) -> dict[str, str]:
    """Return the header ``NAME.h`` and the files that it needs, by file name.

    These are the library's, and for int16 the gate's kernel: its header and its kernel file. Raises
    EmbactError for a name that C or the library does not leave free.
    """
    for made in (name, f"{name}_rows", f"{name}_packed"):
        check_layer_name(made)
    function = f"embact_glu_s{proved.unit.grids.bits}"
    files = layer_files(name, glu_header(proved, name), [function])
    gate = proved.unit.kernel
    return files if gate is None else files | gate_files(gate, f"{name}_gate")


def gate_files(gate: Fit, name: str) -> dict[str, str]:
    """Return the header and the kernel file of an int16 gate, by file name."""
    return {f"{name}.h": emit_header({name: gate}), f"{name}.json": fit_json(gate)}


def glu_header(proved: Proved, name: str) -> str:
    """Return the header: ``NAME(a, b, output, size)`` and ``NAME_packed(input, output, ...)``."""
    unit = proved.unit
    body = (_table(unit, name) if unit.kernel is None else "") + _functions(proved, name)
    return framed(name, body, [] if unit.kernel is None else [f"{name}_gate.h"])


def _table(unit: Glu, name: str) -> str:
    about = f"{unit.activation.name}(b) / {unit.gate_scale!r} for b = -128..127"
    return array("int16_t", f"{name}_gate", list(map(str, unit.gate)), about)


SIGNATURE = """\
static inline int32_t ${name}_rows(
    const int${bits}_t *a, int32_t a_stride, const int${bits}_t *b, int32_t b_stride,
    int${bits}_t *output, int32_t rows, int32_t channels)
{
"""

ROWS_S8 = Template(
    SIGNATURE
    + """\
    return embact_glu_s8(
        a, $a_offset, a_stride, b, b_stride, ${name}_gate,
        output, $output_offset, $multiplier, $shift, rows, channels);
}
"""
)

ROWS_S16 = Template(
    SIGNATURE
    + """\
    if (a == NULL || b == NULL || output == NULL || rows <= 0 || channels <= 0
        || a_stride < channels || b_stride < channels) {
        return EMBACT_ARG_ERROR;
    }
    for (int32_t row = 0; row < rows; ++row) {
        int32_t size = 0; /* 0..$chunk */
        for (int32_t i = 0; i < channels; i += size) {
            int16_t gate[$chunk];
            size = channels - i < $chunk ? channels - i : $chunk;
            ${name}_gate(b + i, gate, size);
            (void)embact_glu_s16(
                a + i, $a_offset, size, gate, size,
                output + i, $output_offset, $multiplier, $shift, 1, size);
        }
        if (row + 1 < rows) { /* no pointer goes beyond the last row */
            a += a_stride;
            b += b_stride;
            output += channels;
        }
    }
    return EMBACT_SUCCESS;
}
"""
)

REST = Template("""\
/**
 * The same of size codes each.
 *
 * @param size  number of elements, > 0
 */
static inline int32_t $name(
    const int${bits}_t *a, const int${bits}_t *b, int${bits}_t *output, int32_t size)
{
    return ${name}_rows(a, size, b, size, output, 1, size);
}

/**
 * The same where each row of the input is channels codes of a, then channels codes of b.
 *
 * @param input     rows * 2 * channels codes
 * @param output    rows * channels codes; may be the same address as input
 * @param channels  1..$most
 */
static inline int32_t ${name}_packed(
    const int${bits}_t *input, int${bits}_t *output, int32_t rows, int32_t channels)
{
    if (input == NULL || channels <= 0 || channels > $most) {
        return EMBACT_ARG_ERROR;
    }
    return ${name}_rows(
        input, 2 * channels, input + channels, 2 * channels, output, rows, channels);
}
""")


def _functions(proved: Proved, name: str) -> str:
    unit, grids, act = proved.unit, proved.unit.grids, proved.unit.activation
    gate = f"int16, real = {unit.gate_scale!r} * code"
    if unit.kernel is not None:
        codes = _codes(unit.kernel.certificate.max_error_codes)
        gate += f", by {name}_gate, at most {codes} off"
    size = unit.table_bytes
    said = [
        f"Gate: a * {act.name}(b), {act.name}(x) = {act.formula}",
        "",
        *command_lines(command(unit, name)),
        f"a       {grid_text(grids.a)}",
        f"b       {grid_text(grids.b)}",
        f"gate    {gate}",
        f"output  {grid_text(grids.output)}",
        f"error   {statement(proved)}",
        f"tables  {size} bytes",
        "",
        "@param a         rows * a_stride codes, the first channels of each row are read",
        "@param a_stride  codes from one row to the next, >= channels",
        "@param b         rows * b_stride codes, likewise",
        "@param b_stride  codes from one row to the next, >= channels",
        "@param output    rows * channels codes; may be the same address as a or b",
        "@param rows      > 0",
        "@param channels  > 0",
        "@return EMBACT_SUCCESS, or EMBACT_ARG_ERROR with nothing written",
    ]
    numbers = {
        "name": name,
        "bits": grids.bits,
        "chunk": CHUNK,
        "most": MOST_CHANNELS,
        "a_offset": -grids.a.zero_point,
        "output_offset": grids.output.zero_point,
        "multiplier": unit.factor.multiplier,
        "shift": unit.factor.shift,
    }
    rows = ROWS_S8 if unit.kernel is None else ROWS_S16
    return f"{comment(said)}{rows.substitute(numbers)}\n{REST.substitute(numbers)}"
