"""The command for the gates of recurrent cells: gates."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.options import Json
from embact.cli.writing import Force, Out, write_files
from embact.errors import EmbactError

if TYPE_CHECKING:
    from pathlib import Path

    from embact.fit.gates import Gates
    from embact.fit.record import Fit


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(gates)


def gates(
    out: Out,
    q_format: Annotated[
        str | None,
        typer.Option("--format", metavar="qM.N", help="Input codes: q3.12, q4.11; q0.15 to q6.9."),
    ] = None,
    in_scale: Annotated[
        float | None, typer.Option(metavar="SCALE", help="Instead: the real value of one code.")
    ] = None,
    max_error: Annotated[
        int | None,
        typer.Option(
            metavar="CODES",
            help="Largest distance to the correctly rounded code; default 1, or with --max-bytes "
            "the least that fits.",
        ),
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(metavar="BYTES", help="Largest size of the shared table.")
    ] = None,
    name_prefix: Annotated[
        str | None, typer.Option(metavar="WORD", help="Part of every name, as lstm.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Fit int16 sigmoid and tanh to Q0.15 as one pair that shares a table, in one header.

    These are the element-wise gates inside LSTM and GRU cells. Both kernels are proved on all
    65,536 inputs, each has its own kernel file, and `embact verify` takes them.

    Example: `embact gates --format q3.12 --out include/`
    """
    if (q_format is None) == (in_scale is None):
        raise EmbactError(
            "input codes",
            got="neither" if q_format is None else "both",
            allowed="--format or --in-scale",
        )
    from embact.emit.header import emit_header, table_bytes
    from embact.emit.names import check_function_name
    from embact.fit.gates import alone
    from embact.fit.gates import gates as fitted
    from embact.fit.q_formats import scale_of, suffix
    from embact.fit.record import fit_json

    scale = scale_of(q_format) if q_format is not None else float(in_scale or 0.0)
    prefix = "" if name_prefix is None else f"{name_prefix}_"
    named = suffix(scale)
    names = [f"embact_{prefix}{word}{named}_s16" for word in ("sigmoid", "tanh")]
    for name in names:
        check_function_name(name)
    pair = fitted(scale, max_error, max_bytes)
    fits = dict(zip(names, (pair.sigmoid, pair.tanh), strict=True))
    header = out / f"embact_{prefix}gates{named}.h"
    files = {header.name: emit_header(fits)}
    files |= {f"{name}.json": fit_json(one) for name, one in fits.items()}
    write_files(out, files, files, force=force, rename="--name-prefix")
    apart = alone(scale, max(one.limits.max_error for one in fits.values()))
    if json:
        show.as_json(
            {
                "header": str(header),
                "shared": pair.shared,
                "table_bytes": table_bytes(fits),
                "table_bytes_alone": dict(zip(("sigmoid", "tanh"), apart, strict=True)),
                "gates": [_as_json(name, one, out) for name, one in fits.items()],
            }
        )
        return
    _show(pair, fits, apart)
    for file in files:
        show.say(f"wrote {out / file}")
    for name in names:
        kernel = quote(str(out / f"{name}.json"))
        show.say(f"next: embact verify {kernel} --header {quote(str(header))} --name {name}")


def _as_json(name: str, one: Fit, out: Path) -> dict[str, object]:
    proved = one.certificate
    return {
        "function": name,
        "kernel": str(out / f"{name}.json"),
        "family": one.family,
        "max_error_codes": proved.max_error_codes,
        "max_error_lsb": proved.max_error_lsb,
        "not_correctly_rounded": proved.not_correctly_rounded,
        "points": proved.points,
        "table_bytes": one.kernel.table_bytes,
        "digest": one.kernel.digest,
    }


def _show(pair: Gates, fits: dict[str, Fit], apart: tuple[int | None, int | None]) -> None:
    show.table(
        ("function", "quantisation", "max_error_codes", "max_error_lsb", "mean_error_lsb"),
        [
            (
                name,
                show.spec_text(one.spec),
                one.certificate.max_error_codes,
                one.certificate.max_error_lsb,
                one.certificate.mean_error_lsb,
            )
            for name, one in fits.items()
        ],
    )
    show.say()
    if pair.shared:
        sigmoid, tanh = (int(size or 0) for size in apart)
        copies = sum(one.kernel.table_bytes for one in fits.values())
        show.say(
            f"table bytes: {pair.table_bytes}, one table for both; {copies} with a copy for each "
            f"kernel; {sigmoid + tanh} as the smallest table of this form for each, sigmoid "
            f"{sigmoid} and tanh {tanh}"
        )
    else:
        show.say(
            f"table bytes: {pair.table_bytes}, two tables: no shared one serves this input scale "
            "within these limits"
        )
