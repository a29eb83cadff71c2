"""The command that lists what there is: activations, families, loops, and who means what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.options import Json
from embact.errors import EmbactError

if TYPE_CHECKING:
    from embact.catalogue.variants import Variant
    from embact.listing import Listed, Loop

CORES = "cores"
"""Instead of names: the processor cores."""

WIDE = 150
"""Columns from which the table has one column for each fact."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("list")(list_activations)


def list_activations(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Only these, with every fact.")
    ] = None,
    variants: Annotated[
        bool, typer.Option("--variants", help="Names that texts disagree on: who means what.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the tables as in the README.")
    ] = False,
    json: Json = False,
) -> None:
    """List the activations: formulas, parameters, families, and what TFLite and TFLM have of them.

    `embact list cores` lists the processor cores that kernels are measured on.

    Example: `embact list`, `embact list gelu swish`, `embact list cores`
    """
    chosen = [name for name, on in _named(variants, markdown, json) if on]
    if len(chosen) > 1:
        raise EmbactError("options that do not go together", got=" ".join(chosen))
    if names == [CORES]:
        if variants or markdown:
            raise EmbactError(chosen[0], got=CORES, allowed="without cores")
        _show_cores(json=json)
        return
    if names and (variants or markdown):
        raise EmbactError(chosen[0], got=" ".join(names), allowed="without names")
    if json:
        show.as_json(_document(names or []))
    elif names:
        _show_sheets(names)
    elif markdown:
        from embact.listing import markdown as as_markdown

        show.say(as_markdown().rstrip("\n"))
    elif variants:
        _show_variants()
    else:
        _show_tables()


def _show_cores(*, json: bool) -> None:
    """Print the cores: what each has, what compiles and emulates for it here, and its costs."""
    from embact.bench.available import cores
    from embact.cost import packaged

    found, costs = cores(), packaged()
    fitted = {one.core: one for one in costs.fitted}
    if json:
        from dataclasses import asdict

        entries = [
            asdict(one)
            | {
                "costs": {
                    "structures_measured": len(costs.measured),
                    "fit_rms": fitted[one.name].rms,
                    "fit_worst": fitted[one.name].worst,
                }
            }
            for one in found
        ]
        show.as_json({"cores": entries, "costs_of": f"{costs.compiler}, {costs.emulator}"})
        return
    for number, one in enumerate(found):
        if number:
            show.say()
        prices = fitted[one.name]
        residual = f"RMS error {prices.rms:.0%}, {prices.worst:.0%} at worst"
        show.sheet(
            [
                ("core", one.name),
                ("architecture", f"{one.architecture}, tier {one.tier}"),
                ("has", one.has),
                ("compilers here", ", ".join(one.compilers) or "none"),
                ("emulators here", ", ".join(one.emulators) or "none"),
                ("costs", f"{len(costs.measured)} structures measured; others fitted, {residual}"),
            ]
        )
    show.say(f"\ncosts of {costs.compiler}, {costs.emulator}; measure: embact bench --core CORE")


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


def _show_sheets(names: list[str]) -> None:
    """Print every fact about some names: what they are here, and who means what by them."""
    entries, loops, variants = _of(names)
    sheets = [_entry_facts(one) for one in entries] + [_loop_facts(one) for one in loops]
    for number, facts in enumerate(sheets):
        if number:
            show.say()
        show.sheet(facts)
    if variants:
        if sheets:
            show.say()
        for one in variants:
            note = f": {one.note}" if one.note else ""
            show.wrapped(f"{one.name} is {one.meant} to {one.who}{note}")


def _entry_facts(one: Listed) -> list[tuple[str, object]]:
    from embact.listing import tflite_text

    facts: list[tuple[str, object]] = [
        ("activation", one.name),
        ("formula", one.formula),
        ("source", one.source),
        ("symmetry", one.symmetry),
    ]
    facts += [
        ("parameter", f"{p.name}={p.default:g}, from {p.low:g} to {p.high:g}")
        for p in one.parameters
    ]
    facts += [
        ("dtypes", ", ".join(one.dtypes)),
        ("families", ", ".join(one.families)),
        ("in TFLite as", tflite_text(one.tflite)),
    ]
    facts += [(f"in TFLM, {dtype}", answer or "-") for dtype, answer in one.tflite.tflm.items()]
    return facts + ([("note", one.tflite.note)] if one.tflite.note else [])


def _loop_facts(one: Loop) -> list[tuple[str, object]]:
    from embact.listing import placed, tflite_text, tflm_text

    found = placed(one.tflite)
    facts: list[tuple[str, object]] = [
        ("not element-wise", one.name),
        ("formula", one.formula),
        ("dtypes", one.dtypes),
        ("command", f"embact {one.command}"),
        ("in TFLite as", tflite_text(found)),
        ("in TFLM", tflm_text(found).removesuffix(" *")),
    ]
    return facts + ([("note", found.note)] if found.note else [])


def _of(names: list[str]) -> tuple[list[Listed], list[Loop], list[Variant]]:
    """Return what goes by some names, however they are spelled; all if there are none.

    Raises EmbactError for a name that is neither ours nor known elsewhere.
    """
    from embact import listing
    from embact.catalogue.variants import VARIANTS, elsewhere, plain
    from embact.errors import unknown_name

    entries, loops, variants = list(listing.activations()), list(listing.LOOPS), list(VARIANTS)
    if not names:
        return entries, loops, variants
    known = [one.name for one in entries] + [one.name for one in loops]
    known += [one.name for one in variants]
    spelled = {plain(one) for one in known}
    for name in names:
        if plain(name) not in spelled and (command := elsewhere(name)):
            raise EmbactError(f"{name} is no function of one number", allowed=command)
        if plain(name) not in spelled:
            raise unknown_name("name", name, dict.fromkeys(known))
    asked = {plain(name) for name in names}
    return (
        [one for one in entries if plain(one.name) in asked],
        [one for one in loops if plain(one.name) in asked],
        [one for one in variants if plain(one.name) in asked],
    )


def _document(names: list[str]) -> dict[str, object]:
    """Return everything as JSON: what the tables say, and sources, ranges and both TFLM answers.

    names: what it is about; everything if there are none.
    """
    from dataclasses import asdict

    from embact import listing
    from embact.fit.search import FAMILIES

    of_entries, of_loops, of_variants = _of(names)

    entries = [
        asdict(one)
        | {
            "parameters": [
                {"name": p.name, "default": p.default, "min": p.low, "max": p.high}
                for p in one.parameters
            ]
        }
        for one in of_entries
    ]
    loops = [asdict(one) | {"tflite": asdict(listing.placed(one.tflite))} for one in of_loops]
    variants = [asdict(one) | {"settings": dict(one.settings)} for one in of_variants]
    return {
        "families": list(FAMILIES),
        "activations": entries,
        "not_element_wise": loops,
        "variants": variants,
    }
