"""What a hand-written loop of ``c_src/loops`` needs to be called: its file, its tables, the call.

This module must not know kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

from embact.cores import TIERS
from embact.errors import EmbactError
from embact.ir import Table, check_identifier

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class TierTable:
    """Constant data whose layout depends on the tier.

    name: a C identifier, part of the emitted table's name. text: its C definitions, complete with
    the conditionals on the tier and a comment above each that states its bytes; ``$name`` stands
    for the emitted name. bytes_from: tier -> bytes of the layout that this tier and those above it
    have, up to the next one listed; "portable" is there.
    """

    name: str
    text: str
    bytes_from: Mapping[str, int]

    def __post_init__(self) -> None:
        check_identifier(self.name, "table")
        if not {"portable"} <= self.bytes_from.keys() <= set(TIERS):
            raise EmbactError(
                f"tiers of table {self.name}",
                got=", ".join(self.bytes_from),
                allowed=f"portable, and others of {', '.join(TIERS)}",
            )


def bytes_on(table: Table | TierTable, tier: str) -> int:
    """Return the bytes of a table on a tier."""
    if isinstance(table, Table):
        return table.bytes
    listed = [one for one in TIERS[: TIERS.index(tier) + 1] if one in table.bytes_from]
    return table.bytes_from[listed[-1]]


@dataclass(frozen=True)
class Form:
    """A call of a hand-written loop that computes a kernel.

    loop: a file of ``c_src/loops``. body: the C statements of the function, which has the
    parameters input, output and size; ``$lut`` stands for the emitted name of the table lut.
    tables: what is emitted for the kernel in place of the tables of its definition. order: what the
    comments above those of class Table say of their entries, if anything.
    """

    loop: str
    body: tuple[str, ...]
    tables: tuple[Table | TierTable, ...] = ()
    order: str = ""

    def statements(self, table_names: Mapping[str, str]) -> list[str]:
        """Return the statements, given the emitted name of each table."""
        return [Template(line).substitute(table_names) for line in self.body]
