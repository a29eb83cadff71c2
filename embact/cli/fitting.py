"""Commands that find kernels: list, fit, explore."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embact.cli import show
from embact.cli.options import (
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
    read_activation,
    read_histogram,
    read_objective,
    read_range,
    read_spec,
)
from embact.errors import EmbactError

if TYPE_CHECKING:
    from embact.activations import Activation
    from embact.fit.explain import Explanation, Need
    from embact.fit.real import RealFit
    from embact.fit.record import Fit

EXPLORED_CODES = 8
"""The largest error that `explore` looks at, unless it is told."""

ANY_ERROR = 1 << 16


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("list")(list_activations)
    app.command()(fit)
    app.command()(explore)


def list_activations(json: Json = False) -> None:
    """List the activations, their formulas and parameters.

    Example: `embact list`
    """
    from embact.activations import CATALOGUE
    from embact.fit.search import FAMILIES

    if json:
        show.as_json(
            {
                "families": list(FAMILIES),
                "activations": [
                    {
                        "name": entry.name,
                        "formula": entry.formula,
                        "source": entry.source,
                        "symmetry": entry.symmetry,
                        "parameters": [
                            {"name": p.name, "default": p.default, "min": p.low, "max": p.high}
                            for p in entry.parameters
                        ],
                    }
                    for entry in CATALOGUE.values()
                ],
            }
        )
        return
    rows = [
        (
            entry.name,
            entry.formula,
            entry.symmetry,
            ", ".join(f"{p.name}={p.default:g}" for p in entry.parameters) or "-",
            entry.source,
        )
        for entry in CATALOGUE.values()
    ]
    show.table(("activation", "formula", "symmetry", "parameters", "source"), rows)
    show.say(f"\nfamilies: {', '.join(FAMILIES)}; --family auto takes the cheapest")


def fit(
    activation: Wanted = None,
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
    max_error: Annotated[
        int | None,
        typer.Option(
            metavar="CODES",
            help="Largest distance to the correctly rounded code; default 1, or any if the least "
            "error is wanted.",
        ),
    ] = None,
    max_bytes: MaxBytes = None,
    slope_bits: SlopeBits = None,
    terms: Terms = None,
    segments: Segments = None,
    minimize: Minimize = "max",
    shifts: Shifts = "common",
    continuous: Continuous = False,
    fold: Fold = None,
    lookup: Lookup = None,
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
    wanted = read_activation(activation, param or [], expr, name)
    if real:
        _fit_real(wanted, real_range, segments, continuous, terms, json)
        return

    from embact.files import write_text
    from embact.fit.explain import explain as explained
    from embact.fit.problem import Limits, Options, Problem
    from embact.fit.record import fit_json, fit_record
    from embact.fit.search import choose

    into, out_of = (in_scale, in_zero_point), (out_scale, out_zero_point)
    spec = read_spec(wanted, (dtype, in_dtype, out_dtype), real_range, into, out_of)
    best, fold = read_objective(family, objective, fold)
    chosen: dict[str, Any] = {  # Options says what is allowed
        "slope_bits": slope_bits,
        "terms": terms,
        "segments": segments,
        "minimize": minimize,
        "shifts": shifts,
        "continuous": continuous,
        "fold": fold,
        "lookup": lookup,
        "objective": best,
        "core": core,
    }
    options = Options(**chosen)
    if max_error is None:
        max_error = ANY_ERROR if segments is not None or best == "error" else 1
    counts = None if histogram is None else read_histogram(histogram, spec.input.bits)
    if max_error_on_support and counts is None:
        raise EmbactError("--max-error-on-support without a histogram", allowed="--histogram")
    limits = Limits(max_error, max_bytes, max_error_on_support)
    choice = choose(Problem(wanted, spec, limits, options, counts), family)
    found = choice.fit
    why = explained(found) if explain else None
    if out is not None:
        write_text(out, fit_json(found))
    if json:
        if why is None:
            show.say(fit_json(found).rstrip("\n"))
        else:
            show.as_json({"fit": fit_record(found), "explanation": _explanation(why)})
        return
    _show_fit(found, choice.reason)
    if why is not None:
        _show_explanation(found, why)
    if out is not None:
        show.say(f"\nwrote {out}; next: embact emit {quote(str(out))} --out include/")
    else:
        show.say("\nnext: add --out kernel.json, then embact emit kernel.json --out include/")


def _show_fit(found: Fit, reason: str) -> None:
    from embact.certify import stated
    from embact.cost import instructions

    proved, histogram = found.certificate, found.problem.histogram
    core = found.problem.options.core
    settings = ", ".join(f"{k}={v:g}" for k, v in found.activation.settings().items())
    chosen = ", ".join(f"{k} {v}" for k, v in found.candidate.parameters.items())
    mean = f"{stated(proved.mean_error_lsb)}{' over the histogram' if histogram else ''}"
    facts: list[tuple[str, object]] = [
        ("activation", f"{found.activation.name}{f' ({settings})' if settings else ''}"),
        ("formula", found.activation.formula),
        ("quantisation", show.spec_text(found.spec)),
        ("family", f"{found.family}{f' ({chosen})' if chosen else ''}"),
        ("why", reason),
        ("max_error_codes", proved.max_error_codes),
        ("max_error_lsb", stated(proved.max_error_lsb)),
        ("mean_error_lsb", mean),
        ("not correctly rounded", f"{proved.not_correctly_rounded} of {proved.points} inputs"),
        ("worst input", proved.worst_input),
        ("estimated instructions", f"{instructions(found.kernel, core)} for an element on {core}"),
        ("table bytes", found.kernel.table_bytes),
        ("digest", found.kernel.digest),
    ]
    if histogram is not None:
        most = f"{proved.max_error_codes_on_support} codes on {proved.support_points} inputs"
        facts.insert(7, ("on the support", f"at most {most}"))
    if proved.truth != "oracle":
        facts.append(("truth", "the user's float64 function, not checked by an oracle"))
    show.facts(facts)


def _show_explanation(found: Fit, why: Explanation) -> None:
    """Print the witnesses for the kernel's shift, and what the other shifts need."""
    chosen = found.candidate.parameters
    budget = f"{found.limits.max_error} code{'s' * (found.limits.max_error != 1)}"
    if why.max_error_lsb is not None:
        budget = f"{why.max_error_lsb:.6f} lsb"
    slopes = f"slopes of {why.slope_bits} bits"
    if why.terms:
        slopes = f"slopes of at most {why.terms} signed powers of two"
    (proof,) = [proof for proof in why.proofs if proof.shift == chosen["shift"]]
    show.say(
        f"\nNo kernel with {slopes} and shift {proof.shift} serves every input within {budget} "
        f"by fewer than {proof.at_least} segments,\nbecause no one line serves all of any of these "
        f"stretches ({why.variable}; slopes in units of 2^-{proof.shift}):\n"
    )
    show.table(
        ("first", "last", "the slope must be at least", "and at most"),
        [(w.first, w.last, _need(w.at_least), _need(w.at_most)) for w in proof.witnesses],
    )
    others = [p for p in why.proofs if p.shift != proof.shift]
    if others:
        none = sum(p.at_least is None for p in others)
        some = [p.at_least for p in others if p.at_least is not None]
        show.say(
            f"\nThe other {len(others)} shifts: "
            + (f"{len(some)} need {min(some)} segments or more" if some else "")
            + (", " if some and none else "")
            + (f"{none} serve some input not at all" if none else "")
            + " (--json has their witnesses)"
        )


def _need(need: Need | None) -> str:
    if need is None:
        return "what the width allows"
    one, other = need.inputs
    if one == other:
        return f"impossible at {one}: no int32"
    return f"{need.slope} by {one} and {other}"


def _explanation(why: Explanation) -> dict[str, object]:
    import msgspec

    from embact.fit.line import FREE

    bounds = why.bounds
    outputs = [
        (x, None if low <= -FREE else low, None if high >= FREE else high)
        for x, low, high in zip(
            bounds.x.tolist(), bounds.low.tolist(), bounds.high.tolist(), strict=True
        )
    ]
    plain: dict[str, object] = msgspec.to_builtins(
        {
            "variable": why.variable,
            "slope_bits": why.slope_bits,
            "terms": why.terms,
            "align": why.align,
            "max_error_lsb": why.max_error_lsb,
            "outputs": outputs,
            "proofs": why.proofs,
        }
    )
    return plain


def _fit_real(
    wanted: Activation,
    real_range: str | None,
    segments: int | None,
    continuous: bool,
    terms: int | None,
    json: bool,
) -> None:
    from embact.fit.real import minimax

    if real_range is None or segments is None:
        raise EmbactError(
            "--real", got="no --range" if real_range is None else "no --segments", allowed="both"
        )
    low, high = read_range(real_range)
    found = minimax(wanted, low, high, segments, continuous=continuous, terms=terms)
    if json:
        import dataclasses

        show.as_json(dataclasses.asdict(found))
    else:
        _show_real(wanted, found, continuous)


def _show_real(wanted: Activation, found: RealFit, continuous: bool) -> None:
    show.facts(
        [
            ("activation", f"{wanted.name} on [{found.low:g}, {found.high:g}], real numbers"),
            ("segments", f"{found.segments}{', continuous' if continuous else ''}"),
            ("max_error", f"{found.max_error:.6g}; no such lines have less than {found.least:.6g}"),
            ("mean_error", f"{found.mean_error:.6g}"),
            ("mean_squared_error", f"{found.mean_squared_error:.6g}"),
        ]
    )
    show.say()
    starts = (found.low, *found.breakpoints)
    rows = zip(starts, found.slopes, found.intercepts, strict=True)
    show.table(("from", "slope", "intercept"), [[f"{v:.9g}" for v in row] for row in rows])


def explore(
    activation: Wanted = None,
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
    max_bytes: MaxBytes = None,
    histogram: HistogramFile = None,
    max_error_on_support: OnSupport = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the front (extra `plot`).")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the table.")] = None,
    json: Json = False,
) -> None:
    """Show the kernels that no other beats in error, table bytes and estimated instructions.

    Example: `embact explore tanh --range -4:4 --max-error 4`
    """
    from embact.files import write_text
    from embact.fit.problem import Limits, Options, Problem
    from embact.fit.search import front
    from embact.report import draw_front, front_csv, front_rows

    wanted = read_activation(activation, param or [], expr, name)
    into, out_of = (in_scale, in_zero_point), (out_scale, out_zero_point)
    spec = read_spec(wanted, (dtype, in_dtype, out_dtype), real_range, into, out_of)
    counts = None if histogram is None else read_histogram(histogram, spec.input.bits)
    if max_error_on_support and counts is None:
        raise EmbactError("--max-error-on-support without a histogram", allowed="--histogram")
    limits = Limits(max_error, max_bytes, max_error_on_support)
    found = front(Problem(wanted, spec, limits, Options(core=core), counts), family)
    if not found:
        raise EmbactError(
            f"no kernel of {wanted.name}",
            got=f"{max_error} codes" + ("" if max_bytes is None else f", {max_bytes} table bytes"),
            allowed="more of either",
        )
    rows = front_rows(found)
    if csv is not None:
        write_text(csv, front_csv(rows))
    if plot is not None:
        draw_front(rows, f"{wanted.name}, {show.spec_text(spec)}, {core}", plot)
    if json:
        show.as_json([dict(row) for row in rows])
        return
    show.say(f"{wanted.name}: {wanted.formula}, {show.spec_text(spec)}, on {core}\n")
    show.table(
        (
            *("max_error_codes", "max_error_lsb", "table bytes", "est. instructions"),
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
    show.say(f"\nnext: the first of them is: {found[0].command}\n      (--json has all)")
