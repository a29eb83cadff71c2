"""The commands library and prelu, run as a user runs them."""

from __future__ import annotations

import json
import re
import subprocess

import numpy as np
import pytest

from embact.nn.library import FUNCTIONS, library_files

PRELU = ("prelu", "--in-scale", "0.05", "--out-scale", "0.04", "--out", "c")


def test_library_writes_every_file_and_says_how_to_compile(embact, tmp_path, compilers):
    done = embact("library", "--out", "a folder")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "a folder").iterdir()) == sorted(
        library_files()
    )
    *wrote, last = done.stdout.splitlines()
    assert len(wrote) == len(library_files())
    assert last == "compile: cd 'a folder' && cc -std=c99 -O2 -c *.c"
    for words in compilers.values():
        line = [
            *words,
            "-std=c99",
            "-c",
            *(name for name in library_files() if name.endswith(".c")),
        ]
        subprocess.run(line, cwd=tmp_path / "a folder", check=True)


def test_library_as_json(embact):
    done = embact("library", "--out", "c", "--json")
    said = json.loads(done.stdout)
    assert said["functions"] == list(FUNCTIONS)
    assert said["header"] == "c/embact_nn.h"
    assert len(said["files"]) == len(library_files())


def test_prelu_writes_a_checked_header_and_what_it_needs(embact, tmp_path):
    done = embact(*PRELU, "--alpha-real", "0.1,0.25,-0.3", "--name", "act", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "equals its definition on all 256 inputs of each of 3 channels" in done.stdout
    needed = library_files(["embact_prelu_s8"])
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == sorted(["act.h", *needed])


def command_in(text):
    """The command that a header states, as words."""
    lines = text[text.index(" * command ") :].split(" * input")[0].splitlines()
    words = " ".join(line.removeprefix(" *").strip().removesuffix("\\") for line in lines)
    return words.removeprefix("command embact ").split()


@pytest.mark.parametrize(
    "slopes",
    [
        ("--alpha-real", "0.1,-0.25"),
        ("--alpha=-3,4", "--alpha-scale", "0.01"),
        ("--alpha", "7", "--alpha-scale", "0.3", "--alpha-zero-point", "-9", "--dtype", "int16"),
    ],
)
def test_the_command_in_a_header_writes_it_again(embact, tmp_path, slopes):
    assert embact(*PRELU, *slopes, "--name", "act").returncode == 0
    text = (tmp_path / "c" / "act.h").read_text()
    again = embact(*command_in(text))
    assert (again.returncode, again.stderr) == (0, "")
    assert (tmp_path / "act.h").read_text() == text


def test_slopes_may_come_in_files(embact, tmp_path):
    codes = np.array([[[3, -4, 127]]], dtype=np.int8)
    np.save(tmp_path / "codes.npy", codes)
    grid = ("--alpha-scale", "0.01")
    one = embact(*PRELU, "--alpha", "codes.npy", *grid, "--json")
    other = embact(*PRELU, "--alpha=3,-4,127", *grid, "--json")
    assert one.stdout == other.stdout
    said = json.loads(one.stdout)
    assert [channel["code"] for channel in said["channels"]] == [3, -4, 127]
    assert said["max_error_codes"] == max(c["max_error_codes"] for c in said["channels"])
    assert said["checked_on"] == ["definition"]


def test_many_slopes_are_lines_of_a_table(embact, tmp_path):
    np.save(tmp_path / "codes.npy", np.arange(5001) % 256 - 128)
    words = ("--alpha", "codes.npy", "--alpha-scale", "0.01", "--name", "act")
    assert embact(*PRELU, *words).returncode == 0
    lines = (tmp_path / "c" / "act.h").read_text().splitlines()
    assert "act_alpha[5001]" in "".join(lines)
    assert max(map(len, lines)) <= 100


def test_int16_slopes_that_cost_accuracy_are_hinted_at(embact):
    words = (*PRELU, "--dtype", "int16", "--name", "act", "--force")
    far = embact(*words, "--alpha-real", "0.1,0.9")
    assert int(re.search(r"at most (\d+) codes", far.stdout)[1]) > 1
    assert "hint: slopes are int8" in far.stdout
    assert "hint" not in embact(*words, "--alpha=3", "--alpha-scale", "0.01").stdout


def test_one_slope_is_within_1_code_as_the_hint_says(embact):
    grids = ("--in-scale", "0.05", "--out-scale", "0.04")
    words = ("fit", "leaky_relu", "--param", "alpha=0.1", "--dtype", "int16", *grids)
    done = embact(*words, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["certificate"]["max_error_codes"] <= 1


LAYERS = {
    "library": ("library",),
    "softmax": ("softmax", "--in-scale", "0.12"),
    "prelu": ("prelu", "--in-scale", "0.05", "--out-scale", "0.04", "--alpha-real", "0.1"),
    "glu": ("glu", "--gate", "silu", "--a-scale", "1", "--b-scale", "1", "--out-scale", "1"),
    "gates": ("gates", "--format", "q3.12"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_files_are_all_written_or_none(embact, tmp_path, name):
    done = embact(*LAYERS[name], "--out", "all")
    assert (done.returncode, done.stderr) == (0, "")
    files = sorted(path.name for path in (tmp_path / "all").iterdir())
    for last in files[:: max(2, len(files) // 4)]:
        (tmp_path / "c" / last).mkdir(parents=True)
        done = embact(*LAYERS[name], "--out", "c")
        assert (done.returncode, f"{last}: file cannot be written" in done.stderr) == (2, True)
        assert [path.name for path in (tmp_path / "c").iterdir()] == [last]
        (tmp_path / "c" / last).rmdir()


@pytest.mark.parametrize("name", LAYERS)
def test_out_is_a_folder(embact, tmp_path, name):
    (tmp_path / "file").write_text("mine")
    done = embact(*LAYERS[name], "--out", "file")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: file: not a folder: got a file; allowed: a folder\n"
    done = embact(*LAYERS[name], "--out", "")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --out: got ''; allowed: a folder; . is the current one\n"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_of_many_channels_the_worst_is_printed(embact, tmp_path):
    np.save(tmp_path / "slopes.npy", np.linspace(-0.5, 0.5, 40))
    done = embact(*PRELU, "--alpha-real", "slopes.npy")
    assert done.returncode == 0
    rows = done.stdout[done.stdout.index("channel ") : done.stdout.index("wrote")].split("\n")
    assert len([row for row in rows if row.strip()]) == 2


def test_a_header_that_differs_is_replaced_only_when_asked(embact):
    assert embact(*PRELU, "--alpha-real", "0.1").returncode == 0
    assert embact(*PRELU, "--alpha-real", "0.1").returncode == 0
    done = embact(*PRELU, "--alpha-real", "0.2")
    assert done.returncode == 2
    assert "another header is there" in done.stderr
    assert embact(*PRELU, "--alpha-real", "0.2", "--force").returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--alpha CODES or --alpha-real SLOPES"),
        (("--alpha", "1"), "--alpha without --alpha-scale"),
        (("--alpha", "1", "--alpha-real", "1"), "got both"),
        (("--alpha-real", "1", "--alpha-scale", "1"), "--alpha-scale"),
        (("--alpha", "128", "--alpha-scale", "1"), "-128..127"),
        (("--alpha", "1.5", "--alpha-scale", "1"), "integers"),
        (("--alpha", "1", "--alpha-scale", "-1"), "alpha: scale"),
        (("--alpha-real", "x"), "--alpha-real: got 'x'"),
        (("--alpha-real", "nan"), "finite numbers"),
        (("--alpha-real", "none.npy"), "none.npy"),
        (("--alpha-real", "bad.npy"), "bad.npy: not an array: got other data; allowed: what numpy"),
        (("--alpha-real", "empty.npy"), "empty.npy: not an array: got an empty file"),
        (("--alpha-real", "cut.npy"), "cut.npy: not an array"),
        (("--alpha-real", "words.npy"), "words.npy: not numbers: got dtype <U1"),
        (("--alpha-real", "none_at_all.npy"), "shape of the slopes: got (0,)"),
        (("--alpha-real", "places.npy"), "places.npy: shape of the slopes: got (2, 2, 3)"),
        (("--alpha-real", "column.npy"), "column.npy: shape of the slopes: got (3, 1)"),
        (("--alpha-real", "1", "--name", "memcpy"), "a name of C's standard library"),
        (("--alpha-real", "1", "--in-zero-point", "200"), "input: zero point"),
        (("--alpha-real", "1", "--dtype", "int4"), "--dtype: got 'int4'"),
        (("--alpha-real", "1", "--name", "embact_prelu_s8"), "not one of the library's"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(embact, tmp_path, words, said):
    (tmp_path / "bad.npy").write_text("nothing")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01")
    np.save(tmp_path / "words.npy", np.array(["a"]))
    np.save(tmp_path / "none_at_all.npy", np.zeros(0))
    np.save(tmp_path / "places.npy", np.zeros((2, 2, 3)))
    np.save(tmp_path / "column.npy", np.zeros((3, 1)))
    done = embact(*PRELU, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "c").exists()
