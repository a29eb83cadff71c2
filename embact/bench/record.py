"""One measured row: what an emulator, a board or this machine said about a loop on a core.

Data only: this module must not know how anything is measured or shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from embact.errors import EmbactError

STATUSES = ("ok", "wrong", "uncounted", "unsteady", "too-long")
"""What became of a row: measured; an output differs from the definition; nothing counts cycles;
more elements took no longer; more cycles than the counter can tell."""


@dataclass(frozen=True)
class Measured:
    """What one row costs on one core; None is what was not measured.

    row: the name of the row, as ``rows`` or a kernel file has it. core: a name of ``cores``, or
    ``host``. instructions: executed for each element, exactly. cycles: for each element, counted by
    hardware, never by an emulator. modelled_cycles: for each element, from the published
    instruction timings. code_bytes, table_bytes, ram_bytes: of the linked program's named functions
    and arrays; ram_bytes is writable data that is not the caller's. stack_bytes: of the deepest
    call. compiler: its name and version. where: the emulator and its version, or the board.
    call_instructions: of each call, besides those for each element. status: one of ``STATUSES``.
    """

    row: str
    core: str
    instructions: float | None
    cycles: float | None
    modelled_cycles: float | None
    code_bytes: int | None
    table_bytes: int | None
    stack_bytes: int | None
    ram_bytes: int | None
    compiler: str
    where: str
    call_instructions: float | None = None
    status: str = "ok"

    def __post_init__(self) -> None:
        for name in ("row", "core", "compiler", "where"):
            if not getattr(self, name):
                raise EmbactError(f"{name} of a measurement", got="nothing", allowed="a name")
        if self.status not in STATUSES:
            raise EmbactError(
                "status of a measurement", got=repr(self.status), allowed=", ".join(STATUSES)
            )
        for name in (
            "instructions",
            "cycles",
            "modelled_cycles",
            "code_bytes",
            "table_bytes",
            "stack_bytes",
            "ram_bytes",
            "call_instructions",
        ):
            number = getattr(self, name)
            if number is not None and not 0 <= number < 2**63:
                raise EmbactError(
                    f"{name} of a measurement", got=number, allowed="not negative", where=self.row
                )


@dataclass(frozen=True)
class Skipped:
    """A core on which nothing was measured, and why."""

    core: str
    reason: str
