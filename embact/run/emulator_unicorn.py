"""Run a program under the unicorn wheel, and count from the blocks that it executes.

Unicorn has a core's instructions only: the host that semihosting calls is acted here, and the
system control space is plain memory. Its hook for single instructions misses those in an IT block
whose condition fails, so that whole blocks are counted and then taken apart by the lengths of their
instructions. This module must not know what a program computes.
"""

from __future__ import annotations

import importlib
import struct
import time
from typing import TYPE_CHECKING, Any

from embact.run.elf import place, segments
from embact.run.machine import machine_of
from embact.run.outcome import FOR_EVER, MOST_WRITTEN_BYTES, TOO_MUCH, Counter, Ran

if TYPE_CHECKING:
    from embact.run.cross import Image

_SYSTEM = 0xE000E000
_PAGE = 0x1000
_BREAKPOINT = 7
"""Number of the exception that BKPT raises, as the emulator counts them."""

_EXCEPTIONS = {1: "undefined instruction", 2: "supervisor call", _BREAKPOINT: "breakpoint"}

_SEMIHOSTING = b"\xab\xbe"
"""BKPT 0xAB."""

_HANDLE = 1


class _Host:
    """The host as the program sees it, and what the program did."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.status: int | None = None
        self.failure = ""

    def call(self, uc: Any, operation: int, argument: int) -> int:
        """Return the result of one semihosting call (Arm document 100863)."""
        match operation:
            case 0x01:  # SYS_OPEN: only the console
                name, _, length = struct.unpack("<III", uc.mem_read(argument, 12))
                return _HANDLE if bytes(uc.mem_read(name, min(length, 3))) == b":tt" else -1
            case 0x05:  # SYS_WRITE: the number of bytes that were not written
                handle, start, size = struct.unpack("<III", uc.mem_read(argument, 12))
                if handle != _HANDLE or len(self.written) + size > MOST_WRITTEN_BYTES:
                    self.failure = TOO_MUCH
                    uc.emu_stop()
                    return int(size)
                self.written += uc.mem_read(start, size)
                return 0
            case 0x20:  # SYS_EXIT_EXTENDED: reason, status
                _, status = struct.unpack("<II", uc.mem_read(argument, 8))
                self.status = status & 255
                uc.emu_stop()
                return 0
            case _:
                return -1


def run(image: Image, *, traced: bool, timeout_s: float) -> Ran:
    """Run an image."""
    unicorn: Any = importlib.import_module("unicorn")  # its own annotations are incomplete
    arm = unicorn.arm_const
    uc = _loaded(unicorn, image)
    host = _Host()

    def interrupted(uc: Any, number: int, _: Any) -> None:
        at = uc.reg_read(arm.UC_ARM_REG_PC)
        if number == _BREAKPOINT and bytes(uc.mem_read(at, 2)) == _SEMIHOSTING:
            operation, argument = (uc.reg_read(r) for r in (arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1))
            uc.reg_write(arm.UC_ARM_REG_R0, host.call(uc, operation, argument) & 0xFFFFFFFF)
            uc.reg_write(arm.UC_ARM_REG_PC, (at + 2) | 1)
        else:
            name = _EXCEPTIONS.get(number, f"exception {number}")
            host.failure = f"it faulted: {name} at {place(image.elf, at)}"
            uc.emu_stop()

    uc.hook_add(unicorn.UC_HOOK_INTR, interrupted)

    def accessed(uc: Any, _: int, address: int, size: int, __: int, ___: Any) -> None:
        if address % size:
            at = uc.reg_read(arm.UC_ARM_REG_PC)
            host.failure = f"it faulted: unaligned access at {place(image.elf, at)}"
            uc.emu_stop()

    if image.core.architecture == "ARMv6-M":  # has no unaligned access, but unicorn allows it
        uc.hook_add(unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE, accessed)
    blocks = _Blocks(image, uc) if traced else None
    if blocks:
        uc.hook_add(unicorn.UC_HOOK_BLOCK, blocks.entered)
    stack, entry = struct.unpack("<II", uc.mem_read(machine_of(image.core).vectors.start, 8))
    uc.reg_write(arm.UC_ARM_REG_SP, stack)
    started = time.monotonic()
    try:
        uc.emu_start(entry, 0xFFFFFFFE, timeout=int(timeout_s * 1e6))
    except unicorn.UcError as error:
        at = uc.reg_read(arm.UC_ARM_REG_PC)
        host.failure = f"it faulted: {error} at {place(image.elf, at)}"
    if host.status is None and not host.failure:
        at = uc.reg_read(arm.UC_ARM_REG_PC)
        left = f"it left its code, at {place(image.elf, at)}"
        late = time.monotonic() - started >= timeout_s
        host.failure = FOR_EVER.format(timeout_s) if late else left
    traces = blocks.counter.traces() if blocks else ()
    return Ran(host.status or 0, bytes(host.written), traces, host.failure)


def _loaded(unicorn: Any, image: Image) -> Any:
    """Return a core with its memory and the program in it."""
    machine = machine_of(image.core)
    uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    uc.ctl_set_cpu_model(getattr(unicorn.arm_const, machine.unicorn))
    code_end = machine.code.start + machine.code.size
    uc.mem_map(machine.vectors.start, code_end - machine.vectors.start)
    uc.mem_map(machine.ram.start, machine.ram.size)
    uc.mem_map(_SYSTEM, _PAGE)
    for segment in segments(image.elf):
        uc.mem_write(segment.address, segment.content)
    return uc


class _Blocks:
    """Feeds the counter with the instructions of each block that is entered."""

    def __init__(self, image: Image, uc: Any) -> None:
        self.counter = Counter(image)
        self._memory = uc
        self._inside: dict[tuple[int, int], tuple[int, ...]] = {}

    def entered(self, _: Any, address: int, size: int, __: Any) -> None:
        """The hook that unicorn calls for each execution of a block."""
        if (inside := self._inside.get((address, size))) is None:
            code = bytes(self._memory.mem_read(address, size))
            inside = self._inside[address, size] = thumb_addresses(code, address)
        self.counter.executed(inside)


def thumb_addresses(code: bytes, address: int) -> tuple[int, ...]:
    """Return where the instructions of Thumb code start, by their lengths of 2 or 4 bytes.

    An instruction is of 4 bytes if its first halfword starts with 0b11101, 0b11110 or 0b11111:
    Armv8-M Architecture Reference Manual, C2.1.

    >>> thumb_addresses(bytes.fromhex("0020 4ff00000 7047".replace(" ", "")), 0x100)
    (256, 258, 262)
    """
    found = []
    position = 0
    while position < len(code):
        found.append(address + position)
        position += 4 if code[position + 1] >> 3 >= 0b11101 else 2
    return tuple(found)
