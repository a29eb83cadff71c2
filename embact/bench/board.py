"""What a board printed, read back: lines of CSV with checksums, whatever noise is around them.

The lines are those of ``c_src/board/embact_board_run.c``; the folder's README.md describes them.
This module must not know how a board was flashed or how results are shown.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.bench.board_folder import crc
from embact.bench.record import STATUSES, Measured
from embact.cores import core
from embact.errors import CheckFailed, EmbactError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = "1"
"""Of the form of the lines."""

FIELDS = {
    "embact-board": "version board core compiler counter reason caches overhead runs",
    "embact-row": "row status elements1 least1 median1 elements2 least2 median2 cycles",
    "embact-end": "rows wrong",
    "embact-fault": "",
}
"""The kinds of lines and what is between the kind and the checksum."""

COUNTERS = ("DWT_CYCCNT", "SysTick", "none")
CACHES = ("off", "instructions", "data", "on")

TAG = re.compile(rf"({'|'.join(FIELDS)}),.*")


@dataclass(frozen=True)
class _Line:
    """A line of ours. where: the file and the number of the line."""

    kind: str
    fields: dict[str, str]
    where: str

    def number(self, name: str) -> int:
        """Return a field that is a number. Raises EmbactError if it is none."""
        text = self.fields[name]
        if not re.fullmatch(r"[0-9]{1,10}", text):
            raise EmbactError(name, got=repr(text), allowed="a number", where=self.where)
        return int(text)

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        """Return a field that is one of some words. Raises EmbactError if it is none."""
        if self.fields[name] not in allowed:
            got = repr(self.fields[name])
            raise EmbactError(name, got=got, allowed=", ".join(allowed), where=self.where)
        return self.fields[name]


def read_results(path: Path) -> list[Measured]:
    """Return what a file holds that a board's output was saved to, in its order.

    Lines without a mark of ours are noise, and so is what stands before a mark; a file may hold the
    output of several boards. Raises EmbactError, with the number of the line, if a line of ours is
    damaged, if one is missing, or if nothing is there; CheckFailed if a row was wrong on the board.
    """
    try:
        text = path.read_bytes().decode("latin-1")  # noise may be any bytes
    except OSError as error:
        raise EmbactError("file cannot be read", got=error.strerror, where=str(path)) from None
    board: _Line | None = None
    rows: list[_Line] = []
    found: list[Measured] = []
    for line in _lines(text, str(path)):
        match line.kind:
            case "embact-board":
                _check_board(line)
                _check_over(board, line.where)
                board, rows = line, []
            case "embact-fault":
                raise CheckFailed("the board stopped with an exception", where=line.where)
            case _ if board is None:
                raise EmbactError(
                    f"{line.kind} before embact-board",
                    allowed="the output from its beginning",
                    where=line.where,
                )
            case "embact-row":
                rows.append(line)
            case _:
                if line.number("rows") != len(rows):
                    raise EmbactError(
                        "rows", got=len(rows), allowed=line.fields["rows"], where=line.where
                    )
                found += [_measured(row, board) for row in rows]
                board = None
    _check_over(board, str(path))
    if not found:
        raise EmbactError("no results of a board", allowed="embact-board ...", where=str(path))
    _check_twice(found, path)
    return found


def _lines(text: str, where: str) -> Iterator[_Line]:
    """Yield the lines of ours in a text, each checked against its checksum."""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if (tagged := TAG.search(line)) is None:
            continue
        place = f"{where}:{number}"
        said, comma, checksum = tagged[0].rstrip().rpartition(",")
        if f"{crc((said + comma).encode('latin-1')):08x}" != checksum:
            raise EmbactError(
                "damaged line", got=repr(checksum), allowed="the CRC-32 of the line", where=place
            )
        names = FIELDS[tagged[1]].split()
        try:
            _, *values = next(csv.reader([said], strict=True))
        except csv.Error as error:
            raise EmbactError("not a line of CSV", got=error, where=place) from None
        if len(values) != len(names):
            raise EmbactError(
                f"fields of {tagged[1]}", got=len(values), allowed=str(len(names)), where=place
            )
        yield _Line(tagged[1], dict(zip(names, values, strict=True)), place)


def _check_board(board: _Line) -> None:
    if board.fields["version"] != VERSION:
        raise EmbactError(
            "form of the lines",
            got=board.fields["version"],
            allowed=f"{VERSION}, as this embact writes it",
            where=board.where,
        )
    try:
        core(board.fields["core"])
    except EmbactError as error:
        raise EmbactError(
            error.what, got=error.got, allowed=error.allowed, where=board.where
        ) from None
    board.one_of("counter", COUNTERS)
    board.one_of("caches", CACHES)


def _check_over(board: _Line | None, where: str) -> None:
    """Raise EmbactError if a board's output has begun and not ended."""
    if board is not None:
        raise EmbactError(
            "embact-end is missing",
            got=f"a board that began at {board.where}",
            allowed="the output to its end",
            where=where,
        )


def _check_twice(found: list[Measured], path: Path) -> None:
    seen: set[tuple[str, str, str]] = set()
    for one in found:
        key = (one.row, one.core, one.where)
        if key in seen:
            raise EmbactError(
                "a row is there twice", got=one.row, allowed=f"once on {one.where}", where=str(path)
            )
        seen.add(key)


def _measured(row: _Line, board: _Line) -> Measured:
    """Return a row's measurement. Raises EmbactError if its numbers do not agree."""
    status = row.one_of("status", STATUSES)
    if status == "wrong":
        raise CheckFailed(
            "the board's outputs differ from the definition",
            got=f"row {row.fields['row']}",
            where=row.where,
        )
    counted = board.fields["counter"] != "none"
    if counted == (status == "uncounted"):
        raise EmbactError(
            "status",
            got=status,
            allowed=f"one of counter {board.fields['counter']}",
            where=row.where,
        )
    small, large = row.number("elements1"), row.number("elements2")
    least = row.number("least1"), row.number("least2")
    if not 0 < small < large:
        raise EmbactError("elements", got=f"{small}, {large}", allowed="that grow", where=row.where)
    difference, elements = max(least[1] - least[0], 0), large - small
    milli = difference * 1000 // elements
    if row.fields["cycles"] != f"{milli // 1000}.{milli % 1000:03}":
        raise EmbactError(
            "cycles", got=row.fields["cycles"], allowed=f"{milli / 1000:.3f}", where=row.where
        )
    if status == "ok" and difference == 0:
        raise EmbactError("cycles", got=0, allowed="above 0, or unsteady", where=row.where)
    name = board.fields["board"].encode("latin-1").decode("utf-8", "replace")
    caches = board.fields["caches"]
    seen = board.fields["counter"] if counted else "no cycle counter"
    return Measured(
        row=row.fields["row"],
        core=board.fields["core"],
        instructions=None,
        cycles=difference / elements if status == "ok" else None,
        modelled_cycles=None,
        code_bytes=None,
        table_bytes=None,
        stack_bytes=None,
        ram_bytes=None,
        compiler=board.fields["compiler"],
        where=f"{name} ({seen}, caches {caches})",
        status=status,
    )
