"""From words on the command line to activations, grids and limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embact.errors import EmbactError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import embact.cores
    from embact.activations import Activation
    from embact.certify import Histogram
    from embact.grid import Grid, QuantSpec

DTYPES = {"int8": 8, "int16": 16}

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Wanted = Annotated[
    str | None, typer.Argument(metavar="[ACTIVATION]", help="See `embact list`; or --expr.")
]
Expr = Annotated[
    str | None,
    typer.Option(metavar="FORMULA", help='An activation of your own: "x*tanh(log1p(exp(x)))".'),
]
Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="What to call the formula; default expr.")
]
Param = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="Set a parameter; repeatable.")
]
Meaning = Annotated[
    str | None,
    typer.Option(
        "--variant",
        metavar="MEANING",
        help='What the name means, as `embact list --variants` has it: "leaky_relu(alpha=0.3)".',
    ),
]
Dtype = Annotated[
    str | None, typer.Option(metavar="int8|int16", help="Codes of both sides; default int8.")
]
InDtype = Annotated[str | None, typer.Option(metavar="int8|int16")]
OutDtype = Annotated[str | None, typer.Option(metavar="int8|int16")]
RealRange = Annotated[
    str | None,
    typer.Option("--range", metavar="LOW:HIGH", help="Real input range, instead of a scale."),
]
Scale = Annotated[float | None, typer.Option(metavar="SCALE", help="Real value of one code.")]
ZeroPoint = Annotated[int | None, typer.Option(metavar="CODE", help="Code of real 0; default 0.")]
Family = Annotated[
    str,
    typer.Option(
        metavar="FAMILY", help="See `embact list`; auto takes the best of all by --objective."
    ),
]
Objective = Annotated[
    str | None,
    typer.Option(
        metavar="instructions|bytes|error|segments",
        help="What is best. By default instructions; for pwl and shift_pwl by name, segments; with "
        "--segments, or --max-bytes alone, error.",
    ),
]
Core = Annotated[
    str, typer.Option(metavar="CORE", help="Whose instructions count, as cortex-m0plus.")
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="CORE", help="Write what compilers for this core read; default: for every compiler."
    ),
]
MaxError = Annotated[
    int | None,
    typer.Option(
        metavar="CODES",
        help="Largest distance to the correctly rounded code; default 1, or any where the least "
        "error is wanted.",
    ),
]
MaxBytes = Annotated[
    int | None,
    typer.Option(
        metavar="BYTES",
        help="Largest size of one kernel's tables; default 2048 for int16 inputs if "
        "neither an error nor segments are given. Alone, it asks for the least error that fits.",
    ),
]
SlopeBits = Annotated[
    int | None, typer.Option(metavar="8|16", help="Width of the slopes of pwl; default: either.")
]
Terms = Annotated[
    int | None, typer.Option(metavar="1|2|3", help="Most powers of two in a slope of shift_pwl.")
]
Segments = Annotated[
    int | None,
    typer.Option(metavar="N", help="At most so many segments, with the least error they allow."),
]
Minimize = Annotated[
    str, typer.Option(metavar="max|mse", help="Which error is the least with --segments.")
]
Shifts = Annotated[
    str | None,
    typer.Option(metavar="common|each", help="One shift for all segments, or one for each."),
]
Continuous = Annotated[
    bool, typer.Option("--continuous", help="Segments of pwl meet (int8, 8-bit slopes).")
]
Fold = Annotated[
    bool | None,
    typer.Option("--fold/--no-fold", help="Use the symmetry, or do not; default: either."),
]
Lookup = Annotated[
    str | None,
    typer.Option(metavar="compare|index", help="How pwl finds a segment; default: either."),
]
Clamp = Annotated[
    str | None,
    typer.Option(metavar="codes|tight", help="Clamp to the code range, or as the budget allows."),
]
HistogramFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npz", help="How often input codes occur: `counts`, or the `codes` themselves."
    ),
]
OnSupport = Annotated[
    bool,
    typer.Option("--max-error-on-support", help="--max-error is about codes that occur only."),
]


ANY_ERROR = 1 << 16
"""A budget in codes that every kernel meets."""


TABLE_BYTES = 2048
"""Table bytes of a kernel for an int16 input, where the user sets no limit."""


def fill_in(values: dict[str, Any], family: str, input_bits: int) -> dict[str, Any]:
    """Return the limits and options by name, with what the user leaves open (None) decided.

    A family of segments that is asked for by name is the plain form with the fewest segments. Table
    bytes without an error, segments or an objective mean the least error that fits. Where the least
    error is wanted, any error is allowed; else 1 code. Tables for an int16 input have TABLE_BYTES
    at most, unless the user gives an error, table bytes or segments.
    """
    filled = {name: value for name, value in values.items() if value is not None}
    given = filled.keys() & {"max_error", "max_bytes", "segments", "objective"}
    if given == {"max_bytes"}:
        filled["objective"] = "error"
    if input_bits == DTYPES["int16"] and not given - {"objective"}:
        filled["max_bytes"] = TABLE_BYTES
    if family in ("pwl", "shift_pwl") and "objective" not in filled:
        plain = {"fold": False, "clamp": "codes", "objective": "segments"}
        if family == "pwl":
            plain["shifts"] = "common"
        filled = {**plain, **filled}
    if "segments" in filled and values.get("objective") is None:
        filled["objective"] = "error"
    least = "segments" in filled or filled.get("objective") == "error"
    return {"max_error": ANY_ERROR if least else 1, **filled}


def read_target(name: str | None) -> embact.cores.Core | None:
    """Return the core that ``--target`` names, or None."""
    from embact.cores import core

    return None if name is None else core(name)


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


def read_activation(
    name: str | None, settings: list[str], expr: str | None = None, called: str | None = None
) -> Activation:
    """Return an activation of the catalogue with ``NAME=VALUE`` settings, or a user's formula."""
    from embact.activations import activation
    from embact.expression import DEFAULT_NAME, parse

    if (name is None) == (expr is None):
        got = "none" if name is None else "an activation and --expr"
        raise EmbactError(
            "what to fit",
            got=got,
            allowed="ACTIVATION (see `embact list`) or --expr; see `embact fit --help`",
        )
    if expr is not None:
        if settings:
            raise EmbactError("--param", got="--expr", allowed="numbers in the formula")
        return parse(expr, called or DEFAULT_NAME)
    if called is not None:
        raise EmbactError("--name", got=repr(called), allowed="with --expr only")
    values: dict[str, float] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or key in values:
            raise EmbactError(
                "--param", got=repr(setting), allowed="NAME=VALUE, once for each name"
            )
        values[key] = number(value, f"--param {key}")
    return activation(str(name), **values)


def read_variant(name: str | None, meaning: str, settings: list[str]) -> tuple[str, list[str], str]:
    """Return the catalogue's name for a meaning of a name, its settings, and a note that says so.

    meaning: as it is listed. Settings that are given go before those that the meaning has.
    """
    from embact.catalogue.variants import meant

    if name is None:
        raise EmbactError("--variant", got=repr(meaning), allowed="with an ACTIVATION only")
    one = meant(name, meaning)
    given = {setting.partition("=")[0] for setting in settings}
    added = [f"{key}={value!r}" for key, value in one.settings if key not in given]
    means = f"{one.entry}({', '.join(added)})" if added else one.entry
    note = f"note: {name} is taken to mean {means} ({one.who})"
    return one.entry, [*settings, *added], f"{note}: {one.note}" if one.note else note


def read_histogram(path: Path, bits: int) -> Histogram:
    """Return the histogram of an .npz file: ``counts`` of all codes, or the ``codes`` themselves.

    Raises EmbactError for a file that is not that, naming it.
    """
    import zipfile
    import zlib

    import numpy as np

    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("one array, as of .npy")  # noqa: TRY301, TRY004 - told below
            arrays = {key: archive[key] for key in archive.files}
    except (
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        EOFError,
        AttributeError,
        TypeError,
        RuntimeError,
    ) as error:
        raise EmbactError(
            "not a histogram",
            got=(str(error) or type(error).__name__).splitlines()[0],
            allowed="an .npz archive",
            where=str(path),
        ) from None
    if len(arrays) != 1 or not arrays.keys() <= {"counts", "codes"}:
        raise EmbactError(
            "arrays of a histogram",
            got=", ".join(arrays) or "none",
            allowed="counts or codes",
            where=str(path),
        )
    ((key, values),) = arrays.items()
    try:
        return _histogram(key, values, bits)
    except EmbactError as error:
        error.where = str(path)
        raise


def _histogram(key: str, values: NDArray[Any], bits: int) -> Histogram:
    from embact.certify import Histogram, histogram_of

    if values.dtype.kind not in "iu":
        raise EmbactError(f"dtype of {key}", got=values.dtype, allowed="integers")
    if key == "codes":
        return histogram_of(values, bits)
    if values.shape != (1 << bits,):
        raise EmbactError("shape of counts", got=values.shape, allowed=f"({1 << bits},)")
    return Histogram(tuple(values.tolist()))


def read_range(text: str) -> tuple[float, float]:
    """Return the ends of ``LOW:HIGH``."""
    low, colon, high = text.partition(":")
    if not colon:
        raise EmbactError("--range", got=repr(text), allowed="LOW:HIGH")
    return number(low, "--range"), number(high, "--range")


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
        return grid_of_range(*read_range(real_range), bits)
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
