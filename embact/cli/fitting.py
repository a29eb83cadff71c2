"""Command fit: find a kernel."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import kernels, show
from embact.cli.options import (
    Clamp,
    Continuous,
    Core,
    Dtype,
    Expr,
    Family,
    Fold,
    HistogramFile,
    InDtype,
    Json,
    Lookup,
    MaxBytes,
    MaxError,
    Meaning,
    Minimize,
    Name,
    Objective,
    OnSupport,
    OutDtype,
    Param,
    RealRange,
    Scale,
    Segments,
    Shifts,
    SlopeBits,
    Terms,
    Wanted,
    ZeroPoint,
    fill_in,
    read_activation,
    read_histogram,
    read_range,
    read_spec,
    read_variant,
)
from embact.errors import EmbactError

if TYPE_CHECKING:
    from embact.activations import Activation


REAL_OPTIONS = frozenset(
    (
        *("activation", "variant", "expr", "name", "param", "json"),
        *("real", "real_range", "segments", "continuous", "terms"),
    )
)
"""The parameters of ``fit`` that --real takes."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(fit)


def fit(
    context: typer.Context,
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
    objective: Objective = None,
    core: Core = "cortex-m4",
    max_error: MaxError = None,
    max_bytes: MaxBytes = None,
    slope_bits: SlopeBits = None,
    terms: Terms = None,
    segments: Segments = None,
    minimize: Minimize = "max",
    shifts: Shifts = None,
    continuous: Continuous = False,
    fold: Fold = None,
    lookup: Lookup = None,
    clamp: Clamp = None,
    histogram: HistogramFile = None,
    max_error_on_support: OnSupport = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Print why fewer segments are impossible: pwl, shift_pwl."),
    ] = False,
    real: Annotated[
        bool,
        typer.Option(
            "--real", help="Fit lines in real numbers: --range, --segments, --continuous, --terms."
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the kernel as JSON.")
    ] = None,
    json: Json = False,
) -> None:
    """Fit an integer kernel to an activation, and prove its error on every input.

    Where the output quantisation is not given, TFLite's conventions fill it in.

    Example: `embact fit sigmoid --range -8:8 --max-error 1 --out sigmoid.json`
    """
    if variant is not None:
        activation, param, note = read_variant(activation, variant, param or [])
        show.complain(note)
    wanted = read_activation(activation, param or [], expr, name)
    if real:
        _check_real(context)
        _fit_real(wanted, real_range, segments, continuous, terms, json)
        return

    from embact.files import write_text
    from embact.fit.explain import explain as explained
    from embact.fit.problem import Limits, Options, Problem
    from embact.fit.record import fit_json, fit_record
    from embact.fit.search import choose

    into, out_of = (in_scale, in_zero_point), (out_scale, out_zero_point)
    spec = read_spec(wanted, (dtype, in_dtype, out_dtype), real_range, into, out_of)
    values = fill_in(
        {
            "max_error": max_error,
            "max_bytes": max_bytes,
            "slope_bits": slope_bits,
            "terms": terms,
            "segments": segments,
            "minimize": minimize,
            "shifts": shifts,
            "continuous": continuous,
            "fold": fold,
            "lookup": lookup,
            "clamp": clamp,
            "objective": objective,
            "core": core,
        },
        family,
        spec.input.bits,
    )
    counts = None if histogram is None else read_histogram(histogram, spec.input.bits)
    limits = Limits(values.pop("max_error"), values.pop("max_bytes", None), max_error_on_support)
    choice = choose(Problem(wanted, spec, limits, Options(**values), counts), family)
    found = choice.fit
    why = explained(found) if explain else None
    if out is not None:
        write_text(out, fit_json(found))
    if json:
        if why is None:
            show.say(fit_json(found).rstrip("\n"))
        else:
            show.as_json({"fit": fit_record(found), "explanation": kernels.explanation(why)})
        return
    kernels.show_fit(found, choice.reason)
    if why is not None:
        kernels.show_explanation(found, why)
    if out is not None:
        show.say(f"\nwrote {out}; next: embact emit {quote(str(out))} --out include/")
    else:
        show.say("\nnext: add --out kernel.json, then embact emit kernel.json --out include/")


def _check_real(context: typer.Context) -> None:
    """Raise EmbactError if an option was given that a fit in real numbers does not have."""
    given = [
        param.opts[0]
        for param in context.command.params
        if param.name not in REAL_OPTIONS
        and (source := context.get_parameter_source(param.name or ""))
        and source.name == "COMMANDLINE"
    ]
    if given:
        raise EmbactError(
            "--real", got=", ".join(given), allowed="--range, --segments, --continuous, --terms"
        )


def _fit_real(
    wanted: Activation,
    real_range: str | None,
    segments: int | None,
    continuous: bool,
    terms: int | None,
    json: bool,
) -> None:
    from embact.fit.real import POINTS, minimax

    if real_range is None or segments is None:
        raise EmbactError(
            "--real", got="no --range" if real_range is None else "no --segments", allowed="both"
        )
    if segments >= POINTS:
        raise EmbactError("segments", got=segments, allowed=f"1..{POINTS - 1}")
    low, high = read_range(real_range)
    found = minimax(wanted, low, high, segments, continuous=continuous, terms=terms)
    if json:
        import dataclasses

        show.as_json(dataclasses.asdict(found))
    else:
        kernels.show_real(wanted, found, continuous=continuous)
