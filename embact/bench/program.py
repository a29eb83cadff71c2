"""The C of a benchmark: a file for each row, and two programs that call them.

``counted`` runs each row at both sizes between the marks that count instructions; ``checked`` runs
it on everything and sees how deep its stack gets. Both write the outputs to the host. This module
must not know compilers or emulators.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from embact.errors import EmbactError
from embact.grid import all_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.bench.subject import Case, Subject
    from embact.grid import Codes

MAIN = "embact_bench_main.c"


FILLS = (0x55, 0xAA)
"""Bytes that the outputs hold before a run, so that none is left of another one."""


PAINTED = 4096
"""Bytes of stack that are looked at: what is measured uses fewer."""


def entry(number: int) -> str:
    """Return the name of a row's function."""
    return f"embact_bench_row_{number}"


def row_file(number: int) -> str:
    """Return the name of the C file that holds a row's function and nothing of other rows."""
    return f"{entry(number)}.c"


def _signature(number: int, subject: Subject) -> str:
    return (
        f"void {entry(number)}(const int{subject.in_bits}_t *input, "
        f"int{subject.out_bits}_t *output, int32_t size)"
    )


def row_sources(subjects: Sequence[Subject]) -> dict[str, str]:
    """Return what both programs have in common, by file name.

    Raises EmbactError where two rows have files of one name and other texts.
    """
    files: dict[str, str] = {}
    for number, subject in enumerate(subjects):
        for name, text in subject.files.items():
            if files.setdefault(name, text) != text:
                raise EmbactError("two files of one name", got=name, where=subject.name)
        signature = _signature(number, subject)
        files[row_file(number)] = (
            f'/* {subject.name} */\n#include "{subject.include}"\n\n{signature};\n\n'
            f"{signature}\n{{\n    (void){subject.call};\n}}\n"
        )
    return files


def counted(subjects: Sequence[Subject]) -> str:
    """Return the program that runs each row at its two sizes and writes the second's outputs.

    Its marks enclose first the smaller, then the larger run, row by row.
    """
    steps, functions = [], []
    for number, subject in enumerate(subjects):
        functions.append(RUN.format(number, _call(number, subject.counted, subject)))
        for size in subject.sizes:
            steps += [f"amount = {size};", f"fill({FILLS[0]}u);", f"run_{number}();"]
        steps.append(_written(subject, subject.counted))
    cases = [one.counted for one in subjects]
    return _program(subjects, cases, steps, AMOUNT + "".join(functions))


AMOUNT = """
/* Volatile, so that what is between the marks is the same code at both sizes. */
static volatile int32_t amount;
"""

RUN = """
static __attribute__((noinline)) void run_{0}(void)
{{
    const int32_t size = amount;
    embact_bare_begin();
    {1}, size);
    embact_bare_end();
}}
"""


def checked(subjects: Sequence[Subject]) -> str:
    """Return the program that runs each row on everything and writes the outputs.

    It does so once for each of FILLS, of which one differs from whatever is expected. After a row's
    outputs it writes the bytes of stack that were used, as one uint32.
    """
    steps = []
    for number, subject in enumerate(subjects):
        if _is_all(subject.every.codes):
            steps.append("all_codes();")
        call = f"{_call(number, subject.every, subject)}, {subject.every_size});"
        for value in FILLS:
            steps += [f"fill({value}u);", "paint();", call, "used = depth();"]
            steps += [_written(subject, subject.every), "embact_bare_write(&used, 4u);"]
    cases = [one.every for one in subjects]
    made = MAKER if any(_is_all(case.codes) for case in cases) else ""
    look = f"\n/* Bytes below main's frame that are looked at. */\n#define PAINTED {PAINTED}u\n"
    return _program(subjects, cases, steps, made + look + PAINTER)


def _is_all(codes: Codes) -> bool:
    """Return whether these are all int16 codes in ascending order, which the program can make."""
    return codes.size == 1 << 16 and bool(np.array_equal(codes, all_codes(16)))


def _call(number: int, case: Case, subject: Subject) -> str:
    source = "every_code" if _is_all(case.codes) else f"codes_{number}"
    return f"{entry(number)}({source}, target.s{subject.out_bits}"


def _written(subject: Subject, case: Case) -> str:
    return f"embact_bare_write(&target, {case.expected.size * subject.out_bits // 8}u);"


def _program(
    subjects: Sequence[Subject], cases: Sequence[Case], steps: Sequence[str], functions: str
) -> str:
    """Return a program: prototypes, codes, a buffer for the largest output, functions, steps."""
    most = max(case.expected.size for case in cases)
    prototypes = "\n".join(f"{_signature(i, one)};" for i, one in enumerate(subjects))
    arrays: dict[tuple[int, bytes], str] = {}
    codes = []
    for number, (subject, case) in enumerate(zip(subjects, cases, strict=True)):
        if _is_all(case.codes):
            continue
        key = (subject.in_bits, case.codes.tobytes())
        if (known := arrays.setdefault(key, f"codes_{number}")) != f"codes_{number}":
            codes.append(f"#define codes_{number} {known}\n")
            continue
        values = textwrap.fill(", ".join(map(str, case.codes.tolist())), 96)
        codes.append(
            f"static const int{subject.in_bits}_t codes_{number}[{case.codes.size}]"
            f" __attribute__((aligned(16))) = {{\n{values}}};\n"
        )
    body = "\n".join(f"    {step}" for step in steps)
    return (
        f'#include "embact_bare.h"\n\n{prototypes}\n\n{"".join(codes)}\n'
        f"static union {{\n    int8_t s8[{most}];\n    int16_t s16[{most}];\n}} target"
        f" __attribute__((aligned(16)));\n{FILLER}{functions}\n"
        f"int main(void)\n{{\n{body}\n    return 0;\n}}\n"
    )


FILLER = """
static void fill(uint32_t value)
{
    for (uint32_t i = 0; i < sizeof target; ++i) {
        ((volatile uint8_t *)&target)[i] = (uint8_t)value;
    }
}
"""

MAKER = """
static int16_t every_code[65536] __attribute__((aligned(16)));

static void all_codes(void)
{
    for (int32_t i = 0; i < 65536; ++i) {
        every_code[i] = (int16_t)(i - 32768);
    }
}
"""


PAINTER = """
#define COLOUR 0xC5A3965Au

static uint32_t top, used;

/* Fills the stack below main; inlined, so that it and what is measured begin at one place. */
__attribute__((always_inline)) static inline void paint(void)
{
    __asm__ volatile("mov %0, sp" : "=r"(top));
    for (uint32_t at = top - PAINTED; at < top; at += 4u) {
        *(volatile uint32_t *)at = COLOUR;
    }
}

/* The bytes from the lowest word that has changed. */
__attribute__((always_inline)) static inline uint32_t depth(void)
{
    uint32_t at = top - PAINTED;
    while (at < top && *(volatile uint32_t *)at == COLOUR) {
        at += 4u;
    }
    return top - at;
}
"""


def outputs(written: bytes, sizes: Sequence[tuple[int, int]]) -> list[Codes]:
    """Return what a program wrote, split: sizes are how many integers of how many bits.

    Raises EmbactError if that is not what was written.
    """
    expected = sum(count * bits // 8 for count, bits in sizes)
    if len(written) != expected:
        raise EmbactError(
            "bytes from the program", got=len(written), allowed=f"{expected} if it ran to its end"
        )
    found, at = [], 0
    for count, bits in sizes:
        end = at + count * bits // 8
        found.append(np.frombuffer(written[at:end], dtype=f"<i{bits // 8}").astype(np.int64))
        at = end
    return found
