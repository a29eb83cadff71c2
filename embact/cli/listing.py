"""The command that lists what there is: activations, families, loops, and who means what."""

from __future__ import annotations

from typing import Annotated

import typer

from embact.cli import show
from embact.cli.options import Json
from embact.errors import EmbactError

WIDE = 150
"""Columns from which the table has one column for each fact."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("list")(list_activations)


def list_activations(
    variants: Annotated[
        bool, typer.Option("--variants", help="Names that texts disagree on: who means what.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the tables as in the README.")
    ] = False,
    json: Json = False,
) -> None:
    """List the activations: formulas, parameters, families, and what TFLite and TFLM have of them.

    Example: `embact list`
    """
    chosen = [name for name, on in _named(variants, markdown, json) if on]
    if len(chosen) > 1:
        raise EmbactError("options that do not go together", got=" ".join(chosen))
    if json:
        show.as_json(_document())
    elif markdown:
        from embact.listing import markdown as as_markdown

        show.say(as_markdown().rstrip("\n"))
    elif variants:
        _show_variants()
    else:
        _show_tables()


def _named(variants: bool, markdown: bool, json: bool) -> list[tuple[str, bool]]:
    return [("--variants", variants), ("--markdown", markdown), ("--json", json)]


def _show_tables() -> None:
    from embact import listing

    rows, loops = listing.rows(), listing.loop_rows()
    if show.console().width >= WIDE:
        show.table(listing.HEADINGS, rows)
        show.say()
        show.table(listing.LOOP_HEADINGS, loops)
    else:
        show.table(("activation", "formula, families", "in TFLite as, in TFLM"), _narrow(rows))
        show.table(
            ("not element-wise", "formula, command", "in TFLite as, in TFLM"), _narrow_loops(loops)
        )
    show.say()
    for line in (*listing.LEGEND, *listing.notes()):
        show.wrapped(line)
    show.say("\n--family auto takes the best; more: embact list --variants, embact fit --help")


def _narrow(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the rows in three columns, several lines a cell, for a terminal of 80 columns."""
    return [
        (
            f"{name}\n{parameters.replace(', ', chr(10))}".removesuffix("\n-"),
            f"{formula}\n{families}" + f"\nsymmetry: {symmetry}" * (symmetry != "none") + "\n",
            f"{tflite}\nTFLM {tflm}\n",
        )
        for name, formula, symmetry, parameters, _, families, tflite, tflm in rows
    ]


def _narrow_loops(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [
        (f"{name}\n{dtypes}", f"{formula}\n{command}\n", f"{tflite}\nTFLM {tflm}\n")
        for name, formula, dtypes, command, tflite, tflm in rows
    ]


def _show_variants() -> None:
    from embact import listing

    headings = listing.VARIANT_HEADINGS
    rows = listing.variant_rows()
    if show.console().width >= WIDE:
        show.table(headings, rows)
    else:
        narrow = [
            (name, entry, f"{who}\n{note}".rstrip() + "\n") for name, entry, who, note in rows
        ]
        show.table((*headings[:2], "to whom"), narrow)


def _document() -> dict[str, object]:
    """Return everything as JSON: what the tables say, and sources, ranges and both TFLM answers."""
    from dataclasses import asdict

    from embact import listing
    from embact.catalogue.variants import VARIANTS
    from embact.fit.search import FAMILIES

    entries = [
        asdict(one)
        | {
            "parameters": [
                {"name": p.name, "default": p.default, "min": p.low, "max": p.high}
                for p in one.parameters
            ]
        }
        for one in listing.activations()
    ]
    loops = [asdict(one) | {"tflite": asdict(listing.placed(one.tflite))} for one in listing.LOOPS]
    variants = [asdict(one) | {"settings": dict(one.settings)} for one in VARIANTS]
    return {
        "families": list(FAMILIES),
        "activations": entries,
        "not_element_wise": loops,
        "variants": variants,
    }
