"""Reports: the front of `embact explore` as rows, CSV and a figure.

This module must not know how kernels are found or where a terminal is.
"""

from __future__ import annotations

import csv
import io
import os
from shlex import quote
from typing import TYPE_CHECKING, Any

from embact.errors import EmbactError
from embact.fit.record import HISTOGRAM
from embact.fit.search import coordinates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from embact.fit.record import Fit

Row = dict[str, Any]


def front_rows(found: Sequence[Fit], histogram: Path | None = None) -> list[Row]:
    """Return what a table of fits shows, a dict for each: plain numbers and strings.

    histogram: the file that the commands name, quoted for a shell; by default a placeholder.
    """
    named = HISTOGRAM if histogram is None else f"--histogram {quote(str(histogram))}"
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
                "command": one.command.replace(HISTOGRAM, named),
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


def image_kind(path: Path) -> str:
    """Return the kind of image that a file's suffix names.

    Raises EmbactError if matplotlib is missing or does not know the kind.
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise EmbactError(
            "matplotlib is not installed", allowed="the extra: pip install embact[plot]"
        ) from None
    kinds = FigureCanvasBase.get_supported_filetypes().keys() - {"pgf"}  # which asks for LaTeX
    kind = path.suffix[1:].lower()
    if kind not in kinds:
        raise EmbactError("--plot", got=repr(str(path)), allowed=f"a .{', .'.join(sorted(kinds))}")
    return kind


def front_image(rows: Sequence[Mapping[str, Any]], title: str, kind: str) -> bytes:
    """Return an image of instructions over table bytes, with a colour for each error."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

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
    axes.set(xlabel="table bytes", ylabel="instructions for an element", title=title)
    axes.legend(title="largest error")
    image = io.BytesIO()
    figure.savefig(image, format=kind, dpi=150)
    return image.getvalue()


def write_image(path: Path, image: bytes) -> None:
    """Write an image in one step: the file is the old one or the new one, never a part.

    Makes the folder if it is missing. Raises EmbactError if the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            path.write_bytes(image)  # a device or a pipe; a folder says that it is one
            return
        path = path.resolve()
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(image)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise EmbactError("file cannot be written", got=error.strerror, where=str(path)) from None
