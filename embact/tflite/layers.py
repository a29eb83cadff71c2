"""Layers: the unit that computes each, its C, and its meaning over the rows of a tensor.

A layer's function takes the whole input tensor, row after row. This module must not know models,
compilers or files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embact.errors import EmbactError
from embact.nn import glu_header, prelu_header, softmax_header
from embact.nn.glu import kernel_gate, table_gates
from embact.nn.glu_header import Proved
from embact.nn.glu_proof import best_of, certify_bound
from embact.nn.prelu_layer import PreluLayer, channel_errors
from embact.nn.softmax import ROW_MAX, Softmax
from embact.tflite.placement import LayerPlacement, is_swapped, rows_of

if TYPE_CHECKING:
    from embact.grid import Codes
    from embact.tflite.placement import Unit
    from embact.tflite.site import LayerSite

SEED = 20261121
RANDOM_ROWS = 24


def unit_of(site: LayerSite, max_error: int | None = None, family: str = "auto") -> Unit:
    """Return what computes a layer.

    Softmax and PReLU are what the site says. A gated unit of int8 codes is the best of its three
    tables, proved on all pairs; one of int16 codes has a fitted gate, with a proved bound;
    max_error and family are about this gate. Raises EmbactError if there is none.
    """
    match site.layer:
        case Softmax():
            if not 1 <= site.row_size <= ROW_MAX:
                raise EmbactError(
                    "row size", got=site.row_size, allowed=f"1..{ROW_MAX}", where=site.tensor
                )
            return site.layer
        case PreluLayer():
            return site.layer
        case asked:
            if asked.grids.bits == 8:
                return Proved(*best_of(table_gates(asked.activation, asked.grids)))
            unit = kernel_gate(asked.activation, asked.grids, max_error, family)
            return Proved(unit, certify_bound(unit))


def inputs_per_output(unit: Unit) -> int:
    """Return how many elements of the input tensor stand for one of the output."""
    return 2 if isinstance(unit, Proved) else 1


def table_bytes(unit: Unit) -> int:
    """Return the bytes of a layer's constant data: tables, or slopes."""
    match unit:
        case Softmax():
            return softmax_header.table_bytes(unit)
        case PreluLayer():
            return len(unit.codes)
        case Proved():
            return unit.unit.table_bytes


def about(unit: Unit) -> str:
    """Return in one line what a layer computes and how exactly."""
    match unit:
        case Softmax():
            said = {
                "tflm": "the bits of TFLM's kernel, tested",
                "tflite": "the bits of TFLite's reference kernel, tested",
                "exact": "correctly rounded but within a proved distance of a tie",
            }
            return f"{unit.name}: {said[unit.mode]}"
        case PreluLayer():
            points = 1 << unit.spec.input.bits
            return f"prelu: {prelu_header.summary(channel_errors(unit), points)}"
        case Proved():
            name = f"a * {unit.unit.activation.name}(b)"
            return f"{name}: {glu_header.statement(unit)}"


def layer_sources(unit: Unit, name: str) -> dict[str, str]:
    """Return the header ``NAME.h`` and every file that it needs, by file name; C only."""
    match unit:
        case Softmax():
            return softmax_header.softmax_files(unit, name)
        case PreluLayer():
            single = channel_errors(unit, rounding="single")
            errors = {"double": channel_errors(unit), "single": single}
            return prelu_header.prelu_files(unit, name, errors)
        case Proved():
            files = glu_header.glu_files(unit, name)
            return {file: text for file, text in files.items() if not file.endswith(".json")}


def call(one: LayerPlacement, name: str) -> list[str]:
    """Return the C statements that run a layer on ``input``, ``output`` and ``size``.

    name: of the function in the layer's header. size: elements of the output, whole rows.
    """
    rows, unit = rows_of(one.site, one.unit), one.unit
    source, target = (f"int{grid.bits}_t" for grid in (one.site.spec.input, one.site.spec.output))
    taken, given = f"(const {source} *)input", f"({target} *)output"
    match unit:
        case Softmax():
            return [f"(void){name}({taken}, size / {rows}, {rows}, {given});"]
        case PreluLayer():
            count = "size" if rows == 1 else f"size / {rows}"
            return [f"(void){name}({taken}, {given}, {count});"]
        case Proved():
            if not is_swapped(one.site):
                return [f"(void){name}_packed({taken}, {given}, size / {rows}, {rows});"]
            return [
                f"const {source} *const codes = {taken};",
                f"(void){name}_rows(codes + {rows}, {2 * rows}, codes, {2 * rows},",
                f"    {given}, size / {rows}, {rows});",
            ]


def outputs(one: LayerPlacement, codes: Codes) -> Codes:
    """Return the output rows of input rows by the layer's definition.

    codes: shape (rows, row size), twice as long for gated units.
    """
    match one.unit:
        case Softmax():
            return one.unit(codes.astype(f"int{one.unit.in_bits}"))
        case PreluLayer():
            return one.unit.outputs(codes)
        case Proved():
            first, second = np.split(codes, 2, axis=1)
            a, b = (second, first) if is_swapped(one.site) else (first, second)
            return one.unit.unit(a, b)


def rows_to_compare(one: LayerPlacement) -> Codes:
    """Return the input rows on which a layer's C is compared with its definition.

    Constant rows at the ends, the middle and the zero point; ramps up and down; one code above or
    below all others, at the first, a middle and the last place; alternating ends; then RANDOM_ROWS
    of a fixed seed, half of them of codes close together. Where a row is shorter than the range of
    an int8 code, enough ramps follow that every place sees every code. Shape (rows, row size).
    """
    grid = one.site.spec.input
    low, high, zero = grid.code_min, grid.code_max, grid.zero_point
    length = rows_of(one.site, one.unit) * inputs_per_output(one.unit)
    place = np.arange(length)
    ends = (low, high, zero, 0, low + 1, high - 1)
    rows: list[Codes] = [np.full(length, code, dtype=np.int64) for code in ends]
    ramp = low + place % (high - low + 1)
    rows += [ramp, ramp[::-1].copy(), low + (place % 2) * (high - low)]
    for least, most in ((low, high), (high, low), (zero, high), (low, zero)):
        for at in {0, length // 2, length - 1}:
            row = np.full(length, least, dtype=np.int64)
            row[at] = most
            rows.append(row)
    generator = np.random.default_rng(SEED)
    for number in range(RANDOM_ROWS):
        centre = int(generator.integers(low, high, endpoint=True))
        near = max(1, (high - low) >> int(generator.integers(2, 7)))
        least, most = (
            (low, high) if number % 2 else (max(low, centre - near), min(high, centre + near))
        )
        rows.append(generator.integers(least, most, length, np.int64, endpoint=True))
    codes = np.arange(low, high + 1)
    if grid.bits == 8 or length <= 64:
        step = 1 if grid.bits == 8 else 257
        rows += [low + (place * 37 + int(code) - low) % codes.size for code in codes[::step]]
    return np.stack(rows)
