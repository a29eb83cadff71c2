"""The command about PReLU, whose slopes are data: prelu."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embact.cli import show
from embact.cli.options import Json, bits_of, number
from embact.cli.writing import Force, Out, refuse_others, write_files
from embact.errors import CheckFailed, EmbactError

if TYPE_CHECKING:
    from embact.grid import Grid
    from embact.nn.prelu_layer import ChannelError, PreluLayer

ROWS = 32
"""Of more channels only the worst is printed; --json has them all."""


NPY = b"\x93NUMPY"
"""What an .npy file begins with."""

HINT = (
    "hint: slopes are int8, as TFLM's PRELU has them, which limits an int16 layer; one slope for "
    "all channels is within 1 code by `embact fit leaky_relu --param alpha=SLOPE --dtype int16`"
)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(prelu)


def prelu(
    in_scale: Annotated[float, typer.Option(metavar="SCALE", help="Real value of one code.")],
    out_scale: Annotated[float, typer.Option(metavar="SCALE", help="Real value of one code.")],
    out: Out,
    in_zero_point: Annotated[int, typer.Option(metavar="CODE")] = 0,
    out_zero_point: Annotated[int, typer.Option(metavar="CODE")] = 0,
    alpha: Annotated[
        str | None,
        typer.Option(
            metavar="CODES",
            help="Codes of the slopes, one or one for each channel: 12,-3,40 or FILE.npy. The "
            "error is against the real values of these codes.",
        ),
    ] = None,
    alpha_scale: Annotated[float | None, typer.Option(metavar="SCALE")] = None,
    alpha_zero_point: Annotated[int | None, typer.Option(metavar="CODE")] = None,
    alpha_real: Annotated[
        str | None,
        typer.Option(
            metavar="SLOPES",
            help="Real slopes instead, 0.1,0.25 or FILE.npy, which are quantised to int8. The "
            "error is against these slopes: it has what their quantisation costs.",
        ),
    ] = None,
    dtype: Annotated[str, typer.Option(metavar="int8|int16", help="Of both sides.")] = "int8",
    name: Annotated[
        str | None, typer.Option(metavar="FUNCTION", help="Default: embact_prelu_layer_s8.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compile it and compare every input of every channel."),
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the C of a PReLU, per tensor or per channel, with its exact error in every channel.

    The same bits as TFLM's PRELU. Arithmetic with two multipliers: one byte of slope for a channel,
    no tables. Slopes are int8 for int16 data, too. An array of slopes has one dimension, or several
    that are 1 but for the last: a slope for each place of an image is not for this layer.

    Example: `embact prelu --in-scale 0.05 --out-scale 0.04 --alpha-real 0.1,0.25 --out include/`
    """
    from embact.grid import QuantSpec
    from embact.nn.prelu_header import default_name, first_difference, prelu_files
    from embact.nn.prelu_layer import channel_errors, layer_of_codes, layer_of_reals

    bits = bits_of(dtype, "--dtype")
    spec = QuantSpec(
        _grid("input", in_scale, in_zero_point, bits),
        _grid("output", out_scale, out_zero_point, bits),
    )
    if (alpha is None) == (alpha_real is None):
        got = "neither" if alpha is None else "both"
        raise EmbactError("slopes", got=got, allowed="--alpha CODES or --alpha-real SLOPES")
    if alpha is not None:
        if alpha_scale is None:
            raise EmbactError("--alpha without --alpha-scale", allowed="--alpha-scale SCALE")
        grid = _grid("alpha", alpha_scale, alpha_zero_point or 0, 8)
        layer = layer_of_codes(spec, grid, [_code(one) for one in _values(alpha, "--alpha")])
    else:
        if alpha_scale is not None or alpha_zero_point is not None:
            raise EmbactError("--alpha-scale", got="--alpha-real", allowed="with --alpha only")
        layer = layer_of_reals(spec, _values(str(alpha_real), "--alpha-real"))
    function = default_name(layer) if name is None else name
    errors = {"double": channel_errors(layer), "single": channel_errors(layer, rounding="single")}
    files = prelu_files(layer, function, errors)
    own = [f"{function}.h"]
    refuse_others(out, files, own, force=force)
    if check and (difference := first_difference(layer, function, files)):
        raise CheckFailed("the compiled C differs from its definition", got=difference)
    write_files(out, files, own, force=force)
    report = _document if json else _show
    report(layer, errors["double"], [out / file for file in files], function, checked=check)


def _document(
    layer: PreluLayer,
    errors: tuple[ChannelError, ...],
    files: list[Path],
    function: str,
    *,
    checked: bool,
) -> None:
    import dataclasses

    show.as_json(
        {
            "function": function,
            "header": str(files[0]),
            "files": [str(path) for path in files],
            "points": 1 << layer.spec.input.bits,
            "channels": [dataclasses.asdict(one) for one in errors],
            "max_error_codes": max(one.max_error_codes for one in errors),
            "max_error_lsb": max(one.max_error_lsb for one in errors),
            "slope_scale": layer.slope.scale,
            "slope_zero_point": layer.slope.zero_point,
            "checked_on": ["definition", *(["host-c"] if checked else [])],
        }
    )


def _show(
    layer: PreluLayer,
    errors: tuple[ChannelError, ...],
    files: list[Path],
    function: str,
    *,
    checked: bool,
) -> None:
    from embact.nn.prelu_header import compared_with, summary

    points = 1 << layer.spec.input.bits
    show.facts(
        [
            ("function", function),
            ("quantisation", show.spec_text(layer.spec)),
            ("slopes", f"{len(layer.codes)}, {show.grid_text(layer.slope)}"),
            ("error", summary(errors, points)),
            ("against", compared_with(layer)),
        ]
    )
    worst = max(errors, key=lambda one: (one.max_error_codes, one.max_error_lsb))
    rows = errors if len(errors) <= ROWS else (worst,)
    show.say()
    show.table(
        ("channel", "code", "slope", "max_error_codes", "max_error_lsb", "worst input"),
        [
            (
                *(one.channel, one.code, f"{one.slope:.9g}"),
                *(one.max_error_codes, one.max_error_lsb, one.worst_input),
            )
            for one in rows
        ],
    )
    show.say()
    if layer.spec.input.bits == 16 and worst.max_error_codes > 1:
        show.say(HINT)
    if checked:
        channels = f" of each of {len(errors)} channels" if len(errors) > 1 else ""
        show.say(f"compiled here: equals its definition on all {points} inputs{channels}")
    for path in files:
        show.say(f"wrote {path}")
    source = next(path.name for path in files if path.suffix == ".c")
    show.say(f"compile: cd {quote(str(files[0].parent))} && cc -std=c99 -O2 -c {source}")


def _grid(where: str, scale: float, zero_point: int, bits: int) -> Grid:
    from embact.grid import Grid

    try:
        return Grid(scale, zero_point, bits)
    except EmbactError as error:
        error.where = where
        raise


def _values(text: str, option: str) -> list[float]:
    """Return numbers separated by commas, or those of an .npy file, one for each channel.

    Raises EmbactError for an array whose dimensions but the last are not 1: Keras has those slopes,
    of shape (height, width, channels), unless PReLU is given shared_axes.
    """
    if not text.endswith(".npy"):
        return [number(one, option) for one in text.split(",")]
    import numpy as np

    with Path(text).open("rb") as file:
        start = file.read(len(NPY))
        if start != NPY:
            got = "other data" if start else "an empty file"
            raise EmbactError("not an array", got=got, allowed="what numpy.save writes", where=text)
        file.seek(0)
        try:
            loaded: Any = np.load(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise EmbactError(
                "not an array", got=error, allowed="what numpy.save writes", where=text
            ) from None
    if loaded.dtype.kind not in "iuf":
        raise EmbactError("not numbers", got=f"dtype {loaded.dtype}", where=text)
    if not loaded.size or loaded.size != (loaded.shape or (1,))[-1]:
        raise EmbactError(
            "shape of the slopes",
            got=loaded.shape,
            allowed="one for each channel: (channels,) or (1, 1, channels)",
            where=text,
        )
    return [float(one) for one in loaded.ravel().tolist()]


def _code(value: float) -> int:
    if not (-128 <= value <= 127 and value == int(value)):  # also false for nan
        raise EmbactError("code of a slope", got=value, allowed="integers -128..127")
    return int(value)
