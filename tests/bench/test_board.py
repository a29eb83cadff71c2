"""The program of a board's folder, on emulators: what it prints is read by ``read_results``."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess

import numpy as np
import pytest

from embact.bench.board import read_results
from embact.bench.board_folder import FIXED, board_files, crc
from embact.bench.rows import standard
from embact.bench.subject import Case, Subject, elementwise
from embact.cores import CORES
from embact.errors import CheckFailed
from embact.files import write_texts

COMPILER, EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"

LUT = """\
#include <stdint.h>
static const int8_t table[256] = {{{values}}};
static inline void look_up(const int8_t *input, int8_t *output, int32_t size) {{
    for (int32_t i = 0; i < size; ++i) {{
        output[i] = table[input[i] + 128];
    }}
}}
"""
HALVE = """\
#include <stdint.h>
void halve(const int16_t *input, int16_t *output, int32_t size);
"""
HALVE_C = """\
#include "halve.h"
void halve(const int16_t *input, int16_t *output, int32_t size) {
    for (int32_t i = 0; i < size; ++i) {
        output[i] = (int16_t)(input[i] / 2);
    }
}
"""
PAIRS = """\
#include <stdint.h>
static inline int32_t larger(const int8_t *input, int32_t pairs, int16_t *output) {
    for (int32_t i = 0; i < pairs; ++i) {
        const int8_t a = input[2 * i], b = input[2 * i + 1];
        output[2 * i] = a;
        output[2 * i + 1] = a > b ? a : b;
    }
    return 0;
}
"""


def look_up():
    values = np.random.default_rng(1).permutation(np.arange(-128, 128))
    text = LUT.format(values=", ".join(map(str, values.tolist())))
    return elementwise(
        "look-up, s8",
        {"row.h": text},
        "row.h",
        "look_up(input, output, size)",
        widths=(8, 8),
        definition=lambda codes: values[codes + 128],
    )


def halve():
    return elementwise(
        "halve_s16",
        {"halve.h": HALVE, "halve.c": HALVE_C},
        "halve.h",
        "halve(input, output, size)",
        widths=(16, 16),
        definition=lambda codes: np.trunc(codes / 2).astype(np.int64),
    )


def pairs():
    """Not a function of one code, two outputs for each unit, and a header called as another's."""
    codes = np.random.default_rng(2).integers(-128, 128, 128)
    a, b = codes[::2], codes[1::2]
    case = Case(codes, np.stack([a, np.maximum(a, b)], axis=1).ravel())
    return Subject(
        "pairs",
        {"row.h": PAIRS},
        "row.h",
        "larger(input, size, output)",
        8,
        16,
        counted=case,
        every=case,
        sizes=(32, 64),
        step=2,
    )


@pytest.fixture(scope="module")
def rows():
    return (look_up(), halve(), pairs())


@pytest.fixture
def needs(request):
    """Skip a test by the name of what is missing, or fail if that must not be."""

    def check(*programs):
        for program in programs:
            if shutil.which(program) is None:
                if request.config.getoption("--require-emulators"):
                    pytest.fail(f"{program} is missing")
                pytest.skip(f"{program} is missing")

    return check


def make(folder, *words):
    """What make says; its status is that of what it ran, or 2."""
    return subprocess.run(
        ["make", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )


def on_qemu(folder, tmp_path, *words):
    """The results file of `make run-qemu`, and whether it succeeded."""
    done = make(folder, "run-qemu", *words)
    results = tmp_path / "results.csv"
    results.write_text(done.stdout, "utf-8")
    assert "embact-end" in done.stdout, done.stderr
    return results, done.returncode == 0


@pytest.mark.parametrize("core", CORES.values(), ids=lambda core: core.name)
def test_the_folder_compiles_without_a_warning_and_every_row_is_right(core, rows, needs, tmp_path):
    needs(COMPILER, EMULATOR, "make")
    folder = tmp_path / "board"
    write_texts(folder, board_files(rows, core))
    done = make(folder, "all")
    assert (done.returncode, done.stderr) == (0, "")
    assert "-Werror" in done.stdout
    results, right = on_qemu(folder, tmp_path)
    assert right
    measured = read_results(results)
    assert [one.row for one in measured] == ["look-up, s8", "halve_s16", "pairs"]
    assert {one.core for one in measured} == {core.name}
    assert {one.cycles for one in measured} == {None}  # an emulator has none
    assert all(one.where.startswith("qemu mps") for one in measured)
    assert all("no cycle counter" in one.where for one in measured)
    assert all(re.match(r"gcc \d.* -O2$", one.compiler) for one in measured)


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES.values(), ids=lambda core: core.name)
def test_the_standard_rows_are_right(core, needs, tmp_path):
    needs(COMPILER, EMULATOR, "make")
    folder = tmp_path / "board"
    write_texts(folder, board_files(standard(), core))
    results, right = on_qemu(folder, tmp_path)
    assert right
    assert [one.row for one in read_results(results)] == [one.name for one in standard()]


@pytest.mark.parametrize("optimise", ["-O0", "-O3", "-Os"])
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m55"])
def test_other_optimisations_give_the_same(core, optimise, rows, needs, tmp_path):
    needs(COMPILER, EMULATOR, "make")
    folder = tmp_path / "board"
    write_texts(folder, board_files(rows, CORES[core]))
    results, right = on_qemu(folder, tmp_path, f"OPTIMISE={optimise}", "CACHES=1", "TABLES=ram")
    assert right
    assert all(one.compiler.endswith(optimise) for one in read_results(results))


MISTAKES = {
    "one entry of a table": ("rows/00_look_up__s8/row.h", "= {", "= {1 + "),
    "a write behind the outputs": ("library/halve.c", "i < size", "i < size + 1"),
    "one input of 65,536 that is not timed": (
        "library/halve.c",
        "input[i] / 2",
        "input[i] / 2 + (input[i] == @)",
    ),
    "an output that is left out": ("rows/02_pairs/row.h", "output[2 * i] = a;", ""),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_kernel_that_is_wrong_is_said_to_be_wrong(mistake, rows, needs, tmp_path):
    needs(COMPILER, EMULATOR, "make")
    folder = tmp_path / "board"
    write_texts(folder, board_files(rows, CORES["cortex-m4"]))
    name, old, new = MISTAKES[mistake]
    untimed = np.setdiff1d(rows[1].every.codes, rows[1].counted.codes)[7]
    text = (folder / name).read_text("utf-8")
    assert text.count(old) == 1
    (folder / name).write_text(text.replace(old, new.replace("@", f"({untimed})")), "utf-8")
    results, right = on_qemu(folder, tmp_path)
    assert not right
    said = results.read_text("utf-8")
    assert said.count(",wrong,") == 1
    assert re.search(r"^embact-end,3,1,", said, re.MULTILINE)
    with pytest.raises(CheckFailed, match=r"results.csv:\d: the board's outputs differ"):
        read_results(results)


def test_the_folder_needs_nothing_of_embact(rows, tmp_path):
    files = board_files(rows, CORES["cortex-m7"])
    for name, text in files.items():
        if not name.endswith((".c", ".h")):
            continue
        for kind, included in re.findall(r'^\s*#\s*include\s+([<"])([^>"]+)', text, re.MULTILINE):
            near = f"{name.rpartition('/')[0]}/{included}".lstrip("/")
            own = near in files or included in files
            assert own if kind == '"' else included in {"stdint.h", "stddef.h"}, (name, included)
    listed = set(re.findall(r"^  (\S+\.c)", files["Makefile"], re.MULTILINE))
    assert listed == {name for name in files if name.endswith(".c")}
    assert set(FIXED) < files.keys()
    assert not re.search(r"@[A-Z]+@", files["Makefile"] + files["README.md"])


def test_what_is_refused(rows, refuses):
    core = CORES["cortex-m4"]
    with refuses("no rows"):
        board_files((), core)
    with refuses("two rows of one name", "pairs"):
        board_files((rows[2], rows[2]), core)
    odd = dataclasses.replace(rows[2], name='a"b')
    with refuses("name of a row", 'a"b'):
        board_files((odd,), core)
    other = dataclasses.replace(rows[1], name="other", files={"halve.c": ""})
    with refuses("two C files of one name", "halve.c"):
        board_files((rows[1], other), core)


UART = """\
#include "embact_board.h"
/* The UART of an emulated board. */
void embact_board_start(void) {
    *(volatile uint32_t *)0x40004010u = 16;
    *(volatile uint32_t *)0x40004008u = 1;
}
void embact_board_putchar(char c) { *(volatile uint32_t *)0x40004000u = (uint8_t)c; }
void embact_board_end(int32_t status) { embact_board_putchar(status == 0 ? 'Y' : 'N'); }
"""


def test_results_leave_by_a_hook_of_the_users_without_semihosting(rows, needs, tmp_path):
    needs(COMPILER, EMULATOR, "make")
    folder = tmp_path / "board"
    write_texts(folder, board_files(rows, CORES["cortex-m4"]))
    (folder / "mine.c").write_text(UART, "utf-8")
    places = ("FLASH_ORIGIN=0", "RAM_ORIGIN=0x20000000", "EMULATED=1", "BOARD_NAME=over a UART")
    done = make(folder, "all", "BOARD=mine.c", *places)
    assert (done.returncode, done.stderr) == (0, "")
    elf = folder / "build/cortex-m4/embact_board.elf"
    listing = subprocess.run(
        ["arm-none-eabi-objdump", "-d", elf], capture_output=True, text=True, check=True
    ).stdout
    assert "<embact_board_reset>:" in listing
    assert "bkpt" not in listing
    words = [EMULATOR, "-M", "mps2-an386", "-display", "none", "-monitor", "none"]
    with subprocess.Popen(
        [*words, "-serial", "stdio", "-kernel", elf],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as running:
        said = b""
        while not said.endswith((b"Y", b"N")):
            said += running.stdout.read(1)
        running.kill()
    assert said.endswith(b"\nY")
    results = tmp_path / "uart.log"
    results.write_bytes(b"\x00\xff boot\r\n" + said)
    assert {one.where for one in read_results(results)} == {
        "over a UART (no cycle counter, caches off)"
    }


def test_settings_of_the_makefile_reach_the_program(rows, needs, tmp_path):
    needs(COMPILER, "make")
    folder = tmp_path / "board"
    write_texts(folder, board_files(rows, CORES["cortex-m33"]))
    elf = folder / "build/cortex-m33/embact_board.elf"

    def symbol(name):
        listed = subprocess.run(
            ["arm-none-eabi-nm", elf], capture_output=True, text=True, check=True
        ).stdout
        return int(re.search(rf"^(\w+) \w {name}$", listed, re.MULTILINE)[1], 16)

    make(folder, "all", "FLASH_ORIGIN=0x00040000", "RAM_ORIGIN=0x20010000", "RAM_LENGTH=24K")
    assert symbol("embact_board_vectors") == 0x00040000
    assert symbol("embact_board_stack_top") == 0x20010000 + 24 * 1024
    make(folder, "all", "RAM_LENGTH=32K")  # a setting that changes is not overlooked
    assert symbol("embact_board_vectors") == 0x08000000
    assert symbol("embact_board_stack_top") == 0x20000000 + 32 * 1024
    done = make(folder, "all", "RAM_LENGTH=10K")
    assert "less than 2 KB are left for the stack" in done.stderr
    done = make(folder, "all", "FLASH_LENGTH=1K")
    assert "region `FLASH' overflowed" in done.stderr
    make(folder, "clean")
    assert not (folder / "build").exists()


def test_the_checksum_is_the_common_one():
    assert crc(b"123456789") == 0xCBF43926
