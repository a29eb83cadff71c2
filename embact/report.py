"""Reports: the front of `embact explore` as rows, CSV and a figure.

This module must not know how kernels are found or where a terminal is.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from embact.errors import EmbactError
from embact.fit.search import coordinates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from embact.fit.record import Fit

Row = dict[str, Any]


def front_rows(found: Sequence[Fit]) -> list[Row]:
    """Return what a table of fits shows, a dict for each: plain numbers and strings."""
    rows = []
    for one in found:
        codes, count, size = coordinates(one)
        rows.append(
            {
                "max_error_codes": codes,
                "max_error_lsb": one.certificate.max_error_lsb,
                "mean_error_lsb": one.certificate.mean_error_lsb,
                "table_bytes": size,
                "instructions": count,
                "family": one.family,
                "parameters": dict(one.candidate.parameters),
                "digest": one.kernel.digest,
                "command": one.command,
            }
        )
    return rows


def front_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a heading; parameters become ``name=value`` words."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        words = " ".join(f"{key}={value}" for key, value in row["parameters"].items())
        writer.writerow({**row, "parameters": words})
    return text.getvalue()


def draw_front(rows: Sequence[Mapping[str, Any]], title: str, path: Path) -> None:
    """Draw estimated instructions over table bytes, a colour for each error, into an image file.

    Raises EmbactError if matplotlib is missing or does not know the kind of file.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise EmbactError(
            "matplotlib is not installed", allowed="the extra: pip install embact[plot]"
        ) from None
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for codes in sorted({row["max_error_codes"] for row in rows}):
        group = [row for row in rows if row["max_error_codes"] == codes]
        sizes = [row["table_bytes"] for row in group]
        axes.scatter(sizes, [row["instructions"] for row in group], label=f"{codes} codes")
    for row in rows:
        at = row["table_bytes"], row["instructions"]
        axes.annotate(row["family"], at, xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.set_xscale("symlog", linthresh=16)
    axes.set_xlim(left=-1)
    axes.set(xlabel="table bytes", ylabel="estimated instructions for an element", title=title)
    axes.legend(title="largest error")
    try:
        figure.savefig(path, dpi=150)
    except ValueError as error:
        raise EmbactError("--plot", got=error, where=str(path)) from None
