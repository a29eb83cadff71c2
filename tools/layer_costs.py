"""Measure what layers cost by the length of their rows, and write embact/data/layer_costs.json.

    python tools/layer_costs.py             some minutes
    python tools/layer_costs.py --check     change nothing; exit status 1 if a count differs

Softmax, log_softmax, PReLU by channel and gated units are emitted as `embact convert` does,
compiled and counted on emulated cores with rows of SIZES, each output checked. Rows of HELD_OUT are
counted, too, and show how far the lines between those of SIZES are off. It needs embact[emulate],
and a compiler and an emulator of every core.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from written import json_lines

from embact import __version__
from embact.bench.measure import OPTIMISE, count, version_of
from embact.bench.rows import ROUNDINGS, glu_unit
from embact.bench.subject import SEED, Case, Subject
from embact.cores import CORES
from embact.errors import EmbactError
from embact.files import write_text
from embact.grid import Grid, QuantSpec
from embact.nn.glu_header import Proved, glu_files
from embact.nn.glu_proof import certify_pairs
from embact.nn.prelu_header import Errors, prelu_files
from embact.nn.prelu_layer import channel_errors, layer_of_reals
from embact.nn.softmax import Softmax
from embact.nn.softmax_header import softmax_files
from embact.run.cross import cross_compiler
from embact.run.emulator import emulator
from embact.sources import data_file
from embact.tflite.stock.layer_costs import FILE, SCHEMA, LayerCosts, RowCosts, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from embact.grid import Codes

SIZES = (*range(2, 17), 24, 32, 64, 100, 128, 256, 1000)
HELD_OUT = (20, 50, 80, 150, 500)

ELEMENTS = 512
"""By about so many the larger run is larger: some rows if they are short, or one."""

SLOPES = (0.0, 0.1, 0.25, 0.3, -0.2, 0.5, 0.01, 0.6)

BATCH = 27
"""Subjects of a program."""

SOFTMAXES = {
    "softmax s8 s8": (Softmax(0.12), 8, 8),
    "softmax s8 s16": (Softmax(0.12, out_bits=16), 8, 16),
    "softmax s16 s16": (Softmax(0.0005, in_bits=16, out_bits=16), 16, 16),
    "log_softmax s8 s8": (Softmax(0.12, log=True), 8, 8),
}
"""Units in TFLM's bits, as conversions take them."""


def softmax(about: str, row_size: int) -> Subject:
    """Return rows of a softmax, or its logarithm."""
    unit, in_bits, out_bits = SOFTMAXES[about]
    name = f"embact_{about.replace(' ', '_')}_row"
    return _subject(
        about,
        row_size,
        softmax_files(unit, name),
        f"{name}(input, size, {row_size}, output)",
        widths=(in_bits, out_bits),
        definition=lambda rows: unit(rows.astype(f"int{in_bits}")),
    )


def prelu(about: str, row_size: int) -> Subject:
    """Return rows of a PReLU of as many channels, with SLOPES over and over."""
    bits = int(about.rpartition("s")[2])
    zeros, scale = ((-11, 7), 0.05) if bits == 8 else ((0, 0), 0.0002)
    spec = QuantSpec(Grid(scale, zeros[0], bits), Grid(0.8 * scale, zeros[1], bits))
    layer = layer_of_reals(spec, np.resize(SLOPES, row_size).tolist())
    name = f"embact_prelu_{row_size}_s{bits}"
    errors: Errors = {mode: channel_errors(layer, rounding=mode) for mode in ROUNDINGS}
    files = prelu_files(layer, name, errors)
    call = f"{name}(input, output, size)"
    return _subject(about, row_size, files, call, widths=(bits, bits), definition=layer.outputs)


def glu(about: str, row_size: int) -> Subject:
    """Return rows of a gated unit, whose input rows are twice as long."""
    unit, name = glu_unit(), "embact_glu_row_s8"
    files = glu_files(Proved(unit, certify_pairs(unit)), name)
    call = f"{name}_packed(input, output, size, {row_size})"
    return _subject(
        about,
        row_size,
        files,
        call,
        widths=(8, 8),
        definition=lambda rows: unit(*np.split(rows, 2, axis=1)),
        wide=2,
    )


LAYERS: dict[str, Callable[[str, int], Subject]] = {
    **dict.fromkeys(SOFTMAXES, softmax),
    "prelu s8 s8": prelu,
    "prelu s16 s16": prelu,
    "glu s8 s8": glu,
}


def _subject(  # noqa: PLR0913 - a subject has as many facts
    about: str,
    row_size: int,
    files: Mapping[str, str],
    call: str,
    *,
    widths: tuple[int, int],
    definition: Callable[[Codes], Codes],
    wide: int = 1,
) -> Subject:
    """Return random rows of a layer; input rows are so many times as long as the output's."""
    half = max(1, ELEMENTS // row_size)
    rng, most = np.random.default_rng(SEED), 1 << (widths[0] - 1)
    rows = rng.integers(-most, most, (2 * half, wide * row_size))
    case = Case(rows.ravel(), definition(rows).ravel())
    header = next(name for name in files if call.startswith(name.removesuffix(".h")))
    return Subject(
        f"{about} {row_size}",
        files,
        header,
        call,
        *widths,
        counted=case,
        every=case,
        sizes=(half, 2 * half),
        step=row_size,
    )


def counts_on(core: str, abouts: Sequence[str]) -> dict[str, float]:
    """Return the instructions of a row of each layer and length on a core."""
    pairs = list(itertools.product(abouts, sorted((*SIZES, *HELD_OUT))))
    found: dict[str, float] = {}
    for batch in (pairs[at : at + BATCH] for at in range(0, len(pairs), BATCH)):
        subjects = [LAYERS[about](about, size) for about, size in batch]
        counted = count(subjects, CORES[core])
        found |= {one.name: counted[one.name] * one.step for one in subjects}
        print(f"{core}: {len(found)} of {len(pairs)}", file=sys.stderr)
    return found


def measured() -> LayerCosts:
    """Return the costs of a new run. Raises EmbactError without compilers or emulators."""
    tools = {(cross_compiler(core), emulator(core)) for core in CORES.values()}
    (compiler,) = {version_of(one.version) for one, _ in tools}
    (where,) = {f"{one.kind} {one.version}" for _, one in tools}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(partial(counts_on, abouts=tuple(LAYERS)), CORES))
    return LayerCosts(
        SCHEMA,
        __version__,
        f"{compiler} {OPTIMISE}",
        where,
        tuple(CORES),
        SIZES,
        tuple(
            _costs(about, core, one)
            for about in LAYERS
            for core, one in zip(CORES, found, strict=True)
        ),
    )


def _costs(about: str, core: str, counted: Mapping[str, float]) -> RowCosts:
    rows = RowCosts(about, core, tuple(round(counted[f"{about} {size}"], 1) for size in SIZES), 0.0)
    off = (
        abs(rows.instructions(size, SIZES) / counted[f"{about} {size}"] - 1) for size in HELD_OUT
    )
    return dataclasses.replace(rows, worst=round(max(off), 3))


def text_of(costs: LayerCosts) -> str:
    """Return the file: a line for each layer and core."""
    return json_lines(msgspec.to_builtins(costs), {"rows"})


def main(arguments: Sequence[str]) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args(arguments)
    path = data_file(FILE)
    try:
        found = measured()
        same = not options.check or read(path).rows == found.rows
    except EmbactError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for one in found.rows:
        print(f"{one.layer} on {one.core}: lines between lengths are off by {one.worst:.1%}")
    if not options.check:
        write_text(path, text_of(found))
    elif not same:
        print(f"{path} is stale: run python tools/layer_costs.py", file=sys.stderr)
    return int(not same)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
