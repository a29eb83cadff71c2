"""Programs on emulated cores: exact counts, one result on both emulators, and named failures."""

import time

import pytest

from embact.cores import CORES
from embact.errors import CheckFailed, EmbactError
from embact.run import emulator as emulators
from embact.run.cross import link
from embact.run.emulator import run_image
from embact.run.toolchain import ToolMissing

EMULATORS = ("qemu", "unicorn")
ALL, MAINLINE, HELIUM = list(CORES), list(CORES)[1:], ["cortex-m55"]


def program(body, before=""):
    return f'#include "embact_bare.h"\n{before}\nint main(void)\n{{\n{body}\n}}\n'


def counted(parts, clobbered):
    """A program that counts each list of instructions for itself."""
    registers = "".join(f'"{name}", ' for name in clobbered)
    body = ""
    for lines in parts:
        text = "".join(f'"{line}\\n\\t"\n' for line in [".syntax unified", *lines])
        body += (
            "embact_bare_begin();\n"
            f'__asm__ volatile({text}::: {registers}"cc", "memory");\n'
            "embact_bare_end();\n"
        )
    return program(body + "return 0;")


LENGTHS = {
    "nothing": (ALL, [], 0),
    "in a row": (ALL, ["nop", "movs r0, #1", "adds r0, r0, #2", "nop"], 4),
    "a loop of ten": (ALL, ["movs r0, #10", "1: nop", "subs r0, #1", "bne 1b"], 1 + 10 * 3),
    "a branch over code": (ALL, ["b 2f", "nop", "nop", "2: nop"], 2),
    "a stack": (ALL, ["push {r0-r3}", "pop {r0-r3}"], 2),
    "both sides of a condition": (
        MAINLINE,
        ["movs r0, #0", "cmp r0, #1", "ite eq", "moveq r1, #1", "movne r1, #2"],
        5,
    ),
    "conditions that fail": (
        MAINLINE,
        ["movs r0, #0", "cmp r0, #1", "ittt eq", "addeq r1, #1", "ldreq r2, [r0]", "addeq r3, #1"],
        6,
    ),
    "failing conditions in a loop": (
        MAINLINE,
        ["movs r0, #7", "1: cmp r0, #3", "it eq", "moveq.w r1, #1", "subs r0, #1", "bne 1b"],
        1 + 7 * 5,
    ),
    "a loop without a counter's branch": (
        HELIUM,
        ["movs r0, #5", "dls lr, r0", "1: nop", "nop", "le lr, 1b"],
        2 + 5 * 3,
    ),
    "a loop with a predicated tail": (
        HELIUM,
        ["movs r0, #20", "wlstp.8 lr, r0, 2f", "1: vadd.i8 q0, q0, q0", "letp lr, 1b", "2: nop"],
        2 + 2 * 2 + 1,
    ),
}


@pytest.mark.parametrize("emulator", EMULATORS)
@pytest.mark.parametrize("core", CORES)
def test_the_count_of_known_instructions_is_their_number(core, emulator, tools_for):
    if core == "cortex-m55" and emulator == "unicorn":
        return  # refused, see below
    compiler, chosen = tools_for(CORES[core], "gcc", emulator)
    lengths = {case: length for case, (cores, _, length) in LENGTHS.items() if core in cores}
    clobbered = ["r0", "r1", "r2", "r3", *(["lr"] if core in HELIUM else [])]
    text = counted([LENGTHS[case][1] for case in lengths], clobbered)
    image = link(CORES[core], {"main.c": text}, compiler=compiler)
    traces = dict(zip(lengths, run_image(image, traced=True, emulator=chosen).traces, strict=True))
    assert {case: trace.instructions for case, trace in traces.items()} == lengths
    assert {case: sum(trace.executed.values()) for case, trace in traces.items()} == lengths
    assert {case: sum(trace.followed.values()) for case, trace in traces.items()} == lengths


WORK = program(
    """
    volatile uint32_t seed = 1;
    for (int32_t n = 0; n < 3; ++n) {
        embact_bare_begin();
        for (int32_t i = 0; i < 100 * n; ++i) {
            const uint32_t next = seed * UINT32_C(1664525) + UINT32_C(1013904223);
            seed = (next >> 16) % 7u < 3u ? next / 3u : next ^ (next >> 5);
        }
        embact_bare_end();
        const uint32_t sent = seed;
        embact_bare_write(&sent, sizeof sent);
    }
    return 42;"""
)


@pytest.mark.parametrize("kind", ["gcc", "zig"])
@pytest.mark.parametrize("core", [name for name in CORES if name != "cortex-m55"])
def test_both_emulators_see_the_same(core, kind, tools_for):
    outcomes = []
    for emulator in EMULATORS:
        compiler, chosen = tools_for(CORES[core], kind, emulator)
        image = link(CORES[core], {"main.c": WORK}, compiler=compiler)
        outcomes.append(run_image(image, traced=True, emulator=chosen))
        assert run_image(image, emulator=chosen).written == outcomes[-1].written
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].status == 42
    assert len(outcomes[0].written) == 12
    first, second, third = (trace.instructions for trace in outcomes[0].traces)
    assert first < 100 < second < third


WRONG = {
    "no instruction": ('__asm__ volatile("udf #0");', "undefined|hard fault|INSN_INVALID"),
    "no memory": ("*(volatile int32_t *)0xF0000000u = 1;", "bus fault|hard fault|UNMAPPED"),
    "supervisor call": ('__asm__ volatile("svc 0");', "supervisor call"),
    "hang": ('for (;;) {\n__asm__ volatile("");\n}', "did not end within 2 s"),
    "flood": (
        "static uint8_t x[65536];\nfor (;;) {\nembact_bare_write(x, sizeof x);\n}",
        "wrote more than",
    ),
}


@pytest.mark.parametrize("emulator", EMULATORS)
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m55"])
@pytest.mark.parametrize("case", WRONG)
def test_a_program_that_does_not_end_well_says_how(case, core, emulator, tools_for):
    if core == "cortex-m55" and emulator == "unicorn":
        return
    compiler, chosen = tools_for(CORES[core], "gcc", emulator)
    body, said = WRONG[case]
    flags = ("-Wno-error", "-w")
    image = link(CORES[core], {"main.c": program(body)}, flags=flags, compiler=compiler)
    started = time.monotonic()
    with pytest.raises(CheckFailed, match=said) as caught:
        run_image(image, timeout_s=2, emulator=chosen)
    assert core in str(caught.value)
    assert time.monotonic() - started < 20
    if case == "no instruction":
        assert "in main" in str(caught.value)


@pytest.mark.parametrize("emulator", EMULATORS)
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3"])
def test_an_unaligned_access_faults_where_the_core_has_none(core, emulator, tools_for):
    compiler, chosen = tools_for(CORES[core], "gcc", emulator)
    body = (
        "static uint32_t words[4];\nstatic volatile uintptr_t at;\nat = (uintptr_t)words + 1u;\n"
        "return (int)*(volatile uint32_t *)at;"
    )
    image = link(CORES[core], {"main.c": program(body)}, compiler=compiler)
    if core == "cortex-m3":
        assert run_image(image, emulator=chosen).status == 0
    else:
        with pytest.raises(CheckFailed, match=r"hard fault|unaligned"):
            run_image(image, emulator=chosen)


@pytest.mark.parametrize("emulator", EMULATORS)
def test_a_status_that_only_a_fault_has_is_refused(emulator, tools_for):
    compiler, chosen = tools_for(CORES["cortex-m4"], "gcc", emulator)
    for status in (0, 199):
        image = link(
            CORES["cortex-m4"], {"main.c": program(f"return {status};")}, compiler=compiler
        )
        assert run_image(image, emulator=chosen).status == status
    image = link(CORES["cortex-m4"], {"main.c": program("return 200;")}, compiler=compiler)
    with pytest.raises(CheckFailed, match="status 200"):
        run_image(image, emulator=chosen)


@pytest.mark.parametrize(
    ("version", "option"),
    [((7, 2, 0), "-singlestep"), ((8, 0, 5), "-singlestep"), ((8, 1, 0), "one-insn-per-tb=on")],
)
def test_each_version_of_qemu_is_told_to_count_in_its_words(version, option):
    from embact.run.emulator_qemu import counting_options

    assert option in " ".join(counting_options(version))


def test_what_is_missing_is_named(monkeypatch, refuses):
    monkeypatch.setattr(emulators.shutil, "which", lambda name: None)
    with refuses("no emulator of cortex-m55", "qemu-system-arm"):
        emulators.emulator(CORES["cortex-m55"])
    monkeypatch.setattr(emulators.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match="pip install"):
        emulators.emulator(CORES["cortex-m4"])
    with refuses("kind of emulator", "qemu, unicorn"):
        emulators.emulator(CORES["cortex-m4"], "renode")


def test_unicorn_without_helium_says_what_to_install(refuses):
    with refuses("no emulator of cortex-m55", "qemu-system-arm"):
        emulators.emulator(CORES["cortex-m55"], "unicorn")


@pytest.mark.parametrize("seconds", [0, -1, 86401, float("nan")])
def test_a_time_limit_has_bounds(seconds, tools_for):
    compiler, chosen = tools_for(CORES["cortex-m4"])
    image = link(CORES["cortex-m4"], {"main.c": program("return 0;")}, compiler=compiler)
    with pytest.raises(EmbactError, match="timeout in seconds"):
        run_image(image, timeout_s=seconds, emulator=chosen)
