"""The list of activations: everything that is declared, in tables that people and scripts read."""

from __future__ import annotations

import re

import pytest

from embact.activations import CATALOGUE, activation
from embact.catalogue.variants import ELSEWHERE, VARIANTS
from embact.cli import app
from embact.fit.problem import Problem
from embact.fit.search import FAMILIES, fit
from embact.fit.takes import GENERAL, TAKES, families_for, takes
from embact.grid import Grid, QuantSpec
from embact.listing import (
    HEADINGS,
    LOOP_HEADINGS,
    LOOPS,
    VARIANT_HEADINGS,
    activations,
    loop_rows,
    markdown,
    notes,
    parameters_text,
    rows,
    variant_rows,
)
from embact.truth import Parameter


def test_every_activation_is_a_row_in_the_catalogues_order():
    assert [row[0] for row in rows()] == list(CATALOGUE)
    assert {len(row) for row in rows()} == {len(HEADINGS)}
    assert all(cell for row in rows() for cell in row)


def test_every_family_is_declared_for_activations_that_exist():
    assert set(FAMILIES) == {*GENERAL, *TAKES}
    assert not set(GENERAL) & set(TAKES)
    assert set().union(*TAKES.values()) <= set(CATALOGUE)


def test_families_of_an_activation_are_those_that_take_it():
    for one in activations():
        assert set(one.families) == {family for family in FAMILIES if takes(family, one.name)}
    assert families_for("softsign", ("rational", "affine", "lut")) == ["rational", "lut"]
    assert "rational" not in families_for("gelu")


def test_an_unknown_family_takes_nothing(refuses):
    with refuses("unknown family", "'pwll'", "nearest: pwl"):
        takes("pwll", "gelu")


def test_a_family_that_does_not_take_an_activation_says_which_it_is_for(refuses):
    spec = QuantSpec(Grid(0.0625, 0, 8), Grid(0.03125, 0, 8))
    with refuses("no rational kernel of gelu", "being for softsign", "--family auto"):
        fit(Problem(activation("gelu"), spec), "rational")
    with refuses("no tflm kernel of relu", "tflm has no kernel here; try"):  # it takes relu
        fit(Problem(activation("relu"), QuantSpec(spec.input, Grid(0.1, 0, 16))), "tflm")


def test_the_command_of_every_loop_exists():
    known = {one.name or one.callback.__name__ for one in app.registered_commands}
    assert {one.command.split()[0] for one in LOOPS} <= known
    assert {len(row) for row in loop_rows()} == {len(LOOP_HEADINGS)}


def test_what_the_catalogue_says_of_a_loop_is_its_command():
    commands = {one.name: one.command for one in LOOPS if one.name in ELSEWHERE}
    assert set(commands) == {"softmax", "log_softmax", "prelu", "glu", "gates"}
    for name, command in commands.items():
        assert ELSEWHERE[name].startswith(f"`embact {command}")
    known = {one.name or one.callback.__name__ for one in app.registered_commands}
    words = [text.split()[1].rstrip("`") for text in ELSEWHERE.values() if text.startswith("`")]
    assert set(words) <= known


def test_variants_mean_entries_that_exist_with_parameters_that_they_have():
    assert {len(row) for row in variant_rows()} == {len(VARIANT_HEADINGS)}
    for one in VARIANTS:
        assert activation(one.entry, **dict(one.settings)).name == one.entry


def test_numbered_parameters_are_shown_together():
    some = [Parameter(name, default, -1, 1) for name, default in
            (("a1", 0.0), ("b1", 0.0), ("a2", 0.0), ("b2", 0.0), ("c", 0.5))]  # fmt: skip
    assert parameters_text(some) == "a1..a2=0, b1..b2=0, c=0.5"
    assert parameters_text(()) == "-"


def test_stars_and_notes_belong_together():
    starred = {row[0] for row in (*rows(), *loop_rows()) if row[-1].endswith("*")}
    assert starred == {re.match(r"\* (\w+): ", note)[1] for note in notes()}


def cells(line):
    """The cells of a Markdown table's line: bars that are escaped do not end one."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown_has_the_cells_of_the_tables():
    lines = [cells(line) for line in markdown().splitlines() if line.startswith("|")]
    shown = [tuple(cell.replace(r"\|", "|").replace("`", "") for cell in line) for line in lines]
    both = [HEADINGS, *rows(), LOOP_HEADINGS, *loop_rows()]
    assert [line for line in shown if set(line) != {"---"}] == both
    assert all(line[HEADINGS.index("formula")].startswith("`") for line in lines[2 : len(rows())])


@pytest.mark.parametrize("bar", [r"\|", "|"])
def test_a_bar_that_is_not_escaped_would_be_noticed(bar):
    assert len(cells(f"| softsign | `x/(1 + {bar}x{bar})` |")) == (2 if bar == r"\|" else 4)
