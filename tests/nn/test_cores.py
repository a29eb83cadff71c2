"""The functions whose loops differ from core to core, on emulated cores, against their twins."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest

from embact.cores import CORES
from embact.fit.tflm_arithmetic import Scaling
from embact.nn import hard_swish, prelu, rescale
from embact.nn.arithmetic import Offsets
from embact.nn.library import library_files
from embact.run.cross import link
from embact.run.emulator import run_image

GUARD = 85
MARGIN = 16
"""Elements on either side of what may be written; they keep their guard."""

SIZES = (*range(1, 68), 127, 128, 129, 300, 383, 384, 385, 700)
POOL = 4096
"""Random codes, of which every call takes some."""

TIES = (1 << 30, 3 << 29, (1 << 31) - 1, (1 << 31) - (1 << 16), 3 << 20, 1 << 16, 1 << 15, 1, 0)
"""Multipliers whose products meet halves exactly, or miss them by the least or the most."""


@dataclass(frozen=True)
class Call:
    """One call on a core.

    c: the call; IN and OUT stand for its buffers. codes: the input. shift: elements from an address
    that is a multiple of 16. in_place: OUT is IN. expected: the twin's output.
    """

    c: str
    bits: int
    first: int
    codes: np.ndarray
    shift: int
    in_place: bool
    expected: np.ndarray

    def line(self) -> str:
        """The C of the call."""
        place = f"{self.first}, {len(self.codes)}, {self.shift}, {int(self.in_place)}"
        return f"    before_{self.bits}({place}); status |= {self.c}; after_{self.bits}();"

    def written(self) -> bytes:
        """The bytes that the core sends: the output between guards."""
        kind = f"int{self.bits}"
        whole = np.full(2 * MARGIN + self.shift + len(self.codes), GUARD, dtype=kind)
        start = MARGIN + self.shift
        whole[start : start + len(self.codes)] = self.expected
        return whole.tobytes()


DRIVER = """
static KIND before_space_BITS[2][4096 + 64] __attribute__((aligned(16)));
static KIND *in_BITS, *out_BITS;
static int32_t size_BITS, shift_BITS;
static void before_BITS(int32_t first, int32_t size, int32_t shift, int32_t in_place)
{
    KIND *const here = before_space_BITS[0], *const there = before_space_BITS[in_place ? 0 : 1];
    for (int32_t i = 0; i < size + 64; ++i) {
        here[i] = GUARD;
        there[i] = GUARD;
    }
    for (int32_t i = 0; i < size; ++i) {
        here[MARGIN + shift + i] = pool_BITS[first + i];
    }
    in_BITS = here + MARGIN + shift;
    out_BITS = there + MARGIN + shift;
    size_BITS = size;
    shift_BITS = shift;
}
static void after_BITS(void)
{
    const int32_t sent = 2 * MARGIN + shift_BITS + size_BITS;
    embact_bare_write(out_BITS - shift_BITS - MARGIN, (uint32_t)sent * (uint32_t)sizeof(KIND));
}
"""


def program(calls, pools, slopes):
    """The C that makes all calls of all widths and sends every output between its guards."""
    lines = ["#include <stdint.h>", '#include "embact_bare.h"', '#include "embact_nn.h"']
    lines += [f"#define GUARD {GUARD}", f"#define MARGIN {MARGIN}"]
    for bits, pool in pools.items():
        values = ", ".join(map(str, pool.tolist()))
        lines.append(f"static const int{bits}_t pool_{bits}[] = {{{values}}};")
        lines.append(DRIVER.replace("KIND", f"int{bits}_t").replace("BITS", str(bits)))
    lines.append(f"static const int8_t slopes[] = {{{', '.join(map(str, slopes.tolist()))}}};")
    parts = [calls[start : start + 50] for start in range(0, len(calls), 50)]
    for number, part in enumerate(parts):
        body = "\n".join(call.line() for call in part)
        lines.append(
            f"static int32_t part_{number}(void)\n{{\n    int32_t status = 0;\n{body}\n"
            "    return status;\n}"
        )
    every = " | ".join(f"part_{number}()" for number in range(len(parts)))
    lines.append(f"int main(void)\n{{\n    return ({every}) ? 1 : 0;\n}}")
    return "\n".join(lines) + "\n"


def factor(rng, shifts):
    """A factor, usual or adversarial."""
    shift = int(rng.integers(shifts[0], shifts[1] + 1))
    kind = rng.integers(4)
    if kind == 0:
        return Scaling(int(rng.choice(TIES)), shift)
    if kind == 1:
        return Scaling(int(rng.integers(1 << 14, 1 << 15)) << 16, shift)
    return Scaling(int(rng.integers(1 << 30, 1 << 31)), shift)


def any_factor(rng, number):
    """Of a factor that models have, mostly; of any that is accepted, sometimes."""
    if number % 4:
        return factor(rng, (-12, 2))
    made = factor(rng, (-31, 30))
    return Scaling(-made.multiplier, made.shift) if rng.integers(3) == 0 else made


def offsets_of(rng, bits, number):
    half = 1 << (bits - 1)
    if number % 3 == 0:
        return Offsets(
            int(rng.choice([1 - half, 0, half])), int(rng.choice([-half, half - 1])), bits
        )
    return Offsets(int(rng.integers(1 - half, half)), int(rng.integers(-half, half)), bits)


def made_rescale(rng, bits, number, rounding):
    offsets, one = offsets_of(rng, bits, number), any_factor(rng, number)
    half = 1 << (bits - 1)
    low, high = (-half, half - 1) if number % 2 else sorted(rng.integers(-half, half, 2).tolist())
    numbers = f"{offsets.output}, {one.multiplier}, {one.shift}, {low}, {high}"
    return (
        f"embact_rescale_s{bits}(in_{bits}, {offsets.input}, out_{bits}, {numbers}, size_{bits})",
        lambda codes: rescale.rescale(codes, offsets, one, (low, high), rounding=rounding),
    )


def made_leaky_relu(rng, bits, number, rounding):
    offsets = offsets_of(rng, bits, number)
    one, other = any_factor(rng, number), any_factor(rng, number // 2)
    factors = f"{one.multiplier}, {one.shift}, {other.multiplier}, {other.shift}"
    numbers = f"{offsets.output}, {factors}, size_{bits}"
    return (
        f"embact_leaky_relu_s{bits}(in_{bits}, {offsets.input}, out_{bits}, {numbers})",
        lambda codes: rescale.leaky_relu(codes, offsets, one, other, rounding=rounding),
    )


def made_hard_swish(rng, bits, number, rounding):
    offsets = offsets_of(rng, bits, number)
    if bits == 8:
        ends = ((-31, 0), (-31, 31)) if number % 4 else ((-4, 0), (3, 3))
    else:
        ends = ((-16, 8), (-61, 0)) if number % 4 else ((-2, 8), (-16, 0))
    top = 1 << (15 if bits == 8 else 31)
    output, gate = (
        Scaling(int(rng.integers(top)), int(rng.integers(low, high + 1))) for low, high in ends
    )
    if bits == 16 and number % 4 < 2:  # as models have them: these go other ways
        offsets = Offsets(0, offsets.output, bits)
        gate = Scaling(int(rng.integers(1 << 30, 1 << 31)), int(rng.integers(-20, -8)))
    factors = f"{output.multiplier}, {output.shift}, {gate.multiplier}, {gate.shift}"
    numbers = f"{offsets.input}, out_{bits}, {offsets.output}, {factors}"

    def twin(codes):
        if bits == 8:
            return hard_swish.hard_swish_s8(codes, offsets, output, gate)
        return hard_swish.hard_swish_s16(codes, offsets, output, gate, rounding=rounding)

    return (
        f"embact_hard_swish_s{bits}(in_{bits}, {numbers}, size_{bits})",
        twin,
    )


def made_prelu(rng, bits, number, rounding, *, slopes, shape):
    """Slopes of both signs, or of one: `slopes` has first any, then none below 0, then none above.

    With a power of two as the factor, and a zero point of 0, those of one sign go other ways.
    """
    pixels, channels = shape
    offsets = offsets_of(rng, bits, number)
    one, other = any_factor(rng, number), any_factor(rng, number // 2)
    if number % 3:
        other = factor(rng, (-17, 0))
    zero, third = int(rng.integers(-128, 128)), len(slopes) // 3
    start = int(rng.integers(third - channels))
    part = number % 4
    if part in {1, 2}:
        zero, start = 0, start + part * third
    if part in {1, 2} or number % 8 == 3:  # products of these often meet halves
        multiplier = int(rng.choice([1 << 30, 3 << 29, 5 << 28]))
        other = Scaling(multiplier, int(rng.integers(-10, 0)))
    stride = 0 if number % 7 == 0 else 1
    taken = slopes[start : start + (channels if stride else 1)].astype(np.int64) - zero
    given = f"{offsets.input}, slopes + {start}, {-zero}, {stride}"
    numbers = f"{offsets.output}, {one.multiplier}, {one.shift}, {other.multiplier}, {other.shift}"
    return (
        f"embact_prelu_s{bits}(in_{bits}, {given}, out_{bits}, {numbers}, {pixels}, {channels})",
        lambda codes: prelu.prelu(
            codes.reshape(pixels, channels), taken, offsets, (one, other), rounding=rounding
        ).reshape(-1),
    )


NAMES = ("rescale", "leaky_relu", "prelu", "hard_swish")

MAKERS = {"rescale": made_rescale, "leaky_relu": made_leaky_relu, "hard_swish": made_hard_swish}

SHAPES = (
    *((1, channels) for channels in range(1, 68)),
    *((7, channels) for channels in range(1, 36)),
    *((pixels, 1) for pixels in (1, 2, 67, 500)),
    *((130, 3), (40, 16), (33, 20), (500, 2), (350, 5), (20, 64), (5, 200), (2, 700)),
)
"""Pixels and channels."""


def calls_of(rounding, seed=0):
    """All calls with their inputs and expected outputs, and what they read: (calls, pools, slopes).

    The first 256 codes of the pool of bytes are all there are.
    """
    rng = np.random.default_rng(seed)
    pools = {8: rng.integers(-128, 128, POOL), 16: rng.integers(-32768, 32768, POOL)}
    pools[8][:256] = np.arange(-128, 128)
    ends = np.array([-32768, -32767, -1, 0, 1, 32766, 32767])
    pools[16][: ends.size] = ends
    third = rng.integers(-128, 128, 800)
    slopes = np.concatenate([third, np.abs(third).clip(0, 127), -np.abs(third)])
    calls = []

    def add(made, bits, first, size):
        c, twin = made
        codes = pools[bits][first : first + size]
        shift, in_place = int(rng.integers(4)), bool(rng.integers(2))
        calls.append(Call(c, bits, first, codes, shift, in_place, twin(codes)))

    number = 0
    for maker in MAKERS.values():
        for bits in (8, 16):
            for size in (*SIZES, *[256] * 40, *[700] * 20):
                first = 0 if size >= 256 else int(rng.integers(POOL - size))
                add(maker(rng, bits, number, rounding), bits, first, size)
                number += 1
    for bits in (8, 16):
        for pixels, channels in (*SHAPES, *[(4, 64)] * 30, *[(27, 37)] * 30):
            size = pixels * channels
            first = int(rng.integers(POOL - size))
            shape = pixels, channels
            made = made_prelu(rng, bits, number, rounding, slopes=slopes, shape=shape)
            add(made, bits, first, size)
            number += 1
    return calls, pools, slopes


def first_wrong(calls, written):
    """The first call whose bytes are not as expected, in words, or None."""
    place = 0
    for call in calls:
        expected = call.written()
        found = written[place : place + len(expected)]
        if found != expected:
            kind = f"int{call.bits}"
            both = (np.frombuffer(one, dtype=kind) for one in (found, expected))
            found_codes, expected_codes = both
            if found_codes.size != expected_codes.size:
                return f"{call.c}: too little"
            at = np.flatnonzero(found_codes != expected_codes)
            element = int(at[0]) - MARGIN - call.shift
            return (
                f"{call.c}, size {len(call.codes)}, in place {call.in_place}: {at.size} wrong, "
                f"element {element}: {found_codes[at[0]]}, not {expected_codes[at[0]]}"
            )
        place += len(expected)
    return None if place == len(written) else "more than was to be sent"


def wrong_on_core(core, rounding, optimise, edit=("", ""), target=None):
    """What the first wrong call on a core is, or None.

    edit: a text in the library's files, and what is put there. target: of library_files.
    """
    calls, pools, slopes = calls_of(rounding)
    names = {re.match(r"\w+", call.c)[0] for call in calls}
    files = library_files(sorted(names), target)
    edited = {name: text.replace(*edit) for name, text in files.items()}
    sources = {**edited, "program.c": program(calls, pools, slopes)}
    flags = ("-DCMSIS_NN_USE_SINGLE_ROUNDING",) if rounding == "single" else ()
    outcome = run_image(link(core, sources, optimise=optimise, flags=flags))
    assert outcome.status == 0
    return first_wrong(calls, outcome.written)


@pytest.mark.slow
@pytest.mark.parametrize("optimise", ["-O2", "-Os"])
@pytest.mark.parametrize("rounding", ["double", "single"])
@pytest.mark.parametrize("core", CORES)
def test_equal_their_twins_on_every_core_and_touch_nothing_beside(core, rounding, optimise):
    assert wrong_on_core(CORES[core], rounding, optimise) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("core", "edit"),
    [
        ("cortex-m0plus", ("half - twice", "half + twice")),
        ("cortex-m0plus", ("base - 2 * e", "base")),
        ("cortex-m3", ("half - e", "half + e")),
        ("cortex-m4", ("sub %[f], %[base], %[f], lsr #1", "mov %[f], %[base]")),
        ("cortex-m4", ("how->right - 1)", "how->right - 2)")),
        ("cortex-m55", ("multiplier -= above > 0;", "")),
        ("cortex-m55", ("vrshl.s32 q1, %[down]", "vshl.s32 q1, %[down]")),
        ("cortex-m55", ('"vaddt.i32 q1, q1, %[less]', '"vaddt.i32 q1, q1, %[output_offset]')),
        ("cortex-m55", ('first "vstrb" t ".8 q0', '"vstrb.8 q0')),
    ],
)
def test_an_error_on_one_core_would_be_noticed(core, edit):
    """Negative control: rounding the wrong way, ties of powers of two, a store beyond the end."""
    files = library_files(["embact_prelu_s8", "embact_prelu_s16", "embact_hard_swish_s16"])
    assert any(edit[0] in text for text in files.values())
    assert wrong_on_core(CORES[core], "double", "-O2", edit) is not None


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
def test_what_a_target_leaves_of_the_files_computes_the_same(core):
    assert wrong_on_core(CORES[core], "double", "-O2", target=CORES[core]) is None
