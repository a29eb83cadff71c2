"""Run a program on an emulated core: qemu-system-arm if at hand, else the unicorn wheel.

What a program does is its own affair; that it ends by itself, without a fault, is checked here.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import re
import shutil
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from embact.errors import CheckFailed, EmbactError, unknown_name
from embact.run import emulator_qemu, emulator_unicorn
from embact.run.elf import place
from embact.run.machine import machine_of
from embact.run.outcome import Outcome, Ran, Trace
from embact.run.toolchain import ToolMissing, run_tool

if TYPE_CHECKING:
    from embact.cores import Core
    from embact.run.cross import Image

__all__ = ["KINDS", "Emulator", "Outcome", "Trace", "emulator", "run_image"]

KINDS = ("qemu", "unicorn")
"""In the order in which they are looked for."""

TIMEOUT_S = 60.0

FAULT_STATUS = 224
"""``c_src/bare/embact_bare.c`` ends a program that faults with this plus the exception's number."""

MOST_STATUS = 199
"""Of a program that ends by itself."""

FAULTS = {
    2: "non-maskable interrupt",
    3: "hard fault",
    4: "memory management fault",
    5: "bus fault",
    6: "usage fault",
    7: "secure fault",
    11: "supervisor call",
}
_CAUSES = {
    0: "instruction fetch not allowed",
    1: "data access not allowed",
    3: "unstacking not allowed",
    4: "stacking not allowed",
    8: "instruction fetch from no memory",
    9: "data access to no memory",
    10: "data access to no memory",
    12: "stack runs into no memory",
    16: "undefined instruction",
    17: "invalid state",
    18: "invalid return",
    19: "no such coprocessor",
    20: "stack overflow",
    24: "unaligned access",
    25: "division by zero",
}
"""Bits of the Configurable Fault Status Register: Armv8-M Architecture Reference Manual, D1.2."""


@dataclass(frozen=True)
class Emulator:
    """kind: one of KINDS. version: as it says. command: the program, or "" if it is a library."""

    kind: str
    version: str
    command: str = ""


def emulator(core: Core, kind: str | None = None) -> Emulator:
    """Return the emulator for a core: of this kind, else the first that is at hand.

    Raises ToolMissing if there is none that knows the core.
    """
    machine = machine_of(core)
    if kind is not None and kind not in KINDS:
        raise unknown_name("kind of emulator", kind, KINDS)
    program = shutil.which("qemu-system-arm") if kind in {None, "qemu"} else None
    if program:
        return Emulator("qemu", _qemu_version(program), program)
    if kind != "qemu" and machine.unicorn and importlib.util.find_spec("unicorn"):
        return Emulator("unicorn", importlib.metadata.version("unicorn"))
    wanted = {
        "qemu": "qemu-system-arm on PATH (Debian: qemu-system-arm)",
        "unicorn": "`pip install embact[emulate]`" if machine.unicorn else "",
    }
    named = [text for name, text in wanted.items() if text and kind in {None, name}]
    raise ToolMissing(
        f"no emulator of {core.name}",
        got=kind,
        allowed=" or ".join(named) or "qemu-system-arm, which has Helium",
    )


@lru_cache
def _qemu_version(program: str) -> str:
    said = run_tool([program, "--version"], what="qemu")
    found = re.search(r"version (\d+(?:\.\d+)+)", said)
    if found is None:
        raise EmbactError("version of qemu", got=said.strip(), where=program)
    return found[1]


def run_image(
    image: Image,
    *,
    traced: bool = False,
    timeout_s: float = TIMEOUT_S,
    emulator: Emulator | None = None,
) -> Outcome:
    """Run a program to its end and return what it did.

    traced: also count the instructions of each stretch between the marks; that is slower.
    Raises EmbactError if there is no emulator, and CheckFailed, naming what and where, if the
    program faults, does not end in time, breaks the emulator or writes without end.
    """
    ran = emulate(image, traced=traced, timeout_s=timeout_s, chosen=emulator)
    if ran.failure:
        raise CheckFailed(f"a program on {image.core.name}", got=ran.failure)
    return Outcome(ran.status, ran.written, ran.traces)


def emulate(image: Image, *, traced: bool, timeout_s: float, chosen: Emulator | None) -> Ran:
    """Run a program and return what it did, and in words if it did not end by itself."""
    if not 0 < timeout_s <= 86400:
        raise EmbactError("timeout in seconds", got=timeout_s, allowed="above 0, at most 86400")
    chosen = emulator(image.core) if chosen is None else chosen
    if chosen.kind == "unicorn":
        ran = emulator_unicorn.run(image, traced=traced, timeout_s=timeout_s)
    else:
        version = tuple(int(part) for part in chosen.version.split("."))
        ran = emulator_qemu.run(image, chosen.command, version, traced=traced, timeout_s=timeout_s)
    return ran if ran.failure else dataclasses.replace(ran, failure=_fault(image, ran))


def _fault(image: Image, ran: Ran) -> str:
    """Return in words the fault in which a program ended: which, why and where; else ""."""
    exception = ran.status - FAULT_STATUS
    if ran.status <= MOST_STATUS:
        return ""
    if not 0 < exception < 16:
        return f"it ended with status {ran.status}, which is above {MOST_STATUS}"
    name = FAULTS.get(exception, f"exception {exception}")
    address, cause = struct.unpack("<II", ran.written[-8:].rjust(8, b"\0"))
    causes = [words for bit, words in _CAUSES.items() if cause >> bit & 1]
    why = f" ({', '.join(causes)})" if causes else ""
    where = f" at {place(image.elf, address)}" if address else ""
    return f"it faulted: {name}{why}{where}"
