"""PReLU layers: their exact errors, their generated C, and many channels in the library."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction

import numpy as np
import pytest

from embact.activations import activation
from embact.certify import ideal
from embact.fit.tflm_arithmetic import Scaling
from embact.grid import Grid, QuantSpec
from embact.nn.arithmetic import Offsets
from embact.nn.prelu import prelu, prelu_parameters
from embact.nn.prelu_header import command, first_difference, prelu_files, prelu_header
from embact.nn.prelu_layer import PreluLayer, channel_errors, layer_of_codes, layer_of_reals
from embact.run.toolchain import STRICT
from embact.sources import c_source

SPEC = QuantSpec(Grid(0.05, 3, 8), Grid(0.04, -20, 8))
WIDE = QuantSpec(Grid(0.0005, -300, 16), Grid(0.0004, 77, 16))
SLOPE = Grid(0.01, 5, 8)


def errors_of(layer):
    return {mode: channel_errors(layer, rounding=mode) for mode in ("double", "single")}


def by_fractions(layer, channel, codes):
    """The rounded code and the distance to the real result of one input each, exactly."""
    spec, slope = layer.spec, Fraction(layer.reals[channel])
    low, high = (e - spec.output.zero_point for e in (spec.output.code_min, spec.output.code_max))
    found = []
    for code, output in zip(codes, layer.outputs(np.array(codes)[:, None]).tolist(), strict=True):
        real = Fraction(spec.input.scale) * (code - spec.input.zero_point)
        steps = (real if real >= 0 else slope * real) / Fraction(spec.output.scale)
        away = (abs(steps) + Fraction(1, 2)).__floor__() * (1 if steps >= 0 else -1)
        got = output[channel] - spec.output.zero_point
        nearest, limited = min(max(away, low), high), min(max(steps, low), high)
        found.append((abs(got - nearest), abs(got - limited)))
    return [max(one) for one in zip(*found, strict=True)]


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        QuantSpec(Grid(0.5, 0, 8), Grid(1.0, 0, 8)),
        QuantSpec(Grid(0.5, 127, 8), Grid(0.01, 0, 8)),
        QuantSpec(Grid(2.0**-100, 0, 8), Grid(2.0**20, 0, 8)),
    ],
)
@pytest.mark.parametrize("reals", [(0.25,), (0.5, -0.75, 0.0), (0.1, 3.7, -1e-9)])
def test_channel_errors_are_exact(spec, reals):
    layer = layer_of_reals(spec, reals)
    for one in channel_errors(layer):
        codes, lsb = by_fractions(layer, one.channel, spec.input.codes().tolist())
        assert one.max_error_codes == codes
        assert abs(one.max_error_lsb - lsb) < 2e-9
        _, there = by_fractions(layer, one.channel, [one.worst_input])
        assert abs(there - lsb) < 2e-9


@pytest.mark.parametrize("spec", [SPEC, WIDE])
def test_channel_errors_are_those_of_a_leaky_relu(spec):
    layer = layer_of_codes(spec, SLOPE, [-90, 5, 17, 127])
    outputs = layer.outputs(spec.input.codes()[:, None])
    for one in channel_errors(layer):
        truth = ideal(activation("leaky_relu", alpha=one.slope), spec)
        assert one.max_error_codes == np.abs(outputs[:, one.channel] - truth.codes).max()
        off = np.abs(outputs[:, one.channel] - spec.output.zero_point - truth.steps).max()
        assert abs(one.max_error_lsb - off) < 2e-9


def test_ties_of_a_wide_layer_round_away_from_zero():
    """Every other input below zero is a tie; the kernel rounds them as the definition does."""
    grid = Grid(2.0**-12, 0, 16)
    (one,) = channel_errors(layer_of_codes(QuantSpec(grid, grid), Grid(0.5, 0, 8), [1]))
    assert (one.max_error_codes, one.max_error_lsb) == (1, 0.5)
    (one,) = channel_errors(layer_of_codes(QuantSpec(grid, grid), Grid(0.5, 0, 8), [2]))
    assert (one.max_error_codes, one.max_error_lsb) == (0, 0.0)


def test_errors_of_quantised_slopes_contain_the_cost_of_quantising_them():
    reals = tuple(np.linspace(-0.9, 0.9, 9))
    wanted = layer_of_reals(WIDE, reals)
    taken = layer_of_codes(WIDE, wanted.slope, wanted.codes)
    assert max(one.max_error_codes for one in channel_errors(taken)) <= 1
    assert max(one.max_error_codes for one in channel_errors(wanted)) > 10


def test_an_error_in_the_arithmetic_would_be_seen(monkeypatch):
    layer = layer_of_codes(WIDE, SLOPE, [40])
    (right,) = channel_errors(layer)
    one, other = prelu_parameters(WIDE, SLOPE)
    wrong = Scaling(other.multiplier + (1 << 18), other.shift)
    monkeypatch.setattr("embact.nn.prelu_layer.prelu_parameters", lambda *_: (one, wrong))
    (worse,) = channel_errors(layer)
    assert worse.max_error_codes > right.max_error_codes


@pytest.mark.parametrize("bits", [8, 16])
def test_many_channels_in_c_are_the_twins(nn, rounding, flags, bits):
    name = f"embact_prelu_s{bits}"
    function = getattr(nn(name, flags=flags), name)
    rng = np.random.default_rng(1)
    half = 1 << (bits - 1)
    for channels in (1, 2, 3, 7, 64):
        for stride in (0, 1):
            alpha = rng.integers(-128, 128, channels if stride else 1).astype(np.int8)
            zero = int(rng.integers(-128, 128))
            offsets = Offsets(
                int(rng.integers(1 - half, half)), int(rng.integers(-half, half)), bits
            )
            factors = [Scaling(int(rng.integers(1 << 30, 1 << 31)), s) for s in (0, -7)]
            codes = rng.integers(-half, half, (41, channels))
            source = codes.astype(f"int{bits}")
            target = np.zeros_like(source)
            numbers = [value for one in factors for value in (one.multiplier, one.shift)]
            status = function(
                *(source, offsets.input, alpha, -zero, stride, target, offsets.output),
                *(*numbers, 41, channels),
            )
            assert status == 0
            slopes = alpha.astype(np.int64) - zero
            expected = prelu(codes, slopes, offsets, tuple(factors), rounding=rounding)
            assert np.array_equal(target, expected)
            status = function(
                *(source, offsets.input, alpha, -zero, stride, target, offsets.output),
                *(*numbers, 41, 0),
            )
            assert status == -1


@pytest.mark.parametrize(
    "layer",
    [
        layer_of_codes(SPEC, SLOPE, [-128, 5, 6, 127]),
        layer_of_reals(SPEC, [0.2]),
        layer_of_codes(WIDE, SLOPE, [1, 2, 3]),
    ],
    ids=["s8", "per_tensor", "s16"],
)
def test_the_header_and_its_files_compile_and_equal_the_definition(tmp_path, compilers, layer):
    files = prelu_files(layer, "act", errors_of(layer))
    assert first_difference(layer, "act", files) is None
    both = '#include "embact.h"\n#include "act.h"\n#include "act.h"\n'
    written = {**files, "main.c": both, "main.cc": both, "embact.h": c_source("embact.h")}
    for name, text in written.items():
        (tmp_path / name).write_text(text, "utf-8")
        assert text.isascii()
        assert max(map(len, text.splitlines())) <= 100
    sources = [name for name in files if name.endswith(".c")]
    for words in compilers.values():
        line = [*words, *STRICT, "-Wno-unused-function", "-O2", "-c", *sources, "main.c"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    zig = [*compilers["zig"][:-1], "c++", "-Wall", "-Werror", "-Wno-unused-function"]
    subprocess.run([*zig, "-c", "main.cc"], cwd=tmp_path, check=True)


def test_many_channels_are_compared_in_parts(monkeypatch):
    monkeypatch.setattr("embact.nn.prelu_header.BATCH", 300)
    layer = layer_of_codes(SPEC, SLOPE, list(range(-50, 50)))
    assert first_difference(layer, "act", prelu_files(layer, "act", errors_of(layer))) is None


@pytest.mark.parametrize(
    "edit", [("1342177330", "1352177330"), (" 127,", " 126,"), ("-3, act", "-2, act")]
)
def test_an_edited_header_would_be_noticed(edit):
    layer = layer_of_codes(SPEC, SLOPE, [-128, 127, 7])
    files = prelu_files(layer, "act", errors_of(layer))
    assert edit[0] in files["act.h"]
    found = first_difference(layer, "act", {**files, "act.h": files["act.h"].replace(*edit)})
    assert re.match(r"status 0, input -?\d+ of channel \d", found)


def test_the_header_states_the_errors_and_the_command():
    layer = layer_of_codes(SPEC, SLOPE, [-128, 127])
    text = prelu_header(layer, "act", errors_of(layer))
    worst = max(one.max_error_codes for one in channel_errors(layer))
    assert f" * error   at most {worst} code" in text
    assert "all 256 inputs, each of 2 channels" in text
    assert " * single  rounding: at most" in text
    assert " *     --alpha=-128,127 \\\n" in text
    assert " * against the real slopes that the codes stand for\n" in text
    asked = layer_of_reals(SPEC, [0.1])
    assert " * against the real slopes that were asked for" in prelu_header(
        asked, "act", errors_of(asked)
    )
    assert prelu_header(layer, "act", errors_of(layer)) == text


def test_long_lists_of_slopes_are_given_in_a_file():
    codes = list(range(17))
    assert "--alpha=codes.npy" in command(layer_of_codes(SPEC, SLOPE, codes), "act")
    assert "--alpha-real=slopes.npy" in command(layer_of_reals(SPEC, [c / 9 for c in codes]), "act")


def test_what_is_no_layer_is_refused(refuses):
    with refuses("code of a slope", "128", "-128..127"):
        layer_of_codes(SPEC, SLOPE, [0, 128])
    with refuses("slopes", "1..65536"):
        layer_of_codes(SPEC, SLOPE, [])
    with refuses("width of the slopes", "int16"):
        PreluLayer(SPEC, Grid(0.1, 0, 16), (1,), (0.1,))
    with refuses("widths of input and output"):
        layer_of_codes(QuantSpec(SPEC.input, WIDE.output), SLOPE, [1])
    with refuses("in_scale / out_scale"):
        layer_of_codes(QuantSpec(Grid(2.0**40, 0, 8), Grid(1.0, 0, 8)), SLOPE, [1])
    for reals in ([], [float("nan")], [float("inf")]):
        with refuses("slopes"):
            layer_of_reals(SPEC, reals)
    layer = layer_of_codes(SPEC, SLOPE, [1])
    for name in ("embact_prelu_s8", "embact_nn", "int", "Act"):
        with refuses(name):
            prelu_files(layer, name, errors_of(layer))


def test_slopes_that_are_all_zero_have_a_grid():
    layer = layer_of_reals(SPEC, [0.0, 0.0])
    assert layer.codes == (0, 0)
    assert layer.reals == (0.0, 0.0)
