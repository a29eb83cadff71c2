"""The commands about one kernel, run as a user runs them and judged by what they print."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest

DONE_MEANS = [
    *("fit", "sigmoid", "--dtype", "int8", "--in-scale", "0.0625", "--out-scale", "0.00390625"),
    *("--out-zero-point", "-128", "--family", "pwl", "--slope-bits", "8", "--json"),
]

# The body of the function in a header of a byte lookup.
LOOP = "embact_loop_lut_s8(input, embact_sigmoid_s8_lut, output, size);"


TABLES, KNOTS, PIECES = (("--family", name) for name in ("lut", "interp", "pwl"))
"""Where it does not matter which kernel it is: found at once."""


def fitted(embact, name="k.json", words=("sigmoid", "--range", "-8:8", *TABLES)):
    assert embact("fit", *words, "--out", name).returncode == 0
    return name


@pytest.mark.parametrize(("budget", "segments"), [("1", 7), ("0", 22)])
def test_fit_finds_the_provably_least_segments(embact, budget, segments):
    document = json.loads(embact(*DONE_MEANS, "--max-error", budget).stdout)
    assert len(document["segments"]) == document["parameters"]["segments"] == segments
    assert document["certificate"]["max_error_codes"] == int(budget)


def test_fit_json_has_what_readers_of_the_schema_need(embact):
    document = json.loads(embact(*DONE_MEANS).stdout)
    assert document["schema"] == 2
    assert {"activation", "quantisation", "family", "parameters", "segments"} <= set(document)
    assert {"table_bytes", "digest", "certificate", "program", "limits"} <= set(document)
    assert document["certificate"]["points"] == 256
    assert document["quantisation"]["output"] == {"scale": 1 / 256, "zero_point": -128, "bits": 8}


def test_a_kernel_file_emits_the_same_header_byte_for_byte(embact, tmp_path):
    fitted(embact)
    for folder in ("one", "two"):
        assert embact("emit", "k.json", "--out", folder).returncode == 0
    first, second = (tmp_path / f / "embact_sigmoid_s8.h" for f in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    assert str(tmp_path) not in first.read_text("utf-8")


def test_the_command_in_a_header_makes_the_same_kernel(embact, tmp_path):
    fitted(embact, words=("leaky_relu", "--param", "alpha=0.1", "--range", "-3:5"))
    embact("emit", "k.json", "--out", ".")
    text = (tmp_path / "embact_leaky_relu_s8.h").read_text("utf-8")
    block = re.search(r"\* command embact (.*?)\n \* digest  (\w+)", text, re.DOTALL)
    words = block[1].replace(" *     ", " ").replace("\\\n", " ").split()
    assert json.loads(embact(*words, "--json").stdout)["digest"] == block[2]


def test_verify_accepts_an_untouched_header(embact, sigmoid):
    done = embact("verify", "k.json", "--header", "embact_sigmoid_s8.h")
    assert done.returncode == 0
    assert "all 256 inputs" in done.stdout


def test_verify_names_the_input_whose_table_entry_was_changed(embact, sigmoid):
    text = sigmoid.read_text("utf-8")
    start = text.index("{", text.index("_lut[256]")) + 1
    entries = text[start : text.index("}", start)].split(",")
    entries[72] = f" {int(entries[72]) - 1}"  # in byte order: input 72
    sigmoid.write_text(text[:start] + ",".join(entries) + text[text.index("}", start) :], "utf-8")
    done = embact("verify", "k.json", "--header", sigmoid.name)
    assert done.returncode == 1
    assert "input 72 gives" in done.stdout
    assert "(1 of 256 inputs differ)" in done.stdout
    assert json.loads(embact("verify", "k.json", "--header", sigmoid.name, "--json").stdout)[
        "equal"
    ] is (False)


def test_verify_refuses_a_kernel_file_whose_table_was_changed(embact, sigmoid, tmp_path):
    document = json.loads((tmp_path / "k.json").read_text("utf-8"))
    document["program"]["tables"][0]["values"][200] -= 1
    (tmp_path / "k.json").write_text(json.dumps(document), "utf-8")
    done = embact("verify", "k.json")
    assert done.returncode == 2
    assert "digest" in done.stderr


def test_two_kernels_never_share_a_name(embact, tmp_path):
    fitted(embact, "a.json")
    fitted(embact, "b.json", ("sigmoid", "--range", "-4:4", *TABLES))
    assert "two kernels are called" in embact("emit", "a.json", "b.json", "--out", "inc").stderr
    assert not (tmp_path / "inc").exists()
    assert embact("emit", "a.json", "--out", "inc").returncode == 0
    assert "another header is there" in embact("emit", "b.json", "--out", "inc").stderr
    assert embact("emit", "b.json", "--out", "inc", "--name", "gate_s8").returncode == 0
    assert embact("emit", "b.json", "--out", "inc", "--force").returncode == 0


def test_mixed_widths_and_a_new_name(embact, tmp_path):
    words = ("tanh", "--in-dtype", "int16", "--out-dtype", "int8", "--range", "-4:4")
    fitted(embact, words=(*words, *KNOTS))
    assert embact("emit", "k.json", "--out", ".").returncode == 0
    text = (tmp_path / "embact_tanh_s16_s8.h").read_text("utf-8")
    assert "void embact_tanh_s16_s8(const int16_t *input, int8_t *output, int32_t size)" in text


def test_tflites_conventions_fill_in_the_output(embact):
    def grids(*words):
        return json.loads(embact("fit", *words, "--json").stdout)["quantisation"]

    assert grids("tanh", "--range", "-4:4", *TABLES)["output"]["scale"] == 1 / 128
    words = ("--range", "-4:4", "--dtype", "int16", *KNOTS)
    assert grids("sigmoid", *words)["output"]["scale"] == 2.0**-15
    wide = grids("gelu", *words)
    assert wide["input"] == {"scale": float(np.float32(4 / 32767)), "zero_point": 0, "bits": 16}


MISTAKES = {
    "sigmod --range -1:1": "nearest: sigmoid",
    "leaky_relu --range -1:1 --param alfa=1": "allowed: nearest: alpha",
    "leaky_relu --range -1:1 --param alpha": "NAME=VALUE",
    "leaky_relu --range -1:1 --param alpha=x": "allowed: a number",
    "leaky_relu --range -1:1 --param alpha=nan": "-1000..1000",
    "relu": "no input quantisation",
    "relu --in-scale 0": "scale: got 0.0",
    "relu --in-scale -1": "scale: got -1.0",
    "relu --in-scale nan": "scale: got nan",
    "relu --in-scale inf": "scale: got inf",
    "relu --in-scale 1 --in-zero-point 128": "zero point outside int8: got 128",
    "relu --in-scale 1 --out-scale 1 --out-zero-point -129": "output: zero point outside int8",
    "relu --in-zero-point 3": "without --in-scale",
    "relu --range 1": "LOW:HIGH",
    "relu --range 2:1": "LOW < HIGH",
    "relu --range=-2:-1 --in-scale 1": "given twice",
    "relu --range=-inf:1": "finite",
    "relu --range -1:1 --dtype int4": "int8, int16",
    "relu --range -1:1 --family spline": "unknown family",
    "relu --range -1:1 --max-error -1": "error budget",
    "relu --range -1:1 --max-bytes -1": "table budget",
    "relu --range -1:1 --slope-bits 12": "slope bits",
    "sigmoid --range -8:8 --family pwl --max-error 0 --max-bytes 10": "meets the budget",
    "sigmoid --range -8:8 --family affine": "affine has no kernel here",
    "relu --range=-8:-7 --in-scale 1": "given twice",
    "relu --range -1:1 --out .": "it is a folder",
    "relu --range -1:1 --out /proc/none/k.json": "cannot be written",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(embact, tmp_path, words):
    done = embact("fit", *words.split())
    assert done.returncode == 2
    assert MISTAKES[words] in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


BAD_FILES = {
    "missing.json": (None, "cannot be read"),
    "empty.json": (b"", "not a kernel file"),
    "binary.json": (b"\xff\xfe\x00", "not a text file"),
    "list.json": (b"[1, 2]", "not a kernel file"),
    "old.json": (b'{"schema": 0}', "schema"),
    "part.json": (b'{"schema": 2}', "not a kernel file"),
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("command", ["emit", "verify"])
def test_a_bad_kernel_file_is_one_line_and_status_2(embact, tmp_path, name, command):
    content, said = BAD_FILES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = embact(command, name, *(["--out", "inc"] if command == "emit" else []))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert name in done.stderr
    assert not (tmp_path / "inc").exists()


def test_a_failing_compiler_is_quoted_with_its_command(embact, sigmoid, monkeypatch):
    monkeypatch.setenv("CC", "false")
    done = embact("verify", "k.json")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "false --version" in done.stderr


def test_a_header_that_does_not_compile_is_one_line(embact, sigmoid):
    text = sigmoid.read_text("utf-8")
    assert text.count(LOOP) == 1
    sigmoid.write_text(text.replace(LOOP, LOOP.replace("output", "outputs")), "utf-8")
    done = embact("verify", "k.json", "--header", sigmoid.name)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "outputs" in done.stderr


def test_every_command_has_help_with_an_example(embact):
    listed = embact("--help").stdout
    for command in ("list", "fit", "emit", "verify", "sites", "convert", "eval", "demo"):
        assert command in listed
        assert f"embact {command}" in embact(command, "--help").stdout


def test_list_names_every_activation_and_family(embact):
    document = json.loads(embact("list", "--json").stdout)
    names = {entry["name"] for entry in document["activations"]}
    assert {"sigmoid", "gelu", "sqnl", "softsign", "hard_sigmoid_02"} <= names
    plain = embact("list").stdout
    assert all(name in plain for name in names)


def test_text_in_a_kernel_file_never_reaches_c(embact, sigmoid, tmp_path):
    document = json.loads((tmp_path / "k.json").read_text("utf-8"))
    document["family"] = "lut */ int injected = 42; /*"
    (tmp_path / "k.json").write_text(json.dumps(document), "utf-8")
    for words in (("verify", "k.json"), ("emit", "k.json", "--out", "inc")):
        done = embact(*words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "family" in done.stderr
    assert not (tmp_path / "inc").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("*(volatile int8_t *)0 = 1;", "SIGSEGV"),
        ("output[size] = 0;", "writes outside its output"),
        ("if (size == 65) return;", "depends on how it is called"),
    ],
)
def test_verify_survives_any_header_and_says_what_it_did(embact, sigmoid, line, said):
    text = sigmoid.read_text("utf-8")
    assert text.count(LOOP) == 1
    sigmoid.write_text(text.replace(LOOP, f"{line}\n    {LOOP}"), "utf-8")
    done = embact("verify", "k.json", "--header", sigmoid.name, "--json")
    assert done.returncode == 1
    assert said in json.loads(done.stdout)["difference"]


def test_verify_refuses_a_header_of_another_digest(embact, sigmoid):
    text = sigmoid.read_text("utf-8")
    sigmoid.write_text(re.sub(r"(digest  )\w", r"\g<1>0", text), "utf-8")
    done = embact("verify", "k.json", "--header", sigmoid.name)
    assert done.returncode == 1
    assert "digest" in done.stdout


def test_a_header_states_no_less_than_the_error(embact, tmp_path):
    for span in ("-8:8", "-4:4", "-6:6", "-3:5", "-1:7"):
        document = json.loads(embact("fit", "gelu", f"--range={span}", *PIECES, "--json").stdout)
        (tmp_path / "k.json").write_text(json.dumps(document), "utf-8")
        embact("emit", "k.json", "--out", ".", "--force")
        text = (tmp_path / "embact_gelu_s8.h").read_text("utf-8")
        stated = float(re.search(r"and ([0-9.]+) lsb", text)[1])
        proved = document["certificate"]["max_error_lsb"]
        assert proved <= stated < proved + 2e-4


USAGE = ["emit", "fit", "bogus", "fit relu --max-error x", "fit relu --bogus", "sites"]


@pytest.mark.parametrize("words", USAGE)
def test_words_that_cannot_be_parsed_are_one_line_and_status_2(embact, words):
    done = embact(*words.split())
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--help" in done.stderr


def test_without_arguments_the_help_is_shown(embact):
    done = embact()
    assert done.returncode == 0
    assert "Usage: embact" in done.stdout


def test_a_reader_that_leaves_is_no_failure_and_a_full_disk_is(tmp_path):
    program = f"{sys.executable} -m embact list"
    for command, status in ((f"{program} | head -1", 0), (f"{program} > /dev/full", 2)):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr


def test_out_may_be_a_device():
    words = ["fit", "relu", "--range=-1:1", "--out", "/dev/stdout", "--json"]
    command = [sys.executable, "-m", "embact", *words]  # with a pipe, not a file
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.count('"schema": 2') == 2
