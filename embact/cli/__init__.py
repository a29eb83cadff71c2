"""The command line: the only place that prints.

It parses words into the vocabulary of the other modules, calls them, and shows what they return.
Heavy modules are imported by the command that needs them, so that ``embact --help`` is quick.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from embact import __version__
from embact.cli import (
    bench,
    board,
    evaluating,
    exploring,
    fitting,
    gates,
    glu,
    headers,
    library,
    listing,
    models,
    prelu,
    quantizing,
    show,
    sites,
    softmax,
    sweeping,
)
from embact.errors import CheckFailed, EmbactError

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for words that it cannot parse; newer ones bring their own click."""

app = typer.Typer(
    name="embact",
    help="The activation compiler for microcontrollers: integer kernels, proved on every input.",
    no_args_is_help=False,
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


listing.register(app)
fitting.register(app)
exploring.register(app)
headers.register(app)
gates.register(app)
glu.register(app)
library.register(app)
bench.register(app)
board.register(app)
prelu.register(app)
softmax.register(app)
sweeping.register(app)
sites.register(app)
models.register(app)
evaluating.register(app)
quantizing.register(app)


def main() -> None:
    """Run the command line and exit.

    Status 0: done. 1: a check did not hold. 2: a mistake in what was asked. Both of the latter are
    one line on stderr. Without arguments the help is shown.
    """
    sys.exit(_run(sys.argv[1:] or ["--help"]))


def _run(arguments: list[str]) -> int:
    """Run a command; returns the exit status."""
    try:
        status = app(arguments, prog_name="embact", standalone_mode=False)
        sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except (BrokenPipeError, SystemExit):
        # the reader has left, as `head` does, which is no failure; click turns that into an exit
        _leave_stdout()
        return 0
    except (EmbactError, USAGE_ERROR, OSError) as error:
        line, status = _verdict(error)
        show.complain(line)
        if isinstance(error, OSError):
            _leave_stdout()
    return status if isinstance(status, int) else 0


def _leave_stdout() -> None:
    """Send to nowhere what Python still holds for a stdout that takes no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _verdict(error: Exception) -> tuple[str, int]:
    """Return what to say about an error, on one line, and the exit status."""
    if isinstance(error, CheckFailed):
        return f"failed: {error}", 1
    if isinstance(error, EmbactError):
        return f"error: {error}", 2
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"error: {place}reading or writing failed: got {error.strerror or error}", 2
    context = getattr(error, "ctx", None)
    words = error.format_message()  # type: ignore[attr-defined]
    command = context.command_path if context else "embact"
    return f"error: {' '.join(words.split())}; see `{command} --help`", 2
