"""What `embact convert` and `embact eval` say of their options, before they spend minutes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from embact.sources import data_file

CNN = data_file("digits_cnn_int8.tflite")
MLP = data_file("digits_mlp_int8.tflite")
DIGITS = data_file("digits_test.npz")
TABLES = ("--family", "lut")


@pytest.fixture(scope="module")
def exchanged(embact_in, tmp_path_factory):
    """A folder with the classifier converted to ``out``, its GELU exchanged for SiLU."""
    folder = tmp_path_factory.mktemp("exchanged")
    words = ("convert", CNN, "--out", "out", *TABLES, "--replace", "gelu=silu")
    done = embact_in(folder, *words)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("convert", MLP, "--out", "out", "--replace", ""), "--replace"),
        (("convert", MLP, "--out", "none/out"), "none is no folder"),
        (("convert", MLP, "--out", "out", "--image-range", "0:1"), "--data"),
        (("convert", MLP, "--out", "out", "--data", DIGITS, "--metric", "mse"), "targets"),
        (("convert", MLP, "--out", "out", "--data", DIGITS, "--metric", "best"), "metric"),
        (("eval", MLP, "--data", DIGITS, "--metric", "mse"), "targets"),
        (("eval", MLP, "--random", "2", "--metric", "top1"), "labels"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_fitted(embact, tmp_path, words, said):
    # a family that has no kernel of these activations: its refusal shows that fits have begun
    late = embact(*words, "--family", "i_exp")
    assert (late.returncode, late.stderr.count("\n")) == (2, 1)
    assert said in late.stderr
    assert "i_exp" not in late.stderr
    assert not list(tmp_path.iterdir())


def test_fits_that_have_begun_show(embact):
    done = embact("eval", MLP, "--random", "2", "--family", "i_exp")
    assert done.returncode == 2
    assert "i_exp" in done.stderr


def test_a_conversion_is_tried_on_images(embact, tmp_path):
    image = pytest.importorskip("PIL.Image")
    for label in range(10):
        (tmp_path / "images" / str(label)).mkdir(parents=True)
    with np.load(DIGITS) as stored:
        for number, (pixels, label) in enumerate(
            zip(stored["x"][:5], stored["y"][:5], strict=True)
        ):
            grey = (pixels[:, :, 0].astype(np.int64) * 255 // 16).astype(np.uint8)
            path = tmp_path / "images" / str(label) / f"{number}.png"
            image.fromarray(grey).save(path)
    words = ("convert", MLP, "--out", "out", *TABLES, "--data", "images")
    refused = embact(*words)
    assert refused.returncode == 2
    assert "--image-range" in refused.stderr
    done = embact(*words, "--image-range", "0:1")
    assert done.returncode == 0, done.stderr
    assert "top1 on 5 samples: " in done.stdout
    assert "--data images --image-range=0:1\n" in done.stdout, "the next command, as it can be run"


def test_a_drop_is_printed_with_its_unit_and_scores_as_eval_prints_them(embact, tmp_path):
    done = embact("convert", MLP, "--out", "out", *TABLES, "--data", DIGITS)
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    score = f"{100 * report['decisions']['metric']['before']:.2f} %"
    assert f"top1 on 450 samples: {score} before" in done.stdout
    assert "drop 0 percentage points (" in done.stdout
    shown = embact("eval", MLP, "--data", DIGITS, *TABLES).stdout
    assert score in shown
    assert f"--stock {MLP} --data {DIGITS}\n" in done.stdout


def test_stock_is_not_blamed_where_the_function_was_exchanged(embact_in, exchanged):
    words = ("eval", "out/digits_cnn_int8.tflite", "--stock", CNN, "--random", "3")
    lines = [
        line
        for line in embact_in(exchanged, *words).stdout.splitlines()
        if line.startswith("replaced on purpose: ")
    ]
    assert len(lines) == 1, "the three others compute what they did"
    assert "computes silu, stock gelu; stock's error is its distance to silu" in lines[0]


def test_a_limit_without_anything_to_compare_with_is_refused_at_once(embact_in, exchanged):
    words = ("eval", "out/digits_cnn_int8.tflite", "--random", "3", "--max-drop", "1")
    done = embact_in(exchanged, *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--stock" in done.stderr


def test_what_bits_rule_out_is_not_promised_of_another_form(embact):
    words = ("convert", CNN, "--out", "out", "--form", "override")
    like = embact(*words, "--like", "tflm").stdout
    assert "--form custom, without --like tflm, replaces it" in like
