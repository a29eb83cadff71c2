"""What is counted is what is executed, and what is wrong is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from embact.bench.measure import count, difference, measure, version_of
from embact.bench.subject import Case, elementwise, uniform_codes
from embact.errors import CheckFailed

KNOWN = """\
#include <stdint.h>
static inline void known(const int8_t *input, int8_t *output, int32_t size)
{
    int32_t value; /* 200 instructions for each call, then 6 for each element */
    __asm__ volatile(".syntax unified\\n"
                     ".rept 200\\n nop\\n .endr\\n"
                     "1: ldrb %3, [%0]\\n strb %3, [%1]\\n"
                     "adds %0, %0, #1\\n adds %1, %1, #1\\n"
                     "subs %2, %2, #1\\n bne 1b\\n"
                     : "+l"(input), "+l"(output), "+l"(size), "=&l"(value)
                     :
                     : "cc", "memory");
}
"""

STATEFUL = """\
#include <stdint.h>
static const int16_t known_table[100] = {1, 2, 3};
static int32_t known_state[5];
static void __attribute__((noinline)) known_deep(volatile int32_t *words, int32_t size)
{
    volatile int32_t deep[64];
    for (int32_t i = 0; i < 64; ++i) {
        deep[i] = i;
    }
    words[0] = deep[size & 63];
}
static inline void known(const int8_t *input, int8_t *output, int32_t size)
{
    known_deep(known_state, size);
    for (int32_t i = 0; i < size; ++i) {
        output[i] = input[i];
        known_state[1 + (i & 3)] += known_table[i % 100];
    }
}
"""


def subject(text, name="known", definition=lambda codes: codes):
    call = "known(input, output, size)"
    return elementwise(
        name, {"known.h": text}, "known.h", call, widths=(8, 8), definition=definition
    )


def test_a_loop_of_six_instructions_costs_six_for_an_element(core):
    (found,) = measure([subject(KNOWN)], core).measured
    assert found.instructions == 6.0
    assert 200 <= found.call_instructions < 220
    assert found.cycles is None


@pytest.mark.parametrize("kind", ["gcc", "zig"])
def test_the_count_of_assembly_does_not_depend_on_the_compiler(core, kind):
    assert count([subject(KNOWN)], core, kind) == {"known": 6.0}


def test_one_instruction_more_is_seen(core):
    longer = KNOWN.replace("bne 1b", "nop\\n bne 1b")
    assert count([subject(longer)], core) == {"known": 7.0}


def test_bytes_are_those_of_the_row_alone(core):
    rows = [subject(KNOWN), dataclasses.replace(subject(STATEFUL, "other"), include="other.h")]
    rows[1] = dataclasses.replace(rows[1], files={"other.h": STATEFUL})
    known, other = measure(rows, core).measured
    assert (known.table_bytes, known.ram_bytes) == (0, 0)
    assert known.stack_bytes <= 16
    assert 400 < known.code_bytes < 450  # 200 no-operations of 2 bytes and the loop
    assert (other.table_bytes, other.ram_bytes) == (200, 20)
    assert 256 < other.stack_bytes < 320


def test_every_output_is_compared(core):
    off = subject(KNOWN, definition=lambda codes: codes + (codes == 77))
    run = measure(
        [subject(KNOWN, "right"), dataclasses.replace(off, files={"known.h": KNOWN})], core
    )
    assert run.wrong == {"known": "input 77: 77 instead of 78; 8 of 2048 outputs differ"}
    assert run.outputs_checked == {"right": 2048 + 256, "known": 2048 + 256}
    with pytest.raises(CheckFailed, match="known on cortex-m4: got input 77"):
        count([off], core)


def test_an_error_outside_what_is_counted_is_seen_too(core):
    row = subject(KNOWN)
    every = dataclasses.replace(row.every, expected=row.every.expected + (row.every.codes == -128))
    run = measure([dataclasses.replace(row, every=every)], core)
    assert run.wrong == {"known": "input -128: -128 instead of -127; 1 of 256 outputs differ"}


def test_a_difference_is_named():
    case = Case(np.array([1, 2, 3]), np.array([4, 5, 6]))
    assert difference(case, np.array([4, 5, 6])) == ""
    assert difference(case, np.array([4, 0, 0])).startswith("input 2: 0 instead of 5; 2 of 3")


@pytest.mark.parametrize("bits", [8, 16])
def test_codes_are_spread_evenly_over_all(bits):
    codes = uniform_codes(bits)
    assert codes.size == 2048
    for half in codes.reshape(2, -1):
        counts = np.bincount((half + (1 << (bits - 1))) >> (bits - 8), minlength=256)
        assert set(counts) == {4}
        assert (np.diff(half) < 0).any()


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("arm-none-eabi-gcc (15:12.2.rel1-1) 12.2.1 20221205\nmore", "arm-none-eabi-gcc 12.2.1"),
        ("clang version 22.1.8", "clang 22.1.8"),
        ("Debian clang version 14.0.6\nTarget: x", "clang 14.0.6"),
        ("", "compiler"),
    ],
)
def test_the_version_of_a_compiler_is_read(said, version):
    assert version_of(said) == version


EMPTY = """\
#include <stdint.h>
static inline void known(const int8_t *input, int8_t *output, int32_t size)
{
    (void)input;
    (void)output;
    (void)size;
}
"""

HALF = """\
#include <stdint.h>
static inline void half(const int8_t *input, int8_t *output, int32_t size)
{
    for (int32_t i = size > 1024 ? 1024 : 0; i < size; ++i) {
        output[i] = input[i];
    }
}
"""


def test_outputs_of_another_row_or_run_do_not_count(core):
    rows = [
        elementwise(
            name,
            {f"{name}.h": text},
            f"{name}.h",
            f"{call}(input, output, size)",
            widths=(8, 8),
            definition=lambda codes: codes,
        )
        for name, text, call in (
            ("right", KNOWN, "known"),
            ("empty", EMPTY, "known"),
            ("half", HALF, "half"),
        )
    ]
    assert set(measure(rows, core).wrong) == {"empty", "half"}
