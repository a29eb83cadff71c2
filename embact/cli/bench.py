"""Command bench: what kernels and loops cost on cores, every output checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.options import Json
from embact.errors import EmbactError

if TYPE_CHECKING:
    from embact.bench.record import Measured
    from embact.bench.subject import Subject
    from embact.bench.table import Report

ALL, HOST = "all", "host"

Kernels = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[KERNEL.json]...", help="From `fit`; else the standard rows."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(bench)


def bench(
    kernels: Kernels = None,
    core: Annotated[
        str, typer.Option(metavar="CORE|all|host", help="Where; see `embact list cores`.")
    ] = ALL,
    compiler: Annotated[
        str | None,
        typer.Option(metavar="gcc|clang|zig", help="Kind of compiler; default: the first found."),
    ] = None,
    require_emulators: Annotated[
        bool,
        typer.Option("--require-emulators", help="A core that cannot be measured is an error."),
    ] = False,
    optimise: Annotated[
        str | None, typer.Option(metavar="-O2|-O3|-Os", help="For the compiler; default -O2.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option("--import", metavar="FILE", help="Show what a board printed instead."),
    ] = None,
    csv: Annotated[
        str | None, typer.Option(metavar="FILE.csv|-", help="Write CSV; - prints it.")
    ] = None,
    json: Json = False,
) -> None:
    """Count instructions on emulated cores, and compare every output with the definition.

    Instructions are counted exactly; cycles are modelled, and called so, or counted by a board.
    Exit status 1 if an output is wrong. On the host, times of our loops and others are compared.

    Example: `embact bench --core cortex-m4`
    """
    if json and csv == "-":
        raise EmbactError("--json and --csv", got="-", allowed="one of them on the output")
    if csv is not None and csv != "-":
        _check_place(Path(csv))
    built = compiler is not None or optimise is not None
    if results is not None:
        if kernels or built:
            raise EmbactError(
                "--import", got="kernels, --compiler or --optimise", allowed="none of them"
            )
        report = _imported(results, core)
    elif core == HOST:
        from embact.cli.bench_host import bench_host

        if kernels or built:
            raise EmbactError(
                "--core host",
                got="kernels, --compiler or --optimise",
                allowed="$CC, none of them",
            )
        bench_host(csv, json=json)
        return
    else:
        skip = core == ALL and not require_emulators
        report = _measured(kernels or [], core, compiler, optimise, skip=skip)
    _show(report, csv, json=json)
    for (place, row), text in report.wrong.items():
        show.complain(f"failed: {row} on {place}: {text}")
    if report.wrong:
        raise typer.Exit(1)


def _check_place(path: Path) -> None:
    """Raise EmbactError if a file cannot be written there; nothing is left behind."""
    import os
    import tempfile

    problem = ""
    try:
        there = path.exists()
        if path.is_dir():
            problem = "it is a folder"
        elif there and not os.access(path, os.W_OK):
            problem = "it is read-only"
        elif not there or path.is_file():  # else a device or a pipe, which is written to as it is
            folder = next(one for one in path.resolve().parents if one.exists())
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".embact."):
                pass
    except NotADirectoryError:
        problem = "a file where its folder should be"
    except OSError as error:
        problem = error.strerror or "no such place"
    if problem:
        raise EmbactError("file cannot be written", got=problem, where=f"--csv {path}")


def _imported(results: Path, core: str) -> Report:
    """Return what boards printed, all or that of a core, of which there must be something."""
    from embact.bench.board import read_results
    from embact.bench.rows import standard
    from embact.bench.table import Report, bars_of, today_of
    from embact.cores import core as core_of

    if core not in {ALL, HOST}:
        core_of(core)  # refuses what is none
    found = read_results(results)
    chosen = tuple(one for one in found if core in {ALL, one.core})
    if not chosen:
        there = ", ".join(dict.fromkeys(one.core for one in found))
        raise EmbactError(
            f"no results of {core}",
            got=f"results of {there}",
            allowed=f"--core {there.replace(', ', ' or ')}, or no --core",
            where=str(results),
        )
    rows = standard()
    return Report(chosen, bars=bars_of(rows), today=today_of(rows), imported=True)


def _measured(
    kernels: list[Path], core: str, compiler: str | None, optimise: str | None, *, skip: bool
) -> Report:
    """Measure on a core or all; skip: whether one that cannot be measured is no error."""
    from embact.bench.campaign import run_cores
    from embact.bench.measure import BUILD, Build
    from embact.cores import CORES
    from embact.cores import core as core_of

    names = list(CORES) if core == ALL else [core_of(core).name]
    build = Build(compiler, BUILD.optimise if optimise is None else optimise)
    return run_cores(
        _subjects(kernels),
        names,
        build,
        skip=skip,
        told=lambda name: show.complain(f"done: {name}"),
    )


def _subjects(kernels: list[Path]) -> tuple[Subject, ...]:
    """Return the rows of kernel files, called as the files are, or the standard ones."""
    from embact.bench.rows import standard
    from embact.bench.subject import of_fit
    from embact.files import read_text
    from embact.fit.record import fit_of_json

    if not kernels:
        return standard()
    names: dict[str, Path] = {}
    for path in kernels:
        if path in names.values():
            raise EmbactError("a kernel is there twice", got=path, allowed="once")
        if (other := names.setdefault(path.stem, path)) != path:
            raise EmbactError(
                f"two kernels are called {path.stem}", got=f"{other} and {path}", allowed="one"
            )
    return tuple(
        of_fit(name, fit_of_json(read_text(path), where=str(path))) for name, path in names.items()
    )


def _show(report: Report, csv: str | None, *, json: bool) -> None:
    from embact.bench.table import as_csv, document
    from embact.files import write_text

    if csv is not None and csv != "-":
        write_text(Path(csv), as_csv(report))
    if csv == "-":
        show.say(as_csv(report).rstrip("\n"))
    elif json:
        show.as_json(document(report))
    else:
        _show_tables(report)
    if csv not in {None, "-"} and not json:
        show.say(f"\nwrote {csv}")


def _show_tables(report: Report) -> None:
    import dataclasses

    from embact.bench.table import HEADINGS, of_core, told

    parts: dict[tuple[str, str, str], list[Measured]] = {}  # two boards may have one core
    for one in report.measured:
        parts.setdefault((one.core, one.compiler, one.where), []).append(one)
    for (core, compiler, where), rows in parts.items():
        show.say(f"{core}: {compiler}, {where}; for each element, and bytes\n")
        part = dataclasses.replace(report, measured=tuple(rows))
        show.table(*told(HEADINGS, of_core(part, core)))
        show.say()
    for missing in report.skipped:
        show.say(f"skipped {missing.core}: {missing.reason}")
    if report.imported:
        show.say("all outputs equal the definition's, says the board")
    elif report.outputs_checked and not report.wrong:
        show.say(
            f"all {sum(report.outputs_checked.values())} outputs equal the definition's; "
            "instructions are counted, cycles are modelled"
        )
