"""The header of one PReLU layer: its slopes, a function that calls the library, and its error.

The text depends on the layer, its name and the version alone. This module must not know how the
error was found or where headers go.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from embact.certify import stated
from embact.nn.layer_header import (
    array,
    check_layer_name,
    command_lines,
    comment,
    framed,
    grid_text,
    layer_files,
)
from embact.run.build import extension

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from embact.nn.prelu_layer import ChannelError, PreluLayer

Errors = dict[str, tuple["ChannelError", ...]]
"""Rounding mode -> the error of every channel; "double" is there."""

INLINE_MAX = 16
"""More slopes than these are given to the command in a file."""

BATCH = 1 << 20
"""Codes that are compared at once."""


def default_name(layer: PreluLayer) -> str:
    """Return what a function is called that nobody named: embact_prelu_layer_s8."""
    return f"embact_prelu_layer_s{layer.spec.input.bits}"


def prelu_files(layer: PreluLayer, name: str, errors: Errors) -> dict[str, str]:
    """Return the header ``NAME.h`` and the files of the library that it needs, by file name.

    Raises EmbactError for a name that C or the library does not leave free.
    """
    check_layer_name(name)
    return layer_files(name, prelu_header(layer, name, errors), [_called(layer)])


def prelu_header(layer: PreluLayer, name: str, errors: Errors) -> str:
    """Return the header: ``static inline int32_t NAME(input, output, pixels)``, or ``size``."""
    slopes = array("int8_t", f"{name}_alpha", list(map(str, layer.codes)), f"slopes of {name}")
    return framed(name, slopes + _comment(layer, name, errors) + _function(layer, name))


def command(layer: PreluLayer, name: str) -> list[str]:
    """Return the words of the command that writes the header again, an option each."""
    spec, slope = layer.spec, layer.slope
    inline = len(layer.codes) <= INLINE_MAX
    if _of_codes(layer):
        values = ",".join(map(str, layer.codes)) if inline else "codes.npy"
        slopes = [f"--alpha-scale {slope.scale!r}", f"--alpha-zero-point {slope.zero_point}"]
        slopes.append(f"--alpha={values}")
    else:
        values = ",".join(map(repr, layer.reals)) if inline else "slopes.npy"
        slopes = [f"--alpha-real={values}"]
    return [
        "embact prelu",
        f"--in-scale {spec.input.scale!r}",
        f"--in-zero-point {spec.input.zero_point}",
        f"--out-scale {spec.output.scale!r}",
        f"--out-zero-point {spec.output.zero_point}",
        *slopes,
        f"--dtype {spec.input.dtype}",
        f"--name {name}",
        "--out .",
    ]


def _of_codes(layer: PreluLayer) -> bool:
    """Return whether the slopes are what their codes stand for, and no other reals."""
    slope = layer.slope
    return layer.reals == tuple(slope.scale * (code - slope.zero_point) for code in layer.codes)


def compared_with(layer: PreluLayer) -> str:
    """Return in words which slopes the errors are against."""
    if _of_codes(layer):
        return "the real slopes that the codes stand for"
    return "the real slopes that were asked for, before they became codes"


def summary(errors: Sequence[ChannelError], points: int) -> str:
    """Return the largest errors of all channels in words."""
    codes = max(one.max_error_codes for one in errors)
    lsb = max(one.max_error_lsb for one in errors)
    what = f"each of {len(errors)} channels" if len(errors) > 1 else "one slope for all channels"
    plural = "" if codes == 1 else "s"
    return f"at most {codes} code{plural} and {stated(lsb)} lsb, all {points} inputs, {what}"


def _called(layer: PreluLayer) -> str:
    return f"embact_prelu_s{layer.spec.input.bits}"


def _comment(layer: PreluLayer, name: str, errors: Errors) -> str:
    points = 1 << layer.spec.input.bits
    channels = len(layer.codes)
    size = f"pixels * {channels} codes, the channel running fastest (NHWC)"
    number = "pixels  batches * height * width, > 0"
    if channels == 1:
        size, number = "size codes", "size    number of elements, > 0"
    said = [
        *command_lines(command(layer, name)),
        f"input   {grid_text(layer.spec.input)}",
        f"slopes  {grid_text(layer.slope)}",
        f"output  {grid_text(layer.spec.output)}",
        f"error   {summary(errors['double'], points)}",
    ]
    if "single" in errors:
        said.append(f"single  rounding: {summary(errors['single'], points)}")
    said += [
        f"against {compared_with(layer)}",
        "",
        f"@param input   {size}",
        "@param output  as many codes; may be the same address as input",
        f"@param {number}",
        "@return EMBACT_SUCCESS, or EMBACT_ARG_ERROR with nothing written",
    ]
    return comment(["PReLU: x where x >= 0, else slope * x.", "", *said])


def _function(layer: PreluLayer, name: str) -> str:
    bits, offsets = layer.spec.input.bits, layer.offsets
    alone = len(layer.codes) == 1
    number = "size" if alone else "pixels"
    one, other = layer.factors
    given = [
        *("input", offsets.input, f"{name}_alpha", -layer.slope.zero_point, 0 if alone else 1),
        *("output", offsets.output, one.multiplier, one.shift, other.multiplier, other.shift),
        *(number, len(layer.codes)),
    ]
    call = f"    return {_called(layer)}("
    words = ", ".join(map(str, given)) + ");"
    lines = textwrap.wrap(words, 99 - len(call), break_on_hyphens=False)
    body = call + ("\n" + " " * len(call)).join(lines)
    parameters = [f"const int{bits}_t *input", f"int{bits}_t *output", f"int32_t {number}"]
    head = f"static inline int32_t {name}("
    signature = head + ", ".join(parameters) + ") {"
    if len(signature) > 100:
        signature = head + (",\n" + " " * len(head)).join(parameters) + ") {"
    return f"{signature}\n{body}\n}}\n"


def first_difference(layer: PreluLayer, name: str, files: Mapping[str, str]) -> str | None:
    """Return where compiled files first differ from the definition, in words, or None.

    Every channel sees every input. files: a header ``NAME.h`` and what it needs.
    """
    bits, channels = layer.spec.input.bits, len(layer.codes)
    kind = f"int{bits}_t"
    prototype = f"int32_t embact_run(const {kind} *input, {kind} *output, int32_t number)"
    wrapper = (
        f'#include "{name}.h"\n{prototype};\n{prototype} {{\n'
        f"    return {name}(input, output, number);\n}}\n"
    )
    built = extension("prelu", f"{prototype};", {**files, f"{name}_run.c": wrapper})
    codes = layer.spec.input.codes()
    for part in np.array_split(codes, max(1, min(codes.size, codes.size * channels // BATCH))):
        source = np.repeat(part[:, None], channels, axis=1)
        narrow = np.ascontiguousarray(source.astype(f"int{bits}"))
        target = np.zeros_like(narrow)
        ends = [built.ffi.from_buffer(f"{kind}[]", one) for one in (narrow, target)]
        status = built.lib.embact_run(*ends, part.size)
        wrong = np.argwhere(target != layer.outputs(source))
        if status or wrong.size:
            row, channel = wrong[0].tolist() if wrong.size else (0, 0)
            return f"status {status}, input {part[row]} of channel {channel}"
    return None
