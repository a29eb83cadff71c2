"""Commands about the C of a kernel: emit, verify."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.options import Json, Target, read_target
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
    target: Target = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Emit a C99 header for each kernel.

    Header and function are named after activation and width; --name chooses another name. A header
    has code for every core, of which a compiler takes what suits its own. With --target it has the
    code of one core and of those like it, and other compilers stop at an error.

    Example: `embact emit sigmoid.json --out include/ --target cortex-m4`
    """
    from embact.emit.header import emit_header

    if name is not None and len(kernels) > 1:
        raise EmbactError("--name", got=f"{len(kernels)} kernels", allowed="one kernel")
    core = read_target(target)
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
        headers[function], origin[function] = emit_header({function: found}, core), path
    files = {f"{function}.h": text for function, text in headers.items()}
    write_files(out, files, files, force=force)
    listed = [{"function": f, "header": str(out / f"{f}.h")} for f in headers]
    if json:
        show.as_json({"headers": listed})
        return
    for entry in listed:
        show.say(f"wrote {entry['header']}")
    kernel, header = quote(str(kernels[0])), quote(listed[0]["header"])
    place = "" if core is None else f" --core {core.name}"
    show.say(f"next: embact verify {kernel} --header {header}{place}")


def verify(
    kernel: Annotated[Path, typer.Argument(metavar="KERNEL.json", help="From `fit`.")],
    header: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A header as it lies on disk, edited or not."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="FUNCTION", help="Which function of the header.")
    ] = None,
    core: Annotated[
        str,
        typer.Option(
            metavar="CORE|all",
            help="On which emulated core, as `embact list cores` has it; `all` of them.",
        ),
    ] = "host",
    require_emulators: Annotated[
        bool,
        typer.Option(
            "--require-emulators",
            help="With --core all: no skipping of cores that lack a compiler or an emulator.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Compile a kernel's C and compare it with the definition on every input.

    The certificate is computed again too. Exit status 1 if the C differs, naming the first input.
    Cores need a cross compiler and an emulator: Debian's gcc-arm-none-eabi and qemu-system-arm, or
    `pip install "embact[emulate]"`, which has all but cortex-m55.

    Example: `embact verify sigmoid.json --header include/embact_sigmoid_s8.h --core cortex-m4`
    """
    from embact.emit.header import digests_in, emit_header, functions_in
    from embact.files import read_text

    found = _read_fit(kernel)
    widths = (found.spec.input.bits, found.spec.output.bits)
    if require_emulators and core != "all":
        raise EmbactError("--require-emulators", got=f"--core {core}", allowed="--core all")
    if header is None:
        function = found.function_name if name is None else name
        text, where = emit_header({function: found}), "the header emitted now"
    else:
        text, where = read_text(header), str(header)
        function = _choose(functions_in(text, *widths), name, found, where)
    places, skipped = _compared(text, function, found, core, skip=not require_emulators)
    if found.kernel.digest not in digests_in(text):
        unstated = "its comment does not state this kernel's digest"
        places = {place: words or unstated for place, words in places.items()}
    proved = found.certificate
    different = {place: words for place, words in places.items() if words}
    if json:
        show.as_json(
            {
                "function": function,
                "digest": found.kernel.digest,
                "checked_on": ["definition", *places],
                "points": proved.points,
                "equal": not different,
                "difference": next(iter(different.values()), None),
                "differences": different,
                "skipped": skipped,
            }
        )
    else:
        for place, words in different.items():
            on = "" if core == "host" else f" on {place}"
            show.say(f"{function}: {where} differs from the definition{on}: {words}")
        for name_of_core, why in skipped.items():
            show.say(f"skipped: {name_of_core}: {why}")
        if not different:
            on = "" if core == "host" else f" on {', '.join(places)}"
            show.say(
                f"{function}: {where} equals the definition on all {proved.points} inputs{on}; "
                f"max_error_codes {proved.max_error_codes} against {found.activation.name}"
            )
    if different:
        raise typer.Exit(1)


def _compared(
    text: str, function: str, found: Fit, wanted: str, *, skip: bool
) -> tuple[dict[str, str | None], dict[str, str]]:
    """Return in words how a function differs, by place, and why cores were skipped, by name.

    skip: whether a core of `all` without a compiler or emulator is skipped, or an error.
    """
    from embact.cores import CORES, HOST
    from embact.cores import core as core_of
    from embact.run.places import difference_on, lacking, place_of

    everywhere = {HOST.name: HOST, **CORES}
    chosen = everywhere if wanted == "all" else {wanted: everywhere.get(wanted) or core_of(wanted)}
    places: dict[str, str | None] = {}
    skipped: dict[str, str] = {}
    for name, core in chosen.items():
        if wanted == "all" and skip and (why := lacking(core)):
            skipped[name] = why
        else:
            places[place_of(core)] = difference_on(core, text, function, found.kernel)
    return places, skipped


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
