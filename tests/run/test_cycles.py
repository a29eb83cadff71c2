"""The model of cycles against sums by hand from Arm's tables."""

import struct

import pytest

from embact.cores import CORES
from embact.run.cross import link
from embact.run.cycles import modelled_cycles
from embact.run.emulator import run_image
from embact.run.thumb import decode


def cycles(lines, core, tools_for, clobbered=("r0", "r1", "r2", "r3")):
    compiler, emulator = tools_for(CORES[core], "gcc")
    registers = "".join(f'"{name}", ' for name in clobbered)
    text = "".join(f'"{line}\\n\\t"\n' for line in [".syntax unified", *lines])
    source = (
        '#include "embact_bare.h"\nstatic int32_t words[16];\nint main(void)\n{\n'
        "embact_bare_begin();\n"
        f'__asm__ volatile({text}:: "r"(words) : {registers}"cc", "memory");\n'
        "embact_bare_end();\nreturn words[0];\n}\n"
    )
    image = link(CORES[core], {"main.c": source}, compiler=compiler)
    (trace,) = run_image(image, traced=True, emulator=emulator).traces
    # before, the address of the array is loaded by one instruction of 2 cycles
    total = modelled_cycles(image, trace)
    return None if total is None else total - 2


THREE = ["cortex-m0plus", "cortex-m3", "cortex-m4"]
SUMS = {
    # two one-cycle instructions
    "moves": (["movs r0, #1", "adds r0, r0, #2"], (2, 2, 2)),
    # per turn: subs 1, bne taken 1 + refill (1, 2, 2), the last not taken 1
    "loop of five": (
        ["movs r0, #5", "1: subs r0, #1", "bne 1b"],
        (1 + 5 + 4 * 2 + 1, 1 + 5 + 4 * 3 + 1, 1 + 5 + 4 * 3 + 1),
    ),
    # two independent loads: 2 + 2, on the larger cores the second hides a cycle
    "two loads": (["mov r3, %0", "nop", "ldr r0, [r3]", "ldr r1, [r3, #4]"], (6, 5, 5)),
    # the second load's address comes from the first: nothing is hidden
    "a chain of loads": (
        ["mov r3, %0", "nop", "ldr r0, [r3]", "ldr r0, [r3, r0]"],
        (6, 6, 6),
    ),
    # an address computed just before costs a cycle on the larger cores
    "address just computed": (["mov r3, %0", "ldr r0, [r3]"], (3, 4, 4)),
    # stores: 2 on the smallest, else 1 with a constant offset
    "a store": (["mov r3, %0", "movs r0, #0", "str r0, [r3]"], (4, 3, 3)),
    # 1 + number of registers, for each of the two
    "push and pop": (["push {r0-r2}", "pop {r0-r2}"], (8, 8, 8)),
    "product": (["movs r0, #3", "muls r0, r0, r0"], (2, 2, 2)),
}


@pytest.mark.parametrize("number", range(3), ids=THREE)
@pytest.mark.parametrize("case", SUMS)
def test_a_sequence_takes_the_sum_of_the_tables(case, number, tools_for):
    lines, sums = SUMS[case]
    assert cycles(lines, THREE[number], tools_for) == sums[number]


@pytest.mark.parametrize(("core", "total"), [("cortex-m3", 2 + 2 + 5 + 12), ("cortex-m4", 2 + 15)])
def test_what_depends_on_operands_takes_the_longest(core, total, tools_for):
    lines = [
        *("movs r0, #3", "movs r1, #2", "mla r2, r0, r1, r0", "smull r2, r3, r0, r1"),
        *("udiv r2, r0, r1",),
    ]
    expected = total if core == "cortex-m3" else 2 + 1 + 1 + 12
    assert cycles(lines, core, tools_for) == expected


def test_vector_instructions_of_words_are_in_the_table_of_one_core_only(tools_for):
    assert cycles(["movs r0, #3", "sadd8 r0, r0, r0"], "cortex-m4", tools_for) == 2


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m33", "cortex-m55"])
def test_a_core_without_published_timings_has_no_model(core, tools_for):
    assert cycles(["movs r0, #1"], core, tools_for) is None


@pytest.mark.parametrize(
    ("halfwords", "name", "text"),
    [
        ((0xF811, 0x3B01), "ldrb", "ldrb r3, [r1], #1"),
        ((0x1A41,), "sub", "subs r1, r0, r1"),
        ((0xD1FE,), "b", "bne #0"),
        ((0xFB00, 0x1312), "mls", "mls r3, r0, r2, r1"),
        ((0xBF18,), "it", "it ne"),
    ],
)
def test_a_name_is_without_width_condition_and_flags(halfwords, name, text):
    pytest.importorskip("capstone")
    found = decode(struct.pack(f"<{len(halfwords)}H", *halfwords))
    assert (found.name, found.text) == (name, text)
