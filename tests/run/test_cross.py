"""Programs for cores: every compiler at hand makes them for the right core, once."""

import json
import shutil
import sys

import pytest

from embact.cores import CORES, HOST
from embact.errors import EmbactError
from embact.run import cross
from embact.run.cross import cross_compiler, link
from embact.run.elf import place, segments, symbol_table
from embact.run.emulator import run_image
from embact.run.machine import MACHINES, machine_of
from embact.run.toolchain import ToolMissing
from embact.sources import c_source

TIERS = {"cortex-m0plus": 1, "cortex-m3": 2, "cortex-m4": 3, "cortex-m7": 3, "cortex-m33": 3}
TIERS["cortex-m55"] = 4

PROGRAM = """#include "embact_bare.h"
#include "embact_tiers.h"
volatile int32_t a = 1000;
volatile int64_t b = 3000000000;
static uint8_t zeroed[256];
int main(void)
{
    const int32_t sent[4] = {EMBACT_TIER, a / 7, (int32_t)(b / 7), (int32_t)(b * b >> 40)};
    embact_bare_write(sent, sizeof sent);
    embact_bare_write(sent, 0);
    embact_bare_write(zeroed, sizeof zeroed);
    return 3;
}
"""
SOURCES = {"main.c": PROGRAM, "embact_tiers.h": c_source("embact_tiers.h")}


@pytest.mark.parametrize("kind", ["gcc", "zig"])
@pytest.mark.parametrize("core", CORES)
def test_a_program_is_of_its_core_and_has_the_compilers_helpers(core, kind, tools_for):
    compiler, emulator = tools_for(CORES[core], kind)
    image = link(CORES[core], SOURCES, compiler=compiler)
    seen = run_image(image, emulator=emulator)
    numbers = [int.from_bytes(seen.written[i : i + 4], "little") for i in range(0, 16, 4)]
    assert numbers == [TIERS[core], 1000 // 7, 3000000000 // 7, 3000000000**2 >> 40]
    assert seen.written[16:] == bytes(256)
    assert seen.status == 3


@pytest.mark.parametrize("core", CORES)
def test_a_program_lies_in_its_machines_memory_and_its_stack_below_its_variables(core, tools_for):
    compiler, _ = tools_for(CORES[core])
    image = link(CORES[core], SOURCES, compiler=compiler)
    machine = machine_of(CORES[core])
    memories = (machine.vectors, machine.code, machine.ram)
    for segment in segments(image.elf):
        assert any(
            m.start <= segment.address and segment.address + segment.size <= m.start + m.size
            for m in memories
        )
    assert image.symbols["a"] >= image.symbols["embact_bare_stack_top"] > machine.ram.start
    main = next(s for s in symbol_table(image.elf) if s.name == "main")
    assert image.symbols["main"] == main.address
    assert place(image.elf, main.address + 2).endswith(" in main + 2")


def test_the_same_program_is_built_once_and_a_damaged_one_again(tools_for, monkeypatch, cache):
    core = CORES["cortex-m4"]
    compiler, _ = tools_for(core)
    sources = {"main.c": "int main(void);\nint main(void)\n{\n    return 5;\n}\n"}
    first = link(core, sources, compiler=compiler)
    built = []
    real = cross._build
    monkeypatch.setattr(cross, "_build", lambda *given: built.append(1) or real(*given))
    assert link(core, sources, compiler=compiler) == first
    assert built == []
    (path,) = [p for p in (cache / "cores").glob("*.elf") if p.read_bytes() == first.elf]
    path.write_bytes(first.elf[:-1])
    assert link(core, sources, compiler=compiler) == first
    assert built == [1]
    for change in ({"optimise": "-Os"}, {"flags": ("-DX=1",)}):
        link(core, sources, compiler=compiler, **change)
    assert built == [1, 1, 1]


def test_what_cannot_be_built_says_why(tools_for, refuses):
    core = CORES["cortex-m4"]
    compiler, _ = tools_for(core, "gcc")
    main = "int main(void);\nint main(void)\n{\n    return 0;\n}\n"
    with refuses("C compiler for cortex-m4 failed", "error"):
        link(core, {"main.c": "int main(void) { return x; }\n"}, compiler=compiler)
    with refuses("linker for cortex-m4 failed"):
        link(core, {"other.c": "extern int a;\nint a = 1;\n"}, compiler=compiler)
    with refuses("linker for cortex-m4 failed"):
        large = f"extern const char t[5000000];\nconst char t[5000000] = {{1}};\n{main}"
        link(core, {"main.c": large}, compiler=compiler)
    with refuses("name of a source file", "embact_bare.c"):
        link(core, {"embact_bare.c": main}, compiler=compiler)


def test_compilers_are_looked_for_in_order(monkeypatch):
    core = CORES["cortex-m4"]
    at_hand = {"arm-none-eabi-gcc": "/x/gcc", "clang": "/x/clang", "ld.lld": "/x/ld.lld"}
    monkeypatch.delenv("EMBACT_ARM_CC", raising=False)
    monkeypatch.setattr(cross.shutil, "which", at_hand.get)
    monkeypatch.setattr(cross, "_version", lambda command: "1.0")
    monkeypatch.setattr(cross, "_has_target", lambda clang: True)
    assert cross_compiler(core).command == ("/x/gcc",)
    del at_hand["arm-none-eabi-gcc"]
    assert cross_compiler(core).command == ("/x/clang",)
    assert "--target=arm-none-eabi" in cross_compiler(core).target(core)
    monkeypatch.setattr(cross, "_has_target", lambda clang: False)
    assert cross_compiler(core).kind == "zig"
    assert cross_compiler(core).command[0] == sys.executable
    monkeypatch.setattr(cross.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match="gcc-arm-none-eabi"):
        cross_compiler(core)
    with pytest.raises(ToolMissing, match="no gcc for cortex-m4"):
        cross_compiler(core, "gcc")


def test_a_chosen_compiler_is_used_or_an_error(monkeypatch, refuses):
    core = CORES["cortex-m4"]
    for text in ("no-such-compiler -x", "'open"):
        monkeypatch.setenv("EMBACT_ARM_CC", text)
        with refuses("$EMBACT_ARM_CC", "not on PATH"):
            cross_compiler(core)
    monkeypatch.setenv("EMBACT_ARM_CC", f"{sys.executable} -m ziglang cc")
    assert cross_compiler(core).kind == "zig"
    if program := shutil.which("arm-none-eabi-gcc"):
        monkeypatch.setenv("EMBACT_ARM_CC", "arm-none-eabi-gcc -g")
        assert cross_compiler(core).command == (program, "-g")
        assert cross_compiler(core).kind == "gcc"


def test_only_cores_with_a_machine_have_programs(refuses):
    assert MACHINES.keys() == CORES.keys()
    with refuses("unknown emulated core", "host"):
        cross_compiler(HOST)
    with refuses("unknown kind of compiler", "gcc"):
        cross_compiler(CORES["cortex-m4"], "gc")


def test_the_cache_key_is_of_plain_data(tools_for):
    compiler, _ = tools_for(CORES["cortex-m4"])
    json.dumps([compiler.target(CORES["cortex-m4"]), compiler.linking()])


def test_a_file_that_is_no_program_is_refused():
    with pytest.raises(EmbactError, match="not an ELF file"):
        symbol_table(b"not an ELF file")
