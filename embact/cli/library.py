"""The command that writes the C library of run-time kernels: library."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from embact.cli import show
from embact.cli.options import Json, Target, read_target
from embact.cli.writing import Out

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(library)


def library(out: Out, target: Target = None, json: Json = False) -> None:
    """Write the C library of kernels whose quantisation is passed at run time.

    Add its .c files to a build, or those that are used. Files of these names are replaced. With
    --target they have the code of one core, and compilers for others stop at an error.

    Example: `embact library --out embact_nn/`
    """
    from embact.files import write_texts
    from embact.nn.library import FUNCTIONS, HEADER, library_files

    core = read_target(target)
    files = library_files(target=core)
    write_texts(out, files)
    if json:
        show.as_json(
            {
                "header": str(out / HEADER),
                "files": [str(out / name) for name in files],
                "functions": list(FUNCTIONS),
            }
        )
        return
    for name in files:
        show.say(f"wrote {out / name}")
    compiler = "cc"
    if core is not None:
        vectors = " -mfloat-abi=hard" * (core.tier == "helium")
        compiler = f"arm-none-eabi-gcc -mcpu={core.name} -mthumb{vectors}"
    show.say(f"compile: cd {quote(str(out))} && {compiler} -std=c99 -O2 -c *.c")
