"""What is in a linked program: symbols, segments, bytes. Reads ELF by pyelftools.

This module must not know who built the program or what it is for.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from embact.errors import EmbactError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Symbol:
    """A named function (kind "STT_FUNC") or array ("STT_OBJECT"): address and size in bytes."""

    name: str
    kind: str
    address: int
    size: int


@dataclass(frozen=True)
class Segment:
    """Bytes to load at an address; size bytes in all, the rest of them zero."""

    address: int
    content: bytes
    size: int


def opened(elf: bytes) -> Any:
    """Return pyelftools' view of a file. Raises EmbactError if it is not installed or not ELF."""
    try:
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile
    except ImportError:
        raise EmbactError(
            "pyelftools is not installed", allowed="`pip install embact[emulate]`"
        ) from None
    try:
        return ELFFile(io.BytesIO(elf))
    except ELFError as error:
        raise EmbactError("a program is not an ELF file", got=error) from None


@lru_cache(maxsize=64)
def symbol_table(elf: bytes) -> tuple[Symbol, ...]:
    """Return the named functions, arrays and addresses by ascending address, Thumb bit cleared."""
    table = opened(elf).get_section_by_name(".symtab")
    found = []
    for symbol in table.iter_symbols() if table else ():
        kind = str(symbol["st_info"]["type"])
        if symbol.name and not symbol.name.startswith("$") and symbol["st_shndx"] != "SHN_UNDEF":
            address = int(symbol["st_value"]) & ~int(kind == "STT_FUNC")
            found.append(Symbol(symbol.name, kind, address, int(symbol["st_size"])))
    return tuple(sorted(found, key=lambda s: (s.address, s.name)))


def symbols_of(elf: bytes) -> Mapping[str, int]:
    """Return addresses by name; of several local symbols of one name, the lowest."""
    return {s.name: s.address for s in reversed(symbol_table(elf)) if s.kind != "STT_FILE"}


def segments(elf: bytes) -> tuple[Segment, ...]:
    """Return what must be in memory before the program starts."""
    return tuple(
        Segment(int(s["p_paddr"]), s.data(), int(s["p_memsz"]))
        for s in opened(elf).iter_segments()
        if s["p_type"] == "PT_LOAD" and s["p_memsz"]
    )


def place(elf: bytes, address: int) -> str:
    """Return in words where an address is: the function and the offset in it.

    >>> place(b"", 16)
    '0x00000010'
    """
    inside = [
        s
        for s in (symbol_table(elf) if elf else ())
        if s.kind == "STT_FUNC" and s.address <= address < s.address + max(s.size, 2)
    ]
    name = f" in {inside[-1].name} + {address - inside[-1].address}" if inside else ""
    return f"0x{address:08x}{name}"
