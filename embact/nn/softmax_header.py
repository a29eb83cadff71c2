"""The header of one softmax: its tables, its function, and what is proved or measured of it.

The text depends on the softmax, its name and the version alone. This module must not know how rows
are reckoned or where headers go.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

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
    from embact.nn.softmax import Softmax, Table

SUFFIXES = {"int16_t": "", "uint32_t": "u", "uint64_t": ""}

ARGMAX = (
    "If only the class is used, this operator can go: the largest input code has the largest "
    "output. Rounding may make other outputs equal to it, and the first of them is then taken for "
    "the class; inputs tie only where they are equal."
)


def default_name(asked: Softmax) -> str:
    """Return what a function is called that nobody named: embact_softmax_exact_layer_s8."""
    return re.sub(r"_(?=s\d+)", "_layer_", asked.function, count=1)


def statement(asked: Softmax) -> str:
    """Return in sentences how near the results are, and by what that is known."""
    if asked.mode == "exact":
        worst = ", ".join(
            f"{asked.bound_codes(size):.2g} at row size {size}" for size in (10, 1000, 4096)
        )
        return (
            f"Proved: every code is the correctly rounded {asked.name}, ties away from zero, "
            f"unless the real value is nearer to a boundary between codes than, in codes: {worst}."
        )
    if asked.mode == "tflite":
        said = "the same bits as TFLite's reference resolver on a host (x86-64)"
    elif asked.log:
        said = "the same bits as TFLM's LOG_SOFTMAX"
    else:
        cmsis = asked.function.replace("embact_", "arm_")
        said = f"the same bits as TFLM's SOFTMAX and CMSIS-NN's {cmsis}"
    limits = {
        "embact_softmax_s8": " Where the exponentials of a row, the largest being 1, sum to 512 or "
        "more, their reference code fails; here every code is then -128, within 1 code of the "
        "rounded real softmax.",
        "embact_softmax_s8_s16": " Rows of thousands of codes are seen 45 codes from the real "
        "softmax there, since each exponential is rounded to 2^-19; --mode exact is not.",
        "embact_softmax_s16": " Long rows are far from the real softmax there, by over 1000 codes, "
        "since exp(-10) stands for everything below it; --mode exact is not. CMSIS-NN's int32 "
        "overflows for rows of length 1, and for sums of exponentials just below a power of two.",
        "embact_log_softmax_s8": " A row of 4096 equal codes, whose sum overflows there, is right "
        "here. At scales at or just above 1/16, 1/8 and 1/4 codes near the least are up to 6 codes "
        "too low, as there; --mode exact is not.",
    }
    proof = "No error against the real softmax is proved in this mode; --mode exact has a bound."
    return f"Tested: {said}.{limits.get(asked.function, '')} {proof}"


def command(asked: Softmax, name: str) -> list[str]:
    """Return the words of the command that writes the header again, an option each."""
    words = ["embact softmax", f"--in-scale {asked.scale!r}"]
    if asked.beta != 1:
        words.append(f"--beta {asked.beta!r}")
    if asked.in_bits != 8:
        words.append(f"--dtype int{asked.in_bits}")
    if asked.out_bits != asked.in_bits:
        words.append(f"--out-dtype int{asked.out_bits}")
    if asked.mode != "tflm":
        words.append(f"--mode {asked.mode}")
    if asked.log:
        words.append("--log")
    return [*words, f"--name {name}", "--out ."]


def table_bytes(asked: Softmax) -> int:
    """Return what the constant tables take."""
    return sum(table.bytes for table in asked.tables)


def softmax_files(asked: Softmax, name: str) -> dict[str, str]:
    """Return the header ``NAME.h`` and the files of the library that it needs, by file name.

    Raises EmbactError for a name that C or the library does not leave free.
    """
    check_layer_name(name)
    return layer_files(name, softmax_header(asked, name), [asked.function])


def softmax_header(asked: Softmax, name: str) -> str:
    """Return the header: ``static inline int32_t NAME(input, num_rows, row_size, output)``."""
    tables = "".join(_table(table, f"{name}_{table.name}") for table in asked.tables)
    return framed(name, tables + _function(asked, name))


def _literal(value: int, ctype: str) -> str:
    return f"UINT64_C({value})" if ctype == "uint64_t" else f"{value}{SUFFIXES[ctype]}"


def _table(table: Table, name: str) -> str:
    literals = [_literal(value, table.ctype) for value in table.values]
    return array(table.ctype, name, literals, table.about)


def _arguments(asked: Softmax, name: str) -> str:
    """Return what the library function is called with between row_size and output."""
    said = [str(value) for value in asked.factor] if asked.has_factor else []
    if said and asked.mode == "exact":
        said[0] += "u"
    for table in asked.tables:
        said.append(f"{name}_{table.name}")
        if table.name != "fine" and table.ctype != "int16_t":
            said.append(str(len(table.values)))
    return ", ".join(said)


def _function(asked: Softmax, name: str) -> str:
    aliasing = "may be the same address as input"
    if asked.in_bits != asked.out_bits:
        aliasing = "must not overlap input"
    formula = "log(e / sum(e))" if asked.log else "e / sum(e)"
    said = [
        f"{asked.name} of rows: {formula} of e = exp(beta * real), {asked.mode} mode.",
        "",
        *command_lines(command(asked, name)),
        f"input   int{asked.in_bits}, scale {asked.scale!r}, beta {asked.beta!r}; the zero point "
        "cancels" + (" (TFLM demands 0)" if asked.in_bits == 16 else ""),
        f"output  {grid_text(asked.output)}",
        f"tables  {table_bytes(asked)} bytes",
        "",
        statement(asked),
        "",
        ARGMAX,
        "",
        "@param input     num_rows * row_size codes",
        "@param num_rows  > 0",
        "@param row_size  1..4096",
        f"@param output    num_rows * row_size codes; {aliasing}",
        "@return EMBACT_SUCCESS, or EMBACT_ARG_ERROR with nothing written",
    ]
    parameters = f"const int{asked.in_bits}_t *input, int32_t num_rows, int32_t row_size"
    call = f"{asked.function}(input, num_rows, row_size, {_arguments(asked, name)}, output)"
    signature = f"static inline int32_t {name}({parameters}, int{asked.out_bits}_t *output)"
    return f"{comment(said)}{_fold(signature)}\n{{\n    return {_fold(call, 11)};\n}}\n"


def _fold(text: str, margin: int = 0) -> str:
    """Return a call or signature with its arguments broken at column 100, aligned below the first.

    margin: how many columns stand before it. Where a long name leaves an argument no room there,
    all of them begin on the next line.
    """
    head, arguments = text.split("(", 1)
    whole = re.sub(r"(?<!,) ", "\0", arguments)  # only commas may end a line
    hang = len(head) + 1
    room = hang + max(map(len, whole.split())) <= 98 - margin
    hang = hang if room else 4
    lines = textwrap.wrap(whole, 98 - margin - hang, break_long_words=False, break_on_hyphens=False)
    if not room:
        lines.insert(0, "")
    folded = f"{head}(" + ("\n" + " " * (margin + hang)).join(lines)
    return folded.replace("\0", " ")
