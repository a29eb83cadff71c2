"""Commands about the C of a kernel: emit, verify."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.options import Json
from embact.cli.writing import Force, Out, write_files
from embact.errors import EmbactError

if TYPE_CHECKING:
    from embact.fit.record import Fit


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(emit)
    app.command()(verify)


def emit(
    kernels: Annotated[list[Path], typer.Argument(metavar="KERNEL.json...", help="From `fit`.")],
    out: Out,
    name: Annotated[
        str | None, typer.Option(metavar="FUNCTION", help="Another name for the function.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Emit a C99 header for each kernel; the function has the name of the file.

    Example: `embact emit sigmoid.json --out include/`
    """
    from embact.emit.header import emit_header

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
    files = {f"{function}.h": text for function, text in headers.items()}
    write_files(out, files, files, force=force)
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
