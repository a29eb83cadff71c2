"""Searching: fit's options, explore, histograms, formulas and real fits, as a user runs them."""

from __future__ import annotations

import csv
import json
import shlex

import numpy as np
import pytest

SIGMOID = [
    *("sigmoid", "--in-scale", "0.0625", "--out-scale", "0.00390625", "--out-zero-point", "-128"),
]
TANH = ["tanh", "--range", "-4:4"]


def document(embact, *words):
    done = embact("fit", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("words", "segments"),
    [
        ("--family pwl --slope-bits 8", 7),
        ("--family pwl --slope-bits 8 --max-error 0", 22),
        ("--family pwl --slope-bits 16 --max-error 0", 21),
        ("--family pwl --slope-bits 8 --fold", 4),
        ("--family shift_pwl --terms 1", 13),
        ("--family shift_pwl --terms 2", 8),
        ("--family shift_pwl --terms 1 --max-error 0", 46),
        ("--family shift_pwl --terms 2 --max-error 0", 22),
        ("--family shift_pwl --terms 2 --fold", 5),
        ("--family shift_pwl --terms 2 --fold --max-error 0", 11),
    ],
)
def test_a_family_by_name_has_the_provably_least_segments(embact, words, segments):
    assert document(embact, *SIGMOID, *words.split())["parameters"]["segments"] == segments


def test_the_least_error_of_a_number_of_segments(embact):
    found = document(embact, *SIGMOID, "--family", "pwl", "--segments", "5", "--slope-bits", "8")
    assert found["parameters"]["segments"] <= 5
    assert found["certificate"]["max_error_codes"] == 2
    exact = document(embact, *SIGMOID, "--family", "pwl", "--segments", "22", "--slope-bits", "8")
    assert exact["certificate"]["max_error_codes"] == 0


@pytest.mark.parametrize("objective", ["instructions", "bytes", "error", "segments"])
def test_the_command_of_a_kernel_finds_it_again(embact, objective, tmp_path):
    made = document(
        embact, *SIGMOID, "--objective", objective, "--max-error", "2", "--max-bytes", "60"
    )
    (tmp_path / "k.json").write_text(json.dumps(made), "utf-8")
    embact("emit", "k.json", "--out", ".")
    header = (tmp_path / "embact_sigmoid_s8.h").read_text("utf-8")
    start = header.index(" * command embact ") + len(" * command embact ")
    words = header[start : header.index(" * digest")].replace("\\\n", " ").replace(" *  ", " ")
    again = embact(*words.replace("*", " ").split(), "--json")
    assert json.loads(again.stdout)["digest"] == made["digest"]


def test_the_choice_says_why_in_one_sentence(embact):
    done = embact("fit", *TANH, "--core", "cortex-m0plus")
    assert "why " in done.stdout
    assert "has the fewest instructions on cortex-m0plus (" in done.stdout


def test_explain_prints_the_witnesses(embact):
    words = ["--family", "pwl", "--slope-bits", "8", "--explain"]
    done = embact("fit", *SIGMOID, *words)
    assert "by fewer than 7 segments" in done.stdout
    assert "-128" in done.stdout
    shown = json.loads(embact("fit", *SIGMOID, *words, "--json").stdout)
    proofs = shown["explanation"]["proofs"]
    assert [proof["shift"] for proof in proofs] == list(range(32))
    assert {proof["at_least"] for proof in proofs} <= {7, None}
    assert len(shown["fit"]["segments"]) == 7


def test_explore_prints_a_front_that_nothing_beats(embact, tmp_path):
    done = embact("explore", *TANH, "--max-error", "2", "--json", "--csv", "front.csv")
    rows = json.loads(done.stdout)
    points = [(r["max_error_codes"], r["instructions"], r["table_bytes"]) for r in rows]
    assert len(points) > 5
    assert len(set(points)) == len(points)
    assert not any(
        one != other and all(a <= b for a, b in zip(other, one, strict=True))
        for one in points
        for other in points
    )
    assert {row["max_error_codes"] for row in rows} == {0, 1, 2}
    with (tmp_path / "front.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert [row["digest"] for row in listed] == [row["digest"] for row in rows]
    for row in rows[:: max(1, len(rows) // 4)]:
        words = row["command"].split()[1:]
        assert json.loads(embact(*words, "--json").stdout)["digest"] == row["digest"]


def test_explore_draws_the_front(embact, tmp_path):
    done = embact("explore", *TANH, "--max-error", "1", "--family", "pwl", "--plot", "front.png")
    assert done.returncode == 0
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "  instructions  " in done.stdout


@pytest.mark.parametrize(("name", "head"), [("a/f.svg", b"<?xml"), ("f.PDF", b"%PDF")])
def test_the_suffix_names_the_kind_of_image(embact, tmp_path, name, head):
    done = embact("explore", *TANH, "--max-error", "1", "--family", "lut", "--plot", name)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / name).read_bytes().startswith(head)
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [name.split("/")[-1]]


def test_commands_name_the_given_histogram_and_find_the_kernels_again(embact, tmp_path):
    np.savez(tmp_path / "my data.npz", counts=np.arange(256))
    words = [*TANH, "--family", "pwl", "--max-error", "1", "--histogram", "my data.npz"]
    rows = json.loads(embact("explore", *words, "--json", "--csv", "f.csv").stdout)
    assert all("--histogram 'my data.npz' " in row["command"] for row in rows)
    assert "HISTOGRAM.npz" not in (tmp_path / "f.csv").read_text("utf-8")
    again = embact(*shlex.split(rows[0]["command"])[1:], "--json")
    assert json.loads(again.stdout)["digest"] == rows[0]["digest"]
    shown = embact("explore", *words).stdout
    assert "--histogram 'my data.npz' " in shown
    assert "HISTOGRAM.npz" not in shown


def test_a_histogram_makes_the_mean_an_expectation(embact, tmp_path):
    counts = np.zeros(256, dtype=np.int64)
    counts[128:160] = 7
    np.savez(tmp_path / "h.npz", counts=counts)
    np.savez(tmp_path / "codes.npz", codes=np.repeat(np.arange(32, dtype=np.int8), 5))
    words = [*TANH, "--family", "pwl", "--max-error", "3"]
    whole = document(embact, *words)
    weighted = document(embact, *words, "--histogram", "h.npz")
    assert weighted["digest"] == whole["digest"]
    assert weighted["certificate"]["support_points"] == 32
    assert weighted["certificate"]["mean_error_lsb"] != whole["certificate"]["mean_error_lsb"]
    same = document(embact, *words, "--histogram", "codes.npz")
    assert same["certificate"] == weighted["certificate"]
    support = document(embact, *words, "--histogram", "h.npz", "--max-error-on-support")
    assert support["certificate"]["max_error_codes_on_support"] <= 3
    assert support["certificate"]["max_error_codes"] > 3
    assert support["parameters"]["segments"] < whole["parameters"]["segments"]


def test_a_formula_is_fitted_emitted_and_verified(embact, tmp_path):
    formula = "x*tanh(log1p(exp(x)))"
    words = ["fit", "--expr", formula, "--name", "mymish", "--range", "-6:6", "--out", "m.json"]
    assert embact(*words).returncode == 0
    made = embact("emit", "m.json", "--out", ".")
    assert made.returncode == 0
    done = embact("verify", "m.json", "--header", "embact_mymish_s8.h")
    assert done.returncode == 0, done.stderr
    assert formula in (tmp_path / "embact_mymish_s8.h").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--segments", "8"], 5.67e-3),
        (["--segments", "8", "--continuous"], 6.04e-3),
        (["--segments", "8", "--terms", "2"], 0.00625),
    ],
)
def test_real_fits_reach_the_known_optimum(embact, words, error):
    done = embact("fit", "sigmoid", "--real", "--range", "-8:8", *words, "--json")
    assert json.loads(done.stdout)["max_error"] == pytest.approx(error, rel=0.01)
    shown = embact("fit", "sigmoid", "--real", "--range", "-8:8", *words).stdout
    assert "no such lines have less than" in shown


MISTAKES = {
    "fit": "ACTIVATION",
    "fit relu --expr x --range -1:1": "an activation and --expr",
    "fit --expr x+ --range -1:1": "formula",
    "fit --expr __import__('os') --range -1:1": "formula",
    "fit relu --name r --range -1:1": "--name",
    "fit --expr x --param a=1 --range -1:1": "--param",
    "fit relu --range -1:1 --objective size": "instructions, bytes, error, segments",
    "fit relu --range -1:1 --core cortex-m5": "cortex-m55",
    "fit relu --range -1:1 --family lut --terms 2": "family lut lacks",
    "fit relu --range -1:1 --terms 2 --minimize mse --segments 2": "no family has",
    "fit relu --range -1:1 --terms 5": "1, 2, 3",
    "fit relu --range -1:1 --segments 0": "segments",
    "fit relu --range -1:1 --max-error-on-support": "--histogram",
    "fit relu --range -1:1 --histogram none.npz": "none.npz",
    "fit relu --range -1:1 --histogram text.npz": "text.npz",
    "fit relu --range -1:1 --histogram short.npz": "(256,)",
    "fit relu --range -1:1 --histogram float.npz": "integers",
    "fit relu --range -1:1 --histogram wide.npz": "-128..127",
    "fit relu --range -1:1 --histogram other.npz": "counts or codes",
    "fit relu --range -1:1 --family lut --explain": "no witnesses",
    "fit sigmoid --real": "--range",
    "fit sigmoid --real --range -8:8": "--segments",
    "fit sigmoid --real --range -8:8 --segments 0": "segments",
    "fit sigmoid --real --range -8:8 --segments 4001": "1..4000",
    "fit sigmoid --real --range -8:8 --segments 8 --out k.json": "got --out;",
    "fit sigmoid --real --range -8:8 --segments 8 --no-fold --explain": "--fold, --explain",
    "fit sigmoid --real --range -8:8 --segments 8 --dtype int8 --max-error 1": "--dtype, --max",
    "fit sigmoid --real --range -8:8 --segments 8 --slope-bits 8": "got --slope-bits;",
    "fit sigmoid --real --range -8:8 --segments 8 --family auto": "got --family;",
    "fit sigmoid --real --range -8:8 --segments 8 --objective error": "got --objective;",
    "fit relu --range -1:1 --histogram array.npz": "one array, as of .npy; allowed: an .npz",
    "explore tanh": "input quantisation",
    "explore tanh --range -4:4 --max-error-on-support": "--histogram",
    "explore tanh --range -4:4 --plot front --csv f.csv": "--plot: got 'front'; allowed: a .",
    "explore tanh --range -4:4 --plot f.svg --csv ./f.svg": "two files",
    "explore tanh --range -4:4 --plot . --family lut": "--plot",
    "explore tanh --range -4:4 --plot text.npz/f.png --family lut": "text.npz/f.png",
    "explore tanh --range -4:4 --max-error -1": "error budget",
    "explore tanh --range -4:4 --plot front.xyz --family lut": "--plot",
    "explore tanh --range -4:4 --max-error 0 --max-bytes 0 --family lut": "no kernel",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(embact, tmp_path, line):
    (tmp_path / "text.npz").write_text("not an archive", "utf-8")
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.ones(256, dtype=np.int64))
    np.savez(tmp_path / "short.npz", counts=np.ones(9, dtype=np.int64))
    np.savez(tmp_path / "float.npz", counts=np.ones(256))
    np.savez(tmp_path / "wide.npz", codes=np.array([300]))
    np.savez(tmp_path / "other.npz", data=np.ones(256, dtype=np.int64))
    before = set(tmp_path.iterdir())
    done = embact(*line.split())
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert MISTAKES[line] in done.stderr
    assert set(tmp_path.iterdir()) == before
