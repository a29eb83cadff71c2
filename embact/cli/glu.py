"""The command for gated linear units: glu."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.options import Json, Param, ZeroPoint, bits_of, read_activation
from embact.cli.writing import Force, Out, write_files
from embact.errors import EmbactError

if TYPE_CHECKING:
    from embact.grid import Grid
    from embact.nn.glu import Glu

RealScale = Annotated[float, typer.Option(metavar="SCALE", help="Real value of one code.")]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(glu)


def glu(
    gate: Annotated[
        str,
        typer.Option(
            metavar="ACTIVATION",
            help="sigmoid: GLU. silu: SwiGLU. gelu: GEGLU. relu: ReGLU. All: see `embact list`.",
        ),
    ],
    a_scale: RealScale,
    b_scale: RealScale,
    out_scale: RealScale,
    out: Out,
    a_zero_point: ZeroPoint = None,
    b_zero_point: ZeroPoint = None,
    out_zero_point: ZeroPoint = None,
    dtype: Annotated[str, typer.Option(metavar="int8|int16", help="Of all codes.")] = "int8",
    param: Param = None,
    family: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILY",
            help="Of an int16 gate, from `embact list`; default auto, which tries all. interp is "
            "found at once.",
        ),
    ] = None,
    max_error: Annotated[
        int | None,
        typer.Option(
            metavar="CODES",
            help="Of an int16 gate's own codes: the smallest tables within it. Default: the least "
            "error with 2048 table bytes. More of it makes smaller tables and a larger bound.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="FUNCTION", help="Default: embact_glu_silu_s8 and so on.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the C of a gate, output = a * activation(b): a header and the library's loop.

    int8 is proved on all 65,536 pairs of codes and never more than 1 code off. int16 has a proved
    bound; its gate is the kernel with the least error in 2,048 bytes, unless --max-error or
    --family says otherwise.

    Example: `embact glu --gate silu --a-scale 0.03 --b-scale 0.05 --out-scale 0.1 --out include/`
    """
    from embact.nn.glu import Grids, kernel_gate, table_gates
    from embact.nn.glu_header import Proved, command, default_name, glu_files, statement
    from embact.nn.glu_proof import best_of, certify_bound

    bits = bits_of(dtype, "--dtype")
    grids = Grids(
        _grid("a", a_scale, a_zero_point, bits),
        _grid("b", b_scale, b_zero_point, bits),
        _grid("output", out_scale, out_zero_point, bits),
    )
    wanted = read_activation(gate, param or [])
    if bits == 8:
        given = [("--family", family), ("--max-error", max_error)]
        for option, value in given:
            if value is not None:
                raise EmbactError(option, got=value, allowed="with --dtype int16 only")
        proved = Proved(*best_of(table_gates(wanted, grids)))
    else:
        unit = kernel_gate(wanted, grids, max_error, family or "auto")
        proved = Proved(unit, certify_bound(unit))
    unit = proved.unit
    function = default_name(unit) if name is None else name
    files = glu_files(proved, function)
    own = {f"{function}{end}" for end in (".h", "_gate.h", "_gate.json")}
    write_files(out, files, sorted(own & files.keys()), force=force)
    if json:
        import dataclasses

        show.as_json(
            {
                "function": function,
                "header": str(out / f"{function}.h"),
                "files": [str(out / file) for file in files],
                "gate_scale": unit.gate_scale,
                "multiplier": unit.factor.multiplier,
                "shift": unit.factor.shift,
                "table_bytes": unit.table_bytes,
                "certificate": dataclasses.asdict(proved.certificate),
                "statement": statement(proved),
                "command": " ".join(command(unit, function)),
            }
        )
        return
    show.facts(
        [
            ("functions", f"{function}, {function}_rows, {function}_packed"),
            ("gate", f"{wanted.name}, {unit.gate_scale:.9g} * code{_kernel_text(unit)}"),
            ("a", show.grid_text(grids.a)),
            ("b", show.grid_text(grids.b)),
            ("output", show.grid_text(grids.output)),
            ("error", statement(proved)),
            ("table bytes", unit.table_bytes),
        ]
    )
    show.say()
    for file in files:
        show.say(f"wrote {out / file}")
    show.say(f"compile: cd {quote(str(out))} && cc -std=c99 -O2 -c embact_glu_s{bits}.c")


def _kernel_text(unit: Glu) -> str:
    if unit.kernel is None:
        return ""
    codes = unit.kernel.certificate.max_error_codes
    plural = "" if codes == 1 else "s"
    return f", family {unit.kernel.family}, itself at most {codes} code{plural} off"


def _grid(side: str, scale: float, zero_point: int | None, bits: int) -> Grid:
    """Return a grid. Raises EmbactError that names the side."""
    from embact.grid import Grid

    try:
        return Grid(scale, zero_point or 0, bits)
    except EmbactError as error:
        error.where = side
        raise
