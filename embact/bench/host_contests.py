"""What is compared on this machine: loops of ours, each with the TFLite operator that it replaces.

This module must not know how anything is timed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.activations import activation
from embact.bench.host_models import Operator
from embact.conventions import output_grid
from embact.emit.header import emit_header
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import fit
from embact.grid import Grid, QuantSpec, grid_of_range
from embact.nn.arithmetic import offsets_of, scaling
from embact.nn.hard_swish import hard_swish_parameters_s8, hard_swish_s8
from embact.nn.library import library_files
from embact.nn.prelu_layer import layer_of_reals
from embact.nn.rescale import clamp, leaky_relu, leaky_relu_parameters, rescale
from embact.nn.softmax import Softmax
from embact.nn.softmax_header import softmax_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from embact.fit.record import Fit
    from embact.fit.tflm_arithmetic import Scaling
    from embact.grid import Codes

CHANNELS = 32
ROW = 1000

SPEC = QuantSpec(Grid(0.047, -11, 8), Grid(0.039, 7, 8))
"""Of the loops whose quantisation is passed at run time."""

ALPHA = 0.1


@dataclass(frozen=True)
class Contest:
    """A loop, what it must give, and the operator that it is compared with.

    files, include, call: as in ``subject.Subject``. definition: codes, flat -> codes. step: codes
    of a unit: a row, a pixel of channels, or 1. taken: for a loop that looks up, the 256 outputs
    for -128..127, with which numpy's ``take`` is compared, too.
    """

    name: str
    files: Mapping[str, str]
    include: str
    call: str
    spec: QuantSpec
    operator: Operator
    definition: Callable[[Codes], Codes]
    step: int = 1
    taken: Codes | None = None

    def shape(self, elements: int) -> tuple[int, ...]:
        """Return the shape of the model's tensors for a number of codes."""
        units = elements // self.step
        return (1, elements) if self.step == 1 else (1, 1, units, self.step)


def contests() -> tuple[Contest, ...]:
    """Return all contests."""
    return (
        _lut(),
        _clamp(),
        _rescale(),
        _leaky_relu(),
        _prelu(),
        _hard_swish(),
        _softmax(),
        _emitted("sigmoid_pwl_s8", _sigmoid_pwl(), "LOGISTIC"),
        _emitted("tanh_interp_s16", _tanh_interp(), "TANH"),
    )


def _library(
    name: str,
    parameters: str,
    spec: QuantSpec,
    operator: Operator,
    definition: Callable[[Codes], Codes],
) -> Contest:
    """Return the contest of a library function.

    parameters: what stands between input and output, and between output and size, parted by "|".
    """
    function = f"embact_{name}"
    before, after = parameters.split("|")
    call = f"{function}(input, {before}output, {after}, size)"
    files = library_files([function])
    return Contest(name, files, "embact_nn.h", call, spec, operator, definition)


def _words(*factors: Scaling) -> str:
    return ", ".join(f"{one.multiplier}, {one.shift}" for one in factors)


def _sigmoid(bits: int, limits: Limits, options: Options, name: str = "sigmoid") -> Problem:
    act, grid = activation(name), grid_of_range(-8.0, 8.0, bits)
    return Problem(act, QuantSpec(grid, output_grid(act, grid, bits)), limits, options)


def _sigmoid_pwl() -> Fit:
    plain = Options(shifts="common", fold=False, clamp="codes", objective="segments")
    return fit(_sigmoid(8, Limits(1), plain), "pwl")


def _tanh_interp() -> Fit:
    return fit(_sigmoid(16, Limits(1, 4096), Options(), "tanh"), "interp")


def _emitted(name: str, found: Fit, op: str) -> Contest:
    function = found.function_name
    return Contest(
        name,
        {f"{function}.h": emit_header({function: found})},
        f"{function}.h",
        f"{function}(input, output, size)",
        found.spec,
        Operator(op, 2),
        found.kernel,
    )


def in_table_order(outputs: Codes) -> Codes:
    """Return the outputs for -128..127 as ``embact_lut_s8`` has them: 0..127 first."""
    return np.roll(outputs, 128)


def _lut() -> Contest:
    found = fit(_sigmoid(8, Limits(0), Options(fold=False)), "lut")
    outputs = found.kernel.outputs
    values = ", ".join(map(str, in_table_order(outputs).tolist()))
    header = (
        f'#include "embact_nn.h"\nstatic const int8_t embact_host_table[256] = {{\n{values}}};\n'
    )
    return Contest(
        "lut_s8",
        {**library_files(["embact_lut_s8"]), "embact_host_table.h": header},
        "embact_host_table.h",
        "embact_lut_s8(input, embact_host_table, output, size)",
        found.spec,
        Operator("LOGISTIC", 2),
        found.kernel,
        taken=outputs,
    )


def _clamp() -> Contest:
    grid = Grid(0.0625, -37, 8)
    low, high = -37, -37 + 96
    return _library(
        "clamp_s8",
        f"|{low}, {high}",
        QuantSpec(grid, grid),
        Operator("RELU6", 2),
        lambda codes: clamp(codes, low, high, 8),
    )


def _rescale() -> Contest:
    offsets, ends = offsets_of(SPEC), (SPEC.output.zero_point, 127)
    factor = scaling(SPEC.input.scale / SPEC.output.scale, "in_scale / out_scale")
    return _library(
        "rescale_s8",
        f"{offsets.input}, |{offsets.output}, {_words(factor)}, {ends[0]}, {ends[1]}",
        SPEC,
        Operator("RELU", 2),
        lambda codes: rescale(codes, offsets, factor, ends),
    )


def _leaky_relu() -> Contest:
    offsets, (one, other) = offsets_of(SPEC), leaky_relu_parameters(SPEC, ALPHA)
    return _library(
        "leaky_relu_s8",
        f"{offsets.input}, |{offsets.output}, {_words(one, other)}",
        SPEC,
        Operator("LEAKY_RELU", 2, ("LeakyReluOptions", {"alpha": ALPHA})),
        lambda codes: leaky_relu(codes, offsets, one, other),
    )


def _hard_swish() -> Contest:
    offsets, (output, gate) = offsets_of(SPEC), hard_swish_parameters_s8(SPEC)
    return _library(
        "hard_swish_s8",
        f"{offsets.input}, |{offsets.output}, {_words(output, gate)}",
        SPEC,
        Operator("HARD_SWISH", 1, ("HardSwishOptions", {})),
        lambda codes: hard_swish_s8(codes, offsets, output, gate),
    )


def _prelu() -> Contest:
    layer = layer_of_reals(SPEC, [channel / 50 for channel in range(CHANNELS)])
    offsets, (one, other) = layer.offsets, layer.factors
    slopes = np.asarray(layer.codes)
    values = ", ".join(map(str, slopes.tolist()))
    header = f'#include "embact_nn.h"\nstatic const int8_t embact_host_slopes[] = {{{values}}};\n'
    return Contest(
        "prelu_s8",
        {**library_files(["embact_prelu_s8"]), "embact_host_slopes.h": header},
        "embact_host_slopes.h",
        f"embact_prelu_s8(input, {offsets.input}, embact_host_slopes, {-layer.slope.zero_point}, "
        f"1, output, {offsets.output}, {_words(one, other)}, size / {CHANNELS}, {CHANNELS})",
        SPEC,
        Operator("PRELU", 1, slopes=(layer.slope, slopes)),
        lambda codes: layer.outputs(codes.reshape(-1, CHANNELS)).ravel(),
        step=CHANNELS,
    )


def _softmax() -> Contest:
    name, asked = "embact_softmax_host_s8", Softmax(0.12)
    return Contest(
        "softmax_s8",
        softmax_files(asked, name),
        f"{name}.h",
        f"{name}(input, size / {ROW}, {ROW}, output)",
        QuantSpec(Grid(0.12, 0, 8), asked.output),
        Operator("SOFTMAX", 2, ("SoftmaxOptions", {"beta": 1.0})),
        lambda codes: asked(codes.reshape(-1, ROW).astype(np.int8)).ravel(),
        step=ROW,
    )
