"""What the instructions of a program are: decoded by capstone, in the few terms that we ask for.

This module must not know why anybody asks.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from embact.errors import EmbactError
from embact.run.elf import segments

if TYPE_CHECKING:
    from embact.run.elf import Segment

_CONDITIONS = (
    *("eq", "ne", "hs", "cs", "lo", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt"),
    "le",
)


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    name: its mnemonic without width, condition or whether it sets the flags, e.g. "add" for
    ``addsne.w``. text: as a disassembler prints it. size: 2 or 4 bytes. target: of a branch to a
    fixed address, else -1. first: its first register, which a load writes, else "". writes: the
    registers that it writes; reads_for_address: those from which the address of a memory access
    comes. registers: how many it names besides. indexed: its memory address has an index register.
    immediate: its last constant, else 0.
    """

    name: str
    text: str
    size: int
    target: int
    first: str
    writes: frozenset[str]
    reads_for_address: frozenset[str]
    registers: int
    indexed: bool
    immediate: int


@lru_cache(maxsize=1 << 16)
def instruction_at(elf: bytes, address: int) -> Instruction | None:
    """Return the instruction at an address, or None if it is not one that capstone knows.

    Raises EmbactError if the address is not in the program or capstone is not installed.
    """
    code = _bytes_at(_loaded(elf), address)
    return decode(code, address)


@lru_cache(maxsize=8)
def _loaded(elf: bytes) -> tuple[Segment, ...]:
    return segments(elf)


def _bytes_at(loaded: tuple[Segment, ...], address: int) -> bytes:
    for segment in loaded:
        offset = address - segment.address
        if 0 <= offset < len(segment.content):
            return segment.content[offset : offset + 4]
    raise EmbactError("address of an instruction", got=hex(address), allowed="in the program")


@lru_cache
def _capstone() -> Any:
    try:
        capstone: Any = importlib.import_module("capstone")
    except ImportError:
        raise EmbactError(
            "capstone is not installed", allowed="`pip install embact[emulate]`"
        ) from None
    mode = capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS | capstone.CS_MODE_V8
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, mode)
    decoder.detail = True
    return decoder, capstone.arm


def decode(code: bytes, address: int = 0) -> Instruction | None:
    """Return the first instruction of some bytes, or None if capstone does not know it.

    An instruction in an IT block comes without the condition that the IT instruction gives it.

    >>> decode(bytes.fromhex("0878")).text
    'ldrb r0, [r1]'
    """
    decoder, arm = _capstone()
    found = next(decoder.disasm(code, address, 1), None)
    if found is None:
        return None
    operands = list(found.operands)
    memory = [o for o in operands if o.type == arm.ARM_OP_MEM]
    listed = [o for o in operands if o.type == arm.ARM_OP_REG]
    numbers = [o.imm for o in operands if o.type == arm.ARM_OP_IMM]
    base = {found.reg_name(r) for o in memory for r in (o.mem.base, o.mem.index) if r}
    _, written = found.regs_access()
    name = _plain(found)
    jumps = name in {"b", "bl", "cbz", "cbnz"}
    return Instruction(
        name,
        f"{found.mnemonic} {found.op_str}".strip(),
        found.size,
        int(numbers[-1]) if jumps and numbers else -1,
        found.reg_name(listed[0].reg) if listed else "",
        frozenset(found.reg_name(r) for r in written),
        frozenset(base),
        len(listed),
        any(o.mem.index for o in memory),
        0 if jumps or not numbers else int(numbers[-1]),
    )


def _plain(found: Any) -> str:
    """Return a mnemonic without the width, the condition and the s of one that sets flags."""
    _, arm = _capstone()
    name = str(found.mnemonic).split(".")[0]
    if found.cc not in (arm.ARM_CC_AL, arm.ARM_CC_INVALID) and found.id != arm.ARM_INS_IT:
        name = next((name[:-2] for each in _CONDITIONS if name.endswith(each)), name)
    if found.update_flags and name.endswith("s") and name not in {"mls", "cmps"}:
        name = name[:-1]
    return name
