"""The counters of a board's program, on a core whose counters are acted: unicorn with our own.

A cycle there is an executed instruction, so that what is counted can be foretold.
"""

from __future__ import annotations

import importlib.util
import shutil
import struct
import subprocess
from dataclasses import dataclass, field

import numpy as np
import pytest

from embact.bench.board import read_results
from embact.bench.board_folder import board_files
from embact.bench.subject import Case, Subject
from embact.cores import CORES
from embact.files import write_texts

FLASH, RAM, SIZE = 0x08000000, 0x20000000, 0x20000
DWT, SYSTEM = 0xE0001000, 0xE000E000
BREAKPOINT = 7
SMALL, LARGE = 16, 1500

WAIT = """\
#include <stdint.h>
/* Two instructions for each element, and the outputs are the inputs. */
static inline void wait(const int8_t *input, int8_t *output, int32_t size) {
    int32_t left = size;
    for (int32_t i = 0; i < size; ++i) {
        output[i] = input[i];
    }
    __asm__ volatile(".syntax unified\\n\\t1:\\n\\tsubs %0, %0, #1\\n\\tbne 1b"
                     : "+l"(left) : : "cc", "memory");
}
"""


@dataclass
class Board:
    """The registers behind the counters.

    cycles: since reset. trcena: whether DEMCR keeps that bit. nocyccnt: bit 25 of DWT_CTRL. first:
    CYCCNT where 0 is written. reads: what was read of it. pace: cycles of the counters for each
    instruction; a fraction if they are slow.
    """

    trcena: bool = True
    nocyccnt: bool = False
    first: int = 0
    pace: float = 1
    steps: int = 0
    demcr: int = 0
    dwt_on: bool = False
    dwt_offset: int = 0
    systick_on: bool = False
    systick_from: int | None = None
    said: bytearray = field(default_factory=bytearray)
    status: int | None = None
    reads: list[int] = field(default_factory=list)

    @property
    def cycles(self):
        return int(self.steps * self.pace)

    def read(self, address):
        match address:
            case 0xE0001000:
                return self.nocyccnt << 25 | self.dwt_on
            case 0xE0001004:
                self.reads.append((self.dwt_offset + self.cycles) & 0xFFFFFFFF)
                return self.reads[-1]
            case 0xE000EDFC:
                return self.demcr
            case 0xE000E010:
                return 5 | self.overflowed() << 16
            case 0xE000E018:
                return 0 if self.systick_from is None else -self.since() & 0xFFFFFF
            case _:
                return 0

    def since(self):
        return self.cycles - self.systick_from

    def overflowed(self):
        return self.systick_from is not None and self.since() >= 1 << 24

    def write(self, address, value):
        match address:
            case 0xE0001000:
                self.dwt_on = bool(value & 1)
            case 0xE0001004:
                self.dwt_offset = self.first + value - self.cycles
            case 0xE000EDFC:
                self.demcr = value if self.trcena else 0
            case 0xE000E018:
                self.systick_from = self.cycles


def run(elf_bin, board):
    """Run a program from its first byte; the results are what semihosting was told."""
    import unicorn
    from unicorn import arm_const as arm

    uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    uc.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
    uc.mem_map(FLASH, SIZE)
    uc.mem_map(RAM, SIZE)
    uc.mem_write(FLASH, elf_bin)
    for base in (DWT, SYSTEM):
        uc.mmio_map(
            base,
            0x1000,
            lambda _, offset, size, at: board.read(at + offset),
            base,
            lambda _, offset, size, value, at: board.write(at + offset, value),
            base,
        )

    def stepped(_, address, size, user):
        board.steps += 1

    def interrupted(uc, number, _):
        at = uc.reg_read(arm.UC_ARM_REG_PC)
        assert (number, bytes(uc.mem_read(at, 2))) == (BREAKPOINT, b"\xab\xbe")
        operation, argument = uc.reg_read(arm.UC_ARM_REG_R0), uc.reg_read(arm.UC_ARM_REG_R1)
        if operation == 0x03:
            board.said += uc.mem_read(argument, 1)
        else:
            board.status = struct.unpack("<I", uc.mem_read(argument + 4, 4))[0]
            uc.emu_stop()
        uc.reg_write(arm.UC_ARM_REG_PC, (at + 2) | 1)

    uc.hook_add(unicorn.UC_HOOK_CODE, stepped)
    uc.hook_add(unicorn.UC_HOOK_INTR, interrupted)
    stack, entry = struct.unpack("<II", elf_bin[:8])
    uc.reg_write(arm.UC_ARM_REG_SP, stack)
    uc.emu_start(entry, 0xFFFFFFFE, timeout=100_000_000)


@pytest.fixture(scope="module")
def images(tmp_path_factory, request):
    """The program for a core, built once."""
    missing = [name for name in ("arm-none-eabi-gcc", "make") if shutil.which(name) is None]
    missing += [] if importlib.util.find_spec("unicorn") else ["unicorn"]
    if missing:
        if request.config.getoption("--require-emulators"):
            pytest.fail(f"{missing[0]} is missing")
        pytest.skip(f"{missing[0]} is missing")
    codes = np.random.default_rng(1).integers(-128, 128, LARGE)
    case = Case(codes, codes)
    row = Subject(
        "wait",
        {"wait.h": WAIT},
        "wait.h",
        "wait(input, output, size)",
        *(8, 8),
        counted=case,
        every=case,
        sizes=(SMALL, LARGE),
    )
    built = {}

    def image(core):
        if core not in built:
            folder = tmp_path_factory.mktemp(core)
            write_texts(folder, board_files((row,), CORES[core]))
            subprocess.run(["make", "-s", "RUNS=3"], cwd=folder, check=True, timeout=120)
            built[core] = (folder / f"build/{core}/embact_board.bin").read_bytes()
        return built[core]

    return image


@pytest.fixture
def results(images, tmp_path):
    def read(core, board):
        run(images(core), board)
        assert board.status == 0, bytes(board.said)
        path = tmp_path / "results.csv"
        path.write_bytes(board.said)
        (one,) = read_results(path)
        return one, board.said.decode()

    return read


@pytest.mark.parametrize(
    ("core", "counter"), [("cortex-m0plus", "SysTick"), ("cortex-m4", "DWT_CYCCNT")]
)
def test_cycles_are_counted_and_those_of_an_empty_call_are_subtracted(results, core, counter):
    one, said = results(core, Board())
    overhead = int(said.split(",")[8])
    assert 4 < overhead < 60
    assert counter in one.where
    # the copying loop, which differs between cores, and two more instructions
    assert 5 <= one.cycles <= 9
    assert one.cycles == int(one.cycles)
    least = int(said.splitlines()[1].split(",")[4])
    assert 0 < least - SMALL * one.cycles < 25  # the row's own beginning and end


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4"])
def test_twice_the_cycles_are_twice_as_much(results, core):
    plain, _ = results(core, Board())
    double, _ = results(core, Board(pace=2))
    assert double.cycles == 2 * plain.cycles


def test_the_difference_survives_the_wrap_around_of_32_bits(results):
    plain, _ = results("cortex-m4", board := Board())
    middle = (board.reads[-1] + board.reads[-2]) // 2  # of the last call of the larger size
    wrapped, _ = results("cortex-m4", board := Board(first=(1 << 32) - middle))
    before, after = board.reads[-2:]
    assert after < before
    assert wrapped.cycles == plain.cycles


@pytest.mark.parametrize(
    ("core", "board", "reason"),
    [
        ("cortex-m4", Board(trcena=False), "DEMCR.TRCENA stays 0: no DWT"),
        ("cortex-m4", Board(nocyccnt=True), "DWT_CTRL.NOCYCCNT is 1"),
        ("cortex-m4", Board(pace=0), "DWT_CYCCNT does not count cycles"),
        ("cortex-m4", Board(pace=0.25), "DWT_CYCCNT does not count cycles"),
        ("cortex-m0plus", Board(pace=0), "SysTick does not count cycles"),
        ("cortex-m0plus", Board(pace=0.25), "SysTick does not count cycles"),
    ],
)
def test_a_counter_that_is_not_there_or_counts_no_cycles_is_said_so(results, core, board, reason):
    one, said = results(core, board)
    assert f'none,"{reason}",' in said
    assert ",uncounted," in said
    assert one.cycles is None


def test_more_cycles_than_24_bits_are_not_told(results):
    one, said = results("cortex-m0plus", Board(pace=1950))
    assert ",SysTick," in said
    assert ",too-long," in said
    assert one.cycles is None
    one, said = results("cortex-m0plus", Board(pace=1000))  # negative control
    assert ",ok," in said
    assert one.cycles > 5000


def test_a_loop_that_tries_the_counter_and_is_too_long_is_no_evidence(results):
    _, said = results("cortex-m0plus", Board(pace=1 << 17))
    assert 'none,"SysTick does not count cycles",' in said
