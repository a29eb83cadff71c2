"""Commands about one kernel: list, fit, emit, verify."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.options import (
    Family,
    Json,
    MaxBytes,
    MaxError,
    SlopeBits,
    read_activation,
    read_spec,
)
from embact.errors import EmbactError

if TYPE_CHECKING:
    from embact.fit.record import Fit

Scale = Annotated[float | None, typer.Option(metavar="SCALE", help="Real value of one code.")]
ZeroPoint = Annotated[int | None, typer.Option(metavar="CODE", help="Code of real 0; default 0.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("list")(list_activations)
    app.command()(fit)
    app.command()(emit)
    app.command()(verify)


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
    activation: Annotated[str, typer.Argument(metavar="ACTIVATION", help="See `embact list`.")],
    param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Set a parameter; repeatable.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="int8|int16", help="Codes of both sides; default int8.")
    ] = None,
    in_dtype: Annotated[str | None, typer.Option(metavar="int8|int16")] = None,
    out_dtype: Annotated[str | None, typer.Option(metavar="int8|int16")] = None,
    real_range: Annotated[
        str | None,
        typer.Option("--range", metavar="LOW:HIGH", help="Real input range, instead of a scale."),
    ] = None,
    in_scale: Scale = None,
    in_zero_point: ZeroPoint = None,
    out_scale: Scale = None,
    out_zero_point: ZeroPoint = None,
    family: Family = "auto",
    max_error: MaxError = 1,
    max_bytes: MaxBytes = None,
    slope_bits: SlopeBits = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the kernel as JSON.")
    ] = None,
    json: Json = False,
) -> None:
    """Fit an integer kernel to an activation, and prove its error on every input.

    Where the output quantisation is not given, TFLite's conventions fill it in.

    Example: `embact fit sigmoid --range -8:8 --max-error 1 --out sigmoid.json`
    """
    from embact.files import write_text
    from embact.fit.problem import Limits, Options, Problem
    from embact.fit.record import fit_json
    from embact.fit.search import fit as search

    wanted = read_activation(activation, param or [])
    into, out_of = (in_scale, in_zero_point), (out_scale, out_zero_point)
    spec = read_spec(wanted, (dtype, in_dtype, out_dtype), real_range, into, out_of)
    found = search(
        Problem(wanted, spec, Limits(max_error, max_bytes), Options(slope_bits=slope_bits)), family
    )
    if out is not None:
        write_text(out, fit_json(found))
    if json:
        show.say(fit_json(found).rstrip("\n"))
        return
    _show_fit(found)
    if out is not None:
        show.say(f"\nwrote {out}; next: embact emit {quote(str(out))} --out include/")
    else:
        show.say("\nnext: add --out kernel.json, then embact emit kernel.json --out include/")


def _show_fit(found: Fit) -> None:
    from embact.certify import stated

    proved = found.certificate
    settings = ", ".join(f"{k}={v:g}" for k, v in found.activation.settings().items())
    chosen = ", ".join(f"{k} {v}" for k, v in found.candidate.parameters.items())
    show.facts(
        [
            ("activation", f"{found.activation.name}{f' ({settings})' if settings else ''}"),
            ("formula", found.activation.formula),
            ("quantisation", show.spec_text(found.spec)),
            ("family", f"{found.family} ({chosen})"),
            ("max_error_codes", proved.max_error_codes),
            ("max_error_lsb", stated(proved.max_error_lsb)),
            ("mean_error_lsb", stated(proved.mean_error_lsb)),
            ("not correctly rounded", f"{proved.not_correctly_rounded} of {proved.points} inputs"),
            ("worst input", proved.worst_input),
            ("table bytes", found.kernel.table_bytes),
            ("digest", found.kernel.digest),
        ]
    )


def emit(
    kernels: Annotated[list[Path], typer.Argument(metavar="KERNEL.json...", help="From `fit`.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the headers.")],
    name: Annotated[
        str | None, typer.Option(metavar="FUNCTION", help="Another name for the function.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace headers that differ.")] = False,
    json: Json = False,
) -> None:
    """Emit a C99 header for each kernel; the function has the name of the file.

    Example: `embact emit sigmoid.json --out include/`
    """
    from embact.emit.header import emit_header
    from embact.files import is_file, read_text, write_text

    if name is not None and len(kernels) > 1:
        raise EmbactError("--name", got=f"{len(kernels)} kernels", allowed="one kernel")
    headers: dict[str, str] = {}
    origin: dict[str, Path] = {}
    for path in kernels:
        found = _read_fit(path)
        function = found.function_name if name is None else name
        if function in headers:
            raise EmbactError(
                f"two kernels are called {function}",
                got=f"{origin[function]} and {path}",
                allowed="one of them; emit the other with --name",
            )
        headers[function], origin[function] = emit_header({function: found}), path
    for function, text in headers.items():
        target = out / f"{function}.h"
        if not force and is_file(target) and read_text(target) != text:
            raise EmbactError(
                "another header is there", allowed="--force, or another --name", where=str(target)
            )
    for function, text in headers.items():
        write_text(out / f"{function}.h", text)
    listed = [{"function": f, "header": str(out / f"{f}.h")} for f in headers]
    if json:
        show.as_json({"headers": listed})
        return
    for entry in listed:
        show.say(f"wrote {entry['header']}")
    kernel, header = quote(str(kernels[0])), quote(listed[0]["header"])
    show.say(f"next: embact verify {kernel} --header {header}")


def verify(
    kernel: Annotated[Path, typer.Argument(metavar="KERNEL.json", help="From `fit`.")],
    header: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A header as it lies on disk, edited or not."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="FUNCTION", help="Which function of the header.")
    ] = None,
    json: Json = False,
) -> None:
    """Compile a kernel's C and compare it with the definition on every input.

    The certificate is computed again too. Exit status 1 if the C differs, naming the first input.

    Example: `embact verify sigmoid.json --header include/embact_sigmoid_s8.h`
    """
    from embact.emit.header import digests_in, emit_header, functions_in
    from embact.files import read_text
    from embact.run.host import PLACE, compile_header
    from embact.run.observer import check_isolated

    found = _read_fit(kernel)
    widths = (found.spec.input.bits, found.spec.output.bits)
    if header is None:
        function = found.function_name if name is None else name
        text, where = emit_header({function: found}), "the header emitted now"
    else:
        text, where = read_text(header), str(header)
        function = _choose(functions_in(text, *widths), name, found, where)
    compiled = compile_header(text, {function: widths})
    difference = check_isolated(compiled, {function: found.kernel}).get(function)
    if difference is None and found.kernel.digest not in digests_in(text):
        difference = "its comment does not state this kernel's digest"
    proved = found.certificate
    if json:
        show.as_json(
            {
                "function": function,
                "digest": found.kernel.digest,
                "checked_on": PLACE,
                "points": proved.points,
                "equal": difference is None,
                "difference": difference,
            }
        )
    elif difference is None:
        show.say(
            f"{function}: {where} equals the definition on all {proved.points} inputs; "
            f"max_error_codes {proved.max_error_codes} against {found.activation.name}"
        )
    else:
        show.say(f"{function}: {where} differs from the definition: {difference}")
    if difference is not None:
        raise typer.Exit(1)


def _choose(functions: list[str], name: str | None, found: Fit, where: str) -> str:
    """Return the function of a header to verify: the named one, the only one, or the default."""
    wanted = [f for f in functions if f == name] if name else functions
    if len(wanted) > 1:
        wanted = [f for f in wanted if f == found.function_name]
    if len(wanted) != 1:
        raise EmbactError(
            "no single function of this kernel's type",
            got=", ".join(functions) or "none",
            allowed="one, or choose by --name",
            where=where,
        )
    return wanted[0]


def _read_fit(path: Path) -> Fit:
    from embact.files import read_text
    from embact.fit.record import fit_of_json

    return fit_of_json(read_text(path), where=str(path))
