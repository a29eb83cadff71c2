"""`embact list`: legible on a terminal of 80 columns, wide in a pipe, complete as JSON."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from embact.activations import CATALOGUE
from embact.catalogue.variants import VARIANTS
from embact.fit.search import FAMILIES
from embact.listing import HEADINGS, LOOPS, markdown


def on_terminal(columns, *words):
    """Return what a command prints on a terminal of so many columns, without styles."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    environment["TERM"] = "xterm"
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


NARROW = [["list"], ["list", "--variants"], ["list", "apl", "relu1", "softmax", "hard_tanh"]]


@pytest.mark.parametrize("words", NARROW)
def test_nothing_is_wider_than_a_terminal_of_80_columns(words):
    lines = on_terminal(80, *words)
    assert 70 < max(map(len, lines)) <= 80
    wanted = {"list": CATALOGUE, "--variants": VARIANTS}.get(words[-1], words)
    assert len(lines) > len(wanted)


@pytest.mark.parametrize("words", NARROW)
def test_a_pipe_obeys_columns_and_has_no_blanks_at_the_ends(embact, words):
    narrow = embact(*words, COLUMNS="80").stdout
    assert narrow.splitlines() == [line.rstrip() for line in on_terminal(80, *words)]
    for text in (narrow, embact(*words).stdout):
        assert not re.search(r" $", text, re.MULTILINE)


def test_names_select_what_goes_by_them_with_every_fact(embact):
    shown = embact("list", "leaky_relu", "relu1", "Softmax").stdout
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in shown.splitlines() if "  " in line)
    assert (facts["activation"], facts["not element-wise"]) == ("leaky_relu", "softmax")
    assert facts["formula"] == "exp(beta x) / sum exp(beta x), by row"
    assert facts["parameter"] == "alpha=0.2, from -1000 to 1000"
    assert "relu1 is clipped_relu(max=1) to TFLite's former custom op" in shown
    assert "leaky_relu is leaky_relu(alpha=0.3) to Keras' layer by default" in shown
    document = json.loads(embact("list", "leaky_relu", "softmax", "--json").stdout)
    assert [one["name"] for one in document["activations"]] == ["leaky_relu"]
    assert [one["name"] for one in document["not_element_wise"]] == ["softmax"]
    assert {one["name"] for one in document["variants"]} == {"leaky_relu"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("swsh",), "unknown name: got 'swsh'; allowed: nearest: swish"),
        (("geglu",), "geglu is no function of one number; allowed: `embact glu --gate gelu`"),
        (("gelu", "--variants"), "--variants: got gelu; allowed: without names"),
    ],
)
def test_names_that_there_are_not_are_refused_in_one_line(embact, words, message):
    done = embact("list", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr


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
