"""How many bytes a row takes in a linked program: code, constant tables, writable data.

A row's bytes are those of its own C file, of the library's functions that it brings, and of the
compiler's helpers that it was seen to execute. This module must not know how anything is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from embact.run.elf import opened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BARE = "embact_bare_"
"""What the names of the start-up's functions begin with."""


@dataclass(frozen=True)
class Named:
    """A function or an array of a program. file: the C file of a local one, else ""."""

    name: str
    file: str
    kind: str
    address: int
    size: int


@dataclass(frozen=True)
class Sizes:
    """Bytes of code, of constant tables and of writable data."""

    code: int
    tables: int
    ram: int


def named_of(elf: bytes) -> tuple[Named, ...]:
    """Return the functions ("code") and arrays ("table", "ram") of a program that have a size.

    Local symbols follow that of their file in ELF's table, and global ones follow all local ones.
    """
    opened_elf = opened(elf)
    sections = [(int(s["sh_flags"]) & 1) != 0 for s in opened_elf.iter_sections()]  # SHF_WRITE
    table = opened_elf.get_section_by_name(".symtab")
    found, file = [], ""
    for symbol in table.iter_symbols():
        kind = symbol["st_info"]["type"]
        if kind == "STT_FILE":
            file = PurePath(symbol.name).name
            continue
        section, size = symbol["st_shndx"], int(symbol["st_size"])
        if kind not in ("STT_FUNC", "STT_OBJECT") or not isinstance(section, int) or not size:
            continue
        what = "code" if kind == "STT_FUNC" else "ram" if sections[section] else "table"
        local = symbol["st_info"]["bind"] == "STB_LOCAL"
        address = int(symbol["st_value"]) & ~int(what == "code")
        found.append(Named(symbol.name, file if local else "", what, address, size))
    return tuple(found)


def sizes_of(
    named: Iterable[Named], files: Iterable[str], entry: str, executed: Mapping[int, int]
) -> Sizes:
    """Return the bytes of a row.

    files: the C files that are its own; a file NAME.c has the function NAME, or ``entry``.
    executed: the addresses that a run of it executed; other global functions there are helpers.
    """
    own = set(files)
    functions = {file.removesuffix(".c") for file in own} | {entry}
    total = {"code": 0, "table": 0, "ram": 0}
    for one in named:
        mine = one.file in own if one.file else one.name in functions
        helper = not one.file and one.name != "main" and not one.name.startswith(BARE)
        if not mine and helper and one.kind == "code":
            mine = any(one.address <= address < one.address + one.size for address in executed)
        if mine:
            total[one.kind] += one.size
    return Sizes(total["code"], total["table"], total["ram"])
