"""The standard rows of ``embact bench``: one loop each, its bar, and what others take today.

Bars are the most instructions for an element that we hold acceptable, by core. This module must not
know how anything is measured.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from embact.activations import activation
from embact.bench.subject import SEED, Case, Subject, elementwise, of_fit
from embact.conventions import output_grid
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import fit
from embact.grid import Grid, QuantSpec, all_codes, grid_of_range
from embact.nn.arithmetic import offsets_of, scaling
from embact.nn.glu import Glu, Grids, table_gates
from embact.nn.glu_header import Proved, glu_files
from embact.nn.glu_proof import certify_pairs
from embact.nn.hard_swish import hard_swish_parameters_s8, hard_swish_s8
from embact.nn.library import library_files
from embact.nn.prelu_header import prelu_files
from embact.nn.prelu_layer import PreluLayer, channel_errors, layer_of_reals
from embact.nn.rescale import leaky_relu, leaky_relu_parameters, rescale
from embact.nn.softmax import Softmax
from embact.nn.softmax_header import softmax_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from embact.fit.record import Fit
    from embact.fit.tflm_arithmetic import Scaling
    from embact.grid import Codes
    from embact.nn.arithmetic import Rounding
    from embact.nn.prelu_layer import ChannelError

CHANNELS = 64
"""Of the prelu row."""

PACKED = 32
"""Channels of the glu row."""

ROUNDINGS: tuple[Rounding, ...] = ("double", "single")

ROW = 1000
"""Codes of a row of softmax."""


def bars(thumb1: float, thumb2: float, dsp: float, helium: float) -> dict[str, float]:
    """Return a bar for each core from one for each tier."""
    return {
        "cortex-m0plus": thumb1,
        "cortex-m3": thumb2,
        "cortex-m4": dsp,
        "cortex-m7": dsp,
        "cortex-m33": dsp,
        "cortex-m55": helium,
    }


@lru_cache
def standard() -> tuple[Subject, ...]:
    """Return the standard rows; those with a bar first."""
    return (
        _lut(),
        _relu(),
        _relu6(),
        _prelu(),
        _interp("sigmoid", 8.0),
        _interp("tanh", 4.0),
        _softmax(),
        _shift_pwl(),
        _pwl("sigmoid_pwl_s8", 8, 1),
        _pwl("sigmoid_pwl_s16", 16, 4),
        _rescale(),
        _leaky_relu(),
        _hard_swish(),
        _glu(),
        _naive_lut(),
    )


def _problem(name: str, bits: int, real: float, limits: Limits, options: Options) -> Problem:
    act, grid = activation(name), grid_of_range(-real, real, bits)
    return Problem(act, QuantSpec(grid, output_grid(act, grid, bits)), limits, options)


def _sigmoid_lut() -> Fit:
    return fit(_problem("sigmoid", 8, 8.0, Limits(0), Options(fold=False)), "lut")


def _lut() -> Subject:
    return of_fit(
        "lut_s8", _sigmoid_lut(), bars=bars(3.3, 3.3, 3.15, 0.35), today="TFLM 42..370, M0+ 1443"
    )


def _same(name: str) -> Fit:
    """Return relu or relu6 between equal grids whose zero point is not at an end."""
    grid = Grid(0.0625, -37, 8)
    return fit(Problem(activation(name), QuantSpec(grid, grid), Limits(0), Options()), "affine")


def _relu() -> Subject:
    return of_fit(
        "relu_s8", _same("relu"), bars=bars(2.0, 2.0, 0.8, 0.3), today="CMSIS-NN 2.5, M0+ 7.5"
    )


def _relu6() -> Subject:
    return of_fit(
        "relu6_s8", _same("relu6"), bars=bars(3.5, 3.5, 1.15, 0.35), today="CMSIS-NN 8, M0+ 9"
    )


def _interp(name: str, real: float) -> Subject:
    problem = _problem(name, 16, real, Limits(1, 4096), Options())
    return of_fit(
        f"{name}_interp_s16",
        fit(problem, "interp"),
        bars=bars(13.0, 9.0, 8.0, 2.5),
        today="CMSIS-NN 25, TFLM 20..31",
    )


def _shift_pwl() -> Subject:
    spec = QuantSpec(Grid(0.0625, 0, 8), Grid(1 / 256, -128, 8))  # the literature's [-8, 8)
    options = Options(terms=2, core="cortex-m55")
    problem = Problem(activation("sigmoid"), spec, Limits(1), options)
    return of_fit("sigmoid_shift_pwl_s8", fit(problem, "shift_pwl"), bars={"cortex-m55": 2.0})


def _pwl(name: str, bits: int, codes: int) -> Subject:
    options = Options(shifts="common", fold=False, clamp="codes", objective="segments")
    return of_fit(name, fit(_problem("sigmoid", bits, 8.0, Limits(codes), options), "pwl"))


def prelu_layer() -> PreluLayer:
    """Return the layer of the prelu row: slopes from 0 to 0.62, another for each channel."""
    spec = QuantSpec(Grid(0.05, -11, 8), Grid(0.04, 7, 8))
    return layer_of_reals(spec, [channel / 100 for channel in range(CHANNELS)])


def _prelu() -> Subject:
    name, layer = "embact_prelu_row_s8", prelu_layer()
    errors: dict[str, tuple[ChannelError, ...]] = {
        mode: channel_errors(layer, rounding=mode) for mode in ROUNDINGS
    }
    rng = np.random.default_rng(SEED)
    every = np.repeat(all_codes(8)[:, None], CHANNELS, axis=1)  # each channel sees every code
    some = rng.integers(-128, 128, (32, CHANNELS))
    return Subject(
        "prelu_s8",
        prelu_files(layer, name, errors),
        f"{name}.h",
        f"{name}(input, output, size)",
        8,
        8,
        counted=Case(some.ravel(), layer.outputs(some).ravel()),
        every=Case(every.ravel(), layer.outputs(every).ravel()),
        sizes=(16, 32),
        step=CHANNELS,
        bars=bars(22.0, 12.0, 10.0, 2.0),
        today="TFLM 43, M0+ 106",
    )


def _softmax() -> Subject:
    name, asked = "embact_softmax_row_s8", Softmax(0.12)
    rng = np.random.default_rng(SEED)
    rows = rng.integers(-128, 128, (2, ROW))
    narrow = rng.integers(-9, 9, (2, ROW))  # sums of exponentials that are large
    every = np.concatenate([rows, narrow, np.clip(rows * 9, -128, 127)])
    return Subject(
        "softmax_s8",
        softmax_files(asked, name),
        f"{name}.h",
        f"{name}(input, size, {ROW}, output)",
        8,
        8,
        counted=Case(rows.ravel(), asked(rows.astype(np.int8)).ravel()),
        every=Case(every.ravel(), asked(every.astype(np.int8)).ravel()),
        sizes=(1, 2),
        step=ROW,
        bars=bars(45.0, 25.0, 20.0, 6.0),
        today="TFLM 436..459, CMSIS-NN 519..557, M0+ 1914",
    )


def _library(
    name: str, function: str, parameters: str, definition: Callable[[Codes], Codes], today: str = ""
) -> Subject:
    """Return the subject of a library function whose quantisation is passed at run time.

    parameters: what stands between input and output, and between output and size, parted by "|".
    """
    before, after = parameters.split("|")
    call = f"{function}(input, {before}output, {after}, size)"
    return elementwise(
        name,
        library_files([function]),
        "embact_nn.h",
        call,
        widths=(8, 8),
        definition=definition,
        today=today,
    )


def _words(*factors: Scaling) -> str:
    return ", ".join(f"{one.multiplier}, {one.shift}" for one in factors)


SPEC = QuantSpec(Grid(0.047, -11, 8), Grid(0.039, 7, 8))
"""Of the rows whose quantisation is passed at run time."""


def _rescale() -> Subject:
    offsets, ends = offsets_of(SPEC), (7, 127)
    factor = scaling(SPEC.input.scale / SPEC.output.scale, "in_scale / out_scale")
    return _library(
        "rescale_s8",
        "embact_rescale_s8",
        f"{offsets.input}, |{offsets.output}, {_words(factor)}, {ends[0]}, {ends[1]}",
        lambda codes: rescale(codes, offsets, factor, ends),
        "TFLM 43, M0+ 100",
    )


def _leaky_relu() -> Subject:
    offsets, (one, other) = offsets_of(SPEC), leaky_relu_parameters(SPEC, 0.1)
    return _library(
        "leaky_relu_s8",
        "embact_leaky_relu_s8",
        f"{offsets.input}, |{offsets.output}, {_words(one, other)}",
        lambda codes: leaky_relu(codes, offsets, one, other),
        "TFLM 42, M0+ 102",
    )


def _hard_swish() -> Subject:
    offsets, (output, gate) = offsets_of(SPEC), hard_swish_parameters_s8(SPEC)
    return _library(
        "hard_swish_s8",
        "embact_hard_swish_s8",
        f"{offsets.input}, |{offsets.output}, {_words(output, gate)}",
        lambda codes: hard_swish_s8(codes, offsets, output, gate),
        "TFLM 42, M0+ 66",
    )


def glu_unit() -> Glu:
    """Return the unit of the glu row: SwiGLU."""
    grids = Grids(Grid(0.031, 3, 8), Grid(0.047, -5, 8), Grid(0.05, -20, 8))
    return table_gates(activation("silu"), grids)[0]


def _glu() -> Subject:
    name, unit = "embact_glu_row_s8", glu_unit()
    rng = np.random.default_rng(SEED)

    def case(a: np.ndarray, b: np.ndarray) -> Case:  # type: ignore[type-arg]
        packed = np.concatenate([a, b], axis=1)
        return Case(packed.ravel(), unit(a, b).ravel())

    some = rng.integers(-128, 128, (2, 64, PACKED))
    a, b = (one.reshape(-1, PACKED) for one in np.meshgrid(all_codes(8), all_codes(8)))
    return Subject(
        "glu_s8",
        glu_files(Proved(unit, certify_pairs(unit)), name),
        f"{name}.h",
        f"{name}_packed(input, output, size, {PACKED})",
        8,
        8,
        counted=case(*some),
        every=case(a, b),
        sizes=(32, 64),
        step=PACKED,
    )


NAIVE = """\
/* What a compiler makes of the loop that everybody writes. */
#include <stdint.h>
static const int8_t naive_table[256] = {{{values}}};
static inline void naive_lut_s8(const int8_t *input, int8_t *output, int32_t size)
{{
    for (int32_t i = 0; i < size; ++i) {{
        output[i] = naive_table[(uint8_t)input[i]];
    }}
}}
"""


def _naive_lut() -> Subject:
    kernel = _sigmoid_lut().kernel
    entries = np.roll(kernel.outputs, 128)  # at the code's byte, without a sum for each element
    text = NAIVE.format(values=", ".join(map(str, entries.tolist())))
    return elementwise(
        "naive_lut_s8",
        {"naive_lut_s8.h": text},
        "naive_lut_s8.h",
        "naive_lut_s8(input, output, size)",
        widths=(8, 8),
        definition=kernel,
    )
