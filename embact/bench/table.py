"""What was measured as a document, CSV, rows of a table and the README's table.

This module must not know how anything was measured or where a terminal is.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embact import __version__
from embact.bench.record import Measured
from embact.cores import CORES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from embact.bench.record import Skipped
    from embact.bench.subject import Subject

SCHEMA = 1

FIELDS = tuple(field.name for field in dataclasses.fields(Measured))

COLUMNS = (*FIELDS, "bar", "met", "outputs_checked")
"""Of the CSV, and the keys of a row of the document."""


@dataclass(frozen=True)
class Report:
    """Everything one command measured.

    bars: most instructions for an element by row and core. today: what others take, by row.
    outputs_checked: outputs that were compared with the definition, by core and row. wrong: the
    first that differs, in words, likewise. imported: whether boards measured, which compared the
    outputs themselves.
    """

    measured: tuple[Measured, ...]
    skipped: tuple[Skipped, ...] = ()
    bars: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    today: Mapping[str, str] = dataclasses.field(default_factory=dict)
    outputs_checked: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    wrong: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    imported: bool = False


def bars_of(subjects: Iterable[Subject]) -> dict[str, Mapping[str, float]]:
    """Return the bars of rows by name."""
    return {one.name: one.bars for one in subjects}


def today_of(subjects: Iterable[Subject]) -> dict[str, str]:
    """Return what others take today, by row."""
    return {one.name: one.today for one in subjects if one.today}


def document(report: Report) -> dict[str, Any]:
    """Return a report as plain values for JSON; null is what was not measured."""
    return {
        "schema": SCHEMA,
        "embact": __version__,
        "unit": "instructions executed for an element; cycles only where hardware counted them",
        "outputs_compared_by": "the board" if report.imported else "embact",
        "skipped": [dataclasses.asdict(one) for one in report.skipped],
        "wrong": [
            {"core": core, "row": row, "difference": text}
            for (core, row), text in report.wrong.items()
        ],
        "today": dict(report.today),
        "rows": [_row(one, report) for one in report.measured],
    }


def _row(one: Measured, report: Report) -> dict[str, Any]:
    bar = report.bars.get(one.row, {}).get(one.core)
    return {
        **dataclasses.asdict(one),
        "status": "wrong" if (one.core, one.row) in report.wrong else one.status,
        "bar": bar,
        "met": met(one.instructions, bar),
        "outputs_checked": report.outputs_checked.get((one.core, one.row)),
    }


def met(instructions: float | None, bar: float | None) -> bool | None:
    """Return whether a bar is met; None where there is none or nothing to compare with it."""
    return None if instructions is None or bar is None else instructions <= bar


def as_csv(report: Report) -> str:
    """Return a report's rows as CSV with a heading; empty is what was not measured."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in report.measured:
        row = _row(one, report)
        writer.writerow({key: "" if value is None else value for key, value in row.items()})
    return text.getvalue()


HEADINGS = (
    *("row", "instructions", "bar", "met", "each call", "modelled cycles", "cycles"),
    *("code", "tables", "stack", "RAM"),
)


def of_core(report: Report, core: str) -> list[tuple[str, ...]]:
    """Return the table of one core, under ``HEADINGS``; bytes, and numbers for each element.

    A status that is not ok stands for the cycles that were not counted.
    """
    rows = []
    for one in report.measured:
        if one.core != core:
            continue
        bar = report.bars.get(one.row, {}).get(core)
        answer = {True: "yes", False: "no", None: ""}[met(one.instructions, bar)]
        if one.row in {row for place, row in report.wrong if place == core}:
            answer = "WRONG"
        sizes = (one.code_bytes, one.table_bytes, one.stack_bytes, one.ram_bytes)
        rows.append(
            (
                one.row,
                number(one.instructions),
                "-" if one.instructions is None else number(bar),
                answer,
                "-" if one.call_instructions is None else f"{one.call_instructions:.0f}",
                number(one.modelled_cycles),
                number(one.cycles) if one.status == "ok" else one.status,
                *("-" if size is None else str(size) for size in sizes),
            )
        )
    return rows


def told(
    headings: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows without the columns in which no row says anything.

    >>> told(("row", "bar", "met"), [("a", "-", ""), ("b", "-", "WRONG")])
    (['row', 'met'], [['a', ''], ['b', 'WRONG']])
    """
    kept = [at for at in range(len(headings)) if any(row[at] not in {"", "-"} for row in rows)]
    return [headings[at] for at in kept], [[row[at] for at in kept] for row in rows]


def number(value: float | None) -> str:
    """Return a number to two decimals, rounded up: what is printed was not undercut.

    >>> number(3.125), number(3.0), number(None)
    ('3.13', '3.00', '-')
    """
    if value is None:
        return "-"
    hundredths = -int(-(value * 100 - 1e-6) // 1)
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def markdown(rows: Sequence[Mapping[str, Any]], today: Mapping[str, str]) -> str:
    """Return the README's table from the rows of a document: instructions, and bars in brackets.

    A bar that is not met stands behind ``>``. Bytes, and the instructions of each call besides, are
    those on cortex-m4. What all that means stands below.
    """
    names = list(dict.fromkeys(row["row"] for row in rows))
    cells = {(row["row"], row["core"]): row for row in rows}
    cores = [core for core in CORES if any(row["core"] == core for row in rows)]
    heads = [core.removeprefix("cortex-").upper().replace("PLUS", "+") for core in cores]
    lines = [
        f"| row | {' | '.join(heads)} | each call (M4) | code, tables, stack (M4) | others today |",
        f"|---|{'---|' * (len(heads) + 3)}",
    ]
    for name in names:
        shown = [_cell(cells.get((name, core))) for core in cores]
        m4 = cells.get((name, "cortex-m4")) or {}
        call = m4.get("call_instructions")
        shown.append("-" if call is None else f"{call:.0f}")
        sizes = (m4.get(key) for key in ("code_bytes", "table_bytes", "stack_bytes"))
        shown.append(", ".join("-" if size is None else str(size) for size in sizes))
        lines.append(f"| {name} | {' | '.join(shown)} | {today.get(name, '')} |")
    return "\n".join([*lines, "", LEGEND])


LEGEND = (
    "In brackets: the bar, which is the most that we accept; `> 2` is a bar of 2 that is missed. "
    "*Others today*: instructions for an element of the kernels of TFLM and CMSIS-NN, compiled the "
    "same way. *(M4)*: on cortex-m4; instructions of each call besides, and bytes.\n"
    "Inputs are uniformly random: what kernels with branches cost depends on them. Functions that "
    "take the quantisation at run time (rescale, leaky_relu, hard_swish, prelu) make a table for "
    "each call, whose cost is in *each call*."
)
"""What the README's table means."""


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    text = number(row["instructions"])
    if row["bar"] is None:
        return text
    return f"{text} ({'' if row['met'] else '> '}{row['bar']:g})"
