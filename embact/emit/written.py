"""How a kernel is written in C: as a call of a hand-written loop, or as code of its own.

Code of its own is the portable spelling and, where the expression can be spelt in vectors, another
body for Helium. This module must not know fits, headers or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.emit.forms import form_of
from embact.emit.portable import loop, signature
from embact.helium.body import helium_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from embact.emit.form import Form, TierTable
    from embact.ir import Table
    from embact.kernel import Kernel


HELIUM = "#if EMBACT_TIER == EMBACT_TIER_HELIUM"


@dataclass(frozen=True)
class Written:
    """A kernel, the form that it has, if any, and the tables that its C reads."""

    kernel: Kernel
    form: Form | None

    @property
    def tables(self) -> tuple[Table | TierTable, ...]:
        """What is emitted: the form's tables, or those of the definition."""
        return self.kernel.tables if self.form is None else self.form.tables

    @property
    def loops(self) -> tuple[str, ...]:
        """The files of ``c_src/loops`` that the function needs."""
        return () if self.form is None else (self.form.loop,)

    def function(self, name: str, table_names: Mapping[str, str]) -> str:
        """Return the C function, given the emitted name of each table."""
        declared: list[str] = []
        if self.form is not None:
            body = [f"    {line}" for line in self.form.statements(table_names)]
        else:
            declared, body = _own_code(self.kernel, table_names)
        return "\n".join([*declared, signature(self.kernel, name), "{", *body, "}"]) + "\n"


def written(kernel: Kernel) -> Written:
    """Return how a kernel is written."""
    return Written(kernel, form_of(kernel))


def _own_code(kernel: Kernel, table_names: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return what precedes the function of a kernel that has no form, and the function's body."""
    vectors = helium_body(kernel, table_names)
    elements = loop(kernel, table_names)
    if vectors is None:
        return [], elements
    body = [HELIUM, *vectors.lines, "#else", *elements, "#endif"]
    if not vectors.declarations:
        return [], body
    return [HELIUM, vectors.declarations.rstrip("\n"), "#endif", ""], body
