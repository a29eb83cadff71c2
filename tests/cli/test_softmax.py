"""The command that writes softmax and log_softmax."""

from __future__ import annotations

import json
import re
import subprocess
from shlex import split

import pytest


def test_the_files_compile_and_are_listed(embact, tmp_path):
    done = embact("softmax", "--in-scale", "0.12", "--out", "include")
    assert (done.returncode, done.stderr) == (0, "")
    for file in ("embact_softmax_layer_s8.h", "embact_nn.h", "embact_softmax_s8.c"):
        assert f"wrote include/{file}" in done.stdout
        assert (tmp_path / "include" / file).is_file()
    assert "table bytes   464" in done.stdout
    assert "the largest input code has the largest output" in done.stdout
    line = ["gcc", "-std=c99", "-Wall", "-Werror", "-c", "embact_softmax_s8.c"]
    subprocess.run(line, cwd=tmp_path / "include", check=True)


@pytest.mark.parametrize(
    ("words", "name", "table_bytes"),
    [
        (
            ["--in-scale", "0.25", "--out-dtype", "int16", "--beta", "0.5"],
            "embact_softmax_layer_s8_s16",
            444,
        ),
        (["--in-scale", "0.001", "--dtype", "int16"], "embact_softmax_layer_s16", 2052),
        (
            ["--in-scale", "0.001", "--dtype", "int16", "--mode", "tflite"],
            "embact_softmax_layer_s16",
            2052,
        ),
        (
            ["--in-scale", "0.1", "--mode", "exact", "--log"],
            "embact_log_softmax_exact_layer_s8",
            888,
        ),
    ],
)
def test_the_command_in_the_header_writes_it_again(embact, tmp_path, words, name, table_bytes):
    done = embact("softmax", *words, "--out", ".", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["function"], told["table_bytes"]) == (name, table_bytes)
    assert (told["bound_codes"] is None) == ("exact" not in words)
    header = tmp_path / f"{name}.h"
    text = header.read_text("utf-8")
    lines = re.search(r" \* command (.*?)\n \* input", text, re.DOTALL)[1]
    assert told["command"] == re.sub(r" \\\n \*\s*", " ", lines)
    for where in (text, told["statement"]):
        plain = " ".join(where.replace("\n *", " ").split())
        assert ("No error against the real softmax is proved" in plain) == ("exact" not in words)
    header.unlink()
    assert embact(*split(told["command"])[1:]).returncode == 0
    assert header.read_text("utf-8") == text


def test_another_header_is_replaced_by_force_only(embact, tmp_path):
    assert embact("softmax", "--in-scale", "0.12", "--out", ".").returncode == 0
    before = (tmp_path / "embact_softmax_layer_s8.h").read_text("utf-8")
    refused = embact("softmax", "--in-scale", "0.2", "--out", ".")
    assert refused.returncode == 2
    assert "another header is there" in refused.stderr
    assert (tmp_path / "embact_softmax_layer_s8.h").read_text("utf-8") == before
    assert embact("softmax", "--in-scale", "0.2", "--out", ".", "--force").returncode == 0
    assert (tmp_path / "embact_softmax_layer_s8.h").read_text("utf-8") != before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--in-scale", "0.1", "--dtype", "int4"], "unknown dtype"),
        (["--in-scale", "0.1", "--mode", "fast"], "unknown mode"),
        (["--in-scale", "-1"], "scale"),
        (["--in-scale", "0.1", "--beta", "-1"], "beta"),
        (["--in-scale", "0.1", "--log", "--out-dtype", "int16"], "widths of log_softmax"),
        (["--in-scale", "0.1", "--name", "embact_softmax_s8"], "name of a function"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(embact, tmp_path, words, said):
    done = embact("softmax", *words, "--out", ".")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
