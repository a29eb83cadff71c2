"""The command about softmax and its logarithm: softmax."""

from __future__ import annotations

from shlex import quote
from typing import Annotated

import typer

from embact.cli import show
from embact.cli.options import DTYPES, Json
from embact.cli.writing import Force, Out, write_files
from embact.errors import unknown_name


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(softmax)


def softmax(
    in_scale: Annotated[
        float,
        typer.Option(metavar="SCALE", help="Real value of one input code; the zero point cancels."),
    ],
    out: Out,
    beta: Annotated[float, typer.Option(metavar="BETA", help="What inputs are times.")] = 1.0,
    dtype: Annotated[str, typer.Option(metavar="int8|int16", help="Of the input.")] = "int8",
    out_dtype: Annotated[
        str | None, typer.Option(metavar="int8|int16", help="Default: that of the input.")
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            metavar="tflm|tflite|exact",
            help="tflm: the bits of TFLM and CMSIS-NN. tflite: of TFLite's reference resolver, "
            "which differ for int16; no error is proved of these. exact: rounded to the real "
            "softmax, with a proved bound.",
        ),
    ] = "tflm",
    log: Annotated[bool, typer.Option("--log", help="Its logarithm.")] = False,
    name: Annotated[
        str | None,
        typer.Option(metavar="FUNCTION", help="Default: embact_softmax_layer_s8 and the like."),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the C of a softmax, or log_softmax: a header with its tables, and the library's loops.

    Output grids are TFLite's: int8 (1/256, -128), int8 to int16 (1/65536, -32768), int16 (1/32768,
    0), and (1/16, 127) for the logarithm.

    Example: `embact softmax --in-scale 0.12 --out include/`
    """
    from embact.nn.softmax import Softmax
    from embact.nn.softmax_header import (
        ARGMAX,
        command,
        default_name,
        softmax_files,
        statement,
        table_bytes,
    )

    for given in (dtype, out_dtype or dtype):
        if given not in DTYPES:
            raise unknown_name("dtype", given, DTYPES)
    asked = Softmax(in_scale, beta, DTYPES[dtype], DTYPES[out_dtype or dtype], mode, log)
    function = default_name(asked) if name is None else name
    files = softmax_files(asked, function)
    header = f"{function}.h"
    write_files(out, files, [header], force=force)
    if json:
        show.as_json(
            {
                "function": function,
                "header": str(out / header),
                "files": [str(out / file) for file in files],
                "library_function": asked.function,
                "mode": asked.mode,
                "table_bytes": table_bytes(asked),
                "tables": {table.name: len(table.values) for table in asked.tables},
                "output": {"scale": asked.output.scale, "zero_point": asked.output.zero_point},
                "bound_codes": {str(n): asked.bound_codes(n) for n in (10, 1000, 4096)}
                if asked.mode == "exact"
                else None,
                "statement": statement(asked),
                "argmax": ARGMAX,
                "command": " ".join(command(asked, function)),
            }
        )
        return
    product = f"{asked.product:.9g}" + (f" (beta {asked.beta:.9g})" if asked.beta != 1 else "")
    show.facts(
        [
            ("function", function),
            (
                "quantisation",
                f"{dtype} ({asked.scale:.9g}, any) -> {show.grid_text(asked.output)}",
            ),
            ("scale * beta", f"{product}; equal products have equal tables"),
            ("mode", asked.mode),
            ("table bytes", table_bytes(asked)),
            ("error", statement(asked)),
            ("argmax", ARGMAX),
        ]
    )
    show.say()
    for file in files:
        show.say(f"wrote {out / file}")
    show.say(f"compile: cd {quote(str(out))} && cc -std=c99 -O2 -c {asked.function}.c")
