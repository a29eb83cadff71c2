"""`embact list`: legible on a terminal of 80 columns, wide in a pipe, complete as JSON."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from embact.activations import CATALOGUE
from embact.catalogue.variants import VARIANTS
from embact.fit.search import FAMILIES
from embact.listing import HEADINGS, LOOPS, markdown


def on_terminal(columns, *words):
    """Return what a command prints on a terminal of so many columns, without styles."""
    parent, child = pty.openpty()
    environment = dict(os.environ, COLUMNS=str(columns), TERM="xterm")
    code = "from embact.cli import main; main()"
    running = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=child, stdin=child, env=environment
    )
    os.close(child)
    text = b""
    while True:
        try:
            more = os.read(parent, 1 << 16)
        except OSError:  # what Linux says when the other side is closed
            break
        if not more:
            break
        text += more
    os.close(parent)
    assert running.wait() == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", text.decode()).splitlines()


@pytest.mark.parametrize("words", [["list"], ["list", "--variants"]])
def test_nothing_is_wider_than_a_terminal_of_80_columns(words):
    lines = on_terminal(80, *words)
    assert max(map(len, lines)) <= 80
    assert len(lines) > len(CATALOGUE if words == ["list"] else VARIANTS)


def test_names_are_whole_on_a_terminal_of_80_columns():
    lines = on_terminal(80, "list")
    first = {line.split(" ")[0] for line in lines}
    assert set(CATALOGUE) <= first
    assert {one.name for one in LOOPS if " " not in one.name} <= first


def test_a_wide_terminal_has_a_column_for_each_fact():
    lines = on_terminal(200, "list")
    assert [word for word in re.split(r"  +", lines[0]) if word] == list(HEADINGS)
    assert max(map(len, lines)) > 80


def test_a_pipe_has_the_wide_table(embact):
    lines = embact("list").stdout.splitlines()
    assert [word for word in re.split(r"  +", lines[0]) if word] == list(HEADINGS)
    assert set(CATALOGUE) <= {line.split(" ")[0] for line in lines}


def test_json_has_everything(embact):
    document = json.loads(embact("list", "--json").stdout)
    assert document["families"] == list(FAMILIES)
    entries = {entry["name"]: entry for entry in document["activations"]}
    assert list(entries) == list(CATALOGUE)
    assert entries["gelu"]["tflite"]["tflm"] == {"int8": "no", "int16": "no"}
    assert entries["softsign"]["tflite"]["operators"] == ["ABS", "ADD", "DIV"]
    assert "rational" in entries["softsign"]["families"]
    assert entries["leaky_relu"]["parameters"][0]["default"] == 0.2
    for entry in entries.values():
        keys = {"formula", "source", "symmetry", "dtypes", "families", "parameters", "tflite"}
        assert keys <= set(entry)
    assert [one["name"] for one in document["not_element_wise"]] == [one.name for one in LOOPS]
    assert len(document["variants"]) == len(VARIANTS)


def test_variants_say_who_means_what(embact):
    shown = embact("list", "--variants").stdout
    for one in VARIANTS:
        assert one.name in shown
        assert one.entry in shown
        assert one.who.split()[0] in shown


def test_markdown_is_what_the_readme_gets(embact):
    assert embact("list", "--markdown").stdout == markdown()


def test_two_forms_at_once_are_refused(embact):
    done = embact("list", "--json", "--markdown")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--markdown --json" in done.stderr
