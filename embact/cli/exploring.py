"""Command explore: the kernels that no other beats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embact.cli import show
from embact.cli.options import (
    Core,
    Dtype,
    Expr,
    Family,
    HistogramFile,
    InDtype,
    Json,
    Meaning,
    Name,
    OnSupport,
    OutDtype,
    Param,
    RealRange,
    Scale,
    Wanted,
    ZeroPoint,
    read_activation,
    read_histogram,
    read_spec,
    read_variant,
)
from embact.errors import EmbactError

EXPLORED_CODES = 8
"""The largest error that is looked at, unless another is asked for."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(explore)


def explore(
    activation: Wanted = None,
    variant: Meaning = None,
    expr: Expr = None,
    name: Name = None,
    param: Param = None,
    dtype: Dtype = None,
    in_dtype: InDtype = None,
    out_dtype: OutDtype = None,
    real_range: RealRange = None,
    in_scale: Scale = None,
    in_zero_point: ZeroPoint = None,
    out_scale: Scale = None,
    out_zero_point: ZeroPoint = None,
    family: Family = "auto",
    core: Core = "cortex-m4",
    max_error: Annotated[
        int, typer.Option(metavar="CODES", help="Largest error to look at.")
    ] = EXPLORED_CODES,
    max_bytes: Annotated[
        int | None,
        typer.Option(metavar="BYTES", help="Largest size of one kernel's tables; default: any."),
    ] = None,
    histogram: HistogramFile = None,
    max_error_on_support: OnSupport = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the front (extra `plot`).")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the table.")] = None,
    json: Json = False,
) -> None:
    """Show the kernels that no other beats in error, table bytes and instructions.

    Example: `embact explore tanh --range -4:4 --max-error 4`
    """
    from embact.files import write_text
    from embact.fit.front import front
    from embact.fit.problem import Limits, Options, Problem
    from embact.report import front_csv, front_image, front_rows, image_kind, write_image

    kind = None if plot is None else image_kind(plot)
    if csv is not None and plot is not None and csv.resolve() == plot.resolve():
        raise EmbactError("--csv and --plot", got=repr(str(plot)), allowed="two files")
    if variant is not None:
        activation, param, note = read_variant(activation, variant, param or [])
        show.complain(note)
    wanted = read_activation(activation, param or [], expr, name)
    into, out_of = (in_scale, in_zero_point), (out_scale, out_zero_point)
    spec = read_spec(wanted, (dtype, in_dtype, out_dtype), real_range, into, out_of)
    counts = None if histogram is None else read_histogram(histogram, spec.input.bits)
    limits = Limits(max_error, max_bytes, max_error_on_support)
    found = front(Problem(wanted, spec, limits, Options(core=core), counts), family)
    if not found:
        raise EmbactError(
            f"no kernel of {wanted.name}",
            got=f"{max_error} codes" + ("" if max_bytes is None else f", {max_bytes} table bytes"),
            allowed="more of either",
        )
    rows = front_rows(found, histogram)
    title = f"{wanted.name}, {show.spec_text(spec)}, {core}"
    image = None if kind is None else front_image(rows, title, kind)
    if csv is not None:
        write_text(csv, front_csv(rows))
    if plot is not None and image is not None:
        write_image(plot, image)
    if json:
        show.as_json(rows)
        return
    show.say(f"{wanted.name}: {wanted.formula}, {show.spec_text(spec)}, on {core}\n")
    show.table(
        (
            *("max_error_codes", "max_error_lsb", "table bytes", "instructions"),
            *("family", "chosen"),
        ),
        [
            (
                *(row["max_error_codes"], row["max_error_lsb"], row["table_bytes"]),
                *(row["instructions"], row["family"]),
                ", ".join(f"{k} {v}" for k, v in row["parameters"].items()),
            )
            for row in rows
        ],
    )
    for path in (csv, plot):
        if path is not None:
            show.say(f"\nwrote {path}")
    show.say(f"\nnext: the first of them is: {rows[0]['command']}\n      (--json has all)")
