"""How results look on a terminal: one console, tables, and JSON for machines."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from embact.grid import Grid, QuantSpec

PIPE_WIDTH = 200
"""Columns when the output is not a terminal: a file has no edge, but a table needs one. Whoever
sets COLUMNS, in numbers, has one."""


def console() -> Console:
    """Return the console for people; wide and without colour when the output is not a terminal."""
    edge = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return Console(width=None if edge else PIPE_WIDTH, highlight=False, soft_wrap=not edge)


def say(text: str = "") -> None:
    """Print a line as it is; what the terminal's encoding lacks, as in a file's name, escaped."""
    print(_encodable(text, sys.stdout.encoding))  # noqa: T201 - this is the place that prints


def complain(text: str) -> None:
    """Print a line on stderr."""
    print(_encodable(text, sys.stderr.encoding), file=sys.stderr)  # noqa: T201 - likewise


def _encodable(text: str, encoding: str | None) -> str:
    known = encoding or "utf-8"
    return text.encode(known, "backslashreplace").decode(known)


def as_json(document: Any) -> None:
    """Print a document as JSON, which has no number for nan and the infinities: they are null."""
    say(json.dumps(_finite(document), indent=2, allow_nan=False))


def _finite(document: Any) -> Any:
    match document:
        case float():
            return document if math.isfinite(document) else None
        case dict():
            return {name: _finite(value) for name, value in document.items()}
        case list() | tuple():
            return [_finite(value) for value in document]
        case _:
            return document


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings; numbers are right-aligned."""
    rows = [list(row) for row in rows]
    shown = Table(box=None, pad_edge=False)
    for column, heading in enumerate(headings):
        numeric = bool(rows) and all(isinstance(row[column], int | float) for row in rows)
        shown.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(cell(value) for value in row))
    _print(shown)


def sheet(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, a line each, aligned; values are folded where a terminal ends."""
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for name, value in pairs:
        shown.add_row(name, cell(value))
    _print(shown)


def _print(shown: Table | Text) -> None:
    """Print something without the blanks at the ends of its lines."""
    target = console()
    with target.capture() as captured:
        target.print(shown)
    say("\n".join(line.rstrip() for line in captured.get().splitlines()))


def wrapped(text: str) -> None:
    """Print a line, folded between words where a terminal ends."""
    _print(Text(text))


def cell(value: object) -> str:
    """Return a table cell: floats to four decimals, rounded up, markup escaped."""
    from embact.certify import stated

    text = stated(value) if isinstance(value, float) else str(value)
    return text.replace("[", r"\[")


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, a line each, aligned."""
    listed = [(name, str(value)) for name, value in pairs]
    width = max(len(name) for name, _ in listed)
    for name, value in listed:
        say(f"{name:<{width}}  {value}")


def grid_text(grid: Grid) -> str:
    """Return a grid in short: int8 (0.0625, 0)."""
    return f"{grid.dtype} ({grid.scale:.9g}, {grid.zero_point})"


def spec_text(spec: QuantSpec) -> str:
    """Return a quantisation in short: input grid -> output grid."""
    return f"{grid_text(spec.input)} -> {grid_text(spec.output)}"
