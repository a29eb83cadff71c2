"""`embact gates` and `embact glu`, run as a user runs them."""

import json
import re
import shutil

import pytest

Q3_12 = ("--format", "q3.12", "--out", "o")
SWIGLU = ("glu", "--gate", "silu", "--a-scale", "0.03", "--b-scale", "0.05", "--out-scale", "0.1")


@pytest.fixture(scope="module")
def gates_made(embact_in, tmp_path_factory):
    """A folder in which the gates of Q3.12 were made, which takes seconds, and the call."""
    folder = tmp_path_factory.mktemp("gates")
    return folder, embact_in(folder, "gates", *Q3_12)


@pytest.fixture
def gates(gates_made, tmp_path):
    """The call; its folder ``o`` is in the one of the test."""
    shutil.copytree(gates_made[0] / "o", tmp_path / "o")
    return gates_made[1]


def test_gates_writes_a_header_and_two_kernels_that_verify(gates, embact, tmp_path):
    done = gates
    assert (done.returncode, done.stderr) == (0, "")
    names = ["embact_sigmoid_q3_12_s16", "embact_tanh_q3_12_s16"]
    header = tmp_path / "o" / "embact_gates_q3_12.h"
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == sorted(
        [header.name, *(f"{name}.json" for name in names)]
    )
    assert header.read_text().count("static const") == 1
    said = "table bytes: 654, one table for both; 1308 with a copy for each kernel; "
    assert said in done.stdout
    said = re.search(r"(\d+) as the smallest table .*, sigmoid (\d+) and tanh 654\n", done.stdout)
    assert int(said[1]) == int(said[2]) + 654
    lines = [line.removeprefix("next: embact ") for line in done.stdout.splitlines()[-2:]]
    for name, line in zip(names, lines, strict=True):
        assert line == f"verify o/{name}.json --header o/{header.name} --name {name}"
        assert embact(*line.split()).returncode == 0


def test_gates_replaces_nothing_that_differs_unasked(gates, embact, tmp_path):
    assert embact("gates", *Q3_12).returncode == 0  # the same again
    made = {path: path.read_text() for path in (tmp_path / "o").iterdir()}
    done = embact("gates", *Q3_12, "--max-error", "3")
    assert (done.returncode, "another header is there" in done.stderr) == (2, True)
    assert "--force, or another --name-prefix" in done.stderr
    assert {path: path.read_text() for path in (tmp_path / "o").iterdir()} == made
    kernel = tmp_path / "o" / "embact_tanh_q3_12_s16.json"
    kernel.write_text("{}")
    done = embact("gates", *Q3_12)
    assert (done.returncode, f"{kernel.name}: another kernel is there" in done.stderr) == (2, True)
    assert kernel.read_text() == "{}"
    assert embact("gates", *Q3_12, "--force").returncode == 0
    assert {path: path.read_text() for path in (tmp_path / "o").iterdir()} == made


def test_emit_gives_the_gates_of_several_formats_the_names_that_they_have(gates, embact, tmp_path):
    made = {path.stem: f"o/{path.name}" for path in (tmp_path / "o").glob("*_q3_12_*.json")}
    done = embact("gates", "--format", "q4.11", "--out", "o", "--json")
    for one in json.loads(done.stdout)["gates"]:
        made[one["function"]] = one["kernel"]
    assert len(made) == 4
    done = embact("emit", *made.values(), "--out", "include")
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.stem for path in (tmp_path / "include").iterdir()} == set(made)
    for function, kernel in made.items():
        header = tmp_path / "include" / f"{function}.h"
        assert "* pair    the command writes sigmoid and tanh" in header.read_text()
        assert embact("verify", kernel, "--header", header).returncode == 0


def test_verify_notices_a_changed_knot_in_both_gates(gates, embact, tmp_path):
    header = tmp_path / "o" / "embact_gates_q3_12.h"
    text = header.read_text()
    knot = re.search(r"\{\n(?:    .*\n){5}    (-?\d+),", text)
    header.write_text(text[: knot.start(1)] + "-32768" + text[knot.end(1) :])
    for name in ("embact_sigmoid_q3_12_s16", "embact_tanh_q3_12_s16"):
        done = embact("verify", f"o/{name}.json", "--header", str(header), "--name", name)
        assert done.returncode == 1
        assert "differs from the definition" in done.stdout


def test_the_command_in_the_header_of_gates_makes_the_same_kernels(embact, tmp_path):
    words = ("--in-scale", "0.0003", "--max-bytes", "300", "--name-prefix", "gru", "--out", "o")
    done = embact("gates", *words, "--json")
    document = json.loads(done.stdout)
    assert document["shared"]
    assert document["table_bytes"] <= 300
    text = (tmp_path / "o" / "embact_gru_gates.h").read_text()
    block = re.search(r"\* command embact (.*?)\n \* digest", text, re.DOTALL)
    again = block[1].replace(" *     ", " ").replace("\\\n", " ").split()
    other = json.loads(embact(*again, "--json").stdout)
    assert [one["digest"] for one in other["gates"]] == [one["digest"] for one in document["gates"]]
    assert [one["function"] for one in document["gates"]] == [
        "embact_gru_sigmoid_s16",
        "embact_gru_tanh_s16",
    ]


def test_gates_says_when_there_are_two_tables(embact):
    done = embact("gates", "--in-scale", "0.125", "--out", "o")
    assert done.returncode == 0
    assert "two tables: no shared one serves this input scale" in done.stdout


def test_glu_writes_what_a_build_needs_and_its_command_makes_it_again(embact, tmp_path):
    done = embact(*SWIGLU, "--b-zero-point", "-7", "--name", "swiglu", "--out", "o", "--json")
    document = json.loads(done.stdout)
    files = sorted(path.name for path in (tmp_path / "o").iterdir())
    assert files == sorted(
        [
            *("embact_glu_s8.c", "embact_glu_arithmetic.h", "embact_nn.h"),
            *("embact_nn_arithmetic.h", "embact_tiers.h", "swiglu.h"),
        ]
    )
    assert document["certificate"]["pairs"] == 65536
    assert document["certificate"]["max_error_codes"] <= 1
    text = (tmp_path / "o" / "swiglu.h").read_text()
    block = re.search(r"\* command embact (.*?)\n \* a   ", text, re.DOTALL)
    words = block[1].replace(" *     ", " ").replace("\\\n", " ").split()
    assert embact(*words).returncode == 0
    assert (tmp_path / "swiglu.h").read_text() == text


@pytest.mark.parametrize(
    "family", [("--family", "interp"), pytest.param((), marks=pytest.mark.slow)]
)
def test_int16_glu_brings_a_kernel_that_verifies(embact, tmp_path, family):
    done = embact(
        *("glu", "--gate", "sigmoid", "--dtype", "int16", "--a-scale", "0.0003", *family),
        *("--b-scale", "0.0003", "--out-scale", "0.0003", "--out", "o"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "proved bound of" in done.stdout
    assert "over all 4294967296 pairs of codes" in done.stdout
    name = "embact_glu_sigmoid_s16_gate"
    assert embact("verify", f"o/{name}.json", "--header", f"o/{name}.h").returncode == 0
    text = (tmp_path / "o" / "embact_glu_sigmoid_s16.h").read_text()
    assert "--max-error" not in text
    block = re.search(r"\* command embact (.*?)\n \* a   ", text, re.DOTALL)
    words = block[1].replace(" *     ", " ").replace("\\\n", " ").split()
    assert embact(*words).returncode == 0
    assert (tmp_path / "embact_glu_sigmoid_s16.h").read_text() == text


MISTAKES = {
    "gates --out o": "--format or --in-scale",
    "gates --format q3.12 --in-scale 1 --out o": "--format or --in-scale",
    "gates --format q3.11 --out o": "allowed: q0.15, q1.14",
    "gates --format q16.-1 --out o": "allowed: q0.15, q1.14",
    "gates --in-scale 0 --out o": "scale",
    "gates --format q3.12 --max-bytes 2 --out o": "no shared table",
    "gates --format q3.12 --max-bytes 600 --max-error 1 --out o": "654 bytes or more",
    "gates --format q3.12 --name-prefix A --out o": "name of a function",
    "glu --gate nosuch --a-scale 1 --b-scale 1 --out-scale 1 --out o": "unknown activation",
    "glu --gate silu --a-scale 0 --b-scale 1 --out-scale 1 --out o": "a: scale",
    "glu --gate silu --a-scale 1 --b-scale 1 --out-scale 1 --dtype int4 --out o": "--dtype",
    "glu --gate silu --a-scale 1 --b-scale 1 --out-scale 1 --max-error 2 --out o": "int16 only",
    "glu --gate silu --a-scale 1 --b-scale 1 --out o": "--out-scale",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(embact, tmp_path, line):
    done = embact(*line.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert MISTAKES[line] in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_glu_replaces_no_other_header_unasked(embact):
    assert embact(*SWIGLU, "--out", "o").returncode == 0
    other = (*SWIGLU, "--out-zero-point", "3", "--out", "o")
    done = embact(*other)
    assert (done.returncode, "another header is there" in done.stderr) == (2, True)
    assert embact(*other, "--force").returncode == 0


def test_glu_replaces_no_other_header_of_an_int16_gate_unasked(embact, tmp_path):
    line = (*SWIGLU, "--dtype", "int16", "--family", "interp", "--max-error", "1", "--out", "o")
    assert embact(*line).returncode == 0
    gate = tmp_path / "o" / "embact_glu_silu_s16_gate.h"
    made = gate.read_text()
    assert embact(*line).returncode == 0  # the same again
    gate.write_text("/* mine */\n")
    done = embact(*line)
    assert (done.returncode, f"{gate.name}: another header is there" in done.stderr) == (2, True)
    assert gate.read_text() == "/* mine */\n"
    assert embact(*line, "--force").returncode == 0
    assert gate.read_text() == made
