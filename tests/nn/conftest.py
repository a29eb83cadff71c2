"""Functions of the C library compiled as they lie in ``c_src/nn``, and random calls of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from embact.fit.tflm_arithmetic import Scaling
from embact.nn import hard_swish, lut, prelu, rescale
from embact.nn.arithmetic import Offsets
from embact.nn.library import declarations, library_files
from embact.run.build import extension

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDINGS = {"double": (), "single": ("-DCMSIS_NN_USE_SINGLE_ROUNDING",)}
"""The two rounding modes, as users choose them."""

WIDTHS = (8, 16, 32, 64)
C_TYPES = {f"{sign}int{bits}": f"{sign}int{bits}_t *" for sign in ("", "u") for bits in WIDTHS}
INT32 = -(1 << 31), (1 << 31) - 1


def compiled(*functions, flags=()):
    """The library's functions by name, called with arrays (kept in place), integers and None.

    An array is passed as a pointer to its own data: what C writes is seen in it.
    """
    built = extension("nn_tests", declarations(functions), library_files(functions), flags=flags)

    def caller(name):
        function = getattr(built.lib, name)

        def call(*arguments):
            return function(*(pointer(built.ffi, argument) for argument in arguments))

        return call

    return SimpleNamespace(**{name: caller(name) for name in functions})


def pointer(ffi, argument):
    if argument is None:
        return ffi.NULL
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return ffi.cast(C_TYPES[argument.dtype.name], argument.ctypes.data)
    return int(argument)


@dataclass(frozen=True)
class Sample:
    """One set of arguments.

    parameters: what stands before "output" and between it and the size, in the order of C; "input",
    "output" and "size" stand for what the test brings. twin: codes, rounding -> codes. ranges: the
    least and the greatest value of a parameter, by its place.
    """

    function: str
    bits: int
    parameters: tuple
    twin: Callable
    ranges: dict

    def arguments(self, source, target, size):
        brought = {"input": source, "output": target, "size": size}
        return [brought[one] if isinstance(one, str) else one for one in self.parameters]


def drawn_factor(rng, extreme):
    """Any multiplier and shift, or those at the ends of their ranges."""
    if extreme:
        multiplier = rng.choice([0, 1, -1, 1 << 30, INT32[1], -INT32[1], (1 << 30) + 1])
        shift = rng.choice([-31, -30, -1, 0, 1, 15, 29, 30])
    else:
        multiplier, shift = rng.integers(1 << 30, 1 << 31), rng.integers(-12, 5)
        multiplier *= rng.choice([1, 1, 1, -1])
    return Scaling(int(multiplier), int(shift))


def drawn_offsets(rng, bits, extreme):
    half = 1 << (bits - 1)
    if extreme:
        return Offsets(
            int(rng.choice([1 - half, 0, half])), int(rng.choice([-half, half - 1])), bits
        )
    return Offsets(int(rng.integers(1 - half, half + 1)), int(rng.integers(-half, half)), bits)


def offset_ranges(bits, *places):
    half = 1 << (bits - 1)
    return dict(zip(places, [(1 - half, half), (-half, half - 1)], strict=True))


FACTOR = (-INT32[1], INT32[1]), (-31, 30)


def limits(rng, bits):
    half = 1 << (bits - 1)
    return sorted(rng.integers(-half, half, 2).tolist())


def sample_clamp(rng, bits, extreme):
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if extreme else limits(rng, bits)
    return Sample(
        f"embact_clamp_s{bits}",
        bits,
        ("input", "output", low, high, "size"),
        lambda codes, _: rescale.clamp(codes, low, high, bits),
        {2: (-(1 << (bits - 1)), high), 3: (low, (1 << (bits - 1)) - 1)},
    )


def sample_rescale(rng, bits, extreme):
    factor, offsets = drawn_factor(rng, extreme), drawn_offsets(rng, bits, extreme)
    low, high = limits(rng, bits)
    return Sample(
        f"embact_rescale_s{bits}",
        bits,
        (
            *("input", offsets.input, "output", offsets.output),
            *(factor.multiplier, factor.shift, low, high, "size"),
        ),
        lambda codes, rounding: rescale.rescale(
            codes, offsets, factor, (low, high), rounding=rounding
        ),
        {
            **offset_ranges(bits, 1, 3),
            **dict(zip((4, 5), FACTOR, strict=True)),
            6: (-(1 << (bits - 1)), high),
            7: (low, (1 << (bits - 1)) - 1),
        },
    )


def sample_leaky_relu(rng, bits, extreme):
    one, other = (drawn_factor(rng, extreme) for _ in range(2))
    offsets = drawn_offsets(rng, bits, extreme)
    return Sample(
        f"embact_leaky_relu_s{bits}",
        bits,
        (
            *("input", offsets.input, "output", offsets.output),
            *(one.multiplier, one.shift, other.multiplier, other.shift, "size"),
        ),
        lambda codes, rounding: rescale.leaky_relu(codes, offsets, one, other, rounding=rounding),
        {**offset_ranges(bits, 1, 3), **dict(zip(range(4, 8), FACTOR * 2, strict=True))},
    )


def sample_prelu(rng, bits, extreme):
    """One channel; more are in test_prelu."""
    one, other = (drawn_factor(rng, extreme) for _ in range(2))
    offsets = drawn_offsets(rng, bits, extreme)
    stride = int(rng.integers(2))
    code, zero = (int(value) for value in rng.choice([-128, -1, 0, 1, 127], 2))
    alpha = np.array([code], dtype=np.int8)
    return Sample(
        f"embact_prelu_s{bits}",
        bits,
        (
            *("input", offsets.input, alpha, -zero, stride, "output", offsets.output),
            *(one.multiplier, one.shift, other.multiplier, other.shift, "size", 1),
        ),
        lambda codes, rounding: prelu.prelu(
            codes[:, None], np.array([code - zero]), offsets, (one, other), rounding=rounding
        )[:, 0],
        {
            **offset_ranges(bits, 1, 6),
            3: (-127, 128),
            4: (0, 1),
            **dict(zip(range(7, 11), FACTOR * 2, strict=True)),
            12: (1, None),
        },
    )


def sample_hard_swish(rng, bits, extreme):
    ends = {
        8: (((0, 32767), (-31, 0)), ((0, 32767), (-31, 31))),
        16: (((0, INT32[1]), (-16, 8)), ((0, INT32[1]), (-61, 0))),
    }[bits]
    if extreme:
        factors = [Scaling(*(int(rng.choice(end)) for end in one)) for one in ends]
    else:
        factors = [Scaling(*(int(rng.integers(a, b + 1)) for a, b in one)) for one in ends]
    offsets = drawn_offsets(rng, bits, extreme)

    def twin(codes, rounding):
        if bits == 8:
            return hard_swish.hard_swish_s8(codes, offsets, *factors)
        return hard_swish.hard_swish_s16(codes, offsets, *factors, rounding=rounding)

    (output, gate), numbers = factors, (end for one in ends for end in one)
    return Sample(
        f"embact_hard_swish_s{bits}",
        bits,
        (
            *("input", offsets.input, "output", offsets.output),
            *(output.multiplier, output.shift, gate.multiplier, gate.shift, "size"),
        ),
        twin,
        {**offset_ranges(bits, 1, 3), **dict(zip(range(4, 8), numbers, strict=True))},
    )


def sample_lut(rng, bits, extreme):
    table = rng.integers(-128, 128, 256).astype(np.int8)
    return Sample(
        "embact_lut_s8",
        8,
        ("input", table, "output", "size"),
        lambda codes, _: lut.lut_s8(codes, table.astype(np.int64)),
        {},
    )


def sample_lut_interp(rng, bits, extreme):
    spacing, fraction = (int(rng.integers(limit)) for limit in (17, 16))
    if extreme:
        spacing, fraction = int(rng.choice([0, 7, 15, 16])), int(rng.choice([0, 15]))
    low, high = INT32[0] + (1 << (15 + spacing)), INT32[1] - 32767 * (1 << spacing)
    offset = int(rng.choice([low, high])) if extreme else int(rng.integers(low, high + 1))
    table = rng.integers(-32768, 32768, (1 << (16 - spacing)) + 1)
    table = (rng.choice([-32768, 32767], table.shape) if extreme else table).astype(np.int16)
    return Sample(
        "embact_lut_interp_s16",
        16,
        ("input", table, spacing, fraction, offset, "output", "size"),
        lambda codes, _: lut.lut_interp_s16(
            codes, table.astype(np.int64), spacing, fraction, offset
        ),
        {3: (0, 15), 4: (low, high)},
    )


SAMPLERS = {
    f"embact_{name}_s{bits}": partial(sample, bits=bits)
    for name, sample, widths in (
        ("clamp", sample_clamp, (8, 16)),
        ("rescale", sample_rescale, (8, 16)),
        ("leaky_relu", sample_leaky_relu, (8, 16)),
        ("prelu", sample_prelu, (8, 16)),
        ("hard_swish", sample_hard_swish, (8, 16)),
        ("lut", sample_lut, (8,)),
        ("lut_interp", sample_lut_interp, (16,)),
    )
    for bits in widths
}
"""Function -> rng, extreme -> Sample."""


@pytest.fixture(scope="session")
def nn():
    """``compiled``: with importlib-style imports a test cannot import its conftest."""
    return compiled


@pytest.fixture(scope="session")
def samplers():
    """Likewise."""
    return SAMPLERS


@pytest.fixture(params=SAMPLERS)
def sampler(request):
    """Each function's source of random calls."""
    return SAMPLERS[request.param]


@pytest.fixture(params=ROUNDINGS)
def rounding(request):
    """Each rounding mode by the name that ``embact.grid.requantize`` has for it."""
    return request.param


@pytest.fixture
def flags(rounding):
    """The compiler flags of the rounding mode."""
    return ROUNDINGS[rounding]
