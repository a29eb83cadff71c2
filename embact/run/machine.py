"""The emulated machines that stand for cores: names, memory, and the linker script.

Sizes and addresses are those of Arm's MPS2 and MPS3 boards as QEMU models them. This module must
not know compilers or kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

from embact.errors import unknown_name
from embact.sources import c_source

if TYPE_CHECKING:
    from embact.cores import Core

STACK_BYTES = 0x4000


@dataclass(frozen=True)
class Memory:
    """A stretch of addresses: start and size in bytes."""

    start: int
    size: int


@dataclass(frozen=True)
class Machine:
    """qemu: its name there. unicorn: the number of the CPU's constant, or "" if it has none.

    vectors, code, ram: where the vector table, instructions and constants, and variables lie.
    """

    qemu: str
    unicorn: str
    vectors: Memory
    code: Memory
    ram: Memory


_MPS2 = (
    Memory(0, 0x400),
    Memory(0x400, 0x400000 - 0x400),
    Memory(0x20000000, 0x400000),
)

MACHINES = {
    # QEMU has no machine with a Cortex-M0+ and room; a Cortex-M3 runs its code
    "cortex-m0plus": Machine("mps2-an385", "UC_CPU_ARM_CORTEX_M0", *_MPS2),
    "cortex-m3": Machine("mps2-an385", "UC_CPU_ARM_CORTEX_M3", *_MPS2),
    "cortex-m4": Machine("mps2-an386", "UC_CPU_ARM_CORTEX_M4", *_MPS2),
    "cortex-m7": Machine("mps2-an500", "UC_CPU_ARM_CORTEX_M7", *_MPS2),
    "cortex-m33": Machine(
        "mps2-an505",
        "UC_CPU_ARM_CORTEX_M33",
        Memory(0x10000000, 0x400),
        Memory(0x10000400, 0x400000 - 0x400),
        Memory(0x38000000, 0x400000),
    ),
    "cortex-m55": Machine(
        "mps3-an547",
        "",
        Memory(0, 0x400),
        Memory(0x11000000, 0x200000),
        Memory(0x20000000, 0x80000),
    ),
}
"""By the core's name."""


def machine_of(core: Core) -> Machine:
    """Return the machine of a core. Raises EmbactError for one that is not emulated."""
    if core.name not in MACHINES:
        raise unknown_name("emulated core", core.name, MACHINES)
    return MACHINES[core.name]


def linker_script(machine: Machine) -> str:
    """Return the linker script that places a program in a machine's memory."""
    return Template(c_source("bare/embact_bare.ld")).substitute(
        VECTORS=hex(machine.vectors.start),
        CODE=hex(machine.code.start),
        CODE_BYTES=hex(machine.code.size),
        RAM=hex(machine.ram.start),
        RAM_BYTES=hex(machine.ram.size),
        STACK_BYTES=hex(STACK_BYTES),
    )
