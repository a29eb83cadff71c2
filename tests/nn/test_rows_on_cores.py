"""Softmax, log_softmax and gated units on emulated cores, against their twins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from embact.cores import CORES
from embact.errors import CheckFailed
from embact.fit.tflm_arithmetic import Scaling
from embact.grid import Grid
from embact.nn.glu import Grids, glu
from embact.nn.library import library_files
from embact.nn.softmax import Softmax
from embact.run.cross import cross_compiler, link
from embact.run.emulator import run_image

FORMS = {
    "s8": (8, 8, "tflm", False),
    "s8_s16": (8, 16, "tflm", False),
    "s16": (16, 16, "tflm", False),
    "exact_s8": (8, 8, "exact", False),
    "exact_s8_s16": (8, 16, "exact", False),
    "exact_s16": (16, 16, "exact", False),
    "log_s8": (8, 8, "tflm", True),
    "log_exact_s8": (8, 8, "exact", True),
}
SCALES = {8: (2e-8, 0.06, 0.1, 3.0), 16: (3e-5, 0.0004, 0.02, 4.9)}
"""Tables of 256 entries and of few, factors that shift to the left and to the right."""

UNLIKE = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m55")
"""A core of each tier."""

GUARD = 85
MARGIN = 16
"""Elements on either side of what may be written; they keep their guard."""

FACTORS = (
    *(Scaling(1518500250, shift) for shift in (-14, -15, -2, -1, -23, -24, 3)),
    *(Scaling(1 << 30, shift) for shift in (-14, -20)),  # ties
    *(Scaling(3 << 29, -13), Scaling(1073741831, -18), Scaling(-1518500250, -12)),
    *(Scaling((1 << 30) + (1 << shift), -16) for shift in (7, 22, 23, 24, 25)),
    *(Scaling((1 << 31) - 1, -10), Scaling(0, 0), Scaling(1, -1)),
)


@dataclass(frozen=True)
class Call:
    """One call on a core. c: the call. shift, in_place: of its output. expected: the twin's."""

    c: str
    shift: int
    expected: np.ndarray

    def written(self) -> bytes:
        """The bytes that the core sends: the output between guards."""
        start = MARGIN + self.shift
        whole = np.full(start + self.expected.size + MARGIN, GUARD, dtype=self.expected.dtype)
        whole[start : start + self.expected.size] = self.expected.ravel()
        return whole.tobytes()


def rows_of(bits):
    """Rows of every length up to 70 and some beyond, random and adversarial."""
    rng = np.random.default_rng(bits)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    shapes = [(1 + size % 3, size) for size in range(1, 71)]
    shapes += [(2, size) for size in (127, 255, 256, 257, 300, 511, 512, 513)] + [(1, 1000)]
    found = []
    for number, (count, size) in enumerate(shapes):
        spread = 2.0 ** -(number % bits) * (high - low)
        codes = rng.integers(low, high + 1, (count, 1)) + spread * rng.standard_normal(
            (count, size)
        )
        found.append(codes.round().clip(low, high))
    for size in (1, 2, 16, 64, 255, 256, 511, 512, 513, 1023, 1024, 4095, 4096):
        found.append(np.full((1, size), high - size % 7))
        one_large = np.full((1, size), low)
        one_large[0, size // 2] = high
        found.append(one_large)
    found.append(np.linspace(low, high, 600).round()[None])
    found.append(rng.integers(low, high + 1, (1, 4096)))
    found.append(rng.integers(high - 3, high + 1, (1, 4096)))
    found.append(rng.integers(low, low + 2, (2, 400)))
    return [codes.astype(f"int{bits}") for codes in found]


PROGRAM = """
static int32_t status;
%(spaces)s
%(parts)s
int main(void)
{
%(calls)s
    return status != 0;
}
"""

SPACES = """
static int%(bits)d_t space_%(bits)d[2][4096 + 64] __attribute__((aligned(16)));
static void wipe_%(bits)d(void)
{
    for (int32_t i = 0; i < 4096 + 64; ++i) { space_%(bits)d[0][i] = space_%(bits)d[1][i] = GUARD; }
}
/* Copies codes to a place in the first space, with guards in all others. */
static int%(bits)d_t *given_%(bits)d(const int%(bits)d_t *codes, int32_t count, int32_t shift)
{
    wipe_%(bits)d();
    for (int32_t i = 0; i < count; ++i) { space_%(bits)d[0][MARGIN + shift + i] = codes[i]; }
    return space_%(bits)d[0] + MARGIN + shift;
}
static void send_%(bits)d(int32_t space, int32_t shift, int32_t count)
{
    const int32_t sent = MARGIN + shift + count + MARGIN;
    embact_bare_write(space_%(bits)d[space], (uint32_t)sent * %(bits)du / 8u);
}
"""


def constants(kind, name, values):
    return f"static const {kind} {name}[] = {{{', '.join(map(str, values))}}};"


def softmax_calls(lines):
    """The calls of all rows in all forms; the constants that they need are added to the lines."""
    calls, number = [], 0
    for bits in (8, 16):
        places, pool = [], []
        for codes in rows_of(bits):
            places.append((len(pool), codes))
            pool += codes.ravel().tolist()
        lines.append(constants(f"int{bits}_t", f"rows_{bits}", pool))
        for form, scale in [(form, scale) for form in FORMS for scale in SCALES[bits]]:
            in_bits, out_bits, mode, log = FORMS[form]
            if in_bits != bits:
                continue
            asked = Softmax(scale, 1.0, in_bits, out_bits, mode, log)
            words = [str(word) for word in asked.factor] if asked.has_factor else []
            name = f"{form}_{SCALES[bits].index(scale)}"
            for table in asked.tables:
                lines.append(constants(table.ctype, f"{table.name}_{name}", table.values))
                words.append(f"{table.name}_{name}")
                if table.ctype != "int16_t" and table.name != "fine":
                    words.append(str(len(table.values)))
            for first, codes in places:
                number += 1
                shift, in_place = number % 4, in_bits == out_bits and number % 5 < 2
                count = f"{codes.shape[0]}, {codes.shape[1]}"
                space = f"space_{out_bits}[{0 if in_place else 1}] + {MARGIN + shift}"
                calls.append(
                    Call(
                        f"const int{bits}_t *in = given_{bits}(rows_{bits} + {first}, "
                        f"{codes.size}, {shift}); "
                        f"{f'wipe_{out_bits}(); ' if in_bits != out_bits else ''}"
                        f"status |= {asked.function}(in, {count}, "
                        f"{', '.join(words)}, {space}); "
                        f"send_{out_bits}({0 if in_place else 1}, {shift}, {codes.size});",
                        shift,
                        asked(codes).astype(f"int{out_bits}"),
                    )
                )
    return calls


def glu_calls(lines):
    """The same of gated units: every factor, rows of many lengths, packed halves, in place."""
    rng = np.random.default_rng(9)
    calls, number = [], 0
    for bits in (8, 16):
        half = 1 << (bits - 1)
        pools = [rng.integers(-half, half, 4096) for _ in range(2)]
        pools[0][:256], pools[1][:256] = -half, half - 1
        pools[1][:128] = -half
        gates = rng.integers(-32768, 32768, 256)
        gates[:9], gates[100:110] = -32768, 32767
        gates[128:160] >>= np.arange(32) % 16
        gates[40:80], pools[1][256:400] = 16384, 16384 if bits == 16 else -60  # ties
        lines += [constants(f"int{bits}_t", f"pool_{i}_{bits}", pools[i]) for i in (0, 1)]
        if bits == 8:
            lines.append(constants("int16_t", "gates_8", gates))
        for factor in FACTORS:
            for rows, channels in ((1, 1), (1, 7), (2, 8), (3, 9), (1, 600), (5, 17), (2, 64)):
                number += 1
                shift, in_place = number % 4, number % 3 == 0
                offsets = [(-half, half - 1), (0, 0), (3, -5), (half - 1, -half)][number % 4]
                grids = Grids(
                    Grid(1.0, offsets[0], bits), Grid(1.0, 0, bits), Grid(1.0, offsets[1], bits)
                )
                strides = channels + number % 2, channels + number % 5
                first = number * 37 % 700 if number % 6 else 0
                operands = [
                    np.stack([pool[first + row * stride :][:channels] for row in range(rows)])
                    for pool, stride in zip(pools, strides, strict=True)
                ]
                gate = gates[operands[1] + 128] if bits == 8 else operands[1]
                taken = rows * max(strides)
                space = f"space_{bits}[{0 if in_place else 1}] + {MARGIN + shift}"
                table = "gates_8, " if bits == 8 else ""
                expected = glu(operands[0], gate, grids, factor).astype(f"int{bits}")
                if in_place:  # what is behind the output are codes of a, not guards
                    strides_a = np.array(pools[0][first : first + taken]).astype(f"int{bits}")
                    strides_a[: expected.size] = expected.ravel()
                    expected = strides_a
                calls.append(
                    Call(
                        f"const int{bits}_t *in = given_{bits}(pool_0_{bits} + {first}, {taken}, "
                        f"{shift}); status |= embact_glu_s{bits}(in, {-offsets[0]}, {strides[0]}, "
                        f"pool_1_{bits} + {first}, {strides[1]}, {table}{space}, {offsets[1]}, "
                        f"{factor.multiplier}, {factor.shift}, {rows}, {channels}); "
                        f"send_{bits}({0 if in_place else 1}, {shift}, {expected.size});",
                        shift,
                        expected,
                    )
                )
    return calls


def program():
    """The C that makes all calls and sends every output between its guards, and the calls."""
    lines = ["#include <stdint.h>", '#include "embact_bare.h"', '#include "embact_nn.h"']
    lines += [f"#define GUARD {GUARD}", f"#define MARGIN {MARGIN}"]
    calls = softmax_calls(lines) + glu_calls(lines)
    parts = [calls[start : start + 40] for start in range(0, len(calls), 40)]
    bodies = [
        f"static void part_{number}(void)\n{{\n"
        + "\n".join(f"    {{ {call.c} }}" for call in part)
        + "\n}"
        for number, part in enumerate(parts)
    ]
    words = {
        "spaces": "".join(SPACES % {"bits": bits} for bits in (8, 16)),
        "parts": "\n".join(bodies),
        "calls": "\n".join(f"    part_{number}();" for number in range(len(parts))),
    }
    return "\n".join(lines) + PROGRAM % words, calls


@pytest.fixture(scope="module")
def prepared():
    """The program and its calls."""
    return program()


def wrong_on_core(prepared, core, optimise="-O2", *, kind="gcc", edit=("", ""), target=None):
    """The first call whose bytes are not as expected, or None; edit: of the library's text."""
    text, calls = prepared
    names = [name for name in library_files() if name.endswith(".c")]
    names = [name[:-2] for name in names if "softmax" in name or "glu" in name]
    files = library_files([name for name in names if name != "embact_softmax_table_s8"], target)
    edited = {name: file.replace(*edit) for name, file in files.items()}
    assert edit == ("", "") or edited != files
    sources = {**edited, "program.c": text}
    compiler = cross_compiler(core, kind)
    outcome = run_image(link(core, sources, optimise=optimise, compiler=compiler))
    assert outcome.status == 0
    place = 0
    for call in calls:
        expected = call.written()
        if outcome.written[place : place + len(expected)] != expected:
            return call.c
        place += len(expected)
    assert place == len(outcome.written)
    return None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("core", "optimise", "kind"),
    [
        *((core, "-O2", "gcc") for core in CORES),
        *((core, "-Os", "gcc") for core in UNLIKE),
        ("cortex-m4", "-O2", "zig"),  # it takes minutes for some of the others
    ],
)
def test_rows_equal_their_twins_on_every_core_and_touch_nothing_beside(
    prepared, core, optimise, kind
):
    assert wrong_on_core(prepared, CORES[core], optimise, kind=kind) is None


@pytest.mark.slow
@pytest.mark.parametrize("core", UNLIKE)
def test_what_a_target_leaves_of_the_files_gives_the_same_rows(prepared, core):
    assert wrong_on_core(prepared, CORES[core], kind="gcc", target=CORES[core]) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("core", "edit"),
    [
        ("cortex-m0plus", ("entry_high * high +", "entry_high * (high + 4) +")),
        ("cortex-m0plus", ("digit < 31", "digit < 30")),
        ("cortex-m3", ("(1u << 11)", "(1u << 10)")),
        ("cortex-m4", ("usat %0, #15", "usat %0, #14")),
        ("cortex-m4", ("ssub8 %0, %1, %2", "ssub8 %0, %2, %1")),
        ("cortex-m4", ("(((uint32_t)2 << odd) - 1)) != 0", "(((uint32_t)2 << odd) - 1)) < ~0u")),
        ("cortex-m55", ("vaddva.u32 %[sum], q1", "vaddva.u32 %[sum], q0")),
        ("cortex-m55", ("vctp16q((uint32_t)size)", "vctp16q(8)")),
        ("cortex-m55", ("dlstp.32 lr, %[size]", "dls lr, %[size]")),
    ],
)
def test_an_error_in_a_row_on_one_core_would_be_noticed(prepared, core, edit):
    """Negative control: a rounding, a tie, a maximum, what is beyond the end of a row."""
    try:
        found = wrong_on_core(prepared, CORES[core], kind="gcc", edit=edit)
    except CheckFailed as error:  # a core that faults or does not end
        found = str(error)
    assert found is not None
