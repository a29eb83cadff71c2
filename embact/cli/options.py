"""From words on the command line to activations, grids and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from embact.errors import EmbactError

if TYPE_CHECKING:
    from embact.activations import Activation
    from embact.grid import Grid, QuantSpec

DTYPES = {"int8": 8, "int16": 16}

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Family = Annotated[
    str, typer.Option(metavar="FAMILY", help="affine, lut, pwl; auto takes the fewest operations.")
]
MaxError = Annotated[
    int, typer.Option(metavar="CODES", help="Largest distance to the correctly rounded code.")
]
MaxBytes = Annotated[
    int | None, typer.Option(metavar="BYTES", help="Largest size of one kernel's tables.")
]
SlopeBits = Annotated[
    int | None, typer.Option(metavar="8|16", help="Width of the slopes of pwl; default: either.")
]


def number(text: str, what: str) -> float:
    """Return a real number from text. Raises EmbactError naming the option."""
    try:
        return float(text)
    except ValueError:
        raise EmbactError(what, got=repr(text), allowed="a number") from None


def bits_of(dtype: str, option: str) -> int:
    """Return the width of a code type by name."""
    if dtype not in DTYPES:
        raise EmbactError(option, got=repr(dtype), allowed=", ".join(DTYPES))
    return DTYPES[dtype]


def read_activation(name: str, settings: list[str]) -> Activation:
    """Return an activation with ``NAME=VALUE`` settings applied."""
    from embact.activations import activation

    values: dict[str, float] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or key in values:
            raise EmbactError(
                "--param", got=repr(setting), allowed="NAME=VALUE, once for each name"
            )
        values[key] = number(value, f"--param {key}")
    return activation(name, **values)


def read_grid(
    side: str, bits: int, real_range: str | None, scale: float | None, zero_point: int | None
) -> Grid | None:
    """Return the grid that ``--range`` or ``--in-scale`` gives, or None if neither is there."""
    from embact.grid import Grid, grid_of_range

    if real_range is not None:
        if scale is not None or zero_point is not None:
            raise EmbactError(
                "input quantisation given twice",
                allowed="--range, or --in-scale and --in-zero-point",
            )
        low, colon, high = real_range.partition(":")
        if not colon:
            raise EmbactError("--range", got=repr(real_range), allowed="LOW:HIGH")
        return grid_of_range(number(low, "--range"), number(high, "--range"), bits)
    if scale is None:
        if zero_point is not None:
            raise EmbactError(f"--{side}-zero-point without --{side}-scale", got=zero_point)
        return None
    try:
        return Grid(scale, zero_point or 0, bits)
    except EmbactError as error:
        error.where = {"in": "input", "out": "output"}[side]
        raise


def read_spec(
    activation: Activation,
    dtypes: tuple[str | None, str | None, str | None],
    real_range: str | None,
    into: tuple[float | None, int | None],
    out_of: tuple[float | None, int | None],
) -> QuantSpec:
    """Return the quantisation that the options of ``fit`` describe.

    dtypes: ``--dtype``, ``--in-dtype``, ``--out-dtype``. into, out_of: scale and zero point of each
    side. A missing output is filled in by TFLite's conventions.
    """
    from embact.conventions import output_grid
    from embact.grid import QuantSpec

    both, in_dtype, out_dtype = dtypes
    in_bits = bits_of(in_dtype or both or "int8", "--in-dtype" if in_dtype else "--dtype")
    out_bits = bits_of(out_dtype or both or "int8", "--out-dtype" if out_dtype else "--dtype")
    input_grid = read_grid("in", in_bits, real_range, *into)
    if input_grid is None:
        raise EmbactError("no input quantisation", allowed="--range LOW:HIGH, or --in-scale SCALE")
    output = read_grid("out", out_bits, None, *out_of)
    return QuantSpec(input_grid, output or output_grid(activation, input_grid, out_bits))
