"""The command line: the only place that prints.

It parses words into the vocabulary of the other modules, calls them, and shows what they return.
Heavy modules are imported by the command that needs them, so that ``embact --help`` is quick.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from embact import __version__
from embact.cli import fitting, models
from embact.errors import EmbactError

app = typer.Typer(
    name="embact",
    help="The activation compiler for microcontrollers: integer kernels, proved on every input.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"embact {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


fitting.register(app)
models.register(app)


def main() -> None:
    """Run the command line. A mistake of the user ends with one line on stderr and status 2."""
    try:
        app()
    except EmbactError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
