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
    if core == HOST and results is None:
        from embact.cli.bench_host import bench_host

        if kernels or compiler is not None:
            raise EmbactError("--core host", got="kernels or --compiler", allowed="$CC, no kernels")
        bench_host(csv, json=json)
        return
    report = _report(kernels or [], core, compiler, results)
    if require_emulators and report.skipped:
        missing = report.skipped[0]
        raise EmbactError(f"{missing.core} cannot be measured", got=missing.reason)
    _show(report, csv, json=json)
    for (place, row), text in report.wrong.items():
        show.complain(f"failed: {row} on {place}: {text}")
    if report.wrong:
        raise typer.Exit(1)


def _report(kernels: list[Path], core: str, compiler: str | None, results: Path | None) -> Report:
    from embact.bench.rows import standard
    from embact.bench.table import Report, bars_of, today_of

    if results is not None:
        from embact.bench.board import read_results

        if kernels or compiler is not None:
            raise EmbactError("--import", got="kernels or --compiler", allowed="neither")
        rows = standard()
        found = tuple(one for one in read_results(results) if core in {ALL, one.core})
        return Report(found, bars=bars_of(rows), today=today_of(rows))
    from embact.bench.campaign import run_cores
    from embact.cores import CORES

    subjects = _subjects(kernels)
    names = list(CORES) if core == ALL else [core]
    return run_cores(subjects, names, compiler, told=lambda name: show.complain(f"done: {name}"))


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

    from embact.bench.table import HEADINGS, of_core

    parts: dict[tuple[str, str, str], list[Measured]] = {}  # two boards may have one core
    for one in report.measured:
        parts.setdefault((one.core, one.compiler, one.where), []).append(one)
    for (core, compiler, where), rows in parts.items():
        show.say(f"{core}: {compiler}, {where}; for each element, and bytes\n")
        show.table(HEADINGS, of_core(dataclasses.replace(report, measured=tuple(rows)), core))
        show.say()
    for missing in report.skipped:
        show.say(f"skipped {missing.core}: {missing.reason}")
    if report.outputs_checked and not report.wrong:
        show.say(
            f"all {sum(report.outputs_checked.values())} outputs equal the definition's; "
            "instructions are counted, cycles are modelled"
        )
